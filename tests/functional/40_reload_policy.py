#!/usr/bin/python3
# SIGHUP: what is new decides from the next message on, what is broken leaves the old deciding, and nobody is disconnected.
import copy
import json
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def policy(mark, allowed="topic.resource == 'list'"):
    """A policy that marks every event, and lets subscribe where `allowed` holds."""
    return f"""
return policy {{
  api = 1,
  authorize = {{
    subscribe = function(s, topic) if {allowed} then return allow() end return deny("forbidden_topic") end,
    publish = function(s, topic) return allow() end,
  }},
  transform = function(event) event.data.payload.mark = "{mark}" return event end,
}}
"""


BROKEN = "return policy {\n  api = 1,\n  authorize = nonsense(,\n}\n"


def tenant(name):
    """A tenant of one policy file."""
    return {"hooks": [{"name": name, "lua": f"{name}.lua"}]}


def marked(broker, client, tenant_id="acme"):
    """The mark that the policy in force leaves on an event that is published now."""
    answer = broker.publish("list:1", tenant=tenant_id)
    equal(answer.status, 200, "publish")
    return client.recv_where(lambda m: m.get("id") == answer.json()["id"])["data"]["payload"]["mark"]


def wait_mark(broker, client, mark, tenant_id="acme"):
    wait_until(lambda: marked(broker, client, tenant_id) == mark, 10, f"the mark {mark}", interval=0.02)


def hup(broker, ended=r"reload"):
    """SIGHUP, and waits until the log says something of this reload."""
    mark = broker.log_mark()
    broker.sighup()
    broker.wait_log(ended, since=mark)
    return mark


def subscribed(broker, user, tenant_id="acme"):
    client = WsClient(broker.address, token=mint(user, tenant_id), protocols=["hookwire.v1"])
    client.recv_where({"type": "welcome"})
    client.subscribe("list:1")
    return client


def failures(broker):
    """The sum of all metrics that count reloads that failed."""
    return sum(v for k, v in broker.metrics().items() if "reload" in k and ("fail" in k or "error" in k or "refused" in k))


def test_a_new_policy_decides_from_the_next_message_and_nobody_is_disconnected():
    with Broker({"workers": 2, "tenants": {"*": tenant("p")}}, files={"p.lua": policy("one")}) as broker:
        clients = [subscribed(broker, f"u{i}") for i in range(20)]
        equal(marked(broker, clients[0]), "one", "before")
        for round_ in range(3):
            broker.write_file("p.lua", policy(f"two-{round_}"))
            broker.sighup()
            wait_mark(broker, clients[0], f"two-{round_}")
        answer = broker.publish("list:1")
        for client in clients:
            client.recv_where(lambda m: m.get("id") == answer.json()["id"])
            client.ping()
            client.close()


def test_a_broken_policy_leaves_the_old_one_deciding_is_logged_and_counted():
    with Broker({"tenants": {"*": tenant("p")}}, files={"p.lua": policy("one")}) as broker, subscribed(broker, "u1") as client:
        before = failures(broker)
        broker.write_file("p.lua", BROKEN)
        mark = hup(broker, r"p\.lua:3")
        equal(marked(broker, client), "one", "the old policy's mark")
        wait_until(lambda: failures(broker) > before, 5, "the failure in a metric")
        contains(client.request({"type": "subscribe", "topics": ["list:9", "other:1"]})["topics"]["other:1"],
                 {"ok": False, "code": "forbidden_topic"}, "the old policy's no")
        # an error while the chunk runs, and a chunk that is no policy, are the same
        endless = ["while true do end\n"] if lua_can_be_ended() else []
        for text in ("error('no')\n", "return 7\n", *endless, ""):
            broker.write_file("p.lua", text)
            hup(broker, r"p\.lua")
            equal(marked(broker, client), "one", f"the old policy's mark after {text!r}")
        broker.write_file("p.lua", policy("two"))
        broker.sighup()
        wait_mark(broker, client, "two")
        check(broker.log().find("p.lua:3", mark) > 0, "file and line are in the log")


def test_a_reload_that_brings_nothing_new_has_failed_and_one_that_brings_some_is_partial():
    def results(broker):
        return [broker.metric("hookwire_reloads_total", result=name) for name in ("ok", "partial", "failed")]
    files = {"a.lua": policy("a1"), "p.lua": policy("p1"),
             "tenants.d/a.json": {"tenants": {"acme": {"hooks": [{"name": "a", "lua": "../a.lua"}]}}}}
    with Broker({"tenants": {"*": tenant("p")}, "include": ["tenants.d/*.json"]}, files=files) as broker:
        broker.write_file("a.lua", BROKEN)
        hup(broker, r"reloaded in part")
        equal(results(broker), [0, 1, 0], "one of two units is broken")
        broker.write_file("p.lua", BROKEN)
        hup(broker, r"ERROR reload: reload failed: everything decides as before")
        equal(results(broker), [0, 1, 1], "both are broken")
        equal(broker.metric("hookwire_generation"), 2, "the generation that decides")
        (broker.dir / "tenants.d/a.json").unlink()  # a file that is gone is something new
        hup(broker, r"reloaded in part")
        equal(results(broker), [0, 2, 1], "one is gone, one broken")
        broker.write_file("tenants.d/a.json", files["tenants.d/a.json"])
        broker.write_file("a.lua", policy("a2"))
        broker.write_file("p.lua", policy("p2"))
        hup(broker, r"reloaded generation")
        equal(results(broker), [1, 2, 1], "both are good again")


def test_a_broken_unit_does_not_hold_up_another():
    files = {"a.lua": policy("a1"), "b.lua": policy("b1"), "p.lua": policy("p1"),
             "tenants.d/a.json": {"tenants": {"acme": {"hooks": [{"name": "a", "lua": "../a.lua"}]}}},
             "tenants.d/b.json": {"tenants": {"beta": {"hooks": [{"name": "b", "lua": "../b.lua"}]}}}}
    config = {"tenants": {"gamma": tenant("p"), "*": None}, "include": ["tenants.d/*.json"]}
    with Broker(config, files=files) as broker, subscribed(broker, "u1") as acme, subscribed(broker, "u2", "beta") as beta, \
            subscribed(broker, "u3", "gamma") as gamma:
        broker.write_file("a.lua", BROKEN)
        broker.write_file("b.lua", policy("b2"))
        broker.write_file("p.lua", policy("p2"))
        hup(broker, r"a\.lua:3")
        wait_mark(broker, beta, "b2", "beta")
        wait_mark(broker, gamma, "p2", "gamma")
        equal(marked(broker, acme), "a1", "the broken unit's old policy")
        # the file of a unit itself
        broker.write_file("a.lua", policy("a2"))
        broker.write_file("b.lua", policy("b3"))
        broker.write_file("tenants.d/b.json", '{"tenants": {"beta": {"hoks": []}}}')
        hup(broker, r"b\.json:1:\d+: .*hooks")
        wait_mark(broker, acme, "a2")
        equal(marked(broker, beta, "beta"), "b2", "the unit whose file is broken")
        # the global part broken: the units go on by themselves
        broker.write_file("tenants.d/b.json", files["tenants.d/b.json"])
        broker.write_file("hookwire.json", json.dumps(merge(broker.config, {"drian_ms": 5})))
        hup(broker, r"hookwire\.json:1:\d+: .*drain_ms")
        wait_mark(broker, beta, "b3", "beta")
        for client in (acme, beta, gamma):
            client.ping()


def test_an_unknown_key_is_refused_with_what_was_meant():
    with Broker({"tenants": {"*": tenant("p")}}, files={"p.lua": policy("one")}) as broker, subscribed(broker, "u1") as client:
        good = copy.deepcopy(broker.config)
        broker.write_file("p.lua", policy("two"))
        broker.write_file("hookwire.json", json.dumps(merge(good, {"heartbeet": {}}), indent=1))
        line = next(i for i, text in enumerate((broker.dir / "hookwire.json").read_text().split("\n"), 1) if "heartbeet" in text)
        hup(broker, rf'hookwire\.json:{line}:\d+: .*"?heartbeat"?')
        equal(marked(broker, client), "one", "the old generation's mark")
        broker.write_config(good)
        broker.sighup()
        wait_mark(broker, client, "two")


def test_a_changed_listener_says_restart_and_keeps_the_old_one():
    with Broker({"tenants": {"*": tenant("p")}}, files={"p.lua": policy("one")}) as broker, subscribed(broker, "u1") as client:
        broker.write_file("p.lua", policy("two"))
        broker.write_config(merge(broker.config, {"listen": ["127.0.0.1:1"]}))
        hup(broker, r"restart")
        client.ping()
        equal(http(broker.address, "GET", "/healthz").status, 200, "the old listener")
        broker.write_config(merge(broker.config, {"listen": ["127.0.0.1:0"], "workers": 3}))
        hup(broker, r"workers.*restart|restart.*workers")
        client.ping()


def test_limits_and_log_level_change_without_a_restart():
    with Broker({"tenants": {"*": tenant("p")}}, files={"p.lua": policy("one")}) as broker, subscribed(broker, "u1") as client:
        broker.write_config(merge(broker.config, {"limits": {"topics_per_session": 2}}))
        broker.sighup()

        def limited():
            answer = client.request({"type": "subscribe", "topics": ["list:2", "list:3"]})["topics"]
            client.request({"type": "unsubscribe", "topics": ["list:2", "list:3"]})
            return [t.get("code") for t in answer.values() if not t["ok"]] == ["topic_limit"]
        wait_until(limited, 10, "the new limit", interval=0.05)


def test_many_reloads_in_a_row_leave_the_last_one_deciding():
    with Broker({"tenants": {"*": tenant("p")}}, files={"p.lua": policy("m0")}) as broker, subscribed(broker, "u1") as client:
        for n in range(1, 30):
            broker.write_file("p.lua", policy(f"m{n}"))
            broker.sighup()
            if n % 5 == 0:
                marked(broker, client)
        wait_mark(broker, client, "m29")
        client.ping()


main()
