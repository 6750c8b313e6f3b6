#!/usr/bin/python3
# A service is told who connects and leaves, signed; it fails, stalls and recovers, and nobody who connects waits for it.
import base64
import contextlib
import json
import pathlib
import re
import ssl
import subprocess
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

QUICK = {"retry_ms": 20, "retry_max_ms": 100}


def config(service, **settings):
    entry = {"name": "tell", "plugin": "webhook", "config": {"url": service.url, "secret": WEBHOOK_SECRETS[0], **QUICK, **settings}}
    return {"hooks": base_config()["hooks"] + [entry]}


@contextlib.contextmanager
def connected(broker, user):
    with WsClient(broker.address, token=mint(user), protocols=["hookwire.v1"]) as client:
        client.recv_where({"type": "welcome"})
        yield client


def visit(broker, *users):
    for user in users:
        with connected(broker, user):
            pass


def count(broker, name):
    return broker.metric(f"hookwire_plugin_webhook_{name}_total")


def test_who_connects_and_leaves_is_told_and_signed():
    with WebhookService() as service, Broker(config(service, secret=WEBHOOK_SECRETS)) as broker:
        with connected(broker, 'zoë "\\\x01') as client:
            wait_until(lambda: len(service.bodies()) == 1, 10, "the first")
            client.close(1000)
        wait_until(lambda: len(service.bodies()) == 2, 10, "the second")
        first, second = service.seen
        for one in (first, second):
            equal(one["path"], "/hooks?a=b", "path")
            headers = {name.lower(): value for name, value in one["headers"].items()}
            equal(headers["content-type"], "application/json", "type")
            equal(headers["webhook-signature"], " ".join(webhook_signature(key, headers, one["raw"]) for key in WEBHOOK_KEYS), "signatures")
            check(abs(int(headers["webhook-timestamp"]) - time.time()) < 60, f"timestamp {headers['webhook-timestamp']}")
        check(first["headers"]["webhook-id"] != second["headers"]["webhook-id"], "two ids")
        page = (ROOT / "plugins/webhook/README.md").read_text()
        example = json.loads(re.search(r"(?s)## What is sent\n.*?```json\n(.*?)```", page)[1])
        equal([[*first["body"]], [*first["body"]["data"]]], [[*example], [*example["data"]]], "members, as the README shows them")
        equal(first["body"]["type"], "session.connected", "the first")
        data = first["body"]["data"]
        equal((data["tenant_id"], data["user_id"], data["address"]), ("acme", 'zoë "\\\x01', "127.0.0.1"), "who")
        check(data["session"] and first["body"]["timestamp"].endswith("Z"), first["body"])
        equal(second["body"]["type"], "session.disconnected", "the second")
        equal(second["body"]["data"], {**data, "close_code": 1000}, "the same session")
        wait_until(lambda: count(broker, "delivered") == 2, 10, "the metric")


def test_what_fails_is_tried_again_under_the_same_id_and_given_up_at_last():
    with WebhookService() as service, Broker(config(service, events=["connect"], attempts=4, concurrency=1)) as broker:
        service.answers = [(500, {}), (302, {"Location": service.url}), (400, {})]
        visit(broker, "u1")
        wait_until(lambda: service.users() == ["u1"], 10, "the fourth attempt")
        equal([one["status"] for one in service.seen], [500, 302, 400, 204], "answers")
        equal(len({one["headers"]["webhook-id"] for one in service.seen}), 1, "ids")
        for one in service.seen:
            equal(one["headers"]["webhook-signature"], webhook_signature(WEBHOOK_KEYS[0], one["headers"], one["raw"]), "signature")
        pauses = [b["at"] - a["at"] for a, b in zip(service.seen, service.seen[1:])]
        for pause, least in zip(pauses, (0.010, 0.020, 0.040)):
            check(pause >= least, f"pauses {pauses}")
        wait_until(lambda: (count(broker, "failed"), count(broker, "delivered")) == (3, 1), 10, "the metrics")
        service.answers = [(503, {})] * 4
        visit(broker, "u2")
        broker.wait_log(r"msg_[0-9a-f]{32} is given up after 4 attempts: it was answered 503")
        visit(broker, "u3")
        wait_until(lambda: "u3" in service.users(), 10, "the one after it")
        equal(count(broker, "given_up"), 1, "given up")
        equal(service.users(), ["u1", "u3"], "delivered")


def test_a_receiver_may_ask_for_time():
    with WebhookService() as service, Broker(config(service, events=["connect"], retry_max_ms=60000)) as broker:
        service.answers = [(429, {"Retry-After": "1"})]
        visit(broker, "u1")
        wait_until(lambda: service.users() == ["u1"], 10, "the second attempt")
        check(service.seen[1]["at"] - service.seen[0]["at"] >= 0.99, "it came back too early")


def test_nobody_waits_while_it_stalls_the_queue_is_bounded_and_all_comes_when_it_recovers():
    users = [f"u{i}" for i in range(12)]
    with WebhookService() as service, Broker(config(service, events=["connect"], concurrency=2, queue=8, timeout_ms=60000)) as broker:
        service.going.clear()
        for user in users:
            begun = time.monotonic()
            visit(broker, user)
            check(time.monotonic() - begun < scaled(5), f"{user} waited")
        wait_until(lambda: len(service.seen) == 2, 10, "two at a time")
        equal(count(broker, "dropped"), 4, "dropped")
        equal(len([line for line in broker.log().split("\n") if "the queue is full" in line]), 1, "lines about it")
        service.going.set()
        wait_until(lambda: count(broker, "delivered") == 8, 10, "what was queued")
        equal(sorted(service.users()), sorted(users[:8]), "delivered")
        visit(broker, "later")
        wait_until(lambda: "later" in service.users(), 10, "the next one")


def test_a_timeout_is_a_failure_and_a_server_that_comes_back_gets_it():
    with WebhookService() as service, Broker(config(service, events=["connect"], timeout_ms=200, attempts=20)) as broker:
        service.answers = [(204, {"Connection": "close"})] * 20  # so that nothing of it is left when it ends
        service.going.clear()
        visit(broker, "u1")
        wait_until(lambda: count(broker, "failed") >= 1, 10, "a timeout")
        service.going.set()
        wait_until(lambda: count(broker, "delivered") == 1, 10, "the delivery")
        port = service.server_address[1]
        service.shutdown()
        service.server_close()
        before = count(broker, "failed")
        visit(broker, "u2")
        wait_until(lambda: count(broker, "failed") > before, 10, "a refused connection")
        with WebhookService(port) as again:
            wait_until(lambda: again.users() == ["u2"], 10, "the delivery")


def test_nothing_is_told_to_a_server_that_nobody_vouches_for():
    with temporary_directory() as tmp:
        key, certificate = tmp / "key.pem", tmp / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=service", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                       check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with WebhookService(context=context) as service:
            with Broker(config(service, events=["connect"], attempts=1)) as broker:
                visit(broker, "u1")
                broker.wait_log("given up after 1 attempts: .*certificate")
                equal(service.seen, [], "what it was told")
            with Broker(config(service, events=["connect"]), env={"SSL_CERT_FILE": str(certificate)}) as broker:
                visit(broker, "u2")
                wait_until(lambda: service.users() == ["u2"], 10, "with a certificate that SSL_CERT_FILE vouches for")


def test_a_redirect_is_not_followed():
    with WebhookService() as service, WebhookService() as elsewhere, Broker(config(service, events=["connect"])) as broker:
        service.answers = [(status, {"Location": elsewhere.url}) for status in (301, 302, 307, 308)]
        visit(broker, "u1")
        wait_until(lambda: service.users() == ["u1"], 10, "the delivery, when it no longer sends elsewhere")
        equal((elsewhere.seen, count(broker, "failed")), ([], 4), "what was told elsewhere, and attempts that failed")


def test_who_answers_gone_is_left_alone():
    with WebhookService() as service, Broker(config(service, events=["connect"])) as broker:
        service.answers = [(410, {})]
        visit(broker, "u1")
        broker.wait_log("wants no more")
        visit(broker, "u2")
        wait_until(lambda: count(broker, "dropped") == 2, 10, "both")
        equal(len(service.seen), 1, "requests")


def test_a_broker_that_stops_delivers_what_it_has_and_does_not_wait_for_ever():
    with WebhookService() as service:
        with Broker(config(service, close_ms=5000)) as broker, connected(broker, "u1"):
            broker.stop()
        wait_until(lambda: service.users("session.disconnected") == ["u1"], 10, "who left because of it")
        service.going.clear()
        with Broker(config(service, close_ms=100, timeout_ms=60000)) as broker, connected(broker, "u2"):
            wait_until(lambda: any(one["body"]["data"]["user_id"] == "u2" for one in service.seen), 10, "the request")
            begun = time.monotonic()
            broker.stop()
            check(time.monotonic() - begun < scaled(10), "it waited")


def test_a_new_address_is_used_after_sighup():
    with WebhookService() as one, WebhookService() as two, Broker(config(one, events=["connect"])) as broker:
        visit(broker, "u1")
        wait_until(lambda: one.users() == ["u1"], 10, "the first")
        broker.write_config(merge(base_config(), config(two, events=["connect"])))
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log("reload", since=mark)
        def told():
            visit(broker, "u2")
            return two.users()
        wait_until(told, 10, "the second", interval=0.05)


def test_settings_that_are_wrong_are_refused():
    good = {"url": "https://shop.example/hooks", "secret": WEBHOOK_SECRETS[0]}
    with temporary_directory() as tmp:
        for change, said in (({"url": None}, 'there is no "url"'), ({"secret": None}, 'there is no "secret"'), ({"url": "shop.example"}, "a whole address"),
                             ({"url": "ftp://shop.example"}, "a whole address"), ({"url": 7}, "a whole address"), ({"secret": "hunter2"}, "whsec_"),
                             ({"secret": "whsec_" + base64.b64encode(b"x" * 23).decode()}, "whsec_"),
                             ({"secret": "whsec_" + base64.b64encode(b"x" * 65).decode()}, "whsec_"), ({"secret": []}, "whsec_"),
                             ({"secret": [WEBHOOK_SECRETS[0], "whsec_?"]}, "whsec_"), ({"secret": WEBHOOK_SECRETS * 3}, "more than 4"),
                             ({"events": []}, "connect"), ({"events": ["subscribe"]}, "connect"), ({"events": "connect"}, "connect"),
                             ({"topics": []}, "an array of topics"), ({"topics": ["*"]}, "an array of topics"), ({"topics": ["a:*b"]}, "an array of topics"),
                             ({"topics": "a:1"}, "an array of topics"), ({"topics": ["A:1"]}, "an array of topics"), ({"topics": [f"a:{n}" for n in range(65)]}, "more than 64"),
                             ({"queue_bytes": 1}, "65536 to 1073741824"),
                             ({"attempts": 0}, "1 to 20"), ({"attempts": 1.5}, "1 to 20"), ({"timeout_ms": "1"}, "100 to 60000"),
                             ({"queue": 10**12}, "1 to 1000000"), ({"retry_ms": 1000, "retry_max_ms": 10}, "less than"),
                             ({"retries": 3}, "unknown setting")):
            settings = {name: value for name, value in {**good, **change}.items() if value is not None}
            path = tmp / "hookwire.json"
            path.write_text(json.dumps({"hooks": [{"name": "tell", "plugin": "webhook", "config": settings}]}))
            done = cli("check", "-c", path)
            check(done.returncode != 0, f"accepted: {settings}")
            contains(done.stdout + done.stderr, said, str(change))
            check("hunter2" not in done.stdout + done.stderr, "a secret is shown")
        path.write_text(json.dumps({"hooks": [{"name": "tell", "plugin": "webhook", "config": {**good, "events": ["disconnect"]}}]}))
        check("tell" not in cli("check", "-c", path).stdout, "good settings are refused")


main()
