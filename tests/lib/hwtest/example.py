"""The examples in docs/examples: built as their README says, before a broker as `scripts/dev/run` starts it, in a browser."""
import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile

from .broker import ROOT, Broker
from .check import check
from .docs import blocks_of
from .proxy import free_port
from .run import temporary_directory
from .token import SECRET, mint
from .wait import scaled, wait_until

EXAMPLES = ROOT / "docs/examples"
SHOWN_PORT = "3000"  # where examples serve
FAMILY = "family-123"  # whose list they show
BUILD_S, SERVE_S = 600, 60  # on a machine that has other things to do


def dev_config(port):
    """conf/dev.json, with a listener on that port."""
    text = (ROOT / "conf/dev.json").read_text()
    config = json.loads(re.sub(r"(?m)^\s*//.*$", "", text))
    for name in ("$schema", "include"):  # they name files beside it
        del config[name]
    policy = config["tenants"]["*"]["hooks"][0]
    policy["lua"] = str((ROOT / "conf" / policy["lua"]).resolve())
    return {**config, "listen": [f"127.0.0.1:{port}"], "admin": {**config["admin"], "listen": "127.0.0.1:0"}}


class DevBroker:
    """A broker that can be killed and started again where it was. Use it as a context manager.

    is_open: as in development, gift lists are everybody's. False: they are the family's whose members the tokens name, as in production.
    """

    def __init__(self, is_open=True):
        self.port = free_port()
        self._config = dev_config(self.port)
        if not is_open:
            del self._config["tenants"]["*"]["hooks"][0]["config"]["open_resources"]
        self._broker = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    def start(self):
        self._broker = Broker(self._config, whole=True)

    def kill(self):
        """It ends without a word."""
        self._broker.process.kill()
        self._broker.stop(code=-signal.SIGKILL)
        self._broker.__exit__(None, None, None)
        self._broker = None

    def sessions(self):
        """How many there are."""
        return self._broker.metric("hookwire_sessions")

    def publish(self, name, entity="gift-456", family=FAMILY):
        """As a back end does; the broker must take it."""
        data = {"entity_id": entity, "payload": {"name": name}}
        answer = self._broker.publish(f"gift-list:{family}", "ADDED", data, mint("backend", role="service"))
        check(answer.status == 200, f"publish: {answer.body[:200]}")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        if self._broker:
            self._broker.__exit__(*error)


class Example:
    """An example, by the commands that its README gives. They are run in the folder where the page has the reader go."""

    def __init__(self, folder):
        self.page = f"docs/examples/{folder}/README.md"
        blocks = [block for block in blocks_of(self.page, (ROOT / self.page).read_text()) if block.language == "sh"]
        self.commands = [line.split("  #")[0].strip() for block in blocks for line in block.text.splitlines()]
        self.cwd = EXAMPLES / folder if f"cd docs/examples/{folder}" in self.commands else ROOT

    def start(self, command, env, log):
        """In a process group of its own."""
        return subprocess.Popen(["bash", "-c", command], cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                env={**os.environ, "HOOKWIRE_JWT_SECRET": SECRET, "NEXT_TELEMETRY_DISABLED": "1", **env}, start_new_session=True)

    def run(self, command, **env):
        """A command of the README, and no other, to its end."""
        check(command in self.commands, f"{self.page} does not say: {command}")
        with tempfile.TemporaryFile("w+") as log:
            process = self.start(command, env, log)
            try:
                process.wait(scaled(BUILD_S))
            finally:
                _end(process)
            log.seek(0)
            check(process.returncode == 0, f"{self.page}: {command} ended with {process.returncode}:\n{log.read()[-4000:]}")

    def build(self, command, output):
        """A command that writes that folder: run, unless what is there was made by it of what there is now."""
        stamp = self.cwd / output / "stamp-of-the-test"
        now = self._stamp(command, output)
        if stamp.exists() and stamp.read_text() == now:
            return print(f"     {self.page}: {output} is up to date", flush=True)
        stamp.unlink(missing_ok=True)
        self.run(command)
        return stamp.write_text(now)

    def _stamp(self, command, output):
        """Of all that it is built of: its own files, the packages by their lock, and the clients."""
        made = {output, "node_modules", ".env.local", "next-env.d.ts", "tsconfig.tsbuildinfo"}
        files = [file for file in self.cwd.rglob("*") if not made & set(file.relative_to(self.cwd).parts)]
        for package in ("js/dist", "node"):
            files += [file for file in (ROOT / "clients" / package).glob("*") if file.suffix in (".js", ".ts")]
        node = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=True).stdout
        digest = hashlib.sha256(command.encode() + node)
        for file in sorted(file for file in files if file.is_file()):
            digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def serve(self, command, **env):
        """A command that serves on port 3000; for the test on a free one, which is PORT in its environment."""
        check(command in self.commands, f"{self.page} does not say: {command}")
        return _Server(self, command, env)


def _end(process):
    """npm, shells and servers: all of the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Server:
    """Use it as a context manager."""

    def __init__(self, example, command, env):
        self.example, self.command, self.env = example, command, env
        self.port = free_port()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self):
        return f"http://{self.address}"

    def log(self):
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def _listens(self):
        check(self._process.poll() is None, "it ended")
        socket.create_connection(("127.0.0.1", self.port)).close()
        return True

    def __enter__(self):
        self._directory = temporary_directory()
        self._log = self._directory.__enter__() / "server.log"
        with open(self._log, "wb") as log:
            command = self.command.replace(SHOWN_PORT, str(self.port))
            self._process = self.example.start(command, {**self.env, "PORT": str(self.port)}, log)
        try:
            wait_until(self._listens, SERVE_S, f"{self.command} to serve")
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(f"---- the server's log, last lines:\n{self.log()[-2000:]}----", flush=True)
        _end(self._process)
        self._directory.__exit__(None, None, None)


def text_of(tab, selector):
    """The text of an element of the page; None if there is none."""
    return tab.run("return document.querySelector(SELECTOR)?.textContent ?? null;", SELECTOR=selector)


def state_of(tab):
    """What <ConnectionStatus> says."""
    return tab.run("return document.querySelector('.hookwire-status').dataset.state;")


def until_online(tab):
    """Waits for it."""
    wait_until(lambda: state_of(tab) == "online", 60, "the page to be online")


def until_shown(tab, selector, text, timeout=20):
    """Waits until the element has the text in it."""
    wait_until(lambda: text in (text_of(tab, selector) or ""), timeout, f"{text!r} in {selector} of the page")


def fill(tab, form, **values):
    """Types into the fields of a form, by their names, and submits it."""
    tab.run("""
        const form = document.querySelector(FORM);
        for (const [name, value] of Object.entries(VALUES)) {
            const field = form.elements[name];
            Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), 'value').set.call(field, value); // as a user: React looks on
            field.dispatchEvent(new Event('input', { bubbles: true }));
        }
        form.requestSubmit();""", FORM=form, VALUES=values)
