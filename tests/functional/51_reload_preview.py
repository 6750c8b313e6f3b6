#!/usr/bin/python3
# What a reload would take away is told before it is done, without effect; one that would take away more than max_revoke is refused.
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]


def policy(subscribe="true", session="true"):
    return f"""
return policy {{
  api = 1,
  authorize = {{
    session = function(s) if {session} then return allow() end return deny("forbidden_topic") end,
    subscribe = function(s, topic) if {subscribe} then return allow() end return deny("forbidden_topic", "no") end,
    publish = function(s, topic) return allow() end,
  }},
  on = {{ connect = function(s, ctx) ctx.log.info("connect " .. s.user_id) end,
         disconnect = function(s, ctx) ctx.log.info("disconnect " .. s.user_id) end }},
}}
"""


NO_B = policy("topic.resource ~= 'b'")
FILES = {"p.lua": policy(), "b.lua": policy(), "tenants.d/b.json": {"tenants": {"beta": {"hooks": [{"name": "b", "lua": "../b.lua"}]}}}}
CONFIG = {"workers": 2, "reauth_ms": 0, "include": ["tenants.d/*.json"], "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}


def post(broker, path):
    return http(broker.admin_address, "POST", path, {"Content-Type": "application/json"}, {}, ADMIN_TOKEN)


def preview(broker, status=200):
    answer = post(broker, "/api/reload?dry_run=1")
    equal(answer.status, status, f"status of {answer.body}")
    return answer.json()


def client_of(broker, *topics, user="anna", tenant="acme"):
    client = WsClient(broker.address, token=mint(user, tenant), protocols=V1)
    client.recv_where({"type": "welcome"})
    client.subscribe(*topics)
    return client


def live(broker, *options, token=ADMIN_TOKEN, env=None):
    return cli("check", "--live", "--url", f"http://{broker.admin_address}", *options, env=env or {"HOOKWIRE_ADMIN_TOKEN": token})


# does all that a policy can do to others
BUSY = """
return policy {
  api = 1,
  authorize = { subscribe = function(s, topic, ctx)
    local n = ctx.dict.incr("asked")
    assert(ctx.dict.add("first", "x") == (n == 1) or ctx.dict.get("first") == "x")
    assert(ctx.dict.set("last", n))
    ctx.log.info("asked " .. n)
    ctx.metric("asked")
    assert(ctx.publish { topic = "told:1", event = "ADDED", data = { entity_id = "e", payload = { n = n } } })
    return allow()
  end },
}
"""


def test_what_the_new_policy_would_do_to_others_is_not_done():
    with Broker({**CONFIG, "workers": 1}, files=FILES) as broker, client_of(broker, "told:1", "a:1") as client:
        broker.write_file("p.lua", BUSY)
        contains(preview(broker)["preview"], {"subscriptions": 2, "revoked_subscriptions": 0}, "the preview")
        equal(client.drain(0.1), [], "what is heard of a preview")
        check("asked" not in broker.log(), "it logged")
        equal(broker.metric("hookwire_policy_asked_total", policy="p"), 0, "its counter")
        broker.sighup()
        broker.wait_log("asked 2")
        check("asked 1" in broker.log() and "asked 3" not in broker.log(), "the preview has counted in the shared values")
        equal(client.recv_event("told:1")["data"]["payload"]["n"], 1, "the first event")


def test_what_a_reload_would_take_away_is_told_and_nothing_happens():
    with Broker(CONFIG, files=FILES) as broker:
        clients = [client_of(broker, "a:1", f"b:{n}", user=f"u{n}") for n in range(5)]
        beta = client_of(broker, "b:1", tenant="beta", user="eve")
        contains(preview(broker)["preview"], {"sessions": 6, "subscriptions": 11, "revoked_sessions": 0, "revoked_subscriptions": 0, "first": []},
                 "of an edit of nothing")
        calls = broker.metric("hookwire_hook_calls_total")
        broker.write_file("p.lua", NO_B)
        broker.write_file("b.lua", policy(session="s.user_id ~= 'eve'"))
        mark = broker.log_mark()
        found = preview(broker)
        contains(found, {"ok": True, "result": "ok", "generation": 1}, "the reload itself")
        contains(found["preview"], {"sessions": 6, "subscriptions": 11, "revoked_sessions": 1, "revoked_subscriptions": 6}, "in all")
        equal(found["preview"]["tenants"],
              [{"tenant": "acme", "sessions": 5, "subscriptions": 10, "revoked_sessions": 0, "revoked_subscriptions": 5},
               {"tenant": "beta", "sessions": 1, "subscriptions": 1, "revoked_sessions": 1, "revoked_subscriptions": 1}], "by tenant")
        first = found["preview"]["first"]
        equal(sorted((f["user"], f["topic"], f["code"], f["hook"]) for f in first),
              [("eve", None, "forbidden_topic", "b")] + [(f"u{n}", f"b:{n}", "forbidden_topic", "p") for n in range(5)], "who, what, why")
        equal(broker.metric("hookwire_hook_calls_total"), calls, "calls that are counted")
        check("connect" not in broker.log()[mark:], "a lifecycle hook was told")
        equal(broker.metric("hookwire_generation"), 1, "the generation that decides")
        for client in [*clients, beta]:
            client.ping()
            equal(client.drain(0.05), [], "what a client heard of it")
        broker.publish("b:3")
        equal(clients[3].recv_event("b:3")["topic"], "b:3", "what would be taken away is there")
        # and what was told is what happens
        equal(post(broker, "/api/reload").status, 200, "reload")
        beta.expect_close(4403)
        for n, client in enumerate(clients):
            contains(client.recv_where({"type": "unsubscribed"}), {"topics": [f"b:{n}"]}, "taken away")


def test_what_hooks_do_beside_deciding_is_not_done_for_a_preview():
    telling = policy().replace("subscribe = function(s, topic)", """subscribe = function(s, topic, ctx)
      ctx.publish { topic = "audit:1", event = "ASKED", data = { entity_id = s.user_id } }
      ctx.reauthorize { user = s.user_id }
      ctx.metric("asked")""")
    with Broker(CONFIG, files=FILES) as broker, client_of(broker, "audit:1", user="watch") as watch, client_of(broker, "a:1", user="ben"):
        broker.write_file("p.lua", telling)
        contains(preview(broker)["preview"], {"subscriptions": 2, "revoked_subscriptions": 0}, "what it decides")
        equal(watch.drain(0.3), [], "what it published")
        equal((broker.metric("hookwire_policy_asked_total"), broker.metric("hookwire_reauthorizations_total")), (0, 0), "what is counted")
        # decided in earnest, it does all of that
        equal(post(broker, "/api/reload").status, 200, "reload")
        with client_of(broker, "a:1", user="eve"):
            equal(watch.recv_event("audit:1")["event"], "ASKED", "what it publishes")
        check(broker.metric("hookwire_policy_asked_total") > 0, "nothing is counted")


def test_a_broken_unit_is_told_and_the_others_are_looked_at():
    with Broker(CONFIG, files=FILES) as broker:
        client = client_of(broker, "b:1")
        broker.write_file("b.lua", "nonsense(")
        broker.write_file("p.lua", NO_B)
        found = preview(broker, 207)
        equal([unit["ok"] for unit in found["units"]], [True, False], "units")
        contains(found["preview"], {"revoked_subscriptions": 1}, "of the other unit")
        equal(post(broker, "/api/reload?dryrun=1").status, 400, "a misspelled parameter")
        equal(broker.metric("hookwire_generation"), 1, "nothing was reloaded")
        client.ping()


def test_a_reload_that_would_take_away_too_much_is_refused_unit_by_unit():
    with Broker({**CONFIG, "max_revoke": 0.5}, files=FILES) as broker:
        acme = [client_of(broker, "a:1", "b:1", user=f"u{n}") for n in range(4)]
        beta = client_of(broker, "a:1", "b:1", tenant="beta")
        # all of beta's, and half of acme's
        broker.write_file("b.lua", policy("false"))
        broker.write_file("p.lua", NO_B)
        answer = post(broker, "/api/reload")
        equal(answer.status, 207, "status")
        units = answer.json()["units"]
        equal([unit["ok"] for unit in units], [True, False], "units")
        check("2 of 2 live subscriptions" in units[1]["problems"][0] and "max_revoke" in units[1]["problems"][0], f"why: {units}")
        for client in acme:
            client.recv_where({"type": "unsubscribed"})
        equal(beta.drain(0.1), [], "the refused unit's client")
        broker.publish("a:1", tenant="beta")
        beta.recv_event("a:1")
        # the whole of it, by a guard of all tenants; the edit of beta's own unit that takes half goes on
        broker.write_file("b.lua", NO_B)
        broker.write_file("guard.lua", policy("topic.resource ~= 'a'"))
        good = broker.config
        broker.write_config(merge(good, {"hooks": [*good["hooks"], {"name": "guard", "lua": "guard.lua"}]}))
        answer = post(broker, "/api/reload")
        equal([unit["ok"] for unit in answer.json()["units"]], [False, True], f"units: {answer.json()}")
        contains(beta.recv_where({"type": "unsubscribed"}), {"topics": ["b:1"]}, "by its own unit")
        equal(acme[0].drain(0.1), [], "by the guard")
        # a tenant's file that is gone would end all of it
        broker.write_config(merge(good, {"max_revoke": 0.1, "tenants": {"*": None}}))
        (broker.dir / "tenants.d/b.json").unlink()
        check(post(broker, "/api/reload").status in (207, 422), "tenants that are gone")
        equal(beta.drain(0.1), [], "the tenant that was to go")
        beta.ping()
        # whoever means it says so in the same edit
        broker.write_config(merge(good, {"max_revoke": 1}))
        equal(post(broker, "/api/reload").status, 200, "without a bound")
        equal([m["topics"] for m in beta.drain(0.5)], [], "by * now, which allows it")


def test_check_live_asks_the_running_broker():
    with Broker(CONFIG, files=FILES) as broker, client_of(broker, "a:1", "b:1", user="ben"):
        done = live(broker)
        equal((done.returncode, done.stderr), (0, ""), "nothing to tell of")
        check("0 of 2 live subscriptions" in done.stdout, f"said: {done.stdout}")
        broker.write_file("p.lua", NO_B)
        done = live(broker)
        equal(done.returncode, 0, "exit code")
        check("1 of 2 live subscriptions" in done.stdout and "ben" in done.stdout and "b:1" in done.stdout and "forbidden_topic" in done.stdout,
              f"said: {done.stdout}")
        contains(json.loads(live(broker, "--json").stdout)["preview"], {"revoked_subscriptions": 1}, "as JSON")
        broker.write_file("p.lua", "nonsense(")
        done = live(broker)
        equal(done.returncode, 1, "exit code of a broken one")
        check("p.lua:1" in done.stdout, f"said: {done.stdout}")
        for options, env, code in (((), {"HOOKWIRE_ADMIN_TOKEN": "wrong"}, 1), (("--token", "wrong"), None, 1), (("-c", "x"), None, 2)):
            done = live(broker, *options, env=env)
            equal(done.returncode, code, f"{options} {env}: {done.stderr}")
            check(done.stderr, "it says nothing")
        broker.stop()
        equal(live(broker).returncode, 1, "nobody there")


main()
