"""Followers of a mixed run: each resumes by its cursors, connection after connection, over whatever transport it likes."""
import time

from .database import epoch_of, number_of
from .http import HttpConnection
from .ledger import Line
from .sse import SseClient, SseRefused
from .token import mint
from .wait import scaled
from .ws import TEXT, Closed, Refused, WsClient, encode_frame

LIFE_S = (0.1, 1.8)    # of a connection
LOOK_S = 0.1           # at most, until it thinks of something else to do
STALL_S = (1.0, 3.0)
# The receive buffer of who stalls: it does not grow, and is no smaller, or the kernel, which has segments of 64 KiB here,
# asks for room by its persist timer alone, at last every minute.
SMALL_WINDOW = 65536
LONG_WAIT_S = 2        # of a long poll
PLAIN_PAUSE_S = (0.03, 0.3)
TRY_AGAIN_S = 0.1
REPLY_S = 20
WAYS = ("ws", "v1", "sse", "gzip", "poll", "plain poll")
GONE = (EOFError, Closed, ConnectionError)


def before(event_id):
    """The cursor before an event."""
    return f"{epoch_of(event_id)}-{number_of(event_id) - 1}"


class TryAgain(Exception):
    """It was refused with an answer that says so."""


class Follower:
    """One session's worth of a client.

    world   see mixed.py: address, excuse(), ledger, closing, stop, pause()
    stalls  it stops reading for seconds, now and then
    """

    def __init__(self, world, book, rng, stalls=False):
        self.world, self.book, self.rng, self.stalls = world, book, rng, stalls
        self.token = mint(book.name, book.tenant, level=book.level, inner="yes" if book.sees_inner else "no")
        self.bearer = [("Authorization", "Bearer " + self.token)]
        self.ways = {"ws": self._ws, "v1": self._v1, "sse": self._sse, "gzip": self._gzip, "poll": self._long_poll,
                     "plain poll": self._plain_poll, "end": self._end}
        self.last_way = None
        self.address = None
        self.n_requests = 0
        self.owed = None

    def __str__(self):
        return f"{self.book} over {self.last_way}"

    # ---- its life

    def run(self):
        """Follows until the world closes, then until it has all that it is owed."""
        while not self.world.closing.is_set() and not self.world.stop.is_set():
            self._connect(self.rng.choice(WAYS), self.rng.uniform(*LIFE_S))
        if not self.world.stop.is_set():
            self._finish()

    def _finish(self):
        self.owed = self.book.owed()
        deadline = time.monotonic() + scaled(self.world.finish_s)
        while not self._has_all() and not self.world.stop.is_set():
            lost = self.book.lost(self.owed)
            if lost:
                self.book.fail(self.last_way, f"lost: {len(lost)} of {len(self.owed)}: {self.book.describe(lost)}")
            if time.monotonic() > deadline:
                late = self.owed - self.book.got.keys()
                self.book.fail(self.last_way, f"late: {len(late)} of {len(self.owed)}: {self.book.describe(late)}")
            self._connect(self.rng.choice(WAYS), self.rng.uniform(*LIFE_S))
        extra = self.book.got.keys() - self.owed
        if extra:
            self.book.fail(self.last_way, f"too much: {self.book.describe(extra)}")
        for way in ("end", self.rng.choice(WAYS)) if self.book.begins else ():  # whatever comes now is one too many
            while not self._connect(way, min(LIFE_S)) and not self.world.stop.is_set():
                continue

    @property
    def _closing(self):
        """It knows what it is owed."""
        return self.owed is not None

    def _has_all(self):
        return self._closing and len(self.book.got) >= len(self.owed)

    def _connect(self, way, seconds):
        """One connection. False: it was told to try again, or the broker has ended."""
        if self.book.begins and self.last_way not in (None, way):
            self.world.ledger.count("resumed over another transport")
        if self.book.begins:
            self.world.ledger.count("resumed")
        self.last_way = way
        self.world.ledger.count(f"connections {way}")
        self.address = self.world.address()
        try:
            self.ways[way](time.monotonic() + seconds)
        except GONE as error:
            self.world.excuse(self.address, f"{self.book} over {way}: {error!r}")
        except TryAgain:
            self.world.ledger.count("told to try again")
            self.world.pause(TRY_AGAIN_S)
        else:
            return True
        return False

    def _goes_on(self, until):
        """Whether this connection is not over yet."""
        return time.monotonic() < until and not self.world.stop.is_set() and not (self._has_all() and self.rng.random() < 0.5)

    def _refused(self, line, response):
        body = response.json()
        if not body.get("retryable"):
            self.book.fail(line, f"refused: {response!r}")
        raise TryAgain

    def _stall(self):
        if self._closing:
            return
        self.world.ledger.count("stalls")
        self.world.pause(self.rng.uniform(*STALL_S))

    def _window(self):
        return SMALL_WINDOW if self.stalls else None

    # ---- where it resumes

    def _group(self):
        """Units that stand at the same place, and that place; all of them and None if none has begun."""
        groups = self.book.groups()
        if not groups:
            if self.rng.random() < 0.5:
                return self._subscriptions(self.book.units), None
            cursor = self._head()
            for s in self._subscriptions(self.book.units):
                self.book.begin(s, cursor)
            groups = self.book.groups()
        cursor = min(groups, key=number_of) if self._closing else self.rng.choice(sorted(groups))
        units = groups[cursor]
        if not self._closing and self.rng.random() < 0.2:  # the others wait for another time
            units = self.rng.sample(units, self.rng.randint(1, len(units)))
        return self._subscriptions(units), self._or_last_event(cursor, groups)

    def _or_last_event(self, cursor, groups):
        """The last event's id is as good as a newer cursor that was told behind it."""
        last = self.book.last_event
        if last and len(groups) == 1 and max(self.book.begins.values()) <= number_of(last) and self.rng.random() < 0.5:
            return last
        return cursor

    def _subscriptions(self, units):
        subscriptions = [s for unit in units for s in unit]
        self.rng.shuffle(subscriptions)
        return subscriptions

    def _head(self):
        with HttpConnection(self.address) as connection:
            response = connection.request("GET", "/cursor", self.bearer)
        if response.status != 200:
            self._refused("GET /cursor", response)
        return response.json()["cursor"]

    # ---- WebSocket

    def _v1(self, until):
        self._websocket("v1", ["hookwire.v1"], until)

    def _ws(self, until):
        self._websocket("ws", None, until)

    def _websocket(self, way, protocols, until):
        subscriptions, cursor = self._group()
        by_query = cursor is not None and self.rng.random() < 0.5
        query = {"topics": ",".join(subscriptions), "cursor": cursor} if by_query else None
        line = Line(way, number_of(cursor) if by_query else 0)
        try:
            ws = WsClient(self.address, token=self.token, protocols=protocols, query=query, receive_buffer=self._window())
        except Refused as refused:
            self._refused(line, refused.response)
        try:
            if by_query:
                line.live.update(subscriptions)
            else:
                self._begin(ws, line, subscriptions, cursor)
            heard = time.monotonic()
            patient = self.rng.random() < 0.5
            while self._goes_on(until) or patient and line.pending and not self.world.stop.is_set():
                if time.monotonic() < until and self.rng.random() < 0.05:
                    self._do_something(ws, line)
                if self._read_ws(ws, line):
                    heard = time.monotonic()
                elif line.pending and time.monotonic() > heard + scaled(REPLY_S):
                    self.book.fail(line, f"no answer to {line.pending}, nor anything else; it stands at {self.book.at}")
            self._leave_ws(ws)
        finally:
            ws.stream.close()

    def _begin(self, ws, line, subscriptions, cursor):
        if cursor is None and ws.protocol and self.rng.random() < 0.5:
            welcome = ws.recv_json()
            for s in subscriptions:
                self.book.begin(s, welcome["cursor"])
        self._subscribe(ws, line, subscriptions)

    def _read_ws(self, ws, line):
        """Whether anything came."""
        try:
            message = ws.recv_json(LOOK_S)
        except TimeoutError:
            return False
        self._hear(line, message)
        return True

    def _do_something(self, ws, line):
        """Changes its subscriptions, refreshes its token, or stops reading."""
        if not line.pending:
            self._change(ws, line)
        if self.rng.random() < 0.1:
            self.world.ledger.count("tokens refreshed")
            ws.send_json({"type": "auth", "token": self.token})
        if self.stalls and self.rng.random() < 0.5:
            self._stall()

    def _change(self, ws, line):
        here = [unit for unit in self.book.units if set(unit) <= line.live]
        away = [unit for unit in self.book.units if not set(unit) & line.live]
        if away and self.rng.random() < 0.7:
            self._subscribe(ws, line, self._subscriptions(self.rng.sample(away, self.rng.randint(1, len(away)))))
        elif len(here) > 1:
            self._unsubscribe(ws, line, self.rng.choice(here))

    def _request(self, ws, line, what, subscriptions, topics):
        self.n_requests += 1
        line.pending[self.n_requests] = (what, subscriptions)
        message = {"type": what, "topics": topics, "id": self.n_requests}
        if self.rng.random() < 0.1:
            message = [{"type": "ping"}, message]
        ws.send_json(message)

    def _subscribe(self, ws, line, subscriptions):
        topics = [{"topic": s, "cursor": self.book.at[s]} if s in self.book.at else s for s in subscriptions]
        line.recovering.update(subscriptions)
        self.world.ledger.count("subscribed on the fly", bool(line.live))
        self._request(ws, line, "subscribe", subscriptions, topics)

    def _unsubscribe(self, ws, line, unit):
        self.world.ledger.count("unsubscribed on the fly")
        self._request(ws, line, "unsubscribe", unit, unit)

    def _hear(self, line, message):
        kind = message.get("type")
        if kind is None:
            self.book.take(line, message)
        elif kind == "reply":
            self._reply(line, message)
        elif kind == "cursor":
            self.world.ledger.count("cursors told")
            self.book.move(line, message["cursor"])
        elif kind == "error" and message.get("retryable") and "id" not in message:
            raise TryAgain  # a topic of the query
        elif kind not in ("welcome", "pong") and not (kind == "goaway" and self.address in self.world.ended):
            self.book.fail(line, f"it was told {message}")
        return kind

    def _reply(self, line, reply):
        what, subscriptions = line.pending.pop(reply["id"])
        if not reply.get("ok") or set(reply["topics"]) != set(subscriptions):
            self.book.fail(line, f"{what} {subscriptions} was answered {reply}")
        for s in subscriptions:
            self._check_granted(line, s, reply["topics"][s])
        cursors = {reply["topics"][s]["cursor"] for s in subscriptions}
        if len(cursors) > 1:
            self.book.fail(line, f"one reply with several cursors: {reply}")
        cursor = cursors.pop()
        if what == "subscribe":
            self._joined(line, subscriptions, cursor)
        else:
            line.live -= set(subscriptions)
            if self.rng.random() < 0.5:
                self.book.advance(line, subscriptions, cursor)

    def _joined(self, line, subscriptions, cursor):
        for s in subscriptions:
            if s not in self.book.at:
                self.book.begin(s, cursor)
        line.recovering -= set(subscriptions)
        line.live.update(subscriptions)
        line.number, line.told_by = number_of(cursor), "a reply"
        self.book.advance(line, line.live, cursor)

    def _check_granted(self, line, subscription, result):
        if not result["ok"] and result["code"] == "unavailable":
            raise TryAgain
        if not result["ok"]:
            self.book.fail(line, f"{subscription} was refused: {result}")
        if result.get("recovered") is False:
            self.book.fail(line, f"{subscription} was not recovered from {self.book.at.get(subscription)}: {result}")

    def _end(self, _):
        """All of it at once, each from where it stands."""
        line = Line("v1 at the end")
        with WsClient(self.address, token=self.token, protocols=["hookwire.v1"]) as ws:
            self._subscribe(ws, line, self._subscriptions([unit for units in self.book.groups().values() for unit in units]))
            while line.pending:
                self._hear(line, ws.recv_json())
            ws.send_json({"type": "ping"})
            while self._hear(line, ws.recv_json()) != "pong":
                pass

    def _leave_ws(self, ws):
        how = self.rng.choice(("close", "reset", "half a frame", "end"))
        self.world.ledger.count(f"left by {how}")
        if how == "close":
            ws.close()
        elif how == "reset":
            ws.abort()
        elif how == "half a frame":
            frame = encode_frame(TEXT, '{"type":"subscribe","topics":["list:1","chat:1"],"id":1}')
            ws.stream.send(frame[:self.rng.randrange(1, len(frame))])
            ws.stream.close(reset=self.rng.random() < 0.5)

    # ---- Server-Sent Events

    def _gzip(self, until):
        self._stream("gzip", [("Accept-Encoding", "gzip")], until)

    def _sse(self, until):
        self._stream("sse", [], until)

    def _stream(self, way, headers, until):
        subscriptions, cursor = self._group()
        where = {} if cursor is None else {self.rng.choice(("cursor", "last_id")): cursor}
        line = Line(way, number_of(cursor) if cursor else 0)
        try:
            sse = SseClient(self.address, ",".join(subscriptions), token=self.token, headers=headers, receive_buffer=self._window(), **where)
        except SseRefused as refused:
            self._refused(line, refused.response)
        try:
            line.live.update(subscriptions)
            while self._goes_on(until):
                if self.stalls and self.rng.random() < 0.04:
                    self._stall()
                self._read_sse(sse, line)
            self.world.ledger.count("left a stream")
            sse.connection.close(reset=self.rng.random() < 0.5)
        finally:
            sse.close()

    def _read_sse(self, sse, line):
        before = sse.last_id
        try:
            sse.read_until(lambda p: p.messages or p.last_id != before, LOOK_S)
        except TimeoutError:
            return
        for message in sse.parser.messages:
            self._hear_sse(line, message)
        sse.parser.messages.clear()
        if sse.last_id:
            self.book.move(line, sse.last_id)

    def _hear_sse(self, line, message):
        if message.name == "cursor":
            for s in line.live - self.book.at.keys():
                self.book.begin(s, message.id)
        elif message.name == "message":
            event = message.json()
            if "id" in event and event["id"] != message.id:
                self.book.fail(line, f"the event's id is {event['id']}, the stream's {message.id}")
            self.book.take(line, event)
        elif message.name == "closed" and message.json().get("retryable"):
            raise TryAgain
        elif message.name != "goaway" or self.address not in self.world.ended:
            self.book.fail(line, f"the stream says {message!r}")

    # ---- polling

    def _long_poll(self, until):
        self._polls("poll", LONG_WAIT_S, until)

    def _plain_poll(self, until):
        self._polls("plain poll", 0, until)

    def _polls(self, way, wait, until):
        subscriptions, cursor = self._group()
        connection = None
        try:
            while self._goes_on(until):
                if connection is None:
                    connection = HttpConnection(self.address)
                line = Line(way, number_of(cursor) if cursor else 0)
                line.live.update(subscriptions)
                answer = self._poll(connection, line, cursor, wait)
                if answer is None or self.rng.random() < 0.3:
                    connection.close()
                    connection = None
                cursor = answer or cursor
                if not wait:
                    self.world.pause(self.rng.uniform(*PLAIN_PAUSE_S))
        finally:
            if connection:
                connection.close()

    def _poll(self, connection, line, cursor, wait):
        """One poll. Returns its cursor; None: it was broken off."""
        topics = sorted(line.live)
        self.rng.shuffle(topics)
        path = f"/poll?topics={','.join(topics)}&wait={wait}" + (f"&cursor={cursor}" if cursor else "")
        request = connection.format("GET", path, self.bearer)
        if self.rng.random() < 0.1:
            self.world.ledger.count("polls broken off")
            connection.send(request[:self.rng.choice((len(request), self.rng.randrange(1, len(request))))])
            self.world.pause(self.rng.uniform(0, 0.1))
            connection.close(reset=self.rng.random() < 0.5)
            return None
        connection.send(request)
        response = connection.read_response("GET")
        if response.status != 200:
            self._refused(line, response)
        answer = response.json()
        if answer["gap"]:
            self.book.fail(line, f"a gap behind {cursor}: {response!r}")
        if cursor is None:  # it began right before its first event, or there was none
            ids = [e["id"] for e in answer["events"] if "id" in e]
            for s in line.live:
                self.book.begin(s, before(ids[0]) if ids else answer["cursor"])
        for event in answer["events"]:
            self.book.take(line, event)
        self.book.move(line, answer["cursor"])
        return answer["cursor"]
