#!/usr/bin/python3
# A client's connection is cut, by FIN and by RST, behind every byte of what it sends: nothing stays behind, others are served, and a publish
# is stored wholly or not at all, and once when it is sent again with its key.
import base64
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
OPEN = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "connections": 1000000}}},
        "log": {"level": "warn"}}
LOOK_EVERY = 100  # cuts
TOKEN = mint("u1")
BEARER = [("Authorization", "Bearer " + TOKEN)]


class Witness:
    """Somebody else, who is served all the while, and hears of every event."""

    def __init__(self, broker):
        self.broker = broker
        self.fds = broker.fds() + 1
        self.client = WsClient(broker.address, token=mint("witness"), protocols=V1)
        self.client.subscribe("a:1")
        self.events = []

    def look(self):
        """It is served."""
        self.client.ping()

    def end(self, lingering=0):
        """Nothing stays behind but sessions that wait for the next poll; all that was published."""
        wait_until(lambda: self.broker.fds() == self.fds, 10, "the descriptors to come back")
        wait_until(lambda: self.broker.metric("hookwire_sessions") <= 1 + lingering, 10, "the sessions to end")
        events = self.client.drain(0.2)
        self.client.close()
        return [e for e in events if "type" not in e]


def cuts(broker, witness, text, connect=None):
    """Sends text to each of its bytes over a connection of its own, which is then cut, by FIN and by RST."""
    for reset in (False, True):
        for n in range(len(text) + 1):
            c = connect() if connect else HttpConnection(broker.address)
            c.send(text[:n])
            c.close(reset=reset)
            if n % LOOK_EVERY == 0:
                witness.look()


def request(method, path, headers=(), body=b""):
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers)
    return head.encode() + b"\r\n" + body


def handshake(protocols=""):
    key = base64.b64encode(bytes(16)).decode()
    return BEARER + [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key)] + \
        ([("Sec-WebSocket-Protocol", protocols)] if protocols else [])


def test_requests_of_who_listens():
    with Broker(OPEN) as broker:
        witness = Witness(broker)
        for text in (request("GET", "/ws?topics=a:1", handshake()), request("GET", "/ws?topics=a:1", handshake("hookwire.v1")),
                     request("GET", "/sse?topics=a:1", BEARER + [("Accept-Encoding", "gzip")]),
                     request("GET", "/poll?topics=a:1&wait=20", BEARER), request("GET", "/poll?topics=a:1&wait=0", BEARER)):
            cuts(broker, witness, text)
        equal(witness.end(lingering=1), [], "what was published")


def once_and_whole(events, wanted, what):
    """Every event is there exactly once; those of one array came together."""
    got = [e["data"]["payload"]["n"] for e in events]
    check(sorted(got) == sorted(wanted), f"{what}: {len(got)} events, {len(set(got))} different ones, of {len(wanted)}")
    check(all(e["data"]["payload"]["text"] == "whole" for e in events), f"{what}: one is not whole")
    numbers = [int(e["id"].split("-")[1]) for e in events]
    check(numbers == sorted(numbers), f"{what}: the order")


def item(n, key=None):
    event = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n, "text": "whole"}}}
    return {**event, "key": key} if key else event


def again(connection, text):
    """Sends a publish that was cut once more, until it is decided."""
    def decided():
        connection.send(text)
        answer = connection.read_response("POST")
        return answer if answer.status != 503 else None

    answer = wait_until(decided, 10, "the first one to be decided")
    equal(answer.status, 200, f"the repeat ({answer.body[:200]!r})")


def publish_one(n):
    """With Content-Length, and a key in the head."""
    body = json.dumps(item(n), separators=(",", ":")).encode()
    headers = BEARER + [("Content-Type", "application/json"), ("Idempotency-Key", f"k{n}"), ("Content-Length", str(len(body)))]
    return request("POST", "/publish", headers, body), [n]


def publish_chunked(n):
    """An array in two chunks, a key in each item."""
    numbers = [3 * n, 3 * n + 1, 3 * n + 2]
    body = json.dumps([item(k, f"k{k}") for k in numbers], separators=(",", ":")).encode()
    parts = [body[:50], body[50:]]
    chunks = b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in parts) + b"0\r\n\r\n"
    return request("POST", "/publish", BEARER + [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")], chunks), numbers


def cut_publishes(make, what):
    with Broker(OPEN) as broker:
        witness = Witness(broker)
        n, wanted = 1000, []  # numbers of four digits, so that all texts are equally long
        with HttpConnection(broker.address) as retry:
            for reset in (False, True):
                for place in range(len(make(n)[0]) + 1):
                    text, numbers = make(n)
                    c = HttpConnection(broker.address)
                    c.send(text[:place])
                    c.close(reset=reset)
                    again(retry, text)
                    wanted += numbers
                    n += 1
                    if place % LOOK_EVERY == 0:
                        witness.look()
        once_and_whole(witness.end(), wanted, what)


def test_a_publish_over_http():
    cut_publishes(publish_one, "one event")


def test_an_array_in_chunks():
    cut_publishes(publish_chunked, "an array")


def frame(message):
    """As send_json sends it."""
    return encode_frame(TEXT, json.dumps(message, separators=(",", ":")))


def publish_frame(n):
    return {"type": "publish", **item(n, f"k{n}"), "id": 1}


def test_frames():
    with Broker(OPEN) as broker:
        witness = Witness(broker)

        def session(token=TOKEN):
            return WsClient(broker.address, token=token, protocols=V1)

        for message in ({"type": "subscribe", "topics": ["a:1", "b:1"], "id": 1}, {"type": "ping", "id": "p"}):
            cuts(broker, witness, frame(message), lambda: session().stream)
        cuts(broker, witness, frame({"type": "auth", "token": TOKEN, "id": 1}), lambda: session(None).stream)
        cuts(broker, witness, encode_frame(CLOSE, b"\x03\xe8bye"), lambda: session().stream)
        cuts(broker, witness, encode_frame(PING, b"ping"), lambda: session().stream)
        equal(witness.end(), [], "what was published")


def test_a_publish_over_websocket():
    with Broker(OPEN) as broker:
        witness = Witness(broker)
        n, wanted = 1000, []
        with WsClient(broker.address, token=TOKEN, protocols=V1) as retry:
            for reset in (False, True):
                for place in range(len(frame(publish_frame(n))) + 1):
                    message = publish_frame(n)
                    c = WsClient(broker.address, token=TOKEN, protocols=V1)
                    c.stream.send(frame(message)[:place])
                    c.stream.close(reset=reset)
                    wait_until(lambda: retry.request(message)["type"] == "ack", 10, "the first one to be decided")
                    wanted.append(n)
                    n += 1
                    if place % LOOK_EVERY == 0:
                        witness.look()
        once_and_whole(witness.end(), wanted, "over WebSocket")


main()
