"""A network of the test's own that can be cut: what is far is reached over a link that goes down, without a word to either end.

The whole test runs in a network namespace of its own (`main_apart`, instead of `main`), whose loopback and broker nobody else sees; the
far side is another one.
"""
import ctypes
import os
import shutil
import subprocess
import sys
import threading

from .run import SKIPPED, main_of
from .wait import in_background

NEAR, FAR = "192.0.2.1", "192.0.2.2"  # TEST-NET-1: of no network that there is
_CLONE_NEWNET = 0x40000000
_APART = "HOOKWIRE_TEST_APART"
_libc = ctypes.CDLL(None, use_errno=True)


def _unshare():
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def main_apart():
    """The end of a test file that needs a network of its own: main() in a new network namespace."""
    scope = sys._getframe(1).f_globals
    if scope["__name__"] != "__main__":
        return
    if os.environ.get(_APART):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        main_of(scope)
    may = shutil.which("ip") and subprocess.run([*_unshare(), "true"], capture_output=True, check=False).returncode == 0
    if not may:
        print("NOT RUN: this process may make no network of its own", flush=True)
        sys.exit(SKIPPED)
    command = _unshare()
    os.execvpe(command[0], [*command, sys.executable, *sys.argv], {**os.environ, _APART: "1"})


def _check(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Far:
    """The far side. A broker that listens on NEAR is reached from there. Use it as a context manager."""

    def __enter__(self):
        self._begin()
        return self

    def _begin(self):
        def make():
            _check(_libc.unshare(_CLONE_NEWNET))
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        self._fd = in_background(make)()
        self._ip("link add near0 type veth peer name far0")
        self._ip(f"link set far0 netns /proc/{os.getpid()}/fd/{self._fd}")
        self._ip(f"addr add {NEAR}/30 dev near0")
        self._ip("link set near0 up")
        self.run(self._ip, f"addr add {FAR}/30 dev far0")
        self.up()

    @staticmethod
    def _ip(arguments):
        subprocess.run(["ip", *arguments.split()], check=True)

    def run(self, function, *arguments):
        """Calls function(*arguments) on the far side: sockets that it opens, and programs that it starts, are there."""
        def there():
            _check(_libc.setns(self._fd, _CLONE_NEWNET))
            return function(*arguments)

        return in_background(there)()

    def down(self):
        """The link is cut, at its far end."""
        self.run(self._ip, "link set far0 down")

    def up(self):
        """The link is there, again."""
        self.run(self._ip, "link set far0 up")

    def __exit__(self, *_):
        self._ip("link del near0")
        os.close(self._fd)
