#!/usr/bin/python3
# GET /sse: what its head says, who is refused and how, what is heard on it, and how it ends.
# ctest: timeout=120
import pathlib
import random
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

PAGE = "https://app.example.com"
FAST = {"heartbeat": {"interval_ms": 100, "timeout_ms": 5000}}
EVENT = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": 1}}}


def get(broker, query="topics=a:1", token=None, headers=(), method="GET"):
    return http(broker.address, method, "/sse?" + query, headers, token=token)


def refused(broker, topics="a:1", **how):
    """The answer that is no stream."""
    try:
        SseClient(broker.address, topics, **how).close()
    except SseRefused as error:
        return error.response
    raise Failure("it is not refused")


def head(broker, tenant="acme"):
    return http(broker.address, "GET", "/cursor", token=mint("u1", tenant)).json()["cursor"]


def test_the_head_and_the_first_blocks():
    with Broker() as broker, SseClient(broker.address, "a:1,b:2", token=mint("u1")) as c:
        equal({name: c.head.header(name) for name in ("Content-Type", "Cache-Control", "X-Accel-Buffering", "Connection", "Access-Control-Allow-Origin",
                                                      "Content-Length", "Transfer-Encoding", "Content-Encoding")},
              {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Connection": "close",
               "Access-Control-Allow-Origin": "*", "Content-Length": None, "Transfer-Encoding": None, "Content-Encoding": None}, "the head")
        first = c.recv()
        equal((first.name, first.json(), first.id), ("cursor", {"type": "cursor", "cursor": head(broker)}, head(broker)), "where it begins")
        check(1000 <= c.parser.retry_ms <= 3000, f"retry: {c.parser.retry_ms}")
        sent = [broker.publish(t, data={"entity_id": "e", "payload": {"n": n}}).json()["id"] for n, t in enumerate(("a:1", "c:1", "b:2"))]
        for n, topic in ((0, "a:1"), (2, "b:2")):
            message = c.recv()
            event = message.json()
            equal((message.name, message.id, event["id"], event["topic"], event["data"]["payload"], event["data"]["tenant_id"]),
                  ("message", sent[n], sent[n], topic, {"n": n}, "acme"), "an event")


def test_retry_is_spread():
    with Broker() as broker:
        seen = set()
        for _ in range(12):
            with SseClient(broker.address, "a:1", token=mint("u1")) as c:
                seen.add(c.begin().parser.retry_ms)
        check(len(seen) > 3 and max(seen) - min(seen) > 200, f"advice: {sorted(seen)}")


def test_an_event_published_over_several_lines_arrives_whole():
    text = '{"topic":"a:1","event":"ADDED","data":{"entity_id":"e","payload":{\n "a" : \r\n [1,\t2],\r"b":"x\\ny"\n}}}'
    with Broker() as broker, SseClient(broker.address, "a:1", token=mint("u1")) as c:
        c.begin()
        equal(http(broker.address, "POST", "/publish", {"Content-Type": "application/json"}, text, mint("b", backend=True)).status, 200, "publish")
        equal(broker.publish("a:1").status, 200, "publish")
        equal(c.recv_event()["data"]["payload"], {"a": [1, 2], "b": "x\ny"}, "the payload")
        equal(c.recv_event()["topic"], "a:1", "what follows")


def test_head_and_http_1_0_and_what_follows_a_request():
    with Broker() as broker:
        answer = get(broker, token=mint("u1"), method="HEAD")
        equal((answer.status, answer.header("Content-Type"), answer.body), (200, "text/event-stream", b""), "HEAD")
        equal(get(broker, "topics=secret:1", token=mint("u1"), method="HEAD").status, 403, "HEAD of what is refused")
        with HttpConnection(broker.address) as c:
            c.send(c.format("HEAD", "/sse?topics=a:1", {"Authorization": "Bearer " + mint("u1")}))
            equal(c.read_response("HEAD").status, 200, "HEAD")
            check(c.closed() and not c.buffer, f"there is no stream behind it: {c.buffer[:80]!r}")
        equal(broker.metric("hookwire_sessions"), 0, "no session stays of HEAD")
        equal(get(broker, token=mint("u1"), method="POST").status, 405, "POST")
        with HttpConnection(broker.address) as c:
            c.send(f"GET /sse?topics=a:1 HTTP/1.0\r\nAuthorization: Bearer {mint('u1')}\r\nConnection: keep-alive\r\n\r\n".encode())
            c.read_until(b"\r\n\r\n")
            c.read_until(b"event: cursor\n")
            broker.publish("a:1")
            c.read_until(b'data: {"topic":"a:1"')
        with HttpConnection(broker.address) as c:
            c.send(c.format("GET", "/sse?topics=a:1", {"Authorization": "Bearer " + mint("u1")}) + c.format("GET", "/healthz"))
            c.read_until(b"event: cursor\n")
            broker.publish("a:1")
            check(b"HTTP/1.1" not in c.read_until(b'"topic":"a:1"'), "a request behind it is answered into the stream")


def test_refusals_are_statuses_and_the_connection_lives():
    with Broker() as broker:
        token = mint("u1")
        for query, how, status, code, part in (
                ("topics=a:1", {}, 401, "unauthorized", ""),
                ("topics=a:1", {"token": "nonsense"}, 401, "unauthorized", ""),
                ("topics=a:1", {"token": mint("u1", exp=int(time.time()) - 100)}, 401, "token_expired", ""),
                ("", {"token": token}, 400, "bad_request", "topics"),
                ("topics=", {"token": token}, 400, "bad_request", "topics"),
                ("topics=,,", {"token": token}, 400, "bad_request", "topics"),
                ("topics=a:1&topics=b:1", {"token": token}, 400, "bad_request", ""),
                ("topics=UPPER:1", {"token": token}, 400, "bad_request", "UPPER:1"),
                ("topics=a:1&cursor=nonsense", {"token": token}, 400, "bad_request", "cursor"),
                ("topics=a:1", {"token": token, "headers": {"Last-Event-ID": "nonsense"}}, 400, "bad_request", "cursor"),
                ("topics=a:1&cursor=" + head(broker), {"token": token, "headers": {"Last-Event-ID": "nonsense"}}, 400, "bad_request", "cursor"),
                ("topics=a:1", {"token": token, "headers": [("Last-Event-ID", head(broker))] * 2}, 400, "bad_request", "Last-Event-ID"),
                ("topics=secret:1", {"token": token}, 403, "forbidden_topic", "secret:1"),
                ("topics=a:1,secret:1,b:1", {"token": token}, 403, "forbidden_topic", "secret:1")):
            answer = get(broker, query, **how)
            equal((answer.status, answer.json()["code"], answer.json()["retryable"]), (status, code, False), query)
            contains(answer.json()["message"], part, query)
            equal((answer.header("Cache-Control"), answer.header("Access-Control-Allow-Origin"), answer.header("Content-Type")),
                  ("no-store", "*", "application/json"), query)
        equal(get(broker, "topics=a:1&token=" + token, headers={"Last-Event-ID": ""}, method="HEAD").status, 200, "an empty header is none")
        with HttpConnection(broker.address) as c:
            for _ in range(2):
                equal(c.request("GET", "/sse?topics=secret:1", {"Authorization": "Bearer " + token}).status, 403, "on a connection that stays")
        equal(broker.metric("hookwire_subscriptions"), 0, "subscriptions that are left")
        equal(broker.metric("hookwire_sessions"), 0, "sessions that are left")


def test_limits_are_those_of_sessions():
    limits = {"limits": {"topics_per_session": 3},
              "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"connections": 2, "subscriptions": 4}}}}
    with Broker(limits) as broker:
        answer = refused(broker, "a:1,a:2,a:3,a:4", token=mint("u1"))
        equal((answer.status, answer.json()["code"]), (403, "topic_limit"), "a session's topics")
        with SseClient(broker.address, "a:1,a:2,a:3", token=mint("u1")) as first:
            first.begin()
            answer = refused(broker, "a:1,a:2", token=mint("u2"))
            equal((answer.status, answer.json()["code"]), (403, "topic_limit"), "a tenant's subscriptions")
            with SseClient(broker.address, "a:1", token=mint("u2")) as second:
                second.begin()
                answer = refused(broker, "a:1", token=mint("u3"))
                equal((answer.status, answer.json()["code"], answer.json()["retryable"]), (429, "rate_limited", True), "a tenant's connections")
        wait_until(lambda: broker.metric("hookwire_subscriptions") == 0, what="all subscriptions to be given back")


def test_cors_and_the_cookie():
    with Broker({"auth": {"cookie": "hw", "origins": [PAGE]}}) as broker:
        cookie = ("Cookie", "hw=" + mint("u1"))
        with SseClient(broker.address, "a:1", headers=[cookie, ("Origin", PAGE)]) as c:
            equal((c.head.header("Access-Control-Allow-Origin"), c.head.header("Access-Control-Allow-Credentials"), c.head.header("Vary")),
                  (PAGE, "true", "Origin"), "a listed origin")
            c.begin()
        for headers in ([cookie], [cookie, ("Origin", "https://other.example.com")], [cookie, ("Origin", "null")]):
            answer = refused(broker, headers=headers)
            equal((answer.status, answer.header("Access-Control-Allow-Origin")), (401, None), f"{headers[1:]}")
        answer = refused(broker, "secret:1", headers=[cookie, ("Origin", PAGE)])
        equal((answer.status, answer.header("Access-Control-Allow-Credentials")), (403, "true"), "a refusal that the page can read")
        preflight = http(broker.address, "OPTIONS", "/sse", {"Origin": PAGE, "Access-Control-Request-Headers": "last-event-id"})
        equal(preflight.status, 204, "preflight")
        contains(preflight.header("Access-Control-Allow-Headers"), "last-event-id", "preflight")


def test_a_comment_is_the_heartbeat_and_a_silent_client_lives():
    with Broker({"heartbeat": {"interval_ms": 100, "timeout_ms": 250}}) as broker, SseClient(broker.address, "a:1", token=mint("u1")) as c:
        c.begin()
        started = time.monotonic()
        c.read_until(lambda p: p.n_comments >= 10, what="ten comments")
        took = time.monotonic() - started
        check(0.7 <= took <= scaled(2.0), f"ten beats of 100 ms took {took:.2f} s")
        equal(c.parser.messages, [], "messages")
        broker.publish("a:1")
        equal(c.recv_event()["topic"], "a:1", "it lives")


def test_an_idle_client_is_moved_on():
    with Broker(FAST) as broker, SseClient(broker.address, "a:1", token=mint("u1")) as c:
        c.begin()
        before = c.last_id
        for n in range(5):
            broker.publish("b:1")
        c.read_until(lambda p: p.last_id == head(broker), what="a bare id")
        check(c.last_id != before and c.parser.n_bare_ids == 1, f"{before} then {c.last_id}, {c.parser.n_bare_ids} bare ids")
        beats = c.parser.n_comments
        c.read_until(lambda p: p.n_comments >= beats + 4)
        equal((c.parser.n_bare_ids, c.parser.messages), (1, []), "nothing passed, nothing is said")
        broker.publish("a:1")
        c.recv_event()
        beats = c.parser.n_comments
        c.read_until(lambda p: p.n_comments >= beats + 4)
        equal(c.parser.n_bare_ids, 1, "an event has an id of its own")


def test_a_websocket_client_that_knows_control_messages_is_moved_on_too():
    with Broker({"heartbeat": {"interval_ms": 150, "timeout_ms": 5000}}) as broker:
        with WsClient(broker.address, token=mint("u1"), protocols=["hookwire.v1"]) as v1, WsClient(broker.address, token=mint("u1")) as plain:
            v1.recv_where({"type": "welcome"})
            v1.subscribe("a:1")
            plain.subscribe("a:1")
            broker.publish("b:1")
            equal(v1.recv_where({"type": "cursor"}), {"type": "cursor", "cursor": head(broker)}, "v1")
            equal(plain.drain(0.5), [], "a plain client")


def test_what_a_filter_withholds_moves_the_client_on():
    policy = """return policy { api = 1, reads = { filter = { "claims.role" } },
      authorize = { subscribe = function() return allow() end, publish = function() return allow() end },
      filter = function(event, a) return a.claims.role == "adult" end }"""
    with Broker(FAST, files={"open.lua": policy}) as broker, SseClient(broker.address, "a:1", token=mint("u1", role="child")) as c:
        c.begin()
        sent = broker.publish("a:1").json()["id"]
        c.read_until(lambda p: p.last_id == sent, what="the id of what it did not get")
        equal(c.parser.messages, [], "messages")


def test_events_without_history_have_no_id():
    with Broker(merge(FAST, {"topics": {"cursor:*": {"history": "none"}}})) as broker:
        with SseClient(broker.address, "a:1,cursor:1", token=mint("u1")) as c:
            c.begin()
            sent = broker.publish("a:1").json()["id"]
            equal(c.recv().id, sent, "with history")
            equal(broker.publish("cursor:1", data={"entity_id": "e", "payload": {"id": "x-1"}}).json(), {"ok": True}, "publish")
            message = c.recv()
            equal((message.json()["topic"], "id" in message.json(), message.id), ("cursor:1", False, sent), "without")


def test_a_pending_hook_decides_before_the_head():
    policy = """return policy { api = 1,
      authorize = { subscribe = function(s, topic, ctx) ctx.log.info("waits " .. topic.id) ctx.sleep(300)
          if topic.id == "no" then return deny("forbidden_topic", "not this one") end
          if topic.id == "down" then return unavailable("the database is away") end return allow() end,
        publish = function() return allow() end } }"""
    with Broker(files={"open.lua": policy}) as broker:
        answer = refused(broker, "a:1,a:no", token=mint("u1"))
        equal((answer.status, answer.json()["message"]), (403, "a:no: not this one"), "refused later")
        answer = refused(broker, "a:down,a:1", token=mint("u1"))
        equal((answer.status, answer.json()["code"], answer.header("Retry-After")), (503, "unavailable", "1"), "cannot be decided")
        equal(refused(broker, "a:down,a:no", token=mint("u1")).status, 403, "what is for good is told first")
        equal(get(broker, "topics=a:1,a:2", token=mint("u1"), method="HEAD").status, 200, "HEAD")
        with HttpConnection(broker.address) as c:  # goes while a hook waits
            mark = broker.log_mark()
            c.send(c.format("GET", "/sse?topics=a:gone", {"Authorization": "Bearer " + mint("u1")}))
            broker.wait_log("waits gone", since=mark)
            c.close(reset=True)
        with SseClient(broker.address, "a:1,a:2", token=mint("u1")) as c:
            c.begin()
            broker.publish("a:2")
            equal(c.recv_event()["topic"], "a:2", "an event")
        wait_until(lambda: broker.metric("hookwire_sessions") == 0, what="no session to be left")


def test_hooks_see_the_transport_and_operators_too():
    policy = """return policy { api = 1, authenticate = function(req, ctx)
        if req.transport ~= "sse" or req.path ~= "/sse" then return deny("unauthorized", "by " .. req.transport) end
        return allow { user_id = "u1", tenant_id = "acme" } end }"""
    admit = """return policy { api = 1, authorize = { session = function(s) if s.user_id == "u1" then return allow() end end,
        subscribe = function() return allow() end } }"""
    config = {"hooks": [{"name": "who", "lua": "who.lua"}], "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}
    with Broker(config, files={"who.lua": policy, "p.lua": admit}) as broker, SseClient(broker.address, "a:1,b:1", token="t") as c:
        c.begin()
        listed = http(broker.admin_address, "GET", "/api/sessions", token=ADMIN_TOKEN).json()["sessions"]
        contains(listed[0], {"transport": "sse", "user": "u1", "subscriptions": 2, "lagging": False}, "/api/sessions")
        answer = http(broker.admin_address, "POST", "/api/sessions/disconnect", {"Content-Type": "application/json"},
                      {"session": listed[0]["session"], "code": 4001, "reason": "out, now"}, ADMIN_TOKEN)
        equal(answer.json()["sessions"], 1, "disconnect")
        contains(c.closed(), {"close_code": 4001, "message": "out, now"}, "closed")


def test_a_session_that_is_not_admitted_is_403():
    admit = """return policy { api = 1, authorize = { session = function(s) return deny("forbidden_topic", "not you") end,
        subscribe = function() return allow() end } }"""
    with Broker(files={"open.lua": admit}) as broker:
        answer = refused(broker, token=mint("u1"))
        equal((answer.status, answer.json()["message"]), (403, "not you"), "authorize.session")


def test_it_ends_when_the_token_expires_and_a_reconnect_is_refused_for_good():
    token = mint("u1", exp=int(time.time()) + 2)
    with Broker() as broker, SseClient(broker.address, "a:1", token=token) as c:
        c.begin()
        equal({k: v for k, v in c.closed().items() if k != "message"},
              {"type": "closed", "close_code": 4401, "code": "token_expired", "retryable": False}, "closed")
        equal(refused(broker, token=token, last_id=c.last_id).json()["code"], "token_expired", "again")


NO_B = """return policy { api = 1, authorize = { publish = function() return allow() end,
  subscribe = function(s, topic) if topic.resource ~= "b" then return allow() end return deny("forbidden_topic") end } }"""


def test_a_reload_revokes():
    with Broker({"workers": 2, "reauth_ms": 100}) as broker:
        both, only_b, only_a = (SseClient(broker.address, topics, token=mint("u1")).begin() for topics in ("a:1,b:1", "b:1", "a:1"))
        broker.write_file("open.lua", NO_B)
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log("reload: reloaded", since=mark)
        for c in (both, only_b):
            equal(c.recv("unsubscribed").json(), {"type": "unsubscribed", "topics": ["b:1"], "code": "forbidden_topic"}, "unsubscribed")
        contains(only_b.closed(), {"close_code": 4403, "code": "forbidden_topic", "retryable": False}, "nothing is left to it")
        equal(refused(broker, "b:1", token=mint("u1")).status, 403, "and a reconnect is refused")
        broker.publish("b:1")
        broker.publish("a:1")
        for c in (both, only_a):
            equal(c.recv_event()["topic"], "a:1", "the other topic")
            c.close()


GZIP = {"sse": {"gzip": True}}
ASKS = [("Accept-Encoding", "br, gzip")]


def vary(client):
    return sorted(value for name, value in client.head.headers if name == "Vary")


def test_compressed_when_it_is_offered_and_asked_for():
    with Broker(merge(FAST, GZIP)) as broker, SseClient(broker.address, "a:1", token=mint("u1"), headers=ASKS) as c:
        equal((c.head.header("Content-Encoding"), vary(c)), ("gzip", ["Accept-Encoding"]), "the head")
        c.begin()
        check(1000 <= c.parser.retry_ms <= 3000, f"retry: {c.parser.retry_ms}")
        for n in range(200):
            broker.publish("a:1", data={"entity_id": "e", "payload": {"n": n}})
            equal(c.recv_event()["data"]["payload"]["n"], n, "as it comes")
        c.read_until(lambda p: p.n_comments >= 2, what="heartbeats")
        check(c.n_bytes < 200 * 130, f"200 events of some 220 bytes, each flushed, took {c.n_bytes}")
        for headers in ([], [("Accept-Encoding", "gzip;q=0, br")], [("Accept-Encoding", "identity")]):
            with SseClient(broker.address, "a:1", token=mint("u1"), headers=headers) as other:
                equal((other.head.header("Content-Encoding"), vary(other)), (None, ["Accept-Encoding"]), f"{headers}")
                other.begin()
        equal(get(broker, token=mint("u1"), headers=ASKS, method="HEAD").header("Content-Encoding"), "gzip", "HEAD")
        broker.sigterm()
        c.closed()
        equal(c.whole, True, "ended as gzip ends")
        broker.stop()
    with Broker() as broker, SseClient(broker.address, "a:1", token=mint("u1"), headers=ASKS) as c:
        equal((c.head.header("Content-Encoding"), vary(c)), (None, []), "not offered")
        c.begin()


def test_a_slow_compressed_client_is_caught_up():
    config = merge(GZIP, {"slow": {"outbox_bytes": 16384}, "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}],
                                                                            "limits": {"publish_per_s": 1000000}}}})
    rng = random.Random(1)
    with Broker(config) as broker, SseClient(broker.address, "a:1", token=mint("u1"), headers=ASKS, receive_buffer=4096) as c:
        c.begin()
        with HttpConnection(broker.address) as connection:
            for first in range(0, 1200, 50):
                items = [{"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n, "fill": "%x" % rng.getrandbits(40000)}}}
                         for n in range(first, first + 50)]
                equal(connection.request("POST", "/publish", [("Authorization", "Bearer " + mint("b"))], items).status, 200, "publish")
        wait_until(lambda: broker.metric("hookwire_slow_sessions_total") > 0, what="it to fall behind")
        equal([c.recv_event(timeout=20)["data"]["payload"]["n"] for _ in range(1200)] == list(range(1200)), True, "all of it, in order")


def test_draining_is_paced_and_told():
    with Broker({"drain_ms": 1000}) as broker:
        clients = [SseClient(broker.address, "a:1", token=mint("u1")).begin() for _ in range(20)]
        started = time.monotonic()
        broker.sigterm()
        ends = []
        for c in clients:
            equal(c.recv("goaway").json()["reason"], "draining", "goaway")
            contains(c.closed(), {"close_code": 1001, "code": "draining", "retryable": True}, "closed")
            ends.append(time.monotonic() - started)
        check(ends[-1] - ends[0] > 0.5, f"closed after {ends[0]:.2f} to {ends[-1]:.2f} s")
        broker.stop()


def test_while_it_drains_nobody_begins():
    with Broker({"drain_ms": 3000}) as broker:
        kept = SseClient(broker.address, "a:1", token=mint("u1")).begin()
        others = [SseClient(broker.address, "a:1", token=mint("u1")).begin() for _ in range(3)]
        waiting = HttpConnection(broker.address)
        broker.sigterm()
        kept.recv("goaway")
        answer = waiting.request("GET", "/sse?topics=a:1", {"Authorization": "Bearer " + mint("u1")})
        equal((answer.status, answer.json()["code"]), (503, "draining"), "an attempt meanwhile")
        for c in [kept, *others]:
            c.close()
        broker.stop()


main()
