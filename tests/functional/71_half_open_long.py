#!/usr/bin/python3
# What takes its time: a poll whose peer has vanished is over with its wait, its session with its linger, its descriptor with its idleness;
# a body that never ends is answered 408.
# ctest: label=long timeout=240
import pathlib
import select
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.far import NEAR, Far, main_apart

BODY_S, LINGER_S, IDLE_S = 30, 30, 60  # the broker's own deadlines, which no configuration moves
POLICY = """
return policy { api = 1, authorize = {
  subscribe = function() return allow() end, presence = function() return allow() end, publish = function() return allow() end } }
"""


def here(broker):
    answer = http(broker.address, "GET", "/topics/a:1/presence", token=mint("u1"))
    return [u["user_id"] for u in answer.json()["topics"]["a:1"]["users"]]


def test_a_poll_whose_peer_vanished():
    config = {"listen": ["127.0.0.1:0", f"{NEAR}:0"], "presence": {"topics": ["a:*"], "grace_ms": 0},
              "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}
    with Far() as far, Broker(config, files={"p.lua": POLICY}) as broker:
        before = broker.fds()
        there = next(a for a in broker.listening if a.startswith(NEAR))
        c = far.run(lambda: HttpConnection(there))
        c.send(c.format("GET", "/poll?topics=a:1&wait=2", [("Authorization", "Bearer " + mint("poll"))]))
        wait_until(lambda: here(broker) == ["poll"], 10, "the poll")
        far.down()
        wait_until(lambda: here(broker) == [], 2 * LINGER_S, "its session to end", interval=0.2)
        wait_until(lambda: broker.fds() == before, 2 * IDLE_S, "the descriptor to come back", interval=0.2)
        c.close(reset=True)


def test_a_body_that_never_ends():
    with Broker() as broker:
        before = broker.fds()
        connections = [HttpConnection(broker.address) for _ in range(2)]
        head = [("Authorization", "Bearer " + mint("u1")), ("Content-Type", "application/json")]
        whole = connections[0].format("POST", "/publish", head + [("Content-Length", "100000")], b"{")
        chunked = connections[1].format("POST", "/publish", head + [("Transfer-Encoding", "chunked")], b"1\r\n{\r\n")
        more = {connections[0]: b" ", connections[1]: b"1\r\n \r\n"}
        for c, text in zip(connections, (whole, chunked)):
            c.send(text)
        until, waiting = time.monotonic() + scaled(3 * BODY_S), connections
        while waiting:
            check(time.monotonic() < until, "it is never answered")
            for c in waiting:
                c.send(more[c])
            readable, _, _ = select.select([c.sock for c in waiting], [], [], 0.5)
            waiting = [c for c in waiting if c.sock not in readable]
        for c in connections:
            r = c.read_response("POST")
            equal((r.status, r.json()["code"], r.header("Connection")), (408, "bad_request", "close"), "the answer")
            check(c.closed(), "and the connection ends")
            c.close()
        equal(http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"].split("-")[1], "0", "nothing is stored")
        wait_until(lambda: broker.fds() == before, 10, "the descriptors to come back")


main_apart()
