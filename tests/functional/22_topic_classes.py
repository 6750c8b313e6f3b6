#!/usr/bin/python3
# What is kept of a tenant's events: by count, bytes and age, of each tenant and of each pattern by itself. A flood of one pattern costs
# another nothing, on whichever way one comes back; memory is bounded, and told by tenant.
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

OPEN = {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 10000000}}
BATCH = 1000  # events in an array
BODY_BYTES = 1 << 20  # of a request
NAMES_BYTES = 4 << 20  # of topics, those included of which nothing is left
KINDS = ("ws", "ws subscription", "sse", "poll", "history")


def config(topics=None, tenant=None, **retention):
    return {"journal": {"retention": retention}, "tenants": {"*": OPEN, **({"acme": {**OPEN, **tenant}} if tenant else {})},
            **({"topics": topics} if topics else {})}


def publish_many(broker, topics, numbers, fill=0, tenant="acme"):
    """Events of these numbers, in turn to these topics."""
    numbers, batch = list(numbers), BATCH if fill == 0 else BODY_BYTES // (2 * fill)
    with HttpConnection(broker.address, timeout=30) as connection:
        for first in range(0, len(numbers), batch):
            items = [{"topic": topics[n % len(topics)], "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n, "fill": "x" * fill}}}
                     for n in numbers[first:first + batch]]
            answer = connection.request("POST", "/publish", [("Authorization", "Bearer " + mint("b", tenant))], items)
            equal(answer.status, 200, "publish")


def get(broker, path, tenant="acme"):
    answer = http(broker.address, "GET", path, token=mint("u1", tenant))
    equal(answer.status, 200, path)
    return answer.json()


def head(broker, tenant="acme"):
    return get(broker, "/cursor", tenant)["cursor"]


def n_of(event):
    return event["data"]["payload"]["n"]


def pages(broker, path, cursor, tenant="acme"):
    """(numbers, whether any page told a gap) of what is read to its end from the cursor on."""
    numbers, gap = [], False
    while True:
        page = get(broker, path + (f"cursor={cursor}" if cursor else ""), tenant)
        numbers += [n_of(e) for e in page["events"]]
        gap |= page["gap"]
        if not page["events"]:
            return numbers, gap
        cursor = page["cursor"]


def kept(broker, topic, tenant="acme"):
    return pages(broker, f"/topics/{topic}/history?limit=1000&", None, tenant)[0]


def resumed(broker, kind, topic, cursor):
    """(numbers, whether there was a gap) of who comes back with the cursor in this way."""
    if kind in ("poll", "history"):
        return pages(broker, f"/poll?topics={topic}&wait=0&" if kind == "poll" else f"/topics/{topic}/history?limit=1000&", cursor)
    if kind == "sse":
        with SseClient(broker.address, topic, token=mint("u1"), last_id=cursor) as stream:
            got = [stream.recv(timeout=20)]
            while got[-1].name != "cursor":
                got.append(stream.recv(timeout=20))
            return [n_of(m.json()) for m in got if m.name == "message"], any(m.name == "gap" for m in got)
    query = {"topics": topic, "cursor": cursor} if kind == "ws" else None
    with WsClient(broker.address, token=mint("u1"), protocols=["hookwire.v1"], query=query) as client:
        client.recv_where({"type": "welcome"})
        client.send_json({"type": "subscribe", "topics": [{"topic": topic, "cursor": cursor}], "id": "end"} if kind != "ws" else {"type": "ping", "id": "end"})
        got = [client.recv_json(timeout=20)]
        while got[-1].get("id") != "end" or "event" in got[-1]:
            got.append(client.recv_json(timeout=20))
        return [n_of(m) for m in got if "event" in m], any(m.get("type") == "gap" for m in got)


def test_a_flood_of_cursors_is_no_gap_of_the_gift_lists_however_one_comes_back():
    lists, n_lists, n_flood = ["gift-list:1", "gift-list:2"], 300, 20000
    mine = list(range(0, n_lists, 2))
    cursors = [f"cursor:{n}" for n in range(n_flood)]  # more than are remembered by name once they have nothing left
    small = {"count": 1000, "bytes": 1 << 20}
    for topics, flood_is_kept in ((None, True), ({"cursor:*": {"history": "none"}}, False), ({"cursor:*": {"retention": {"count": 50}}}, True)):
        with Broker(config(topics, **small)) as broker:
            before = head(broker)
            for part in range(3):
                publish_many(broker, lists, range(part * 100, part * 100 + 100))
                publish_many(broker, cursors, range(part * n_flood, (part + 1) * n_flood))
            for kind in KINDS:
                numbers, gap = resumed(broker, kind, lists[0], before)
                if topics:
                    equal((numbers == mine, gap), (True, False), f"{kind}, {topics}: {len(numbers)} of {len(mine)}")
                    equal(resumed(broker, kind, "gift-list:9", before), ([], False), f"{kind}, {topics}: a list that had nothing")
                    numbers, gap = resumed(broker, kind, "gift-list:*", before)
                    equal((numbers == list(range(n_lists)), gap), (True, False), f"{kind}, {topics}: {len(numbers)} of all {n_lists}")
                else:  # the control: in one class the flood takes all of it
                    equal((numbers, gap), ([], True), f"{kind}, one class for all")
                equal(resumed(broker, kind, "cursor:7", before)[1], flood_is_kept, f"{kind}, {topics}: a gap of the flood itself")


def test_the_exact_name_has_a_class_before_its_pattern():
    topics = {"cursor:*": {"retention": {"count": 10}}, "cursor:vip": {"retention": {"count": 500}}}
    with Broker(config(topics, count=100)) as broker:
        publish_many(broker, ["cursor:vip"], range(400))
        publish_many(broker, ["cursor:1", "cursor:2"], range(20000))
        equal(kept(broker, "cursor:vip"), list(range(400)), "all that its own retention keeps")
        check(5 <= len(kept(broker, "cursor:1")) < 10, "of the pattern's ten, and fewer than twice as many, every second one")


def test_count_keeps_so_many_and_fewer_than_twice_as_many_of_each_tenant():
    with Broker(config(tenant={"journal": {"retention": {"count": 100}}}, count=1000)) as broker:
        for tenant in ("acme", "globex"):
            publish_many(broker, ["a:1"], range(5000), tenant=tenant)
        for tenant, count in (("acme", 100), ("globex", 1000)):
            numbers = kept(broker, "a:1", tenant)
            check(count <= len(numbers) < 2 * count, f"{tenant} keeps {len(numbers)}")
            equal(numbers, list(range(5000 - len(numbers), 5000)), f"{tenant}: the newest")


def test_bytes_bound_the_memory_of_each_tenant_and_pattern_and_it_is_told():
    big, small = 4 << 20, 1 << 20
    topics = {"cursor:*": {"retention": {"bytes": small}}}
    with Broker(config(topics, tenant={"journal": {"retention": {"bytes": small}}}, bytes=big)) as broker:
        def told(tenant, part):
            return broker.metric("hookwire_journal_bytes", tenant=tenant, part=part)

        for tenant in ("acme", "globex"):
            publish_many(broker, ["a:1"], range(8000), fill=1000, tenant=tenant)
            publish_many(broker, [f"cursor:{n}" for n in range(8000)], range(8000), fill=1000, tenant=tenant)
        for tenant, bound in (("acme", small), ("globex", big)):
            there = {pattern: len(kept(broker, pattern, tenant)) for pattern in ("a:*", "cursor:*")}
            wait_until(lambda: broker.metric("hookwire_journal_events", tenant=tenant) == sum(there.values()), what="all of it to be told")
            check(bound * 0.5 < there["a:*"] * 1000 < bound, f"{tenant} keeps {there['a:*']} in {bound} bytes")
            check(small * 0.5 < there["cursor:*"] * 1000 < small, f"{tenant} keeps {there['cursor:*']} of cursor:* in {small} bytes")
            memory = told(tenant, "events")
            check(sum(there.values()) * 1000 < memory <= bound + small, f"{tenant} has {memory} bytes of {bound + small}")
            check(0 < told(tenant, "topics") < NAMES_BYTES, f"{tenant} has {told(tenant, 'topics')} bytes of names")
        equal(broker.metric("hookwire_journal_bytes", tenant="nobody"), 0, "of who is not there")


def test_age_takes_what_is_old_of_each_tenant_and_pattern():
    topics = {"audit:*": {"retention": {"age_ms": 3600000}}}
    with Broker(config(topics, tenant={"journal": {"retention": {"age_ms": 3600000}}}, age_ms=300)) as broker:
        before = {tenant: head(broker, tenant) for tenant in ("acme", "globex")}
        for tenant in before:
            publish_many(broker, ["a:1", "audit:1"], range(20), tenant=tenant)
        wait_until(lambda: kept(broker, "a:1", "globex") == [], what="the old to go")
        equal(pages(broker, "/topics/a:1/history?", before["globex"], "globex"), ([], True), "which is a gap")
        equal(kept(broker, "audit:1", "globex"), list(range(1, 20, 2)), "not of the pattern that keeps longer")
        wait_until(lambda: broker.metric("hookwire_journal_events", tenant="globex") == 10, what="what is left to be told")
        equal(kept(broker, "a:1", "acme"), list(range(0, 20, 2)), "nor of the tenant that does")


def test_past_a_hundred_tenants_what_they_keep_is_told_together():
    n, labels = 105, 100
    with Broker(config()) as broker:
        for i in range(n):
            publish_many(broker, ["a:1"], range(i + 1), tenant=f"tenant-{i}")

        def told():
            return {i: broker.metric("hookwire_journal_events", tenant=f"tenant-{i}") for i in range(labels)}
        wait_until(lambda: broker.metric("hookwire_journal_events") == n * (n + 1) // 2, what="all of it")
        others = broker.metric("hookwire_journal_events", tenant="other")
        equal(sum(told().values()) + others, n * (n + 1) // 2, "each and the others")
        equal(len([value for value in told().values() if value]) + 5, n, "tenants with a label")
        check(others >= 5, f"{others} of the others")


main()
