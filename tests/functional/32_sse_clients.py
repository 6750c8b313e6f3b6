#!/usr/bin/python3
# Clients that nobody here wrote follow topics over /sse: curl, npm's eventsource and Node's own EventSource, directly, through nginx and
# HAProxy as they are shipped (55_proxies_* has what else goes through these), and across connections that are cut.
# ctest: timeout=120 cost=35
import json
import os
import pathlib
import queue
import random
import subprocess
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.clock import WallClock
from hwtest.relay import Relay

HERE = pathlib.Path(__file__).parent
BEATS = {"heartbeat": {"interval_ms": 500, "timeout_ms": 5000}, "tenants": {"*": {
    "hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000}}}}
HOUR = 3600
NATIVE = ["--experimental-eventsource"]  # Node's own, since Node 20
KINDS = ["npm"]
if subprocess.run(["node", *NATIVE, "-e", "0"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
    KINDS.append("native")
else:
    print("not run with Node's own EventSource: this Node has none")


class Source:
    """sse_client.js in a process; `ca` is the file of a proxy's certificate, whose `url` is given for an address."""

    def __init__(self, kind, address, topics, token, *names, ca=None):
        url = address if ca else f"http://{address}"
        self.process = subprocess.Popen(
            ["node", "--no-warnings", *(NATIVE if kind == "native" else []), str(HERE / "sse_client.js"), kind,
             f"{url}/sse?topics={topics}&token={token}", *names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **({"NODE_EXTRA_CA_CERTS": str(ca)} if ca else {})})
        self.got = queue.Queue()
        threading.Thread(target=lambda: [self.got.put(json.loads(line)) for line in self.process.stdout], daemon=True).start()

    def recv(self, timeout=15):
        return self.got.get(timeout=scaled(timeout))

    def recv_that(self, what, timeout=15):
        """The next one of which that member is there; before it there may be cuts and comebacks, but no event."""
        while True:
            got = self.recv(timeout)
            if what in got:
                return got
            check("name" not in got, f"before {what} came {str(got)[:200]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Cutter(Relay):
    """Cuts each connection behind so many bytes of the answers, and when there are no more `cuts` none."""

    def __init__(self, upstream, cuts):
        self.cuts, self.left, self.n_cut = list(cuts), {}, 0  # left: bytes, by link
        super().__init__(upstream)

    def through(self, link, data, answers):
        if answers and link not in self.left and self.cuts:
            self.left[link] = self.cuts.pop(0)
        if not answers or link not in self.left:
            return data
        passed = data[:self.left[link]]
        self.left[link] -= len(passed)
        self.n_cut += len(passed) < len(data)
        return passed


def n_of(event):
    return event["data"]["payload"]["n"]


def publish(broker, n, topic="a:1"):
    answer = broker.publish(topic, data={"entity_id": "e", "payload": {"n": n}})
    equal(answer.status, 200, "publish")
    return answer.json()["id"]


def test_curl_prints_events_as_they_come():
    with Broker(BEATS) as broker, Curl(f"http://{broker.address}", "/sse?topics=a:1", mint("u1")) as curl:
        curl.begin()
        for n in range(5):
            publish(broker, n)
            curl.wait_events(n + 1)
        equal([n_of(event) for event in curl.events()[0]], list(range(5)), "events")
        curl.wait(lambda p: p.n_comments >= 2, what="heartbeats")


def test_an_event_source_gets_messages_and_hears_a_gap_only_if_it_listens():
    for kind in KINDS:
        with Broker(merge(BEATS, {"journal": {"retention": {"count": 5}}})) as broker:
            with Source(kind, broker.address, "a:1", mint("u1")) as deaf, Source(kind, broker.address, "a:1", mint("u1"), "gap") as c:
                equal([deaf.recv(), c.recv()], [{"open": True}] * 2, kind)
                wait_until(lambda: broker.metric("hookwire_subscriptions") == 2, what="both to be live")
                sent = publish(broker, 1)
                for who in (deaf, c):
                    got = who.recv()
                    equal((got["name"], n_of(got["data"]), got["id"]), ("message", 1, sent), f"{kind}: nothing before it")
            epoch = sent.split("-")[0]
            with Source(kind, broker.address, f"a:1&cursor={epoch}-999999", mint("u1"), "gap") as c:
                got = c.recv_that("name")
                equal((got["name"], got["data"]["topics"]), ("gap", ["a:1"]), f"{kind}: gap")
                with Source(kind, broker.address, f"a:1&cursor={epoch}-999999", mint("u1")) as deaf:
                    equal(deaf.recv(), {"open": True}, kind)
                    wait_until(lambda: broker.metric("hookwire_subscriptions") == 2, what="both to be live")
                    publish(broker, 2)
                    equal(n_of(deaf.recv()["data"]), 2, f"{kind}: who does not listen hears messages alone")


def test_an_event_source_stops_where_a_reconnect_is_refused():
    for kind in KINDS:
        with WallClock() as clock, clock.broker(BEATS) as broker:
            with Source(kind, broker.address, "a:1,secret:1", clock.mint("u1", HOUR)) as c:
                equal(c.recv()["state"], 2, f"{kind}: a refused topic")
            with Source(kind, broker.address, "a:1", clock.mint("u1", HOUR), "closed") as c:
                equal(c.recv(), {"open": True}, kind)
                clock.jump(2 * HOUR)  # the token has ended, however long the program took to start
                equal(c.recv()["data"]["code"], "token_expired", f"{kind}: closed")
                equal(c.recv()["state"], 0, f"{kind}: it comes back once")
                equal(c.recv()["state"], 2, f"{kind}: and is refused")


def until_live(broker):
    """How many bytes are sent before the first event."""
    with HttpConnection(broker.address) as c:
        c.send(c.format("GET", "/sse?topics=a:1,b:1", {"Authorization": "Bearer " + mint("u1")}))
        return sum(len(c.read_until(mark)) for mark in (b"\r\n\r\n", b'"}\n\n'))


def test_an_event_source_resumes_wherever_it_is_cut():
    rng = random.Random(seed_of_run())
    for kind in KINDS:
        # the first within the first event; the others anywhere
        with Broker(merge(BEATS, {"workers": 2})) as broker, Cutter(broker.address, [until_live(broker) + 10, *(rng.randrange(420, 6000) for _ in range(2))]) as cutter:
            with Source(kind, cutter.address, "a:1,b:1", mint("u1")) as c:
                c.recv_that("open")
                seen, sent = [], 0
                deadline = time.monotonic() + scaled(60)
                while (len(seen) < sent or cutter.n_cut < 3) and time.monotonic() < deadline:
                    if cutter.n_cut < 3 and sent - len(seen) < 40:
                        publish(broker, sent, f"{'ab'[sent % 2]}:1")
                        sent += 1
                    try:
                        got = c.got.get(timeout=0.01)
                    except queue.Empty:
                        continue
                    if "name" in got:
                        seen.append(n_of(got["data"]))
                equal((cutter.n_cut, len(seen) == sent, seen == list(range(sent))), (3, True, True),
                      f"{kind}: cuts, all, in order: {len(seen)} of {sent}, {seen[:10]}")


def test_an_event_source_through_the_shipped_proxies():
    for kind in ("nginx", "haproxy"):
        with Broker(BEATS) as broker, ShippedProxy(kind, broker.address) as proxy, Source("npm", proxy.url, "a:1", mint("u1"), ca=proxy.ca) as c:
            equal(c.recv(), {"open": True}, kind)
            wait_until(lambda: broker.metric("hookwire_subscriptions") == 1, what="it to be live")
            publish(broker, 1)
            equal(n_of(c.recv_that("name")["data"]), 1, kind)


main()
