#!/usr/bin/python3
# Who polls is one session between its polls: authenticated and authorized once, counted once, revoked, expired and drained as others.
# ctest: timeout=180
import pathlib
import random
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
TENANT = {"hooks": [{"name": "p", "lua": "p.lua"}]}
LIMITS = {"publish_per_s": 1000000}

# Nobody may see "secret:…"; the answer about "slow:…" takes a while; children see no prices, guests nothing of 1.
POLICY = """
return policy {
  api = 1,
  reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = {
    subscribe = function(s, topic, ctx)
      if topic.resource == "secret" then return deny("forbidden_topic", "not yours") end
      if topic.resource == "slow" then ctx.sleep(300) end
      return allow()
    end,
    publish = function() return allow() end,
  },
  filter = function(event, audience) return audience.claims.role ~= "guest" or event.data.payload.n ~= 1 end,
  redact = function(event, audience) if audience.claims.role == "child" then event.data.payload.price = nil end return event end,
}
"""
NO_B = """
return policy { api = 1, authorize = {
  subscribe = function(s, topic) if topic.resource ~= "b" then return allow() end return deny("forbidden_topic", "no more") end,
  publish = function() return allow() end } }
"""


def config(workers=1, limits=None, **more):
    return {"workers": workers, "reauth_ms": 200, "tenants": {"*": {**TENANT, "limits": {**LIMITS, **(limits or {})}}}, **more}


def request(topics="a:1", cursor=None, wait=0, token=None):
    where = f"/poll?topics={topics}&wait={wait}" + (f"&cursor={cursor}" if cursor else "")
    return "GET", where, [("Authorization", "Bearer " + (token or mint("u1", "acme")))]


def poll(broker, topics="a:1", cursor=None, wait=0, token=None, status=200):
    method, where, headers = request(topics, cursor, wait, token)
    r = http(broker.address, method, where, headers, timeout=60)
    equal(r.status, status, f"status ({r.body[:200]!r})")
    return r.json()


def in_wait(broker):
    return broker.metric("hookwire_polls_waiting")


def waiting(broker, *args, wait=40, **more):
    """A poll that waits; call what is returned for the whole response."""
    before = in_wait(broker)
    c = HttpConnection(broker.address)
    c.send(c.format(*request(*args, wait=wait, **more)))
    wait_until(lambda: in_wait(broker) == before + 1, 10, "the poll to wait", interval=0.01)
    return lambda: c.read_response(timeout=60)


def publish(broker, topic, n, **payload):
    r = broker.publish(topic, data={"entity_id": "e", "payload": {"n": n, **payload}})
    equal(r.status, 200, "publish")
    return r.json()["id"]


def payloads(answer):
    return [e["data"]["payload"] for e in answer["events"]]


def calls(broker, stage, hook):
    return broker.metric("hookwire_hook_calls_total", stage=stage, hook=hook)


def rows(broker):
    return http(broker.admin_address, "GET", "/api/sessions", token=ADMIN_TOKEN).json()["sessions"]


def put(broker, text):
    mark = broker.log_mark()
    broker.write_file("p.lua", text)
    broker.sighup()
    broker.wait_log(r"reload: reloaded", since=mark)


def test_one_token_is_authenticated_and_authorized_once():
    with Broker(config(), files={"p.lua": POLICY}) as broker:
        cursor, token = None, mint("u1", "acme")
        for n in range(6):
            cursor = poll(broker, ("a:1,b:1", "b:1,a:1", "b:1,,a:1,a:1")[n % 3], cursor, token=token)["cursor"]
        equal((calls(broker, "authenticate", "jwt"), calls(broker, "authorize", "p")), (1, 2), "asked once, whatever order topics come in")
        row, = rows(broker)
        contains(row, {"tenant": "acme", "user": "u1", "transport": "poll", "subscriptions": 2, "lagging": False}, "the session")
        poll(broker, "a:1,b:1", token=mint("u1", "acme", role="child"))
        poll(broker, "a:1", token=token)
        equal(len(rows(broker)), 3, "other claims or topics are other sessions")


def test_elsewhere_the_token_and_the_policy_are_asked_again():
    home = """
    return policy { api = 1, authorize = {
      subscribe = function(s) if s.address == "203.0.113.7" then return allow() end return deny("forbidden_topic", "not from there") end } }"""
    with Broker(config(trusted_proxies=["127.0.0.1"], auth={"origins": ["*"]}), files={"p.lua": home}) as broker:
        def poll_from(address, origin="https://app.example"):
            method, where, headers = request(token=token)
            return http(broker.address, method, where, headers + [("X-Forwarded-For", address), ("Origin", origin)]).status

        token = mint("u1", "acme")
        equal([poll_from(a) for a in ("203.0.113.7", "203.0.113.8", "203.0.113.7")], [200, 403, 200], "by where it comes from")
        before = calls(broker, "authenticate", "jwt")
        equal(poll_from("203.0.113.7"), 200, "again")
        equal(calls(broker, "authenticate", "jwt"), before, "from home nobody is asked")
        equal(poll_from("203.0.113.7", "https://other.example"), 200, "from another page")
        equal(calls(broker, "authenticate", "jwt"), before + 1, "the token is looked at")


def test_tickets_of_one_token_share_its_session():
    with Broker(config(), files={"p.lua": POLICY}) as broker:
        token = mint("u1", "acme")
        poll(broker, token=token)
        for _ in range(3):
            text = http(broker.address, "POST", "/ticket", token=token).json()["ticket"]
            equal(http(broker.address, "GET", f"/poll?topics=a:1&wait=0&ticket={text}").status, 200, "by a ticket")
        equal((len(rows(broker)), calls(broker, "authorize", "p")), (1, 1), "one session, authorized once")


def test_a_session_lives_as_long_as_the_youngest_of_its_tokens():
    # tokens that are no JWT: the claims are the same whatever the token, and only the end differs
    names = """
    return policy { api = 1, authenticate = function(req, ctx)
      local user, seconds = req.token:match("^(%a+)%-(%d+)$")
      if not user then return deny("unauthorized") end
      return allow { user_id = user, tenant_id = "acme", claims = {}, expires_at = os.time() + tonumber(seconds) }
    end }"""
    entry = {"hooks": [{"name": "names", "lua": "names.lua"}]}
    with Broker(config(**entry), files={"p.lua": POLICY, "names.lua": names}) as broker:
        short, long = waiting(broker, token="anna-2"), waiting(broker, token="anna-600")
        equal(len(rows(broker)), 1, "one session")
        r = short()
        equal((r.status, r.json()["code"]), (401, "token_expired"), "the older token's poll ends with it")
        equal(http(broker.address, "POST", "/publish", body={"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": 1}}},
                   token="bob-60").status, 200, "publish")
        equal(payloads(long().json()), [{"n": 1}], "the younger one's goes on")
        equal(len(rows(broker)), 1, "in the same session")


def test_it_counts_once_in_the_limits_whichever_workers_it_meets():
    with Broker(config(4, {"connections": 1, "subscriptions": 2}), files={"p.lua": POLICY}) as broker:
        for n in range(60):
            poll(broker, "a:1,b:1", token=mint("u1", "acme", ttl=600 + n % 3))
        workers = {row["worker"] for row in rows(broker)}
        check(len(workers) > 1, "all polls met one worker: this test shows nothing")
        equal(poll(broker, "a:1", token=mint("u2", "acme"), status=429)["code"], "rate_limited", "another user finds no room")
        equal(poll(broker, "a:1", status=429)["code"], "rate_limited", "nor do other topics of the same")
        WsClient(broker.address, token=mint("u2", "acme"), protocols=V1).expect_close(4429)
        http(broker.admin_address, "POST", "/api/sessions/disconnect", body={"tenant": "acme"}, token=ADMIN_TOKEN)
        wait_until(lambda: broker.metric("hookwire_sessions") == 0, 10, "the sessions to end", interval=0.01)
        with WsClient(broker.address, token=mint("u2", "acme"), protocols=V1) as ws:
            ws.recv_where({"type": "welcome"})
            equal(ws.request({"type": "subscribe", "topics": ["a:1", "b:1"]})["topics"]["b:1"]["ok"], True, "all was given back")
    with Broker(config(1, {"connections": 5, "subscriptions": 2}), files={"p.lua": POLICY}) as broker:
        equal(poll(broker, "a:1,b:1,c:1", status=403)["code"], "topic_limit", "too many subscriptions")
        poll(broker, "a:1,b:1")


def test_what_it_sees_is_filtered_and_redacted_whether_it_was_there_or_comes():
    with Broker(config(), files={"p.lua": POLICY}) as broker:
        wanted = {"owner": [{"n": n, "price": 5} for n in range(3)], "child": [{"n": n} for n in range(3)],
                  "guest": [{"n": n, "price": 5} for n in (0, 2)]}
        tokens = {role: mint("u1", "acme", role=role) for role in wanted}
        cursors = {role: poll(broker, token=tokens[role])["cursor"] for role in wanted}
        guest = waiting(broker, cursor=cursors["guest"], token=tokens["guest"])
        child = waiting(broker, cursor=cursors["child"], token=tokens["child"])
        publish(broker, "a:1", 1, price=5)
        equal(payloads(child().json()), [{"n": 1}], "live, redacted")
        wait_until(lambda: broker.metric("hookwire_events_withheld_total", reason="filtered") == 1, 10, "it was withheld")
        equal(in_wait(broker), 1, "who may not see it waits on")
        publish(broker, "a:1", 2, price=5)
        equal(payloads(guest().json()), [{"n": 2, "price": 5}], "live, filtered")
        start = poll(broker)["cursor"]
        for n in range(3):
            publish(broker, "a:1", n, price=5)
        for role, seen in wanted.items():
            equal(payloads(poll(broker, cursor=start, token=tokens[role])), seen, f"{role}, from the journal")


def test_a_hook_that_waits_and_clients_that_do_not():
    with Broker(config(2), files={"p.lua": POLICY}) as broker:
        for _ in range(6):
            with HttpConnection(broker.address) as c:
                c.send(c.format(*request("slow:1", wait=20)))
        answers = [in_background(lambda: poll(broker, "slow:1", wait=0)) for _ in range(4)]
        for answer in answers:
            equal(answer()["events"], [], "answered once it is decided")
        equal(poll(broker, "slow:1,secret:1", status=403)["message"], "secret:1: not yours", "refused, with the policy's words")


def test_access_that_is_revoked_ends_a_poll_that_waits_and_the_next_one():
    with Broker(config(2), files={"p.lua": POLICY}) as broker:
        both, kept = waiting(broker, "a:1,b:1"), waiting(broker, "a:1")
        put(broker, NO_B)
        r = both()
        equal((r.status, r.json()["code"]), (403, "forbidden_topic"), "the one that waits")
        equal(poll(broker, "a:1,b:1", status=403)["message"], "b:1: no more", "the next one")
        publish(broker, "a:1", 1)
        equal(payloads(kept().json()), [{"n": 1}], "who may still see all of its topics goes on")


def test_nothing_is_given_before_the_new_policy_has_been_asked():
    slow = NO_B.replace("subscribe = function(s, topic)", "subscribe = function(s, topic, ctx) ctx.sleep(4000)")  # longer than a busy machine needs for what is asked meanwhile
    tenants = {"*": {"hooks": [{"name": "p", "lua": "p.lua", "revoke": "now", "budget": {"deadline_ms": 60000}}]}}
    with Broker(config(tenants=tenants), files={"p.lua": POLICY}) as broker:
        gone, kept = waiting(broker, "b:1"), waiting(broker, "a:1")
        put(broker, slow)
        publish(broker, "b:1", 1)
        publish(broker, "a:1", 2)
        r = poll(broker, "a:1", wait=0, status=503)
        equal((r["code"], r["retryable"]), ("unavailable", True), "a poll that does not wait is told to come again")
        equal(gone().status, 403, "what is revoked gets nothing")
        equal(payloads(kept().json()), [{"n": 2}], "what is not loses nothing")


def test_a_poll_that_ends_before_it_could_begin_has_no_place_to_go_on_from():
    slow = POLICY.replace('if topic.resource == "slow" then ctx.sleep(300) end', "ctx.sleep(1500)")
    tenants = {"*": {"hooks": [{"name": "p", "lua": "p.lua", "revoke": "now"}]}}
    with Broker(config(tenants=tenants), files={"p.lua": POLICY}) as broker, HttpConnection(broker.address) as late:
        publish(broker, "a:1", 1)
        cursor = publish(broker, "a:1", 2)
        early = waiting(broker, "a:1", cursor)
        put(broker, slow)
        before = broker.metric("hookwire_http_requests_total")
        late.send(late.format(*request("a:1", cursor, wait=40)))
        wait_until(lambda: broker.metric("hookwire_http_requests_total") > before, 5, "the poll to be read", interval=0.01)
        http(broker.admin_address, "POST", "/api/sessions/disconnect", body={"tenant": "acme", "user": "u1", "code": 1001}, token=ADMIN_TOKEN)
        equal(early().json(), {"events": [], "cursor": cursor, "gap": False}, "the one that had begun")
        r = late.read_response(timeout=10)
        equal((r.status, r.json().get("code"), r.json().get("cursor")), (503, "draining", None), "the one that had not")


def test_the_end_of_the_token_ends_the_poll():
    with Broker(config(), files={"p.lua": POLICY}) as broker:
        began = time.monotonic()
        r = waiting(broker, token=mint("u1", "acme", ttl=2))()
        equal((r.status, r.json()["code"]), (401, "token_expired"), "the answer")
        check(time.monotonic() - began < scaled(4), "it came in time")
        wait_until(lambda: not rows(broker), 5, "the session to end", interval=0.02)


def test_operators_end_it():
    with Broker(config(), files={"p.lua": POLICY}) as broker:
        for body, status, code in (({"code": 4403, "reason": "go: away"}, 403, "forbidden_topic"), ({"code": 4401}, 401, "unauthorized"),
                                   ({"code": 1001}, 200, None), ({"code": 4999}, 503, "unavailable")):
            answer = waiting(broker)
            http(broker.admin_address, "POST", "/api/sessions/disconnect", body={"tenant": "acme", "user": "u1", **body}, token=ADMIN_TOKEN)
            r = answer()
            equal((r.status, r.json().get("code")), (status, code), str(body))
            wait_until(lambda: not rows(broker), 5, "the session to end", interval=0.02)
        poll(broker)


def test_draining_answers_all_that_wait_with_their_cursor():
    with Broker(config(2, drain_ms=1000), files={"p.lua": POLICY}) as broker:
        cursor = publish(broker, "a:1", 1)
        answers = [waiting(broker, "a:1", cursor, token=mint(f"u{n}", "acme")) for n in range(10)]
        poll(broker, token=mint("idle", "acme"))
        began = time.monotonic()
        broker.sigterm()
        for answer in answers:
            r = answer()
            equal((r.status, r.json()), (200, {"events": [], "cursor": cursor, "gap": False}), "empty, with the cursor")
            equal((r.header("Retry-After"), r.header("Connection")), ("1", "close"), "when to come again")
        check(time.monotonic() - began < scaled(3), "within drain_ms")
        broker.process.wait(scaled(5))
        equal(broker.process.returncode, 0, "exit code")


def test_an_attempt_while_draining_is_sent_away():
    with Broker(config(drain_ms=3000), files={"p.lua": POLICY}) as broker, HttpConnection(broker.address) as c:
        with WsClient(broker.address, token=mint("w", "acme"), protocols=V1) as one, WsClient(broker.address, token=mint("w", "acme"), protocols=V1) as two:
            for ws in (one, two):
                ws.recv_where({"type": "welcome"})
            broker.sigterm()
            two.recv_where({"type": "goaway"})
            r = c.request(*request("a:1"))
            equal((r.status, r.json()["code"]), (503, "draining"), "the answer")
            equal(r.header("Retry-After"), "1", "Retry-After")


def test_who_explains_knows_it():
    with Broker(config(), files={"p.lua": POLICY}) as broker:
        answer = waiting(broker)
        event = publish(broker, "a:1", 3)
        answer()
        r = http(broker.admin_address, "GET", f"/api/explain?event={event}&user=u1&tenant=acme", token=ADMIN_TOKEN)
        equal(r.status, 200, f"explain: {r.body[:300]}")
        contains(r.body.decode(), '"transport":"poll"', "the session's transport")


def test_nothing_is_lost_and_nothing_twice_over_many_connections_and_workers():
    with Broker(config(4), files={"p.lua": POLICY}) as broker:
        total, topics, done = 3000, ["a:1", "c:1"], threading.Event()
        start = poll(broker, "a:1,c:1")["cursor"]

        def write():
            chance, n = random.Random(7), 0
            with HttpConnection(broker.address) as c:
                headers = [("Authorization", "Bearer " + mint("backend", "acme"))]
                while n < total:
                    size = min(chance.randint(1, 9), total - n)
                    events = [{"topic": (topics + ["other:1"])[k % 3], "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": k}}} for k in range(n, n + size)]
                    equal(c.request("POST", "/publish", headers, events).status, 200, "publish")
                    n += size
            done.set()

        def read(seed):
            chance, cursor, got = random.Random(seed), start, []
            while True:
                last = done.is_set()
                if chance.random() < 0.1:
                    with WsClient(broker.address, token=mint("u1", "acme"), protocols=V1, query={"topics": "a:1,c:1", "cursor": cursor}) as ws:
                        for _ in range(chance.randint(1, 3)):
                            try:
                                event = ws.recv_event(timeout=1)
                            except TimeoutError:
                                break  # the writer may have ended meanwhile, and all be read
                            got.append(event["data"]["payload"]["n"])
                            cursor = event["id"]
                    continue
                answer = poll(broker, "a:1,c:1", cursor, wait=chance.choice((0, 1)), token=mint(f"u{seed}", "acme"))
                equal(answer["gap"], False, "gap")
                got += [p["n"] for p in payloads(answer)]
                cursor = answer["cursor"]
                if last and not answer["events"]:
                    return got

        readers = [in_background(lambda s=s: read(s), timeout=120) for s in range(4)]
        writer = in_background(write, timeout=120)
        writer()
        wanted = [k for k in range(total) if k % 3 < 2]
        for reader in readers:
            got = reader()
            check(got == wanted, f"{len(got)} of {len(wanted)} events, {len(got) - len(set(got))} twice, in order: {got == sorted(got)}")


main()
