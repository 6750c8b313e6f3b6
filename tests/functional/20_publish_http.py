#!/usr/bin/python3
# POST /publish: one event or an array, who may, what is refused and how, and several requests on one connection.
import json
import pathlib
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "gift-list:1"

POLICY = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic) return allow() end,
    publish = function(s, topic)
      if topic.resource == "locked" then return deny("forbidden_topic", "these are locked") end
      if s.claims.backend then return allow { act_as = true } end
      return allow()
    end,
  },
}
"""

# an identity hook of the operator's: a back end may publish to the tenants that its token lists
ROUTER = """
return policy {
  api = 1,
  authenticate = function(req, ctx)
    local claims, err, code = ctx.jwt.verify(req.token)
    if not claims then return deny(code or "unauthorized", err) end
    return allow { user_id = claims.sub, tenant_id = claims.tenant_id, claims = claims, expires_at = claims.exp,
                   act_as = claims.backend, tenants = claims.may_publish_to }
  end,
}
"""


def event(n=1, topic=TOPIC, **data):
    """A valid event, the n-th."""
    return {"topic": topic, "event": "UPDATED", "data": {"entity_id": f"e{n}", "payload": {"n": n}, **data}}


def open_broker(config=None, files=None):
    """A broker with POLICY for every tenant."""
    return Broker(merge({"tenants": {"*": {"hooks": [{"name": "pub", "lua": "pub.lua"}]}}}, config or {}),
                  files={"pub.lua": POLICY, **(files or {})})


def error_of(answer, status, code, retryable=False):
    """Fails unless the answer is the documented form of this error."""
    equal(answer.status, status, f"status of {answer!r}")
    contains(answer.json(), {"code": code, "retryable": retryable}, "error")
    check(isinstance(answer.json()["message"], str) and answer.json()["message"], "an error has a message")
    return answer.json()


def test_one_event_is_stored_and_delivered_with_what_was_missing():
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        answer = http(broker.address, "POST", "/publish", body=event(7), token=mint("ben"))
        equal(answer.status, 200, "status")
        equal(answer.header("Content-Type").split(";")[0], "application/json", "type")
        equal(answer.header("Cache-Control"), "no-store", "Cache-Control of an answer that depends on a token")
        equal(set(answer.json()), {"ok", "id"}, "members of the answer")
        got = client.recv_event(TOPIC)
        equal(got["id"], answer.json()["id"], "the event's id")
        contains(got["data"], {"entity_id": "e7", "payload": {"n": 7}, "user_id": "ben", "tenant_id": "acme"}, "data")
        check(got["data"]["timestamp"].endswith("Z"), "a timestamp in UTC is filled in")


def test_payload_bytes_leave_as_they_came():
    payload = '{ "big":12345678901234567890123, "e" : 1.50e+3, "u":"\\u00e4\\/"}'
    body = '{"topic":"%s","event":"UPDATED","data":{"entity_id":"e1","payload":%s}}' % (TOPIC, payload)
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        answer = http(broker.address, "POST", "/publish", {"Content-Type": "application/json"}, body, mint("ben"))
        equal(answer.status, 200, "status")
        contains(client.recv(), payload, "the message")


def test_an_array_is_answered_by_item():
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        answer = http(broker.address, "POST", "/publish", body=[event(1), event(2)], token=mint("ben"))
        equal(answer.status, 200, "status when all are taken")
        results = answer.json()["results"]
        equal([r["ok"] for r in results], [True, True], "results")
        equal([client.recv_event()["id"] for _ in range(2)], [r["id"] for r in results], "ids, in order")


def test_a_mixed_array_is_207_and_the_good_items_are_published():
    items = [event(1), {"topic": "No Such Form", "event": "UPDATED", "data": {"entity_id": "x"}}, event(3, "locked:1"), event(4)]
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC, "locked:1")
        answer = http(broker.address, "POST", "/publish", body=items, token=mint("ben"))
        equal(answer.status, 207, "status")
        results = answer.json()["results"]
        equal([r["ok"] for r in results], [True, False, False, True], "results")
        equal([results[1]["code"], results[2]["code"]], ["bad_request", "forbidden_topic"], "codes")
        equal([client.recv_event()["data"]["entity_id"] for _ in range(2)], ["e1", "e4"], "what is delivered")
        equal(client.drain(0.2), [], "anything more")


LIMITER = """
return policy {
  api = 1,
  authorize = {
    publish = function(s, topic, ctx, event)
      if event.event == "TOO_OFTEN" then return deny("rate_limited", "not so fast") end
      if event.event == "TOO_EARLY" then return deny("unavailable", "not yet") end
      return allow()
    end,
    subscribe = function() return allow() end,
  },
}
"""


def test_what_may_come_again_is_not_overtaken_by_what_stands_behind_it():
    with open_broker(files={"pub.lua": LIMITER}) as broker:
        items = [event(1), {**event(2), "event": "TOO_OFTEN"}, event(3, "other:1"), event(4),
                 {**event(5, "other:1"), "event": "TOO_EARLY"}, event(6, "other:1"), event(7, "third:1")]
        answer = http(broker.address, "POST", "/publish", body=items, token=mint("ben"))
        equal(answer.status, 207, "status")
        equal([one.get("code") for one in answer.json()["results"]],
              [None, "rate_limited", None, "rate_limited", "unavailable", "unavailable", None], "what became of each")
        check(all(one["retryable"] for one in answer.json()["results"] if not one["ok"]), "they may come again")
        again = http(broker.address, "POST", "/publish", body=[items[3], items[5]], token=mint("ben"))
        equal(again.status, 200, "without it")


def test_an_array_of_too_many_is_413_and_nothing_of_it_is_published():
    with open_broker({"tenants": {"*": {"limits": {"publish_per_s": 100000}}}}) as broker:
        before = broker.publish(TOPIC).json()["id"]
        error_of(http(broker.address, "POST", "/publish", body=[event()] * 1001, token=mint("ben")), 413, "too_large")
        cursor = http(broker.address, "GET", "/cursor", token=mint("ben")).json()["cursor"]
        equal(cursor, before, "the head after it")
        answer = http(broker.address, "POST", "/publish", body=[event()] * 1000, token=mint("ben"))
        equal([answer.status, len(answer.json()["results"])], [200, 1000], "as many as may be")


SLOW = """
return policy {
  api = 1,
  authorize = { publish = function() local n = 0 for i = 1, 20000 do n = n + i % 7 end return allow() end },
}
"""


def test_a_long_array_lets_others_have_their_turn():
    tenants = {"*": {"hooks": [{"name": "slow", "lua": "slow.lua"}], "limits": {"publish_per_s": 100000}}}
    with Broker({"tenants": tenants}, files={"slow.lua": SLOW}) as broker, HttpConnection(broker.address) as other:
        took = []

        def publish():
            start = time.monotonic()
            answer = http(broker.address, "POST", "/publish", body=[event()] * 1000, token=mint("ben"), timeout=30)
            took.extend([time.monotonic() - start, answer.status, len(answer.json()["results"])])
        publisher = threading.Thread(target=publish)
        publisher.start()
        longest = 0
        while publisher.is_alive():
            start = time.monotonic()
            equal(other.request("GET", "/healthz").status, 200, "meanwhile")
            longest = max(longest, time.monotonic() - start)
        equal(took[1:], [200, 1000], "the array's answer")
        check(longest < took[0] / 2, f"a neighbour waited {longest:.3f} s while an array of {took[0]:.3f} s was published")


def test_only_json_is_taken():
    body = json.dumps(event())
    with open_broker() as broker:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
            error_of(http(broker.address, "POST", "/publish", {"Content-Type": kind}, body, mint("ben")), 415, "bad_request")
        error_of(http(broker.address, "POST", "/publish", {}, body, mint("ben")), 415, "bad_request")
        answer = http(broker.address, "POST", "/publish", {"Content-Type": "Application/JSON; charset=utf-8"}, body, mint("ben"))
        equal(answer.status, 200, f"JSON with a parameter: {answer!r}")


def test_what_is_no_event_is_a_bad_request():
    bodies = ["", "nonsense", '{"topic":', "7", "null", b"\xff", '{"topic":"a:1","event":"ADDED"}',
              '{"topic":"a:1","event":"ADDED","data":{"entity_id":"x"},"top\\u0069c":"a:2"}',
              '{"topic":"a:1","event":"ADDED","data":{"entity_id":"x","timestamp":"yesterday"}}',
              '{"topic":"a:1","event":"ADDED","data":{"entity_id":"x"}} x', "[" * 3000 + "]" * 3000]
    with open_broker() as broker:
        for body in bodies:
            answer = http(broker.address, "POST", "/publish", {"Content-Type": "application/json"}, body, mint("ben"))
            error_of(answer, 400, "bad_request")
        equal(broker.publish(TOPIC).status, 200, "the next good one")


def test_a_body_over_the_limit_is_413_and_at_the_limit_is_not():
    with open_broker({"limits": {"body_bytes": 2000, "message_bytes": 4096}}) as broker:
        base = len(json.dumps(event(1, x=""), separators=(",", ":")))
        good = json.dumps(event(1, x="a" * (2000 - base)), separators=(",", ":"))
        equal(len(good), 2000, "length of the test's own body")
        json_type = {"Content-Type": "application/json"}
        equal(http(broker.address, "POST", "/publish", json_type, good, mint("ben")).status, 200, "at the limit")
        error_of(http(broker.address, "POST", "/publish", json_type, good + " ", mint("ben")), 413, "too_large")
        with HttpConnection(broker.address) as connection:  # said, never sent
            connection.send(connection.format("POST", "/publish", [("Authorization", "Bearer " + mint("ben")), (
                "Content-Type", "application/json"), ("Content-Length", "999999999999")]))
            error_of(connection.read_response("POST", 5), 413, "too_large")


def test_an_event_over_message_bytes_is_too_large():
    with open_broker({"limits": {"message_bytes": 1000}}) as broker:
        error_of(http(broker.address, "POST", "/publish", body=event(1, x="a" * 1100), token=mint("ben")), 413, "too_large")
        # wherever in it the bytes are
        error_of(http(broker.address, "POST", "/publish", body=event(1) | {"trace_id": "a" * 1000}, token=mint("ben")), 413, "too_large")
        error_of(http(broker.address, "POST", "/publish", body=event(1) | {"event": "A" * 1000}, token=mint("ben")), 413, "too_large")
        equal(http(broker.address, "POST", "/publish", body=event(1) | {"event": "A" * 500}, token=mint("ben")).status, 200, "within it")


def test_without_a_valid_token_it_is_401():
    with open_broker() as broker:
        error_of(http(broker.address, "POST", "/publish", body=event()), 401, "unauthorized")
        error_of(http(broker.address, "POST", "/publish", body=event(), token=mint("ben", secret="x" * 32)), 401, "unauthorized")
        error_of(http(broker.address, "POST", "/publish", body=event(), token=mint("ben", ttl=-5)), 401, "token_expired")


def test_a_token_that_expires_before_the_body_came_publishes_nothing():
    with open_broker() as broker, HttpConnection(broker.address) as connection:
        token, ends = mint("ben", ttl=1), int(time.time()) + 1
        request = connection.format("POST", "/publish", [("Authorization", "Bearer " + token)], event())
        connection.send(request[:-1])
        wait_until(lambda: time.time() > ends + 1, 5, "the end of the token")
        connection.send(request[-1:])
        error_of(connection.read_response("POST"), 401, "token_expired")


def test_a_cookie_never_authenticates_a_post():
    origin = "https://app.example"
    config = {"auth": {"cookie": "session", "origins": [origin]}}
    with open_broker(config) as broker:
        headers = {"Cookie": "session=" + mint("ben"), "Origin": origin}
        with WsClient(broker.address, headers=headers, protocols=["hookwire.v1"]) as client:
            contains(client.recv_json(), {"type": "welcome", "user_id": "ben"}, "the same cookie on a WebSocket")
        error_of(http(broker.address, "POST", "/publish", headers, event()), 401, "unauthorized")


def test_what_the_hooks_deny_is_403():
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe("locked:1")
        error = error_of(http(broker.address, "POST", "/publish", body=event(1, "locked:1"), token=mint("ben")), 403, "forbidden_topic")
        contains(error["message"], "locked", "the policy's message")
        equal(client.drain(0.2), [], "what came of it")


def test_one_connection_serves_many_requests_also_pipelined():
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client, HttpConnection(broker.address) as connection:
        client.subscribe(TOPIC)
        bearer = [("Authorization", "Bearer " + mint("ben"))]
        for n in range(3):
            equal(connection.request("POST", "/publish", bearer, event(n)).status, 200, "status, kept alive")
        wires = b"".join(connection.format("POST", "/publish", bearer, event(n)) for n in range(3, 20))
        connection.send(wires, split=97)
        ids = [connection.read_response("POST").json()["id"] for _ in range(3, 20)]
        got = [client.recv_event() for _ in range(20)]
        equal([e["data"]["payload"]["n"] for e in got], list(range(20)), "order")
        equal([e["id"] for e in got[3:]], ids, "answers in the order of the requests")


def test_an_error_does_not_end_a_pipelined_connection_out_of_step():
    with open_broker() as broker, HttpConnection(broker.address) as connection:
        bearer = [("Authorization", "Bearer " + mint("ben"))]
        connection.send(connection.format("POST", "/publish", bearer, event(1)) +
                        connection.format("POST", "/publish", bearer, event(2, "locked:1")) +
                        connection.format("POST", "/publish", [], event(3)) +
                        connection.format("POST", "/publish", bearer, event(4)))
        equal([connection.read_response("POST").status for _ in range(4)], [200, 403, 401, 200], "statuses")


def test_trace_id_comes_from_traceparent_unless_the_event_has_one():
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    header = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        http(broker.address, "POST", "/publish", header, event(1), mint("ben"))
        equal(client.recv_event()["trace_id"], trace, "from the header")
        http(broker.address, "POST", "/publish", header, {**event(2), "trace_id": "own"}, mint("ben"))
        equal(client.recv_event()["trace_id"], "own", "the event's own")
        for bad in ("nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", f"ff-{trace}-00f067aa0ba902b7-01"):
            equal(http(broker.address, "POST", "/publish", {"traceparent": bad}, event(3), mint("ben")).status, 200, bad)
            made = client.recv_event()["trace_id"]
            check(len(made) == 32 and set(made) <= set("0123456789abcdef") and made not in (trace, "0" * 32), f"{bad} gave {made}")


def test_who_may_name_the_user_it_acts_for():
    with open_broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        for claims, expected in (({}, "ben"), ({"backend": True}, "zoe")):
            answer = http(broker.address, "POST", "/publish", body=event(1, user_id="zoe", tenant_id="other"), token=mint("ben", **claims))
            equal(answer.status, 200, "status")
            contains(client.recv_event()["data"], {"user_id": expected, "tenant_id": "acme"}, f"with {claims}")
        # a WebSocket session never can, whatever its rights
        with WsClient(broker.address, token=mint("ben", backend=True)) as other:
            equal(other.request({"type": "publish", **event(2, user_id="zoe", tenant_id="other")})["type"], "ack", "answer")
        contains(client.recv_event()["data"], {"user_id": "ben", "tenant_id": "acme"}, "over WebSocket")


def test_act_as_by_the_jwt_plugins_setting():
    hooks = base_config()["hooks"]
    hooks[0]["config"]["act_as"] = {"claim": "role", "equals": "service"}
    with open_broker({"hooks": hooks}) as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        for role, expected in (("guest", "ben"), ("service", "zoe"), (["x", "service"], "zoe")):
            http(broker.address, "POST", "/publish", body=event(1, user_id="zoe"), token=mint("ben", role=role))
            equal(client.recv_event()["data"]["user_id"], expected, f"user_id for role {role}")


def tenants_grant(hooks, token):
    with open_broker({"hooks": hooks}, {"router.lua": ROUTER}) as broker, \
            WsClient(broker.address, token=mint("anna", "acme")) as acme, \
            WsClient(broker.address, token=mint("bob", "beta")) as beta, \
            WsClient(broker.address, token=mint("gil", "gamma")) as gamma:
        for client in (acme, beta, gamma):
            client.subscribe(TOPIC)
        items = [event(1), event(2, tenant_id="beta"), event(3, tenant_id="gamma"), event(4, tenant_id="acme")]
        answer = http(broker.address, "POST", "/publish", body=items, token=token)
        results = answer.json()["results"]
        # gamma is not granted: either refused, or the session's own tenant overwrites the forged one; never gamma
        equal([results[i]["ok"] for i in (0, 1, 3)], [True] * 3, "results")
        got = beta.recv_event()
        equal(got["data"]["entity_id"], "e2", "what the granted tenant gets")
        equal(got["data"]["tenant_id"], "beta", "its tenant")
        equal(beta.drain(0.2), [], "more for the granted tenant")
        equal(gamma.drain(0.2), [], "what the tenant that is not granted gets")
        mine = [e for e in acme.drain(0.2)]
        equal([e["data"]["entity_id"] for e in mine if e["data"]["entity_id"] != "e3"], ["e1", "e4"], "the publisher's own tenant")
        equal({e["data"]["tenant_id"] for e in mine}, {"acme"}, "tenant of its events")


def test_a_granted_tenant_gets_its_items_and_nobody_else_does():
    tenants_grant([{"name": "router", "lua": "router.lua", "config": {"keys": base_config()["hooks"][0]["config"]["keys"]}}],
                  mint("ben", "acme", backend=True, may_publish_to=["beta"]))


def test_tenants_by_the_jwt_plugins_setting():
    hooks = base_config()["hooks"]
    hooks[0]["config"]["tenants_claim"] = "may_publish_to"
    tenants_grant(hooks, mint("ben", "acme", may_publish_to=["beta"]))


def test_the_granted_tenants_own_chain_decides():
    hooks = base_config()["hooks"]
    hooks[0]["config"]["tenants_claim"] = "may_publish_to"
    strict = POLICY.replace('topic.resource == "locked"', 'topic.resource == "gift-list"')
    config = {"hooks": hooks, "tenants": {"beta": {"hooks": [{"name": "strict", "lua": "strict.lua"}]}}}
    with open_broker(config, {"strict.lua": strict}) as broker:
        token = mint("ben", "acme", may_publish_to=["beta"])
        error_of(http(broker.address, "POST", "/publish", body=event(1, tenant_id="beta"), token=token), 403, "forbidden_topic")
        equal(http(broker.address, "POST", "/publish", body=event(1), token=token).status, 200, "in its own tenant")


def test_a_granted_tenant_that_is_not_served_is_403_for_good():
    hooks = base_config()["hooks"]
    hooks[0]["config"]["tenants_claim"] = "may_publish_to"
    served = {"*": None, "acme": {"hooks": [{"name": "pub", "lua": "pub.lua"}]}}
    with Broker({"hooks": hooks, "tenants": served}, files={"pub.lua": POLICY}) as broker:
        token = mint("ben", "acme", may_publish_to=["ghost"])
        error_of(http(broker.address, "POST", "/publish", body=event(1, tenant_id="ghost"), token=token), 403, "forbidden_topic")
        equal(http(broker.address, "POST", "/publish", body=event(1), token=token).status, 200, "in its own tenant")


main()
