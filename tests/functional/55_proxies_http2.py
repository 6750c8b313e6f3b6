#!/usr/bin/python3
# HTTP/2 to the client, as the shipped nginx and HAProxy speak it: any number of streams of events share one connection, beside polls and publishes, where
# HTTP/1.1 takes one for each and a browser has six; HAProxy has WebSocket on it too.
# ctest: timeout=120
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

KINDS = ("nginx", "haproxy")
STREAMS = 20
TIMEOUT_S = int(scaled(2))  # of HAProxy, in the place of 75 s
BEATS = {"heartbeat": {"interval_ms": 200 * TIMEOUT_S, "timeout_ms": 10000 * TIMEOUT_S}}


class Client:
    """h2_client.js in a process: what it prints, by request."""

    def __init__(self, proxy, *requests):
        self.process = subprocess.Popen(
            ["node", str(pathlib.Path(__file__).parent / "h2_client.js"), proxy.url, mint("u1"), *requests],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_EXTRA_CA_CERTS": str(proxy.ca)})
        self.got = {request: queue.Queue() for request in (None, *requests)}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            self.got[said.get("request")].put(said)

    def recv(self, request, **wanted):
        """The next of this request that has these members."""
        while True:
            said = self.got[request].get(timeout=scaled(15))
            check("error" not in said, f"{request}: {said}")
            if all(said.get(name) == value for name, value in wanted.items()):
                return said

    def recv_text(self, request, part):
        """Reads on until this is in a text or a frame; returns that."""
        while True:
            said = self.recv(request)
            text = said.get("text") or said.get("frame")
            if isinstance(text, str) and part in text:
                return text

    def send(self, request, message):
        """A message in a frame."""
        print(json.dumps({"request": request, "send": json.dumps(message)}), file=self.process.stdin, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(scaled(10))
        self.process.stdout.close()


def test_many_streams_share_a_connection():
    for kind in KINDS:
        with Broker() as broker, ShippedProxy(kind, broker.address) as proxy:
            for version, connections in (("--http2", 1), ("--http1.1", STREAMS)):
                with Curl(proxy.url, ["/sse?topics=a:1"] * STREAMS, mint("u1"), version) as curl:
                    curl.begin()
                    equal({answer.head.split()[0] for answer in curl.answers}, {"http/2" if version == "--http2" else "http/1.1"}, kind)
                    equal(proxy.connections(), connections, f"{kind}: connections for {STREAMS} streams {version}")
                    event = broker.publish("a:1").json()["id"]
                    curl.wait_events(1)
                    equal([[e["id"] for e in events] for events in curl.events()], [[event]] * STREAMS, f"{kind}: events")
                wait_until(lambda: broker.metric("hookwire_sessions") == 0, what=f"{kind}: the streams to be gone")


def test_polls_and_publishes_have_room_beside_them():
    stream, poll, cursor = "GET /sse?topics=a:1", "GET /poll?topics=a:1&wait=30", "GET /cursor"
    for kind in KINDS:
        with Broker() as broker, ShippedProxy(kind, broker.address) as proxy, Client(proxy, *[f"{stream}&n={n}" for n in range(STREAMS)], poll, cursor) as client:
            equal(client.recv(cursor, status=200)["head"]["cache-control"], "no-store", f"{kind}: what comes with an answer")
            wait_until(lambda: broker.metric("hookwire_polls_waiting") == 1 and broker.metric("hookwire_subscriptions") == STREAMS + 1, what="all to be there")
            equal(proxy.connections(), 1, f"{kind}: connections")
            event = broker.publish("a:1").json()["id"]
            for n in range(STREAMS):
                client.recv_text(f"{stream}&n={n}", event)
            client.recv_text(poll, event)


def test_websockets():
    socket, refused, stream = "WEBSOCKET /ws?topics=a:1", "WEBSOCKET /ws?topics=a:1&cursor=zz", "GET /sse?topics=a:1"
    with Broker(BEATS) as broker:
        with ShippedProxy("haproxy", broker.address, TIMEOUT_S) as proxy, Client(proxy, socket, refused, stream) as client:
            equal(client.recv(None)["websockets"], True, "HAProxy offers RFC 8441")
            equal(client.recv(socket, status=200)["head"]["sec-websocket-protocol"], "hookwire.v1", "the sub-protocol")
            client.recv_text(socket, '"type":"welcome"')
            client.recv(refused, opcode=CLOSE, frame=4400)
            client.recv(refused, ended=True)
            # past the time-outs: a ping comes every fifth of them
            for _ in range(8):
                client.recv(socket, opcode=PING)
            event = broker.publish("a:1").json()["id"]
            for request in (socket, stream):
                client.recv_text(request, event)
            client.send(socket, {"type": "ping", "id": 7})
            client.recv_text(socket, '{"type":"pong","id":7}')
            equal(proxy.connections(), 1, "connections")
        with ShippedProxy("nginx", broker.address) as proxy, Client(proxy) as client:
            # a browser opens a connection of its own for each
            equal(client.recv(None)["websockets"], False, "nginx does not")


main()
