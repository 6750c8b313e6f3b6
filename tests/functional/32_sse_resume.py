#!/usr/bin/python3
# Server-Sent Events resume: nothing is lost and nothing repeated wherever the connection is cut, on whichever transport it goes on;
# what is gone is told; a slow client is caught up.
# ctest: timeout=240
import pathlib
import random
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

ALLOW = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "subscriptions": 100000}}}}


def open_stream(broker, topics="a:1", user="u1", tenant="acme", **how):
    return SseClient(broker.address, topics, token=mint(user, tenant), **how)


def publish(broker, topic, n, tenant="acme", **data):
    return broker.publish(topic, data={"entity_id": "e", "payload": {"n": n}, **data}, tenant=tenant).json().get("id")


def flood(broker, topic, numbers, fill=0):
    """Publishes events of these numbers, many in a body."""
    numbers = list(numbers)
    with HttpConnection(broker.address) as connection:
        for first in range(0, len(numbers), 40):
            items = [{"topic": topic, "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n, "fill": "x" * fill}}}
                     for n in numbers[first:first + 40]]
            equal(connection.request("POST", "/publish", [("Authorization", "Bearer " + mint("b"))], items).status, 200, "publish")


def head(broker, tenant="acme"):
    return http(broker.address, "GET", "/cursor", token=mint("u1", tenant)).json()["cursor"]


def n_of(event):
    return event["data"]["payload"]["n"]


def numbers(client, count, timeout=20):
    return [n_of(client.recv_event(timeout=timeout)) for _ in range(count)]


def test_the_header_or_the_query_and_the_header_wins():
    with Broker(ALLOW) as broker:
        first = head(broker)
        ids = {n: publish(broker, "a:1", n) for n in range(1, 11)}
        middle = ids[5]
        for how, wanted in (({"last_id": first}, range(1, 11)), ({"cursor": middle}, range(6, 11)), ({"cursor": first, "last_id": middle}, range(6, 11)),
                            ({"cursor": middle, "last_id": first}, range(1, 11)), ({"cursor": first, "last_id": ""}, range(1, 11)), ({}, ())):
            with open_stream(broker, **how) as c:
                equal(numbers(c, len(wanted)), list(wanted), f"{how}: what was missed")
                message = c.recv()
                equal((message.name, message.id), ("cursor", head(broker)), f"{how}: then it is live")


def test_topics_recover_together_in_the_journals_order():
    with Broker(ALLOW) as broker:
        cursor = head(broker)
        for n in range(60):
            publish(broker, f"{'abc'[n % 3]}:1", n)
        with open_stream(broker, "a:1,b:1", last_id=cursor) as c:
            equal(numbers(c, 40), [n for n in range(60) if n % 3 < 2], "both topics")
            publish(broker, "b:1", 100)
            equal(numbers(c, 1), [100], "and live behind it")


def test_one_cursor_is_good_on_both_transports():
    with Broker(merge(ALLOW, {"workers": 2})) as broker:
        cursor, seen = head(broker), []
        for n in range(60):
            publish(broker, f"{'ab'[n % 2]}:1", n)
            if n % 6 != 5:
                continue
            if n % 12 == 5:
                with open_stream(broker, "a:1,b:1", last_id=cursor) as c:
                    seen += numbers(c, 6)
                    cursor = c.last_id
            else:
                with WsClient(broker.address, token=mint("u1"), query={"topics": "a:1,b:1", "cursor": cursor}) as c:
                    for _ in range(6):
                        event = c.recv_event()
                        seen.append(n_of(event))
                        cursor = event["id"]
        equal(seen, list(range(60)), "what both saw")


def test_a_cursor_of_elsewhere_is_a_gap_and_the_stream_goes_on():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 1)
        publish(broker, "a:1", 1, tenant="globex")
        epoch, seq = head(broker).split("-")
        for cursor in (head(broker, "globex"), f"{epoch}-{int(seq) + 1000}", f"zz9-{seq}", f"{epoch}-18446744073709551615"):
            with open_stream(broker, "a:1,b:1", last_id=cursor) as c:
                message = c.recv()
                equal((message.name, message.json()["type"], message.json()["topics"]), ("gap", "gap", ["a:1", "b:1"]), cursor)
                equal(c.recv().id, head(broker), "where it begins instead")
                publish(broker, "b:1", 7)
                equal(numbers(c, 1), [7], "live")


def test_what_no_longer_is_there_is_a_gap_of_that_topic_alone():
    with Broker(merge(ALLOW, {"journal": {"retention": {"count": 20}}})) as broker:
        publish(broker, "quiet:1", -1)
        cursor = head(broker)
        flood(broker, "busy:1", range(100))
        with open_stream(broker, "quiet:1,busy:1,none:1", last_id=cursor) as c:
            message = c.recv()
            equal((message.name, message.json()["topics"]), ("gap", ["busy:1"]), "the gap")
            got = []
            while not got or got[-1] != 99:
                got.append(n_of(c.recv_event()))
            equal(got, list(range(got[0], 100)), "what is left comes")
        with open_stream(broker, "quiet:1,none:1", last_id=cursor) as c:
            equal(c.recv().name, "cursor", "a quiet topic has none")


POLICY = """return policy { api = 1, reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = { subscribe = function() return allow() end, publish = function() return allow() end },
  filter = function(event, a) return a.claims.role ~= "guest" or event.data.payload.n % 2 == 0 end,
  redact = function(event, a) if a.claims.role == "child" then event.data.payload.price = nil end return event end }"""


def test_filter_and_redact_live_and_recovered():
    with Broker(ALLOW, files={"open.lua": POLICY}) as broker:
        cursor = head(broker)
        roles = (("guest", [2, 4, 6, 8], True), ("child", list(range(1, 9)), False), ("adult", list(range(1, 9)), True))
        live = {role: SseClient(broker.address, "a:1", token=mint("u1", role=role)).begin() for role, _, _ in roles}
        sent = [publish(broker, "a:1", n, payload={"n": n, "price": 5}) for n in range(1, 9)]
        for role, wanted, price in roles:
            for c in (live[role], SseClient(broker.address, "a:1", token=mint("u1", role=role), last_id=cursor)):
                messages = [c.recv("message") for _ in wanted]
                equal([n_of(m.json()) for m in messages], wanted, role)
                equal([m.id for m in messages], [sent[n - 1] for n in wanted], f"{role}: ids")
                check(all(("price" in m.json()["data"]["payload"]) == price for m in messages), f"{role}: redacted")
                c.close()


def cut_at(broker, n_bytes, topics, last_id):
    """Reads so many bytes of the stream and goes by RST; returns what came whole, and the last id of it."""
    c = open_stream(broker, topics, last_id=last_id)
    c.parser.feed(c.connection.read_exactly(n_bytes))
    c.abort()
    return [n_of(m.json()) for m in c.parser.messages if m.name == "message"], c.last_id


def test_cut_at_every_byte_of_an_event_nothing_is_lost_or_repeated():
    with Broker(ALLOW) as broker:
        cursor = head(broker)
        for n in range(3):
            publish(broker, "a:1", n)
        last = 0
        for cut in range(1000):
            seen, last_id = cut_at(broker, cut, "a:1", cursor)
            last = max(last, len(seen))
            if len(seen) == 3:
                break
            with open_stream(broker, last_id=last_id or cursor) as c:
                equal(seen + numbers(c, 3 - len(seen)), [0, 1, 2], f"cut behind {cut} bytes")
        equal(last, 3, "the cuts reach behind the last event")


def test_while_others_publish_a_client_cut_at_random_bytes_misses_nothing():
    rng = random.Random(seed_of_run())
    total = 600
    with Broker(merge(ALLOW, {"workers": 4})) as broker:
        cursor = head(broker)
        publisher = in_background(lambda: [publish(broker, f"a:{n % 3}", n) for n in range(total)])
        seen = []
        while len(seen) < total:
            if total - len(seen) > 60:  # so many bytes come for sure: an event has more than 200
                got, cursor = cut_at(broker, rng.randrange(1, rng.choice((400, 200 * (total - len(seen))))), "a:0,a:1,a:2", cursor)
            else:
                with open_stream(broker, "a:0,a:1,a:2", last_id=cursor) as c:
                    got = numbers(c, total - len(seen))
            seen += got
        publisher()
        equal(seen == list(range(total)), True, f"everything, once, in order: {seen[:20]}…")


def test_a_client_that_did_not_see_an_event_yet_resumes_where_it_began():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 0)
        with open_stream(broker) as c:
            last = c.begin().last_id
        publish(broker, "a:1", 1)
        with open_stream(broker, last_id=last) as c:
            equal(numbers(c, 1), [1], "what came while it was away")


def test_a_slow_client_costs_bounded_memory_and_is_caught_up():
    config = merge(ALLOW, {"slow": {"outbox_bytes": 65536, "deadline_ms": 60000}, "journal": {"retention": {"count": 100000, "bytes": 268435456}}})
    asan = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:quarantine_size_mb=1"}
    with Broker(config, env=asan) as broker:
        slow = [open_stream(broker, receive_buffer=4096).begin() for _ in range(10)]
        quick = open_stream(broker, user="u2").begin()
        flood(broker, "a:1", range(500), 8000)
        equal(numbers(quick, 500) == list(range(500)), True, "the other one")
        before = broker.rss_bytes()
        flood(broker, "b:1", range(500), 8000)
        grown_by_journal = broker.rss_bytes() - before
        before = broker.rss_bytes()
        flood(broker, "a:1", range(500, 1000), 8000)
        grown = broker.rss_bytes() - before - grown_by_journal
        equal(numbers(quick, 500) == list(range(500, 1000)), True, "the other one")
        if not stretched():
            check(grown < 8 << 20, f"4 MB published to 10 slow clients: {grown >> 10} KiB more than without them")
        for c in slow:
            equal(numbers(c, 1000, 30) == list(range(1000)), True, "all of it, in order")
        publish(broker, "a:1", 1000)
        for c in slow:
            equal(numbers(c, 1), [1000], "and live")
            c.close()
        quick.close()
        check(broker.metric("hookwire_slow_sessions_total") > 0, "somebody fell behind")


def test_a_long_recovery_of_a_client_that_does_not_read_is_bounded():
    config = merge(ALLOW, {"slow": {"outbox_bytes": 65536}, "journal": {"retention": {"count": 100000, "bytes": 268435456}}})
    with Broker(config) as broker:
        cursor = head(broker)
        flood(broker, "a:1", range(1000), 20000)
        before = broker.rss_bytes()
        slow = [open_stream(broker, last_id=cursor, receive_buffer=4096) for _ in range(5)]
        with open_stream(broker, "b:1", user="u2") as quick:
            quick.begin()
            for n in range(20):
                publish(broker, "b:1", n)
                equal(numbers(quick, 1), [n], "the other one")
        if not stretched():
            grown = broker.rss_bytes() - before
            check(grown < 8 << 20, f"20 MB for 5 clients that do not read: {grown >> 20} MiB")
        publish(broker, "a:1", 1000)
        for c in slow:
            got = []
            while len(got) < 1001:
                message = c.recv(timeout=20)
                if message.name == "message":
                    got.append(n_of(message.json()))
            equal(got == list(range(1001)), True, "all of it, in order, and live behind it")
            c.close()


def test_past_the_deadline_it_ends_and_resumes():
    config = merge(ALLOW, {"slow": {"outbox_bytes": 16384, "deadline_ms": 300}})
    with Broker(config) as broker:
        slow = open_stream(broker, receive_buffer=4096).begin()
        flood(broker, "a:1", range(1500), 8000)
        wait_until(lambda: broker.metric("hookwire_sessions") == 0, what="the session to be closed")
        seen, last = [], None
        try:
            while True:
                message = slow.recv("message", timeout=5)
                seen.append(n_of(message.json()))
                last = message.id
        except (EOFError, TimeoutError):
            pass
        check(0 < len(seen) < 1500, f"{len(seen)} came")
        while len(seen) < 1500:  # a busy machine may be too slow again
            with open_stream(broker, last_id=last) as c:
                while len(seen) < 1500 and (message := c.recv(timeout=20)).name != "closed":
                    if message.name == "message":
                        seen.append(n_of(message.json()))
                        last = message.id
        check(seen == list(range(1500)), "the rest by resuming")


def test_many_streams_on_four_workers_see_one_order():
    with Broker(merge(ALLOW, {"workers": 4})) as broker:
        clients = [open_stream(broker, "a:1,b:1", user=f"u{i}").begin() for i in range(40)]
        writers = [in_background(flood, broker, topic, range(start, start + 200)) for topic, start in (("a:1", 0), ("b:1", 1000))]
        for w in writers:
            w()
        orders = [[(m.id, n_of(m.json())) for m in (c.recv("message") for _ in range(400))] for c in clients]
        equal(all(order == orders[0] for order in orders), True, "one order for all")
        equal(sorted(n for _, n in orders[0]), [*range(200), *range(1000, 1200)], "everything once")
        for c in clients:
            c.close()


main()
