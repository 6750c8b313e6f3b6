"""An EventSource over one raw socket, by the letter of the WHATWG's text (HTML 9.2), that keeps what a real one hides."""
import json
import time
import urllib.parse
import zlib

from .check import Failure, check
from .http import HttpConnection, Response
from .wait import scaled


class SseMessage:
    """What an EventSource dispatches: name ("message" without one), data as it came, the last event id then."""

    def __init__(self, name, data, id_):
        self.name, self.data, self.id = name, data, id_

    def json(self):
        """Its data as JSON."""
        return json.loads(self.data)

    def __repr__(self):
        return f"<{self.name} {self.id} {self.data[:160]}>"


class SseParser:
    """Bytes in, messages out."""

    def __init__(self, last_id=""):
        self.rest, self.messages = b"", []
        self.last_id, self.retry_ms, self.n_comments, self.n_bare_ids = last_id, None, 0, 0
        self._id, self._data, self._name = last_id, [], ""

    def feed(self, data):
        """Takes bytes, as many as came."""
        self.rest += data
        while True:
            end = self.rest.find(b"\n")
            if end < 0:
                return
            line, self.rest = self.rest[:end], self.rest[end + 1:]
            check(b"\r" not in line, f"a carriage return in a line: {line[:80]!r}")
            self._line(line.decode())

    def _line(self, line):
        if line == "":
            self._n_bare(self._id)
            self.last_id = self._id
            if self._data:
                self.messages.append(SseMessage(self._name or "message", "\n".join(self._data), self.last_id))
            self._data, self._name = [], ""
            return
        name, colon, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if colon and not name:
            self.n_comments += 1
        elif name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value
        elif name == "retry":
            check(value.isascii() and value.isdigit(), f"retry: {value!r}")
            self.retry_ms = int(value)
        else:
            raise Failure(f"a field that nobody knows: {line[:80]!r}")

    def _n_bare(self, id_):
        self.n_bare_ids += not self._data and id_ != self.last_id


class _Chunks:
    """What a proxy may make of the stream: the chunked coding (RFC 9112 7.1), taken off again."""

    def __init__(self):
        self.rest, self.left, self.last = b"", 0, False

    def feed(self, data):
        """Takes bytes of the connection; returns those of the stream. `last` is set with its end."""
        self.rest += data
        out = b""
        while self.rest:
            if self.left:
                piece = self.rest[:self.left]
                self.rest, self.left = self.rest[len(piece):], self.left - len(piece)
                out += piece
                continue
            line, mark, rest = self.rest.lstrip(b"\r\n").partition(b"\r\n")
            if not mark:
                break
            self.rest, self.left = rest, int(line, 16)
            self.last = self.last or self.left == 0
        return out


class SseRefused(Failure):
    """The answer was no stream; .response is the whole of it."""

    def __init__(self, response):
        super().__init__(f"refused: {response!r}")
        self.response = response


class SseClient:
    """GET /sse. Messages are read with recv and its kin; `head` is the answer's. A refusal raises SseRefused.

    topics    of the query
    cursor    of the query; last_id goes into Last-Event-ID
    token     a bearer token
    """

    def __init__(self, address, topics, token=None, cursor=None, last_id=None, headers=(), query=None, timeout=10.0, **kw):
        pairs = {"topics": topics, **({"cursor": cursor} if cursor else {}), **(query or {})}
        headers = list(headers)
        if token:
            headers.append(("Authorization", "Bearer " + token))
        if last_id is not None:
            headers.append(("Last-Event-ID", last_id))
        self.connection = HttpConnection(address, timeout, **kw)
        self.timeout = timeout
        self.parser = SseParser(last_id or "")
        self.connection.send(self.connection.format("GET", "/sse?" + urllib.parse.urlencode(pairs, safe=":,*"), headers))
        self.head = self._read_head()
        self._chunks = _Chunks() if self.head.header("Transfer-Encoding") == "chunked" else None
        self._gzip = zlib.decompressobj(31) if self.head.header("Content-Encoding") == "gzip" else None
        self.n_bytes = 0  # of the stream, as they came

    @property
    def whole(self):
        """A compressed stream was ended as it has to be."""
        return self._gzip.eof

    def _feed(self):
        data, self.connection.buffer = self.connection.buffer, b""
        data = self._chunks.feed(data) if self._chunks else data
        self.n_bytes += len(data)
        self.parser.feed(self._gzip.decompress(data) if self._gzip else data)

    def _read_head(self):
        text = self.connection.read_until(b"\r\n\r\n").decode("latin-1")
        lines = text[:-4].split("\r\n")
        _, status, reason = lines[0].split(" ", 2)
        head = Response(int(status), reason, [tuple(line.split(": ", 1)) for line in lines[1:]], b"")
        if head.status != 200:
            length = head.header("Content-Length")
            head.body = self.connection.read_exactly(int(length)) if length else self.connection.read_to_end()
            self.connection.close()
            raise SseRefused(head)
        return head

    @property
    def last_id(self):
        """What it would come back with."""
        return self.parser.last_id

    def _more(self, timeout):
        if self._chunks and self._chunks.last:
            raise EOFError("the stream ended; the connection did not")
        self.connection.read_more(timeout)
        self._feed()

    def read_until(self, condition, timeout=None, what="a condition of the stream"):
        """Reads on until condition(parser) is true."""
        deadline = time.monotonic() + scaled(self.timeout if timeout is None else timeout)
        if self.connection.buffer:
            self._feed()
        while not condition(self.parser):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"still waiting for {what}")
            try:
                self._more(left / scaled(1))
            except TimeoutError:
                raise TimeoutError(f"still waiting for {what}; unread: {self.parser.messages[:3]}") from None

    def recv(self, name=None, timeout=None):
        """The next message, or the next of that name: what comes before it is dropped."""
        while True:
            self.read_until(lambda p: p.messages, timeout, f"a message {name or ''}")
            message = self.parser.messages.pop(0)
            if name is None or message.name == name:
                return message

    def recv_event(self, timeout=None):
        """The next event: a message without a name, as JSON. Another one before it is a failure, but for the cursor."""
        message = self.recv(timeout=timeout)
        if message.name == "cursor":
            message = self.recv(timeout=timeout)
        check(message.name == "message", f"an event was awaited, there came {message!r}")
        return message.json()

    def begin(self):
        """Waits until it is live; returns self."""
        self.recv("cursor")
        return self

    def closed(self, timeout=10.0):
        """The data of the `closed` message, behind which the stream has to end."""
        data = self.recv("closed", timeout).json()
        check(self.ended(timeout), "the stream goes on behind closed")
        return data

    def ended(self, timeout=10.0):
        """True when the stream ends in time: with its connection, or, from a proxy that keeps it, with the last chunk."""
        deadline = time.monotonic() + scaled(timeout)
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._more(left / scaled(1))
            except EOFError:
                return True
            except TimeoutError:
                return False
        return False

    def abort(self):
        """Goes by RST."""
        self.connection.close(reset=True)

    def close(self):
        """Goes."""
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
