#!/usr/bin/python3
# POST /api/reload answers when it is done, with what became of each unit; POST /api/reauthorize has those asked again whose rights
# an outside fact changed. Nobody waits for either but who asked.
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
BROKEN = "return policy {\n  api = 1,\n  authorize = nonsense(,\n}\n"


def post(broker, path, body=None):
    return http(broker.admin_address, "POST", path, {"Content-Type": "application/json"}, body if body is not None else {}, ADMIN_TOKEN)


def client_of(broker, *topics, user="anna", tenant="acme"):
    client = WsClient(broker.address, token=mint(user, tenant), protocols=V1)
    client.recv_where({"type": "welcome"})
    if topics:
        client.subscribe(*topics)
    return client


def test_the_answer_says_what_became_of_each_unit():
    files = {"a.lua": OPEN_POLICY, "b.lua": OPEN_POLICY,
             "tenants.d/a.json": {"tenants": {"acme": {"hooks": [{"name": "a", "lua": "../a.lua"}]}}},
             "tenants.d/b.json": {"tenants": {"beta": {"hooks": [{"name": "b", "lua": "../b.lua"}]}}}}
    with Broker({"include": ["tenants.d/*.json"]}, files=files) as broker, client_of(broker, "t:1") as client:
        answer = post(broker, "/api/reload")
        equal(answer.status, 200, "status")
        names = [pathlib.Path(unit["name"]).name for unit in answer.json()["units"]]
        equal(names, ["hookwire.json", "a.json", "b.json"], "units")
        contains(answer.json(), {"ok": True, "result": "ok", "generation": 2}, "a good one")
        check(all(unit["ok"] and unit["problems"] == [] for unit in answer.json()["units"]), "units")
        equal(broker.metric("hookwire_generation"), 2, "it is in force already")
        broker.write_file("b.lua", BROKEN)
        answer = post(broker, "/api/reload")
        equal(answer.status, 207, "status")
        contains(answer.json(), {"ok": False, "result": "partial", "generation": 3}, "a partial one")
        equal([unit["ok"] for unit in answer.json()["units"]], [True, True, False], "units")
        problems = [unit["problems"] for unit in answer.json()["units"]]
        equal(problems[:2], [[], []], "problems of the units that are well")
        check(len(problems[2]) == 1 and "b.lua:3" in problems[2][0], f"problems: {answer.json()}")
        broker.write_file("a.lua", BROKEN)
        broker.write_file("hookwire.json", "{")
        answer = post(broker, "/api/reload")
        equal(answer.status, 422, "status")
        contains(answer.json(), {"ok": False, "result": "failed", "generation": 3}, "a failed one")
        equal([unit["ok"] for unit in answer.json()["units"]], [False] * 3, "units")
        (broker.dir / "hookwire.json").unlink()
        equal(post(broker, "/api/reload").status, 422, "without a configuration")
        client.ping()


def test_others_are_served_while_it_lasts_and_who_asks_meanwhile_gets_the_next():
    with GateBroker() as broker, client_of(broker, "t:1") as client:
        broker.hold("load")
        broker.write_mark("two")
        first = in_background(post, broker, "/api/reload")
        broker.wait_held("load")
        others = [in_background(post, broker, "/api/reload") for _ in range(3)]
        client.ping()
        equal(http(broker.admin_address, "GET", "/healthz").status, 200, "on the admin listener")
        broker.write_mark("three")
        broker.release("load")
        equal(first().json()["generation"], 2, "the first's")
        check(all(2 < other().json()["generation"] <= 5 for other in others), "those of the others")
        equal(broker.reason(client), "worker 0 three", "what decides")


# an outside fact that no reload tells of: the time
UNTIL = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic) if topic.resource == "a" or os.time() < ctx_until then return allow() end return deny("forbidden_topic") end,
    wildcard = function(s, topic) if os.time() < ctx_until then return allow() end return deny("forbidden_topic") end,
    publish = function(s, topic) return allow() end,
  },
}
"""


def test_an_outside_fact_is_taken_up_for_whom_it_concerns():
    until = int(time.time()) + 6
    files = {"p.lua": "local ctx_until = " + str(until) + UNTIL}
    with Broker({"workers": 2, "reauth_ms": 300, "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}, files=files) as broker:
        anna = [client_of(broker, "a:1", "b:1") for _ in range(3)]
        ben, beta = client_of(broker, "a:1", "b:2", user="ben"), client_of(broker, "b:1", tenant="beta")
        wide = client_of(broker, "b:*", user="wide")
        equal(post(broker, "/api/reauthorize", {"tenant": "acme"}).json(), {"ok": True, "sessions": 5}, "while it is allowed")
        wait_until(lambda: time.time() > until, 10, "the time", interval=0.05)
        for match, n in (({"user": "nobody"}, 0), ({"user": "anna", "tenant": "beta"}, 1), ({"user": "ben", "topic": "b:1"}, 0), ({"topic": "c:1"}, 0)):
            equal(post(broker, "/api/reauthorize", match).json(), {"ok": True, "sessions": n}, f"sessions of {match}")
        contains(beta.recv_where({"type": "unsubscribed"}), {"topics": ["b:1"], "code": "forbidden_topic"}, "of the other tenant")
        equal(post(broker, "/api/reauthorize", {"user": "anna", "tenant": "acme"}).json(), {"ok": True, "sessions": 3}, "of a user")
        for client in anna:
            contains(client.recv_where({"type": "unsubscribed"}), {"topics": ["b:1"]}, "taken away")
        equal([client.drain(0.5) for client in (ben, wide)], [[], []], "who was not named")
        equal(post(broker, "/api/reauthorize", {"topic": "b:1"}).json(), {"ok": True, "sessions": 1}, "of a topic, also by pattern")
        contains(wide.recv_where({"type": "unsubscribed"}), {"topics": ["b:*"]}, "the pattern")
        equal(post(broker, "/api/reauthorize", {"topic": "b:*"}).json(), {"ok": True, "sessions": 1}, "of a resource")
        contains(ben.recv_where({"type": "unsubscribed"}), {"topics": ["b:2"]}, "a topic of it")
        equal(post(broker, "/api/reauthorize", {}).status, 400, "nobody named")
        equal(http(broker.admin_address, "POST", "/api/reauthorize", {"Content-Type": "application/json"}, {"user": "anna"}).status, 401, "no token")


main()
