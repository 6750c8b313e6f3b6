"""Reloads by the hundred under load: a quarter of them broken, some without descriptors, memory or disk.

    with storm.broker(workers=2) as broker, Crowd(broker, storm.TENANTS, sessions=500, rate=1000) as crowd:
        crowd.begin("storm")
        for n in range(200):
            storm.one_round(broker, n, crowd=crowd)
        crowd.end()

Each broken unit must be named, and the others go on; the crowd fails when a session ends, or an event is lost, repeated or out of order.
"""
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess

from .broker import OPEN_POLICY, Broker, binary
from .check import Failure, check
from .token import SECRET
from .wait import scaled, wait_until

TENANTS = ("acme", "beta")
FULL = "full"  # a directory on a small disk of its own, where plugins are copied to
_DISK_BYTES = 4 << 20
_ROOM_BYTES = 2 << 20  # of address space, for what is staged


def policy(mark):
    """A policy that lets all of it be, and differs from the others."""
    return OPEN_POLICY + f"-- {mark}\n"


def unit(tenant):
    """A tenant's file; acme's sessions are held after each reload, beta's are not."""
    entry = {"name": tenant, "lua": f"../{tenant}.lua", "revoke": "now" if tenant == "acme" else "sweep",
             "budget": {"cpu_ms": 20}}  # a busy machine takes of a call's time
    limits = {"connections": 100000, "subscriptions": 100000, "publish_per_s": 100000}
    return {"tenants": {tenant: {"hooks": [entry], "limits": limits}}}


def _plugin_unit():
    """A tenant with a plugin, whose copies need room."""
    return {"tenants": {"gamma": {"hooks": [{"name": "gamma", "plugin": "../gamma.so", "config": {"deny_resource": "x"}}]}}}


def _write_plugin(broker, n):
    """The template, as another file each time: what follows an ELF file is not looked at."""
    template = pathlib.Path(binary()).parent / "plugins" / "template.so"
    draft = broker.dir / "gamma.so.draft"
    draft.write_bytes(template.read_bytes() + f"{n}".encode())
    draft.rename(broker.dir / "gamma.so")


def broker(disk=False, **more):
    """A broker to storm. disk: with a small disk of its own, which wants a new mount namespace (root)."""
    config = {"reauth_ms": 200, "include": ["tenants.d/*.json"], "tenants": {"*": None}, "log": {"level": "info"},
              # full before memory is looked at for the first time: what is retained is no growth that a reload makes
              "journal": {"retention": {"count": 2000}}, **more}
    files = {f"{tenant}.lua": policy("first") for tenant in TENANTS} | {f"tenants.d/{tenant}.json": unit(tenant) for tenant in TENANTS}
    if not disk:
        return Broker(config, files=files)
    script = f'mkdir {FULL} && mount -t tmpfs -o size={_DISK_BYTES} hookwire-test {FULL} && exec "$@"'
    return Broker({**config, "plugin_cache": FULL}, files=files, prefix=["unshare", "--mount", "sh", "-c", script, "sh"])


def may_mount():
    """Whether this process may make a disk that only its children see."""
    return shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "hookwire-test", "/mnt"], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def limited(broker, which, soft):
    """The broker's own limit, until the block ends."""
    before = resource.prlimit(broker.pid, which)
    resource.prlimit(broker.pid, which, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(broker.pid, which, before)


@contextlib.contextmanager
def full_disk(broker):
    """Not a byte more on the broker's small disk, until the block ends. It is seen through the broker's own root."""
    filler = pathlib.Path(f"/proc/{broker.pid}/root{broker.dir}/{FULL}/filler")
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    try:
        yield
    finally:
        filler.unlink()


def _vm_bytes(broker):
    status = pathlib.Path(f"/proc/{broker.pid}/status").read_text()
    return int(re.search(r"^VmSize:\s+(\d+) kB", status, re.M)[1]) * 1024


def _lowest_free_fd(broker):
    used = {int(name) for name in os.listdir(f"/proc/{broker.pid}/fd")}
    return min(set(range(len(used) + 1)) - used)


def asked_again(broker, timeout=30):
    """Waits until nobody is to be authorized again."""
    wait_until(lambda: broker.metric("hookwire_reauthorizations_due") == 0, timeout, "nobody to be asked")


def reload(broker):
    """SIGHUP, and what the log then says of it."""
    mark = broker.log_mark()
    broker.sighup()
    broker.wait_log(r"reload: (reloaded|reload failed)", since=mark, timeout=30)
    return broker.log()[mark:]


def _broken(broker, n):
    """A unit that cannot be loaded, and another that can."""
    name = ("acme.lua:1", "tenants.d/beta.json:1", "hookwire.json:1")[n // 4 % 3]
    file = name.partition(":")[0]
    good = (broker.dir / file).read_text()
    broker.write_file(file, "nonsense(")
    broker.write_file("beta.lua" if file == "acme.lua" else "acme.lua", policy(f"beside {n}"))
    said = reload(broker)
    check(re.search(rf"ERROR reload: .*{re.escape(name)}", said), f"reload {n}: {name} is not named: {said}")
    check("reloaded in part" in said, f"reload {n}: the others did not go on: {said}")
    broker.write_file(file, good)


def _without_disk(broker, n):
    """A new plugin that there is no room for, beside a policy that can be loaded."""
    _write_plugin(broker, n)
    broker.write_file("tenants.d/gamma.json", _plugin_unit())
    with full_disk(broker):
        said = reload(broker)
    check(re.search(r"ERROR reload: .*tenants\.d/gamma\.json:.*No space left", said), f"reload {n}: gamma is not named: {said}")
    check("reloaded in part" in said, f"reload {n}: the others did not go on: {said}")
    check("reloaded generation" in reload(broker), f"reload {n}: there is room again")


def one_round(broker, n, disk=False, crowd=None):
    """One reload of the storm, or two. What the crowd died of counts for more than what its descriptors then did for a reload."""
    try:
        _one_round(broker, n, disk)
    finally:
        if crowd:
            crowd.check()


def _one_round(broker, n, disk):
    if n % 4 == 3:
        _broken(broker, n)
        return
    broker.write_file(f"{TENANTS[n % 2]}.lua", policy(n))
    if n % 20 == 8:  # no descriptor for the configuration
        with limited(broker, resource.RLIMIT_NOFILE, _lowest_free_fd(broker)):
            said = reload(broker)
        check("reload failed" in said or "in part" in said, f"reload {n} without descriptors: {said}")
    elif n % 20 == 12:  # no memory for what is staged; what runs has all its own by then
        asked_again(broker)
        with limited(broker, resource.RLIMIT_AS, _vm_bytes(broker) + _ROOM_BYTES):
            said = reload(broker)
        check("reload failed" in said or "in part" in said, f"reload {n} without memory: {said}")
    elif n % 20 == 16 and disk:
        _without_disk(broker, n)
    else:
        check("reloaded generation" in reload(broker), f"reload {n}")


class Crowd:
    """tests/bench/bench_reload.c as the clients: many sessions under a steady load, which fail on their own.

    slow      how many of them stop reading when told (tests/bench/bench_slow.c)
    pad       bytes that each event is then longer
    """

    def __init__(self, broker, tenants, sessions, rate, per_topic=10, slow=0, pad=0):
        program = ["bench_slow", "--slow", str(slow), "--pad", str(pad), "--events", str(rate // per_topic)] if slow else \
            ["bench_reload", "--rate", str(rate)]
        self._process = subprocess.Popen(
            [pathlib.Path(binary()).parent / "bench" / program[0], *program[1:], "--attach", broker.address.rpartition(":")[2],
             "--secret", SECRET, "--tenants", ",".join(tenants), "--sessions", str(sessions), "--per-topic", str(per_topic)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        check(self._read().get("ready"), "the crowd is there")

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"the crowd: {self._process.stderr.read().strip()}")
        return json.loads(line)

    def _say(self, text):
        with contextlib.suppress(BrokenPipeError):  # what it died of is read next
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()

    def begin(self, phase):
        """Publishes from now on."""
        self._say(f"begin {phase}")

    def ended(self):
        """Whether it has failed."""
        return self._process.poll() is not None

    def check(self):
        """Fails when it has failed."""
        if self.ended():
            raise Failure(f"the crowd: {self._process.stderr.read().strip()}")

    def stop(self):
        """The slow read no more."""
        self._say("stop")

    def go_on(self):
        """The slow read again."""
        self._say("go on")

    def slow(self):
        """How many deliveries the slow have "missed", how many of them are still "behind", and "caught_up_ms"."""
        self._say("slow")
        return self._read()

    def end(self):
        """Publishes no more; what was measured, once all that is on its way has come."""
        self._say("end")
        return self._read()

    def close(self):
        """Its sessions go; fails when there was an event too many or too few."""
        self._process.stdin.close()
        answer = self._read()
        self._process.wait(scaled(30))
        check(answer.get("ok") and self._process.returncode == 0, f"the crowd ended with {answer}")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        try:
            if kind is None:
                self.close()
        finally:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process.stderr.close()
