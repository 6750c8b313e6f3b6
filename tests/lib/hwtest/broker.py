"""The real binary, with a configuration of the test's own, on ports of its own."""
import contextlib
import copy
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading

from .check import Failure, check
from .http import http
from .token import SECRET, mint
from .wait import scaled, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
ADMIN_TOKEN = "functional-test-admin-token-0123456789"
# What a call of a test's policy may take. The broker's own 2 ms are not enough on a busy machine, whose kernel and hypervisor charge a thread
# with time that others had: the call is ended, and the test hears `unavailable`. A test of budgets gives its entries one, such as tight().
CALM_CPU_MS = 200
MOST_CPU_MS = 1000  # that a configuration may say
_REPORT = re.compile(
    r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:|UndefinedBehaviorSanitizer")

# Everybody of a tenant may subscribe and publish; nobody may subscribe to `secret:…`.
OPEN_POLICY = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic) if topic.resource == "secret" then return deny("forbidden_topic") end return allow() end,
    wildcard = function(s, topic) return allow() end,
    publish = function(s, topic) if s.claims.backend then return allow { act_as = true } end return allow() end,
  },
}
"""


class BrokerDied(Failure):
    """The broker ended, or never became ready."""


def binary():
    """The broker under test: HOOKWIRE_BIN (set by ctest and by --hookwire), else the build tree's."""
    return os.environ.get("HOOKWIRE_BIN", str(ROOT / "build" / "hookwire"))


def cli(*args, stdin=None, env=None, timeout=30.0, cwd=None):
    """Runs a sub-command to its end: .returncode, .stdout and .stderr as text."""
    return subprocess.run(
        [binary(), *map(str, args)], input=stdin, env={**_environment(), **(env or {})}, cwd=cwd,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=scaled(timeout), encoding="utf-8",
        stdin=subprocess.DEVNULL if stdin is None else None)


def base_config():
    """A small configuration: one listener and an admin listener on free ports, HS256 tokens of SECRET, an open policy.

    It is a fresh dict each time; change what the test is about.
    """
    return {
        "listen": ["127.0.0.1:0"],
        "admin": {"listen": "127.0.0.1:0", "token": "${HOOKWIRE_ADMIN_TOKEN}"},
        "workers": 1,
        "log": {"level": "debug", "format": "text"},
        "hooks": [{
            "name": "jwt", "plugin": "jwt",
            "config": {"keys": [{"alg": "HS256", "secret": "${HOOKWIRE_JWT_SECRET}"}],
                       "claims": {"user_id": "sub", "tenant_id": "tenant_id"}},
        }],
        "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}]}},
        "drain_ms": 100,
    }


def merge(base, change):
    """A copy of base with the members of change laid over it, dict by dict; a member given as None is taken away."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def tight():
    """The "budget" of an entry that is to be ended as soon as it is where it is shipped; in a slow build, as soon as is fair."""
    return {"cpu_ms": int(scaled(2))}


def _calm(config):
    """The configuration, with budgets that no busy machine uses up. Text stays as it is, and so do entries that say "cpu_ms"."""
    if not isinstance(config, dict):
        return config
    config = copy.deepcopy(config)
    chains = [config, *config.get("tenants", {}).values()]
    for entry in (entry for chain in chains for entry in chain.get("hooks", [])):
        if "lua" in entry:
            entry.setdefault("budget", {}).setdefault("cpu_ms", min(MOST_CPU_MS, int(scaled(CALM_CPU_MS))))
    return config


def _environment():
    env = dict(os.environ)
    env.setdefault("HOOKWIRE_JWT_SECRET", SECRET)
    env.setdefault("HOOKWIRE_ADMIN_TOKEN", ADMIN_TOKEN)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:allocator_may_return_null=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    return env


class Broker:
    """A running broker. Use it as a context manager: leaving it stops the broker and fails unless it ended as it should.

    config   laid over base_config() (see merge), or the whole configuration when `whole` is true
    files    name -> text of further files beside the configuration (policies, tenants.d/…); open.lua is always there
    env      further environment members
    args     further arguments of `hookwire serve`
    prefix   command in front of the binary (a list), to limit resources and the like
    program  instead of the binary under test
    """

    def __init__(self, config=None, files=None, env=None, args=(), whole=False, prefix=(), program=None, timeout=15.0):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hookwire-test-"))
        self.config = copy.deepcopy(config) if whole else merge(base_config(), config or {})
        self.process = None
        self.listening, self.admin_address = [], None
        self._stdout, self._ready, self._said_ready = [], threading.Event(), False
        self._log_path = self.dir / "broker.log"
        self._checked = False
        try:
            self.write_file("open.lua", OPEN_POLICY)
            for name, text in (files or {}).items():
                self.write_file(name, text)
            self.write_config()
            self._start([*prefix, program or binary(), "serve", "-c", str(self.dir / "hookwire.json"), *args], env or {}, timeout)
        except BaseException:
            self._kill()
            self._forget()
            raise

    # ---- life

    def _start(self, command, env, timeout):
        with open(self._log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.dir, env={**_environment(), **env}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log)
        self._reader = threading.Thread(target=self._read_stdout, daemon=True)
        self._reader.start()
        self._ready.wait(scaled(timeout))
        if self._ready.is_set() and not self._said_ready:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(scaled(5))  # it closed its output: it is ending
        if not self._said_ready or self.process.poll() is not None:
            state = f"ended with {self.process.returncode}" if self.process.poll() is not None else "is not ready"
            raise BrokerDied(f"the broker {state}; stdout {self._stdout!r}, stderr:\n{self.log()[-4000:]}")

    def _read_stdout(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self._stdout.append(text)
            if text.startswith("hookwire: listening on "):
                self.listening.append(text[len("hookwire: listening on "):])
            elif text.startswith("hookwire: admin on "):
                self.admin_address = text[len("hookwire: admin on "):]
            elif text == "hookwire: ready":
                self._said_ready = True
                self._ready.set()
        self._ready.set()

    def stop(self, timeout=15.0, code=0):
        """SIGTERM, then waits; fails unless the exit code is `code` and no sanitizer reported anything."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(scaled(timeout))
        except subprocess.TimeoutExpired:
            self._kill()
            raise BrokerDied(f"the broker did not end within {timeout} s of SIGTERM:\n{self.log()[-4000:]}") from None
        self._reader.join(5)
        self._checked = True
        self.check_sanitizers()
        if self.process.returncode != code:
            raise BrokerDied(f"the broker ended with {self.process.returncode}, expected {code}:\n{self.log()[-4000:]}")

    def check_sanitizers(self):
        """Fails when a sanitizer wrote a report."""
        text = self.log()
        found = _REPORT.search(text)
        if found:
            raise BrokerDied("a sanitizer's report:\n" + text[max(0, found.start() - 500):found.start() + 6000])

    def sigterm(self):
        """Begins the drain and returns at once; stop() afterwards waits and checks."""
        self.process.send_signal(signal.SIGTERM)

    def sighup(self):
        """Asks for a reload and returns at once; wait for what it changes."""
        self.process.send_signal(signal.SIGHUP)

    def alive(self):
        """True while the process runs."""
        return self.process.poll() is None

    def _kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _forget(self):
        if os.environ.get("HOOKWIRE_KEEP"):
            print(f"kept: {self.dir}", flush=True)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        try:
            if kind is None:
                if not self._checked:
                    self.stop()
            else:
                self._kill()
                print(f"---- the broker's log, last lines:\n{self.log()[-6000:]}----", flush=True)
        finally:
            self._kill()
            self._forget()

    # ---- addresses, files

    @property
    def address(self):
        """host:port of the first listener."""
        return self.listening[0]

    @property
    def pid(self):
        """The process id."""
        return self.process.pid

    def stdout(self):
        """The lines that the broker printed so far."""
        return list(self._stdout)

    def write_file(self, name, text):
        """Writes a file beside the configuration as an editor does (new file, rename); returns its path."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        draft.write_text(text if isinstance(text, str) else json.dumps(_calm(text), indent=2))
        draft.rename(path)
        return path

    def write_config(self, config=None):
        """Writes the configuration (a dict, or text); nothing is reloaded yet."""
        if config is not None:
            self.config = config
        return self.write_file("hookwire.json", self.config)

    # ---- what it says

    def log(self):
        """The whole log (stderr) so far."""
        try:
            return self._log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def log_mark(self):
        """A mark for wait_log(since=): only what is logged from now on counts."""
        return len(self.log())

    def wait_log(self, pattern, timeout=10.0, since=0):
        """Waits for a match of the regular expression in the log; returns the match."""
        return wait_until(
            lambda: re.compile(pattern, re.MULTILINE).search(self.log(), since), timeout, f"{pattern!r} in the log")

    def metrics(self):
        """All samples of /metrics: {"name{label=\"value\"}": number}."""
        answer = http(self.admin_address, "GET", "/metrics", token=ADMIN_TOKEN)
        check(answer.status == 200, f"/metrics answered {answer!r}")
        samples = {}
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    def metric(self, name, **labels):
        """The sum of a metric's samples whose labels hold all of these; 0 when there is none."""
        total = 0.0
        for sample, value in self.metrics().items():
            bare, _, rest = sample.partition("{")
            if bare == name and all(f'{k}="{v}"' in rest for k, v in labels.items()):
                total += value
        return total

    def token(self, user="u1", tenant="acme", **claims):
        """A token that base_config() accepts."""
        return mint(user, tenant, **claims)

    def publish(self, topic, event="UPDATED", data=None, token=None, user="backend", tenant="acme", headers=None, **members):
        """POST /publish of one event, by a back end's token unless one is given; returns the Response."""
        body = {"topic": topic, "event": event, "data": data or {"entity_id": "e1", "payload": {}}, **members}
        return http(self.address, "POST", "/publish", headers, body,
                    token or mint(user, tenant, backend=True))

    def fds(self):
        """How many descriptors the broker has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def plugin_cache(self):
        """The directory that its plugins are mapped from."""
        maps = pathlib.Path(f"/proc/{self.pid}/maps").read_text()
        return pathlib.Path(re.search(r"(/\S+)/[0-9a-f]{64}\.so$", maps, re.MULTILINE)[1])

    def rss_bytes(self):
        """Resident memory."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Failure("no VmRSS")
