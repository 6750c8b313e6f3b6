"""A mixed run: many followers over every transport, publishers that repeat themselves, reloads and restarts; then the ledger.

    mixed_run(12.0)                  against a broker with its journal in memory
    mixed_run(12.0, database=db)     against brokers on one file, that end, most by kill -9, and are started again
"""
import json
import random
import re
import threading
import time

from . import storm
from .broker import Broker, merge
from .check import Failure, check, equal
from .database import number_of
from .followers import GONE, WAYS, Follower
from .http import HttpConnection, http
from .ledger import Book, Ledger
from .run import seed_of_run
from .token import mint
from .wait import scaled, stretched
from .ws import TEXT, Refused, WsClient, encode_frame

KEYS_SURVIVE_A_RESTART = True
TENANTS = ("acme", "beta", "gamma")
LEVELS = 3
NO_HISTORY = "cursor:1"  # of a class that keeps nothing
BULK = "bulk:1"          # of a class of large events, for who stalls
FLOOD = "flood:1"        # of a class that keeps little, and that nobody follows
MANY = tuple(f"many:{k}" for k in range(80))  # more than are looked up one by one
NUMBERED = ("list:1", "list:2", "list:3", "chat:1", "chat:2", "audit:1", "audit:2", "quiet:1")
ALL_KEPT = {"count": 10000000, "bytes": 4 << 30, "age_ms": 86400000}
SMALL_MEMORY = {"count": 300, "bytes": 4 << 20}  # of a journal that is in a file
BULK_BYTES = 30000
BULK_EVENTS = 30
FLOOD_EVENTS = 200
RETRY_S = 0.02
FINISH_S = 40
METRICS = ("events_published_total", "events_delivered_total", "slow_sessions_total", "events_withheld_total", "gaps_total")
EXPECTED = ("resumed", "resumed over another transport", "subscribed on the fly", "unsubscribed on the fly",
            "publishes broken off", "acknowledged as duplicate", "polls broken off", "left by half a frame",
            *(f"connections {way}" for way in WAYS))
MOST_FAILURES = 5
FAILURE_CHARACTERS = 1500

# Nobody is denied; who is of a lower level than an event does not get it, and who may not see what is inside gets it without.
POLICY = """-- {mark}
return policy {{
  api = 1,
  reads = {{ filter = {{ "claims.level" }}, redact = {{ "claims.inner" }} }},
  authorize = {{
    subscribe = function() return allow() end, wildcard = function() return allow() end, publish = function() return allow() end,
  }},
  filter = function(event, audience) return (event.data.payload.level or 0) <= audience.claims.level end,
  redact = function(event, audience) if audience.claims.inner ~= "yes" then event.data.payload.inner = nil end return event end,
}}
"""


def _config():
    return {
        "workers": 3, "drain_ms": 300, "reauth_ms": 300, "log": {"level": "info"}, "include": ["tenants.d/*.json"], "tenants": {"*": None},
        "sse": {"gzip": True}, "heartbeat": {"interval_ms": 700, "timeout_ms": 60000},
        "slow": {"outbox_bytes": 32768, "deadline_ms": 60000},
        "journal": {"retention": ALL_KEPT},
        "topics": {"audit:*": {"retention": ALL_KEPT}, "bulk:*": {"retention": ALL_KEPT},
                   "flood:*": {"retention": {"count": 100, "bytes": 65536}}, "cursor:*": {"history": "none"}},
    }


def _unit(tenant):
    entry = {"name": tenant, "lua": f"../{tenant}.lua", "revoke": "now" if tenant == "beta" else "sweep",
             "budget": {"cpu_ms": 200}}  # a busy machine takes of a call's time
    return {"tenants": {tenant: {"hooks": [entry], "limits": {"connections": 100000, "subscriptions": 100000, "publish_per_s": 1000000}}}}


def _files():
    return {f"{t}.lua": POLICY.format(mark="first") for t in TENANTS} | {f"tenants.d/{t}.json": json.dumps(_unit(t)) for t in TENANTS}


class Over(Exception):
    """The run is."""


class World:
    """What all of a run share."""

    def __init__(self, seed, database):
        self.seed, self.database = seed, database
        self.ledger = Ledger(KEYS_SURVIVE_A_RESTART)
        self.closing, self.stop, self.quiet = threading.Event(), threading.Event(), threading.Event()
        self.failures = []
        self.finish_s = FINISH_S
        self.up = threading.Event()
        self.broker, self.ended, self.n_restarts = None, set(), 0
        self.reloading = threading.Lock()  # held also by who restarts: neither wants the other half-way

    def rng(self, name):
        """Chance of its own for each, so that they do not depend on each other."""
        return random.Random(f"{self.seed} {name}")

    def pause(self, seconds):
        """Waits, but not longer than the run."""
        self.stop.wait(seconds)

    def run(self, function):
        """A thread's work: its failure is the run's."""
        try:
            function()
        except Over:
            return
        except BaseException as error:
            self.failures.append(error if isinstance(error, AssertionError) else Failure(f"{function}: {error!r}"))
            self.stop.set()
            if not isinstance(error, (AssertionError, TimeoutError)):
                raise

    # ---- the broker, or one after the other

    def start(self):
        """Starts a broker, the next one."""
        options = {"files": _files()}
        if self.database:
            self.broker = self.database.broker(merge(_config(), {"journal": {"memory": SMALL_MEMORY}}), **options)
        else:
            self.broker = Broker(_config(), **options)
        self.up.set()

    def address(self):
        """Where the broker is, that runs now."""
        while not self.up.wait(0.1):
            if self.stop.is_set():
                raise Over
        return self.broker.address

    def excuse(self, address, what):
        """A connection has ended by itself: that may be only if its broker has."""
        check(address in self.ended, f"the broker has ended a connection: {what}")
        self.ledger.count("cut by a restart")

    def restart(self, kill):
        """Kills the broker, or lets it drain, and starts the next one."""
        with self.reloading:
            broker = self.broker
            self.up.clear()
            self.n_restarts += 1
            self.ended.add(broker.address)
            if kill:
                broker.process.kill()
                broker.process.wait()
                broker.check_sanitizers()
                broker._checked = True
            else:
                broker.stop()
            broker.__exit__(None, None, None)
            self.start()


# ---- who publishes

class Publisher:
    """Publishes until it is told to be quiet; what is not acknowledged is published again, with the same key."""

    def __init__(self, world, tenant, name, topics, every_s):
        self.world, self.tenant, self.name, self.topics, self.every_s = world, tenant, name, topics, every_s
        self.rng = world.rng(f"{tenant} {name}")
        self.token = mint(name, tenant)
        self.restarts = {}  # n -> how many there had been at its first attempt

    def __str__(self):
        return f"publisher {self.tenant}/{self.name}"

    def run(self):
        """Until the run closes."""
        while not self.world.quiet.is_set() and not self.world.stop.is_set():
            self.publish([self._event() for _ in range(self.rng.choice((1, 1, 3, 10)))])
            self.world.pause(self.rng.expovariate(1 / self.every_s))

    def _event(self):
        topic = self.rng.choice(self.topics)
        if topic == "quiet:1" and self.rng.random() < 0.9:
            topic = self.rng.choice(MANY)
        level = self.rng.choice((0, 0, 0, 1, 2))
        sent = self.world.ledger.new(self.tenant, topic, None if topic == NO_HISTORY else level)
        self.restarts[sent.n] = self.world.n_restarts
        fill = "x" * (BULK_BYTES if topic == BULK else self.rng.randrange(500))
        return sent, {"topic": topic, "event": "UPDATED", "key": f"{self.name}-{sent.n}", "data": {
            "entity_id": f"e{sent.n % 7}", "payload": {"n": sent.n, "level": level, "inner": 1, "fill": fill}}}

    def publish(self, batch):
        """Until all of it is acknowledged."""
        once = self.rng.random() < 0.2
        while not self.world.stop.is_set():
            address = self.world.address()
            for sent, _ in batch:
                sent.unsure = self.restarts[sent.n] != self.world.n_restarts
            try:
                if once:
                    once = self.rng.random() < 0.3
                    self.world.ledger.count("publishes broken off")
                    self._break_off(address, batch)
                elif self._try(address, batch):
                    return
            except Refused as refused:
                check(refused.response.json().get("retryable"), f"{self}: {refused}")
            except GONE as error:
                self.world.excuse(address, f"{self}: {error!r}")
            self.world.pause(RETRY_S)

    def _ack(self, sent, event_id, duplicate):
        if sent.level is None:
            check(event_id is None, f"{self}: {sent.topic} keeps no history, and {sent.n} is {event_id}")
        else:
            self.world.ledger.place(sent, event_id, str(self))
        self.world.ledger.count("acknowledged")
        if duplicate:
            self.world.ledger.count("acknowledged as duplicate")


class HttpPublisher(Publisher):
    """By POST /publish: an array with a key for each, or one with Idempotency-Key."""

    def _request(self, connection, batch):
        bearer = [("Authorization", "Bearer " + self.token)]
        if len(batch) > 1:
            return connection.format("POST", "/publish", bearer, [event for _, event in batch])
        event = dict(batch[0][1])
        return connection.format("POST", "/publish", bearer + [("Idempotency-Key", event.pop("key"))], event)

    def _break_off(self, address, batch):
        with HttpConnection(address) as connection:
            request = self._request(connection, batch)
            connection.send(request[:self.rng.choice((len(request), len(request), self.rng.randrange(1, len(request))))])
            self.world.pause(self.rng.choice((0, 0.005)))
            connection.close(reset=self.rng.random() < 0.7)

    def _try(self, address, batch):
        with HttpConnection(address) as connection:
            connection.send(self._request(connection, batch))
            response = connection.read_response("POST")
        answer = response.json()
        results = answer.get("results", [answer])
        done = True
        for (sent, _), result in zip(batch, results):
            if result.get("ok"):
                self._ack(sent, result.get("id"), result.get("duplicate"))
            else:
                check(result.get("retryable"), f"{self}: {sent.n} was refused: {result}")
                done = False
        equal(len(results) if done else len(batch), len(batch), f"{self}: results")
        return done


class WsPublisher(Publisher):
    """Over WebSocket, with ids and keys."""

    def _frames(self, batch):
        return [encode_frame(TEXT, json.dumps({"type": "publish", "id": sent.n, **event})) for sent, event in batch]

    def _break_off(self, address, batch):
        frames = self._frames(batch)
        with WsClient(address, token=self.token) as ws:
            n = self.rng.randint(0, len(frames))
            half = frames[n][:self.rng.randrange(1, len(frames[n]))] if n < len(frames) else b""
            ws.stream.send(b"".join(frames[:n]) + half)
            self.world.pause(self.rng.choice((0, 0.005)))
            ws.stream.close(reset=self.rng.random() < 0.7)

    def _try(self, address, batch):
        waiting = {sent.n: sent for sent, _ in batch}
        done = True
        with WsClient(address, token=self.token) as ws:
            ws.stream.send(b"".join(self._frames(batch)))
            while waiting:
                message = ws.recv_json()
                sent = waiting.pop(message["id"])
                if message["type"] == "ack":
                    self._ack(sent, message.get("event_id"), message.get("duplicate"))
                else:
                    check(message.get("retryable"), f"{self}: {sent.n} was refused: {message}")
                    done = False
        return done


class Bulk(HttpPublisher):
    """Many large events together, and a flood of what nobody follows."""

    def run(self):
        """Until the run closes."""
        while not self.world.quiet.is_set() and not self.world.stop.is_set():
            for _ in range(3):
                self.publish([self._event() for _ in range(BULK_EVENTS)])
            self._flood()
            self.world.quiet.wait(self.every_s)

    def _flood(self):
        items = [{"topic": FLOOD, "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}] * FLOOD_EVENTS
        address = self.world.address()
        try:
            equal(http(address, "POST", "/publish", body=items, token=self.token).status, 200, "the flood")
        except GONE as error:
            self.world.excuse(address, f"{self}: {error!r}")


# ---- what happens to the broker

class Reloads:
    """SIGHUP again and again: other policies that say the same, another configuration, broken ones of both."""

    def __init__(self, world, every_s):
        self.world, self.every_s, self.rng, self.n = world, every_s, world.rng("reloads"), 0

    def run(self):
        """Until the run closes."""
        while not self.world.quiet.wait(self.rng.uniform(0.5, 1.5) * self.every_s) and not self.world.stop.is_set():
            with self.world.reloading:
                self.n += 1
                (self._policy, self._broken, self._settings)[self.n % 3](self.world.broker)

    def _policy(self, broker):
        for tenant in self.rng.sample(TENANTS, self.rng.randint(1, len(TENANTS))):
            broker.write_file(f"{tenant}.lua", POLICY.format(mark=self.n))
        self._reload(broker, "reloaded generation")

    def _settings(self, broker):
        broker.write_config(merge(broker.config, {"heartbeat": {"interval_ms": self.rng.randrange(500, 1500)}}))
        self._reload(broker, "reloaded generation")

    def _broken(self, broker):
        name = self.rng.choice(("acme.lua", "tenants.d/beta.json", "hookwire.json"))
        good = (broker.dir / name).read_text()
        broker.write_file(name, "nonsense(")
        self._reload(broker, f"ERROR reload: .*{name}")
        broker.write_file(name, good)

    def _reload(self, broker, expected):
        said = storm.reload(broker)
        check(re.search(expected, said), f"reload {self.n} says {said}")
        self.world.ledger.count("broken reloads" if "ERROR" in expected else "reloads")


class Restarts:
    """kill -9, again and again, and SIGTERM between."""

    def __init__(self, world, every_s):
        self.world, self.every_s, self.rng, self.n = world, every_s, world.rng("restarts"), 0

    def run(self):
        """Until the run closes."""
        while not self.world.quiet.wait(self.rng.uniform(0.5, 1.5) * self.every_s) and not self.world.stop.is_set():
            kill = self.n % 3 != 1
            self.n += 1
            self.world.restart(kill)
            self.world.ledger.count("kills" if kill else "drains")


# ---- the run

def _units(rng, stalls, many):
    if many:
        return [[name] for name in (*MANY, "list:*")]
    kinds = {"list": ["list:1", "list:2", "list:3", "list:*"], "chat": ["chat:1", "chat:2", "chat:*"], "audit": ["audit:1", "audit:2", "audit:*"],
             "quiet": ["quiet:1"], "cursor": ["cursor:1", "cursor:*"]}
    units = []
    for kind in rng.sample(sorted(kinds), rng.randint(1, 3)):
        names = rng.sample(kinds[kind], min(len(kinds[kind]), rng.choice((1, 1, 2))))
        if len(names) > 1 and not any(n.endswith("*") for n in names):
            units += [[n] for n in names]
        else:
            units.append(names)
    return units + [[BULK]] if stalls else units


def _kept(world):
    """What the journal has now, by the history of every topic."""
    kept = {}
    for tenant in TENANTS:
        token = mint("auditor", tenant, level=LEVELS, inner="no")
        rows = []
        for topic in (*NUMBERED, "many:*", BULK):
            rows += [(number_of(e["id"]), e["data"]["payload"]["n"]) for e in _history(world.broker, topic, token)]
        kept[tenant] = sorted(rows)
    return kept


def _history(broker, topic, token):
    events, cursor = [], ""
    with HttpConnection(broker.address) as connection:
        while True:
            path = f"/topics/{topic}/history?limit=1000" + (f"&cursor={cursor}" if cursor else "")
            page = connection.request("GET", path, [("Authorization", "Bearer " + token)]).json()
            check(not page["gap"], f"history of {topic}: a gap behind {cursor}")
            if not page["events"]:
                return events
            events += page["events"]
            cursor = page["cursor"]


def _threads(world, jobs):
    threads = [threading.Thread(target=world.run, args=(job,), name=str(job.__self__), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    return threads


def _join(threads, seconds, what):
    deadline = time.monotonic() + scaled(seconds)
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    late = [thread.name for thread in threads if thread.is_alive()]
    check(not late, f"{what} that did not end in {seconds} s: {late}")


def _followers(world, per_tenant, stalling):
    followers = []
    for tenant in TENANTS:
        for k in range(per_tenant):
            rng = world.rng(f"{tenant} follower {k}")
            stalls = k < stalling
            book = Book(world.ledger, tenant, f"f{k}", _units(rng, stalls, k == per_tenant - 1), rng.choice((0, 1, 2)), rng.random() < 0.7)
            followers.append(Follower(world, book, rng, stalls))
    return followers


def _publishers(world, every_s, bulk_s):
    topics = (*NUMBERED, NO_HISTORY)
    publishers = [kind(world, tenant, name, topics, every_s) for tenant in TENANTS
                  for kind, name in ((HttpPublisher, "by-http"), (WsPublisher, "by-ws"))]
    return publishers + [Bulk(world, tenant, "bulk", (BULK,), bulk_s) for tenant in TENANTS]


def mixed_run(seconds, database=None, per_tenant=12, stalling=2, every_s=0.08, bulk_s=2, reload_s=0.8, restart_s=None):
    """The run and its ledger. every_s: between what one publisher publishes; bulk_s, reload_s, restart_s: between those."""
    seed = seed_of_run()
    world = World(seed, database)
    began = time.monotonic()
    world.start()
    try:
        followers = _followers(world, per_tenant, stalling)
        following = _threads(world, [f.run for f in followers])
        publishing = _threads(world, [p.run for p in _publishers(world, every_s, bulk_s)])
        happening = _threads(world, ([Reloads(world, reload_s).run] if reload_s else []) + ([Restarts(world, restart_s).run] if restart_s else []))
        world.stop.wait(scaled(seconds))
        world.quiet.set()
        try:
            _join(happening + publishing, 60, "publishers")
            if not world.failures:
                world.ledger.close(_kept(world))
                world.closing.set()
            _join(following, 2 * FINISH_S, "followers")
        except AssertionError as error:
            world.failures.append(error)
        world.stop.set()
        _report(world, followers, time.monotonic() - began)
        metrics = {name: world.broker.metric(f"hookwire_{name}") for name in METRICS}
        print("     " + "; ".join(f"{name} {n:.0f}" for name, n in metrics.items()), flush=True)
        _check_exercised(world, metrics, restart_s, reload_s)
    finally:
        world.stop.set()
        world.broker.__exit__(Failure if world.failures else None, None, None)


def _check_exercised(world, metrics, restart_s, reload_s):
    """A run in which something did not happen proves nothing of it."""
    happened = (("kills", "drains", "cut by a restart") if restart_s else ("stalls", "cursors told")) + (("reloads", "broken reloads") if reload_s else ())
    for what in (*EXPECTED, *happened):
        check(world.ledger.counts.get(what), f"HOOKWIRE_SEED={world.seed}: none of {what}: this run shows less than it should")
    equal((metrics["gaps_total"], world.broker.metric("hookwire_events_withheld_total", reason="failed")), (0, 0), "gaps, and events that a hook failed on")
    # those of a broker that has ended are gone
    check(restart_s or metrics["events_withheld_total"] > 0, "the filter withheld nothing")
    check(restart_s or stretched() or metrics["slow_sessions_total"] > 0, "nobody fell behind")


def _report(world, followers, seconds):
    counts = dict(world.ledger.counts)
    delivered = sum(len(f.book.got) for f in followers)
    owed = sum(len(f.owed or ()) for f in followers)
    unnumbered = sum(len(f.book.unnumbered) for f in followers)
    kept = sum(s.level is not None for s in world.ledger.sent.values())
    print(f"     {len(followers)} sessions, {seconds:.1f} s; published {len(world.ledger.sent)}, of these {kept} with a number; "
          f"owed {owed}, delivered {delivered}; of topics without history {unnumbered}", flush=True)
    print("     " + "; ".join(f"{what} {n}" for what, n in sorted(counts.items()) if n), flush=True)
    if world.failures:
        said = "\n".join(str(f)[:FAILURE_CHARACTERS] for f in world.failures[:MOST_FAILURES])
        raise Failure(f"HOOKWIRE_SEED={world.seed}: {len(world.failures)} failures, the first:\n{said}")
