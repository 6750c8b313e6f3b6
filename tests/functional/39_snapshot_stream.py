#!/usr/bin/python3
# From a snapshot to the stream there is no hole: a cursor, the application's own read, history, the last value, each on every transport,
# with a write between every two steps. What comes is known to the last event: each once, in order, and what is shown is the database.
# ctest: timeout=120
import itertools
import pathlib
import sys
import threading
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "list:1"
LIMITS = {"publish_per_s": 1000000, "subscriptions": 100000}
CONFIG = {"workers": 4, "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": LIMITS}}}
PAGE = 3  # events of a page of history: several pages
V1 = ["hookwire.v1"]


class Application:
    """A database, and what was published of its changes, in order."""

    def __init__(self, broker):
        self.broker, self.rows, self.published = broker, {}, []
        self.connection = HttpConnection(broker.address)
        self.headers = {"Authorization": "Bearer " + mint("backend")}
        self.lock = threading.Lock()
        self.quiet = None  # a step behind which nobody writes

    def write(self, entity):
        """Changes a row, and publishes what it is now; another topic has an event before it, behind it, or none."""
        with self.lock:
            value = self.rows[entity] = self.rows.get(entity, 0) + 1
            topics = ((TOPIC,), ("other:1", TOPIC), (TOPIC, "other:1"))[len(self.published) % 3]
            items = [{"topic": topic, "event": "UPDATED", "data": {"entity_id": entity, "payload": {"n": value}}} for topic in topics]
            answer = self.connection.request("POST", "/publish", self.headers, items)
            equal(answer.status, 200, "publish")
            self.published.append(answer.json()["results"][topics.index(TOPIC)]["id"])

    def between(self, step):
        """What others do between two steps of a page: a row of the step, and one that changes all the time."""
        if step != self.quiet:
            self.write(step)
            self.write("x")

    def read(self):
        with self.lock:
            return dict(self.rows)

    def behind(self, cursor):
        """The ids of what was published behind a cursor."""
        return [id_ for id_ in self.published if number_of(id_) > number_of(cursor)]


def number_of(cursor):
    return int(cursor.split("-")[1])


def get(broker, path):
    answer = http(broker.address, "GET", path, token=mint("u1"))
    equal(answer.status, 200, path)
    return answer.json()


# ---- the transports: each opens at a cursor, or with the last value, and gives events; `between` is called between its own steps

class Ws:
    """A subscription of a WebSocket that is there already."""

    def __init__(self, broker, between, cursor=None):
        self.client = WsClient(broker.address, token=mint("u1"), protocols=V1)
        self.client.recv_where({"type": "welcome"})
        between("welcome")
        self.client.send_json({"type": "subscribe", "id": 1, "topics": [{"topic": TOPIC, "cursor": cursor} if cursor else {"topic": TOPIC, "last": 1}]})
        between("subscribing")
        self.early = []
        while (message := self.client.recv_json()).get("type") != "reply":
            self.early.append(message)
        result = message["topics"][TOPIC]
        equal((result["ok"], result.get("recovered")), (True, True if cursor else None), f"subscribed: {result}")

    def next(self):
        return self.early.pop(0) if self.early else self.client.recv_event()

    def close(self):
        self.client.close()


class WsQuery:
    """The topics of a WebSocket's address."""

    def __init__(self, broker, _, cursor=None):
        self.client = WsClient(broker.address, token=mint("u1"), protocols=V1, query={"topics": TOPIC, **({"cursor": cursor} if cursor else {"last": "1"})})

    def next(self):
        while True:
            message = self.client.recv_json()
            if message.get("type") in ("welcome", "cursor"):
                continue
            check("event" in message, f"an event was awaited: {message}")
            return message

    def close(self):
        self.client.close()


class Sse:
    """A stream of events; the cursor stands in its address."""

    def __init__(self, broker, _, cursor=None, **how):
        self.stream = SseClient(broker.address, TOPIC, token=mint("u1"), query={"cursor": cursor} if cursor and not how else {"last": "1"} if not cursor else None, **how)

    def next(self):
        return self.stream.recv_event()

    def close(self):
        self.stream.close()


class SseHeader(Sse):
    """The cursor stands in Last-Event-ID."""

    def __init__(self, broker, between, cursor=None):
        super().__init__(broker, between, cursor, **({"last_id": cursor} if cursor else {}))


class Poll:
    """Polls one after the other."""

    def __init__(self, broker, between, cursor=None):
        self.broker, self.between, self.cursor, self.events, self.n = broker, between, cursor, [], 0

    def next(self):
        while not self.events:
            answer = get(self.broker, f"/poll?topics={TOPIC}&wait={20 if self.n else 0}&" + (f"cursor={self.cursor}" if self.cursor else "last=1"))
            equal(answer["gap"], False, "gap")
            self.events, self.cursor, self.n = answer["events"], answer["cursor"], self.n + 1
            if self.n < 4:
                self.between(f"poll-{self.n}")
        return self.events.pop(0)

    def close(self):
        pass


TRANSPORTS = (Ws, WsQuery, Sse, SseHeader, Poll)


def follow(app, page, transport, expected, n_live=3):
    """Applies what comes until it is all of what was published; `expected` gives that, as of now. Meanwhile more is written."""
    got = []
    for turn in range(n_live):
        app.between(f"live-{turn}")
        while len(got) < len(expected()):
            event = transport.next()
            got.append(event["id"])
            page[event["data"]["entity_id"]] = event["data"]["payload"]["n"]
    equal(got == expected(), True, f"each once and in order: {len(got)} of {len(expected())}")
    equal(page == app.read(), True, "what is shown is the database")


def test_a_cursor_then_the_own_read_then_the_stream():
    with Broker(CONFIG) as broker:
        app = Application(broker)
        for kind, app.quiet in itertools.product(TRANSPORTS, (None, "cursor", "read", "subscribing")):
            app.between(f"{kind.__name__}-before")
            cursor = get(broker, "/cursor")["cursor"]
            app.between("cursor")
            page = app.read()
            app.between("read")
            transport = kind(broker, app.between, cursor)
            follow(app, page, transport, lambda: app.behind(cursor))
            transport.close()


def test_the_cursor_of_a_welcome_and_of_a_first_poll_do_as_well():
    with Broker(CONFIG) as broker:
        app = Application(broker)
        for kind, app.quiet in itertools.product(TRANSPORTS, (None, "cursor", "read", "subscribing")):
            app.between(f"{kind.__name__}-before")
            if kind is Poll:
                cursor = get(broker, f"/poll?topics={TOPIC}&wait=0")["cursor"]
            else:
                with WsClient(broker.address, token=mint("u1"), protocols=V1) as client:
                    cursor = client.recv_where({"type": "welcome"})["cursor"]
            app.between("cursor")
            page = app.read()
            app.between("read")
            transport = kind(broker, app.between, cursor)
            follow(app, page, transport, lambda: app.behind(cursor))
            transport.close()


def test_history_page_by_page_then_the_stream():
    with Broker(CONFIG) as broker:
        app = Application(broker)
        for kind in TRANSPORTS:
            for n in range(4):
                app.between(f"{kind.__name__}-{n}")
            page, shown, cursor = {}, [], None
            n_pages = len(app.published) // PAGE + 1  # others write faster than it reads: it need not come to the end
            for n in range(n_pages):
                answer = get(broker, f"/topics/{TOPIC}/history?limit={PAGE}" + (f"&cursor={cursor}" if cursor else ""))
                check(answer["events"] and not answer["gap"], "a page")
                for event in answer["events"]:
                    shown.append(event["id"])
                    page[event["data"]["entity_id"]] = event["data"]["payload"]["n"]
                cursor = answer["cursor"]
                if n % 4 == 0:
                    app.between(f"page-{n}")
            equal(shown == app.published[:len(shown)], True, "the past, each once and in order")
            transport = kind(broker, app.between, cursor)
            follow(app, page, transport, lambda: app.published[len(shown):])
            transport.close()


def test_the_last_value_then_the_stream():
    with Broker(CONFIG) as broker:
        app = Application(broker)
        for kind in TRANSPORTS:
            app.between(f"{kind.__name__}-before")
            before = len(app.published)
            app.write("y")
            transport = kind(broker, app.between)
            app.between("opened")
            event = transport.next()
            first = app.published.index(event["id"])
            check(first >= before, "the last value is older than the newest that there was")
            page = app.read()
            page[event["data"]["entity_id"]] = event["data"]["payload"]["n"]
            follow(app, page, transport, lambda: app.published[first + 1:])
            transport.close()
            for _ in range(3):
                app.write("y")
                transport = kind(broker, lambda _: None)
                equal(transport.next()["id"], app.published[-1], f"{kind.__name__}: where nobody writes, the newest")
                transport.close()


def test_while_somebody_writes_all_the_time():
    with Broker(CONFIG) as broker:
        app = Application(broker)
        for kind in TRANSPORTS:
            stop = threading.Event()

            def write():
                n = 0
                while not stop.is_set():
                    app.write(f"row-{n % 7}")
                    n += 1
            writing, runs = in_background(write), []
            try:
                for _ in range(3):
                    cursor = get(broker, "/cursor")["cursor"]
                    transport = kind(broker, lambda _: None, cursor)
                    runs.append((cursor, [transport.next()["id"] for _ in range(50)]))
                    transport.close()
            finally:
                stop.set()
                writing()
            for cursor, got in runs:  # what came was not acknowledged to the writer yet
                equal(got == app.behind(cursor)[:len(got)], True, f"{kind.__name__}: each once and in order")


main()
