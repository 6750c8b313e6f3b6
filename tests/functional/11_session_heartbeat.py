#!/usr/bin/python3
# Who is still there: JSON and RFC pings, the broker's own pings, any inbound byte as life, and 4408.
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]


def paced(interval, timeout):
    """A broker with this heartbeat, in seconds (stretched on slow builds)."""
    return Broker({"heartbeat": {"interval_ms": int(scaled(interval) * 1000), "timeout_ms": int(scaled(timeout) * 1000)}})


def frames_until_close(client, seconds):
    """What comes, unanswered: (opcodes before the close, close code)."""
    seen = []
    while True:
        frame = client.recv_frame(seconds)
        if frame.opcode == CLOSE:
            return seen, client.close_frame[0]
        seen.append(frame.opcode)


def test_a_json_ping_is_answered_with_its_id():
    with Broker() as broker, WsClient(broker.address, token=mint("anna")) as plain, \
            WsClient(broker.address, token=mint("anna"), protocols=V1) as v1:
        equal(v1.recv_json()["type"], "welcome", "first message")
        for ping in ("", "p1", 7, "ü\"\\", 0):
            message = {"type": "ping"} if ping == "" else {"type": "ping", "id": ping}
            expected = {"type": "pong"} if ping == "" else {"type": "pong", "id": ping}
            plain.send_json(message)
            equal(plain.recv_json(), {**expected, "topic": ""}, f"plain, id {ping!r}")
            v1.send_json(message)
            got = v1.recv_json()
            contains(got, expected, f"v1, id {ping!r}")
            equal("id" in got, ping != "", "an id is there exactly when one was given")


def test_an_rfc_ping_is_answered_with_its_payload():
    with Broker() as broker, WsClient(broker.address, token=mint("anna")) as client, WsClient(broker.address) as nobody:
        for payload in (b"", b"x", bytes(range(125))):
            client.send_frame(PING, payload)
            frame = client.recv_frame()
            equal((frame.opcode, frame.payload), (PONG, payload), "pong")
        # also in the middle of a message
        client.send_frame(TEXT, '{"type":', fin=False)
        client.send_frame(PING, b"mid")
        equal(client.recv_frame().payload, b"mid", "pong amid fragments")
        client.send_frame(CONTINUATION, '"ping"}')
        equal(client.recv_json()["type"], "pong", "the message around it")
        nobody.send_frame(PING, b"early")
        equal(nobody.recv_frame().payload, b"early", "pong before authentication")


def test_an_unasked_pong_is_passed_over():
    with Broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.send_frame(PONG, b"unasked")
        client.send_json({"type": "ping"})
        equal(client.recv_json()["type"], "pong", "what comes")


def test_a_silent_client_is_pinged_then_closed_with_4408():
    with paced(0.3, 1.0) as broker:
        started = time.monotonic()
        with WsClient(broker.address, token=mint("anna")) as plain, WsClient(broker.address, token=mint("anna"), protocols=V1) as v1:
            equal(v1.recv_json()["type"], "welcome", "first message")
            for client in (plain, v1):
                seen, code = frames_until_close(client, 5)
                took = time.monotonic() - started
                check(PING in seen, f"no ping before the close: {seen}")
                equal(set(seen), {PING}, "frames that a silent client gets")
                equal(code, 4408, "close code")
                check(scaled(0.9) < took < scaled(2.5), f"closed after {took:.2f} s, timeout_ms is {scaled(1.0)} s")
                check(client.stream.closed(5), "the socket stays open")


def test_a_client_that_only_answers_pings_lives():
    with paced(0.15, 0.6) as broker, WsClient(broker.address, token=mint("anna")) as client:
        pings, until = 0, time.monotonic() + scaled(1.5)
        while time.monotonic() < until:
            frame = client.recv_frame(5)
            equal(frame.opcode, PING, f"frame {frame!r}")
            client.send_frame(PONG, frame.payload)
            pings += 1
        check(3 <= pings <= 11, f"{pings} pings in 1.5 s at interval_ms 150")
        client.send_json({"type": "ping"})
        equal(client.recv_json()["type"], "pong", "alive")


def test_any_inbound_byte_is_life():
    with paced(0.15, 0.6) as broker, WsClient(broker.address, token=mint("anna")) as client:
        frame = encode_frame(TEXT, '{"type":"ping"}')
        started = time.monotonic()
        client.stream.send(frame, split=1, delay=scaled(0.06))  # no pong is sent meanwhile
        check(time.monotonic() - started > scaled(1), "it took too short to prove anything")
        equal(client.recv_json()["type"], "pong", "the message that came byte by byte")


def test_half_a_frame_and_silence_is_4408():
    with paced(0.15, 0.6) as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.stream.send(encode_frame(TEXT, '{"type":"ping"}')[:9])
        seen, code = frames_until_close(client, 5)
        equal(code, 4408, "close code")
        equal(set(seen), {PING}, "frames")


def test_a_busy_client_is_not_pinged():
    with paced(0.4, 2) as broker, WsClient(broker.address, token=mint("anna")) as client:
        until = time.monotonic() + scaled(1.2)
        while time.monotonic() < until:
            client.send_json({"type": "ping"})
            equal(client.recv_frame().opcode, TEXT, "an opcode that comes to a busy client")
            time.sleep(scaled(0.05))


def test_what_the_broker_sends_is_no_sign_of_life():
    with paced(0.15, 0.6) as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.subscribe("gift-list:1")
        started, code = time.monotonic(), None
        while code is None and time.monotonic() - started < scaled(4):
            broker.publish("gift-list:1")
            try:
                while client.recv_frame(0.05).opcode != CLOSE:
                    pass
                code = client.close_frame[0]
            except TimeoutError:
                pass
        equal(code, 4408, "close code of a client that receives and never sends")


main()
