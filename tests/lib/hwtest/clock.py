"""A broker whose wall clock can be set, while its monotonic clock goes on."""
import contextlib
import mmap
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

from .broker import ROOT, Broker
from .token import mint


class WallClock:
    """The wall clock of the brokers that are started with its `env` (tests/lib/wall_clock.c). Use it as a context manager.

    off_s   how many seconds it is ahead of this machine's
    """

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hookwire-clock-"))
        library, place = self.dir / "wall_clock.so", self.dir / "off_ms"
        subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library,
                        ROOT / "tests/lib/wall_clock.c", "-ldl"], check=True)
        place.write_bytes(bytes(8))
        with open(place, "r+b") as file:
            self._off = mmap.mmap(file.fileno(), 8)
        self.off_s = 0
        self.env = {"LD_PRELOAD": str(library), "HOOKWIRE_WALL_CLOCK": str(place),
                    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:verify_asan_link_order=0"}
        return self

    def __exit__(self, *_):
        self._off.close()
        shutil.rmtree(self.dir)

    def jump(self, seconds):
        """Somebody sets it, ahead or (below 0) back."""
        self.off_s += seconds
        self._off[:8] = struct.pack("=q", self.off_s * 1000)

    def now(self):
        """What it says, in seconds since 1970."""
        return time.time() + self.off_s

    def mint(self, user, ttl, tenant="acme", **claims):
        """A token that ends in ttl seconds by this clock. When it was issued it does not say: a worker that has not seen it would refuse it as one
        from the future once the clock is set back."""
        return mint(user, tenant, exp=int(self.now()) + ttl, **{"iat": None, **claims})

    @contextlib.contextmanager
    def broker(self, config=None, **more):
        """A broker that goes by it."""
        with Broker(config, env=self.env, **more) as broker:
            yield broker
