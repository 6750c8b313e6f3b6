"""A WebSocket client that checks what it gets strictly and can send anything, well-formed or not."""
import base64
import hashlib
import json
import os
import struct
import time
import urllib.parse

from .check import Failure, check
from .http import HttpConnection
from .wait import scaled

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Refused(Exception):
    """The upgrade was answered with something other than 101; .response is that answer."""

    def __init__(self, response):
        super().__init__(f"upgrade refused: {response!r}")
        self.response = response


class Closed(Exception):
    """The peer closed: .code (None without a close frame: 1006 as browsers say it, 1005 for an empty one) and .reason."""

    def __init__(self, code, reason=""):
        super().__init__(f"closed with {code} {reason!r}")
        self.code, self.reason = code, reason


class Frame:
    """One frame as it came."""

    def __init__(self, fin, rsv, opcode, payload):
        self.fin, self.rsv, self.opcode, self.payload = fin, rsv, opcode, payload

    def __repr__(self):
        return f"<frame fin={self.fin} rsv={self.rsv} opcode={self.opcode:#x} {self.payload[:200]!r}>"


def encode_frame(opcode, payload=b"", fin=True, rsv=0, mask=True, form=None, length=None, key=None):
    """The bytes of a frame. form: 7, 16 or 64 forces the width of the length; length: the length said instead of the true one."""
    if isinstance(payload, str):
        payload = payload.encode()
    said = len(payload) if length is None else length
    if form is None:
        form = 7 if said < 126 else 16 if said < 65536 else 64
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    bit = 0x80 if mask else 0
    if form == 7:
        head = struct.pack(">BB", first, bit | said)
    elif form == 16:
        head = struct.pack(">BBH", first, bit | 126, said)
    else:
        head = struct.pack(">BBQ", first, bit | 127, said)
    if not mask:
        return head + payload
    key = os.urandom(4) if key is None else key
    n = len(payload)
    stream = (key * (n // 4 + 1))[:n]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(n, "big")
    return head + key + masked


class WsClient:
    """An open WebSocket. `stream` is the raw connection under it, for whatever has no method here."""

    def __init__(self, address, path="/ws", token=None, protocols=None, headers=None, query=None, timeout=10.0,
                 receive_buffer=None, source=None):
        """Connects and upgrades; raises Refused when the answer is not 101.

        query: dict of further query members; token: the query's token; protocols: list for Sec-WebSocket-Protocol;
        source: the address to come from.
        """
        members = dict(query or {})
        if token is not None:
            members["token"] = token
        if members:
            path += ("&" if "?" in path else "?") + urllib.parse.urlencode(members)
        self.stream = HttpConnection(address, timeout, receive_buffer=receive_buffer, source=source)
        self.close_frame = None
        self.protocol = None
        self.pending = []  # frames read ahead by ping()
        try:
            self._upgrade(path, protocols, headers)
        except BaseException:
            self.stream.close()
            raise

    def _upgrade(self, path, protocols, headers):
        key = base64.b64encode(os.urandom(16)).decode()
        pairs = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                 ("Sec-WebSocket-Key", key)]
        if protocols:
            pairs.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
        pairs += list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        self.stream.send(self.stream.format("GET", path, pairs))
        self.response = self.stream.read_response()
        if self.response.status != 101:
            raise Refused(self.response)
        expected = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
        if self.response.header("Sec-WebSocket-Accept") != expected:
            raise Failure(f"wrong Sec-WebSocket-Accept: {self.response!r}")
        if (self.response.header("Upgrade") or "").lower() != "websocket":
            raise Failure(f"no Upgrade: websocket in {self.response!r}")
        self.protocol = self.response.header("Sec-WebSocket-Protocol")
        if self.protocol is not None and self.protocol not in (protocols or []):
            raise Failure(f"a sub-protocol that was not offered: {self.protocol}")

    # ---- sending

    def send_frame(self, opcode, payload=b"", **how):
        """Sends one frame; `how` as in encode_frame."""
        self.stream.send(encode_frame(opcode, payload, **how))

    def send_text(self, text, **how):
        """Sends a text message in one frame."""
        self.send_frame(TEXT, text, **how)

    def send_json(self, value):
        """Sends a value as one text message."""
        self.send_text(json.dumps(value, separators=(",", ":")))

    def send_close(self, code=1000, reason=""):
        """Starts (or answers) the close handshake; code None sends an empty close frame."""
        self.send_frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason.encode())

    # ---- receiving

    def recv_frame(self, timeout=None):
        """The next frame, checked against RFC 6455 5.2; Closed when the connection ended without one."""
        if self.pending:
            return self.pending.pop(0)
        return self._read_frame(timeout)

    def _peek(self, start, n, timeout):
        while len(self.stream.buffer) < start + n:
            self.stream.read_more(timeout)
        return self.stream.buffer[start:start + n]

    def _read_frame(self, timeout):
        # nothing is consumed before all of the frame is there, so that a deadline in the middle loses nothing
        try:
            b0, b1 = self._peek(0, 2, timeout)
            check(not b1 & 0x80, "a server's frame is masked")
            n, head = b1 & 0x7F, 2
            if n == 126:
                n, head = struct.unpack(">H", self._peek(2, 2, timeout))[0], 4
                check(n >= 126, "a length is not in its shortest form")
            elif n == 127:
                n, head = struct.unpack(">Q", self._peek(2, 8, timeout))[0], 10
                check(n >= 65536, "a length is not in its shortest form")
            payload = self._peek(head, n, timeout)
        except EOFError:
            raise self._closed() from None
        self.stream.buffer = self.stream.buffer[head + n:]
        frame = Frame(bool(b0 & 0x80), (b0 >> 4) & 7, b0 & 0xF, payload)
        check(frame.rsv == 0, f"reserved bits without an extension: {frame!r}")
        check(frame.opcode < 8 or (frame.fin and n < 126), f"a control frame that is long or in fragments: {frame!r}")
        if frame.opcode == CLOSE:
            check(len(payload) != 1, "a close frame with one byte")
            code = struct.unpack(">H", payload[:2])[0] if payload else 1005
            self.close_frame = (code, payload[2:].decode())
        return frame

    def _closed(self):
        return Closed(*self.close_frame) if self.close_frame else Closed(None)

    def recv(self, timeout=None):
        """The next message: str or bytes. Pings are answered, pongs passed over; a close raises Closed (and is answered)."""
        kind, parts = None, b""
        deadline = time.monotonic() + scaled(self.stream.timeout if timeout is None else timeout)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no message came in time")
            frame = self.recv_frame(left)
            if frame.opcode == PING:
                self.send_frame(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                self._answer_close()
                raise self._closed()
            elif frame.opcode in (TEXT, BINARY, CONTINUATION):
                check((kind is None) == (frame.opcode != CONTINUATION), f"a fragment out of order: {frame!r}")
                kind = frame.opcode if kind is None else kind
                parts += frame.payload
                if frame.fin:
                    return parts.decode() if kind == TEXT else parts

    def _answer_close(self):
        try:
            code = self.close_frame[0]
            self.send_close(None if code == 1005 else code)
        except OSError:
            pass

    def recv_json(self, timeout=None):
        """The next message, as JSON."""
        message = self.recv(timeout)
        check(isinstance(message, str), "JSON came in a binary message")
        return json.loads(message)

    def recv_where(self, match, timeout=10.0, skipped=None):
        """The next JSON message for which match(message) is true; match may be a dict of members that must be equal.

        Messages passed over are appended to `skipped` when it is given.
        """
        test = match if callable(match) else lambda m: all(m.get(k) == v for k, v in match.items())
        deadline = time.monotonic() + scaled(timeout)
        passed = []
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no message matched {match}; came: {passed!r}")
            try:
                message = self.recv_json(left)
            except TimeoutError:
                raise TimeoutError(f"no message matched {match}; came: {passed!r}") from None
            if test(message):
                return message
            passed.append(message)
            if skipped is not None:
                skipped.append(message)

    def recv_event(self, topic=None, timeout=10.0):
        """The next event (a message without `type`), of this topic when one is given."""
        return self.recv_where(
            lambda m: "type" not in m and (topic is None or m.get("topic") == topic), timeout)

    def drain(self, seconds=0.3):
        """All JSON messages that come until it has been quiet for so long."""
        got = []
        while True:
            try:
                got.append(self.recv_json(seconds))
            except TimeoutError:
                return got

    def expect_close(self, code, timeout=10.0):
        """Reads until the peer closes; fails unless with this code, and unless the socket ends afterwards."""
        deadline = time.monotonic() + scaled(timeout)
        try:
            while time.monotonic() < deadline:
                self.recv(deadline - time.monotonic())
            raise TimeoutError("no close came in time")
        except Closed as closed:
            if closed.code != code:
                raise Failure(f"closed with {closed.code} {closed.reason!r}, expected {code}") from None
            check(self.stream.closed(timeout), "the socket stays open after the close handshake")
            return closed

    # ---- requests of the protocol

    def request(self, message, timeout=10.0, skipped=None):
        """Sends a message with a fresh `id` (unless it has one) and returns the answer that carries it."""
        message = dict(message)
        message.setdefault("id", "r" + os.urandom(4).hex())
        self.send_json(message)
        return self.recv_where({"id": message["id"]}, timeout, skipped)

    def subscribe(self, *topics, timeout=10.0):
        """Subscribes and fails unless every topic is granted; returns the reply."""
        reply = self.request({"type": "subscribe", "topics": list(topics)}, timeout)
        check(reply.get("type") == "reply" and all(t.get("ok") for t in reply.get("topics", {}).values())
              and len(reply.get("topics", {})) == len(topics), f"not subscribed: {reply!r}")
        return reply

    def ping(self, timeout=10.0):
        """A round trip by an RFC ping: what was sent before it has been read by the broker. What comes meanwhile stays to be received."""
        mark = os.urandom(8)
        self.send_frame(PING, mark)
        while True:
            frame = self._read_frame(timeout)
            if frame.opcode == PONG and frame.payload == mark:
                return
            if frame.opcode == CLOSE:
                raise self._closed()
            self.pending.append(frame)

    def close(self, code=1000, timeout=5.0):
        """The close handshake, then the socket; returns the peer's close code."""
        try:
            if self.close_frame is None:
                self.send_close(code)
                while self.close_frame is None:
                    self.recv_frame(timeout)
        except (OSError, Closed):
            pass
        self.stream.close()
        return self.close_frame and self.close_frame[0]

    def abort(self):
        """Resets the connection."""
        self.stream.close(reset=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.stream.close()
