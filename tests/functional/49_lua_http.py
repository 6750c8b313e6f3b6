#!/usr/bin/python3
# A policy asks another service over HTTP: the broker serves everybody else meanwhile, whatever the service or the resolver does.
# ctest: timeout=120
import contextlib
import http.server as http_server
import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

ACL = """
local function ask(s, topic, ctx)
  local r = ctx.http.get(ctx.config.url .. topic.resource, { query = { user = s.user_id, id = topic.id }, timeout_ms = ctx.config.timeout_ms or 5000 })
  if not r.ok then ctx.log.info("asked: " .. r.error) return unavailable(r.error) end
  if r.json and r.json.allow then return allow() end
  return deny("forbidden_topic", "the service says no")
end
return policy {
  api = 1,
  authorize = { subscribe = function(s, topic, ctx) if topic.resource == "fine" then return allow() end return ask(s, topic, ctx) end,
                publish = function() return allow() end },
}
"""
# a resolver that never answers, as a DNS server that is down looks to a process
SILENT = """
#include <netdb.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	(void)node; (void)service; (void)hints; (void)result;
	for (;;)
		sleep(60);
}
"""


class Service(http_server.ThreadingHTTPServer):
    """Says yes to users whose name begins with u; /stall answers when told, /trickle a byte at a time."""
    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.requests, self.connections, self.release = [], 0, threading.Event()
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        pass  # a client that leaves is what some of these tests are about

    def __exit__(self, *_):
        self.release.set()
        self.shutdown()
        self.server_close()


class Handler(http_server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.server.connections += 1
        super().setup()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.server.requests.append((url.path, query))
        if url.path == "/stall":
            self.server.release.wait(30)
        body = json.dumps({"allow": query["user"].startswith("u")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if url.path != "/trickle" else 100000))
        self.end_headers()
        if url.path == "/trickle":
            with contextlib.suppress(OSError):
                while not self.server.release.wait(0.05):
                    self.wfile.write(b" ")
            return
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def broker_of(service, files=None, env=None, url=None, timeout_ms=5000, breaker=None, **config):
    hook = {"name": "acl", "lua": "acl.lua", "config": {"url": url or f"http://{service.address}/", "timeout_ms": timeout_ms},
            "budget": {"deadline_ms": 20000}, "breaker": breaker or {}}
    return Broker({"workers": 1, "tenants": {"*": {"hooks": [hook]}}, **config}, files={"acl.lua": ACL, **(files or {})},
                  env={"no_proxy": "*", **(env or {})})


def asks(client, topic):
    return client.request({"type": "subscribe", "topics": [topic]})["topics"][topic]


def pongs_are_quick(client, seconds):
    """Round trips of a client nobody has to wait for."""
    delays, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        client.ping()
        delays.append(time.monotonic() - started)
        time.sleep(0.002)
    delays.sort()
    told = f"of {len(delays)} pongs the slowest took {[round(d * 1000) for d in delays[-3:]]} ms"
    check(delays[int(len(delays) * 0.98)] < scaled(0.05) and delays[-1] < scaled(0.5), told)


def test_the_service_decides_and_its_connection_is_kept():
    with Service() as service, broker_of(service) as broker:
        with WsClient(broker.address, token=mint("u1")) as good, WsClient(broker.address, token=mint("x1")) as bad:
            for n in range(5):
                equal(asks(good, f"list:{n}")["ok"], True, "u1")
                contains(asks(bad, f"list:{n}"), {"ok": False, "code": "forbidden_topic"}, "x1")
        equal(service.requests[0], ("/list", {"user": "u1", "id": "0"}), "the first question")
        equal((len(service.requests), service.connections), (10, 1), "questions and connections")


def test_a_service_that_stalls_holds_up_nobody_else():
    for path in ("stall", "trickle"):
        with Service() as service, broker_of(service, timeout_ms=1500) as broker:
            with WsClient(broker.address, token=mint("u1")) as client, WsClient(broker.address, token=mint("u2")) as other:
                started = time.monotonic()
                client.send_json({"type": "subscribe", "topics": [f"{path}:1"], "id": "s"})
                client.send_json({"type": "ping", "id": "behind"})
                pongs_are_quick(other, 1)
                error = client.recv_where({"type": "reply", "id": "s"})["topics"][f"{path}:1"]
                check(1.4 < time.monotonic() - started < scaled(4), f"it took {time.monotonic() - started:.2f} s")
                contains(error, {"ok": False, "code": "unavailable"}, path)
                client.recv_where({"type": "pong", "id": "behind"})
                broker.wait_log("asked: no answer within 1500 ms")


def test_a_service_that_answers_late_is_in_time_for_its_deadline():
    with Service() as service, broker_of(service) as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.send_json({"type": "subscribe", "topics": ["stall:1"], "id": "s"})
        wait_until(lambda: service.requests, 5, "the question")
        service.release.set()
        equal(client.recv_where({"type": "reply", "id": "s"})["topics"]["stall:1"]["ok"], True, "the answer")


def test_a_client_that_leaves_ends_its_request():
    with Service() as service, broker_of(service) as broker:
        client = WsClient(broker.address, token=mint("u1"))
        equal(asks(client, "list:1")["ok"], True, "the answer")
        before = broker.fds()  # with a connection to the service, which is kept
        client.send_json({"type": "subscribe", "topics": ["stall:1"]})
        wait_until(lambda: len(service.requests) == 2, 5, "the question")
        client.abort()
        wait_until(lambda: broker.fds() == before - 2, 5, "both connections to be gone")


def test_reload_and_end_while_the_service_stalls():
    with Service() as service, broker_of(service) as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.send_json({"type": "subscribe", "topics": ["stall:1"], "id": "s"})
        wait_until(lambda: service.requests, 5, "the question")
        broker.write_file("acl.lua", ACL + "-- another\n")
        broker.sighup()
        contains(client.recv_where({"type": "reply", "id": "s"})["topics"]["stall:1"], {"ok": False, "code": "unavailable"}, "the answer")
        equal(asks(client, "list:1")["ok"], True, "after the reload")
        client.send_json({"type": "subscribe", "topics": ["stall:2"], "id": "s"})
        wait_until(lambda: ("/stall", {"user": "u1", "id": "2"}) in service.requests, 5, "the question")
        started = time.monotonic()
        broker.stop()
        check(time.monotonic() - started < scaled(5), "it waited for the service")


def test_a_service_that_is_not_there_is_unavailable_at_once():
    with Service() as gone:
        pass
    with broker_of(gone) as broker, WsClient(broker.address, token=mint("u1")) as client:
        started = time.monotonic()
        contains(asks(client, "list:1"), {"ok": False, "code": "unavailable"}, "the answer")
        check(time.monotonic() - started < scaled(1), "it took long")


def test_a_hook_whose_service_is_down_is_left_alone_and_asked_again_when_it_is_back():
    labels = {"hook": "acl", "tenant": "acme"}
    with Service() as service, broker_of(service, timeout_ms=200) as broker, WsClient(broker.address, token=mint("u1")) as client:
        equal(asks(client, "list:1")["ok"], True, "the answer")
        equal(broker.metric("hookwire_hook_breaker_open", **labels), 0, "open")
        for n in range(3):
            contains(asks(client, f"stall:{n}"), {"ok": False, "code": "unavailable"}, "a service that stalls")
        equal(broker.metric("hookwire_hook_breaker_open", **labels), 1, "open")
        asked = len(service.requests)
        contains(asks(client, "list:2"), {"ok": False, "code": "unavailable"}, "while the breaker is open")
        equal(len(service.requests), asked, "questions while the breaker is open")
        check(broker.metric("hookwire_hook_breaker_refused_total", **labels) >= 1, "refused calls are counted")
        broker.wait_log("left alone for a while hook=acl")
        wait_until(lambda: asks(client, "list:3")["ok"], 5, "the hook to be asked again")
        equal(broker.metric("hookwire_hook_breaker_open", **labels), 0, "open")


def test_a_certificate_that_nobody_vouches_for_is_refused_and_a_known_one_is_not():
    with Broker() as scratch:  # for its directory
        key, certificate = scratch.dir / "key.pem", scratch.dir / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=service", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                       check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with Service(context) as service:
            never = {"failures": 0, "share": 0}
            with broker_of(service, url=f"https://{service.address}/", breaker=never) as broker, WsClient(broker.address, token=mint("u1")) as client:
                contains(asks(client, "list:1"), {"ok": False, "code": "unavailable"}, "the answer")
                broker.wait_log("asked: .*certificate")
                with WsClient(broker.address, token=mint("u2")) as other:  # each of these connects anew
                    for n in range(30):
                        client.send_json({"type": "subscribe", "topics": [f"list:{n}"]})
                    pongs_are_quick(other, 0.5)
                equal(service.requests, [], "what an unknown service was told")
            env = {"SSL_CERT_FILE": str(certificate)}
            with broker_of(service, url=f"https://{service.address}/", env=env) as broker, WsClient(broker.address, token=mint("u1")) as client:
                equal(asks(client, "list:1")["ok"], True, "with a certificate that SSL_CERT_FILE vouches for")
            port = service.address.rpartition(":")[2]
            with broker_of(service, url=f"https://localhost:{port}/", env=env) as broker, WsClient(broker.address, token=mint("u1")) as client:
                contains(asks(client, "list:1"), {"ok": False, "code": "unavailable"}, "with another name than the certificate's")


def test_a_silent_resolver_makes_no_gap():
    with Broker() as scratch:
        source, library = scratch.dir / "silent.c", scratch.dir / "silent.so"
        source.write_text(SILENT)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        env = {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
        with Service() as service, broker_of(service, url="http://silent.example/", timeout_ms=400, env=env) as broker:
            clients = [WsClient(broker.address, token=mint(f"u{n}")) for n in range(20)]
            with WsClient(broker.address, token=mint("other")) as other:
                for n, client in enumerate(clients):
                    client.send_json({"type": "subscribe", "topics": [f"list:{n}"], "id": "s"})
                pongs_are_quick(other, 1)
            for n, client in enumerate(clients):
                reply = client.recv_where({"type": "reply", "id": "s"})
                contains(reply["topics"][f"list:{n}"], {"ok": False, "code": "unavailable"}, "the answer")
            broker.wait_log("the host's name is not resolved")
            threads = len(list(pathlib.Path(f"/proc/{broker.process.pid}/task").iterdir()))
            check(threads < 16, f"{threads} threads")
            for client in clients[:5]:  # who leaves does not wait for the resolver either
                client.send_json({"type": "subscribe", "topics": ["list:x"]})
            for client in clients:
                client.abort()
            started = time.monotonic()
            broker.stop()
            check(time.monotonic() - started < scaled(5), "it waited for the resolver")


main()
