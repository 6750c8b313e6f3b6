"""A journal plugin for tests, tests/lib/journal_plugin.c: it can be held, and made to fail."""
import pathlib
import shutil
import subprocess
import tempfile

from .broker import ROOT, Broker, merge

ALLOW = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000}}}}


class Journal:
    """A directory with tests/lib/journal_plugin.c, its file, and what is to go wrong; retains: it is asked what is to be kept."""

    def __init__(self, retains=False):
        self.flags = ["-DRETAINS"] if retains else []

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hookwire-journal-"))
        self.plugin = self.dir / "test-journal.so"
        subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", "-pthread",
                        f"-I{ROOT / 'core/include'}", *self.flags, "-o", self.plugin, ROOT / "tests/lib/journal_plugin.c"], check=True)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def broker(self, config=None, keep=None, epoch=None, **more):
        settings = {"dir": str(self.dir)}
        if keep is not None:
            settings["keep"] = keep
        if epoch is not None:
            settings["epoch"] = epoch
        return Broker(merge(merge(ALLOW, {"journal": {"plugin": str(self.plugin), "config": settings}}), config or {}), **more)

    def set(self, name):
        (self.dir / name).touch()

    def clear(self, name):
        (self.dir / name).unlink()

    def lines(self):
        return (self.dir / "journal").read_text().splitlines()
