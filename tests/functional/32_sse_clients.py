#!/usr/bin/python3
# Clients that nobody here wrote follow topics over /sse: curl, npm's eventsource and Node's own EventSource, directly, through nginx and
# HAProxy as they are shipped, over HTTP/2, and across connections that are cut.
# ctest: timeout=120
import json
import pathlib
import queue
import random
import re
import socket
import subprocess
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

HERE = pathlib.Path(__file__).parent
BEATS = {"heartbeat": {"interval_ms": 500, "timeout_ms": 5000}, "tenants": {"*": {
    "hooks": [{"name": "open", "lua": "open.lua", "budget": {"cpu_ms": 200}}], "limits": {"publish_per_s": 1000000}}}}
NATIVE = ["--experimental-eventsource"]  # Node's own, since Node 20
KINDS = ["npm"]
if subprocess.run(["node", *NATIVE, "-e", "0"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
    KINDS.append("native")
else:
    print("not run with Node's own EventSource: this Node has none")


class Source:
    """sse_client.js in a process."""

    def __init__(self, kind, address, topics, token, *names):
        self.process = subprocess.Popen(
            ["node", "--no-warnings", *(NATIVE if kind == "native" else []), str(HERE / "sse_client.js"), kind,
             f"http://{address}/sse?topics={topics}&token={token}", *names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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


class Curl:
    """`curl -N`: what it prints is parsed; leaving it ends it."""

    def __init__(self, address, topics, token, *arguments):
        self.process = subprocess.Popen(
            ["curl", "-sN", "--max-time", str(int(scaled(60))), *arguments, f"http://{address}/sse?topics={topics}", "-H", f"Authorization: Bearer {token}"],
            stdout=subprocess.PIPE)
        self.parser = SseParser()
        self.lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while chunk := self.process.stdout.read1(65536):
            with self.lock:
                self.parser.feed(chunk)

    def wait(self, condition, timeout=10, what="what curl prints"):
        def holds():
            with self.lock:
                return condition(self.parser)
        wait_until(holds, timeout, what)

    def numbers(self):
        with self.lock:
            return [n_of(m.json()) for m in self.parser.messages if m.name == "message"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Shipped(Proxy):
    """conf/nginx.conf or conf/haproxy.cfg, without TLS, on a free port, with time-outs of 2 s instead of 75."""

    def __init__(self, kind, upstream, listen=""):
        self.listen = listen
        super().__init__(kind, upstream)

    def _answers(self):
        if self.listen:  # HTTP/2: not what hwtest speaks
            return self.process.poll() is None and socket.create_connection(("127.0.0.1", int(self.address.split(":")[1])), 1).close() is None
        return super()._answers()

    def _command(self, port):
        name, changes = {
            "nginx": ("nginx.conf", (
                (r"listen 443 ssl http2;", f"listen 127.0.0.1:{port}{self.listen};"), (r"listen \[::\]:443 ssl http2;", ""), (r"ssl_\w+ .*;", ""),
                (r"127\.0\.0\.1:8080", self.upstream), (r"/var/log/nginx/", f"{self.dir}/"), (r"worker_rlimit_nofile \d+;", ""),
                (r"worker_connections \d+;", "worker_connections 64;"), (r"\b75s", "2s"),
                (r"worker_processes auto;", "worker_processes 1; daemon off; master_process off;"))),
            "haproxy": ("haproxy.cfg", (
                (r"bind :443 ssl crt .*", f"bind 127.0.0.1:{port}"), (r"127\.0\.0\.1:8080", self.upstream), (r"\b75s", "2s"),
                (r"maxconn \d+", "maxconn 64"), (r"check inter 2s fall 2 rise 1", "check inter 200 fall 2 rise 1"))),
        }[self.kind]
        text = (ROOT / "conf" / name).read_text()
        for pattern, new in changes:
            text, n = re.subn(pattern, new, text)
            check(n > 0, f"{name} has no {pattern}")
        path = self.dir / name
        path.write_text(text)
        if self.kind == "haproxy":
            return ["/usr/sbin/haproxy", "-f", str(path), "-db"]
        return ["/usr/sbin/nginx", "-e", str(self.dir / "start.log"), "-p", str(self.dir), "-g", f"pid {self.dir}/pid;", "-c", str(path)]


class Cutter:
    """A relay to `upstream` that cuts each connection behind so many bytes of the answers; None: it does not."""

    def __init__(self, upstream, cuts):
        self.upstream, self.cuts, self.n_cut = upstream, list(cuts), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            host, _, port = self.upstream.rpartition(":")
            server = socket.create_connection((host, int(port)))
            self.sockets += [client, server]
            threading.Thread(target=self._copy, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, self.cuts.pop(0) if self.cuts else None), daemon=True).start()

    def _copy(self, source, target, cut):
        while True:
            try:
                data = source.recv(65536 if cut is None else min(cut, 65536))
                if not data:
                    break
                target.sendall(data)
            except OSError:
                break
            if cut is not None:
                cut -= len(data)
                if cut == 0:
                    self.n_cut += 1
                    break
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.sockets:
            s.close()


def n_of(event):
    return event["data"]["payload"]["n"]


def publish(broker, n, topic="a:1"):
    answer = broker.publish(topic, data={"entity_id": "e", "payload": {"n": n}})
    equal(answer.status, 200, "publish")
    return answer.json()["id"]


def test_curl_prints_events_as_they_come():
    with Broker(BEATS) as broker, Curl(broker.address, "a:1", mint("u1")) as curl:
        curl.wait(lambda p: any(m.name == "cursor" for m in p.messages))
        for n in range(5):
            publish(broker, n)
            curl.wait(lambda p: sum(m.name == "message" for m in p.messages) == n + 1)
        equal(curl.numbers(), list(range(5)), "events")
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
        with Broker(BEATS) as broker:
            with Source(kind, broker.address, "a:1,secret:1", mint("u1")) as c:
                equal(c.recv()["state"], 2, f"{kind}: a refused topic")
            with Source(kind, broker.address, "a:1", mint("u1", exp=int(time.time()) + 2), "closed") as c:
                equal(c.recv(), {"open": True}, kind)
                equal(c.recv()["data"]["code"], "token_expired", f"{kind}: closed")
                equal(c.recv()["state"], 0, f"{kind}: it comes back once")
                equal(c.recv()["state"], 2, f"{kind}: and is refused")


def until_live(broker):
    """How many bytes are sent before the first event."""
    with HttpConnection(broker.address) as c:
        c.send(c.format("GET", "/sse?topics=a:1,b:1", {"Authorization": "Bearer " + mint("u1")}))
        return sum(len(c.read_until(mark)) for mark in (b"\r\n\r\n", b'"}\n\n'))


def test_an_event_source_resumes_wherever_it_is_cut():
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
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


def test_through_the_shipped_proxies_events_come_at_once_and_idle_streams_live():
    for kind in ("nginx", "haproxy"):
        with Broker(BEATS) as broker, Shipped(kind, broker.address) as proxy:
            with Curl(proxy.address, "a:1", mint("u1")) as curl, SseClient(proxy.address, "a:1", token=mint("u2")) as c:
                c.begin()
                curl.wait(lambda p: any(m.name == "cursor" for m in p.messages), what=f"{kind}: the beginning")
                publish(broker, 0)
                equal(n_of(c.recv_event()), 0, kind)
                started = time.monotonic()
                while time.monotonic() - started < 5:  # past the proxy's 2 s
                    c.read_until(lambda p, n=c.parser.n_comments: p.n_comments > n, what=f"{kind}: a heartbeat")
                publish(broker, 1)
                equal(n_of(c.recv_event()), 1, f"{kind}: after being idle")
                curl.wait(lambda p: sum(m.name == "message" for m in p.messages) == 2, what=f"{kind}: curl's second event")
                last = c.last_id
            wait_until(lambda: broker.metric("hookwire_sessions") == 0, what=f"{kind}: the sessions to end with their clients")
            publish(broker, 2)
            with SseClient(proxy.address, "a:1", token=mint("u2"), last_id=last) as c:
                equal(n_of(c.recv_event()), 2, f"{kind}: resumed")
            equal(http(proxy.address, "GET", "/sse?topics=secret:1", token=mint("u1")).status, 403, f"{kind}: a refusal")
            check(mint("u1") not in proxy.log(), "a token is in a log")


def test_a_proxy_that_buffers_is_told_not_to():
    for kind in ("nginx", "haproxy"):  # as they come: nginx buffers answers
        with Broker(BEATS) as broker, Proxy(kind, broker.address) as proxy, SseClient(proxy.address, "a:1", token=mint("u2")) as c:
            c.begin()
            for n in range(3):
                publish(broker, n)
                equal(n_of(c.recv_event()), n, kind)


STREAMS_JS = """
const [address, n, token] = process.argv.slice(1);
const session = require('node:http2').connect('http://' + address);
for (let i = 0; i < n; i++) {
	const stream = session.request({ ':path': '/sse?topics=a:1', authorization: 'Bearer ' + token });
	stream.setEncoding('utf8').on('data', (text) => text.includes('"topic":"a:1"') && console.log(i));
}
"""


def test_over_http_2_many_streams_share_a_connection():
    n = 10  # a browser opens 6 connections of HTTP/1.1 to a host
    with Broker(BEATS) as broker, Shipped("nginx", broker.address, " http2") as proxy:
        with Curl(proxy.address, "a:1", mint("u1"), "--http2-prior-knowledge") as curl:
            curl.wait(lambda p: any(m.name == "cursor" for m in p.messages))
            publish(broker, 1)
            curl.wait(lambda p: any(m.name == "message" for m in p.messages), what="the event in curl")
        wait_until(lambda: broker.metric("hookwire_subscriptions") == 0, what="curl to be gone")
        node = subprocess.Popen(["node", "-e", STREAMS_JS, proxy.address, str(n), mint("u1")], stdout=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: broker.metric("hookwire_subscriptions") == n, what="all streams to be live")
            lines = [line.split() for line in pathlib.Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
            port = int(proxy.address.split(":")[1])
            equal(sum(line[2].endswith(f":{port:04X}") and line[3] == "01" for line in lines), 1, "connections to the proxy")
            publish(broker, 1)
            equal(sorted(int(node.stdout.readline()) for _ in range(n)), list(range(n)), "the event on each of them")
        finally:
            node.kill()
            node.wait()
            node.stdout.close()


def test_an_event_source_through_the_shipped_proxies():
    for kind in ("nginx", "haproxy"):
        with Broker(BEATS) as broker, Shipped(kind, broker.address) as proxy, Source("npm", proxy.address, "a:1", mint("u1")) as c:
            equal(c.recv(), {"open": True}, kind)
            wait_until(lambda: broker.metric("hookwire_subscriptions") == 1, what="it to be live")
            publish(broker, 1)
            equal(n_of(c.recv_that("name")["data"]), 1, kind)


main()
