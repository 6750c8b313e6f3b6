"""A broker with a durable journal is drained under load, and another goes on in its place: closes are spread, and nobody loses or repeats an event."""
import contextlib
import time

from .check import check, equal
from .database import Database
from .many import KINDS, Many, show, spread, tenths
from .run import need_files
from .wait import wait_until

PER_TOPIC = 10
N_PUBLISHERS = 20
SPARE_FILES = 200
V1_SHARE, PLAIN_SHARE, SSE_SHARE = 9, 9, 1  # of twenty; the rest polls


def _kind(n):
    n %= V1_SHARE + PLAIN_SHARE + SSE_SHARE + 1
    return KINDS[0 if n % 2 == 0 and n < 18 else 1 if n < 18 else 2 if n == 18 else 3]


def _config(address, drain_ms):
    limits = {"connections": 100000, "subscriptions": 100000, "publish_per_s": 1000000}
    hooks = [{"name": "open", "lua": "open.lua"}]
    return {"listen": [address], "workers": 2, "drain_ms": drain_ms, "log": {"level": "info"},
            "heartbeat": {"interval_ms": 60000, "timeout_ms": 240000}, "slow": {"deadline_ms": 240000},
            "tenants": {"*": {"hooks": hooks, "limits": limits}}}


def _connect(many, broker, n_clients):
    """All clients and, among them, the publishers; and an event for everybody, so that who knows cursors by events alone has one."""
    topics = [f"a:{n}" for n in range(n_clients // PER_TOPIC)]
    for n in range(n_clients):
        many.add(_kind(n), topics[n % len(topics)])
        if n % (n_clients // N_PUBLISHERS) == 0:
            many.add("publisher")
    many.run(many.all_open, 120, "all to be there")
    many.run(lambda: broker.metric("hookwire_subscriptions") >= n_clients, 60, "all subscriptions")
    many.publish_to_all()
    many.run(many.all_level, 60, "an event for everybody")


def _drain(many, broker, drain_ms, rate):
    """SIGTERM to the end of the process, publishing all the while; when it began."""
    many.publish_at(rate)
    before = many.n_events
    many.run(lambda: many.n_events > before, 30, "deliveries")
    began = time.monotonic()
    broker.sigterm()
    many.run(lambda: not broker.alive(), drain_ms / 1000 + 20, "the broker to end")
    print(f"the last close came {many.closes[-1][0] - began:.1f} s after the signal, the end of the process {time.monotonic() - began:.1f} s", flush=True)
    equal(broker.process.returncode, 0, "exit status")
    many.publish_at(0)
    return began


def _judge_closes(many, began, drain_ms):
    seconds = drain_ms / 1000
    by_kind = {kind: [when for when, client in many.closes if client.kind == kind] for kind in (*KINDS, "publisher")}
    for kind in KINDS if many.leave_share < 1 else ("plain", "sse", "poll"):
        check(by_kind[kind], f"no {kind} client was told to go")
    closes = tenths([when for when, _ in many.closes], began, seconds)
    show(f"closes by the broker, by tenths of drain_ms ({seconds:.0f} s)", closes)
    spread(closes, "closes")
    for kind in ("plain", "v1") if many.leave_share < 1 else ("plain",):
        spread(tenths(by_kind[kind], began, seconds), f"closes of {kind} clients")
    told = {client for client, _ in many.goaways}
    v1 = {client for client in many.clients if client.kind == "v1"}
    check(v1 <= told, f"{len(v1 - told)} of {len(v1)} v1 clients heard no goaway")
    for client in told:
        _, retry_s, jitter_s = client.goaway
        check(retry_s > 0 and jitter_s >= seconds / 2, f"its advice: {retry_s} s, jitter {jitter_s} s")
    advised = tenths([when for _, when in many.goaways], min(when for _, when in many.goaways), max(client.goaway[2] for client in told))
    show("when v1 clients were advised to come back, by tenths of the jitter", advised)
    spread(advised, "what was advised")


def _judge_returns(many, began, came_before):
    returns = [when for when, client in many.came[came_before:]]
    first, last = min(returns), max(returns)
    print(f"taken again from {first - began:.1f} s to {last - began:.1f} s after the signal", flush=True)
    show("by tenths of that", tenths(returns, first, last - first))


def drain_and_restart(n_clients, drain_ms, rate, leave_share=0.2):
    """The whole of it. leave_share: of the v1 clients, who leave at the goaway; the others wait to be closed."""
    need_files(n_clients + N_PUBLISHERS + SPARE_FILES)
    with Database() as db, contextlib.ExitStack() as stack:
        broker = stack.enter_context(db.broker(_config("127.0.0.1:0", drain_ms)))
        many = stack.enter_context(Many(broker.address))
        many.leave_share = leave_share
        _connect(many, broker, n_clients)
        began = _drain(many, broker, drain_ms, rate)
        broker.stop()
        n_acked, came_before = sum(len(ids) for ids in many.ids.values()), len(many.came)
        _judge_closes(many, began, drain_ms)
        check(n_acked > len(many.topics), "nothing was published meanwhile: the test is too small")
        print(f"{n_acked} events acknowledged by then, {many.n_events} delivered; ends {many.ends}", flush=True)
        with db.broker(_config(broker.address, drain_ms)) as second:
            many.publish_at(rate)
            many.run(many.all_open, 120, "all to be back")
            _judge_returns(many, began, came_before)
            many.publish_at(0)
            many.run(lambda: not many.n_flying(), 30, "the last acks")
            many.publish_to_all()
            many.run(many.all_level, 60, "all to be level")
            many.check_ledger()
            equal(second.metric("hookwire_gaps_total"), 0, "gaps")
            print(f"{sum(len(ids) for ids in many.ids.values())} events acknowledged, {many.n_events} delivered, each once and in order", flush=True)
            many.close()
            wait_until(lambda: second.metric("hookwire_sessions") < n_clients / 10, 60, "the sessions to end")
        db.check()
