"""`curl -N` on streams of events: how people look at them, and a client of HTTP/2."""
import pathlib
import shutil
import subprocess
import tempfile

from .sse import SseParser
from .wait import scaled, wait_until

_MAX_S = 60


class _Answer:
    """What curl wrote of one answer so far: the head, then messages."""

    def __init__(self, path):
        self.path, self.head, self.parser = path, None, SseParser()
        self._n_read, self._text = 0, b""

    def read_on(self):
        """Takes what was written since."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._n_read)
            data = file.read()
        self._n_read += len(data)
        if self.head is None:
            self._text += data
            head, end, data = self._text.partition(b"\r\n\r\n")
            if not end:
                return
            self.head = head.decode("latin-1").lower()
        self.parser.feed(data)


class Curl:
    """curl following `paths` of `url` ("http://…", "https://…"), all at once if there are several; leaving it ends it.

    token      a bearer token
    arguments  further ones of curl's, as "--http2"
    """

    def __init__(self, url, paths, token, *arguments):
        paths = [paths] if isinstance(paths, str) else list(paths)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hookwire-curl-"))
        self.answers = [_Answer(self.dir / str(n)) for n in range(len(paths))]
        command = ["curl", "-sNki", "--no-progress-meter", "--max-time", str(int(scaled(_MAX_S))), "-H", f"Authorization: Bearer {token}", *arguments]
        if len(paths) > 1:
            command += ["--parallel", "--parallel-max", str(len(paths))]
        for answer, path in zip(self.answers, paths):
            command += ["-o", str(answer.path), url + path]
        self.process = subprocess.Popen(command)

    def wait(self, condition, timeout=10, what="what curl prints"):
        """Waits until condition(parser) holds for every stream."""
        def holds():
            for answer in self.answers:
                answer.read_on()
            return all(condition(answer.parser) for answer in self.answers)
        wait_until(holds, timeout, what)

    def begin(self):
        """Waits until all are live; returns self."""
        self.wait(lambda p: any(m.name == "cursor" for m in p.messages), what="curl to be live")
        return self

    def events(self):
        """The events so far, of each stream."""
        return [[m.json() for m in answer.parser.messages if m.name == "message"] for answer in self.answers]

    def wait_events(self, n):
        """Waits until each stream has brought n events."""
        self.wait(lambda p: sum(m.name == "message" for m in p.messages) >= n, what=f"event {n} in curl")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir)
