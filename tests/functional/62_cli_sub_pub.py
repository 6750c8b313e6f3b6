#!/usr/bin/python3
# hookwire sub and hookwire pub against a real broker: what they print where, how they end, and how sub comes back.
# ctest: timeout=120
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.relay import Relay

TOPIC = "gift-list:1"


class Sub:
    """A running `hookwire sub`; out and err are its lines so far."""

    def __init__(self, *args, token=None):
        env = {**os.environ, "HOOKWIRE_TOKEN": token or mint("ann")}
        self.process = subprocess.Popen([binary(), "sub", *args], env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        self.out, self.err = [], []
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def said(self, part, times=1):
        """Waits until so many lines of standard error have `part` in them."""
        wait_until(lambda: sum(part in line for line in self.err) >= times, 15, f"{part!r} in {self.err!r}")

    def events(self, n):
        """Waits for n events and returns their entity ids."""
        wait_until(lambda: len(self.out) >= n, 15, f"{n} events; {self.err!r}")
        return [json.loads(line)["data"]["entity_id"] for line in self.out]

    def end(self, timeout=15):
        """Waits for the end; the exit code."""
        code = self.process.wait(scaled(timeout))
        for reader in self.readers:
            reader.join(5)
        return code


@contextlib.contextmanager
def sub(broker_or_address, *args, token=None):
    address = getattr(broker_or_address, "address", broker_or_address)
    running = Sub("--url", f"ws://{address}/ws", "--control", *args, token=token)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def pub(broker, *args, token=None, **how):
    return cli("pub", "--url", f"http://{broker.address}", *args, env={"HOOKWIRE_TOKEN": token or mint("shop")}, **how)


def test_both_explain_themselves_and_refuse_wrong_command_lines():
    for command in ("sub", "pub"):
        help_text = cli(command, "--help")
        equal(help_text.returncode, 0, f"{command} --help")
        for part in (f"usage: hookwire {command}", "Examples:", "HOOKWIRE_TOKEN", "--token-file", "Exit status"):
            contains(help_text.stdout, part, f"{command} --help")
    env = {"HOOKWIRE_TOKEN": "t"}
    for args in (["sub"], ["sub", "NoTopic"], ["sub", "--url", "http://a", TOPIC], ["sub", "--url", "wss://a/ws", TOPIC],
                 ["sub", "--count", "0", TOPIC], ["sub", "--count", "x", TOPIC], ["sub", "--odd", TOPIC],
                 ["sub", "--token", "a", "--token-file", "b", TOPIC],
                 ["pub"], ["pub", TOPIC, "ADDED"], ["pub", TOPIC, "ADDED", "e", "{}", "more"], ["pub", "--stdin", TOPIC],
                 ["pub", "--stdin", "--key", "k"], ["pub", TOPIC, "ADDED", "e", "{no json"], ["pub", "Bad", "ADDED", "e"],
                 ["pub", "--url", "ftp://a", TOPIC, "ADDED", "e"], ["pub", "--key", "a b", TOPIC, "ADDED", "e"]):
        done = cli(*args, env=env)
        equal(done.returncode, 2, f"exit code of {args}, {done.stderr}")
        equal(done.stdout, "", f"standard output of {args}")
        check(done.stderr, f"{args} says nothing")
    contains(cli("sub", "--url", "wss://a/ws", TOPIC, env=env).stderr, "not in this version", "wss")
    for args in (["sub", TOPIC], ["pub", TOPIC, "ADDED", "e"]):
        done = cli(*args, env={"HOOKWIRE_TOKEN": ""})
        equal(done.returncode, 2, f"{args} without a token")
        contains(done.stderr, "HOOKWIRE_TOKEN", "where a token comes from")


def test_what_is_published_is_printed_as_a_line_and_count_ends_it():
    with Broker() as broker, sub(broker, "--count", "2", TOPIC) as s:
        s.said('"type":"reply"')
        first = pub(broker, TOPIC, "UPDATED", "e1", '{"n": 1.50,\n "s": "ä"}')
        equal([first.returncode, first.stderr], [0, ""], "pub")
        second = pub(broker, TOPIC, "ADDED", "e2")
        equal(s.end(), 0, "sub's exit code")
        equal(s.events(2), ["e1", "e2"], "events")
        equal([json.loads(line)["id"] for line in s.out], [first.stdout.strip(), second.stdout.strip()], "ids")
        contains(s.out[0], '{"n": 1.50,  "s": "ä"}', "the payload, untouched but in one line")
        equal(json.loads(s.out[1])["data"]["payload"], {}, "a payload that was not given")


def test_a_file_of_events_is_published_in_batches_and_in_order():
    with Broker() as broker, sub(broker, "--count", "250", TOPIC) as s:
        s.said('"type":"reply"')
        lines = [json.dumps({"topic": TOPIC, "event": "ADDED", "data": {"entity_id": f"e{i}", "payload": i}})
                 for i in range(250)]
        done = pub(broker, "--stdin", stdin="\n\n".join(lines))
        equal([done.returncode, done.stderr], [0, ""], "pub")
        equal(s.end(), 0, "sub's exit code")
        equal(s.events(250), [f"e{i}" for i in range(250)], "events")
        equal(done.stdout.split(), [json.loads(line)["id"] for line in s.out], "ids")


def test_what_is_refused_in_a_file_is_named_by_its_line():
    with Broker() as broker:
        good = '{"topic":"a:1","event":"ADDED","data":{"entity_id":"e","payload":{}}}'
        done = pub(broker, "--stdin", stdin=f"{good}\nnonsense\n" + '{"topic":"a:1","event":"ADDED","data":{}}' + f"\n{good}\n")
        equal(done.returncode, 1, "exit code")
        equal(len(done.stdout.split()), 2, f"ids in {done.stdout!r}")
        contains(done.stderr, "line 2: no JSON object", "what is said")
        contains(done.stderr, "line 3: bad_request", "what is said")


def test_an_idempotency_key_publishes_once():
    with Broker() as broker:
        first, again = (pub(broker, "--key", "k1", TOPIC, "ADDED", "e1") for _ in range(2))
        equal([first.returncode, again.returncode], [0, 0], "exit codes")
        equal(first.stdout, again.stdout, "ids")


def test_pub_says_why_it_failed_and_never_shows_the_token():
    with Broker() as broker:
        token = mint("ann") + "x"
        done = pub(broker, TOPIC, "ADDED", "e1", token=token)
        equal([done.returncode, done.stdout], [1, ""], "a wrong token")
        contains(done.stderr, "unauthorized", "what is said")
        check(token not in done.stderr, "the token is shown")
        address = broker.address
    done = cli("pub", "--url", f"http://{address}", TOPIC, "ADDED", "e", env={"HOOKWIRE_TOKEN": "t"})
    equal(done.returncode, 1, "nobody there")
    contains(done.stderr, address, "what is said")


def test_a_refused_topic_is_named_and_the_others_go_on():
    with Broker() as broker, sub(broker, "--count", "1", "secret:1", TOPIC) as s:
        s.said("secret:1: refused: forbidden_topic")
        pub(broker, TOPIC, "ADDED", "e1")
        equal(s.end(), 0, "exit code")
        equal(s.events(1), ["e1"], "events")
        with sub(broker, "secret:1") as alone:
            equal(alone.end(), 1, "exit code with nothing left")


def test_a_wrong_token_ends_it_and_is_not_shown():
    with Broker() as broker:
        token = mint("ann") + "x"
        with sub(broker, TOPIC, token=token) as s:
            equal(s.end(), 1, "exit code")
            s.said("4401")
            check(not any(token in line for line in s.err), "the token is shown")
        with temporary_directory() as tmp:
            path = pathlib.Path(tmp) / "token"
            path.write_text(mint("ann") + "\n")
            with sub(broker, "--token-file", str(path), TOPIC, token="wrong") as s:
                s.said('"type":"reply"')
        with sub(broker, "--cursor", "no cursor", TOPIC) as s:
            equal(s.end(), 1, "exit code of a malformed cursor")
        with sub(broker.admin_address, TOPIC) as s:
            equal(s.end(), 1, "exit code where no WebSocket is spoken")
            s.said("HTTP 4")


def test_ctrl_c_closes_politely():
    with Broker() as broker:
        for number in (signal.SIGINT, signal.SIGTERM):
            with sub(broker, TOPIC) as s:
                s.said('"type":"reply"')
                mark = broker.log_mark()
                s.process.send_signal(number)
                equal(s.end(5), 0, "exit code")
                broker.wait_log(r"session closed.*\b1000\b", since=mark)


def test_it_stops_while_it_waits_to_connect_again():
    with Broker() as broker:
        address = broker.address
    with sub(address, TOPIC) as s:
        s.said("connecting again", 2)
        s.process.send_signal(signal.SIGINT)
        equal(s.end(5), 0, "exit code")
    with sub(address, "--no-reconnect", TOPIC) as s:
        equal(s.end(), 1, "exit code with --no-reconnect")


def test_it_comes_back_after_the_connection_was_cut():
    with Broker() as broker, Relay(broker.address) as relay, sub(relay.address, TOPIC) as s:
        s.said('"type":"reply"')
        pub(broker, TOPIC, "ADDED", "e1")
        s.events(1)
        relay.cut()
        s.said('"type":"reply"', 2)
        pub(broker, TOPIC, "ADDED", "e2")
        equal(s.events(2), ["e1", "e2"], "events")


main()
