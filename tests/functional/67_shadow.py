#!/usr/bin/python3
# An entry with "shadow": true is asked and counted, and decides nothing: neither by its answer nor by what goes wrong in it, by the time it
# takes, by what it publishes, or by coming and going.
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
LIVE = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic, ctx)
      if topic.resource == "denied" then return deny("forbidden_topic") end
      if topic.resource == "waits" then ctx.sleep(500) end
      if topic.resource == "counts" and ctx.dict.get("n") ~= nil then return deny("forbidden_topic", "the shadow's value") end
      return allow()
    end,
    publish = function(s, topic) return allow() end,
  },
}
"""
# What it answers is in the topic's id; what it does besides, in the resource.
SHADOW = """
local function endless() while true do end end
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic, ctx)
      if not ctx.shadow then return deny("forbidden_topic", "it decides") end
      if topic.id == "denies" then return deny("forbidden_topic", "the shadow's words") end
      if topic.id == "fails" then error("on purpose") end
      if topic.id == "unavailable" then return unavailable("on purpose") end
      if topic.id == "endless" then endless() end
      if topic.id == "sleeps" then ctx.sleep(1500) return deny("forbidden_topic") end
      if topic.id == "defers" then return nil end
      if topic.id == "publishes" then
        local ok = ctx.publish { topic = "a:1", event = "SHADOW", data = { entity_id = "e1", payload = {} } }
        local again = ctx.reauthorize { user = s.user_id }
        ctx.dict.incr("n")
        ctx.metric("told", ok and again and ctx.dict.get("n") == 1 and 1 or 0)
      end
      return allow()
    end,
  },
  transform = function(event) if event.data.payload.n == 1 then event.data.payload.secret = "added" end
    if event.data.payload.n == 2 then return nil end return event end,
  filter = function(event) return event.data.payload.n ~= 3 end,
  redact = function(event) if event.data.payload.n == 4 then event.data.payload.n = 5 end return event end,
}
"""


def entries(*names, **more):
    return [{"name": name, "lua": f"{name}.lua", **(more if name == "shadow" else {})} for name in names]


def config(*names, **more):
    return {"workers": 1, "reauth_ms": 100, "tenants": {"*": {"hooks": entries(*names, **more)}}}


def broker_of(shadow=SHADOW, **more):
    """The shadow stands first, where it would decide everything."""
    return Broker(config("shadow", "live", shadow=True, **more), files={"live.lua": LIVE, "shadow.lua": shadow})


def client_of(broker, *topics):
    client = WsClient(broker.address, token=mint("anna"), protocols=V1)
    client.recv_where({"type": "welcome"})
    if topics:
        client.subscribe(*topics)
    return client


def ask(client, topic):
    """Whether the topic was subscribed to."""
    answer = client.request({"type": "subscribe", "topics": [topic]})
    return answer["topics"][topic]["ok"]


def counted(broker, stage, agrees):
    return broker.metric("hookwire_hook_shadow_total", hook="shadow", tenant="acme", stage=stage, agrees=agrees)


def wait_counted(broker, stage, yes, no):
    wait_until(lambda: (counted(broker, stage, "yes"), counted(broker, stage, "no")) == (yes, no), 10,
               f"{stage}: {yes} agree and {no} do not", interval=0.02)


def put(broker, *names, **more):
    """Another chain, in force."""
    mark = broker.log_mark()
    broker.write_config(merge(broker.config, {"tenants": {"*": {"hooks": entries(*names, **more)}}}))
    broker.sighup()
    broker.wait_log(r"reload: reloaded generation", since=mark)


def n_asked_again(broker):
    """How many sessions were authorized again, when nobody is due any more."""
    wait_until(lambda: broker.metric("hookwire_reauthorizations_due") == 0, 10, "nobody to be re-authorized", interval=0.02)
    return broker.metric("hookwire_reauthorizations_total")


def test_its_answers_are_counted_beside_what_was_decided():
    with broker_of() as broker, client_of(broker) as client:
        check(ask(client, "a:allows"), "both allow")
        check(ask(client, "a:defers"), "the shadow defers")
        check(ask(client, "a:denies"), "the shadow denies")
        check(ask(client, "a:fails"), "the shadow fails")
        check(not ask(client, "denied:allows"), "the shadow would let in")
        check(not ask(client, "denied:denies"), "both deny")
        wait_counted(broker, "authorize", 3, 3)
        equal(broker.metric("hookwire_hook_verdicts_total", hook="shadow", stage="authorize", verdict="deny"), 2, "denied")
        equal(broker.metric("hookwire_hook_errors_total", hook="shadow"), 1, "failed")
        told = http(broker.admin_address, "GET", "/api/hooks", token=ADMIN_TOKEN).json()["hooks"]
        hooks = {h["hook"]: h for h in told}
        equal(hooks["shadow"]["shadow"], {"dropped": 0}, "the shadow among the hooks")
        stage = next(s for s in hooks["shadow"]["stages"] if s["stage"] == "authorize")
        equal(stage["shadow"], {"agrees": 3, "differs": 3}, "its authorize")
        equal(hooks["live"]["shadow"], None, "the other")
        log = broker.wait_log(r"a shadow would have decided otherwise.*hook=shadow.*stage=authorize.*shadow=deny.*decided=allow.*by=live.*topic=a:denies")
        check(log is not None, "the first is told")
        equal(len(re.findall("a shadow would have decided otherwise", broker.log())), 1, "and those of the same second are not")
        check("the shadow's words" not in broker.log(), "what it would have said to a client is in the log")


def test_events_are_neither_changed_nor_withheld():
    with broker_of() as broker, client_of(broker, "a:1") as client:
        for n in range(6):
            broker.publish("a:1", data={"entity_id": "e1", "payload": {"n": n}})
            equal(client.recv_event()["data"]["payload"], {"n": n}, "what comes")
        wait_counted(broker, "transform", 4, 2)
        wait_counted(broker, "filter", 5, 1)
        wait_counted(broker, "redact", 5, 1)
        check("secret" not in broker.log(), "a payload is in the log")


def test_one_that_waits_holds_nothing_up():
    with broker_of() as broker, client_of(broker) as client:
        check(ask(client, "a:sleeps"), "allowed by the other")
        check(ask(client, "a:allows"), "and the next frame is not behind it")
        wait_until(lambda: broker.metric("hookwire_hook_pending", hook="shadow") == 1, 5, "it waits by itself", interval=0.02)
        wait_counted(broker, "authorize", 1, 1)
        equal(broker.metric("hookwire_hook_pending", hook="shadow"), 0, "it waits no more")


def test_one_that_is_ended_takes_nobody_with_it():
    if not lua_can_be_ended():
        return
    with broker_of() as broker, client_of(broker) as client, client_of(broker) as other:
        client.send_json({"type": "subscribe", "topics": ["waits:1"], "id": "r1"})
        wait_until(lambda: broker.metric("hookwire_hook_pending", hook="live") == 1, 5, "the live one waits", interval=0.005)
        check(ask(other, "a:endless"), "allowed by the other")
        wait_until(lambda: broker.metric("hookwire_lua_kills_total", hook="shadow") == 1, 5, "it is ended", interval=0.01)
        equal(client.recv_where({"id": "r1"})["topics"]["waits:1"]["ok"], True, "the live answer")
        equal(broker.metric("hookwire_hook_errors_total", hook="live"), 0, "the live one's errors")


def test_an_open_breaker_of_it_changes_nothing():
    with broker_of(breaker={"failures": 2, "open_ms": 60000, "open_max_ms": 60000}) as broker, client_of(broker) as client:
        for n in range(6):
            check(ask(client, "a:unavailable"), "allowed by the other")
            client.request({"type": "unsubscribe", "topics": ["a:unavailable"]})
            wait_counted(broker, "authorize", 0, n + 1)
        equal(broker.metric("hookwire_hook_breaker_refused_total", hook="shadow"), 4, "left alone")


def test_what_it_does_besides_reaches_nobody():
    with broker_of() as broker, client_of(broker, "a:1") as witness, client_of(broker) as client:
        check(ask(client, "a:publishes"), "allowed")
        wait_until(lambda: broker.metric("hookwire_policy_told_total", policy="shadow") == 1, 5, "it believes all was done", interval=0.02)
        check(ask(client, "counts:1"), "its value is its own")
        event = broker.publish("a:1").json()["id"]
        equal(witness.recv_event()["id"], event, "the first event that comes")
        equal(n_asked_again(broker), 0, "authorized again")


def test_it_lets_nobody_in_and_keeps_nobody_out():
    guard = """return policy { api = 1, authenticate = function(req, ctx)
      if req.path == "/publish" then return allow { user_id = "x", tenant_id = "acme" } end return deny("unauthorized", "no") end,
      authorize = { subscribe = function() return deny("forbidden_topic") end } }"""
    base = {"hooks": [{"name": "shadow", "lua": "guard.lua", "shadow": True}, {"plugin": "jwt", "config": {"keys": [{"alg": "HS256", "secret": SECRET}]}}],
            "tenants": {"*": {"hooks": entries("live")}}, "workers": 1}
    with Broker(base, files={"live.lua": LIVE, "guard.lua": guard}) as broker, client_of(broker, "a:1") as client:
        answer = http(broker.address, "POST", "/publish", None, {"topic": "a:1", "event": "X", "data": {"entity_id": "e", "payload": {}}}, "no-token")
        equal(answer.status, 401, "a token that only the shadow takes")
        def decided(stage, agrees):
            return broker.metric("hookwire_hook_shadow_total", hook="shadow", stage=stage, agrees=agrees)
        # jwt denied after it, so that its allow would have changed nothing
        wait_until(lambda: decided("authenticate", "no") == 1 and decided("authenticate", "yes") == 1, 5, "counted", interval=0.02)
        wait_until(lambda: decided("authorize", "no") == 1, 5, "the guard would have denied", interval=0.02)
        check("no-token" not in broker.log(), "a token is in the log")


def test_coming_and_going_it_revokes_nothing():
    with Broker(config("live"), files={"live.lua": LIVE, "shadow.lua": SHADOW}) as broker, client_of(broker, "a:denies") as client:
        broker.write_config(merge(broker.config, {"tenants": {"*": {"hooks": entries("shadow", "live", shadow=True, revoke="now")}}}))
        preview = http(broker.admin_address, "POST", "/api/reload?dry_run=1", None, {}, ADMIN_TOKEN).json()["preview"]
        contains(preview, {"subscriptions": 1, "revoked_subscriptions": 0, "first": []}, "what would be revoked")
        put(broker, "shadow", "live", shadow=True, revoke="now")
        equal(n_asked_again(broker), 0, "authorized again when it came")
        broker.publish("a:denies")
        client.recv_event()
        broker.write_file("shadow.lua", SHADOW + "-- another\n")
        put(broker, "shadow", "live", shadow=True, revoke="now")
        equal(n_asked_again(broker), 0, "authorized again when it changed")
        put(broker, "live")
        broker.publish("a:denies")
        client.recv_event()
        equal(n_asked_again(broker), 0, "authorized again when it went")
        equal(broker.metric("hookwire_revoked_total"), 0, "taken away")
        put(broker, "shadow", "live")  # no shadow any more
        contains(client.recv_where({"type": "unsubscribed"}), {"topics": ["a:denies"]}, "when it decides")


main()
