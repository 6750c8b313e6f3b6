#!/usr/bin/python3
# Who is connected when the policy changes is authorized again: within reauth_ms, or before the next event; a tenant's edit asks
# nobody of another.
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]


def policy(subscribe="true", session=None, wildcard="true"):
    """A policy that lets subscribe, come in and use wildcards where these hold."""
    more = f"session = function(s) if {session} then return allow() end return deny('forbidden_topic', 'not you') end," if session else ""
    return f"""
return policy {{
  api = 1,
  authorize = {{
    {more}
    subscribe = function(s, topic) if {subscribe} then return allow() end return deny("forbidden_topic") end,
    wildcard = function(s, topic) if {wildcard} then return allow() end return deny("forbidden_topic") end,
    publish = function(s, topic) return allow() end,
  }},
}}
"""


NO_B = policy("topic.resource ~= 'b'")
NOT_EVE = "s.user_id ~= 'eve'"


def config(revoke=None, **more):
    entry = {"name": "p", "lua": "p.lua"}
    if revoke:
        entry["revoke"] = revoke
    return {"workers": 2, "reauth_ms": 200, "tenants": {"*": {"hooks": [entry]}}, **more}


def client_of(broker, *topics, user="anna", tenant="acme", protocols=V1):
    client = WsClient(broker.address, token=mint(user, tenant), protocols=protocols)
    if protocols:
        client.recv_where({"type": "welcome"})
    if topics:
        client.subscribe(*topics)
    return client


def put(broker, text, name="p.lua"):
    """Another policy, in force on all workers."""
    mark = broker.log_mark()
    broker.write_file(name, text)
    broker.sighup()
    broker.wait_log(r"reload: reloaded", since=mark)


def settled(broker):
    wait_until(lambda: broker.metric("hookwire_reauthorizations_due") == 0, 10, "nobody to be re-authorized", interval=0.02)


def test_a_subscription_that_is_denied_now_ends_and_the_others_go_on():
    with Broker(config(), files={"p.lua": policy()}) as broker:
        clients = [client_of(broker, "a:1", "b:1", "b:*", user=f"u{n}") for n in range(6)]
        plain = client_of(broker, "a:1", "b:1", protocols=None)
        put(broker, policy("topic.resource ~= 'b'", wildcard="false"))
        for client in clients:
            gone = [client.recv_where({"type": "unsubscribed"}) for _ in range(2)]
            equal(sorted(topic for m in gone for topic in m["topics"]), ["b:*", "b:1"], "what is revoked")
            equal({m["code"] for m in gone}, {"forbidden_topic"}, "why")
        settled(broker)
        broker.publish("b:1")
        event = broker.publish("a:1").json()["id"]
        for client in clients:
            equal(client.recv_json()["id"], event, "the next that comes")
        equal(plain.recv_json()["id"], event, "a plain client hears nothing of it, and gets nothing of it")
        equal(broker.metric("hookwire_revoked_total", what="subscription"), 13, "counted")
        broker.wait_log(r"sessions are authorized again.*revoked=")
        put(broker, policy())
        settled(broker)
        for client in clients:
            client.subscribe("b:1")
            client.ping()


def test_a_session_that_is_denied_now_is_closed_with_4403():
    with Broker(config(), files={"p.lua": policy()}) as broker:
        anna, eve, plain = client_of(broker, "a:1"), client_of(broker, "a:1", user="eve"), client_of(broker, "a:1", user="eve", protocols=None)
        put(broker, policy(session=NOT_EVE))
        for client in (eve, plain):
            client.expect_close(4403)
        anna.ping()
        equal(broker.metric("hookwire_revoked_total", what="session"), 2, "counted")


def test_a_tenant_that_is_taken_away_is_closed_with_4403():
    tenants = {"acme": {"hooks": [{"name": "p", "lua": "p.lua"}]}, "beta": {"hooks": [{"name": "p", "lua": "p.lua"}]}, "*": None}
    with Broker(config(tenants=tenants), files={"p.lua": policy()}) as broker:
        acme, beta = client_of(broker, "a:1"), client_of(broker, "a:1", tenant="beta")
        broker.write_config(merge(broker.config, {"tenants": {"beta": None}}))
        broker.sighup()
        beta.expect_close(4403)
        acme.ping()


def test_a_policy_that_fails_lets_nobody_stay_subscribed():
    with Broker(config(), files={"p.lua": policy()}) as broker, client_of(broker, "a:1", "b:1") as client:
        put(broker, policy("topic.resource == 'a' or error('no')"))
        contains(client.recv_where({"type": "unsubscribed"}), {"topics": ["b:1"], "code": "unavailable"}, "revoked")
        broker.publish("a:1")
        equal(client.recv_event()["topic"], "a:1", "what is allowed")


def test_a_policy_that_cannot_say_for_a_while_takes_nothing_away():
    with Broker(config("now", reauth_ms=30000), files={"p.lua": policy()}) as broker, client_of(broker, "a:1", "b:1") as client:
        def asked():
            return broker.metric("hookwire_hook_calls_total", hook="p", tenant="acme", stage="authorize")
        put(broker, policy("error('soon')"))
        before = asked()
        equal(broker.publish("a:1").status, 200, "publish")
        wait_until(lambda: asked() >= before + 4, 10, "it to be asked again")  # of these one for the publish
        equal(broker.metric("hookwire_reauthorizations_due"), 1, "due")
        equal(client.drain(0.1), [], "what is heard meanwhile")
        put(broker, NO_B)
        contains(client.recv_where({"type": "unsubscribed"}), {"topics": ["b:1"], "code": "forbidden_topic"}, "revoked")
        equal(client.recv_event()["topic"], "a:1", "what was held back")
        settled(broker)


def test_another_tenants_edit_and_an_edit_of_nothing_ask_nobody():
    files = {"p.lua": policy(), "b.lua": policy(), "tenants.d/b.json": {"tenants": {"beta": {"hooks": [{"name": "b", "lua": "../b.lua"}]}}}}
    with Broker(config(include=["tenants.d/*.json"]), files=files) as broker:
        acme, beta = client_of(broker, "b:1"), client_of(broker, "b:1", tenant="beta")
        put(broker, policy())
        settled(broker)
        equal(broker.metric("hookwire_reauthorizations_total"), 0, "nothing changed")
        put(broker, NO_B, "b.lua")
        beta.recv_where({"type": "unsubscribed"})
        settled(broker)
        equal(broker.metric("hookwire_reauthorizations_total"), 1, "the other tenant's session alone")
        # a guard of all tenants asks all
        broker.write_file("guard.lua", policy())
        hooks = [*broker.config["hooks"], {"name": "guard", "lua": "guard.lua"}]
        broker.write_config(merge(broker.config, {"hooks": hooks}))
        broker.sighup()
        wait_until(lambda: broker.metric("hookwire_reauthorizations_total") == 3, 10, "both sessions")
        acme.ping()


def test_the_sweep_is_spread_over_reauth_ms():
    with Broker(config(reauth_ms=2000), files={"p.lua": policy()}) as broker:
        clients = [client_of(broker, "b:1", user=f"u{n}") for n in range(60)]
        put(broker, NO_B)
        began, times = time.monotonic(), []
        for client in clients:
            client.recv_where({"type": "unsubscribed"})
            times.append(time.monotonic() - began)
        times.sort()
        check(times[-1] <= scaled(3), f"the last after {times[-1]:.2f} s, reauth_ms is 2000")
        check(times[-1] >= 1.2, f"all at once, after {times[-1]:.2f} s")
        check(times[30] >= 0.3, f"half of them after {times[30]:.2f} s")


def test_now_means_before_the_next_event():
    with Broker(config("now", reauth_ms=600000), files={"p.lua": policy()}) as broker:
        clients = [client_of(broker, "a:1", "b:1", user=f"u{n}") for n in range(10)]
        for round_ in range(5):
            put(broker, policy(f"topic.resource ~= 'b' and {round_} >= 0"))
            secret = broker.publish("b:1").json()["id"]
            shown = broker.publish("a:1").json()["id"]
            for client in clients:
                seen = []
                while shown not in seen:
                    seen.append(client.recv_json().get("id"))
                check(secret not in seen, "an event of a revoked topic")
            put(broker, policy())
            settled(broker)
            for client in clients:
                client.subscribe("b:1")


def test_nothing_is_lost_or_repeated_while_sessions_are_held():
    with Broker(config("now"), files={"p.lua": policy()}) as broker:
        clients = [client_of(broker, "a:1", user=f"u{n}") for n in range(4)]
        sent = []
        for n in range(40):
            if n % 4 == 0:
                broker.write_file("p.lua", policy(f"topic.resource ~= 'b' and {n} >= 0"))
                broker.sighup()
            for _ in range(5):
                sent.append(broker.publish("a:1").json()["id"])
        for client in clients:
            equal([client.recv_event("a:1")["id"] for _ in sent], sent, "what came, in order")
        equal([client.drain(0.1) for client in clients], [[]] * 4, "and no more")


main()
