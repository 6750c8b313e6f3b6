#!/usr/bin/python3
# The tests' own clients, tried against servers that are not ours: what judges the broker is judged first.
import asyncio
import base64
import hashlib
import hmac
import logging
import os
import pathlib
import socket
import sys
import threading
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

import websockets

logging.getLogger("websockets").setLevel(logging.CRITICAL)  # its view of our violations is no news


class Peer:
    """Debian's python3-websockets as a server, in a thread of its own."""

    def __init__(self, handler):
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve(handler)), daemon=True)
        self.thread.start()
        self.ready.wait(10)

    async def serve(self, handler):
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        async with websockets.serve(handler, "127.0.0.1", 0, subprotocols=["hookwire.v1"]) as server:
            self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.end.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(10)


async def echo(ws, *_):
    async for message in ws:
        await ws.send(message)


class Raw:
    """A server that answers each connection with fixed bytes, and closes."""

    def __init__(self, answer, read=1):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, args=(answer, read), daemon=True)
        self.thread.start()

    def run(self, answer, read):
        peer, _ = self.listener.accept()
        with peer:
            peer.recv(read)
            peer.sendall(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(10)


def test_messages_go_and_come():
    with Peer(echo) as peer, WsClient(peer.address, "/", protocols=["hookwire.v1"]) as client:
        equal(client.protocol, "hookwire.v1", "sub-protocol")
        for size in (0, 1, 125, 126, 65535, 65536):
            client.send_text("x" * size)
            equal(client.recv(), "x" * size, "text")
        client.send_frame(BINARY, b"\0\xff")
        equal(client.recv(), b"\0\xff", "binary")
        client.send_frame(TEXT, "a", fin=False)
        client.send_frame(CONTINUATION, "b")
        client.ping()
        equal(client.recv(), "ab", "fragments, with a ping read past")
        with raises(TimeoutError):
            client.recv(0.05)
        equal(client.close(), 1000, "close code")


def test_violations_are_noticed_by_the_peer():
    for broken, code in ((dict(opcode=TEXT, payload=b"\xff"), 1007), (dict(opcode=3), 1002),
                         (dict(opcode=TEXT, mask=False), 1002), (dict(opcode=TEXT, rsv=4), 1002)):
        with Peer(echo) as peer:
            client = WsClient(peer.address, "/")
            client.send_frame(**broken)
            client.expect_close(code)
            with raises(Failure):
                client.expect_close(code + 1)
            client.stream.close()


def test_violations_of_a_server_are_noticed():
    async def bad(ws, *_):
        ws.transport.write(b"\x81\x7e\x00\x01x")
        await ws.recv()
    with Peer(bad) as peer:
        client = WsClient(peer.address, "/")
        with raises(Failure):
            client.recv()
        client.stream.close()


def test_a_refused_upgrade_is_told():
    with Raw(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}") as server:
        with raises(Refused) as caught:
            WsClient(server.address)
        equal(caught[0].response.status, 401, "status")


def test_answers_are_read_strictly():
    with Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
             b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz") as server:
        with HttpConnection(server.address) as connection:
            equal(connection.request("GET", "/").body, b"abc", "chunked body")
            equal(connection.read_response().status, 204, "pipelined status")
            equal(connection.read_response().body, b"z", "pipelined body")
            check(connection.closed(), "end of the connection is seen")
    for answer in (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"junk\r\n\r\n"):
        with Raw(answer) as server, raises((Failure, ValueError), repr(answer)):
            http(server.address, "GET", "/")


def test_tokens_are_what_the_rfc_says():
    # RFC 7515, A.1: the signing input and key of its example
    key = base64.urlsafe_b64decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==")
    body = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
    made = encode_jwt(body, key, "HS256", header={"typ": "JWT", "alg": "HS256"})
    equal(made.split(".")[1], "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ", "body")
    head = made.rsplit(".", 1)[0].encode()
    equal(made.split(".")[2], base64.urlsafe_b64encode(hmac.new(key, head, hashlib.sha256).digest()).rstrip(b"=").decode(), "signature")


def test_a_policy_has_the_time_that_a_busy_machine_takes_of_it():
    slow = """return policy { api = 1, authorize = { publish = function()
      local done = os.clock() + 0.03
      while os.clock() < done do end
      return allow()
    end } }"""
    def tenant(**entry):
        return {"tenants": {"acme": {"hooks": [{"name": "open", "lua": "open.lua", **entry}]}}}
    unit = {"tenants.d/acme.json": tenant(lua="../open.lua")}
    for config, files in (tenant(), {}), ({"include": ["tenants.d/*.json"]}, unit):
        with Broker(config, files={"open.lua": slow, **files}) as broker:
            equal(broker.publish("a:1").status, 200, "a publish whose policy takes long")
    if lua_can_be_ended():
        with Broker(tenant(budget=tight()), files={"open.lua": slow}) as broker:
            equal(broker.publish("a:1").status, 503, "the same, of an entry with a budget of its own")


def test_a_broker_that_ends_is_reported():
    before = os.environ.get("HOOKWIRE_BIN")
    try:
        os.environ["HOOKWIRE_BIN"] = "/bin/false"
        with raises(BrokerDied):
            Broker()
    finally:
        if before is None:
            del os.environ["HOOKWIRE_BIN"]
        else:
            os.environ["HOOKWIRE_BIN"] = before


main()
