#!/usr/bin/python3
# The one command: all three come, pages reach the back end, what is killed comes back where it was, and nothing is left behind.
# ctest: timeout=120
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[4] / "tests/lib"))
from hwtest import *

START = HERE.parents[1] / "start"
# as on a machine that needs one to get out, though nobody is there: what is on this machine is not asked for through it
PROXY = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": ""}
READY = "gift-list: ready on http://"


class Started:
    """`start` with these arguments, on free ports."""

    def __init__(self, data, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, START, "--broker", "0", "--api", "0", "--web", "0", "--data", data, *arguments],
            env={**os.environ, **PROXY, "HOOKWIRE_BIN": binary()}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            self.address = self.wait_line(READY)[len(READY):].strip()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=scaled(30))

    def wait_line(self, begin):
        for line in self.process.stdout:
            print(line, end="", flush=True)
            if line.startswith(begin):
                return line
        raise Failure(f"it ended with {self.process.wait()} before it said {begin!r}")

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def children(self):
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return [pid for task in tasks for pid in (task / "children").read_text().split()]

    def end(self, number):
        """Returns how it ended, and which of its processes are still there."""
        children = self.children()
        self.process.send_signal(number)
        self.process.communicate(timeout=scaled(30))
        return self.process.returncode, [pid for pid in children if os.path.exists(f"/proc/{pid}")]


def test_one_command_starts_all_three_and_ends_them():
    with temporary_directory() as data:
        with Started(data) as started:
            contains(http(started.address, "GET", "/").body.decode(), "<title>", "the page")
            equal(len(http(started.address, "GET", "/api/people").json()), 5, "people, by way of the page's server")
            session = http(started.address, "POST", "/api/login", body={"user_id": "bob"}).json()["session"]
            broker = http(started.address, "GET", "/api/config", token=session).json()["broker_url"].removeprefix("http://")
            token = http(started.address, "GET", "/api/realtime-token", token=session).json()["token"]
            page = [("Origin", f"http://{started.address}"), ("Authorization", f"Bearer {token}")]
            equal(http(broker, "GET", "/cursor", page).header("Access-Control-Allow-Origin"), f"http://{started.address}", "the page's origin")
            equal(WsClient(broker, token=token, headers=page[:1], protocols=["hookwire.v1"]).recv_json()["user_id"], "bob", "who is connected")
            elsewhere = [("Origin", "http://elsewhere.example"), page[1]]
            equal(http(broker, "GET", "/cursor", elsewhere).header("Access-Control-Allow-Origin"), None, "a page from elsewhere")
            for part in ("broker", "api"):
                started.type(part)
                started.wait_line(f"gift-list: {part} is killed")
                started.type(part)
                started.wait_line(f"gift-list: {part} is back")
            equal(http(started.address, "GET", "/api/config", token=session).status, 200, "with the same session")
            equal(http(broker, "GET", "/cursor", page).status, 200, "with the same token")
            equal(len(started.children()), 3, "processes")
            equal(started.end(signal.SIGINT), (0, []), "its end, and what is left")
        with Started(data, "--backend", "express") as started:
            equal(http(started.address, "GET", "/api/config", token=session).status, 200, "the session, at the other back end")
            os.kill(int(started.children()[0]), signal.SIGKILL)
            started.wait_line("gift-list: broker has ended with -9")
            started.process.communicate(timeout=scaled(30))
            equal(started.process.returncode, 1, "its end when a part of it ends")


def test_who_does_not_wait_until_all_is_installed_just_stops_it():
    with temporary_directory() as root:
        copy, setup = root / START.relative_to(ROOT), root / "scripts/dev/setup"
        for path in (copy, setup):
            path.parent.mkdir(parents=True)
        shutil.copy(START, copy)
        # at once, when who began it may not yet have begun to wait for it
        setup.write_text("#!/bin/sh\ntrap 'echo tidied up; exit 1' TERM\necho installing\nkill -$SIGNAL $PPID\nwhile :; do sleep 0.1; done\n")
        setup.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if name != "HOOKWIRE_BIN"}
        for name in ("INT", "TERM") * 5:
            with subprocess.Popen([sys.executable, copy, "--broker", "0", "--api", "0", "--web", "0"], env={**environment, "SIGNAL": name},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                equal(process.communicate(timeout=scaled(30))[0], "installing\ntidied up\n", f"what it says at SIG{name}")
            equal(process.returncode, 0, "its end")


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken, temporary_directory() as data:
        port = taken.getsockname()[1]
        done = subprocess.run([sys.executable, START, "--broker", str(port), "--data", data], env={**os.environ, "HOOKWIRE_BIN": binary()},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=scaled(30))
        equal(done.returncode, 1, "the exit code")
        contains(done.stdout, f"port {port} is taken", "what it says")


main()
