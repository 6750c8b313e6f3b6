#!/usr/bin/python3
# Behind nginx and HAProxy: reloads, of the broker and of the proxies, cut nobody; a broker that drains is not given anybody new by HAProxy's check, and
# keeps whom it has until it says 1001.
# ctest: timeout=120
import contextlib
import pathlib
import re
import ssl
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

KINDS = ("nginx", "haproxy")
V1 = ["hookwire.v1"]
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
# what the reloaded proxy says of itself
NEW = {"nginx": (r"client_max_body_size 1m;", 'client_max_body_size 1m; add_header X-Generation 2 always;'),
       "haproxy": (r"default_backend hookwire", "http-response set-header X-Generation 2\n\tdefault_backend hookwire")}


def n_of(event):
    return event["data"]["payload"]["n"]


def publish(address, n):
    answer = http(address, "POST", "/publish", body={"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}}, token=mint("shop"))
    equal(answer.status, 200, f"publish: {answer.body[:200]}")


class Crowd:
    """Clients of each sort behind a proxy."""

    def __init__(self, broker, proxy, stack):
        self.broker, self.proxy, self.n = broker, proxy, 0
        self.sockets = [stack.enter_context(WsClient(proxy.address, token=mint("w"), protocols=protocols)) for protocols in (None, V1) * 2]
        for socket in self.sockets:
            socket.subscribe("a:1")
        self.streams = [stack.enter_context(SseClient(proxy.address, "a:1", token=mint("s"))).begin() for _ in range(2)]
        self.curl = stack.enter_context(Curl(proxy.url, ["/sse?topics=a:1"] * 2, mint("c"), "--http2")).begin()
        self.poll = self._poll()

    def _poll(self):
        before = self.broker.metric("hookwire_polls_waiting")
        answer = in_background(lambda: http(self.proxy.address, "GET", "/poll?topics=a:1&wait=30", token=mint("p"), timeout=30))
        wait_until(lambda: self.broker.metric("hookwire_polls_waiting") > before, what="the poll to wait")
        return answer

    def expect_next(self):
        """An event reaches all of them on the connections that they have; the poll is followed by another one."""
        self.n += 1
        publish(self.proxy.address, self.n)
        for client in self.sockets + self.streams:
            equal(n_of(client.recv_event()), self.n, f"{self.proxy.kind}: {type(client).__name__}")
        self.curl.wait_events(self.n)
        answer = self.poll()
        equal((answer.status, [n_of(e) for e in answer.json()["events"]]), (200, [self.n]), f"{self.proxy.kind}: a poll")
        self.poll = self._poll()

    def expect_drained(self):
        """Each of them is told that the broker goes."""
        for socket in self.sockets:
            socket.expect_close(1001)
        for stream in self.streams:
            contains(stream.closed(), {"code": "draining", "close_code": 1001}, f"{self.proxy.kind}: what a stream is told")
        self.curl.wait(lambda p: any(m.name == "closed" for m in p.messages), what="curl's streams to be closed")
        answer = self.poll()
        equal((answer.status, answer.json()["events"], answer.header("Retry-After")), (200, [], "1"), f"{self.proxy.kind}: the poll that waited")


def test_reloads_cut_nobody():
    for kind in KINDS:
        with Broker() as broker, ShippedProxy(kind, broker.address) as proxy, contextlib.ExitStack() as stack:
            crowd = Crowd(broker, proxy, stack)
            broker.write_config(merge(broker.config, {"heartbeat": {"interval_ms": 26000}}))
            broker.sighup()
            broker.wait_log(r"reload: reloaded generation=2")
            crowd.expect_next()
            old = proxy.workers()
            equal(len(old), 1, f"{kind}: processes with connections")
            proxy.edits.append(NEW[kind])
            proxy.renew_certificate()
            proxy.reload()
            wait_until(lambda: http(proxy.address, "GET", "/healthz").header("X-Generation") == "2", what=f"{kind}: the new configuration")
            wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", proxy.port)).split() == proxy.ca.read_text().split(), what=f"{kind}: the new certificate")
            check(set(old) < set(proxy.workers()), f"{kind}: the old process is gone")
            crowd.expect_next()
            broker.publish("a:1")  # which answers the last poll
            stack.close()
            wait_until(lambda: not set(old) & set(proxy.workers()), what=f"{kind}: the old process to end with its last client")


def test_a_broker_that_drains():
    with Broker({"drain_ms": 3000}) as broker, contextlib.ExitStack() as stack:
        nginx, haproxy = proxies = [stack.enter_context(ShippedProxy(kind, broker.address)) for kind in KINDS]
        crowds = [Crowd(broker, proxy, stack) for proxy in proxies]
        wait_until(lambda: http(haproxy.address, "GET", "/readyz").status == 200, what="HAProxy to know that it is ready")
        broker.sigterm()
        wait_until(lambda: re.search(r"broker1 is DOWN, reason: Layer7 wrong status, code: 503", haproxy.log()), what="HAProxy to be told by /readyz")
        with WsClient(nginx.address, token=mint("new"), protocols=V1) as late:
            late.expect_close(4503)
        for path in ("/cursor", "/sse?topics=a:1", "/ws"):
            answer = http(haproxy.address, "GET", path, token=mint("new"))
            equal((answer.status, b"No server is available" in answer.body), (503, True), f"{path} is not given to it any more")
            # one who is not told that it is not ready asks it, and passes on what it says
            answer = http(nginx.address, "GET", path, {} if path != "/ws" else UPGRADE, token=mint("new"))
            equal((answer.status, answer.json()["code"], answer.header("Retry-After")), (503, "draining", "1"), f"{path} through nginx")
        for crowd in crowds:
            crowd.expect_drained()
        broker.process.wait(scaled(5))
        equal(http(nginx.address, "GET", "/readyz").status, 502, "nginx without a broker")


main()
