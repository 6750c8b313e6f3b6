#!/usr/bin/python3
# Why a user got an event or did not: on two workers, from the journal, from what the policy says now, and from what was refused lately.
# ctest: timeout=120
import json
import pathlib
import sys
import threading
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
SECRET = "a-claim-that-nobody-reads"
POLICY = """
return policy {
  api = 1,
  reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = {
    subscribe = function(s, topic)
      if topic.resource == "closed" then return deny("forbidden_topic", "this is closed to " .. s.user_id) end
      if topic.resource ~= "odd" then return allow() end
    end,
    wildcard = function(s, topic) if topic.resource == "gift" then return allow() end end,
    publish = function(s, topic) if topic.resource == "readonly" then return deny("forbidden_topic", "read only") end return allow() end,
  },
  transform = function(event) if event.data.payload and event.data.payload.drop then return nil end return event end,
  filter = function(event, audience)
    if audience.claims.role == "broken" then error("no such thing") end
    return audience.claims.role ~= "guest" or not (event.data.payload or {}).staff
  end,
  redact = function(event, audience)
    if audience.claims.role == "child" and event.data.payload then event.data.payload.price = nil end
    return event
  end,
}
"""
CHAIN = {"hooks": [{"name": "family", "lua": "family.lua"}], "limits": {"publish_per_s": 1000000, "connections": 10000}}
CONFIG = {"workers": 2, "tenants": {"*": CHAIN}}
FILES = {"family.lua": POLICY}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def broker_of(**more):
    return Broker(merge(CONFIG, more), files=FILES)


def client_of(broker, user, *topics, tenant="acme", role=None, **options):
    client = WsClient(broker.address, token=mint(user, tenant, role=role, note=SECRET), protocols=V1, **options)
    client.id = client.recv_where({"type": "welcome"})["session"]
    if topics:
        client.subscribe(*topics)
    return client


def refused(client, topic):
    reply = client.request({"type": "subscribe", "topics": [topic]})
    equal(reply["topics"][topic], {"ok": False, "code": "forbidden_topic"}, "subscribe")


def publish(broker, topic="gift:1", payload=None, tenant="acme", user="backend", **members):
    answer = broker.publish(topic, data={"entity_id": "g1", "payload": payload or {}, **members.pop("data", {})}, tenant=tenant, user=user, **members)
    equal(answer.status, 200, f"publish: {answer.body}")
    return answer.json().get("id")


def ask(broker, status=200, **query):
    answer = http(broker.admin_address, "GET", "/api/explain?" + urllib.parse.urlencode(query), token=ADMIN_TOKEN)
    equal(answer.status, status, f"GET /api/explain {query}: {answer.body}")
    check(SECRET.encode() not in answer.body, "a claim that nobody reads is in the answer")
    return answer.json()


def explain(broker, event, user, **query):
    return ask(broker, event=event, user=user, **query)


def settled(broker, event, user, outcome):
    """Asks until the worker has read that far."""
    return wait_until(lambda: (lambda x: x if x["outcome"] == outcome else None)(explain(broker, event, user)), what=f"{user}: {outcome}")


def cli_explain(broker, *options, env=None):
    return cli("explain", "--url", f"http://{broker.admin_address}", *options, env=env or {"HOOKWIRE_ADMIN_TOKEN": ADMIN_TOKEN})


def flood(broker):
    """12 MB: more than the sockets' buffers hold."""
    with HttpConnection(broker.address) as connection:
        for _ in range(20):
            items = [{"topic": "gift:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"fill": "x" * 60000}}}] * 10
            equal(connection.request("POST", "/publish", [("Authorization", "Bearer " + mint("backend"))], items).status, 200, "publish")


def test_who_got_it_and_who_did_not_and_why():
    with broker_of() as broker, client_of(broker, "anna", "gift:1", "gift:*") as anna, client_of(broker, "gus", "gift:1", role="guest") as gus, \
            client_of(broker, "kim", "gift:1", role="child") as kim, client_of(broker, "ben", "gift:2") as ben, \
            client_of(broker, "eve", "gift:1", role="broken") as eve:
        event = publish(broker, payload={"price": 5, "staff": True}, headers=[("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")])
        anna.recv_event()
        equal("price" in kim.recv_event()["data"]["payload"], False, "what the child gets")
        # sent, as it is stored; what is recorded of the event
        x = settled(broker, event, "anna", "sent")
        contains(x["event"], {"id": event, "tenant": "acme", "topic": "gift:1", "event": "UPDATED", "entity_id": "g1", "published_by": "backend",
                              "trace": TRACE, "view_change": False}, "the event")
        check("payload" not in x["event"], "a payload in the answer")
        contains(x["stored"], {"in_journal": True, "seq": int(event.rpartition("-")[2]), "class": "default"}, "where it is stored")
        equal(x["transform"]["registered"], [{"hook": "family", "global": False}], "who may have changed it")
        equal((x["sessions_total"], x["sessions_more"], x["generation"], x["refusals"]), (1, 0, 1, []), "counts")
        session = x["sessions"][0]
        contains(session, {"session": anna.id, "transport": "ws", "outcome": "sent", "outcome_is": "recorded", "lagging": False, "queued_bytes": 0, "if_subscribed": None}, "session")
        equal([s["topic"] for s in session["subscriptions"]], ["gift:1", "gift:*"], "both subscriptions match")
        for sub in session["subscriptions"]:
            contains(sub, {"before_event": True, "admitted": {"verdict": "allow", "cached": True, "policy": "in force"}}, "subscription")
            contains(sub["authorize"], {"verdict": "allow", "code": None, "hook": "family", "cached": False,
                                        "asked": [{"hook": "family", "global": False, "answer": "allow"}]}, "authorize now")
        contains(session["seen"], {"verdict": "allow", "cached": True, "gets": "as stored", "hook": ""}, "what it sees")
        # redacted: what was answered on delivery is still known
        seen = settled(broker, event, "kim", "sent")["sessions"][0]["seen"]
        contains(seen, {"verdict": "allow", "cached": True, "gets": "redacted"}, "what the child sees")
        equal(seen["asked"], [
            {"stage": "filter", "hook": "family", "global": False, "of": "event", "reads": {"claims.role": "child"}, "answer": "allow"},
            {"stage": "redact", "hook": "family", "global": False, "of": "event", "reads": {"claims.role": "child"}, "answer": "allow", "changed": True}],
            "who was asked, from what")
        # filtered, by whom, from what
        x = settled(broker, event, "gus", "filtered")
        contains(x["sessions"][0]["seen"], {"verdict": "deny", "cached": True, "gets": "nothing", "hook": "family", "asked": [
            {"stage": "filter", "hook": "family", "global": False, "of": "event", "reads": {"claims.role": "guest"}, "answer": "deny"}]}, "the filter")
        seen = settled(broker, event, "eve", "hook_failed")["sessions"][0]["seen"]
        contains(seen, {"verdict": "error", "hook": "family"}, "a hook that failed")
        check("no such thing" in seen["asked"][0]["why"], f"why: {seen}")
        # not subscribed, and what it would be told; nobody there
        session = explain(broker, event, "ben")["sessions"][0]
        contains(session, {"outcome": "not_subscribed", "subscriptions": [], "seen": None}, "not subscribed")
        contains(session["if_subscribed"], {"verdict": "allow", "hook": "family"}, "if it subscribed")
        contains(explain(broker, event, "nobody"), {"outcome": "not_connected", "sessions": [], "sessions_total": 0}, "not connected")
        # subscribed after it
        ben.subscribe("gift:1")
        session = explain(broker, event, "ben")["sessions"][0]
        contains(session, {"outcome": "subscribed_later"}, "later")
        equal(session["subscriptions"][0]["before_event"], False, "later")
        equal(gus.drain(0.05) + eve.drain(0.05), [], "what they got")
        for client in (anna, kim, ben):
            equal(client.drain(0.05), [], "what a client heard of being explained")


def test_a_verdict_that_is_no_longer_kept_is_asked_for_and_says_so():
    with broker_of() as broker, client_of(broker, "gus", "gift:1", role="guest"):
        event = publish(broker, payload={"staff": True})
        calls = broker.metric("hookwire_hook_calls_total")
        equal(settled(broker, event, "gus", "filtered")["sessions"][0]["seen"]["cached"], True, "kept")
        for n in range(300):  # the next in its place
            publish(broker)
        x = settled(broker, event, "gus", "filtered")
        contains(x["sessions"][0]["seen"], {"verdict": "deny", "cached": False, "hook": "family"}, "asked again")
        equal(x["sessions"][0]["outcome_is"], "recomputed", "from what")
        calls = broker.metric("hookwire_hook_calls_total")
        withheld = broker.metric("hookwire_events_withheld_total")
        explain(broker, event, "gus")
        equal((broker.metric("hookwire_hook_calls_total"), broker.metric("hookwire_events_withheld_total")), (calls, withheld), "what is counted")


def test_a_view_change_is_explained_as_it_is_delivered():
    with broker_of() as broker, client_of(broker, "gus", "gift:1", role="guest") as gus:
        hidden = publish(broker, payload={"staff": True}, data={"previous": {}})
        equal(gus.recv_event()["event"], "DELETED", "what the guest gets")
        seen = settled(broker, hidden, "gus", "sent")["sessions"][0]["seen"]
        contains(seen, {"verdict": "allow", "gets": "DELETED"}, "sight is lost")
        equal([(a["of"], a["answer"]) for a in seen["asked"] if a["stage"] == "filter"], [("event", "deny"), ("previous", "allow")], "both were asked")
        shown = publish(broker, payload={}, data={"previous": {"staff": True}})
        equal(gus.recv_event()["event"], "ADDED", "what the guest gets")
        contains(settled(broker, shown, "gus", "sent")["sessions"][0]["seen"], {"gets": "ADDED"}, "sight is gained")
        never = publish(broker, payload={"staff": True}, data={"previous": {"staff": True}})
        contains(settled(broker, never, "gus", "filtered")["sessions"][0]["seen"], {"gets": "nothing"}, "never seen")


def test_what_was_refused_is_remembered():
    with broker_of() as broker, client_of(broker, "ben", "gift:1") as ben, client_of(broker, "kim", tenant="beta") as kim:
        event = publish(broker, "closed:1")
        for _ in range(3):
            refused(ben, "closed:1")
        refused(ben, "closed:*")
        refused(kim, "closed:1")
        x = explain(broker, event, "ben")
        equal(x["outcome"], "not_subscribed", "outcome")
        contains(x["sessions"][0]["if_subscribed"], {"verdict": "deny", "code": "forbidden_topic", "hook": "family", "cached": False}, "authorize now")
        equal([(r["what"], r["tenant"], r["user"], r["topic"], r["code"], r["hook"], r["times"]) for r in x["refusals"]],
              [("subscribe", "acme", "ben", "closed:*", "forbidden_topic", None, 1),
               ("subscribe", "acme", "ben", "closed:1", "forbidden_topic", "family", 3)], "what was refused to this user, in this tenant")
        check("closed to ben" not in json.dumps(x), "a hook's words")
        equal(explain(broker, publish(broker, "gift:9"), "ben")["refusals"], [], "of another topic")
        equal(explain(broker, event, "kim")["refusals"], [], "of another tenant's user of that name")
        # an event that was refused, or dropped, has no id: it is found by its trace
        equal(broker.publish("readonly:1", user="mallory", data={"entity_id": "e", "payload": {"pin": "1234"}}, trace_id="t-refused").status, 403, "refused")
        x = ask(broker, trace="t-refused", user="ben")
        equal((x["event"], x["outcome"]), (None, "not_published"), "the event")
        contains(x["refusals"][0], {"what": "publish", "tenant": "acme", "user": "mallory", "topic": "readonly:1", "code": "forbidden_topic",
                                    "hook": "family", "why": None, "trace": "t-refused", "times": 1}, "who refused it")
        check("1234" not in json.dumps(x), "a payload")
        equal(publish(broker, payload={"drop": True}, trace_id="t-dropped"), None, "no id: a hook dropped it")
        contains(ask(broker, trace="t-dropped")["refusals"][0], {"what": "dropped", "code": None, "hook": "family", "user": "backend"}, "who dropped it")
        # what the broker itself refuses has its own words; by WebSocket as by POST
        reply = ben.request({"type": "publish", "topic": "readonly:1", "event": "UPDATED", "trace_id": "t-ws", "data": {"entity_id": "e"}})
        equal(reply["code"], "forbidden_topic", "by WebSocket")
        contains(ask(broker, trace="t-ws")["refusals"][0], {"what": "publish", "user": "ben"}, "by WebSocket")
        headers = [("Idempotency-Key", "k")]
        publish(broker, headers=headers)
        equal(broker.publish("gift:1", headers=headers, trace_id="t-422").status, 422, "another event with the same key")
        contains(ask(broker, trace="t-422")["refusals"][0], {"code": "bad_request", "hook": None, "why": "this idempotency key was used for another event"}, "why")
        # a tenant that is named is the only one that is told of
        ask(broker, 404, trace="t-refused", tenant="beta")


def test_what_a_reload_takes_away_is_remembered():
    with broker_of(reauth_ms=0) as broker, client_of(broker, "ben", "gift:1") as ben:
        event = publish(broker)
        ben.recv_event()
        broker.write_file("family.lua", POLICY.replace('"closed"', '"gift"'))
        broker.sighup()
        ben.recv_where({"type": "unsubscribed"})
        x = explain(broker, event, "ben")
        equal((x["outcome"], x["generation"]), ("not_subscribed", 2), "now")
        contains(x["refusals"][0], {"what": "revoked", "topic": "gift:1", "code": "forbidden_topic", "hook": "family"}, "what took it away")
        broker.write_file("family.lua", POLICY.replace("subscribe = f", 'session = function(s) return deny("forbidden_topic") end,\n    subscribe = f'))
        broker.sighup()
        ben.expect_close(4403)
        x = wait_until(lambda: (lambda x: x if x["outcome"] == "not_connected" else None)(explain(broker, event, "ben")), what="gone")
        contains(x["refusals"][0], {"what": "session", "topic": None, "code": "forbidden_topic", "hook": "family"}, "what ended it")


def test_why_a_session_is_gone_or_gets_nothing_now():
    with broker_of(slow={"outbox_bytes": 16384, "deadline_ms": 300}) as broker, client_of(broker, "slow", "gift:1", receive_buffer=4096) as slow:
        flood(broker)
        wait_until(lambda: broker.metric("hookwire_sessions") == 0, what="the slow one's end")
        x = explain(broker, publish(broker), "slow")
        equal(x["outcome"], "not_connected", "outcome")
        contains(x["refusals"][0], {"what": "session", "code": "slow_consumer", "hook": None, "topic": None}, "why")
        slow.abort()
        with WsClient(broker.address, token=mint("brief", ttl=2), protocols=V1) as brief:
            brief.expect_close(4401)
        contains(explain(broker, publish(broker), "brief")["refusals"][0], {"what": "session", "code": "token_expired"}, "why")
    # an entry that revokes now holds its sessions until they are asked again
    hooks = [{"name": "family", "lua": "family.lua", "revoke": "now"}]
    with broker_of(tenants={"*": {"hooks": hooks}}) as broker, client_of(broker, "anna", "gift:1") as anna:
        broker.write_file("family.lua", POLICY.replace("subscribe = function(s, topic)", "subscribe = function(s, topic, ctx) ctx.sleep(1500)"))
        broker.sighup()
        wait_until(lambda: broker.metric("hookwire_generation") == 2, what="the reload")
        event = publish(broker)
        x = explain(broker, event, "anna")
        contains(x["sessions"][0], {"outcome": "held", "held": True}, "held")
        anna.recv_event()
        settled(broker, event, "anna", "sent")


def test_by_trace_the_newest_first_in_every_tenant():
    with broker_of() as broker, client_of(broker, "anna", "gift:1") as anna:
        ids = [publish(broker, trace_id="shared", payload={"note": '"trace_id":"decoy"'}) for _ in range(3)]
        for _ in range(2500):  # more than it looks through at once
            anna.send_json({"type": "publish", "topic": "noise:1", "event": "UPDATED", "data": {"entity_id": "n"}})
        anna.ping()
        anna.drain(0.05)
        other = publish(broker, trace_id="shared", tenant="beta")
        x = ask(broker, trace="shared", tenant="acme", user="anna")
        equal(x["event"]["id"], ids[2], "the newest of the tenant")
        equal([a["id"] for a in x["search"]["also"]], [ids[1], ids[0]], "the others")
        equal((x["outcome"], x["search"]["complete"]), ("sent", True), "the user")
        check(x["search"]["looked_at"] >= 2503, f"looked at: {x['search']}")
        contains(ask(broker, trace="shared", tenant="beta")["event"], {"id": other, "tenant": "beta"}, "the other tenant's")
        contains(ask(broker, trace="shared")["event"], {"id": other}, "the newest of all")
        check({"id": ids[2], "tenant": "acme"} in ask(broker, trace="shared")["search"]["also"], "the other tenants'")
        for query in ({"trace": "decoy"}, {"trace": "share"}, {"trace": "shared", "tenant": "gamma"}):
            ask(broker, 404, **query)


def test_no_event_is_shown_under_another_tenants_name():
    with broker_of() as broker, client_of(broker, "anna", "gift:1"), client_of(broker, "anna", "gift:1", tenant="beta") as there:
        mine, theirs = publish(broker), publish(broker, tenant="beta", user="beta-backend")
        equal(mine.rpartition("-")[2], theirs.rpartition("-")[2], "the same number")
        for event, tenant in ((mine, "acme"), (theirs, "beta")):
            for query in ({}, {"tenant": tenant}):
                x = settled(broker, event, "anna", "sent") if not query else explain(broker, event, "anna", **query)
                equal((x["event"]["tenant"], x["sessions_total"]), (tenant, 1), "whose")
        equal(explain(broker, theirs, "anna")["sessions"][0]["session"], there.id, "whose session")
        for event, tenant in ((mine, "beta"), (theirs, "acme"), (mine, "nobody")):
            answer = ask(broker, 404, event=event, user="anna", tenant=tenant)
            check("tenant" in answer["message"] and "backend" not in json.dumps(answer), f"message: {answer}")


def test_what_is_gone_and_what_never_was():
    with broker_of(journal={"retention": {"count": 10}}, topics={"fleeting:*": {"history": "none"}}) as broker, client_of(broker, "anna", "gift:1"):
        gone = publish(broker)
        for _ in range(60):
            last = publish(broker)
        x = explain(broker, gone, "anna")
        equal((x["outcome"], x["stored"]["in_journal"], x["sessions"]), ("gone", False, []), "gone")
        check("topic" not in x["event"], f"event: {x['event']}")
        epoch, _, number = last.rpartition("-")
        ask(broker, 404, event=f"{epoch}-{int(number) + 1}", user="anna")
        publish(broker, "fleeting:1")
        ask(broker, 404, event=f"{epoch}-{int(number) + 1}", user="anna")
        ask(broker, 404, event=f"{epoch}-0", user="anna")
        ask(broker, 404, event=f"zzzz{number}-{number}", user="anna")
        for query in ("", "user=anna", f"event={last}", f"event={last}&trace=a&user=anna", f"event={last}&user=anna&tenent=acme", "event=&user=anna",
                      "event=nonsense&user=anna", "event=a-01&user=anna", f"event={last}&user=anna&user=anna", "trace=%zz"):
            answer = http(broker.admin_address, "GET", "/api/explain?" + query, token=ADMIN_TOKEN)
            equal((answer.status, answer.json()["code"]), (400, "bad_request"), query)
        equal(http(broker.admin_address, "GET", f"/api/explain?event={last}&user=anna").status, 401, "no token")
        equal(http(broker.admin_address, "GET", f"/api/explain?event={last}&user=anna", token=mint("anna")).status, 401, "a client's token")
        equal(http(broker.address, "GET", f"/api/explain?event={last}&user=anna", token=ADMIN_TOKEN).status, 404, "on the public listener")
        equal(http(broker.admin_address, "POST", f"/api/explain?event={last}&user=anna", {"Content-Type": "application/json"}, {}, ADMIN_TOKEN).status, 405, "POST")


def test_a_slow_session_is_told_to_lag():
    with broker_of(slow={"outbox_bytes": 16384, "deadline_ms": 60000}) as broker, \
            client_of(broker, "slow", "gift:1", receive_buffer=4096) as slow:
        flood(broker)
        last = publish(broker)
        x = settled(broker, last, "slow", "lagging")
        contains(x["sessions"][0], {"lagging": True, "socket_full": True}, "session")
        check(int(x["sessions"][0]["cursor"].rpartition("-")[2]) < int(last.rpartition("-")[2]), f"cursor: {x['sessions'][0]}")
        shown = cli_explain(broker, "--event", last, "--user", "slow").stdout
        check("a slow client" in shown and "behind" in shown, f"said: {shown}")
        while slow.recv_event(timeout=10)["id"] != last:
            pass
        settled(broker, last, "slow", "sent")


def test_many_sessions_are_counted_and_the_first_are_told():
    with broker_of() as broker:
        clients = [client_of(broker, "many", "gift:1") for _ in range(40)]
        event = publish(broker)
        for client in clients:
            client.recv_event()
        x = settled(broker, event, "many", "sent")
        equal((x["sessions_total"], len(x["sessions"]), x["sessions_more"]), (40, 16, 24), "told, and not told")
        ids = [s["session"] for s in x["sessions"]]
        equal(ids, sorted(ids), "in order")
        equal({s["worker"] for s in x["sessions"]} <= {0, 1}, True, "workers")
        for client in clients:
            client.close()


def test_a_hook_that_waits_is_waited_for_and_takes_no_effect():
    waiting = POLICY.replace("subscribe = function(s, topic)", """subscribe = function(s, topic, ctx)
      ctx.sleep(200)
      ctx.publish { topic = "audit:1", event = "ASKED", data = { entity_id = s.user_id } }""")
    with Broker(CONFIG, files={"family.lua": waiting}) as broker, client_of(broker, "ben", "gift:1") as ben, client_of(broker, "watch", "audit:1") as watch:
        event = publish(broker)
        ben.recv_event()
        watch.drain(0.3)
        x = explain(broker, event, "ben")
        contains(x["sessions"][0]["subscriptions"][0]["authorize"], {"verdict": "allow", "hook": "family"}, "what it said in the end")
        equal(watch.drain(0.3), [], "what it published, being asked for an explanation")


def test_under_load_the_order_is_not_disturbed():
    with broker_of() as broker, client_of(broker, "anna", "gift:1") as anna, client_of(broker, "gus", "gift:1", role="guest") as gus:
        first, count, asked = publish(broker, payload={"n": -1}), 3000, []
        stop = threading.Event()

        def keep_asking():
            while not stop.is_set():
                for user in ("anna", "gus"):
                    asked.append(explain(broker, first, user)["outcome"])
                asked.append(ask(broker, trace=TRACE, status=404)["code"])

        asker = in_background(keep_asking)
        with HttpConnection(broker.address) as connection:
            bearer = [("Authorization", "Bearer " + mint("backend"))]
            for start in range(0, count, 50):
                items = [{"topic": "gift:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n, "staff": n % 2 == 1}}}
                         for n in range(start, start + 50)]
                equal(connection.request("POST", "/publish", bearer, items).status, 200, "publish")
        wait_until(lambda: len(asked) > 12, what="explanations")
        stop.set()
        asker()
        equal([anna.recv_event()["data"]["payload"]["n"] for _ in range(count + 1)], list(range(-1, count)), "anna")
        equal([gus.recv_event()["data"]["payload"]["n"] for _ in range(count // 2 + 1)], [-1, *range(0, count, 2)], "gus")
        equal(anna.drain(0.05) + gus.drain(0.05), [], "anything more")
        check(set(asked) <= {"sent", "queued", "bad_request"}, f"what was answered: {set(asked)}")


def test_the_command_tells_a_person():
    with broker_of() as broker, client_of(broker, "gus", "gift:1", role="guest"), client_of(broker, "ben") as ben:
        event = publish(broker, payload={"staff": True}, trace_id=TRACE)
        settled(broker, event, "gus", "filtered")
        done = cli_explain(broker, "--event", event, "--user", "gus")
        equal((done.returncode, done.stderr), (0, ""), "exit code")
        for part in (f'event {event} of tenant "acme": "UPDATED" on gift:1', 'published by "backend"', "still in the journal", '"family"',
                     'user "gus": never: a hook withholds it', 'filter "family" reads {"claims.role": "guest"}: deny', "[cached]", "generation 1"):
            check(part in done.stdout, f"{part!r} in {done.stdout}")
        equal(json.loads(cli_explain(broker, "--event", event, "--user", "gus", "--json").stdout)["outcome"], "filtered", "as JSON")
        refused(ben, "closed:1")
        shown = cli_explain(broker, "--event", publish(broker, "closed:1"), "--user", "ben").stdout
        for part in ("never: it follows no such topic", 'authorize: deny (forbidden_topic) by "family"', "a subscription was refused"):
            check(part in shown, f"{part!r} in {shown}")
        equal(cli_explain(broker, "--trace", TRACE, "--user", "gus", "--tenant", "acme").returncode, 0, "by trace")
        equal(broker.publish("readonly:1", trace_id="a b&c=d").status, 403, "refused")
        shown = cli_explain(broker, "--trace", "a b&c=d").stdout
        check("no event" in shown and 'an event was refused, topic "readonly:1"' in shown, f"said: {shown}")
        for options, code, words in ((("--event", "a-1", "--user", "gus"), 1, "no journal here"), (("--event", "x", "--user", "gus"), 1, "EPOCH-SEQ"),
                                     ((), 2, "say which event"), (("--event", event), 2, "--user"), (("--event", event, "--trace", "t"), 2, "say which"),
                                     (("--event", event, "--user", "gus", "more"), 2, "options alone"), (("--nonsense",), 2, "--help")):
            done = cli_explain(broker, *options)
            equal(done.returncode, code, f"exit code of {options}: {done.stderr}")
            check(words in done.stderr, f"{words!r} of {options}: {done.stderr}")
        done = cli_explain(broker, "--event", event, "--user", "gus", env={"HOOKWIRE_ADMIN_TOKEN": "wrong"})
        check(done.returncode == 1 and "401" in done.stderr, f"with a wrong token: {done}")
        done = cli_explain(broker, "--event", event, "--user", "gus", env={"HOOKWIRE_ADMIN_TOKEN": ""})
        check(done.returncode == 2 and "no admin token" in done.stderr, f"without a token: {done}")
        equal(cli("explain", "--help").returncode, 0, "help")


main()
