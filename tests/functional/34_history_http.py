#!/usr/bin/python3
# History over HTTP shows what a subscriber would see, a page at a time; a last value comes before what is live; and from a snapshot
# to the stream there is no hole, whatever is written between two steps.
# ctest: timeout=180
import json
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

ALLOW = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "subscriptions": 100000}}}}

# Children see no prices, guests see nothing of 1; the answer about "slow" takes a while.
SEES = """
return policy {
  api = 1,
  reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = {
    subscribe = function(s, topic, ctx)
      if topic.resource == "secret" then return deny("forbidden_topic", "not yours") end
      if topic.resource == "slow" then ctx.sleep(50) end
      if topic.resource == "broken" then error("no") end
      return allow()
    end,
    publish = function() return allow() end,
  },
  filter = function(event, audience) return audience.claims.role ~= "guest" or event.data.payload.n ~= 1 end,
  redact = function(event, audience) if audience.claims.role == "child" then event.data.payload.price = nil end return event end,
}
"""


def history(broker, topic="a:1", cursor=None, limit=None, status=200, token=None, **claims):
    query = "&".join(f"{k}={v}" for k, v in (("cursor", cursor), ("limit", limit)) if v is not None)
    r = http(broker.address, "GET", f"/topics/{topic}/history" + ("?" + query if query else ""), token=token or mint("u1", "acme", **claims))
    equal(r.status, status, f"status ({r.body[:200]!r})")
    equal(r.header("Cache-Control"), "no-store", "Cache-Control")
    return r.json()


def publish(broker, topic, n, tenant="acme", **payload):
    r = broker.publish(topic, data={"entity_id": "e", "payload": {"n": n, **payload}}, tenant=tenant)
    equal(r.status, 200, "publish")
    return r.json().get("id")


def head(broker, tenant="acme"):
    return http(broker.address, "GET", "/cursor", token=mint("u1", tenant)).json()["cursor"]


def n_of(event):
    return event["data"]["payload"]["n"]


def numbers(answer):
    return [n_of(e) for e in answer["events"]]


def test_pages_from_the_oldest_to_the_end():
    with Broker(ALLOW) as broker:
        equal(history(broker), {"events": [], "cursor": head(broker), "gap": False}, "nothing yet")
        for n in range(25):
            publish(broker, "a:1", n)
            publish(broker, "b:1", 100 + n)
        got, cursor = [], None
        while True:
            page = history(broker, cursor=cursor, limit=10)
            equal(page["gap"], False, "gap")
            if not page["events"]:
                break
            got.append(numbers(page))
            cursor = page["cursor"]
        equal(got, [list(range(10)), list(range(10, 20)), list(range(20, 25))], "pages")
        with WsClient(broker.address, token=mint("u1")) as ws:
            reply = ws.request({"type": "history", "topic": "a:1", "limit": 1000})
            equal(reply["events"], history(broker, limit=5000)["events"], "as the WebSocket's command has it")
        equal(history(broker, "a%3A1", limit=1)["events"], history(broker, limit=1)["events"], "a topic with an escape")


def test_limits_cursors_and_names_that_are_none():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 1)
        for topic, query in (("a:1", "limit=0"), ("a:1", "limit=-1"), ("a:1", "limit=x"), ("a:1", "cursor=x"), ("a:1", "cursor="),
                             ("a:1", "limit=1&limit=1"), ("A:1", ""), ("nonsense", ""), ("a:1%00", ""), ("a%", ""), ("a%2F1", "")):
            r = http(broker.address, "GET", f"/topics/{topic}/history?{query}", token=mint("u1"))
            equal((r.status, r.json().get("code")), (400, "bad_request"), f"{topic} {query}")
        for where in ("/topics//history", "/topics/a:1/b/history", "/topics/a:1/history/", "/topics/history", "/topics/a:1/else"):
            equal(http(broker.address, "GET", where, token=mint("u1")).status, 404, where)
        equal(http(broker.address, "GET", "/topics/a:1/history").status, 401, "nobody")
        equal(http(broker.address, "POST", "/topics/a:1/history", body={}, token=mint("u1")).status, 405, "POST")
        epoch, seq = head(broker).split("-")
        for other in (head(broker, "globex"), f"{epoch}-{int(seq) + 9}", f"zz9-{seq}"):
            equal(history(broker, cursor=other), {"events": [], "cursor": head(broker), "gap": True}, "a cursor of elsewhere")


def test_what_retention_has_taken_is_a_gap_of_its_topic():
    with Broker(merge(ALLOW, {"journal": {"retention": {"count": 20}}})) as broker:
        publish(broker, "quiet:1", 0)
        cursor = head(broker)
        for n in range(100):
            publish(broker, "busy:1", n)
        equal(history(broker, "busy:1", cursor)["gap"], True, "the busy one")
        equal(history(broker, "quiet:1", cursor)["gap"], False, "the quiet one")
        equal(history(broker, "busy:1")["gap"], False, "from the oldest there is no gap")


def test_the_policy_of_today_decides_filters_and_redacts():
    with Broker(ALLOW, files={"open.lua": SEES}) as broker:
        for n in range(3):
            publish(broker, "a:1", n, price=5)
            publish(broker, "slow:1", n, price=5)
        equal([e["data"]["payload"] for e in history(broker)["events"]], [{"n": n, "price": 5} for n in range(3)], "all of it")
        equal([e["data"]["payload"] for e in history(broker, role="child")["events"]], [{"n": n} for n in range(3)], "redacted")
        equal(numbers(history(broker, role="guest")), [0, 2], "filtered")
        refused = history(broker, "secret:1", status=403)
        equal((refused["code"], refused["message"]), ("forbidden_topic", "not yours"), "refused")
        equal(history(broker, "a:*", status=403)["code"], "forbidden_topic", "a pattern without authorize.wildcard")
        equal(history(broker, "broken:1", status=503)["retryable"], True, "a policy that fails")
        equal(numbers(history(broker, "slow:1", role="guest")), [0, 2], "a hook that waits")
        with HttpConnection(broker.address) as c:
            auth = [("Authorization", "Bearer " + mint("u1", "acme"))]
            c.send(c.format("GET", "/topics/slow:1/history", auth) + c.format("GET", "/healthz"))
            equal(len(c.read_response().json()["events"]), 3, "the first of two in a row")
            equal(c.read_response().json(), {"ok": True}, "the second")
            c.send(c.format("GET", "/topics/slow:1/history", auth))
        equal(len(history(broker)["events"]), 3, "who leaves meanwhile harms nobody")


def test_tenants_do_not_see_each_other():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 1)
        publish(broker, "a:1", 2, tenant="globex")
        equal(numbers(history(broker)), [1], "acme's")
        equal(numbers(history(broker, token=mint("u1", "globex"))), [2], "globex'")


def test_the_last_value_comes_before_the_reply_and_what_is_live_behind_it():
    with Broker(ALLOW) as broker:
        for n in range(1, 7):
            publish(broker, "a:1" if n % 2 else "b:1", n)
        with WsClient(broker.address, token=mint("u1"), protocols=["hookwire.v1"]) as c:
            c.recv_where({"type": "welcome"})
            c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": t, "last": 1} for t in ("b:1", "a:1", "none:1")] + [{"topic": "c:1", "last": 0}]})
            got = [c.recv_json() for _ in range(3)]
            equal([n_of(e) for e in got[:2]], [5, 6], "the newest of each, in the journal's order")
            check(all(r["ok"] and "recovered" not in r for r in got[2]["topics"].values()), "nothing was recovered")
            publish(broker, "a:1", 7)
            equal(n_of(c.recv_event()), 7, "live")
            c.send_json({"type": "subscribe", "id": 2, "topics": [{"topic": "a:1", "last": 1}]})
            equal(c.recv_json()["id"], 2, "who follows it already has it")
            for bad in (2, -1, "1", True, 1.5):
                c.send_json({"type": "subscribe", "id": 3, "topics": [{"topic": "d:1", "last": bad}]})
                equal(c.recv_json()["code"], "bad_request", f"last {bad!r}")
            c.send_json({"type": "subscribe", "id": 4, "topics": [{"topic": "d:*", "last": 1}]})
            equal(c.recv_json()["topics"]["d:*"]["code"], "bad_request", "a pattern")
        with WsClient(broker.address, token=mint("u1"), query={"topics": "a:1,b:1", "last": "1"}) as c:
            equal([n_of(c.recv_event()) for _ in range(2)], [6, 7], "by the query")
            publish(broker, "b:1", 8)
            equal(n_of(c.recv_event()), 8, "live")
        with SseClient(broker.address, "a:1,b:1", token=mint("u1"), query={"last": "1"}) as stream:
            equal([n_of(stream.recv_event()) for _ in range(2)], [7, 8], "of a stream of events")
            publish(broker, "b:1", 9)
            equal(n_of(stream.recv_event()), 9, "live")
        with raises(Refused) as refused:
            WsClient(broker.address, token=mint("u1"), query={"topics": "a:1", "last": "5"})
        equal(refused[0].response.status, 400, "last=5")
        equal(http(broker.address, "GET", "/sse?topics=a:1&last=5", token=mint("u1")).status, 400, "last=5")


def test_the_last_value_is_filtered_and_redacted_and_no_gap():
    small = merge(ALLOW, {"journal": {"retention": {"count": 20}}})
    with Broker(small, files={"open.lua": SEES}) as broker:
        publish(broker, "gone:1", 0)
        for n in range(100):
            publish(broker, "busy:1", n)
        publish(broker, "a:1", 1, price=5)
        for role, wanted in (("child", [{"n": 1}]), ("guest", []), ("owner", [{"n": 1, "price": 5}])):
            with WsClient(broker.address, token=mint("u1", role=role), protocols=["hookwire.v1"]) as c:
                c.recv_where({"type": "welcome"})
                c.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": "a:1", "last": 1}, {"topic": "gone:1", "last": 1}]})
                got = [c.recv_json() for _ in range(len(wanted) + 1)]
                equal([e["data"]["payload"] for e in got[:-1]], wanted, role)
                equal(got[-1]["type"], "reply", "no gap: no cursor was given")


class Page:
    """A page of an application: what is in its database, kept up by events."""

    def __init__(self, rows):
        self.rows = dict(rows)

    def apply(self, event):
        self.rows[event["data"]["entity_id"]] = n_of(event)


def test_snapshot_then_stream_has_no_hole():
    """GET /cursor, the application's own read, history, subscribe from the cursor: a write between every two steps."""
    with Broker(merge(ALLOW, {"workers": 4})) as broker:
        for how in ("ws", "poll", "last"):
            database, topic = {}, f"list:{how}"

            def write(entity):
                database[entity] = database.get(entity, 0) + 1
                r = broker.publish(topic, data={"entity_id": entity, "payload": {"n": database[entity]}})
                equal(r.status, 200, "publish")

            for step in range(6):
                for entity in ("x", f"between-{step}"):
                    write(entity)
                cursor = head(broker)
                write("x")
                write(f"cursor-{step}")
                page = Page(database)
                write("x")
                write(f"read-{step}")
                if how == "poll":
                    while page.rows != database:
                        r = http(broker.address, "GET", f"/poll?topics={topic}&wait=0&cursor={cursor}", token=mint("u1")).json()
                        check(r["events"] and not r["gap"], f"a hole: {len(set(database.items()) - set(page.rows.items()))} rows are missing")
                        for event in r["events"]:
                            page.apply(event)
                        cursor = r["cursor"]
                    continue
                shown = http(broker.address, "GET", f"/topics/{topic}/history?limit=1000&cursor={cursor}", token=mint("u1")).json()
                for event in shown["events"]:
                    page.apply(event)
                write("x")
                write(f"history-{step}")
                with WsClient(broker.address, token=mint("u1"), protocols=["hookwire.v1"]) as ws:
                    ws.recv_where({"type": "welcome"})
                    write("x")
                    write(f"welcome-{step}")
                    ws.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": topic, "cursor": shown["cursor"]}]})
                    write("x")
                    write(f"sent-{step}")
                    message = ws.recv_json()
                    while message.get("type") != "reply":
                        page.apply(message)
                        message = ws.recv_json()
                    equal(message["topics"][topic]["recovered"], True, "recovered")
                    write("x")
                    write(f"live-{step}")
                    while page.rows != database:
                        page.apply(ws.recv_event())
                if how == "last":
                    with WsClient(broker.address, token=mint("u1"), query={"topics": topic, "last": "1"}) as ws:
                        equal(ws.recv_event()["data"]["entity_id"], f"live-{step}", "the last value")
                        write("x")
                        equal(n_of(ws.recv_event()), database["x"], "and then what is live")


def test_curl_reads_it():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 1)
        out = subprocess.run(["curl", "-sS", "--fail", "-H", "Authorization: Bearer " + mint("u1"), f"http://{broker.address}/topics/a:1/history?limit=1"],
                             capture_output=True, timeout=scaled(20), check=True)
        equal(numbers(json.loads(out.stdout)), [1], "curl")


main()
