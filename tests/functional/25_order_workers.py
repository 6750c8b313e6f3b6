#!/usr/bin/python3
# Four workers, eight publishers at once, over HTTP and WebSocket: every subscriber of a tenant sees all events in one order.
import pathlib
import sys
import threading
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

EACH = 100
PUBLISHERS = 8
LIMITS = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 100000}}}}


def sequence(event_id):
    """The SEQ of an id EPOCH-SEQ, which these tests read though clients must not."""
    epoch, _, seq = event_id.rpartition("-")
    return epoch, int(seq)


def body(publisher, n, tenant):
    """The n-th event of a publisher; its topic changes from event to event."""
    return {"topic": f"t:{n % 3}", "event": "UPDATED", "data": {"entity_id": f"p{publisher}", "payload": {"n": n, "of": tenant}}}


def by_http(address, tenant, publisher, ids):
    with HttpConnection(address) as connection:
        bearer = [("Authorization", "Bearer " + mint(f"p{publisher}", tenant))]
        for n in range(0, EACH, 5):
            connection.send(b"".join(connection.format("POST", "/publish", bearer, body(publisher, n + k, tenant)) for k in range(5)))
            for k in range(5):
                answer = connection.read_response("POST")
                equal(answer.status, 200, "publish")
                ids[(publisher, n + k)] = answer.json()["id"]


def by_ws(address, tenant, publisher, ids):
    with WsClient(address, token=mint(f"p{publisher}", tenant)) as client:
        for n in range(EACH):
            ack = client.request({"type": "publish", **body(publisher, n, tenant)})
            equal(ack["type"], "ack", f"answer {ack}")
            ids[(publisher, n)] = ack["event_id"]


def run_all(jobs):
    """Runs (function, arguments…) side by side; fails when one does."""
    failures = []

    def guarded(job):
        try:
            job[0](*job[1:])
        except BaseException as error:  # a thread's failure is the test's
            failures.append(error)
    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def collect(client, count, into):
    for _ in range(count):
        event = client.recv_event(timeout=20)
        into.append((event["id"], event["data"]["entity_id"], event["data"]["payload"]["n"], event["data"]["payload"]["of"]))


def check_order(tenant, seen, ids):
    """Every list of seen is the whole and the same, in strictly rising order, and each publisher's own order is kept."""
    first = seen[0]
    for other in seen[1:]:
        equal(other, first, f"{tenant}: two subscribers' orders are the same")
    numbers = [sequence(i) for i, *_ in first]
    equal(len({epoch for epoch, _ in numbers}), 1, "epochs")
    check(all(a[1] < b[1] for a, b in zip(numbers, numbers[1:])), f"{tenant}: ids rise strictly")
    equal({of for *_, of in first}, {tenant}, "whose events")
    equal({(f"p{p}", n): i for (p, n), i in ids.items()}, {(p, n): i for i, p, n, _ in first}, "none missing, and the ids that were acked")
    for publisher in {p for _, p, _, _ in first}:
        equal([n for _, p, n, _ in first if p == publisher], list(range(EACH)), f"{tenant}: the order of {publisher}")


def test_every_subscriber_sees_one_order():
    with Broker({"workers": 4, **LIMITS}) as broker:
        tenants = {"acme": 8, "beta": 2}
        clients = {t: [WsClient(broker.address, token=mint(f"s{i}", t)) for i in range(6)] for t in tenants}
        seen = {t: [[] for _ in range(6)] for t in tenants}
        ids = {t: {} for t in tenants}
        jobs = []
        for tenant, publishers in tenants.items():
            for client in clients[tenant]:
                client.subscribe("t:0", "t:1", "t:2", "t:*")
            jobs += [(collect, c, publishers * EACH, s) for c, s in zip(clients[tenant], seen[tenant])]
            jobs += [(by_http if p % 2 else by_ws, broker.address, tenant, p, ids[tenant]) for p in range(publishers)]
        run_all(jobs)
        for tenant in tenants:
            check_order(tenant, seen[tenant], ids[tenant])
            for client in clients[tenant]:
                equal(client.drain(0.02), [], "a second delivery")
                client.close()


def test_a_subscriber_that_joins_meanwhile_misses_nothing_from_its_cursor_on():
    # who has joined reads nothing, and so answers no ping, until all is published
    patient = {"heartbeat": {"timeout_ms": int(scaled(60000))}}
    with Broker({"workers": 4, **LIMITS, **patient}) as broker:
        ids, joined = {}, []

        def join():
            for i in range(8):
                client = WsClient(broker.address, token=mint(f"s{i}"), protocols=["hookwire.v1"])
                client.recv_where({"type": "welcome"})
                before = []
                reply = client.request({"type": "subscribe", "topics": ["t:0", "t:1", "t:2"]}, skipped=before)
                cursors = {sequence(t["cursor"])[1] for t in reply["topics"].values()}
                joined.append((client, cursors, before))
        run_all([(by_http if p % 2 else by_ws, broker.address, "acme", p, ids) for p in range(4)] + [(join,)])
        everything = sorted((sequence(i)[1], p, n) for (p, n), i in ids.items())
        for client, cursors, before in joined:
            equal(len(cursors), 1, "one reply, one point of joining")
            cursor = cursors.pop()
            equal([m for m in before if "type" not in m], [], "live events before the reply")
            got = [(sequence(e["id"])[1], int(e["data"]["entity_id"][1:]), e["data"]["payload"]["n"])
                   for e in client.drain(0.3) if "type" not in e]
            equal(got, [e for e in everything if e[0] > cursor], "what a client that joined at its cursor gets")
            client.close()


main()
