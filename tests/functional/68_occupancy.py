#!/usr/bin/python3
# ctest: timeout=120
# Which topics have subscribers is told to hooks and webhooks: occupied and vacated once for the whole broker, in an order that makes sense,
# however clients come and go; and on.publish hears of every event that was stored, with nobody waiting for it.
import json
import os
import pathlib
import re
import random
import subprocess
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

V1 = ["hookwire.v1"]
SEED = int(os.environ.get("HOOKWIRE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
LET = "authorize = { subscribe = function() return allow() end, publish = function() return allow() end, wildcard = function() return allow() end }"

# Hooks of one tenant are told one after the other, whichever worker they run on: what is reversed is seen here.
WATCH = f"""
local function hear(kind)
  return function(topic, ctx, number)
    local last = ctx.dict.get("last") or 0
    if number <= last then ctx.log.error("reversed: " .. number .. " after " .. last) end
    ctx.dict.set("last", number)
    if (ctx.dict.get("is:" .. topic.name) or "vacated") == kind then ctx.log.error("twice " .. kind .. ": " .. topic.name) end
    ctx.dict.set("is:" .. topic.name, kind)
    ctx.dict.incr("n")
    ctx.metric("told")
    ctx.log.info(kind .. " " .. topic.name .. " " .. topic.resource .. "|" .. topic.id)
  end
end
return policy {{ api = 1, {LET}, on = {{ occupied = hear("occupied"), vacated = hear("vacated") }} }}
"""


def config(service=None, grace_ms=0, workers=1, lua="watch.lua", **settings):
    hooks = base_config()["hooks"]
    if service:
        hooks = hooks + [{"name": "tell", "plugin": "webhook", "config": {
            "url": service.url, "secret": WEBHOOK_SECRETS[0], "events": ["occupied", "vacated"], "retry_ms": 20, "retry_max_ms": 100, **settings}}]
    return {"hooks": hooks, "workers": workers, "reauth_ms": 100, "occupancy": {"grace_ms": grace_ms}, "tenants": {"*": {"hooks": [{"name": "watch", "lua": lua}]}}}


def broker_of(service=None, policy=WATCH, **more):
    return Broker(config(service, **more), files={"watch.lua": policy})


def client_of(broker, *topics, user="anna", tenant="acme"):
    client = WsClient(broker.address, token=mint(user, tenant), protocols=V1)
    client.recv_where({"type": "welcome"})
    if topics:
        client.subscribe(*topics)
    return client


def changes(service, tenant="acme"):
    """[(number, topic, occupied)] of a tenant, by number, each once."""
    said = [(b["data"]["number"], b["data"]["topic"], b["type"] == "topic.occupied") for b in service.bodies()
            if b["type"].startswith("topic.") and b["data"]["tenant_id"] == tenant]
    equal(len({number for number, _, _ in said}), len(said), "numbers, each once")
    return sorted(said)


def occupied_now(service, tenant="acme"):
    """The topics that are occupied by what was told; fails unless each topic's changes alternate."""
    now = set()
    for number, topic, is_occupied in changes(service, tenant):
        check(is_occupied != (topic in now), f"{topic} is {'occupied' if is_occupied else 'vacated'} twice, at {number}")
        (now.add if is_occupied else now.discard)(topic)
    return now


def churn(workers, grace_ms):
    """Clients come, go and are cut off at random; whenever they pause, what was told is what is so."""
    chance = random.Random(SEED)
    topics = [f"room:{n}" for n in range(5)]
    with WebhookService() as service, broker_of(service, grace_ms=grace_ms, workers=workers) as broker:
        clients = {}
        for round_ in range(8):
            for _ in range(30):
                name = chance.randrange(16)
                if name not in clients:
                    clients[name] = (client_of(broker, user=f"u{name}"), set())
                client, mine = clients[name]
                act = chance.random()
                topic = chance.choice(topics)
                if act < 0.5:
                    client.send_json({"type": "subscribe", "topics": [topic]})
                    mine.add(topic)
                elif act < 0.8:
                    client.send_json({"type": "unsubscribe", "topics": [topic]})
                    mine.discard(topic)
                else:
                    clients.pop(name)
                    client.abort() if act < 0.9 else client.close()
            for client, _ in clients.values():
                client.ping()  # all that it sent was done
            expected = set().union(*(mine for _, mine in clients.values())) if clients else set()
            wait_until(lambda: occupied_now(service) == expected, 10, f"round {round_}: {expected}")
        for client, _ in clients.values():
            client.abort()
        wait_until(lambda: occupied_now(service) == set(), 10, "all topics vacated")
        wait_until(lambda: broker.metric("hookwire_topics_occupied") == 0, 10, "the gauge")
        told = changes(service)
        check(len(told) >= 2 * len(topics), f"only {len(told)} changes")
        equal(broker.metric("hookwire_policy_told_total"), len(told), "what the Lua hooks heard")
        for wrong in ("reversed", "twice", "hook failed"):
            check(wrong not in broker.log(), f"the log says {wrong}")
        equal(broker.metric("hookwire_hook_calls_total", hook="watch", stage="lifecycle"), len(told), "calls")


def test_with_one_worker():
    churn(1, 0)


def test_with_four_workers():
    churn(4, 0)


def test_with_four_workers_and_a_grace_period():
    churn(4, 40)


def test_who_comes_back_in_time_has_not_been_away_and_the_end_vacates_all():
    with WebhookService() as service:
        with broker_of(service, grace_ms=60000, workers=2, close_ms=10000) as broker:
            for _ in range(3):  # a page that is loaded again
                client_of(broker, "room:1").abort()
            with client_of(broker, "room:1", "room:2") as client:
                client.request({"type": "unsubscribe", "topics": ["room:1"]})
                wait_until(lambda: occupied_now(service) == {"room:1", "room:2"}, 10, "both")
                equal(len(changes(service)), 2, "changes")
                broker.stop()
        wait_until(lambda: occupied_now(service) == set(), 10, "both vacated when the broker ended")
        equal(len(changes(service)), 4, "changes")
        equal([b["type"] for b in service.bodies()].count("topic.vacated"), 2, "vacated")


def test_a_broker_that_is_told_to_end_at_once_vacates_too():
    with WebhookService() as service:
        more = {"grace_ms": 60000, "workers": 2, "close_ms": 10000, "events": ["occupied", "vacated", "disconnect"]}
        with Broker({**config(service, **more), "drain_ms": 600000}, files={"watch.lua": WATCH}) as broker:
            clients = [client_of(broker, "room:1", f"own:{n}", user=f"u{n}") for n in range(6)]
            wait_until(lambda: len(occupied_now(service)) == 7, 10, "all of them")
            broker.sigterm()
            broker.wait_log("draining")
            broker.stop()  # the second one
        wait_until(lambda: occupied_now(service) == set(), 10, "all vacated")
        equal(len(changes(service)), 14, "changes")
        equal(sorted(service.users("session.disconnected")), [f"u{n}" for n in range(6)], "who left")
        for client in clients:
            client.abort()


def test_slow_hooks_do_not_keep_a_broker_from_ending():
    slow = f"""return policy {{ api = 1, {LET}, on = {{ vacated = function() for i = 1, 500000 do end end }} }}"""
    many = [f"t:{n}" for n in range(4000)]
    more = {"drain_ms": 600000, "limits": {"topics_per_session": len(many)}, "tenants": {"*": {
        "hooks": [{"name": "slow", "lua": "watch.lua", "budget": {"cpu_ms": 1000}}], "limits": {"subscriptions": len(many)}}}}
    with Broker(merge(config(grace_ms=60000), more), files={"watch.lua": slow}) as broker:
        client = client_of(broker)
        for n in range(0, len(many), 1000):
            client.subscribe(*many[n:n + 1000])
        wait_until(lambda: broker.metric("hookwire_topics_occupied") == len(many), 20, "all of them")
        broker.sigterm()
        broker.wait_log("draining")
        broker.stop()  # the second one; with 0, not as one that is stuck
        contains(broker.log(), "hooks are not told of all that happens", "the log")
        client.abort()


def test_a_shorter_grace_period_holds_from_the_reload_on():
    with WebhookService() as service, broker_of(service, grace_ms=60000, workers=2) as broker:
        client_of(broker, "room:1").close()
        wait_until(lambda: occupied_now(service) == {"room:1"}, 10, "occupied")
        wait_until(lambda: broker.metric("hookwire_subscriptions") == 0, 10, "nobody to be there")
        broker.write_config(merge(base_config(), config(service, grace_ms=0, workers=2)))
        broker.sighup()
        wait_until(lambda: occupied_now(service) == set(), 10, "vacated")


def test_patterns_occupy_nothing_and_tenants_are_apart():
    with WebhookService() as service, broker_of(service, workers=2) as broker:
        with client_of(broker, "room:*") as wide, client_of(broker, "room:1", tenant="other"):
            with client_of(broker, "room:2"):
                wait_until(lambda: occupied_now(service) == {"room:2"}, 10, "the one topic")
            wide.request({"type": "unsubscribe", "topics": ["room:*"]})
            wait_until(lambda: occupied_now(service) == set(), 10, "vacated")
            wait_until(lambda: occupied_now(service, "other") == {"room:1"}, 10, "the other tenant's")
        wait_until(lambda: occupied_now(service, "other") == set(), 10, "vacated")
        equal({topic for _, topic, _ in changes(service)}, {"room:2"}, "topics")


def reload(broker, new):
    mark = broker.log_mark()
    broker.write_config(new)
    broker.sighup()
    broker.wait_log("reload: reloaded", since=mark)


def test_who_is_revoked_or_whose_tenant_goes_leaves_its_topics():
    with WebhookService() as service:
        settings = {"events": ["occupied", "vacated", "disconnect"], "workers": 2}
        with broker_of(service, **settings) as broker, client_of(broker, "room:1", "room:2") as client:
            wait_until(lambda: occupied_now(service) == {"room:1", "room:2"}, 10, "both")
            mark = broker.log_mark()
            broker.write_file("watch.lua", WATCH.replace("subscribe = function() return allow() end",
                                                         "subscribe = function(s, t) if t.id == '1' then return allow() end end"))
            broker.sighup()
            client.recv_where({"type": "unsubscribed"})
            wait_until(lambda: occupied_now(service) == {"room:1"}, 10, "the one that it keeps")
            reload(broker, merge(base_config(), {**config(service, **settings), "tenants": {"*": None, "third": {"hooks": []}}}))
            client.expect_close(4403)
            wait_until(lambda: occupied_now(service) == set(), 10, "the other")
            # its own hooks are gone; the global ones hear of the end
            wait_until(lambda: service.users("session.disconnected") == ["anna"], 10, "the disconnect")
            check("reversed" not in broker.log()[mark:], "the log says reversed")


def test_a_webhook_of_each_kind_is_signed_and_tells_no_secret():
    secret_claims = {"password": "hunter2"}
    with WebhookService() as service:
        with broker_of(service, events=["connect", "disconnect", "occupied", "vacated", "publish"], topics=["room:*", "hall:1"]) as broker:
            token = mint("anna", **secret_claims)
            with WsClient(broker.address, token=token, protocols=V1) as client:
                client.recv_where({"type": "welcome"})
                client.subscribe("room:1", "hall:1", "hall:2", "rooms:1")
                client.send_text('{"type":"publish","id":"p","topic":"room:1","event":"UPDATED","data":{"entity_id":"e1","payload":{"price":1.50}}}')
                came = [client.recv_json(), client.recv_json()]  # either comes first
                event, = (one for one in came if "topic" in one)
                ack, = (one for one in came if one.get("type") == "ack")
                client.request({"type": "publish", "topic": "hall:2", "event": "UPDATED", "data": {"entity_id": "e1", "payload": {}}})
                traced = {"Traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
                data = {"entity_id": "e1", "payload": {"text": '"trace_id":"0af7651916cd43dd8448eb211c80319c"', "trace_id": "0af7651916cd43dd8448eb211c80319c"}}
                equal(broker.publish("hall:1", data=data, headers=traced).status, 200, "publish")
                equal(broker.publish("hall:1", trace_id="of my own", version=2).status, 200, "publish")
            wait_until(lambda: sum(b["type"] == "topic.vacated" for b in service.bodies()) == 2, 10, "the last ones")
        kinds = {"session.connected": 1, "session.disconnected": 1, "topic.occupied": 2, "topic.vacated": 2, "event.published": 3}
        seen = [one["body"]["type"] for one in service.seen]
        equal({kind: seen.count(kind) for kind in set(seen)}, kinds, "kinds")
        for one in service.seen:
            headers = {name.lower(): value for name, value in one["headers"].items()}
            equal(headers["webhook-signature"], webhook_signature(WEBHOOK_KEYS[0], headers, one["raw"]), "signature")
            for secret in (token, "hunter2", SECRET, WEBHOOK_SECRETS[0]):
                check(secret.encode() not in one["raw"], f"{one['body']['type']} tells a secret")
        traces = {}  # of the event, and of what is asked of the service
        for one in service.seen:
            event_of = one["body"]["data"].get("event")
            if event_of:
                traces[event_of["trace_id"]] = one["headers"].get("traceparent", "")
            else:
                check("traceparent" not in one["headers"], f"{one['body']['type']} has a trace")
        equal(set(traces), {event["trace_id"], TRACE, "of my own"}, "events")
        equal(traces.pop("of my own"), "", "what is no trace of W3C's")
        for trace, parent in traces.items():
            check(re.fullmatch(rf"00-{trace}-(?!0{{16}})[0-9a-f]{{16}}-01", parent), f"{parent} of {trace}")
            check("00f067aa0ba902b7" not in parent, "it is another's child")
        bodies = {one["body"]["type"]: one for one in service.seen if one["body"]["type"] != "event.published" or one["body"]["data"]["event"]["topic"] == "room:1"}
        published = bodies["event.published"]["body"]["data"]
        equal({k: published[k] for k in ("tenant_id", "user_id", "address")}, {"tenant_id": "acme", "user_id": "anna", "address": "127.0.0.1"}, "by whom")
        equal(published["session"], bodies["session.connected"]["body"]["data"]["session"], "session")
        equal(published["event"], event, "the event as a subscriber has it")
        equal(published["event"]["id"], ack["event_id"], "its id")
        contains(bodies["event.published"]["raw"].decode(), '"price":1.50', "the payload's bytes")
        equal(set(bodies["topic.occupied"]["body"]["data"]), {"tenant_id", "topic", "number"}, "members")


PUBLISHED = f"""
return policy {{ api = 1, {LET},
  transform = function(event) if event.data.payload.drop then return nil end event.data.payload.seen = true return event end,
  on = {{ publish = function(event, s, ctx)
    local p = event.data.payload
    ctx.log.info("stored " .. event.id .. " by " .. s.user_id .. " seen " .. tostring(p.seen))
    if p.wait then ctx.sleep(p.wait) ctx.log.info("slept") end
    if p.again then ctx.publish {{ topic = event.topic, event = "AGAIN", data = {{ entity_id = "e", payload = {{ again = true, wait = p.wait }} }} }} end
    if p.fail then error("on purpose") end
  end }} }}
"""


def test_on_publish_is_told_what_was_stored_and_nobody_waits():
    with broker_of(policy=PUBLISHED, workers=2) as broker, client_of(broker, "room:1") as client:
        def put(**payload):
            return client.request({"type": "publish", "topic": "room:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": payload}})
        ack = put()
        broker.wait_log(f"stored {ack['event_id']} by anna seen true")
        mark = broker.log_mark()
        equal(put(drop=True).get("event_id"), None, "the id of what was dropped")
        ack = put(fail=True)
        check(ack["type"] == "ack", "a hook that fails changes nothing")
        broker.wait_log("hook failed.*on purpose", since=mark)
        equal(broker.log()[mark:].count("stored "), 1, "told")
        begun = time.monotonic()
        check(put(wait=1500)["type"] == "ack", "published")
        check(time.monotonic() - begun < 1.4, "the publisher waited for the hook")
        answer = broker.publish("room:1", user="backend")
        equal(answer.status, 200, "over HTTP")
        broker.wait_log(f"stored {answer.json()['id']} by backend")
        broker.wait_log("slept")


def test_with_a_journal_of_a_plugin_it_is_told_once_that_is_stored():
    with temporary_directory() as tmp:
        plugin = tmp / "test-journal.so"
        subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread", f"-I{ROOT / 'core/include'}",
                        "-o", plugin, ROOT / "tests/lib/journal_plugin.c"], check=True)
        journal = {"journal": {"plugin": str(plugin), "config": {"dir": str(tmp)}}}
        with Broker(merge(config(workers=2), journal), files={"watch.lua": PUBLISHED}) as broker:
            with client_of(broker, "room:1") as reader:
                (tmp / "hold").touch()
                with client_of(broker) as client:
                    client.send_json({"type": "publish", "topic": "room:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}})
                    wait_until(lambda: broker.metric("hookwire_plugin_appends_total") == 1, 10, "the append")
                    client.close()
                reader.ping()
                check("stored " not in broker.log(), "a hook heard of it before it was stored")
                (tmp / "hold").unlink()
                event = reader.recv_event("room:1")  # who published has left, and it is stored all the same
                broker.wait_log(f"stored {event['id']} by anna seen true")
                (tmp / "fail").touch()
                mark = broker.log_mark()
                equal(broker.publish("room:1").status, 503, "what the store does not take")
                (tmp / "fail").unlink()
                answer = broker.publish("room:1", user="backend")
                broker.wait_log(f"stored {answer.json()['id']} by backend", since=mark)
                equal(broker.log()[mark:].count("stored "), 1, "told")


def test_a_shadow_hears_what_happened_when_it_happened():
    """It is told later, from a copy: what has been told meanwhile does not change it."""
    shadow = f"""return policy {{ api = 1, {LET}, on = {{
      occupied = function(topic, ctx, number) ctx.log.info("shadow: " .. number .. " " .. topic.name .. " " .. topic.resource .. "|" .. topic.id) end,
      publish = function(event, s, ctx) ctx.log.info("shadow: " .. event.topic .. " " .. event.data.entity_id .. " by " .. s.user_id) end }} }}"""
    hooks = [{"name": "watch", "lua": "watch.lua"}, {"name": "next", "lua": "next.lua", "shadow": True}]
    with Broker(merge(config(), {"tenants": {"*": {"hooks": hooks}}}), files={"watch.lua": WATCH, "next.lua": shadow}) as broker:
        with client_of(broker, *(f"room:{n}" for n in range(20))) as client:
            for n in range(20):
                client.request({"type": "publish", "topic": f"room:{n}", "event": "UPDATED", "data": {"entity_id": f"e{n}", "payload": {}}})
            for n in range(20):
                broker.wait_log(rf"shadow: {n + 1} room:{n} room\|{n}\b")
                broker.wait_log(rf"shadow: room:{n} e{n} by anna")


def test_what_it_publishes_itself_ends():
    """Also when it has waited in between: that is no way around the bound."""
    for wait in (None, 5):
        with broker_of(policy=PUBLISHED) as broker, client_of(broker, "room:1") as client:
            payload = {"again": True, **({"wait": wait} if wait else {})}
            client.request({"type": "publish", "topic": "room:1", "event": "FIRST", "data": {"entity_id": "e", "payload": payload}})
            for _ in range(5):
                client.recv_event("room:1")
            wait_until(lambda: broker.log().count("stored ") == 5, 10, "five")
            if wait:
                wait_until(lambda: broker.log().count("slept") == 5, 10, "the last one's end")
            client.ping()
            equal(broker.log().count("stored "), 5, "stored")
            equal(client.drain(), [], "more events")


def test_a_policy_is_tested_with_them():
    policy = WATCH.replace("ctx.log.info(kind", "ctx.log.info(number .. ' ' .. kind")
    with temporary_directory() as tmp:
        (tmp / "watch.lua").write_text(policy)
        (tmp / "pub.lua").write_text(PUBLISHED)
        (tmp / "watch.test.lua").write_text('return { case { name = "told", steps = { { ask = "occupied", topic = "room:1", number = 7, log = "7 occupied room:1 room|1" },'
                                            ' { ask = "vacated", topic = "room:1", number = 9, log = "9 vacated room:1" } } },'
                                            ' case { ask = "connect" } }')
        (tmp / "pub.test.lua").write_text('return { case { ask = "published", topic = "room:1", event = { id = "e-1", data = { entity_id = "x", payload = { fail = true } } },'
                                          ' expect = "error", error = "on purpose", log = "stored e-1 by alice" } }')
        done = cli("policy", "test", tmp)
        equal(done.returncode, 0, done.stdout + done.stderr)
        (tmp / "pub.test.lua").write_text('return { case { ask = "published", topic = "room:1", event = { id = "e-2" }, log = "stored e-1" } }')
        check(cli("policy", "test", tmp).returncode != 0, "a case that is wrong passes")


def test_mistakes_are_said():
    with temporary_directory() as tmp:
        (tmp / "p.lua").write_text("return policy { api = 1, on = { ocupied = function() end } }")
        path = tmp / "hookwire.json"
        path.write_text(json.dumps({"tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}))
        contains(cli("check", "-c", path).stdout, "did you mean 'occupied'", "check")
        path.write_text(json.dumps({"occupancy": {"grace": 5}}))
        contains(cli("check", "-c", path).stdout, "grace_ms", "check")


print(f"HOOKWIRE_TEST_SEED={SEED}")
main()
