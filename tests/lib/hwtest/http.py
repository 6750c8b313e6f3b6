"""An HTTP/1.1 client over one raw socket: it pipelines, splits, and sends what no library would."""
import json
import re

from .check import Failure
from .net import Stream


class Response:
    """One answer: status, reason, headers (list of pairs, names as sent), body."""

    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def header(self, name, default=None):
        """The value of a header, whatever the case of its name; fails when it is there twice."""
        values = [v for k, v in self.headers if k.lower() == name.lower()]
        if len(values) > 1:
            raise Failure(f"header {name} came {len(values)} times: {values!r}")
        return values[0] if values else default

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:300]!r}>"


class HttpConnection(Stream):
    """A connection on which requests are written and answers are read as one likes."""

    def __init__(self, address, timeout=10.0, **kw):
        super().__init__(address, timeout, **kw)
        self.host = address.removeprefix("tls:") if isinstance(address, str) and not address.startswith("unix:") else "localhost"

    def format(self, method, path, headers=None, body=b"", host=None):
        """The bytes of a request. headers: dict or list of pairs; Host and Content-Length are added unless given."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        names = {k.lower() for k, _ in pairs}
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, (bytes, bytearray)):
            body = json.dumps(body, separators=(",", ":")).encode()
            if "content-type" not in names:
                pairs.append(("Content-Type", "application/json"))
        if "host" not in names:
            pairs.insert(0, ("Host", host or self.host))
        if "content-length" not in names and "transfer-encoding" not in names and (body or method == "POST"):
            pairs.append(("Content-Length", str(len(body))))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in pairs) + "\r\n"
        return head.encode("latin-1") + bytes(body)

    def request(self, method, path, headers=None, body=b"", timeout=None):
        """Sends a request and reads its answer."""
        self.send(self.format(method, path, headers, body))
        return self.read_response(method, timeout)

    def read_response(self, method="GET", timeout=None):
        """Reads the next answer, strictly: a wrong length or a malformed head is a Failure."""
        head = self.read_until(b"\r\n\r\n", timeout).decode("latin-1")
        lines = head[:-4].split("\r\n")
        status_line = re.fullmatch(r"HTTP/1\.1 (\d{3})(?: (.*))?", lines[0])
        if not status_line:
            raise Failure(f"not a status line: {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            pair = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", line)
            if not pair or "\n" in line or "\r" in line:
                raise Failure(f"not a header line: {line!r}")
            headers.append((pair[1], pair[2]))
        response = Response(int(status_line[1]), status_line[2] or "", headers, b"")
        if response.status == 100:
            return self.read_response(method, timeout)
        response.body = self._read_body(method, response, timeout)
        return response

    def _read_body(self, method, response, timeout):
        if method == "HEAD" or response.status in (101, 204, 304) or (method == "CONNECT" and response.status < 300):
            return b""
        coding, length = response.header("Transfer-Encoding"), response.header("Content-Length")
        if coding is not None and length is not None:
            raise Failure("an answer with both Content-Length and Transfer-Encoding")
        if coding is not None:
            return self._read_chunked(timeout)
        if length is not None:
            return self.read_exactly(int(length), timeout)
        return self.read_to_end(timeout)

    def _read_chunked(self, timeout):
        body = b""
        while True:
            size = int(self.read_until(b"\r\n", timeout)[:-2].split(b";")[0], 16)
            if size == 0:
                while self.read_until(b"\r\n", timeout) != b"\r\n":
                    pass
                return body
            body += self.read_exactly(size, timeout)
            if self.read_exactly(2, timeout) != b"\r\n":
                raise Failure("a chunk does not end where its size says")


def http(address, method, path, headers=None, body=b"", token=None, timeout=10.0, source=None):
    """One request on a connection of its own, from source if given; token becomes a bearer Authorization."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    if token is not None:
        pairs.append(("Authorization", "Bearer " + token))
    with HttpConnection(address, timeout, source=source) as connection:
        return connection.request(method, path, pairs, body)


def parse_status(text):
    """The status of a raw answer, None when it is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3})[ \r]", text)
    return int(found[1]) if found else None
