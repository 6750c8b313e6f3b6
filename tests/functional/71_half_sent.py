#!/usr/bin/python3
# A request that comes byte by byte and never ends, or stops half way, is answered 408 when its time is over, and holds up nobody.
import pathlib
import select
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

HEAD_S = 10  # the broker's own deadline, which no configuration moves
PATIENCE_S = 3 * HEAD_S


def heads(host):
    """Beginnings of requests, none of which ends."""
    bearer = f"Authorization: Bearer {mint('u1')}\r\n"
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    return [f"{line} HTTP/1.1\r\nHost: {host}\r\n{more}X-Slow: ".encode() for line, more in (
        ("GET /ws", bearer + upgrade), ("GET /sse?topics=a:1", bearer), ("GET /poll?topics=a:1", bearer),
        ("POST /publish", bearer + "Content-Type: application/json\r\nContent-Length: 10\r\n"))]


def drip(connections, more):
    """Sends a byte of `more` over each now and then, until each has something to read."""
    until, waiting = time.monotonic() + scaled(PATIENCE_S), list(connections)
    while waiting:
        check(time.monotonic() < until, f"{len(waiting)} of {len(connections)} are never answered")
        for c in waiting:
            c.send(more)
        readable, _, _ = select.select([c.sock for c in waiting], [], [], 0.2)
        waiting = [c for c in waiting if c.sock not in readable]


def test_a_head_that_never_ends():
    with Broker() as broker:
        before = broker.fds()
        with WsClient(broker.address, token=mint("u2"), query={"topics": "a:1"}) as other:
            mine = broker.fds() - before
            dripping, stopped = ([HttpConnection(broker.address) for _ in heads("")] for _ in range(2))
            silent = HttpConnection(broker.address)
            for connections in (dripping, stopped):
                for c, head in zip(connections, heads(broker.address)):
                    c.send(head)
            drip(dripping, b"x")
            for c in dripping + stopped:
                r = c.read_response(timeout=PATIENCE_S)
                equal((r.status, r.json()["code"], r.header("Connection")), (408, "bad_request", "close"), "the answer")
            equal(silent.read_to_end(PATIENCE_S), b"", "who has not begun gets no answer")
            for c in dripping + stopped + [silent]:
                check(c.closed(), "and the connection ends")
                c.close()
            id_ = broker.publish("a:1").json()["id"]
            equal(other.recv_event()["id"], id_, "others are served")
            wait_until(lambda: broker.fds() == before + mine, 10, "the descriptors to come back")


main()
