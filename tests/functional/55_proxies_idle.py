#!/usr/bin/python3
# Through nginx and HAProxy as they are shipped, whoever is idle for longer than their time-outs stays connected: the broker's heartbeat sees to it, over
# WebSocket, SSE and HTTP/2; a poll that waits for less than the time-out is answered, and its session lives on.
# ctest: timeout=120
import contextlib
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
TIMEOUT_S = int(scaled(2))  # of the proxies, in the place of 75 s
IDLE_S = 2.5 * TIMEOUT_S
INTERVAL_MS = 200 * TIMEOUT_S
CONFIG = {"heartbeat": {"interval_ms": INTERVAL_MS, "timeout_ms": 30 * INTERVAL_MS}}
# as shipped; and an nginx that buffers and compresses, which must not hold a heartbeat back either
PROXIES = (("nginx", ()), ("haproxy", ()), ("nginx", (
    (r"proxy_buffering off;", "proxy_buffering on; gzip on; gzip_min_length 1; gzip_types text/event-stream application/json;"),)))
POLLS = mint("poll")
ELSEWHERE = {"type": "publish", "topic": "other:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}


def n_of(event):
    return event["data"]["payload"]["n"]


def answer_pings(client, until):
    """What a browser does while its page says nothing; returns how many came."""
    n = 0
    while (left := until - time.monotonic()) > 0:
        try:
            frame = client.recv_frame(left / scaled(1))
        except TimeoutError:
            break
        if frame.opcode == PING:
            client.send_frame(PONG, frame.payload)
            n += 1
    return n


def poll_until_something_comes(address, cursor):
    """Polls that wait for half the time-out; returns the events, and how often none came."""
    n = 0
    while True:
        answer = http(address, "GET", f"/poll?topics=a:1&cursor={cursor}&wait={TIMEOUT_S // 2}", token=POLLS)
        equal(answer.status, 200, "a poll")
        body = answer.json()
        if body["events"]:
            return body["events"], n
        cursor, n = body["cursor"], n + 1


class Quiet:
    """Clients of each sort behind a proxy that have nothing to say, and one that is told nothing."""

    def __init__(self, broker, proxy, stack):
        self.kind = proxy.kind
        self.plain, self.v1, self.talker = [stack.enter_context(WsClient(proxy.address, token=mint("w"), protocols=p)) for p in (None, V1, None)]
        for client in (self.plain, self.v1):
            client.subscribe("a:1")
        self.sse = stack.enter_context(SseClient(proxy.address, "a:1", token=mint("s"), headers=[("Accept-Encoding", "gzip")])).begin()
        self.h2 = stack.enter_context(Curl(proxy.url, "/sse?topics=a:1", mint("h"), "--http2")).begin()
        cursor = http(proxy.address, "GET", "/cursor", token=POLLS).json()["cursor"]
        self.polls = in_background(poll_until_something_comes, proxy.address, cursor)
        wait_until(lambda: broker.metric("hookwire_polls_waiting") > 0, what="the poll")

    def stay(self, until):
        self.pinged = [in_background(answer_pings, client, until) for client in (self.plain, self.v1)]

    def beat(self):
        """Waits for a heartbeat of the stream. Meanwhile bytes of one of them flow one way only."""
        self.talker.send_json(ELSEWHERE)
        self.sse.read_until(lambda p, n=self.sse.parser.n_comments: p.n_comments > n, what=f"{self.kind}: a heartbeat")

    def expect(self, n):
        """All of them are there, on the connections that they had."""
        for pinged in self.pinged:
            check(pinged() > 0, f"{self.kind}: no ping came")
        for client in (self.plain, self.v1, self.sse):
            equal(n_of(client.recv_event()), n, f"{self.kind}: {type(client).__name__}")
        self.h2.wait_events(1)
        events, n_without = self.polls()
        equal([n_of(event) for event in events], [n], f"{self.kind}: a poll")
        check(n_without > 1, f"{self.kind}: {n_without} polls without an event")
        self.talker.subscribe("a:1")


def test_whoever_is_idle_stays():
    with Broker(CONFIG) as broker, contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(ShippedProxy(kind, broker.address, TIMEOUT_S, edits)) for kind, edits in PROXIES]
        crowds = [Quiet(broker, proxy, stack) for proxy in proxies]
        until = time.monotonic() + IDLE_S
        for crowd in crowds:
            crowd.stay(until)
        while time.monotonic() < until:
            for crowd in crowds:
                crowd.beat()
        rows = http(broker.admin_address, "GET", "/api/sessions?user=poll", token=ADMIN_TOKEN).json()["sessions"]
        equal(len(rows), 1, "sessions of who polls, through both")
        equal(broker.publish("a:1", data={"entity_id": "e", "payload": {"n": 1}}).status, 200, "publish")
        for crowd in crowds:
            crowd.expect(1)


main()
