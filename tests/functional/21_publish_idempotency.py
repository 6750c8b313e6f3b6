#!/usr/bin/python3
# A publish that is repeated with its key is stored once, and its key means nothing to another user or tenant.
import pathlib
import sys
import threading
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "list:1"


def event(name="e1", **members):
    return {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": name, "payload": {}}, **members}


def post(broker, body, key=None, user="ben", tenant="acme"):
    headers = {} if key is None else {"Idempotency-Key": key}
    return http(broker.address, "POST", "/publish", headers, body, mint(user, tenant))


def only(client, count, what):
    """Fails unless exactly so many events come; returns them."""
    got = [m for m in client.drain(0.25) if "type" not in m]
    equal(len(got), count, what)
    return got


def test_a_repeat_returns_the_first_answer_and_is_stored_once():
    with Broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        first = post(broker, event(), "k1")
        equal([first.status, first.json().get("duplicate")], [200, None], "the first")
        for _ in range(3):
            again = post(broker, event(), "k1")
            equal(again.status, 200, "status of a repeat")
            equal(again.json(), {**first.json(), "duplicate": True}, "a repeat")
        only(client, 1, "deliveries")
        check(post(broker, event(), "k2").json()["id"] != first.json()["id"], "another key is another event")
        check("duplicate" not in post(broker, event()).json(), "no key, no duplicate")


def test_the_same_key_with_another_body_is_422():
    with Broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        equal(post(broker, event("one"), "k1").status, 200, "the first")
        other = post(broker, event("two"), "k1")
        equal(other.status, 422, "status")
        contains(other.json(), {"code": "bad_request", "retryable": False}, "error")
        equal([e["data"]["entity_id"] for e in only(client, 1, "deliveries")], ["one"], "what was delivered")
        equal(post(broker, event("one"), "k1").json().get("duplicate"), True, "the first body is still known")


def test_items_of_an_array_have_keys_of_their_own():
    with Broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        first = post(broker, [event("a", key="ka"), event("b", key="kb"), event("c")])
        equal(first.status, 200, "status")
        again = post(broker, [event("a", key="ka"), event("x", key="kb"), event("d", key="kd")])
        equal(again.status, 207, "status of the mixed one")
        results = again.json()["results"]
        equal(results[0], {**first.json()["results"][0], "duplicate": True}, "the repeat")
        contains(results[1], {"ok": False, "code": "bad_request"}, "the key with another body")
        check(results[2]["ok"] and "duplicate" not in results[2], "the new one")
        equal([e["data"]["entity_id"] for e in only(client, 4, "deliveries")], ["a", "b", "c", "d"], "what was delivered")
        # an item's key is the same as a single event's
        equal(post(broker, event("a", key="ka")).json().get("duplicate"), True, "alone, by its member")


def test_within_one_array_the_second_of_a_key_is_the_duplicate():
    with Broker() as broker:
        results = post(broker, [event("a", key="k"), event("a", key="k")]).json()["results"]
        equal([r.get("duplicate") for r in results], [None, True], "duplicate")
        equal(results[0]["id"], results[1]["id"], "id")


def test_keys_are_scoped_to_user_and_tenant():
    with Broker() as broker:
        ids = set()
        for user, tenant in (("ben", "acme"), ("zoe", "acme"), ("ben", "beta"), ("acme", "ben")):
            answer = post(broker, event(user), "same", user, tenant)
            equal(answer.status, 200, f"{user} of {tenant}")
            check("duplicate" not in answer.json(), f"{user} of {tenant} got another's answer")
            ids.add(answer.json()["id"])
        equal(len(ids), 4, "ids")
        equal(post(broker, event("ben"), "same").json().get("duplicate"), True, "ben's own repeat")


def test_who_may_publish_to_another_tenant_shares_no_key_with_its_users():
    hooks = base_config()["hooks"]
    hooks[0]["config"]["tenants_claim"] = "may_publish_to"
    with Broker({"hooks": hooks}) as broker, WsClient(broker.address, token=mint("ben", "beta")) as client:
        client.subscribe(TOPIC)
        own = post(broker, event("same"), "k", "svc", "beta")
        granted = http(broker.address, "POST", "/publish", {"Idempotency-Key": "k"},
                       {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "same", "payload": {}, "tenant_id": "beta"}},
                       mint("svc", "acme", may_publish_to=["beta"]))
        equal([own.status, granted.status], [200, 200], "both are new")
        only(client, 2, "deliveries")


def test_websocket_and_http_share_their_keys():
    with Broker() as broker, WsClient(broker.address, token=mint("ben")) as client:
        ack = client.request({"type": "publish", **event("w"), "key": "k1"})
        equal(ack["type"], "ack", f"answer {ack}")
        again = client.request({"type": "publish", **event("w"), "key": "k1"})
        contains(again, {"type": "ack", "event_id": ack["event_id"], "duplicate": True}, "over WebSocket")
        contains(post(broker, event("w"), "k1").json(), {"id": ack["event_id"], "duplicate": True}, "over HTTP")
        error = client.request({"type": "publish", **event("other"), "key": "k1"})
        contains(error, {"type": "error", "code": "bad_request"}, "another body")


def test_what_was_refused_can_be_tried_again_with_the_same_key():
    policy = """
return policy { api = 1, authorize = {
  subscribe = function() return allow() end,
  publish = function(s, topic, ctx)
    if topic.name == "list:1" and not ctx.state.asked then ctx.state.asked = true error("not today") end
    return allow()
  end } }
"""
    with Broker({"tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}, files={"p.lua": policy}) as broker:
        equal(post(broker, event(), "k1").status, 503, "the first try")
        again = post(broker, event(), "k1")
        equal([again.status, again.json().get("duplicate")], [200, None], "the second")


def test_many_at_once_with_one_key_are_one_event():
    with Broker({"workers": 4}) as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(post(broker, event(), "race"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        good = [a.json() for a in answers if a.status == 200]
        check(all(a.status == 200 or a.json()["retryable"] for a in answers), f"answers {answers}")
        equal(len({a["id"] for a in good}), 1, "ids")
        equal(sum("duplicate" not in a for a in good), 1, "answers that are no duplicate")
        only(client, 1, "deliveries")


main()
