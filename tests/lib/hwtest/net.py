"""One blocking socket with deadlines, under both the HTTP and the WebSocket client."""
import select
import socket
import ssl
import time

from .wait import scaled


def _encrypted(sock):
    """TLS on a connection, speaking HTTP/1.1. Whose certificate it is is no question between two programs of one test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    try:
        return context.wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


def open_socket(address, timeout=10.0, receive_buffer=None, source=None, mss=None):
    """Connects to "host:port", (host, port), "unix:/path" or "tls:host:port"; receive_buffer (bytes) makes a slow reader's window small.

    source: the address to come from; all of 127.0.0.0/8 is this machine's.
    mss: bytes of a segment; small ones make the peer's send buffer small, as a far network does and loopback does not.
    """
    if isinstance(address, str) and address.startswith("tls:"):
        return _encrypted(open_socket(address[len("tls:"):], timeout, receive_buffer, source, mss))
    if isinstance(address, str) and address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target = address[len("unix:"):]
    else:
        if isinstance(address, str):
            host, _, port = address.rpartition(":")
            address = (host.strip("[]"), int(port))
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target = address
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if mss:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
    if source:
        sock.bind((source, 0))
    sock.settimeout(scaled(timeout))
    sock.connect(target)
    return sock


class Stream:
    """Bytes in, bytes out. Reading past the end of what the peer sent raises EOFError, past the deadline TimeoutError."""

    def __init__(self, address, timeout=10.0, receive_buffer=None, source=None, mss=None):
        self.timeout = timeout
        self.sock = open_socket(address, timeout, receive_buffer, source, mss)
        self.buffer = b""
        self.ended = False

    def send(self, data, split=None, delay=0.0):
        """Sends bytes; with split, in pieces of that many bytes, `delay` seconds apart, each in its own segment."""
        if split is None:
            self.sock.sendall(data)
            return
        for start in range(0, len(data), split):
            self.sock.sendall(data[start:start + split])
            if delay:
                time.sleep(delay)

    def shutdown_write(self):
        """Half-closes: the peer reads the end, and can still answer."""
        self.sock.shutdown(socket.SHUT_WR)

    def read_more(self, timeout=None):
        """Waits for some bytes more and appends them to `buffer`."""
        if self.ended:
            raise EOFError(f"peer closed; unread: {self.buffer[:200]!r}")
        limit = scaled(self.timeout if timeout is None else timeout)
        self.sock.settimeout(max(limit, 0.001))
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        except socket.timeout:
            raise TimeoutError(f"nothing came for {limit} s; unread: {self.buffer[:200]!r}") from None
        if not data:
            self.ended = True
            raise EOFError(f"peer closed; unread: {self.buffer[:200]!r}")
        self.buffer += data

    def read_exactly(self, n, timeout=None):
        """The next n bytes."""
        while len(self.buffer) < n:
            self.read_more(timeout)
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read_until(self, mark, timeout=None):
        """All up to and with the mark."""
        while mark not in self.buffer:
            self.read_more(timeout)
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def read_to_end(self, timeout=None):
        """All that comes until the peer closes."""
        try:
            while True:
                self.read_more(timeout)
        except EOFError:
            data, self.buffer = self.buffer, b""
            return data

    def _readable(self, seconds):
        """Whether something comes within so many seconds; of a TLS record a part may have been read."""
        return (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0) or bool(select.select([self.sock], [], [], seconds)[0])

    def closed(self, timeout=5.0):
        """True when the peer closes within timeout seconds; what it still sends first stays readable."""
        deadline = time.monotonic() + scaled(timeout)
        while not self.ended:
            left = deadline - time.monotonic()
            if left <= 0 or not self._readable(left):
                return False
            try:
                self.read_more(0.5)
            except (EOFError, TimeoutError):
                pass
        return True

    def quiet(self, seconds=0.2):
        """True when nothing is unread and nothing (no byte, no close) comes for so long."""
        if self.buffer:
            return False
        return not self._readable(seconds)

    def close(self, reset=False):
        """Closes the socket; with reset, by RST."""
        if reset:
            self.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
