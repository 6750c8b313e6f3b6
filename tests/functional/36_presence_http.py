#!/usr/bin/python3
# ctest: timeout=120
# Who is in a topic, asked over HTTP; and clients of Server-Sent Events and of polls are there as those of WebSocket are.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

POLICY = """
return policy { api = 1, authorize = {
  subscribe = function() return allow() end,
  presence = function(s, topic, ctx)
    if topic.id == "secret" then return deny("forbidden_topic", "not yours") end
    if topic.id == "slow" then ctx.sleep(50) end
    if topic.id == "broken" then error("no") end
    return allow()
  end } }
"""


def broker_of(**more):
    config = {"presence": {"topics": ["room:*"], "claims": ["name"], "grace_ms": 0}, "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}
    return Broker(merge(config, more), files={"p.lua": POLICY})


def asked(broker, topic="room:1", status=200, user="asks", tenant="acme", method="GET"):
    r = http(broker.address, method, f"/topics/{topic}/presence", token=mint(user, tenant))
    equal(r.status, status, f"status ({r.body[:200]!r})")
    equal(r.header("Cache-Control"), "no-store", "Cache-Control")
    return r.json() if method == "GET" else r


def users(broker, topic="room:1", **who):
    return {u["user_id"]: u["connections"] for u in asked(broker, topic, **who)["topics"][topic]["users"]}


def test_the_answer_is_that_of_the_command():
    with broker_of() as broker, WsClient(broker.address, token=mint("anna", name="A")) as anna:
        anna.subscribe("room:1")
        expected = {"topics": {"room:1": {"users": [{"user_id": "anna", "connections": 1, "info": {"name": "A"}}], "number": 1}}}
        equal(asked(broker), expected, "over HTTP")
        equal(asked(broker, "room%3A1"), expected, "a topic with an escape")
        equal(anna.request({"type": "presence", "topic": "room:1"})["topics"], expected["topics"], "by the command")
        equal(asked(broker, "room:slow"), {"topics": {"room:slow": {"users": [], "number": 1}}}, "a hook that waits")
        equal(users(broker, tenant="other"), {}, "another tenant's")
        equal(asked(broker, method="HEAD").body, b"", "HEAD")


def test_who_may_not_and_what_is_none():
    with broker_of() as broker:
        refusal = asked(broker, "room:secret", 403)
        equal((refusal["code"], refusal["message"]), ("forbidden_topic", "not yours"), "denied")
        equal(asked(broker, "room:broken", 503)["code"], "unavailable", "a hook that fails")
        for topic in ("hall:1", "room:*", "room", "room:A"):
            equal(asked(broker, topic, 400)["code"], "bad_request", topic)
        equal(http(broker.address, "GET", "/topics/room:1/presence").status, 401, "without a token")
        equal(http(broker.address, "POST", "/topics/room:1/presence", token=mint("u1")).status, 405, "POST")
        equal(http(broker.address, "GET", "/topics//presence", token=mint("u1")).status, 404, "no topic")


def test_sessions_of_every_transport_are_there():
    with broker_of(workers=4) as broker:
        ws = WsClient(broker.address, token=mint("anna"))
        ws.subscribe("room:1")
        sse = HttpConnection(broker.address)
        sse.send(sse.format("GET", "/sse?topics=room:1", [("Authorization", "Bearer " + mint("anna"))]))
        wait_until(lambda: users(broker) == {"anna": 2}, 10, "the stream")
        # a client that polls is one, whatever workers its polls meet
        tokens = [mint("berta", n=n) for n in range(2)]
        for n in range(40):
            r = http(broker.address, "GET", "/poll?topics=room:1,room:2&wait=0", token=tokens[n % 2])
            equal(r.status, 200, "poll")
        check(broker.metric("hookwire_sessions") > 4, "the polls met one worker")
        equal(users(broker), {"anna": 2, "berta": 1}, "all three")
        equal(users(broker, "room:2"), {"berta": 1}, "the other topic")
        r = http(broker.address, "GET", "/poll?topics=room:1&wait=0", token=tokens[0])
        equal(users(broker), {"anna": 2, "berta": 2}, "another poll client")
        sse.close()
        ws.abort()
        wait_until(lambda: users(broker) == {"berta": 2}, 10, "anna to be gone")
        r = http(broker.admin_address, "POST", "/api/sessions/disconnect", headers={"Content-Type": "application/json"}, token=ADMIN_TOKEN, body=b'{"tenant":"acme","user":"berta"}')
        equal(r.status, 200, "disconnect")
        wait_until(lambda: users(broker) == {}, 10, "berta to be gone")


main()
