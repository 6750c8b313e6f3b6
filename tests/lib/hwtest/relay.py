"""What stands between clients and a server, looks on, and cuts."""
import contextlib
import socket
import threading


class Link:
    """A client's connection through a relay, and the relay's own to the server."""

    def __init__(self, client, server):
        self.client, self.server = client, server

    def end(self):
        """Ends both."""
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Relay:
    """Passes on what clients and the server at `upstream` ("host:port") say to each other. Use it as a context manager.

    A subclass may overrule through().
    """

    def __init__(self, upstream):
        host, _, port = upstream.rpartition(":")
        self.upstream, self.links = (host, int(port)), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def through(self, link, data, answers):
        """What is passed on of some bytes of the client, or of the server (answers). Where it is less than all, the link ends behind it."""
        return data

    def cut(self):
        """Ends all connections that there are."""
        links, self.links = self.links, []
        for link in links:
            link.end()

    def _run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                link = Link(client, socket.create_connection(self.upstream))
            except OSError:
                client.close()
                continue
            self.links.append(link)
            for answers in (False, True):
                threading.Thread(target=self._copy, args=(link, answers), daemon=True).start()

    def _copy(self, link, answers):
        source, target = (link.server, link.client) if answers else (link.client, link.server)
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed = self.through(link, data, answers)
                target.sendall(passed)
                if len(passed) < len(data):
                    break
        link.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
