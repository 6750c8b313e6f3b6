#!/usr/bin/python3
# Subscribing: results per topic, wildcards, limits, one delivery however many match, arrays, and the order of answers.
import json
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import publish_many

V1 = ["hookwire.v1"]

POLICY = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic)
      if topic.resource == "secret" then return deny("forbidden_topic", "family only") end
      if topic.resource == "nobody" then return end
      return allow()
    end,
    wildcard = function(s, topic)
      if topic.resource == "gift-list" or topic.resource == "secret" then return allow() end
      return deny("forbidden_topic")
    end,
    publish = function(s, topic) return allow { act_as = true } end,
  },
}
"""

NO_WILDCARD = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic) return allow() end,
    publish = function(s, topic) return allow() end,
  },
}
"""


def with_policy(text=POLICY, **config):
    """A broker whose tenants have this policy."""
    return Broker({"tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}, **config}, files={"p.lua": text})


def topics_of(client, *topics):
    """The reply's results for a subscribe."""
    reply = client.request({"type": "subscribe", "topics": list(topics)})
    contains(reply, {"type": "reply", "ok": True}, "reply")
    return reply["topics"]


def alive(client):
    """Fails unless the next message is the answer to a ping."""
    client.send_json({"type": "ping", "id": "alive"})
    contains(client.recv_json(), {"type": "pong", "id": "alive"}, "the next message")


def test_a_reply_names_each_topic():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        head = http(broker.address, "GET", "/cursor", token=mint("anna")).json()["cursor"]
        reply = client.request({"type": "subscribe", "id": "s1",
                                "topics": ["gift-list:1", "secret:1", {"topic": "gift-list:2"}, "nobody:1"]})
        contains(reply, {"type": "reply", "id": "s1", "ok": True, "topic": ""}, "reply")
        equal(set(reply["topics"]), {"gift-list:1", "secret:1", "gift-list:2", "nobody:1"}, "topics")
        for granted in ("gift-list:1", "gift-list:2"):
            contains(reply["topics"][granted], {"ok": True, "cursor": head}, granted)
        for refused in ("secret:1", "nobody:1"):
            contains(reply["topics"][refused], {"ok": False, "code": "forbidden_topic"}, refused)
        for topic in ("secret:1", "nobody:1", "gift-list:3", "gift-list:2", "gift-list:1"):
            equal(broker.publish(topic).status, 200, f"publish {topic}")
        equal([client.recv_json()["topic"] for _ in range(2)], ["gift-list:2", "gift-list:1"], "what comes")
        alive(client)


def test_the_cursor_of_a_reply_is_that_of_the_last_event():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        last = broker.publish("gift-list:9").json()["id"]
        check(re.fullmatch(r"[^-]+-[0-9]+", last), f"an id is EPOCH-SEQ: {last}")
        equal(topics_of(client, "gift-list:1")["gift-list:1"]["cursor"], last, "cursor")


def test_without_an_id_only_refusals_are_told():
    with with_policy() as broker:
        for protocols in (None, V1):
            with WsClient(broker.address, token=mint("anna"), protocols=protocols) as client:
                if protocols:
                    equal(client.recv_json()["type"], "welcome", "first message")
                client.send_json({"type": "subscribe", "topics": ["gift-list:1", "secret:1", "gift-list:2", "secret:2"]})
                for topic in ("secret:1", "secret:2"):
                    error = client.recv_json()
                    contains(error, {"type": "error", "code": "forbidden_topic", "retryable": False}, "error")
                    contains(error["message"], topic, "message")
                    check("id" not in error, f"an id that nobody gave: {error!r}")
                alive(client)
                broker.publish("gift-list:2")
                equal(client.recv_json()["topic"], "gift-list:2", "the others are subscribed")


def test_bad_topics_are_bad_request_each():
    bad = ["gift-list", "Gift:1", "gift-list:", ":1", "a:b:c", "gift-list:*x", "*:*", "*", "a*:1", "gift-list:1 ", " gift-list:1",
           "1a:1", "-a:1", "a_b:1", "a:A", "a:ä", "", "a:1\u0000", "a:1\n", "gift-list:" + "x" * 246]
    longest = "gift-list:" + "x" * 245
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        for topic in bad:
            results = topics_of(client, topic, "gift-list:1")
            equal(results["gift-list:1"]["ok"], True, "the good one beside it")
            contains(results[topic], {"ok": False, "code": "bad_request"}, f"topic {topic!r}")
        equal(len(longest), 255, "the longest topic")
        equal(topics_of(client, longest)[longest]["ok"], True, "a topic of 255 bytes")
        for topics in (None, "gift-list:1", 5, {}, [5], [None], [["gift-list:1"]], [{}], [{"topic": 5}], [True]):
            answer = client.request({"type": "subscribe", "topics": topics})
            contains(answer, {"type": "error", "code": "bad_request"}, f"topics {topics!r}")
        contains(client.request({"type": "subscribe"}), {"type": "error", "code": "bad_request"}, "no topics")
        alive(client)


def test_a_topic_that_is_named_twice_in_a_message_is_one():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        first, _ = publish_many(broker, 2, ("gift-list:1",))
        client.send_json({"type": "subscribe", "id": "s", "topics": [
            {"topic": "gift-list:1", "cursor": first}, "gift-list:1", "secret:1", "gift-list:1", "secret:1"]})
        equal(client.recv_event()["data"]["payload"]["n"], 1, "recovered by the cursor that was named first")
        text = client.recv()
        equal([text.count('"gift-list:1"'), text.count('"secret:1"')], [1, 1], f"names in {text}")
        contains(json.loads(text)["topics"]["gift-list:1"], {"ok": True, "recovered": True}, "its result")
        alive(client)
        equal(topics_of(client, "gift-list:2", {"topic": "gift-list:2", "cursor": "no cursor"})["gift-list:2"],
              {"ok": False, "code": "bad_request"}, "one of whose cursors is malformed")
        client.send_json({"type": "subscribe", "topics": ["secret:1"] * 3})
        contains(client.recv_json(), {"type": "error", "code": "forbidden_topic"}, "without an id")
        alive(client)


def test_a_wildcard_is_authorized_by_wildcard_alone():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        results = topics_of(client, "gift-list:*", "open:*", "secret:*")
        equal(results["gift-list:*"]["ok"], True, "gift-list:*")
        contains(results["open:*"], {"ok": False, "code": "forbidden_topic"}, "open:*, which subscribe would allow")
        equal(results["secret:*"]["ok"], True, "secret:*, which subscribe would refuse")
        for topic in ("gift-list:a", "gift-listing:1", "open:1", "secret:7", "gift:1", "gift-list:b"):
            equal(broker.publish(topic).status, 200, f"publish {topic}")
        equal([client.recv_json()["topic"] for _ in range(3)], ["gift-list:a", "secret:7", "gift-list:b"], "what comes")
        alive(client)


def test_a_chain_without_wildcard_denies_it():
    with with_policy(NO_WILDCARD) as broker, WsClient(broker.address, token=mint("anna")) as client:
        results = topics_of(client, "gift-list:*", "gift-list:1")
        contains(results["gift-list:*"], {"ok": False, "code": "forbidden_topic"}, "gift-list:*")
        equal(results["gift-list:1"]["ok"], True, "gift-list:1")


def test_a_session_may_have_so_many_topics():
    with with_policy(limits={"topics_per_session": 3}) as broker, WsClient(broker.address, token=mint("anna")) as client:
        results = topics_of(client, "a:1", "secret:1", "a:2", "a:3", "a:4")
        equal([results[t]["ok"] for t in ("a:1", "a:2", "a:3")], [True] * 3, "the first three")
        contains(results["a:4"], {"ok": False, "code": "topic_limit"}, "the fourth")
        equal(results["secret:1"]["code"], "forbidden_topic", "a refused one takes no place")
        equal(topics_of(client, "a:2")["a:2"]["ok"], True, "one that it has already")
        client.send_json({"type": "subscribe", "topics": ["a:5"]})
        contains(client.recv_json(), {"type": "error", "code": "topic_limit"}, "without an id")
        client.request({"type": "unsubscribe", "topics": ["a:1"]})
        equal(topics_of(client, "a:4")["a:4"]["ok"], True, "after an unsubscribe")
        with WsClient(broker.address, token=mint("anna")) as other:
            equal(topics_of(other, "a:1")["a:1"]["ok"], True, "another session of the same user has its own")


def test_a_tenant_may_have_so_many_subscriptions():
    config = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"subscriptions": 3}}}}
    with Broker(config) as broker, WsClient(broker.address, token=mint("ben", "other")) as elsewhere, \
            WsClient(broker.address, token=mint("ben")) as ben:
        with WsClient(broker.address, token=mint("anna")) as anna:
            anna.subscribe("a:1", "a:2")
            results = topics_of(ben, "a:1", "a:2")
            equal(results["a:1"]["ok"], True, "the tenant's third")
            contains(results["a:2"], {"ok": False, "code": "topic_limit"}, "the tenant's fourth")
            elsewhere.subscribe("a:1", "a:2", "a:3")
        wait_until(lambda: topics_of(ben, "a:2")["a:2"]["ok"], 5, "a closed session gives its places back", interval=0.05)


def test_unsubscribe_ends_delivery():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe("a:1", "a:2")
        contains(client.request({"type": "unsubscribe", "topics": ["a:1", "a:9"], "id": 5}),
                 {"type": "reply", "id": 5, "ok": True}, "reply")
        broker.publish("a:1")
        broker.publish("a:2")
        equal(client.recv_json()["topic"], "a:2", "what still comes")
        client.send_json({"type": "unsubscribe", "topics": ["a:2"]})
        alive(client)  # no reply without an id
        broker.publish("a:2")
        broker.publish("a:1")
        client.subscribe("a:1")
        broker.publish("a:1", data={"entity_id": "again"})
        equal(client.recv_json()["data"]["entity_id"], "again", "subscribed again, from now on")


def test_one_delivery_however_many_subscriptions_match():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna"), query={"topics": "gift-list:1"}) as client:
        client.subscribe("gift-list:1", "gift-list:*")
        client.request({"type": "subscribe", "topics": ["gift-list:1", "gift-list:1", "gift-list:*"]})
        first = broker.publish("gift-list:1").json()["id"]
        equal(client.recv_json()["id"], first, "the event")
        alive(client)
        client.request({"type": "unsubscribe", "topics": ["gift-list:1"]})
        second = broker.publish("gift-list:1").json()["id"]
        equal(client.recv_json()["id"], second, "by the wildcard alone")
        alive(client)
        client.request({"type": "unsubscribe", "topics": ["gift-list:*"]})
        broker.publish("gift-list:1")
        broker.publish("gift-list:2")
        client.ping()
        alive(client)


def test_topics_of_the_query():
    with with_policy() as broker:
        for protocols in (None, V1):
            with WsClient(broker.address, path="/ws?topics=gift-list:1,secret:1,gift-list:*", token=mint("anna"), protocols=protocols) as client:
                if protocols:
                    equal(client.recv_json()["type"], "welcome", "welcome comes first")
                error = client.recv_json()
                contains(error, {"type": "error", "code": "forbidden_topic"}, "the refused one")
                contains(error["message"], "secret:1", "message")
                alive(client)
                broker.publish("gift-list:1")
                broker.publish("gift-list:7")
                equal([client.recv_json()["topic"] for _ in range(2)], ["gift-list:1", "gift-list:7"], "what comes")
        with WsClient(broker.address, query={"topics": "gift-list:1,nonsense"}, token=mint("anna")) as client:  # %3A, %2C
            contains(client.recv_json(), {"type": "error", "code": "bad_request"}, "a bad one")
            broker.publish("gift-list:1")
            equal(client.recv_json()["topic"], "gift-list:1", "the good one beside it")


def test_a_publisher_gets_its_own_event_and_an_ack():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna"), protocols=V1) as client:
        client.subscribe("gift-list:1")
        client.send_json({"type": "publish", "topic": "gift-list:1", "event": "ADDED", "data": {"entity_id": "e"}, "id": "p1"})
        both = [client.recv_json(), client.recv_json()]
        ack = [m for m in both if m.get("type") == "ack"]
        event = [m for m in both if "type" not in m]
        check(len(ack) == 1 and len(event) == 1, f"one ack and one event: {both!r}")
        contains(ack[0], {"id": "p1", "event_id": event[0]["id"]}, "ack")
        client.send_json({"type": "publish", "topic": "gift-list:1", "event": "ADDED", "data": {"entity_id": "e"}})
        check("type" not in client.recv_json(), "without an id no ack")
        alive(client)


def test_an_array_is_worked_off_in_order():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.send_json([
            {"type": "ping", "id": 1}, {"type": "subscribe", "topics": ["a:1"], "id": 2}, {"type": "nonsense", "id": 3},
            {"type": "publish", "topic": "a:1", "event": "ADDED", "data": {"entity_id": "e"}}, {"type": "ping", "id": 4},
            {"type": "unsubscribe", "topics": ["a:2"], "id": 5}])
        got = [client.recv_json() for _ in range(6)]
        equal([m["id"] for m in got if "type" in m], [1, 2, 3, 4, 5], "answers")
        equal([m["type"] for m in got if "type" in m], ["pong", "reply", "error", "pong", "reply"], "types")
        equal([m["topic"] for m in got if "type" not in m], ["a:1"], "the event of the publish amid them")
        client.send_json([5, {"type": "ping", "id": 6}])
        contains(client.recv_where({"type": "error"}), {"code": "bad_request"}, "what is no command")


def test_an_unknown_type_is_an_error_and_unknown_members_are_ignored():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        for command in ({"type": "nonsense"}, {"type": ""}, {"type": "PING"}, {"type": 5}, {"type": None}, {}, {"topics": ["a:1"]}):
            client.send_json({**command, "id": "u"})
            contains(client.recv_json(), {"type": "error", "id": "u", "code": "bad_request", "retryable": False, "topic": ""}, f"{command!r}")
            client.send_json(command)
            error = client.recv_json()
            contains(error, {"type": "error", "code": "bad_request"}, f"{command!r} without an id")
            check("id" not in error, "an id that nobody gave")
        client.send_json({"type": "ping", "id": 1, "future": {"a": [1, {"b": 2}]}, "x": None})
        equal(client.recv_json(), {"type": "pong", "id": 1, "topic": ""}, "unknown members")
        client.subscribe("a:1")


def test_answers_come_in_the_order_of_the_messages():
    with with_policy(limits={"topics_per_session": 1000}) as broker, WsClient(broker.address, token=mint("anna")) as client:
        frames = b""
        for n in range(300):
            command = [{"type": "ping", "id": n}, {"type": "subscribe", "topics": [f"a:{n}"], "id": n},
                       {"type": "unsubscribe", "topics": [f"a:{n}"], "id": n}, {"type": "x", "id": n}][n % 4]
            frames += encode_frame(TEXT, json.dumps(command))
        client.stream.send(frames)
        equal([client.recv_json()["id"] for _ in range(300)], list(range(300)), "ids")


def test_a_subscription_goes_live_at_its_reply():
    with with_policy() as broker, WsClient(broker.address, token=mint("anna")) as client:
        for n in range(30):
            topic = f"a:{n}"
            client.send_json([{"type": "publish", "topic": topic, "event": "ADDED", "data": {"entity_id": "before"}},
                              {"type": "subscribe", "topics": [topic], "id": n},
                              {"type": "publish", "topic": topic, "event": "ADDED", "data": {"entity_id": "after"}}])
            contains(client.recv_json(), {"type": "reply", "id": n}, "first the reply")
            contains(client.recv_json()["data"], {"entity_id": "after"}, "then what was published after it, and nothing before")


main()
