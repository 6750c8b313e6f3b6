#!/usr/bin/python3
# The request-smuggling corpus (tests/lib/smuggling) against the running broker: directly, where each attempt is refused or read in the one
# way that the corpus names, and behind nginx and HAProxy, where the broker never sees a request that its front did not send as one.
# ctest: timeout=150
import concurrent.futures
import contextlib
import json
import pathlib
import queue
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

CORPUS = ROOT / "tests" / "lib" / "smuggling"
CASES = json.loads((CORPUS / "cases.json").read_text())
REQUESTS = "hookwire_http_requests_total"
CONFIG = {"log": {"level": "warn", "format": "text"}, "limits": {"body_bytes": 1048576}}
LANES = 4  # broker and proxy pairs that work at a time: a front that waits for more bytes wastes none of ours


def raw(case):
    return (CORPUS / case["file"]).read_bytes()


def each(cases, run):
    """Runs all cases, then fails with what every failing one said."""
    failures = []
    for case in cases:
        try:
            run(case)
        except Exception as error:
            failures.append(f"{case['name']} ({case['note']}): {error}")
    if failures:
        raise Failure(f"{len(failures)} of {len(cases)} cases:\n  " + "\n  ".join(failures))


def expected_statuses(read):
    """What may answer a request of the corpus: health is fine, a publish without a token is some refusal of its own."""
    method, target = read.split(" ", 2)[:2]
    if target.removeprefix("http://hookwire.test") == "/healthz":
        return {200}
    check(target == "/publish", f"the corpus asks for {target}, and the test does not know what answers that")
    return {400, 401, 403, 415, 422}


def attempt(address, case, split=None):
    """One case on a connection of its own, to a broker."""
    with HttpConnection(address, timeout=5) as connection:
        try:
            connection.send(raw(case), split=split)
        except OSError:
            pass  # refused while we were still sending: the answer is there to be read
        for read in case["reads"]:
            answer = connection.read_response(read.split(" ")[0])
            check(answer.status in expected_statuses(read), f"{read!r} was answered {answer!r}")
            if case["expect"] == "accept" and (answer.header("Connection") or "").lower() == "close":
                return  # a refused expectation may end the connection: what follows is read in no way then
        if case["expect"] == "reject":
            answer = connection.read_response()
            equal(answer.status, case["status"], "status")
            equal((answer.header("Connection") or "").lower(), "close", "Connection of the error")
            check(connection.closed(), "the connection stays open after the error")
            equal(connection.buffer, b"", "what comes after the error")
        elif re.search(rb"^Connection: close|^[^\n]* HTTP/1\.0\r$", raw(case), re.MULTILINE):
            check(connection.closed(), "the connection stays open after a request that ends it")
            equal(connection.buffer, b"", "what comes before the end")
        else:
            connection.send(connection.format("GET", "/healthz"))
            equal(connection.read_response().status, 200, "the canary's status")
            check(connection.quiet(0.02), "more comes behind the canary's answer")


def test_the_corpus_is_there():
    check(len(CASES) >= 60, f"only {len(CASES)} cases")
    check({c["expect"] for c in CASES} == {"reject", "accept"}, "both kinds of cases")


def test_directly():
    with Broker(CONFIG) as broker:
        each(CASES, lambda case: attempt(broker.address, case))
        equal(http(broker.address, "GET", "/healthz").status, 200, "health afterwards")


def test_directly_byte_by_byte():
    small = [c for c in CASES if len(raw(c)) <= 1024]
    check(len(small) > len(CASES) / 2, "most cases are small")
    with Broker(CONFIG) as broker:
        each(small, lambda case: attempt(broker.address, case, split=1))
        equal(http(broker.address, "GET", "/healthz").status, 200, "health afterwards")


class Lane:
    """A broker with a proxy in front of it, and the count of requests that the broker saw."""

    def __init__(self, stack, kind):
        self.broker = stack.enter_context(Broker(CONFIG))
        self.proxy = stack.enter_context(Proxy(kind, self.broker.address))
        check(any(s.startswith(REQUESTS) for s in self.broker.metrics()), f"{REQUESTS} is not in /metrics")
        # reading the counter may count itself
        first = self.broker.metric(REQUESTS)
        self.self_count = self.broker.metric(REQUESTS) - first

    def seen(self, since):
        return self.broker.metric(REQUESTS) - since - self.self_count


def answers(connection, case):
    """How many answers a front gives on this connection, until it closes or has nothing more to say."""
    n = 0
    methods = [read.split(" ")[0] for read in case["reads"]]
    while True:
        if not connection.buffer and not connection.ended and connection.quiet(scaled(0.25)):
            return n
        try:
            connection.read_response(methods[n] if n < len(methods) else "GET", 2)
        except EOFError:
            return n
        except Failure:
            return n + 1  # an answer in the style of HTTP/0.9, which has no head
        n += 1


def attempt_behind(lane, case):
    """One case through the proxy: the broker sees at most what was answered to the client, and the shared connections stay in step."""
    before = lane.broker.metric(REQUESTS)
    with HttpConnection(lane.proxy.address, timeout=5) as connection:
        try:
            connection.send(raw(case))
        except OSError:
            pass
        n = answers(connection, case)
    for _ in range(2):
        canary = http(lane.proxy.address, "GET", "/healthz", timeout=5)
        equal(canary.status, 200, "status of a canary on a connection that the proxy shares")
    seen = lane.seen(before) - 2
    # a front that waits for the rest of a first request may have begun to hand it on
    check(seen <= max(n, 1), f"the broker saw {seen:.0f} requests, and the client got {n} answers")


def behind(kind):
    lanes = queue.Queue()

    def run(case):
        lane = lanes.get()
        try:
            attempt_behind(lane, case)
            return None
        except Exception as error:
            return f"{case['name']} ({case['note']}): {error}"
        finally:
            lanes.put(lane)

    with contextlib.ExitStack() as stack:
        for _ in range(LANES):
            lanes.put(Lane(stack, kind))
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            failures = [f for f in pool.map(run, CASES) if f]
        if failures:
            raise Failure(f"{len(failures)} of {len(CASES)} cases behind {kind}:\n  " + "\n  ".join(failures))


def test_behind_nginx():
    behind("nginx")


def test_behind_haproxy():
    behind("haproxy")


main()
