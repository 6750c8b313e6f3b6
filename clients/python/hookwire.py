"""Publishes events to a Hookwire broker, from any Python program. Needs nothing but Python 3.8.

    import hookwire

    client = hookwire.Client("http://127.0.0.1:8080", token=TOKEN)
    client.publish("gift-list:family-123", "UPDATED", {"entity_id": "gift-456", "payload": {"name": "Bike"}})

What is published is stored when ``publish`` returns. Each publish has an idempotency key, so that one whose answer was lost is tried
again without being stored twice. ``AsyncClient`` is the same for asyncio; ``Outbox`` publishes in the background.
"""
import asyncio
import base64
import calendar
import collections
import collections.abc
import concurrent.futures
import contextvars
import dataclasses
import datetime
import decimal
import email.utils
import enum
import hashlib
import hmac
import http.client
import io
import itertools
import json
import os
import random
import re
import socket
import ssl
import sys
import threading
import time
import typing
import urllib.parse
import uuid
import weakref

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "HookwireError", "Outbox", "Published", "WebhookError", "event", "fastapi_publisher",
           "validate", "verify_webhook"]

_AT_A_TIME = 1000  # events of an array
_BATCH = 100  # of an Outbox
_KEY_MAX = 256
_TEXT = re.compile("[ -~]*")  # what a header may hold
_THREADS = 32  # of an AsyncClient
_LOOP = contextvars.ContextVar("hookwire_loop")
_SECRET_MIN = 24  # bytes of a webhook's secret


class HookwireError(Exception):
    """The broker refused, or could not be reached.

    code         the broker's stable code: ``bad_request``, ``forbidden_topic``, ``rate_limited``, ``unavailable`` …
    retryable    the same request may succeed later
    retry_after  seconds after which, where the broker said so
    status       of HTTP; None where there was no answer
    """

    def __init__(self, code, message="", retryable=False, retry_after=None, status=None):
        super().__init__(f"{code}: {message}" if message else code)
        self.code, self.message, self.retryable, self.retry_after, self.status = code, message, retryable, retry_after, status


class _Forked:
    """What a child of the process has to begin anew: connections and threads stay its parent's."""
    _all = weakref.WeakSet()

    def _remember(self):
        self._afresh()
        self._all.add(self)

    @classmethod
    def _in_child(cls):
        for one in list(cls._all):
            one._afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Forked._in_child)


class Published(typing.NamedTuple):
    """What became of an event. ``id`` is its cursor; None if its topic keeps no history, or a policy dropped it."""
    id: typing.Optional[str]
    duplicate: bool = False


def _plain(value):
    """What `json` does not know by itself: models of pydantic 1 and 2, data classes, dates, numbers of money, enumerations."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__fields__") and hasattr(value, "json"):
        return json.loads(value.json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise TypeError(f"{value!r} has no time zone: say which, as datetime.now(timezone.utc) does")
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal)):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON has: {value!r:.100}")


def _encode(value):
    text = json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # half of a surrogate pair is \\udcff, as JSON has it


def event(topic, event, data=None, *, entity_id=None, payload=None, mutation_id=None, trace_id=None, version=None, key=None):
    """An event as it is published, for ``publish_many`` and ``Outbox.add``; the parameters are those of ``Client.publish``."""
    if entity_id is not None and data is not None:
        data = {"payload": data}
    elif data is None:
        data = {}
    elif isinstance(data, collections.abc.Mapping):
        data = dict(data)
    else:
        raise ValueError("data is a mapping with an entity_id, or a payload beside entity_id=")
    for name, value in (("entity_id", entity_id), ("payload", payload), ("mutation_id", mutation_id)):
        if value is not None:
            data[name] = value
    if data.get("entity_id") in (None, ""):
        raise ValueError("an event needs an entity_id: which one of the topic's things it is about")
    whole = {"topic": topic, "event": event.value if isinstance(event, enum.Enum) else event, "data": data}
    for name, value in (("trace_id", trace_id), ("version", version)):
        if value is not None:
            whole[name] = value
    return _with_key(whole, key)


def _with_key(whole, key):
    key = key or uuid.uuid4().hex
    if len(key) > _KEY_MAX or not _TEXT.fullmatch(key):
        raise ValueError(f"a key is ASCII text of at most {_KEY_MAX} characters: it is a header")
    return {**whole, "key": key}


def _retry_after(headers, now):
    text = headers.get("retry-after")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, calendar.timegm(email.utils.parsedate(text)) - now)
    except (TypeError, ValueError, OverflowError):
        return None  # it is no date either


_CODES = {401: "unauthorized", 403: "forbidden_topic", 408: "unavailable", 413: "too_large", 429: "rate_limited"}


def _error_of(status, headers, answer):
    """Of the broker, or of what stands in between, whose answers are its own, even 200."""
    answer = answer if isinstance(answer, dict) else {}
    code = _CODES.get(status) or ("bad_request" if 400 <= status < 500 else "unavailable")
    after = answer.get("retry_after_ms")
    return HookwireError(
        answer.get("code", code), answer.get("message", f"no answer of a broker, but HTTP {status}"),
        answer.get("retryable", status < 300 or status in (408, 429) or status >= 500),
        after / 1000 if isinstance(after, (int, float)) else _retry_after(headers, time.time()), status)


class Client(_Forked):
    """Publishes to the broker at ``url``. Threads may share it; it keeps its connections open.

    token    a token, or a function that gives one; asked again, once, after a 401
    timeout  seconds that a publish may take in all, with what is tried again
    tls      an ssl.SSLContext; the system's authorities if absent
    """

    def __init__(self, url, token=None, *, timeout=10.0, tls=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a broker: http://host:port")
        self._parts, self._token, self._timeout = parts, token, timeout
        self._tls = tls or (ssl.create_default_context() if parts.scheme == "https" else None)
        self._remember()

    def _afresh(self):
        self._idle, self._lock = [], threading.Lock()

    def publish(self, topic, event_type, data=None, *, traceparent=None, timeout=None, **more):
        """Publishes one event; returns ``Published`` when the broker has stored it.

        data         a mapping with ``entity_id`` and ``payload``; or the payload, beside ``entity_id=``
        more         ``entity_id``, ``payload``, ``mutation_id`` (of an optimistic update), ``trace_id``, ``version``, ``key`` (made up if absent)
        traceparent  of W3C Trace Context: gives the event its trace_id
        Raises HookwireError.
        """
        whole = event(topic, event_type, data, **more)
        key = whole.pop("key")
        answer = self._post(whole, {"Idempotency-Key": key}, traceparent, timeout)
        return Published(answer.get("id"), answer.get("duplicate", False))

    def publish_many(self, events, *, traceparent=None, timeout=None):
        """Publishes what ``event()`` made, in order, by arrays as large as the broker takes them.

        Returns a list with a ``Published`` or a ``HookwireError`` for each. Those that the broker could not take just now are
        tried again, in their order, until the time is over, which each array has for itself.
        Raises HookwireError if there is no result for any; else it stands in the list for all that were still to be published.
        """
        events = [_with_key(one, one.get("key")) for one in events]
        results = []
        size = _AT_A_TIME
        while len(results) < len(events):
            part = events[len(results):len(results) + size]
            try:
                got = self._publish_array(part, traceparent, timeout)
                results += got
                size = min(_AT_A_TIME, size * 2)
                for late in got:
                    if isinstance(late, HookwireError) and late.retryable:
                        raise late  # what stands behind it would overtake it
            except HookwireError as error:
                if error.status == 413 and len(part) > 1:
                    size = len(part) // 2
                elif error.status == 413:
                    results.append(error)
                elif not results:
                    raise
                else:
                    return results + [error] * (len(events) - len(results))
        return results

    def close(self):
        """Closes idle connections. The client may be used again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _publish_array(self, events, traceparent, timeout):
        clock = _Clock(timeout or self._timeout)
        results, asked = [None] * len(events), list(range(len(events)))
        while True:
            try:
                answer = self._post([events[i] for i in asked], {}, traceparent, clock.left())
            except HookwireError as error:
                if results[asked[0]] is None:
                    raise
                for i in asked:
                    results[i] = error
                return results
            for i, one in zip(asked, answer["results"]):
                results[i] = Published(one.get("id"), one.get("duplicate", False)) if one.get("ok") else HookwireError(
                    one["code"], one.get("message", ""), one.get("retryable", False), one["retry_after_ms"] / 1000 if "retry_after_ms" in one else None)
            asked = [i for i in asked if isinstance(results[i], HookwireError) and results[i].retryable]
            if not asked or not clock.pause(max(results[i].retry_after or 0 for i in asked)):
                return results

    def _given_token(self, timeout):
        return self._token() if callable(self._token) else self._token

    def _headers(self, timeout):
        try:
            token = self._given_token(timeout)
        except Exception as error:
            raise HookwireError("unavailable", f"there is no token: {error!r}", True) from error
        if not token:
            return {}
        if not _TEXT.fullmatch(token.strip()):  # before it is put into a header, whose error would tell it
            raise HookwireError("unauthorized", "the token is none: it has characters that no header may have")
        return {"Authorization": f"Bearer {token.strip()}"}

    def _post(self, body, headers, traceparent, timeout):
        clock = _Clock(timeout or self._timeout)
        raw, refreshed = _encode(body), False

        def is_whole(answer):
            if not isinstance(body, list):
                return answer.get("ok") is True
            results = answer.get("results")
            return isinstance(results, list) and len(results) == len(body) and all(
                isinstance(one, dict) and (one.get("ok") is True or isinstance(one.get("code"), str)) for one in results)
        headers = {"Content-Type": "application/json", "User-Agent": f"hookwire-python/{__version__}", **headers}
        if traceparent:
            headers["traceparent"] = traceparent

        def left():
            return min(clock.left(), self._timeout)
        while True:
            try:
                return self._exchange(raw, {**headers, **self._headers(left())}, left(), is_whole)
            except HookwireError as error:
                if error.status == 401 and callable(self._token) and not refreshed:
                    refreshed = True
                    continue
                if not error.retryable or not clock.pause(error.retry_after):
                    raise

    def _exchange(self, raw, headers, timeout, is_whole):
        clock = _Clock(timeout)
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        is_new = connection is None
        connection = connection or self._connect(timeout)
        if connection.sock:
            connection.sock.settimeout(timeout)
        connection.response_class = lambda sock, *args, **more: _Answer(clock, sock, *args, **more)
        try:
            connection.request("POST", self._parts.path.rstrip("/") + "/publish", raw, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if not is_new and not isinstance(error, socket.timeout):  # it was closed while it was idle: that says nothing of the broker
                return self._exchange(raw, headers, clock.left(), is_whole)
            raise HookwireError("unavailable", f"the broker cannot be reached: {error}", True) from error
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if response.status in (200, 207) and isinstance(answer, dict) and is_whole(answer):
            return answer
        raise _error_of(response.status, response.headers, answer)

    def _connect(self, timeout):
        port = self._parts.port
        if self._tls:
            return http.client.HTTPSConnection(self._parts.hostname, port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._parts.hostname, port, timeout=timeout)


class _Clock:
    """The time that something may take, with pauses of random length that grow."""

    def __init__(self, seconds):
        self._end, self._tries = time.monotonic() + seconds, 0

    def left(self):
        return max(0.001, self._end - time.monotonic())

    def pause(self, advised):
        """Waits; False: there is no time left for another try."""
        seconds = random.uniform(0, min(5.0, 0.1 * 2 ** min(self._tries, 6)))
        if advised is not None:
            seconds = max(seconds, advised + random.uniform(0, advised / 2))
        self._tries += 1
        if time.monotonic() + seconds >= self._end:
            return False
        time.sleep(seconds)
        return True


class _Answer(http.client.HTTPResponse):
    """What comes until the time is over, however slowly: the timeout of a socket is of each read."""

    def __init__(self, clock, sock, *args, **more):
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_InTime(self.fp.detach(), sock, clock))


class _InTime(io.RawIOBase):
    def __init__(self, raw, sock, clock):
        self._raw, self._sock, self._clock = raw, sock, clock

    def readable(self):
        return True

    def readinto(self, buffer):
        self._sock.settimeout(self._clock.left())
        return self._raw.readinto(buffer)

    def close(self):
        self._raw.close()
        super().close()


class _AwaitingClient(Client):
    """What an AsyncClient has in its threads: its token may be given by an async function."""

    def _given_token(self, timeout):
        given = super()._given_token(timeout)
        if not asyncio.iscoroutine(given):
            return given
        loop = _LOOP.get(None)
        if not loop:  # the thread of an Outbox, which has none
            return asyncio.run(asyncio.wait_for(given, timeout))
        asked = asyncio.run_coroutine_threadsafe(given, loop)
        try:
            return asked.result(timeout)
        finally:
            asked.cancel()


class AsyncClient(_Forked):
    """``Client`` for asyncio: the same parameters, and the same methods to be awaited. Waiting is done in threads of its own.

    token may also be an async function; an Outbox runs it in an event loop of its own. A publish that is cancelled may be stored all the same.
    """

    def __init__(self, url, token=None, **more):
        self._client = _AwaitingClient(url, token, **more)
        self._remember()

    def _afresh(self):
        self._threads = None

    async def publish(self, topic, event_type, data=None, **more):
        """``Client.publish``, awaited."""
        return await self._run(self._client.publish, topic, event_type, data, **more)

    async def publish_many(self, events, **more):
        """``Client.publish_many``, awaited."""
        return await self._run(self._client.publish_many, events, **more)

    async def close(self):
        """Closes idle connections, and ends threads that have nothing to do. The client may be used again."""
        self._client.close()
        threads, self._threads = self._threads, None
        if threads:
            threads.shutdown(wait=False)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def _run(self, function, *args, timeout=None, **more):
        loop, clock, late = asyncio.get_running_loop(), _Clock(timeout or self._client._timeout), []
        self._threads = self._threads or concurrent.futures.ThreadPoolExecutor(_THREADS, "hookwire")
        context = contextvars.copy_context()
        context.run(_LOOP.set, loop)
        work = self._threads.submit(lambda: context.run(function, *args, timeout=clock.left(), **more))
        timer = loop.call_later(clock.left(), lambda: work.cancel() and late.append(True))  # what has begun sees to its time itself
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            if not late:
                raise
            raise HookwireError("unavailable", "too many are published at once: its turn did not come in time", True) from None
        finally:
            timer.cancel()


class Outbox(_Forked):
    """Publishes in the background, in order, what ``add`` takes; bounded. For what may be lost with the process, and not for money.

        with hookwire.Outbox(client) as outbox:  # or close() it before the process ends
            outbox.add("gift-list:family-123", "UPDATED", {"entity_id": "gift-456"})

    patience  seconds that an event waits for a broker that is away or busy
    on_error  called with an event and its HookwireError when it is given up
    """

    def __init__(self, client, *, size=10000, patience=60.0, on_error=None):
        self._client = client._client if isinstance(client, AsyncClient) else client
        self._size, self._patience, self._on_error = size, patience, on_error or (lambda event, error: None)
        self._closed = False
        self._remember()

    def _afresh(self):
        self._events, self._busy, self._thread, self._change = collections.deque(), False, None, threading.Condition()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def add(self, topic, event_type, data=None, **more):
        """Takes an event as it is now. False: the queue is full, or closed, and it is not taken."""
        whole = json.loads(_encode(event(topic, event_type, data, **more)))
        with self._change:
            if self._closed or len(self._events) >= self._size:
                return False
            self._events.append((whole, time.monotonic() + self._patience))
            if not self._thread:
                self._thread = threading.Thread(target=self._run, name="hookwire-outbox", daemon=True)
                self._thread.start()
            self._change.notify_all()
            return True

    def flush(self, timeout=10.0):
        """Waits until all that was added is published or given up. False: the time was over first."""
        with self._change:
            return self._change.wait_for(lambda: not self._events and not self._busy, timeout)

    def close(self, timeout=10.0):
        """``flush``, and then nothing is taken any more."""
        done = self.flush(timeout)
        with self._change:
            self._closed = True
            self._change.notify_all()
        if self._thread:
            self._thread.join(timeout)
        return done

    def _run(self):
        while True:
            with self._change:
                self._change.wait_for(lambda: self._events or self._closed)
                if not self._events:
                    return
                batch = list(itertools.islice(self._events, _BATCH))
                self._busy = True
            results = self._publish(batch)
            with self._change:
                done = list(itertools.islice(self._events, len(results)))
            for (one, _), result in zip(done, results):
                if isinstance(result, HookwireError):
                    try:
                        self._on_error(one, result)
                    except Exception:
                        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self._thread)))
            with self._change:
                for _ in done:
                    self._events.popleft()
                self._busy = False
                self._change.notify_all()

    def _publish(self, batch):
        """Its results; and those of events behind it that are given up with it."""
        timeout = max(self._client._timeout, batch[-1][1] - time.monotonic())
        try:
            return self._client.publish_many([one for one, _ in batch], timeout=timeout)
        except Exception as error:  # whatever it is, the thread lives on
            error = error if isinstance(error, HookwireError) else HookwireError("unavailable", repr(error))
            # what cannot wait until the broker may be asked again
            ask_again = time.monotonic() + (error.retry_after or 0) if error.retryable else 0
            with self._change:
                late = sum(end <= ask_again for _, end in self._events)
            return [error] * max(len(batch), late)


def fastapi_publisher(client):
    """A dependency of FastAPI: a publisher whose events carry the request's trace. For routes, WebSockets and background tasks.

        publisher = hookwire.fastapi_publisher(hookwire.AsyncClient(URL, token=TOKEN))

        @app.put("/gifts/{gift_id}")
        async def edit(gift_id: str, gift: Gift, publish=Depends(publisher)):
            ...  # commit first
            await publish("gift-list:family-123", "UPDATED", gift, entity_id=gift_id)
    """
    from fastapi.requests import HTTPConnection  # only who uses it needs it

    async def dependency(connection):
        traceparent = connection.headers.get("traceparent")

        def publish(topic, event_type, data=None, **more):
            return client.publish(topic, event_type, data, **{"traceparent": traceparent, **more})

        async def publish_async(*args, **more):
            return await publish(*args, **more)
        # background tasks wait for what is async by its definition only
        return publish_async if isinstance(client, AsyncClient) else publish
    dependency.__annotations__["connection"] = HTTPConnection
    return dependency


class _Object(dict):
    """A JSON object that remembers all of its members, also those that stand twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs


def _twice(whole):
    """The members of the envelope and of data that stand twice, in their order."""
    twice, seen = [], set()
    for name, value in whole.pairs:
        seen_inside = set()
        for inner, _ in value.pairs if name == "data" and isinstance(value, _Object) else ():
            if inner in seen_inside:
                twice.append("data." + _js_text(inner))
            seen_inside.add(inner)
        if name in seen:
            twice.append(_js_text(name))
        seen.add(name)
    return twice[:8]  # the rest is not told one by one


def _js_text(value):
    """As JavaScript's template literals print it: so validators everywhere say the same."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return ",".join("" if one is None else _js_text(one) for one in value)
    if isinstance(value, dict):
        return "[object Object]"
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(decimal.Decimal(repr(value or 0.0)).normalize(), "f")
    return re.sub("e([+-])0", r"e\1", repr(value)).replace("inf", "Infinity")


_ISO_8601 = re.compile(
    r"(\d{4}|[+-]\d{6})(?:-(\d\d)(?:-(\d\d))?)?(?:[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:[Zz]|([+-])(\d\d):?(\d\d))?)?", re.ASCII)


def _is_time(text):
    """ISO 8601 as JavaScript reads it, of days that exist."""
    match = isinstance(text, str) and _ISO_8601.fullmatch(text)
    if not match or match[1] == "-000000":
        return False
    year, month, day, hour, minute, second = (int(match[i] or default) for i, default in enumerate((0, 1, 1, 0, 0, 0), 1))
    fraction, zone = match[7] or "", (int(match[9] or 0), int(match[10] or 0))
    if minute > 59 or second > 59 or zone > (23, 59) or zone[1] > 59 or hour > 24 or (hour == 24 and (minute or second or fraction.strip("0"))):
        return False
    alike = 2000 + year % 400  # the calendar repeats
    try:
        days = datetime.date(alike, month, day).toordinal() - datetime.date(1970, 1, 1).toordinal() + (year - alike) // 400 * 146097
    except ValueError:
        return False
    ms = ((hour * 60 + minute) * 60 + second) * 1000 + int((fraction + "000")[:3])
    ms -= (zone[0] * 60 + zone[1]) * 60000 * (-1 if match[8] == "-" else 1)
    return abs(days * 86400000 + ms) <= 100000000 * 86400000  # what a Date of JavaScript holds


def _read_event(text):
    if isinstance(text, (bytes, bytearray)):
        text = text.decode("utf-8")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\[\s\S])*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > 64:
            raise ValueError("nested too deeply: more than 64 arrays and objects are open")

    def no_constant(name):
        raise ValueError(f"{name} is no JSON")
    return json.loads(text, object_pairs_hook=_Object, parse_int=float, parse_constant=no_constant)


def validate(event):
    """Is this an event that the broker takes? Returns its errors and its warnings, two lists of texts as `hookwire validate` prints them.

    event  a mapping, as it is published; or its JSON as str or bytes, in which members that stand twice are seen too
    """
    try:
        event = _read_event(event if isinstance(event, (str, bytes, bytearray)) else json.dumps(event, default=_plain, allow_nan=False))
    except ValueError as error:
        return [f"Invalid JSON: {error}"], []
    whole = event if isinstance(event, _Object) else _Object([])
    data = whole.get("data")
    missing = (None, False, 0, "")  # as the broker has it: it fills these
    inside = data if isinstance(data, dict) else {}
    topic, name, trace_id, version, entity_id, timestamp = (
        part.get(key) for part, key in ((whole, "topic"), (whole, "event"), (whole, "trace_id"), (whole, "version"), (inside, "entity_id"), (inside, "timestamp")))
    errors, warnings = [f"Duplicate member: {member}" for member in _twice(whole)], []

    def is_missing(value):
        return not isinstance(value, (list, dict)) and value in missing

    if is_missing(topic):
        errors.append("Missing required field: topic")
    elif isinstance(topic, (list, dict)):
        errors.append("topic must be a string")
    elif not isinstance(topic, str) or not re.fullmatch("[a-z][a-z0-9-]*:[a-z0-9-]+", topic):
        errors.append(f'Invalid topic format "{_js_text(topic)}". Expected: "{{resource}}:{{id}}" (e.g., "gift-list:123")')
    elif len(topic) > 255:
        errors.append("topic must not be longer than 255 bytes")
    if is_missing(name):
        errors.append("Missing required field: event")
    elif not isinstance(name, str):
        errors.append("event must be a string")
    elif re.search("[\ud800-\udfff]", name):
        errors.append("event must not hold half of a surrogate pair")
    elif not re.fullmatch("[A-Z_]+", name):
        warnings.append(f'Non-standard event type "{name}". Standard: ADDED, UPDATED, DELETED, STATUS_CHANGED')
    if is_missing(data):
        errors.append("Missing required field: data")
    else:
        if is_missing(entity_id):
            errors.append("Missing required field: data.entity_id")
        elif isinstance(entity_id, (list, dict)):
            errors.append("data.entity_id must be a string, not an array or object")
        if "payload" not in inside:
            warnings.append("Missing data.payload (optional but recommended)")
        if is_missing(timestamp):
            warnings.append("Missing data.timestamp (recommended for ordering)")
        elif not _is_time(timestamp):
            errors.append(f'Invalid timestamp "{_js_text(timestamp)}". Use ISO 8601 format.')
    if not is_missing(trace_id) and not isinstance(trace_id, str):
        errors.append("trace_id must be a string")
    elif not is_missing(trace_id) and re.search("[\ud800-\udfff]", trace_id):
        errors.append("trace_id must not hold half of a surrogate pair")
    if "version" in whole and not (isinstance(version, float) and version.is_integer() and version >= 1):
        errors.append("version must be a positive integer")
    return errors, warnings


class WebhookError(Exception):
    """A request is not what the broker's webhook plugin sent: answer 400 and do nothing."""


def _key_of(secret):
    text = secret[len("whsec_"):] if secret.startswith("whsec_") else secret
    key = base64.b64decode(text.rstrip("=") + "==")
    if len(key) < _SECRET_MIN:
        raise ValueError(f"a secret is whsec_ and at least {_SECRET_MIN} bytes in base64, as the broker's webhook plugin has it")
    return key


def verify_webhook(headers, body, secrets, tolerance=300, now=None):
    """The message of a webhook, as its `body` (bytes) says; raises WebhookError if it is not signed by one of ``secrets`` or too old.

    headers    a mapping, whatever the case of its names
    secrets    ``whsec_…``, or a list of them
    tolerance  seconds between its clock and ours
    """
    lower = {str(name).lower(): value for name, value in headers.items()}
    message_id, stamp, signatures = (lower.get("webhook-" + name, "") for name in ("id", "timestamp", "signature"))
    if not re.fullmatch("[0-9]{1,15}", stamp) or abs((time.time() if now is None else now) - int(stamp)) > tolerance:
        raise WebhookError("its time is missing or too far from ours")
    body = body.encode() if isinstance(body, str) else body
    signed = _header_bytes(f"{message_id}.{stamp}.") + body
    for key in map(_key_of, [secrets] if isinstance(secrets, str) else secrets):
        expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        if any([hmac.compare_digest(expected, _header_bytes(one)) for one in signatures.split()]):
            return json.loads(body)
    raise WebhookError("no signature of it is ours")


def _header_bytes(text):
    return text.encode("utf-8", "surrogateescape")  # as some servers give what is no UTF-8
