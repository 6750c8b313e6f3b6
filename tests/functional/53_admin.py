#!/usr/bin/python3
# The admin listener: metrics that Prometheus can read, health, a bearer token for the API, and a Host that must be its own.
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

def test_metrics_are_prometheus_text_and_count():
    with Broker({"workers": 2}) as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.subscribe("t:1")
        before = broker.metrics()
        for _ in range(5):
            equal(broker.publish("t:1").status, 200, "publish")
            client.recv_event()
        answer = http(broker.admin_address, "GET", "/metrics")
        equal(answer.status, 200, "without a token, on loopback")
        contains(answer.header("Content-Type"), "text/plain", "type")
        types, samples = read_exposition(answer.body.decode())
        check(all(name.startswith("hookwire_") or name.startswith("process_") for name in types), f"families {sorted(types)}")
        check(all(name.endswith("_total") for name, kind in types.items() if kind == "counter"), "a counter's name ends in _total")
        check("hookwire_hook_calls_total" in types, f"families {sorted(types)}")
        check(any('hook="open"' in s and 'tenant="acme"' in s and 'stage="' in s for s in samples), "labels of hook calls")
        after = broker.metrics()
        falls = [name for name in before if re.sub(r"\{.*", "", name).endswith("_total") and after.get(name, 0) < before[name]]
        equal(falls, [], "counters that fell")
        grown = broker.metric("hookwire_hook_calls_total", hook="open", stage="authorize")
        check(grown >= 6, f"authorize was called {grown} times")


def test_every_refused_publish_is_counted_a_malformed_one_too():
    good = {"topic": "t:1", "event": "ADDED", "data": {"entity_id": "e1", "payload": {}}}
    malformed = {"topic": "t:1"}
    with Broker() as broker, WsClient(broker.address, token=mint("u1")) as client:
        def refused():
            return broker.metric("hookwire_publishes_refused_total")
        for body, status, n in ((malformed, 400, 1), ("{", 400, 2), ([good, malformed], 207, 3), ("[]", 400, 4), (good, 200, 4)):
            answer = http(broker.address, "POST", "/publish", {"Content-Type": "application/json"}, body, mint("shop"))
            equal(answer.status, status, f"POST {body}")
            equal(refused(), n, f"counted after POST {body}")
        equal(client.request({"type": "publish", **malformed, "id": 1})["type"], "error", "by WebSocket")
        equal(refused(), 5, "counted after a malformed publish by WebSocket")
        equal(client.request({"type": "subscribe", "topics": 5, "id": 2})["type"], "error", "no publish at all")
        equal(refused(), 5, "counted after a malformed subscribe")


def test_labels_of_names_that_need_escaping():
    strange = 'we"ird\\ten\nant'
    with Broker() as broker:
        for tenant in (strange, "x" * 300, "ünïcode"):
            try:
                broker.publish("t:1", tenant=tenant)
            except UnicodeError:
                pass
        read_exposition(http(broker.admin_address, "GET", "/metrics").body.decode())


def test_the_token_never_reaches_log_or_metrics():
    token = mint("u1")
    with Broker() as broker:
        with WsClient(broker.address, token=token) as client:
            client.subscribe("t:1")
        http(broker.address, "GET", "/nothing?token=" + token)
        http(broker.address, "POST", "/publish", body={"no": "event"}, token=token)
        text = broker.log() + http(broker.admin_address, "GET", "/metrics").body.decode()
        check(token not in text and token.split(".")[2] not in text, "a token is in the log")
        check(ADMIN_TOKEN not in text, "the admin token is in the log")


def test_the_api_wants_its_bearer_token():
    with Broker() as broker:
        for path in ("/api", "/api/", "/api/status", "/api/reload", "/console", "/api/nothing"):
            for method in ("GET", "POST"):
                for token in (None, "wrong", ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x", mint("u1")):
                    answer = http(broker.admin_address, method, path, token=token)
                    equal(answer.status, 401, f"{method} {path} with {token}")
        equal(http(broker.admin_address, "GET", "/api/nothing-of-the-kind", token=ADMIN_TOKEN).status, 404, "with the token")
        equal(http(broker.admin_address, "GET", f"/api/status?token={ADMIN_TOKEN}").status, 401, "in the query")


def test_reload_by_the_api():
    with Broker() as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.subscribe("t:1")
        body = {"headers": {"Content-Type": "application/json"}, "body": "{}", "token": ADMIN_TOKEN}
        for kind in ("text/plain", "application/x-www-form-urlencoded"):  # what a web page may send unasked
            answer = http(broker.admin_address, "POST", "/api/reload", {"Content-Type": kind}, "{}", ADMIN_TOKEN)
            equal(answer.status, 415, kind)
        mark = broker.log_mark()
        answer = http(broker.admin_address, "POST", "/api/reload", **body)
        equal((answer.status, answer.json()["result"]), (200, "ok"), "reload")
        broker.wait_log("reload: reloaded", since=mark)
        client.ping()


def test_without_a_configured_token_nobody_enters_the_api():
    with Broker({"admin": {"token": None}}) as broker:
        for token in (None, "", "null", "x" * 20):
            equal(http(broker.admin_address, "GET", "/api/status", token=token).status, 401, f"with {token!r}")
        equal(http(broker.admin_address, "GET", "/metrics").status, 200, "metrics")


def test_host_must_be_its_own():
    with Broker() as broker:
        port = broker.admin_address.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
            equal(http(broker.admin_address, "GET", "/metrics", {"Host": host}).status, 200, host)
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", f"127.0.0.1.evil.example:{port}",
                     f"localhost.evil.example:{port}", "10.0.0.1"):
            for path in ("/metrics", "/api/status"):
                answer = http(broker.admin_address, "GET", path, {"Host": host}, token=ADMIN_TOKEN)
                check(answer.status in (400, 403, 421), f"{host} {path}: {answer!r}")


def test_admin_paths_are_not_on_the_public_listener_and_the_other_way_round():
    with Broker() as broker:
        for path in ("/metrics", "/api/status", "/console"):
            equal(http(broker.address, "GET", path, token=ADMIN_TOKEN).status, 404, path)
        equal(http(broker.admin_address, "POST", "/publish", body={}, token=mint("u1")).status, 404, "publish on the admin listener")


def test_readiness_while_draining_on_the_admin_listener():
    with Broker({"drain_ms": 20000}) as broker:
        clients = [WsClient(broker.address, token=mint(f"u{i}")) for i in range(20)]
        for client in clients:
            client.ping()
        equal(http(broker.admin_address, "GET", "/readyz").status, 200, "before")
        broker.sigterm()

        def not_ready():
            try:
                return http(broker.admin_address, "GET", "/readyz").status == 503
            except EOFError:
                return False
        wait_until(not_ready, 5, "not ready")
        equal(http(broker.admin_address, "GET", "/healthz").status, 200, "alive")
        equal(http(broker.admin_address, "GET", "/metrics").status, 200, "metrics while draining")
        for client in clients:
            client.abort()


main()
