#!/usr/bin/python3
# What each hook did for each tenant is told, in /metrics and in /api/hooks alike: calls, verdicts, errors, time, what waits, kills, breaker,
# generation. Prometheus reads it: `promtool check metrics` (Debian's prometheus) finds nothing, where it is installed.
import pathlib
import re
import shutil
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
POLICY = """
return policy {
  api = 1,
  authorize = { publish = function() return allow() end, subscribe = function(s, topic, ctx)
    if topic.resource == "allowed" then return allow() end
    if topic.resource == "denied" then return deny("forbidden_topic") end
    if topic.resource == "broken" then error("on purpose") end
    if topic.resource == "slow" then ctx.sleep(tonumber(topic.id)) return allow() end
    if topic.resource == "endless" then while true do end end
    if topic.resource == "failing" then return unavailable("on purpose") end
  end },
  filter = function(event) if event.data.payload.n == 3 then error("on purpose") end return event.data.payload.n ~= 1 end,
  redact = function(event) return event end,
  on = { connect = function(s, ctx) ctx.sleep(30) end },
}
"""
TENANTS = {"tenants.d/a.json": {"tenants": {"acme": {"hooks": [{"name": "p", "lua": "../a.lua"}]}}},
           "tenants.d/b.json": {"tenants": {"beta": {"hooks": [{"name": "p", "lua": "../b.lua"}]}}},
           "a.lua": POLICY, "b.lua": POLICY}


def broker_of():
    return Broker({"workers": 2, "include": ["tenants.d/*.json"], "tenants": {}}, files=TENANTS)


def client_of(broker, tenant):
    client = WsClient(broker.address, token=mint("anna", tenant), protocols=V1)
    client.recv_where({"type": "welcome"})
    return client


def hook_of(broker, hook, tenant):
    answer = http(broker.admin_address, "GET", "/api/hooks", token=ADMIN_TOKEN)
    equal(answer.status, 200, "GET /api/hooks")
    found = [h for h in answer.json()["hooks"] if (h["hook"], h["tenant"]) == (hook, tenant)]
    equal(len(found), 1, f"{hook} of {tenant}, once")
    return {**found[0], "stages": {stage["stage"]: stage for stage in found[0]["stages"]}}


def ask(client, *topics):
    return client.request({"type": "subscribe", "topics": list(topics)})


def test_calls_and_verdicts_of_each_tenant():
    with broker_of() as broker, client_of(broker, "acme") as acme, client_of(broker, "beta") as beta:
        for _ in range(5):
            ask(acme, "allowed:1", "denied:1", "denied:2", "other:1")
            acme.request({"type": "unsubscribe", "topics": ["allowed:1"]})
        ask(acme, "broken:1")
        ask(beta, "denied:1")
        contains(hook_of(broker, "p", "acme")["stages"]["authorize"],
                 {"calls": 21, "errors": 1, "verdicts": {"allow": 5, "deny": 10, "defer": 5, "error": 1}}, "acme's")
        contains(hook_of(broker, "p", "beta")["stages"]["authorize"],
                 {"calls": 1, "errors": 0, "verdicts": {"allow": 0, "deny": 1, "defer": 0, "error": 0}}, "beta's")
        jwt = hook_of(broker, "jwt", "")
        equal(jwt["stages"]["authenticate"]["verdicts"]["allow"], 2, "of the global one")
        equal((jwt["breaker"], jwt["benches"]), (None, 2), "it has no breaker, and runs on two workers")
        for verdict, n in {"allow": 5, "deny": 10, "defer": 5, "error": 1}.items():
            equal(broker.metric("hookwire_hook_verdicts_total", hook="p", tenant="acme", stage="authorize", verdict=verdict), n, verdict)
        equal(broker.metric("hookwire_hook_duration_seconds_count", hook="p", tenant="acme", stage="authorize"), 21, "timed")
        # nobody waits for a lifecycle hook, but it is timed to its end
        wait_until(lambda: hook_of(broker, "p", "acme")["stages"]["lifecycle"]["verdicts"]["allow"] == 1, 5, "its end")
        check(hook_of(broker, "p", "acme")["stages"]["lifecycle"]["p50_ms"] >= 16, "the time that it slept")


def test_what_filters_and_redacts_is_counted_and_timed_too():
    with broker_of() as broker, client_of(broker, "acme") as client:
        client.subscribe("allowed:1")
        client.send_json({"type": "ping", "id": "before"})
        client.recv_where({"type": "pong"})
        for n in range(4):
            broker.publish("allowed:1", data={"entity_id": f"e{n}", "payload": {"n": n}})
        equal([client.recv_event()["data"]["payload"]["n"] for _ in range(2)], [0, 2], "what it gets")
        # an event is filtered once for each class on each worker that has one; there is one
        wait_until(lambda: hook_of(broker, "p", "acme")["stages"]["filter"]["calls"] == 4, 5, "the last one's filter")
        stages = hook_of(broker, "p", "acme")["stages"]
        contains(stages["filter"], {"errors": 1, "verdicts": {"allow": 2, "deny": 1, "defer": 0, "error": 1}}, "filter")
        contains(stages["redact"], {"calls": 2, "errors": 0}, "redact")
        equal(sum(stages["redact"]["verdicts"].values()), 2, f"verdicts of redact: {stages['redact']}")
        for stage, n in (("filter", 4), ("redact", 2)):
            equal(broker.metric("hookwire_hook_duration_seconds_count", hook="p", tenant="acme", stage=stage), n, f"{stage} is timed")


def test_past_a_hundred_tenants_the_label_is_other():
    with Broker({"workers": 2, "tenants": {"*": {"hooks": [{"name": "p", "lua": "a.lua"}]}}}, files={"a.lua": POLICY}) as broker:
        for n in range(105):
            equal(broker.publish("allowed:1", tenant=f"tenant-{n}").status, 200, f"publish of {n}")
        calls = {}
        for sample, value in broker.metrics().items():
            if sample.startswith("hookwire_hook_calls_total{") and 'hook="p"' in sample and 'stage="authorize"' in sample:
                tenant = re.search(r'tenant="([^"]*)"', sample)[1]
                calls[tenant] = calls.get(tenant, 0) + value
        equal(calls, {**{f"tenant-{n}": 1 for n in range(100)}, "other": 5}, "calls by tenant")
        equal(len([s for s in broker.metrics() if 'tenant="tenant-100"' in s]), 0, "anything of one past them")


def test_time_counts_the_waiting_and_pending_is_now():
    with broker_of() as broker, client_of(broker, "acme") as client:
        wait_until(lambda: hook_of(broker, "p", "acme")["pending"] == 0, 5, "the lifecycle hook's end")
        equal(hook_of(broker, "p", "acme")["stages"]["authorize"]["p50_ms"], None, "of no calls")
        client.send_json({"type": "subscribe", "topics": ["slow:1000"], "id": 1})
        wait_until(lambda: hook_of(broker, "p", "acme")["pending"] == 1, 5, "it waits")
        equal(broker.metric("hookwire_hook_pending", hook="p", tenant="acme"), 1, "pending in /metrics")
        client.recv_where({"id": 1})
        told = hook_of(broker, "p", "acme")
        equal(told["pending"], 0, "afterwards")
        check(524 <= told["stages"]["authorize"]["p50_ms"] <= scaled(4200), f"about a second, as its bucket has it: {told['stages']}")
        for _ in range(200):
            ask(client, "denied:1")
        stage = hook_of(broker, "p", "acme")["stages"]["authorize"]
        check(stage["p50_ms"] <= stage["p99_ms"] <= scaled(500), f"a slow one in two hundred: {stage}")
        seconds = broker.metric("hookwire_hook_duration_seconds_sum", hook="p", tenant="acme", stage="authorize")
        check(1 <= seconds <= scaled(4), f"the sum: {seconds}")


def test_kills_and_the_breaker():
    with broker_of() as broker, client_of(broker, "acme") as acme, client_of(broker, "beta") as beta:
        if lua_can_be_ended():
            ask(acme, "endless:1")
            equal((hook_of(broker, "p", "acme")["kills"], hook_of(broker, "p", "beta")["kills"]), (1, 0), "kills")
            equal(broker.metric("hookwire_lua_kills_total", hook="p", tenant="acme", reason="cpu"), 1, "in /metrics")
        equal(hook_of(broker, "p", "beta")["breaker"], {"state": "closed", "open": 0, "opened": 0, "refused": 0}, "before")
        for _ in range(3):  # in a row
            ask(beta, "failing:1")
        ask(beta, "allowed:1")
        told = hook_of(broker, "p", "beta")
        contains(told["breaker"], {"opened": 1, "refused": 1}, "after three failures in a row")
        equal(told["stages"]["authorize"]["verdicts"], {"allow": 0, "deny": 0, "defer": 0, "error": 3}, "what a breaker answers is no verdict")
        equal(hook_of(broker, "p", "acme")["breaker"]["opened"], 0, "acme's")


def test_generation_is_the_one_it_was_loaded_for():
    with broker_of() as broker, client_of(broker, "acme") as acme, client_of(broker, "beta") as beta:
        def generations():
            return [hook_of(broker, *who)["generation"] for who in (("jwt", ""), ("p", "acme"), ("p", "beta"))]
        equal(generations(), [1, 1, 1], "at first")
        broker.write_file("b.lua", POLICY + "-- again\n")
        contains(http(broker.admin_address, "POST", "/api/reload", {"Content-Type": "application/json"}, {}, ADMIN_TOKEN).json(), {"generation": 2}, "reload")
        equal(generations(), [1, 1, 2], "who changed")
        broker.write_file("a.lua", "nonsense(")
        broker.write_file("b.lua", POLICY + "-- and again\n")
        contains(http(broker.admin_address, "POST", "/api/reload", {"Content-Type": "application/json"}, {}, ADMIN_TOKEN).json(), {"generation": 3}, "reload")
        equal(generations(), [1, 1, 3], "a broken one keeps its own")
        equal(http(broker.admin_address, "GET", "/api/hooks", token=ADMIN_TOKEN).json()["generation"], 3, "the broker's")
        equal(broker.metric("hookwire_hook_generation", hook="p", tenant="beta"), 3, "in /metrics")
        # one that is gone is told no more, and its counters stay
        broker.write_file("tenants.d/b.json", {"tenants": {"beta": {"hooks": [{"name": "q", "lua": "../b.lua"}]}}})
        http(broker.admin_address, "POST", "/api/reload", {"Content-Type": "application/json"}, {}, ADMIN_TOKEN)
        names = [(h["hook"], h["tenant"]) for h in http(broker.admin_address, "GET", "/api/hooks", token=ADMIN_TOKEN).json()["hooks"]]
        equal(names, [("jwt", ""), ("p", "acme"), ("q", "beta")], "hooks in use")
        equal(broker.metric("hookwire_hook_generation", hook="p", tenant="beta"), 0, "of one that is gone")
        for client in (acme, beta):
            client.ping()


def test_prometheus_reads_it():
    with broker_of() as broker, client_of(broker, "acme") as acme, client_of(broker, "beta") as beta:
        for client in (acme, beta):
            ask(client, "allowed:1", "denied:1", "slow:10")
        text = http(broker.admin_address, "GET", "/metrics").body
        types, samples = read_exposition(text.decode())
        equal(types["hookwire_hook_duration_seconds"], "histogram", "type")
        check(any(s.startswith("hookwire_hook_duration_seconds_bucket") and 'tenant="beta"' in s for s in samples), "buckets of beta")
        promtool = shutil.which("promtool")
        if not promtool:
            print("     promtool is not installed: read by this test's own reader alone", flush=True)
            return
        found = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=scaled(30), check=False)
        equal((found.returncode, found.stdout + found.stderr), (0, b""), "promtool check metrics")


def test_the_reader_finds_what_is_wrong():
    good = ('# HELP a_seconds A.\n# TYPE a_seconds histogram\na_seconds_bucket{x="1",le="0.5"} 1\na_seconds_bucket{x="1",le="+Inf"} 2\n'
            'a_seconds_sum{x="1"} 3\na_seconds_count{x="1"} 2\n')
    read_exposition(good)
    for old, new in (('le="+Inf"} 2', 'le="+Inf"} 0'), ('le="+Inf"} 2', 'le="+Inf"} 3'), ('le="+Inf"', 'le="9"'), ('_sum{x="1"}', '_sum{x="2"}'),
                     ("# HELP a_seconds A.\n", ""), ('{x="1",le="0.5"}', '{x="1" le="0.5"}'), (" 3\n", " 3,0\n"), ('le="0.5"', 'le="+Inf"')):
        with raises(Failure, f"{old} {new}"):
            read_exposition(good.replace(old, new))
    with raises(Failure):
        read_exposition("# HELP a A.\n# TYPE a counter\na 1\n")


main()
