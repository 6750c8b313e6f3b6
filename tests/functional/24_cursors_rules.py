#!/usr/bin/python3
# The rules of cursors, each by every way there is to come back: over WebSocket as a plain client and one of hookwire.v1, by the query
# and by subscription, over Server-Sent Events, by polls and by history.
# ctest: timeout=120
import pathlib
import sys
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import resume
from hwtest.database import number_of, v1_client

OPEN = {"workers": 2, "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "subscriptions": 100000}}},
        "topics": {"cursor:*": {"history": "none"}}}


def head(broker, tenant="acme"):
    return http(broker.address, "GET", "/cursor", token=mint("u1", tenant)).json()["cursor"]


def publish(broker, topic, n=0, tenant="acme", **data):
    r = broker.publish(topic, data={"entity_id": "e", "payload": {"n": n}, **data}, tenant=tenant)
    equal(r.status, 200, "publish")
    return r.json().get("id")


def n_of(event):
    return event["data"]["payload"]["n"]


def ids(got):
    return [e["id"] for e in got.events]


# ---- "No cursor means: from now. … are valid before any event has come."

def cursors_before_any_event(broker, token):
    """Each cursor that the broker gives out, by what gave it."""
    given = {"GET /cursor": http(broker.address, "GET", "/cursor", token=token).json()["cursor"]}
    with v1_client(broker) as c:
        given["welcome"] = c.welcome["cursor"]
        given["subscribe"] = c.subscribe("a:1")["topics"]["a:1"]["cursor"]
        given["unsubscribe"] = c.request({"type": "unsubscribe", "topics": ["a:1"]})["topics"]["a:1"]["cursor"]
        given["history"] = c.request({"type": "history", "topic": "a:1"})["cursor"]
    for way in (resume.plain_subscribe, resume.sse_query, resume.poll, resume.history_http):
        given[way.__name__] = way(broker.address, token, ["a:1"]).cursor
    return given


def test_without_a_cursor_it_begins_now_and_every_cursor_is_valid_before_any_event():
    with Broker(OPEN) as broker:
        token = mint("u1")
        given = cursors_before_any_event(broker, token)
        first = publish(broker, "a:1", 1)
        for way in resume.LIVE_WAYS:
            got = way(broker.address, token, ["a:1"])
            equal((ids(got), got.gap), ([], set()), f"{way.__name__} without a cursor")
        for way in (resume.history_http, resume.history_ws):
            equal(ids(way(broker.address, token, ["a:1"])), [first], f"{way.__name__} without a cursor: from the oldest")
        for what, cursor in given.items():
            for way in resume.WAYS:
                got = way(broker.address, token, ["a:1"], cursor)
                equal((ids(got), got.gap), ([first], set()), f"{way.__name__} from the cursor of {what}")


# ---- "A malformed cursor is bad_request (HTTP 400, close 4400)."

MALFORMED = ("nonsense", "-", "abc-", "-1", "abc-x", "ABC-1", "abc-01", "0abc-1", "abc--1", "abc-1-1", " abc-1", "abc-1 ", "abc-+1", "abc_1",
             "abc-18446744073709551616", "zzzzzzzzzzzzzzzz-1", "abc-1\u0661", "abc-1e3", "\0", "a" * 300)


def test_a_malformed_cursor_is_a_bad_request():
    with Broker(OPEN) as broker:
        token = mint("u1")
        with v1_client(broker) as v1:
            for cursor in MALFORMED:
                what = repr(cursor[:30])
                result = v1.request({"type": "subscribe", "topics": [{"topic": "a:1", "cursor": cursor}, "b:1"]})["topics"]
                equal((result["a:1"], result["b:1"]["ok"]), ({"ok": False, "code": "bad_request"}, True), f"a subscription from {what}")
                answer = v1.request({"type": "history", "topic": "a:1", "cursor": cursor})
                equal((answer["type"], answer["code"]), ("error", "bad_request"), f"history from {what}")
                query = urllib.parse.urlencode({"cursor": cursor})
                for path in (f"/sse?topics=a:1&{query}", f"/poll?topics=a:1&wait=0&{query}", f"/topics/a:1/history?{query}"):
                    r = http(broker.address, "GET", path, token=token)
                    equal((r.status, r.json()["code"]), (400, "bad_request"), path[:80])
                asked = {"topics": "a:1", "cursor": cursor}
                for given in (token, None):
                    c = WsClient(broker.address, token=given, protocols=["hookwire.v1"], query=asked)
                    c.expect_close(4400)
                    c.stream.close()
                    with raises(Refused, "an upgrade") as refused:  # a plain client would not see the code
                        WsClient(broker.address, token=given, query=asked)
                    equal(refused[0].response.status, 400, "the upgrade of a plain client")
            for cursor in (5, {}, [], True):
                for message in ({"type": "subscribe", "topics": [{"topic": "a:1", "cursor": cursor}]}, {"type": "history", "topic": "a:1", "cursor": cursor}):
                    equal(v1.request(message).get("code"), "bad_request", f"no string: {message}")
            for cursor in [c for c in MALFORMED if c.isascii() and c.isprintable() and c.strip() == c]:
                r = http(broker.address, "GET", "/sse?topics=a:1", token=token, headers=[("Last-Event-ID", cursor)])
                equal((r.status, r.json()["code"]), (400, "bad_request"), f"Last-Event-ID {cursor[:30]}")


# ---- "A cursor of another tenant, another epoch or the future is a gap: it reveals nothing."

def test_a_cursor_of_elsewhere_is_a_gap_and_all_are_alike():
    with Broker(OPEN) as broker:
        token = mint("u1")
        for n in range(3):
            publish(broker, "a:1", n)
        for n in range(7):
            publish(broker, "a:1", n, tenant="globex")
        own, other = head(broker), head(broker, "globex")
        epoch, foreign_epoch = own.split("-")[0], other.split("-")[0]
        elsewhere = {"another tenant's head": other, "its first": f"{foreign_epoch}-1", "its future": f"{foreign_epoch}-999",
                     "no tenant's": "zz9-1", "zero of no tenant": "zz9-0", "the next": f"{epoch}-{number_of(own) + 1}",
                     "far ahead": f"{epoch}-{number_of(own) + 100000}", "the largest": f"{epoch}-18446744073709551615"}
        for way in resume.WAYS:
            for what, cursor in elsewhere.items():
                got = way(broker.address, token, ["a:1"], cursor)
                equal(got.gap, {"a:1"}, f"{way.__name__}, {what}: a gap")
                if way not in (resume.history_http, resume.history_ws):
                    equal(ids(got), [], f"{way.__name__}, {what}: and nothing more")
            got = way(broker.address, token, ["a:1"], own)
            equal((ids(got), got.gap), ([], set()), f"{way.__name__}: its own head is none")
        # beside one of ours for the same topic: neither hides the other's word
        for what, cursor in elsewhere.items():
            for pair in ((cursor, f"{epoch}-1"), (f"{epoch}-1", cursor)):
                with v1_client(broker) as c:
                    answer = c.request({"type": "subscribe", "topics": [{"topic": "a:1", "cursor": one} for one in pair]})
                    equal(answer["topics"]["a:1"].get("recovered"), False, f"{what} in {pair}")
        # to the letter, and where it goes on
        frames = set()
        for cursor in elsewhere.values():
            with v1_client(broker) as c:
                c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "cursor": cursor}]})
                frames.add((c.recv(), c.recv()))
        equal(len(frames), 1, "what they are told")
        later = publish(broker, "a:1", 3)
        for way in (resume.v1_subscribe, resume.sse_query, resume.poll, resume.history_http, resume.history_ws):
            at = way(broker.address, token, ["a:1"], other).cursor
            equal(at, later, f"{way.__name__}: the cursor to go on from")


def test_another_epoch_after_a_restart_without_a_store():
    with Broker(OPEN) as broker:
        for n in range(5):
            publish(broker, "a:1", n)
        before = head(broker)
    with Broker(OPEN) as broker:
        for n in range(10):  # the same numbers are given again
            publish(broker, "a:1", n)
        check(head(broker).split("-")[0] != before.split("-")[0], "the epoch is another")
        for way in resume.WAYS:
            equal(way(broker.address, mint("u1"), ["a:1"], before).gap, {"a:1"}, way.__name__)


# ---- "A cursor in the query applies to the topics of that query: they recover together, in journal order, before the session's first
# frame is read."

SLOW_HOOK = """return policy { api = 1,
  authorize = { subscribe = function(s, topic, ctx) if topic.id == "slow" then ctx.sleep(200) end return allow() end,
    wildcard = function() return allow() end, publish = function() return allow() end } }"""


def test_topics_of_a_query_recover_together_before_the_first_frame_is_read():
    with Broker(OPEN, files={"open.lua": SLOW_HOOK}) as broker:
        cursor = head(broker)
        published = [publish(broker, f"{'abc'[n % 3]}:{'slow' if n % 3 == 1 else 1}", n) for n in range(30)]
        wanted = [i for n, i in enumerate(published) if n % 3 < 2]
        query = {"topics": "a:1,b:slow", "cursor": cursor}
        for v1 in (True, False):
            for token_in_frame in (True, False):
                c = WsClient(broker.address, token=None if token_in_frame else mint("u1"), protocols=["hookwire.v1"] if v1 else None, query=query)
                if token_in_frame:
                    c.send_json({"type": "auth", "token": mint("u1")})
                c.send_json({"type": "subscribe", "topics": ["c:1"], "id": "s"})  # the first frame
                came = []
                c.recv_where({"id": "s"}, skipped=came)
                events = [m["id"] for m in came if "event" in m]
                equal(events, wanted, f"v1 {v1}, token in the first frame {token_in_frame}: all, in order, before the answer")
                c.close()


# ---- "Recovered events of a subscription come before its reply, live ones of it wait until then. …"

def test_a_subscription_has_an_event_once_whatever_overlaps():
    with Broker(OPEN) as broker:
        cursor = head(broker)
        first = [publish(broker, f"a:{1 + n % 2}", n) for n in range(6)]

        def subscribe(topic, cursor):
            came = []
            c.request({"type": "subscribe", "topics": [{"topic": topic, "cursor": cursor}]}, skipped=came)
            return [m["id"] for m in came]
        with v1_client(broker) as c:
            equal(subscribe("a:1", cursor), first[::2], "what a:1 has missed")
            equal(subscribe("a:*", cursor), first[1::2], "a pattern brings the others, and not what was recovered before")
            live = [publish(broker, f"a:{1 + n % 2}", n) for n in range(6, 9)]
            equal([c.recv_event()["id"] for _ in live], live, "live once")
            equal(subscribe("a:2", cursor), [], "and a topic of the pattern brings nothing")
            equal(subscribe("a:3", first[2]), [], "nor one that is empty")
        with v1_client(broker) as c:
            equal(subscribe("a:1", first[3]), [first[4], live[0], live[2]], "from the middle")
            equal(subscribe("a:*", cursor), first[:4] + [first[5], live[1]], "only what was before that, and the others")


def test_the_cursor_of_a_reply_is_not_ahead_of_what_came():
    with Broker(OPEN) as broker, v1_client(broker) as c:
        for n in range(20):
            c.subscribe("a:1")
            event = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}}
            # worked off at once: the event is in the journal, and this session has not been given it
            c.send_json([{"type": "publish", "id": "p", **event}, {"type": "unsubscribe", "topics": ["a:1"], "id": "u"}])
            came = []
            reply = c.recv_where({"id": "u"}, skipped=came)
            published = next(m["event_id"] for m in came if m.get("type") == "ack")
            got = [m["id"] for m in came if "event" in m]
            place = number_of(reply["topics"]["a:1"]["cursor"])
            equal(place >= number_of(published), published in got, f"{published} came, and the cursor {place} is behind it")


# ---- "… and last id I saw is a safe cursor": 24_promises_live, 24_cursors_recovery.  gap if and only if: 24_cursors_gap_model.
# ---- "Idle sessions are moved on …"

def test_an_idle_session_is_moved_on_and_never_past_what_it_has_to_get():
    with Broker(merge(OPEN, {"heartbeat": {"interval_ms": 100, "timeout_ms": int(scaled(60000))}})) as broker:
        token = mint("u1")
        with v1_client(broker) as v1, SseClient(broker.address, "a:1", token=token).begin() as sse, \
                WsClient(broker.address, token=token, query={"topics": "a:1"}) as plain:
            v1.subscribe("a:1")
            polled = http(broker.address, "GET", "/poll?topics=a:1&wait=0", token=token).json()["cursor"]
            quiet = publish(broker, "b:1")
            equal(v1.recv_where({"type": "cursor"})["cursor"], quiet, "hookwire.v1")
            sse.read_until(lambda p: p.last_id == quiet, what="a bare id")
            equal(http(broker.address, "GET", f"/poll?topics=a:1&wait=0&cursor={polled}", token=token).json()["cursor"], quiet, "a poll")
            # each place that is told is good: nothing before it is missing
            for n in range(30):
                wanted = publish(broker, "a:1", n)
                passed = publish(broker, "b:1")
                seen = []
                v1.recv_where({"type": "cursor", "cursor": passed}, skipped=seen)
                equal([m["id"] for m in seen if "event" in m], [wanted], "an event before the place that is behind it")
                check(all(number_of(m["cursor"]) < number_of(wanted) for m in seen[:1] if m.get("type") == "cursor"), f"in order: {seen}")
            equal([n_of(plain.recv_json()) for _ in range(30)], list(range(30)), "a plain client hears of events alone")


# ---- "Replay passes through authorize, filter and redact as they stand today. Events that the session may not see are skipped, and
# are no gap."

POLICY = """return policy { api = 1, reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = { subscribe = function(s, topic) %s end, publish = function() return allow() end },
  filter = function(event, a) return %s end,
  redact = function(event, a) %s return event end }"""
BEFORE = POLICY % ("return allow()", "true", "")
TODAY = POLICY % ('if topic.name == "b:1" then return deny("forbidden_topic") end return allow()', "event.data.payload.n % 2 == 0",
                  "event.data.payload.price = nil")
NOTHING = POLICY % ("return allow()", "false", "")


def reload_policy(broker, text):
    since = broker.log_mark()
    broker.write_file("open.lua", text)
    broker.sighup()
    broker.wait_log("reloaded", since=since)


def test_replay_passes_through_the_policy_of_today():
    with Broker(OPEN, files={"open.lua": BEFORE}) as broker:
        token = mint("u1", role="child")
        cursor = head(broker)
        published = [publish(broker, "a:1", n, payload={"n": n, "price": 5}) for n in range(10)]
        publish(broker, "b:1", 10)
        for way in resume.WAYS:
            got = way(broker.address, token, ["a:1"], cursor)
            equal(ids(got), published, f"{way.__name__} before")
            check(all("price" in e["data"]["payload"] for e in got.events), f"{way.__name__}: whole")
        reload_policy(broker, TODAY)
        for way in resume.WAYS:
            got = way(broker.address, token, ["a:1"], cursor)
            equal((ids(got), got.gap), (published[::2], set()), f"{way.__name__}: filtered, and no gap")
            check(all("price" not in e["data"]["payload"] for e in got.events), f"{way.__name__}: redacted")
        with v1_client(broker) as c:
            equal(c.request({"type": "subscribe", "topics": [{"topic": "b:1", "cursor": cursor}]})["topics"]["b:1"],
                  {"ok": False, "code": "forbidden_topic"}, "a subscription to what is forbidden today")
            equal(c.request({"type": "history", "topic": "b:1"})["code"], "forbidden_topic", "history of it")
        for path in (f"/sse?topics=b:1&cursor={cursor}", f"/poll?topics=b:1&cursor={cursor}", f"/topics/b:1/history?cursor={cursor}"):
            equal(http(broker.address, "GET", path, token=token).json()["code"], "forbidden_topic", path)
        reload_policy(broker, NOTHING)
        for way in resume.WAYS:
            got = way(broker.address, token, ["a:1", "b:1"], cursor)
            equal((ids(got), got.gap), ([], set()), f"{way.__name__}: nothing of it may be seen, and nothing is lost")
            if got.cursor != cursor:  # the query's clients are told of none
                equal(got.cursor, head(broker), f"{way.__name__}: it goes on behind what it may not see")


# ---- "History none events carry no id, are never replayed and evict nothing; each retention class trims for itself …"

def test_events_without_history_have_no_id_are_not_replayed_and_evict_nothing():
    small = {"journal": {"retention": {"count": 10, "bytes": 65536}}, "topics": {"audit:*": {"retention": {"count": 10}}}}
    with Broker(merge(OPEN, small)) as broker:
        token = mint("u1")
        cursor = head(broker)
        mine = [publish(broker, "gift-list:1", n) for n in range(5)]
        with v1_client(broker) as live, SseClient(broker.address, "cursor:1", token=token).begin() as sse:
            live.subscribe("cursor:1")
            with HttpConnection(broker.address) as c:
                for topic in ("cursor:1", "audit:1"):  # one without history, one with a class of its own
                    for _ in range(10):
                        items = [{"topic": topic, "event": "UPDATED", "data": {"entity_id": "e", "payload": {"fill": "x" * 500}}}] * 50
                        results = c.request("POST", "/publish", [("Authorization", "Bearer " + mint("b"))], items).json()["results"]
                        equal({"id" in r for r in results}, {topic != "cursor:1"}, f"{topic}: ids in the answers")
            for _ in range(500):
                check("id" not in live.recv_event(), "an event without history has no id")
            message = sse.recv("message")
            equal(("id" in message.json(), message.id), (False, sse.last_id), "nor over SSE")
        for way in resume.WAYS:
            got = way(broker.address, token, ["gift-list:1", "cursor:1"], cursor)
            equal((ids(got), got.gap), (mine, set()), f"{way.__name__}: 500 events of a class without history and 500 of another's took nothing")
            equal(way(broker.address, token, ["audit:1"], cursor).gap, {"audit:1"}, f"{way.__name__}: that flood had a gap itself")
        with WsClient(broker.address, token=token, query={"topics": "cursor:1", "cursor": cursor}) as c:
            c.send_json({"type": "ping", "id": 1})
            equal(c.recv_json()["type"], "pong", "never replayed")
        for path in ("/topics/cursor:1/history", f"/poll?topics=cursor:1&wait=0&cursor={cursor}"):
            equal(http(broker.address, "GET", path, token=token).json()["events"], [], path)


# ---- a plain client

def test_a_plain_client_that_gave_a_cursor_is_told_of_a_gap_and_of_nothing_else():
    with Broker(merge(OPEN, {"journal": {"retention": {"count": 10}}})) as broker:
        token = mint("u1")
        cursor = head(broker)
        for n in range(100):
            publish(broker, "a:1", n)
        with WsClient(broker.address, token=token, query={"topics": "a:1,b:1", "cursor": cursor}) as c:
            gap = c.recv_json()
            equal((gap["type"], gap["topic"], gap["topics"]), ("gap", "", ["a:1"]), "by the query")
            numbers = []
            while not numbers or numbers[-1] != 99:
                numbers.append(n_of(c.recv_json()))
            equal(numbers, list(range(numbers[0], 100)), "then what is left")
        with WsClient(broker.address, token=token) as c:
            c.send_json({"type": "subscribe", "topics": [{"topic": "a:1", "cursor": cursor}]})
            equal(c.recv_json()["type"], "gap", "by a subscription, without an id")
        with WsClient(broker.address, token=token) as c:
            c.send_json({"type": "history", "topic": "a:1", "cursor": cursor, "id": 1})
            equal([c.recv_json()["type"] for _ in range(2)], ["gap", "reply"], "by history")


main()
