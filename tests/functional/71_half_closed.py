#!/usr/bin/python3
# Who closes its half of the connection: what was asked for is still answered, however slow or long it is; who was listening has gone.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
FILL = "x" * 20000  # of an event
SLOW_WAY = {"receive_buffer": 4096, "mss": 536}  # a socket of it takes some 40 KB
SLOW = """
return policy { api = 1, authorize = {
  subscribe = function(s, topic, ctx) if topic.resource == "slow" then ctx.sleep(400) end return allow() end,
  publish = function(s, topic, ctx) if topic.resource == "slow" then ctx.sleep(400) end return allow() end,
  presence = function() return allow() end,
} }
"""


def broker(**more):
    return Broker({"tenants": {"*": {"hooks": [{"name": "slow", "lua": "slow.lua"}], "limits": {"publish_per_s": 1000000}}}, **more},
                  files={"slow.lua": SLOW})


def bearer(user="u1"):
    return [("Authorization", "Bearer " + mint(user))]


def ask(b, method, path, body=b"", slow_way=False):
    """Sends a request and closes this half; the connection."""
    c = HttpConnection(b.address, **(SLOW_WAY if slow_way else {}))
    c.send(c.format(method, path, bearer(), body))
    c.shutdown_write()
    return c


def test_a_request_is_answered_though_its_sender_says_no_more():
    with broker() as b:
        before = b.fds()
        event = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}
        for method, path, body in (("POST", "/publish", event), ("POST", "/publish", {**event, "topic": "slow:1"}), ("GET", "/cursor", b""),
                                   ("GET", "/poll?topics=a:1&wait=0", b"")):
            with ask(b, method, path, body) as c:
                equal(c.read_response(method).status, 200, f"{method} {path} {body}")
                check(c.closed(), "and then it ends")
        wait_until(lambda: b.fds() == before, 10, "the descriptors to come back")


def test_a_long_answer_comes_whole():
    with broker() as b:
        before = b.fds()
        for n in range(100):
            b.publish("a:1", data={"entity_id": "e", "payload": {"n": n, "fill": FILL}})
        for limit in (1, 2, 3, 4, 1000):  # around what the sockets of a slow way take at once
            where = f"/topics/a:1/history?limit={limit}"
            whole = http(b.address, "GET", where, bearer()).body
            with ask(b, "GET", where, slow_way=True) as c:
                for _ in range(3):  # it has looked at its sockets, so it has seen the end before all of the answer has left
                    http(b.address, "GET", "/healthz")
                check(c.read_response().body == whole, f"{len(whole)} bytes do not come whole")
                check(c.closed(), "and then it ends")
        wait_until(lambda: b.fds() == before, 10, "the descriptors to come back")


def test_all_that_was_asked_for_is_answered():
    with broker() as b:
        before = b.fds()
        for n in range(20):
            b.publish("a:1", data={"entity_id": "e", "payload": {"n": n, "fill": FILL}})
        with HttpConnection(b.address, **SLOW_WAY) as c:
            c.send(c.format("GET", "/topics/a:1/history?limit=1000", bearer()) * 30)
            c.shutdown_write()
            for n in range(30):
                equal(len(c.read_response().json()["events"]), 20, f"answer {n}")
            check(c.closed(), "and then it ends")
        wait_until(lambda: b.fds() == before, 10, "the descriptors to come back")


def test_who_was_listening_has_gone():
    with broker(presence={"topics": ["a:*"], "grace_ms": 0}) as b:
        before = b.fds()
        with WsClient(b.address, token=mint("ws"), query={"topics": "a:1"}) as ws, SseClient(b.address, "a:1", token=mint("sse")).begin() as sse, \
                HttpConnection(b.address) as poll:
            poll.send(poll.format("GET", "/poll?topics=a:1&wait=50", bearer("poll")))
            wait_until(lambda: b.metric("hookwire_polls_waiting") == 1, 10, "the poll to wait")
            for connection in (ws.stream, sse.connection, poll):
                connection.shutdown_write()
            for name, connection in (("ws", ws.stream), ("sse", sse.connection), ("poll", poll)):
                check(connection.closed(), f"{name} ends")
            who = http(b.address, "GET", "/topics/a:1/presence", token=mint("u1")).json()["topics"]["a:1"]["users"]
            equal([u["user_id"] for u in who], ["poll"], "who is there: a poll's session waits for the next poll")
            wait_until(lambda: b.metric("hookwire_polls_waiting") == 0, 10, "no poll to wait")
            wait_until(lambda: b.fds() == before, 10, "the descriptors to come back")


main()
