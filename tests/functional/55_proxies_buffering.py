#!/usr/bin/python3
# A proxy that buffers or compresses holds no event back: nginx with proxy_buffering on and off, with and without gzip, HAProxy with and without
# compression; streams of events, polls of more than their buffers hold, WebSocket.
# ctest: timeout=120
import gzip
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

CONFIG = {"heartbeat": {"interval_ms": 300000, "timeout_ms": 600000}}  # which would flush what is held back
BUFFERS = (r"proxy_buffering off;", "proxy_buffering on;")
GZIP = (r"proxy_connect_timeout 2s;", "proxy_connect_timeout 2s; gzip on; gzip_min_length 1; gzip_types text/event-stream application/json;")
COMPRESSES = (r"balance leastconn", "balance leastconn\n\tfilter compression\n\tcompression algo gzip\n\tcompression type text/event-stream application/json")
PROXIES = (("nginx", ()), ("nginx", (BUFFERS,)), ("nginx", (GZIP,)), ("nginx", (BUFFERS, GZIP)), ("haproxy", ()), ("haproxy", (COMPRESSES,)))
ACCEPTS = ("Accept-Encoding", "gzip")


def each_proxy(broker):
    """What it is called, whether it compresses, and the proxy itself."""
    for kind, edits in PROXIES:
        with ShippedProxy(kind, broker.address, edits=edits) as proxy:
            yield f"{kind} {[new for _, new in edits]}", GZIP in edits or COMPRESSES in edits, proxy


def n_of(event):
    return event["data"]["payload"]["n"]


def publish(broker, n, fill=""):
    equal(broker.publish("a:1", data={"entity_id": "e", "payload": {"n": n, "fill": fill}}).status, 200, "publish")


def expect_at_once(broker, streams, what):
    """Each event is there before the next one is published."""
    for n in range(3):
        publish(broker, n)
        for stream in streams:
            equal(n_of(stream.recv_event(timeout=5)), n, what)


def test_no_event_of_a_stream_is_held_back():
    with Broker(CONFIG) as broker:
        for what, compresses, proxy in each_proxy(broker):
            with SseClient(proxy.address, "a:1", token=mint("u1")) as bare, SseClient(proxy.address, "a:1", token=mint("u1"), headers=[ACCEPTS]) as small, WsClient(
                    proxy.address, token=mint("u1")) as ws, Curl(proxy.url, "/sse?topics=a:1", mint("u1"), "--http2", "--compressed") as curl:
                # (HAProxy compresses no body that ends with its connection)
                equal((bare.head.header("Content-Encoding"), small.head.header("Content-Encoding")),
                      (None, "gzip" if compresses and proxy.kind == "nginx" else None), what)
                bare.begin()
                small.begin()
                ws.subscribe("a:1")
                curl.begin()
                expect_at_once(broker, (bare, small, ws), what)
                curl.wait_events(3)


def test_what_the_broker_compresses_is_not_held_back_either():
    with Broker(merge(CONFIG, {"sse": {"gzip": True}})) as broker:
        for what, _, proxy in each_proxy(broker):
            with SseClient(proxy.address, "a:1", token=mint("u1"), headers=[ACCEPTS]) as stream:
                equal(stream.head.header("Content-Encoding"), "gzip", what)
                expect_at_once(broker, (stream.begin(),), what)


def test_polls_of_more_than_their_buffers_hold_come_whole():
    with Broker(CONFIG) as broker:
        cursor = http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"]
        for n in range(15):
            publish(broker, n, "x" * 60000)
        for what, compresses, proxy in each_proxy(broker):
            for headers in ([], [ACCEPTS]):
                answer = http(proxy.address, "GET", f"/poll?topics=a:1&cursor={cursor}", headers, token=mint("u1"))
                compressed = answer.header("Content-Encoding") == "gzip"
                equal(compressed, compresses and bool(headers), f"{what}: compressed")
                body = gzip.decompress(answer.body) if compressed else answer.body
                check(body.startswith(b'{"events":[') and body.endswith(b'"gap":false}'), f"{what}: a poll of {len(body)} bytes")
                equal([n_of(event) for event in Response(200, "", [], body).json()["events"]], list(range(15)), f"{what}: a poll")



def publish_until(broker, condition, most):
    """Publishes large events until the condition holds; returns how many."""
    n = 0
    with HttpConnection(broker.address) as connection:
        while not condition():
            check(n < most, f"{n} events were not enough")
            batch = [{"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n + k, "fill": "x" * 60000}}} for k in range(15)]
            equal(connection.request("POST", "/publish", {"Authorization": "Bearer " + mint("shop")}, batch).status, 200, "publish")
            n += len(batch)
    return n


def test_who_reads_slowly_is_caught_up_through_them():
    # what the proxies and the kernel take is no bound of ours; the broker's is small
    config = merge(CONFIG, {"slow": {"outbox_bytes": 65536}, "journal": {"retention": {"bytes": 2**28}}, "tenants": {"*": {"limits": {"publish_per_s": 1000000}}}})
    with Broker(config) as broker, ShippedProxy("nginx", broker.address, edits=[BUFFERS]) as nginx, ShippedProxy("haproxy", broker.address) as haproxy:
        for proxy in (nginx, haproxy):
            before = broker.metric("hookwire_slow_sessions_total")
            with WsClient(proxy.address, token=mint("u1"), protocols=["hookwire.v1"], receive_buffer=4096) as ws, SseClient(
                    proxy.address, "a:1", token=mint("u1"), receive_buffer=4096) as sse:
                ws.subscribe("a:1")
                sse.begin()
                total = publish_until(broker, lambda: broker.metric("hookwire_slow_sessions_total") >= before + 2, 1000)
                for client in (ws, sse):
                    # recv_event of a stream fails at a gap; a gap of a WebSocket would be a hole here
                    equal([n_of(client.recv_event()) for _ in range(total)], list(range(total)), f"{proxy.kind}: {type(client).__name__}")


main()
