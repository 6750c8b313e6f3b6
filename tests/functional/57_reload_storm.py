#!/usr/bin/python3
# Reloads by the hundred under load, a quarter of them broken, some without descriptors, memory or disk: nobody is disconnected, no
# event is lost or comes twice, memory does not grow, and each broken unit is refused by its name while the others go on.
# ctest: timeout=120
import contextlib
import pathlib
import re
import resource
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

N_CLIENTS, N_RELOADS = 100, 200
TENANTS = ("acme", "beta")


def policy(mark):
    return OPEN_POLICY + f"-- {mark}\n"


def unit(tenant):
    """A tenant's file; acme's sessions are held after each reload, beta's are not."""
    return {"tenants": {tenant: {"hooks": [{"name": tenant, "lua": f"../{tenant}.lua", "revoke": "now" if tenant == "acme" else "sweep"}]}}}


class Reader(threading.Thread):
    """A client that keeps every id it got, and how it ended."""

    def __init__(self, broker, n):
        super().__init__(daemon=True)
        self.tenant = TENANTS[n % len(TENANTS)]
        self.client = WsClient(broker.address, token=mint(f"u{n}", self.tenant), protocols=["hookwire.v1"])
        self.client.recv_where({"type": "welcome"})
        self.client.subscribe("t:1")
        self.ids, self.others, self.error, self.last = [], [], None, None

    def run(self):
        try:
            while self.last is None or self.last not in self.ids[-1:]:
                with contextlib.suppress(TimeoutError):
                    message = self.client.recv_json(1)
                    (self.ids.append(message["id"]) if "id" in message and "topic" in message else self.others.append(message))
        except BaseException as error:
            self.error = error


class Publisher(threading.Thread):
    """Publishes to each tenant in turn until it is told to stop."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.stopped, self.error = threading.Event(), None
        # connected from the start: without descriptors nobody else gets in
        self.clients = {tenant: WsClient(broker.address, token=mint("shop", tenant), protocols=["hookwire.v1"]) for tenant in TENANTS}
        self.sent = {tenant: [] for tenant in TENANTS}

    def run(self):
        try:
            while not self.stopped.is_set():
                for tenant in TENANTS:
                    answer = self.clients[tenant].request(
                        {"type": "publish", "topic": "t:1", "event": "UPDATED", "data": {"entity_id": "e1", "payload": {}}})
                    contains(answer, {"type": "ack"}, "a publish while reloading")
                    self.sent[tenant].append(answer["event_id"])
                time.sleep(0.005)  # a pace, not a wait
        except BaseException as error:
            self.error = error


def limited(broker, which, soft):
    """The broker's own limit, until the block ends."""
    @contextlib.contextmanager
    def block():
        before = resource.prlimit(broker.pid, which)
        resource.prlimit(broker.pid, which, (soft, before[1]))
        try:
            yield
        finally:
            resource.prlimit(broker.pid, which, before)
    return block()


def vm_bytes(broker):
    """Its whole address space."""
    return int(re.search(r"^VmSize:\s+(\d+) kB", pathlib.Path(f"/proc/{broker.pid}/status").read_text(), re.M)[1]) * 1024


def lowest_free_fd(broker):
    """The number that its next descriptor would have."""
    used = {int(path.name) for path in pathlib.Path(f"/proc/{broker.pid}/fd").iterdir()}
    return min(set(range(len(used) + 1)) - used)


def asked_again(broker):
    wait_until(lambda: broker.metric("hookwire_reauthorizations_due") == 0, 10, "nobody to be asked")


def reload(broker):
    """SIGHUP, and what the log then says of it."""
    mark = broker.log_mark()
    broker.sighup()
    broker.wait_log(r"reload: (reloaded|reload failed)", since=mark, timeout=20)
    return broker.log()[mark:]


def one_round(broker, n):
    """One reload of the storm; a fourth has a broken unit, which must be named."""
    if n % 4 == 3:
        name = ("acme.lua:1", "tenants.d/beta.json:1", "hookwire.json:1")[n // 4 % 3]
        file = name.partition(":")[0]
        good = (broker.dir / file).read_text()
        broker.write_file(file, "nonsense(")
        broker.write_file("beta.lua" if file == "acme.lua" else "acme.lua", policy(f"beside {n}"))
        said = reload(broker)
        check(re.search(rf"ERROR reload: .*{re.escape(name)}", said), f"reload {n}: {name} is not named: {said}")
        check("reloaded in part" in said, f"reload {n}: the others did not go on: {said}")
        broker.write_file(file, good)
        return
    broker.write_file(f"{TENANTS[n % 2]}.lua", policy(n))
    if n % 20 == 8:  # no descriptor for the configuration
        with limited(broker, resource.RLIMIT_NOFILE, lowest_free_fd(broker)):
            said = reload(broker)
        check("reload failed" in said or "in part" in said, f"reload {n} without descriptors: {said}")
    elif n % 20 == 12:  # no memory for what is staged; what runs has all its own by then
        asked_again(broker)
        with limited(broker, resource.RLIMIT_AS, vm_bytes(broker) + (2 << 20)):
            said = reload(broker)
        check("reload failed" in said or "in part" in said, f"reload {n} without memory: {said}")
    elif n % 20 == 16:  # nothing can be written any more, the disk might be full
        with limited(broker, resource.RLIMIT_FSIZE, len((broker.dir / "broker.log").read_bytes()) + (1 << 20)):
            reload(broker)
    else:
        check("reloaded generation" in reload(broker), f"reload {n}")


def storm(n_clients, n_reloads):
    config = {"workers": 2, "reauth_ms": 200, "include": ["tenants.d/*.json"], "tenants": {"*": None}, "log": {"level": "info"}}
    files = {f"{tenant}.lua": policy("first") for tenant in TENANTS} | {f"tenants.d/{tenant}.json": unit(tenant) for tenant in TENANTS}
    with Broker(config, files=files) as broker:
        readers = [Reader(broker, n) for n in range(n_clients)]
        publisher = Publisher(broker)
        for thread in (*readers, publisher):
            thread.start()
        for n in range(n_reloads):
            one_round(broker, n)
            if n == n_reloads // 4:
                before = broker.rss_bytes()
        grown = broker.rss_bytes() - before
        publisher.stopped.set()
        publisher.join(30)
        check(publisher.error is None, f"the publisher: {publisher.error}")
        for reader in readers:
            reader.last = publisher.sent[reader.tenant][-1]
        for n, reader in enumerate(readers):
            reader.join(30)
            check(reader.error is None and not reader.is_alive(), f"client {n} was disconnected, or waits: {reader.error!r}")
            equal(reader.others, [], f"what else client {n} was told")
            if reader.ids != publisher.sent[reader.tenant]:
                raise Failure(f"client {n} got {len(reader.ids)} events of {len(publisher.sent[reader.tenant])}, or in another order")
        check(len(publisher.sent["acme"]) > n_reloads, f"{len(publisher.sent['acme'])} events are no load")
        check(stretched() or grown < 8 << 20, f"memory grew by {grown >> 10} KiB")
        asked_again(broker)
        check(broker.metric("hookwire_reauthorizations_total") > n_clients, "nobody was asked again")
        equal(broker.metric("hookwire_revoked_total"), 0, "what was taken away")


def test_a_storm_of_reloads_disturbs_nobody():
    storm(N_CLIENTS, N_RELOADS)


main()
