#!/usr/bin/python3
# A peer's network goes away without a word: the broker finds out, its user leaves, and its descriptor comes back; a short outage is none.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.far import NEAR, Far, main_apart

V1 = ["hookwire.v1"]
POLICY = """
return policy { api = 1, authorize = {
  subscribe = function() return allow() end, presence = function() return allow() end, publish = function() return allow() end } }
"""
FILL = "x" * 50000  # of an event


def config(timeout, **more):
    """A broker that is reached from far too, whose clients have so many seconds to be heard of."""
    ms = int(scaled(timeout) * 1000)
    return {"listen": ["127.0.0.1:0", f"{NEAR}:0"], "heartbeat": {"interval_ms": ms // 3, "timeout_ms": ms},
            "slow": {"deadline_ms": ms}, "presence": {"topics": ["a:*"], "grace_ms": 0},
            "auth": {"timeout_ms": int(scaled(2) * 1000)}, "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}, **more}


def broker(timeout, **more):
    return Broker(config(timeout, **more), files={"p.lua": POLICY})


def far_address(b):
    return next(a for a in b.listening if a.startswith(NEAR))


def here(b, topic="a:1"):
    """Who is in a topic."""
    answer = http(b.address, "GET", f"/topics/{topic}/presence", token=mint("u1"))
    equal(answer.status, 200, f"presence ({answer.body[:200]!r})")
    return sorted(u["user_id"] for u in answer.json()["topics"][topic]["users"])


def publish(b, fill=""):
    answer = b.publish("a:1", data={"entity_id": "e", "payload": {"fill": fill}}, user="u1")
    equal(answer.status, 200, f"publish ({answer.body[:200]!r})")
    return answer.json()["id"]


def test_who_vanishes_is_found_and_leaves():
    with Far() as far, broker(2) as b:
        before = b.fds()
        with WsClient(b.address, token=mint("near"), protocols=V1) as near:
            near.subscribe("a:1")
            mine = b.fds() - before
            there = far_address(b)
            clients = [far.run(lambda: WsClient(there, token=mint("v1"), protocols=V1, query={"topics": "a:1"})),
                       far.run(lambda: WsClient(there, token=mint("plain"), query={"topics": "a:1"})),
                       far.run(lambda: SseClient(there, "a:1", token=mint("sse")).begin()),
                       far.run(lambda: WsClient(there))]  # which has yet to say who it is
            wait_until(lambda: here(b) == ["near", "plain", "sse", "v1"], 10, "all of them to be there")
            far.down()
            ids = []

            def only_near_is_left():
                ids.append(publish(b))  # so that something is on the way
                near.ping()
                return here(b) == ["near"]

            wait_until(only_near_is_left, 15, "those that vanished to leave", interval=0.1)
            wait_until(lambda: b.fds() == before + mine, 10, "the descriptors to come back")
            equal([near.recv_event()["id"] for _ in ids], ids, "who is there missed nothing")
            for client in clients:
                getattr(client, "abort")()


def test_who_vanishes_with_much_on_the_way():
    with Far() as far, broker(2, slow={"deadline_ms": int(scaled(2) * 1000), "outbox_bytes": 1 << 16}) as b:
        before = b.fds()
        there = far_address(b)
        clients = [far.run(lambda: WsClient(there, token=mint("ws"), query={"topics": "a:1"})),
                   far.run(lambda: SseClient(there, "a:1", token=mint("sse")).begin())]
        wait_until(lambda: here(b) == ["sse", "ws"], 10, "both to be there")
        far.down()
        for _ in range(60):  # more than sockets and outboxes hold
            publish(b, FILL)
        wait_until(lambda: here(b) == [], 15, "both to leave")
        wait_until(lambda: b.fds() == before, 10, "the descriptors to come back")
        for client in clients:
            client.abort()


def test_a_short_outage_is_none():
    with Far() as far, broker(30) as b:
        there = far_address(b)
        ws = far.run(lambda: WsClient(there, token=mint("ws"), protocols=V1))
        sse = far.run(lambda: SseClient(there, "a:1", token=mint("sse")).begin())
        ws.subscribe("a:1")
        ids = [publish(b)]
        far.down()
        ids += [publish(b) for _ in range(5)]
        far.up()
        ids.append(publish(b))
        equal([ws.recv_event(timeout=25)["id"] for _ in ids], ids, "over WebSocket")
        equal([sse.recv_event(timeout=25)["id"] for _ in ids], ids, "over SSE")
        ws.close()
        sse.close()


def test_who_comes_back_another_way_has_all_of_it():
    with Far() as far, broker(2) as b:
        there = far_address(b)
        ws = far.run(lambda: WsClient(there, token=mint("u2"), protocols=V1))
        sse = far.run(lambda: SseClient(there, "a:1", token=mint("u2")).begin())
        ws.subscribe("a:1")
        first = publish(b)
        equal((ws.recv_event()["id"], sse.recv_event()["id"]), (first, first), "before")
        far.down()
        ids = [publish(b) for _ in range(3)]
        # the old ones are still there: who comes back does not wait for that
        with WsClient(b.address, token=mint("u2"), protocols=V1, query={"topics": "a:1", "cursor": first}) as again, \
                SseClient(b.address, "a:1", token=mint("u2"), last_id=sse.last_id) as too:
            ids.append(publish(b))
            equal([again.recv_event()["id"] for _ in ids], ids, "over WebSocket")
            equal([too.recv_event()["id"] for _ in ids], ids, "over SSE")
            wait_until(lambda: (again.ping(), b.metric("hookwire_sessions"))[1] == 2, 15, "the old sessions to end")
        ws.abort()
        sse.abort()


main_apart()
