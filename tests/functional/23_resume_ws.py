#!/usr/bin/python3
# Resuming with a cursor: nothing is lost and nothing repeated, what is gone is told, and history shows the past.
# ctest: timeout=120
import pathlib
import random
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

ALLOW = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "subscriptions": 100000}}}}


def connect(broker, user="u1", topics=None, cursor=None, tenant="acme", v1=True, **options):
    query = {k: v for k, v in (("topics", topics), ("cursor", cursor)) if v}
    c = WsClient(broker.address, token=mint(user, tenant), protocols=["hookwire.v1"] if v1 else None, query=query, **options)
    c.welcome = c.recv_where({"type": "welcome"}) if v1 else None
    return c


def publish(broker, topic, n, tenant="acme", **data):
    return broker.publish(topic, data={"entity_id": "e", "payload": {"n": n}, **data}, tenant=tenant).json().get("id")


def head(broker, tenant="acme"):
    return http(broker.address, "GET", "/cursor", token=mint("u1", tenant)).json()["cursor"]


def n_of(event):
    return event["data"]["payload"]["n"]


def collect(client, last, timeout=10):
    """Every message up to the event with that number."""
    got = []
    while not got or not isinstance(got[-1].get("data"), dict) or n_of(got[-1]) != last:
        got.append(client.recv_json(timeout=timeout))
    return got


def collect_reply(client):
    """Every message up to the reply."""
    got = [client.recv_json()]
    while got[-1].get("type") != "reply":
        got.append(client.recv_json())
    return got[:-1]


def test_the_cursor_of_the_query_recovers_before_the_first_frame_is_answered():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 0)
        cursor = head(broker)
        for n in range(1, 21):
            publish(broker, ("a:1", "b:1", "c:1")[n % 3], n)
        with connect(broker, topics="a:1,b:1", cursor=cursor) as c:
            c.send_json({"type": "ping", "id": "p"})
            got = [c.recv_json() for _ in range(14)]
            wanted = [n for n in range(1, 21) if n % 3 != 2]
            equal([n_of(m) for m in got[:-1]], wanted, "in the journal's order, both topics together")
            equal(got[-1], {"type": "pong", "id": "p"}, "and then the first frame is answered")
            publish(broker, "a:1", 21)
            equal(n_of(c.recv_event()), 21, "live behind it")
            equal(c.drain(0.05), [], "twice")


def test_a_subscription_recovers_before_its_reply_and_says_so():
    with Broker(ALLOW) as broker:
        first = head(broker)
        for n in range(1, 6):
            publish(broker, "a:1", n)
        later = head(broker)
        for n in range(6, 9):
            publish(broker, "b:1", n)
        with connect(broker) as c:
            c.send_json({"type": "subscribe", "id": 7, "topics": [{"topic": "a:1", "cursor": first}, "c:1",
                                                                  {"topic": "b:1", "cursor": later}]})
            got = [c.recv_json() for _ in range(9)]
            equal([n_of(m) for m in got[:8]], [1, 2, 3, 4, 5, 6, 7, 8], "what was missed")
            reply = got[8]
            equal((reply["type"], reply["id"]), ("reply", 7), "the reply is behind it")
            equal(reply["topics"]["a:1"], {"ok": True, "recovered": True, "cursor": head(broker)}, "a:1")
            equal(reply["topics"]["b:1"]["recovered"], True, "b:1")
            check("recovered" not in reply["topics"]["c:1"], "c:1 gave no cursor")


def test_each_topic_begins_at_its_own_cursor():
    with Broker(ALLOW) as broker:
        cursors = {}
        for n in range(1, 31):
            publish(broker, "a:1" if n % 2 else "b:1", n)
            cursors[n] = head(broker)
        with connect(broker) as c:
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "cursor": cursors[10]}, {"topic": "b:1", "cursor": cursors[21]}]})
            got = []
            while not got or got[-1].get("type") != "reply":
                got.append(c.recv_json())
            equal([n_of(m) for m in got[:-1]], [n for n in range(1, 31) if (n % 2 and n > 10) or (not n % 2 and n > 21)], "events")


def test_a_pattern_recovers_and_nothing_comes_twice_through_two_subscriptions():
    with Broker(merge(ALLOW, {}), files={"open.lua": "return policy { api = 1, authorize = { subscribe = function() return allow() end,"
                                                     " wildcard = function() return allow() end, publish = function() return allow() end } }"}) as broker:
        cursor = head(broker)
        for n in range(1, 6):
            publish(broker, f"a:{n % 2}", n)
        with connect(broker) as c:
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:*", "cursor": cursor}, {"topic": "a:1", "cursor": cursor}]})
            got = [c.recv_json() for _ in range(6)]
            equal([n_of(m) for m in got[:-1]], [1, 2, 3, 4, 5], "once each")
            middle = head(broker)
            publish(broker, "a:1", 6)
            publish(broker, "b:1", 7)
            c.send_json({"type": "subscribe", "id": 2, "topics": [{"topic": "a:9", "cursor": cursor}, {"topic": "b:1", "cursor": middle}]})
            got = [c.recv_json() for _ in range(3)]
            equal([n_of(m) for m in got if "data" in m], [6, 7], "and what a live one has is not recovered by another")


def test_a_topic_that_is_named_twice_recovers_once():
    with Broker(ALLOW) as broker:
        cursor = head(broker)
        publish(broker, "b:1", 0)
        for n in range(1, 5):
            publish(broker, "a:1", n)
        later = head(broker)
        publish(broker, "a:1", 5)
        with connect(broker) as c:
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "cursor": later}, {"topic": "a:1", "cursor": cursor}]})
            got = [c.recv_json() for _ in range(6)]
            equal([n_of(m) for m in got[:-1]], [1, 2, 3, 4, 5], "once each")
            equal((got[-1]["type"], got[-1]["ok"]), ("reply", True), "and then the reply")
        with connect(broker, topics="a:1,a:1", cursor=cursor) as c:
            equal([n_of(c.recv_event()) for _ in range(5)], [1, 2, 3, 4, 5], "once each, by the query too")


def test_what_came_by_a_pattern_is_not_recovered_again():
    with Broker(ALLOW) as broker:
        cursor = head(broker)
        for n in range(1, 4):
            publish(broker, "a:1", n)
        with connect(broker, topics="a:*") as c:
            c.send_json({"type": "ping", "id": "p"})
            equal(c.recv_json(), {"type": "pong", "id": "p"}, "it follows the pattern")
            for n in range(4, 7):
                publish(broker, "a:1", n)
            equal([n_of(c.recv_event()) for _ in range(3)], [4, 5, 6], "live")
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "cursor": cursor}]})
            got = collect_reply(c)
            equal([n_of(m) for m in got], [1, 2, 3], "only what was before the pattern")


def test_what_no_longer_is_there_is_a_gap_of_that_topic_alone():
    small = merge(ALLOW, {"journal": {"retention": {"count": 20}}})
    with Broker(small) as broker:
        publish(broker, "quiet:1", -1)
        cursor = head(broker)
        for n in range(100):
            publish(broker, "busy:1", n)
        with connect(broker) as c:
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": t, "cursor": cursor} for t in ("quiet:1", "busy:1", "none:1")]})
            skipped = []
            gap = c.recv_where({"type": "gap"}, skipped=skipped)
            equal(gap["topics"], ["busy:1"], "the gap")
            equal(skipped, [], "nothing before it")
            got = []
            while not got or got[-1].get("type") != "reply":
                got.append(c.recv_json())
            numbers = [n_of(m) for m in got[:-1]]
            equal(numbers, list(range(numbers[0], 100)), "what is left comes")
            results = got[-1]["topics"]
            equal([results[t]["recovered"] for t in ("quiet:1", "busy:1", "none:1")], [True, False, True], "recovered")
        with connect(broker, topics="busy:1", cursor=cursor, v1=False) as c:
            equal(c.recv_json()["type"], "gap", "a plain client that gave a cursor hears of it")


def test_a_cursor_of_elsewhere_is_a_gap_that_reveals_nothing():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 1)
        publish(broker, "a:1", 1, tenant="globex")
        own, other = head(broker), head(broker, "globex")
        epoch, seq = own.split("-")
        gaps = []
        for cursor in (other, f"{epoch}-{int(seq) + 1000}", f"zz9-{seq}", f"{epoch}-18446744073709551615"):
            with connect(broker) as c:
                c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "cursor": cursor}]})
                gaps.append(c.recv_json())
                reply = c.recv_json()
                equal(reply["topics"]["a:1"], {"ok": True, "recovered": False, "cursor": own}, cursor)
                publish(broker, "b:1", 2)
                own = head(broker)
        equal(gaps, [gaps[0]] * 4, "all alike")
        with connect(broker) as c:
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "cursor": "nonsense"}]})
            equal(c.recv_json()["topics"]["a:1"]["code"], "bad_request", "a malformed one")


POLICY = """return policy { api = 1, reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = { subscribe = function(s, topic) if topic.id ~= "secret" then return allow() end end, publish = function() return allow() end },
  filter = function(event, a) return a.claims.role ~= "guest" or event.data.payload.n % 2 == 0 end,
  redact = function(event, a) if a.claims.role == "child" then event.data.payload.price = nil end return event end }"""


def test_what_is_recovered_passes_the_policy_of_today():
    with Broker(ALLOW, files={"open.lua": POLICY}) as broker:
        cursor = head(broker)
        for n in range(1, 9):
            publish(broker, "a:1", n, payload={"n": n, "price": 5})
        for role, numbers, price in (("guest", [2, 4, 6, 8], True), ("child", list(range(1, 9)), False), ("adult", list(range(1, 9)), True)):
            c = WsClient(broker.address, token=mint("u1", role=role), protocols=["hookwire.v1"])
            c.recv_where({"type": "welcome"})
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "cursor": cursor}, {"topic": "a:secret", "cursor": cursor}]})
            got = []
            while not got or got[-1].get("type") != "reply":
                got.append(c.recv_json())
            equal([n_of(m) for m in got[:-1]], numbers, role)
            check(all(("price" in m["data"]["payload"]) == price for m in got[:-1]), f"{role}: redacted")
            equal((got[-1]["topics"]["a:1"]["recovered"], got[-1]["topics"]["a:secret"]["code"]), (True, "forbidden_topic"), role)
            c.send_json({"type": "history", "topic": "a:1", "id": 2})
            reply = c.recv_json()
            equal([n_of(m) for m in reply["events"]], numbers, f"{role}: history")
            c.send_json({"type": "history", "topic": "a:secret", "id": 3})
            equal((c.recv_json()["code"]), "forbidden_topic", "history of what it may not have")
            c.close()


def test_history_goes_page_by_page_and_ends_at_the_present():
    with Broker(ALLOW) as broker:
        for n in range(250):
            publish(broker, "a:1" if n % 5 else "b:1", n)
        with connect(broker) as c:
            c.send_json({"type": "history", "topic": "a:1", "id": 1})
            page = c.recv_json()
            wanted = [n for n in range(250) if n % 5]
            equal([n_of(e) for e in page["events"]], wanted[:100], "100 by default, the oldest first")
            seen = [n_of(e) for e in page["events"]]
            while page["events"]:
                c.send_json({"type": "history", "topic": "a:1", "id": 2, "cursor": page["cursor"], "limit": 33})
                page = c.recv_json()
                check(len(page["events"]) <= 33, "the limit")
                seen += [n_of(e) for e in page["events"]]
            equal(seen, wanted, "all pages")
            equal(page["cursor"], head(broker), "the last page's cursor is the present")


def test_while_others_publish_a_client_that_comes_and_goes_misses_nothing():
    """Random cuts against four workers: what all its connections saw, each with the last cursor, is everything once."""
    rng = random.Random(seed_of_run())
    total = 600
    with Broker(merge(ALLOW, {"workers": 4})) as broker:
        cursor = head(broker)
        publisher = in_background(lambda: [publish(broker, f"a:{n % 3}", n) for n in range(total)])
        seen = []
        while len(seen) < total:
            with connect(broker, topics="a:0,a:1,a:2", cursor=cursor) as c:
                for _ in range(rng.randrange(1, 60)):
                    if len(seen) == total:
                        break
                    event = c.recv_event(timeout=20)
                    seen.append(n_of(event))
                    cursor = event["id"]
                if rng.random() < 0.5:
                    c.abort()
        publisher()
        equal(seen == list(range(total)), True, f"everything, once, in order: {seen[:20]}…")


def test_a_long_recovery_is_bounded_and_disturbs_nobody():
    fill = "x" * 20000
    config = merge(ALLOW, {"slow": {"outbox_bytes": 65536}, "journal": {"retention": {"count": 100000, "bytes": 268435456}}})
    with Broker(config) as broker:
        cursor = head(broker)
        with HttpConnection(broker.address) as connection:
            for first in range(0, 1000, 40):
                items = [{"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n, "fill": fill}}} for n in range(first, first + 40)]
                equal(connection.request("POST", "/publish", [("Authorization", "Bearer " + mint("b"))], items).status, 200, "publish")
        before = broker.rss_bytes()
        slow = connect(broker, topics="a:1", cursor=cursor, receive_buffer=4096)
        with connect(broker, "u2", topics="b:1") as quick:
            for n in range(20):
                publish(broker, "b:1", n)
                equal(n_of(quick.recv_event()), n, "the other one")
        if not stretched():
            check(broker.rss_bytes() < before + (8 << 20), f"memory: {before} then {broker.rss_bytes()}")
        publish(broker, "a:1", 1000)
        equal([n_of(slow.recv_event(timeout=20)) for _ in range(1001)] == list(range(1001)), True, "all of it, in order, and live behind it")
        slow.close()


main()
