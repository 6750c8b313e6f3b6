"""Somebody who follows a topic over one transport, and comes back by the last id that he saw as often as he is cut off."""
import threading
import time

from .check import Failure, check, equal
from .http import http
from .sse import SseClient, SseRefused
from .token import mint
from .wait import scaled, wait_until
from .ws import Closed, Refused, WsClient

TRANSPORTS = ("ws", "plain", "sse", "poll")
_AGAIN_S = 0.05  # between two attempts
_LOOK_S = 0.5    # a look whether it is all over, while nothing comes
_WAIT_S = 20     # of a poll
_AWAY = (502, 503, 504)  # a proxy's answer whose broker is away or silent, and a broker's that drains


class _Socket:
    def __init__(self, who):
        self.client = WsClient(who.address, token=who.token, protocols=["hookwire.v1"] if who.transport == "ws" else None,
                               query={"topics": who.topic, "cursor": who.cursor})

    def next(self):
        message = self.client.recv_where(lambda m: m.get("type") in (None, "gap", "error"), _LOOK_S)
        check("type" not in message, f"there came {message}")
        return [(message, message["id"])]

    def close(self):
        self.client.stream.close()


class _Sse:
    def __init__(self, who):
        self.client = SseClient(who.address, who.topic, token=who.token, last_id=who.cursor)

    def next(self):
        message = self.client.recv(timeout=_LOOK_S)
        check(message.name != "gap", f"there came {message!r}")
        return [(message.json(), message.id)] if message.name == "message" else []

    def close(self):
        self.client.close()


class _Poll:
    def __init__(self, who):
        self.who = who

    def next(self):
        answer = http(self.who.address, "GET", f"/poll?topics={self.who.topic}&cursor={self.who.cursor}&wait={_WAIT_S}", token=self.who.token, timeout=2 * _WAIT_S)
        if answer.status in _AWAY:
            raise EOFError(f"{answer.status}")
        equal(answer.status, 200, "a poll")
        body = answer.json()
        check(not body["gap"], "a gap")
        return [(event, body["cursor"]) for event in body["events"]]

    def close(self):
        pass


class Follower:
    """Follows until `total` events of the topic are there; `result()` waits for that, and says what went wrong.

    transport   one of TRANSPORTS
    cursor      where it begins
    """

    def __init__(self, transport, address, cursor, total, topic="a:1", name=None):
        self.transport, self.address, self.cursor, self.total, self.topic = transport, address, cursor, total, topic
        self.name = name or transport
        self.token = mint(self.name.replace(" ", "-"))
        self.events, self.n_cut, self.n_refused, self.there, self.error = [], 0, 0, False, None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _connect(self):
        if self.transport == "poll":
            return _Poll(self)
        try:
            return (_Sse if self.transport == "sse" else _Socket)(self)
        except (Refused, SseRefused) as refused:
            check(refused.response.status in _AWAY, f"refused: {refused.response!r}")
            self.n_refused += 1
        except (OSError, EOFError):
            self.n_refused += 1
        return None

    def _follow(self, connection):
        while len(self.events) < self.total and not self._stopped:
            try:
                for event, cursor in connection.next():
                    self.events.append(event)
                    self.cursor = cursor
            except TimeoutError:
                pass
            except (Closed, EOFError, OSError):
                self.there = False
                self.n_cut += 1
                return

    def _run(self):
        try:
            while len(self.events) < self.total and not self._stopped:
                connection = self._connect()
                self.there = connection is not None
                if connection:
                    self._follow(connection)
                    connection.close()
                    self.there = False
                time.sleep(_AGAIN_S)
        except BaseException as error:  # whoever asks for the result gets it
            self.error = error

    def wait_for(self, condition, what, timeout=20):
        """Waits until condition(self) holds."""
        def holds():
            if self.error:
                raise RuntimeError(f"{self.name}: {self.error!r}")
            return condition(self)
        wait_until(holds, timeout, f"{self.name}: {what}")

    def result(self, timeout=20):
        """Waits until all are there; returns the events."""
        try:
            self.wait_for(lambda f: len(f.events) >= f.total, f"all of {self.total} events", timeout)
        except AssertionError as error:
            raise Failure(f"{error}; there are {len(self.events)}, it was cut {self.n_cut} times") from None
        finally:
            self.stop()
        return self.events

    def stop(self):
        """Ends it."""
        self._stopped = True
        self._thread.join(scaled(_LOOK_S * 4))


def follow_everywhere(proxies, cursor, total):
    """A follower over each transport through each of the proxies."""
    return [Follower(transport, proxy.address, cursor, total, name=f"{transport} {proxy.kind}") for proxy in proxies for transport in TRANSPORTS]


def expect_numbers(followers, total):
    """All of them got the events whose payloads are numbered from 0, once and in order."""
    for follower in followers:
        equal([event["data"]["payload"]["n"] for event in follower.result()], list(range(total)), f"{follower.name}, cut {follower.n_cut} times")
