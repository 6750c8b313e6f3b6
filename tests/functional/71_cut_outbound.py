#!/usr/bin/python3
# What the broker sends is cut behind every byte, over every transport: the client comes back over another one with the cursor of the last
# event that came whole, and has every event once and in order.
import itertools
import json
import pathlib
import sys
import urllib.parse
import zlib
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
OPEN = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "connections": 1000000}}},
        "log": {"level": "warn"}, "sse": {"gzip": True}}
TOKEN = mint("u1")
BEARER = [("Authorization", "Bearer " + TOKEN)]
N_EVENTS = 3
TRANSPORTS = ("ws", "sse", "gzip", "poll")


class Reader:
    """Reads at most `most` bytes of what the broker sends over a transport from `cursor` on, then resets the connection.

    events  those that came whole
    cursor  where to come back to
    cut     whether there was more than was read
    """

    def __init__(self, broker, transport, cursor, most=None, wanted=N_EVENTS, wait=0):
        self.events, self.cursor, self.most, self.wanted, self.n_read, self.cut = [], cursor, most, wanted, 0, False
        self.connection = HttpConnection(broker.address)
        try:
            getattr(self, "_" + transport)(wait)
        finally:
            self.connection.close(reset=True)

    def _ask(self, path, headers=()):
        self.connection.send(self.connection.format("GET", path, BEARER + list(headers)))

    def _query(self, **more):
        return urllib.parse.urlencode({"topics": "a:1", "cursor": self.cursor, **more}, safe=":")

    def _take(self):
        """Some bytes more, or None: the cut is here."""
        left = 1 << 20 if self.most is None else self.most - self.n_read
        if left == 0:
            self.cut = True
            return None
        self.connection.sock.settimeout(scaled(10))
        data = self.connection.sock.recv(left)
        check(data, "the broker ends the connection")
        self.n_read += len(data)
        return data

    def _head(self, rest=b""):
        """What comes behind the answer's head; None: the cut is before that."""
        while b"\r\n\r\n" not in rest:
            data = self._take()
            if data is None:
                return None, None
            rest += data
        head, _, rest = rest.partition(b"\r\n\r\n")
        return head, rest

    def _got(self, event):
        self.events.append(event)
        self.cursor = event["id"]

    def _ws(self, _wait):
        self._ask("/ws?" + self._query(), [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                           ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")])
        _, rest = self._head()
        while rest is not None and len(self.events) < self.wanted:
            frame_len = self._frame_len(rest)
            if frame_len is None:
                data = self._take()
                rest = None if data is None else rest + data
                continue
            head = 2 if rest[1] < 126 else 4
            equal(rest[0], 0x81, "a text frame")
            self._got(json.loads(rest[head:frame_len]))
            rest = rest[frame_len:]

    @staticmethod
    def _frame_len(rest):
        """Bytes of the first frame; None: it has not come whole."""
        if len(rest) < 2 or (rest[1] == 126 and len(rest) < 4):
            return None
        n = 2 + rest[1] if rest[1] < 126 else 4 + int.from_bytes(rest[2:4], "big")
        return n if len(rest) >= n else None

    def _stream(self, headers, decode):
        parser = SseParser(self.cursor)
        self._ask("/sse?topics=a:1", [("Last-Event-ID", self.cursor), *headers])
        _, rest = self._head()
        while rest is not None:
            parser.feed(decode(rest))
            for message in parser.messages:
                if message.name == "message":
                    self.events.append(message.json())
            parser.messages.clear()
            self.cursor = parser.last_id
            if len(self.events) >= self.wanted:
                return
            rest = self._take()

    def _sse(self, _wait):
        self._stream([], lambda data: data)

    def _gzip(self, _wait):
        self._stream([("Accept-Encoding", "gzip")], zlib.decompressobj(31).decompress)

    def _poll(self, wait):
        self._ask(f"/poll?{self._query(wait=wait)}")
        head, rest = self._head()
        if head is None:
            return
        length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")).split(b":")[1])
        while len(rest) < length:
            data = self._take()
            if data is None:
                return
            rest += data
        answer = json.loads(rest)
        equal(answer["gap"], False, "gap")
        for event in answer["events"]:
            self._got(event)
        self.cursor = answer["cursor"]


def publish(broker, n):
    answer = broker.publish("a:1", data={"entity_id": "e", "payload": {"n": n}})
    equal(answer.status, 200, "publish")
    return answer.json()["id"]


def cut_everywhere(transport):
    """Cuts what is replayed over a transport behind every byte, and comes back over each of them in turn."""
    with Broker(OPEN) as broker:
        before = broker.fds()
        start = [publish(broker, n) for n in range(N_EVENTS)][-1]  # what is before it must not come
        ids = [publish(broker, n) for n in range(N_EVENTS)]
        equal([e["id"] for e in Reader(broker, transport, start).events], ids, "all of it, without a cut")
        n_cut, seen, back = 0, set(), itertools.cycle(TRANSPORTS)
        for most in itertools.count(1):
            first = Reader(broker, transport, start, most)
            got = [e["id"] for e in first.events]
            seen.add(len(got))
            if len(got) < N_EVENTS:
                then = next(back)
                rest = Reader(broker, then, first.cursor, wanted=N_EVENTS - len(got))
                got += [e["id"] for e in rest.events]
                n_cut += 1
            check(got == ids, f"cut behind {most} bytes of {transport}, on with {then} from {first.cursor}: {got} of {ids}")
            if not first.cut:
                break
        check(n_cut > 300, f"{n_cut} cuts: that is not every byte")
        equal(seen, {0, N_EVENTS} if transport == "poll" else set(range(N_EVENTS + 1)), "how many events came before the cut")
        wait_until(lambda: broker.fds() == before, 10, "the descriptors to come back")


def test_what_comes_over_websocket():
    cut_everywhere("ws")


def test_an_event_stream():
    cut_everywhere("sse")


def test_a_compressed_event_stream():
    cut_everywhere("gzip")


def test_the_answer_to_a_poll():
    cut_everywhere("poll")


def test_a_client_that_is_cut_again_and_again_and_goes_on_elsewhere():
    # live: an event comes while it is there, and each time the cut is a byte later and the transport another
    with Broker({**OPEN, "workers": 2}) as broker:
        before = broker.fds()
        cursor = http(broker.address, "GET", "/cursor", token=TOKEN).json()["cursor"]
        ids, got, n_up_to_date = [], [], 0
        with HttpConnection(broker.address) as publisher:
            for most, transport in zip(range(1, 1200), itertools.cycle(TRANSPORTS)):
                body = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": most}}}
                sent = publisher.format("POST", "/publish", BEARER, body)
                publisher.send(sent)  # which arrives before the reader has come, or after it
                reader = Reader(broker, transport, cursor, most, wanted=len(ids) + 1 - len(got), wait=1)
                ids.append(publisher.read_response("POST").json()["id"])
                got += [e["id"] for e in reader.events]
                cursor = reader.cursor
                n_up_to_date += len(got) == len(ids)
        check(n_up_to_date > 100, f"it was up to date {n_up_to_date} times: this was no live stream")
        while len(got) < len(ids):
            rest = Reader(broker, "poll", cursor)
            check(rest.events, f"{len(got)} of {len(ids)} events came")
            got += [e["id"] for e in rest.events]
            cursor = rest.cursor
        check(got == ids, f"{len(got)} of {len(ids)} events, {len(got) - len(set(got))} twice, in order: {got == sorted(got, key=ids.index)}")
        wait_until(lambda: broker.fds() == before, 10, "the descriptors to come back")


main()
