#!/usr/bin/python3
# Bad input over WebSocket: each kind gets its documented error or close code, and nobody else notices.
import contextlib
import json
import pathlib
import struct
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
TOPIC = "gift-list:1"


@contextlib.contextmanager
def watched(config=None):
    """A broker and a bystander who afterwards still gets events, and no descriptor more than before."""
    with Broker(config) as broker, WsClient(broker.address, token=mint("bystander")) as bystander:
        bystander.subscribe(TOPIC)
        before = broker.fds()
        yield broker
        equal(broker.publish(TOPIC).status, 200, "publish")
        equal(bystander.recv_json()["topic"], TOPIC, "what the bystander gets")
        wait_until(lambda: broker.fds() <= before, 5, f"descriptors to go back to {before}")


def closes(broker, code, *frames, token="anna", **how):
    """Sends these bytes on a session of its own, which must then be closed with this code."""
    with WsClient(broker.address, token=mint(token) if token else None, **how) as client:
        for frame in frames:
            try:
                client.stream.send(frame)
            except OSError:
                break  # closed already, as it may be
        client.expect_close(code)


def test_a_binary_message_is_1003():
    with watched() as broker:
        for payload in (b"", b'{"type":"ping"}', bytes(300)):
            closes(broker, 1003, encode_frame(BINARY, payload))
        closes(broker, 1003, encode_frame(BINARY, b"begun", fin=False))  # at once: nothing of it is waited for
        closes(broker, 1003, encode_frame(BINARY, b"", length=1 << 40))
        closes(broker, 1003, encode_frame(BINARY, b"x"), protocols=V1)


def test_invalid_utf8_is_1007():
    with watched() as broker:
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82"):
            closes(broker, 1007, encode_frame(TEXT, b'{"type":"' + bad + b'"}'))
        closes(broker, 1007, encode_frame(TEXT, b'"\xff', fin=False))  # at once, within a fragment
        closes(broker, 1007, encode_frame(TEXT, b'"' + b"a" * 60 + b"\xff", length=200))  # at once, within a frame
        closes(broker, 1007, encode_frame(TEXT, b'"\xe2', fin=False), encode_frame(CONTINUATION, b"(", fin=False))
        closes(broker, 1007, encode_frame(CLOSE, struct.pack(">H", 1000) + b"\xff"))
        with WsClient(broker.address, token=mint("anna")) as client:  # a character split over fragments is good
            client.send_frame(TEXT, b'{"type":"ping","id":"\xe2', fin=False)
            client.send_frame(CONTINUATION, b"\x82", fin=False)
            client.send_frame(CONTINUATION, b'\xac"}')
            equal(client.recv_json()["id"], "€", "id")


def test_an_oversized_message_is_4413():
    limit = 1000
    with watched({"limits": {"message_bytes": limit}}) as broker:
        pad = lambda size: json.dumps({"type": "ping", "x": ""}, separators=(",", ":")).replace('""', '"' + "x" * (size - 22) + '"')
        equal(len(pad(limit)), limit, "the largest message")
        with WsClient(broker.address, token=mint("anna")) as client:
            client.send_text(pad(limit))
            equal(client.recv_json()["type"], "pong", "a message of exactly message_bytes")
            client.send_frame(TEXT, pad(limit)[:400], fin=False)
            client.send_frame(CONTINUATION, pad(limit)[400:])
            equal(client.recv_json()["type"], "pong", "the same in two fragments")
        closes(broker, 4413, encode_frame(TEXT, pad(limit + 1)))
        closes(broker, 4413, encode_frame(TEXT, pad(limit + 1)), protocols=V1)
        closes(broker, 4413, encode_frame(TEXT, b"", length=limit + 1))  # the length alone: nothing is waited for
        closes(broker, 4413, encode_frame(TEXT, b"", length=1 << 40))
        closes(broker, 4413, encode_frame(TEXT, b"x" * 600, fin=False), encode_frame(CONTINUATION, b"x" * 600, fin=False))
        closes(broker, 4413, *[encode_frame(TEXT if n == 0 else CONTINUATION, b"x", fin=False) for n in range(limit + 1)])
        closes(broker, 1002, encode_frame(TEXT, b"", length=1 << 63))


def test_a_first_auth_over_8_kib_is_4413():
    def auth(size, token):
        text = json.dumps({"type": "auth", "token": token, "x": ""}, separators=(",", ":"))
        return text.replace('"x":""', '"x":"' + "y" * (size - len(text)) + '"')
    with watched() as broker:
        with WsClient(broker.address) as client:
            text = auth(8192, mint("anna"))
            equal(len(text), 8192, "the largest auth")
            client.send_text(text)
            client.send_json({"type": "ping"})
            equal(client.recv_json()["type"], "pong", "an auth of exactly 8 KiB")
        for protocols in (None, V1):
            closes(broker, 4413, encode_frame(TEXT, auth(8193, mint("anna"))), token=None, protocols=protocols)
        closes(broker, 4413, encode_frame(TEXT, b"", length=8193), token=None)
        closes(broker, 4413, encode_frame(TEXT, b"x" * 5000, fin=False), encode_frame(CONTINUATION, b"x" * 5000, fin=False), token=None)
        with WsClient(broker.address, token=mint("anna")) as client:  # a refresh is bound by message_bytes
            client.send_text(auth(20000, mint("anna")).replace('"type"', '"id":1,"type"'))
            contains(client.recv_json(), {"type": "reply", "id": 1, "ok": True}, "a long refresh")


def test_deep_nesting_is_an_error_and_no_more():
    with watched({"limits": {"message_bytes": 200000}}) as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe(TOPIC)
        publish = '{"type":"publish","topic":"gift-list:1","event":"UPDATED","data":{"entity_id":"e","payload":%s},"id":"p"}'
        deep = lambda opened, closed, n: opened * n + "1" + closed * n
        client.send_text(publish % deep("[", "]", 20))
        client.recv_where({"type": "ack"})
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            for n in (5000, 20000):
                value = deep(opened, closed, n)
                for text in (publish % value, value, '{"type":"ping","x":%s}' % value, '{"type":"subscribe","topics":%s}' % value, opened * n):
                    client.send_text(text)
                    contains(client.recv_where(lambda m: "type" in m), {"type": "error", "code": "bad_request"}, f"depth {n}: {text[:80]}")
        client.send_json({"type": "ping"})
        equal(client.recv_where(lambda m: m.get("type") in ("pong", "error"))["type"], "pong", "the session lives")


def test_huge_topic_lists():
    with watched() as broker, WsClient(broker.address, token=mint("anna")) as client:
        topics = [f"a:{n}" for n in range(6000)]
        started = time.monotonic()
        reply = client.request({"type": "subscribe", "topics": topics})
        if reply["type"] == "reply":
            equal(set(reply["topics"]), set(topics), "each topic is answered")
            granted = [t for t in topics if reply["topics"][t]["ok"]]
            equal(granted, topics[:100], "the first topics_per_session are granted")
            equal({reply["topics"][t]["code"] for t in topics[100:]}, {"topic_limit"}, "the others' code")
        else:
            contains(reply, {"type": "error"}, "answer")
            check(reply["code"] in ("topic_limit", "bad_request", "too_large"), f"code of {reply!r}")
        client.request({"type": "subscribe", "topics": ["a:1"] * 8000})
        client.request({"type": "unsubscribe", "topics": topics})
        client.request({"type": "subscribe", "topics": []})
        client.send_json([{"type": "ping"}] * 100)
        for _ in range(100):
            equal(client.recv_json()["type"], "pong", "100 commands in an array")
        client.send_json([{"type": "ping"}] * 4000)
        contains(client.recv_json(), {"type": "error", "code": "bad_request"}, "4000 commands in an array")
        client.send_json({"type": "ping", "id": "after"})
        contains(client.recv_json(), {"type": "pong", "id": "after"}, "none of them is worked off")
        check(time.monotonic() - started < scaled(5), "it took too long")
        client.request({"type": "unsubscribe", "topics": topics[:100]})
        equal(client.subscribe("b:1")["topics"]["b:1"]["ok"], True, "places are free again")


def test_what_is_no_json_is_an_error_and_no_close():
    bad = ["", " ", "nonsense", "{", "}", '{"type"}', '{"type":"ping"', '{"type":"ping"}}', '{"type":"ping"} x', '{"type":"ping",}', "{'type':'ping'}",
           '{"type":"ping","x":01}', '{"type":"ping","x":NaN}', '{"type":"ping","x":"\\x"}', '{"type":"ping","x":"a\nb"}',
           '{"type":"ping","x":"\x00"}', '\ufeff{"type":"ping"}', "[", '[{"type":"ping"}', "5", '"ping"', "null", "true", '{"type":"ping"}{"type":"ping"}',
           "\x00", '{"type":"ping"}\x00', "tru", "-", "1e", '{"type":"ping","x":1.}', '{"type":"ping","x":.5}', '{"type":"ping","x":+1}', "// c\n{}"]
    with watched() as broker:
        for protocols in (None, V1):
            with WsClient(broker.address, token=mint("anna"), protocols=protocols) as client:
                if protocols:
                    client.recv_json()
                for text in bad:
                    client.send_text(text)
                    contains(client.recv_json(), {"type": "error", "code": "bad_request", "retryable": False}, f"answer to {text!r}")
                    client.send_json({"type": "ping"})
                    equal(client.recv_json()["type"], "pong", f"after {text!r}")
                client.send_text(' \t\r\n{ "type" : "ping" , "id" : 1 }\n ')
                contains(client.recv_json(), {"type": "pong", "id": 1}, "white space is JSON")


def test_ids_that_are_no_id_break_nothing():
    with watched() as broker, WsClient(broker.address, token=mint("anna")) as client:
        for value in ("x" * 30000, [1], {"a": 1}, 1.5, -1, 10 ** 30, True, "\u0000\u001f\u2028\"\\", "😀"):
            client.send_json({"type": "ping", "id": value})
            answer = client.recv_json()
            check(answer["type"] in ("pong", "error"), f"answer to id {str(value)[:50]!r}: {str(answer)[:200]}")
            if answer["type"] == "pong" and "id" in answer:
                equal(answer["id"], value, "id")
            client.send_json({"type": "ping"})
            equal(client.recv_json(), {"type": "pong", "topic": ""}, f"after id {str(value)[:50]!r}")


def test_broken_frames_are_1002():
    with watched() as broker:
        for name, frames in {
                "unmasked": [encode_frame(TEXT, '{"type":"ping"}', mask=False)],
                "unmasked ping": [encode_frame(PING, b"", mask=False)],
                "reserved bit 1": [encode_frame(TEXT, '{"type":"ping"}', rsv=4)],
                "reserved bit 3": [encode_frame(TEXT, '{"type":"ping"}', rsv=1)],
                "opcode 3": [encode_frame(3, b"")], "opcode 7": [encode_frame(7, b"")], "opcode 11": [encode_frame(11, b"")],
                "opcode 15": [encode_frame(15, b"")],
                "a ping in fragments": [encode_frame(PING, b"", fin=False)],
                "a long ping": [encode_frame(PING, bytes(126))],
                "a continuation of nothing": [encode_frame(CONTINUATION, b"x")],
                "a message within a message": [encode_frame(TEXT, b"{", fin=False), encode_frame(TEXT, b"}")],
                "a length that is not the shortest": [encode_frame(TEXT, b"x", form=16)],
                "a length of 64 bits that is not the shortest": [encode_frame(TEXT, b"x", form=64)],
                "a close of one byte": [encode_frame(CLOSE, b"\x03")],
                "close code 999": [encode_frame(CLOSE, struct.pack(">H", 999))],
                "close code 1005": [encode_frame(CLOSE, struct.pack(">H", 1005))],
                "close code 1006": [encode_frame(CLOSE, struct.pack(">H", 1006))],
                "close code 5000": [encode_frame(CLOSE, struct.pack(">H", 5000))]}.items():
            for token in ("anna", None):  # before authentication too
                try:
                    closes(broker, 1002, *frames, token=token)
                except (AssertionError, TimeoutError) as error:
                    raise Failure(f"{name}, token of {token}: {error}") from None


def test_nothing_is_read_after_a_broken_frame():
    with watched() as broker:
        with WsClient(broker.address, token=mint("anna")) as client:
            client.stream.send(encode_frame(BINARY, b"x") + encode_frame(TEXT, json.dumps(
                {"type": "publish", "topic": TOPIC, "event": "ADDED", "data": {"entity_id": "late"}})))
            client.expect_close(1003)
        # watched() fails when the bystander's next message is not its own; this one would come first
        with WsClient(broker.address, token=mint("ben")) as reader:
            reader.subscribe(TOPIC)
            equal(http(broker.address, "GET", "/cursor", token=mint("ben")).json()["cursor"].rpartition("-")[2], "0", "events stored")


def test_a_close_is_answered_with_its_code():
    with watched() as broker:
        for code in (1000, 1001, 3000, 4999, None):
            client = WsClient(broker.address, token=mint("anna"))
            client.send_close(code)
            client.expect_close(1005 if code is None else code)
            client.stream.close()


def test_half_open_sockets_end():
    config = {"heartbeat": {"interval_ms": int(scaled(200)), "timeout_ms": int(scaled(800))}, "auth": {"timeout_ms": int(scaled(800))}}
    with Broker(config) as broker:
        before = broker.fds()
        clients = [WsClient(broker.address, token=mint("anna")) for _ in range(4)]
        clients.append(WsClient(broker.address))  # never says who it is
        check(broker.fds() >= before + 5, "the sessions are there")
        clients[1].stream.send(encode_frame(TEXT, b"x" * 100)[:40])  # stops within a frame
        clients[2].send_frame(TEXT, b'{"type"', fin=False)  # stops within a message
        clients[3].stream.shutdown_write()  # half-closes
        for client in clients:
            check(client.stream.closed(5), "a silent session stays open")
            client.stream.close()
        wait_until(lambda: broker.fds() <= before, 5, "descriptors to go back")


def test_a_vanished_client_is_let_go_though_it_never_reads():
    config = {"heartbeat": {"interval_ms": int(scaled(100)), "timeout_ms": int(scaled(500))}}
    with Broker(config) as broker:
        before = broker.fds()
        silent = WsClient(broker.address, token=mint("anna"))  # neither reads, nor answers the close
        wait_until(lambda: broker.fds() <= before, 8, "the silent client's descriptor to be closed")
        silent.stream.close()
        for end in ("abort", "close", "shutdown"):
            client = WsClient(broker.address, token=mint("anna"))
            client.subscribe(TOPIC)
            if end == "abort":
                client.abort()
            elif end == "close":
                client.stream.close()
            else:
                client.stream.shutdown_write()
            wait_until(lambda: broker.fds() <= before, 5, f"the descriptor to be closed after {end}")
            client.stream.close()


def test_a_flood_before_authentication_is_cut_off():
    with watched() as broker:
        with WsClient(broker.address) as client:
            try:
                client.stream.send(encode_frame(TEXT, '{"type":"ping"}') * 20000)
            except OSError:
                pass
            try:
                client.expect_close(4401)
            except Failure as error:
                check("None" in str(error), str(error))  # reset: unread bytes were thrown away


SLOW = """
return policy {
  api = 1,
  authorize = { subscribe = function() local n = 0 for i = 1, 20000 do n = n + i % 7 end return deny("forbidden_topic") end },
}
"""


def test_a_flood_of_messages_lets_others_have_their_turn():
    tenants = {"*": {"hooks": [{"name": "slow", "lua": "slow.lua"}]}}
    n = 1500
    with Broker({"tenants": tenants}, files={"slow.lua": SLOW}) as broker, HttpConnection(broker.address) as other, \
            WsClient(broker.address, token=mint("anna")) as client:
        client.send_json({"type": "ping"})
        equal(client.recv_json()["type"], "pong", "the session is live")
        took = []

        def flood():
            start = time.monotonic()
            client.stream.send(b"".join(encode_frame(TEXT, '{"type":"subscribe","topics":["a:1"],"id":%d}' % i) for i in range(n)))
            equal([client.recv_json(30)["id"] for _ in range(n)], list(range(n)), "replies, in order")
            took.append(time.monotonic() - start)
        flooder = threading.Thread(target=flood)
        flooder.start()
        longest = 0
        while flooder.is_alive():
            start = time.monotonic()
            equal(other.request("GET", "/healthz").status, 200, "meanwhile")
            longest = max(longest, time.monotonic() - start)
        check(took, "the flood was answered")
        check(longest < took[0] / 2, f"a neighbour waited {longest:.3f} s while a flood of {took[0]:.3f} s was worked off")


main()
