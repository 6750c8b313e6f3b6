"""Thousands of clients of every kind in one thread, which come back with their cursors and keep a ledger.

    with Many(broker.address) as many:
        for n in range(5000):
            many.add(KINDS[n % 4], f"a:{n // 10}")
        publisher = many.add("publisher")
        many.run(many.all_open, 60, "all to be there")

A client that is closed, refused or cut comes again as its kind is advised to: `v1` by its goaway, `sse` by `retry:`, whoever gets `Retry-After` by
that, and all of them by a pause that grows. What is published by the publishers is numbered by topic; check_ledger() compares what was acknowledged
with what everybody got, over all of its connections.
"""
import base64
import heapq
import json
import os
import random
import select
import socket
import struct
import time
import urllib.parse

from .check import Failure, check, equal
from .database import number_of
from .sse import SseParser
from .token import mint
from .wait import scaled
from .ws import CLOSE, PING, PONG, TEXT, encode_frame

KINDS = ("plain", "v1", "sse", "poll")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 8.0
_POLL_WAIT_S = 20
_IN_FLIGHT = 20
_FAULTS_KEPT = 5
_READ_BYTES = 1 << 18


class Client:
    """One of them: a connection at a time, and what came over all of them."""

    def __init__(self, many, number, kind, topic):
        self.many, self.number, self.kind, self.topic = many, number, kind, topic
        self.user = f"{kind}-{number}"
        self.token = mint(self.user)
        self.cursor = None
        self.ids, self.last_number = [], 0
        self.numbers = []       # payload.n of each
        self.sock, self.open = None, False
        self.n_connections = 0  # that were taken
        self.pauses = 0         # in a row
        self.advice_s = None    # when to come again: seconds from now
        self.goaway = None      # (when, retry_after_s, jitter_s)
        self.back_s = None      # after a goaway: the moment to come again
        self.ended = None       # the code of the last close
        self._reset()

    def _reset(self):
        self.buffer, self.out = b"", b""
        self.upgraded = False
        self.parser = None

    # ---- life

    def connect(self):
        """Begins to."""
        self._reset()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex(self.many.address)
        self.out = self._hello()
        self.many.watch(self)

    def _hello(self):
        query = {"topics": self.topic} if self.topic else {}
        headers = [f"Host: {self.many.address[0]}", f"Authorization: Bearer {self.token}"]
        if self.cursor and self.kind != "sse":
            query["cursor"] = self.cursor
        if self.kind == "sse":
            path = "/sse"
            if self.cursor:
                headers.append(f"Last-Event-ID: {self.cursor}")
        elif self.kind == "poll":
            path, query["wait"] = "/poll", _POLL_WAIT_S if self.cursor else 0
        else:
            path = "/ws"
            headers += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                        "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode()]
            if self.kind != "plain":
                headers.append("Sec-WebSocket-Protocol: hookwire.v1")
        path += "?" + urllib.parse.urlencode(query, safe=":,") if query else ""
        return (f"GET {path} HTTP/1.1\r\n" + "\r\n".join(headers) + "\r\n\r\n").encode()

    def cut(self, reset=True):
        """The connection is gone, from here."""
        if not self.sock:
            return
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.many.forget(self)
        self.sock.close()
        self.sock, self.open = None, False

    def end(self, code):
        """The connection is over: the code of its close, None without one, or an HTTP status."""
        was_open = self.open
        self.cut(reset=False)
        self.ended = code
        self.many.count_end(self, code, was_open)
        self.come_again()

    def come_again(self, after_s=None):
        """At the moment that it was advised."""
        now = time.monotonic()
        if after_s is None:
            after_s = self.advice_s
            if self.back_s is not None:
                after_s, self.back_s = max(0.0, self.back_s - now), None
            elif after_s is None:
                after_s = min(_FIRST_PAUSE_S * 2 ** self.pauses, _LAST_PAUSE_S) * self.many.chance.uniform(0.5, 1.5)
                self.pauses += 1
        self.advice_s = None
        self.many.later(self, now + after_s)

    def taken(self):
        """The broker has taken it."""
        if not self.open:
            self.open = True
            self.n_connections += 1
            self.pauses = 0
            self.many.came.append((time.monotonic(), self))

    # ---- what comes

    def on_writable(self):
        """Sends what waits."""
        self._write()
        if self.sock and not self.out:
            self.many.watch(self)

    def _write(self):
        try:
            self.out = self.out[self.sock.send(self.out):]
        except BlockingIOError:
            pass
        except OSError:
            self.end(None)

    def send(self, data):
        """As much as the socket takes now, and the rest when it can."""
        if self.out:
            self.out += data
            return
        self.out = data
        self._write()
        if self.sock and self.out:
            self.many.watch(self)

    def on_readable(self):
        """Reads once."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end(None)
            return
        self.buffer += data
        if self.kind == "poll":
            self._take_polls()
        elif self.upgraded or self._take_head():
            if self.kind == "sse":
                self._take_sse()
            else:
                self._take_frames()

    def _head(self):
        """Cuts a head off: (status, headers by name in small letters), or None."""
        at = self.buffer.find(b"\r\n\r\n")
        if at < 0:
            return None
        lines = self.buffer[:at].decode("latin-1").split("\r\n")
        self.buffer = self.buffer[at + 4:]
        return int(lines[0].split(" ")[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}

    def _refused(self, status, headers):
        """Sent away, with advice."""
        self.many.fault_unless(status == 503, self, f"refused with {status}: {self.buffer[:200]!r}")
        if "retry-after" in headers:
            self.advice_s = float(headers["retry-after"]) + self.many.chance.random()
        self.end(status)

    def _take_head(self):
        head = self._head()
        if not head:
            return False
        status, headers = head
        if status != (200 if self.kind == "sse" else 101):
            self._refused(status, headers)
            return False
        self.upgraded = True
        if self.kind == "sse":
            self.parser = SseParser(self.cursor or "")
        if self.kind in ("plain", "sse"):
            self.taken()
        return True

    def _take_sse(self):
        data, self.buffer = self.buffer, b""
        self.parser.feed(data)
        for message in self.parser.messages:
            if message.name == "message":
                self.take_event(json.loads(message.data))
            elif message.name not in ("cursor", "goaway", "closed"):
                self.many.fault(self, f"{message!r}")
            elif message.name == "closed":
                self.many.fault_unless('"close_code":1001,' in message.data, self, f"{message!r}")
                self.many.closes.append((time.monotonic(), self))
        self.parser.messages.clear()
        self.cursor = self.parser.last_id or self.cursor
        if self.parser.retry_ms is not None:
            self.advice_s = self.parser.retry_ms / 1000

    def _take_polls(self):
        while self.sock:
            if not self.upgraded:
                head = self._head()
                if not head:
                    return
                self.upgraded, self.status, self.headers = True, *head
            length = int(self.headers["content-length"])
            if len(self.buffer) < length:
                return
            body, self.buffer, self.upgraded = self.buffer[:length], self.buffer[length:], False
            if self.status != 200:
                self.buffer = body
                self._refused(self.status, self.headers)
                return
            self._take_answer(json.loads(body))

    def _take_answer(self, answer):
        self.many.fault_unless(not answer["gap"], self, "a gap")
        self.taken()
        for event in answer["events"]:
            self.take_event(event)
        self.cursor = answer["cursor"]
        if "retry-after" in self.headers:
            self.advice_s = float(self.headers["retry-after"]) + self.many.chance.random()
            self.many.closes.append((time.monotonic(), self))
        if self.headers.get("connection") == "close":
            self.end(None)
        else:
            self.send(self._hello())

    def _take_frames(self):
        buffer, at = self.buffer, 0
        while self.sock:
            left = len(buffer) - at
            if left < 2:
                break
            size, head = buffer[at + 1], 2
            if size == 126:
                if left < 4:
                    break
                size, head = int.from_bytes(buffer[at + 2:at + 4], "big"), 4
            elif size == 127:
                if left < 10:
                    break
                size, head = int.from_bytes(buffer[at + 2:at + 10], "big"), 10
            if left < head + size:
                break
            payload = buffer[at + head:at + head + size]
            kind = buffer[at] & 15
            at += head + size
            if kind == TEXT:
                self._take_message(json.loads(payload))
            elif kind == PING:
                self.send(encode_frame(PONG, payload))
            elif kind == CLOSE:
                self._take_close(payload)
        self.buffer = buffer[at:] if self.sock else b""

    def _take_close(self, payload):
        code = int.from_bytes(payload[:2], "big") if payload else None
        if code == 1001:
            self.many.closes.append((time.monotonic(), self))
        else:
            self.many.fault_unless(code == 4503 or self.many.may_close(self, code), self, f"closed with {code} {payload[2:]!r}")
        self.send(encode_frame(CLOSE, payload[:2]))
        if self.sock:
            self.end(code)

    def _take_message(self, message):
        kind = message.get("type")
        if kind is None:
            self.take_event(message)
        elif kind == "welcome":
            self.cursor = self.cursor or message["cursor"]
            self.taken()
        elif kind == "cursor":
            self.cursor = message["cursor"]
        elif kind == "goaway":
            self._take_goaway(message)
        elif kind == "ack":
            self.many.acked(self, message)
        elif kind == "error" and message.get("code") in ("draining", "unavailable"):
            self.many.refused(self, message)
        else:
            self.many.fault(self, f"{message}")

    def _take_goaway(self, message):
        now = time.monotonic()
        self.goaway = (now, message["retry_after_ms"] / 1000, message["jitter_ms"] / 1000)
        self.back_s = now + self.goaway[1] + self.goaway[2] * self.many.chance.random()
        self.many.goaways.append((self, self.back_s - now))
        if self.kind == "v1" and self.many.chance.random() < self.many.leave_share:  # it does not wait to be closed
            self.send(encode_frame(CLOSE, struct.pack(">H", 1000)))

    def take_event(self, event):
        """Every event has to be newer than the last."""
        id_ = event["id"]
        number = number_of(id_)
        self.many.fault_unless(event["topic"] == self.topic, self, f"an event of {event['topic']}")
        self.many.fault_unless(number > self.last_number, self, f"{id_} came after {self.ids[-1:]}, over {self.n_connections} connections")
        self.last_number, self.cursor = number, id_
        self.ids.append(id_)
        self.numbers.append(event["data"]["payload"]["n"])
        self.many.n_events += 1


class Many:
    """All of them. run() is where time passes."""

    def __init__(self, address, seed=1):
        host, _, port = address.rpartition(":")
        self.address = (host, int(port))
        self.chance = random.Random(seed)
        self.leave_share = 0.0  # of the v1 clients: who goes at the goaway
        self.epoll = select.epoll()
        self.by_fd, self.clients, self.publishers = {}, [], []
        self._due, self._n_due = [], 0
        self.faults, self.n_faults, self.n_events = [], 0, 0
        self.closes = []    # (when, client): the broker's 1001, in the form of its kind
        self.came = []      # (when, client): taken
        self.ends = {}      # (kind, code, was open) -> how often
        self.goaways = []   # (client, seconds that it shall be away)
        self.may_close = lambda client, code: code == 1000
        # the ledger: by topic, what was sent, and what of it was acknowledged with which id
        self.topics, self.sent, self.ids, self.newest = [], {}, {}, {}
        self._turn_of, self._flying, self._n_sent = 0, {}, 0
        self.rate, self._since, self._paced = 0, 0.0, 0

    def add(self, kind, topic=None, at=None):
        """A client (KINDS, or "publisher"), which connects at once."""
        client = Client(self, len(self.clients) + len(self.publishers), kind, topic)
        (self.publishers if kind == "publisher" else self.clients).append(client)
        if topic and topic not in self.sent:
            self.topics.append(topic)
            self.sent[topic], self.ids[topic], self.newest[topic] = 0, {}, 0
        self.later(client, at or 0.0)
        return client

    # ---- what clients say

    def watch(self, client):
        """Reads of it, and writes when there is something to write."""
        events = select.EPOLLIN | (select.EPOLLOUT if client.out else 0)
        fd = client.sock.fileno()
        if self.by_fd.get(fd) is client:
            self.epoll.modify(fd, events)
        else:
            self.by_fd[fd] = client
            self.epoll.register(fd, events)

    def forget(self, client):
        """It will close its socket."""
        fd = client.sock.fileno()
        if self.by_fd.pop(fd, None):
            self.epoll.unregister(fd)

    def later(self, client, when):
        """It connects then."""
        self._n_due += 1
        heapq.heappush(self._due, (when, self._n_due, client))

    def count_end(self, client, code, was_open):
        """How connections ended."""
        key = (client.kind, code, was_open)
        self.ends[key] = self.ends.get(key, 0) + 1
        if client.kind == "publisher":
            self._flying.pop(client, None)

    def fault(self, client, what):
        """Something that should not be."""
        self.n_faults += 1
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(f"{client.user}: {what}"[:300])

    def fault_unless(self, condition, client, what):
        """As check(), and the others go on."""
        if not condition:
            self.fault(client, what)

    # ---- publishing

    def publish_at(self, rate):
        """So many events a second from now on, while a publisher is there; 0: none."""
        self.rate, self._since, self._paced = rate, time.monotonic(), 0

    def publish(self, publisher, topic):
        """One event of it."""
        n = self.sent[topic]
        self.sent[topic] = n + 1
        self._n_sent += 1
        self._flying.setdefault(publisher, {})[f"{topic} {n}"] = (topic, n)
        publisher.send(encode_frame(TEXT, json.dumps({
            "type": "publish", "id": f"{topic} {n}", "topic": topic, "event": "UPDATED",
            "data": {"entity_id": "e", "payload": {"n": n}}})))

    def acked(self, publisher, message):
        """An event of that publisher is stored."""
        topic, n = self._flying[publisher].pop(message["id"])
        self.ids[topic][n] = message["event_id"]
        self.newest[topic] = max(self.newest[topic], number_of(message["event_id"]))

    def refused(self, publisher, message):
        """It was not stored."""
        self.fault_unless(message.get("id") in self._flying.get(publisher, {}), publisher, f"{message}")
        self._flying.get(publisher, {}).pop(message.get("id"), None)

    def _free_publisher(self):
        for _ in self.publishers:
            self._turn_of = (self._turn_of + 1) % len(self.publishers)
            publisher = self.publishers[self._turn_of]
            if publisher.open and len(self._flying.get(publisher, ())) < _IN_FLIGHT:
                return publisher
        return None

    def _publish_due(self, now):
        due = int((now - self._since) * self.rate) - self._paced
        while due > 0:
            publisher = self._free_publisher()
            if not publisher:
                break
            self.publish(publisher, self.topics[self._n_sent % len(self.topics)])
            self._paced += 1
            due -= 1
        self._paced += max(due, 0)  # what nobody was there to publish is not made up for

    def n_flying(self):
        """Publishes without an answer."""
        return sum(len(flying) for flying in self._flying.values())

    def publish_to_all(self):
        """One event to every topic, by a publisher that is there."""
        publisher = next(p for p in self.publishers if p.open)
        for topic in self.topics:
            self.publish(publisher, topic)

    # ---- time

    def turn(self, seconds):
        """What is due, and what comes within so many seconds."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            client = heapq.heappop(self._due)[2]
            if not client.sock:
                client.connect()
        if self.rate:
            self._publish_due(now)
        for fd, events in self.epoll.poll(seconds):
            client = self.by_fd.get(fd)
            if client and client.out and events & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
                client.on_writable()
            if client and client.sock and self.by_fd.get(fd) is client and events & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP):
                client.on_readable()

    def run(self, condition, timeout, what):
        """Until condition() is true; fails when something was wrong, or time is up."""
        deadline = time.monotonic() + scaled(timeout)
        while not condition():
            self.check_faults()
            if time.monotonic() >= deadline:
                raise Failure(f"still waiting for {what} after {timeout} s; open {self.n_open()} of {len(self.clients)}, ends {self.ends}")
            self.turn(0.02)
        self.check_faults()

    def check_faults(self):
        """Fails when something was wrong."""
        check(not self.n_faults, f"{self.n_faults} faults, the first: {self.faults}")

    def n_open(self):
        """How many clients are there."""
        return sum(1 for client in self.clients if client.open)

    def all_open(self):
        """All of them, and their publishers."""
        return all(client.open for client in self.clients) and all(client.open for client in self.publishers)

    def all_level(self):
        """Has everybody all that was acknowledged?"""
        return not self.n_flying() and all(client.last_number >= self.newest[client.topic] for client in self.clients)

    # ---- judging

    def check_ledger(self):
        """Whoever follows a topic has the same list: what was acknowledged, once, under its id, and nothing that was never sent."""
        self.check_faults()
        lists = {}
        for client in self.clients:
            whole = lists.setdefault(client.topic, client)
            check(client.ids == whole.ids, f"{client.user} has {len(client.ids)} events, and {whole.user} {len(whole.ids)} of the same topic")
        for topic, client in lists.items():
            got = dict(zip(client.numbers, client.ids))
            equal(len(got), len(client.ids), f"{topic}: events that came once")
            lost = [n for n, id_ in self.ids[topic].items() if got.get(n) != id_]
            check(not lost, f"{topic}: acknowledged and lost: {lost[:5]}, {len(lost)} in all")
            check(all(0 <= n < self.sent[topic] for n in got), f"{topic}: events that nobody sent")

    def close(self):
        """All connections go."""
        for client in self.clients + self.publishers:
            client.cut()
        self.epoll.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def tenths(moments, start, seconds):
    """How many of the moments fall into each tenth of `seconds` from start; what is beyond belongs to the last."""
    counts = [0] * 10
    for moment in moments:
        counts[min(9, max(0, int(10 * (moment - start) / seconds)))] += 1
    return counts


def show(name, counts):
    """A histogram, as text."""
    most = max(counts) or 1
    print(f"{name}: {sum(counts)}", flush=True)
    for i, count in enumerate(counts):
        print(f"  {i / 10:.1f} {count:6} {'#' * (50 * count // most)}", flush=True)


def spread(counts, what):
    """Fails when they are not spread: two fifths in one tenth, or four tenths and more empty. A machine that stands still for two tenths passes."""
    check(max(counts) <= 0.4 * sum(counts), f"{what}: {max(counts)} of {sum(counts)} in a tenth of the time")
    check(sum(1 for count in counts if count) >= 7, f"{what}: only in some tenths of the time: {counts}")
