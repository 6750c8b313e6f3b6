#!/usr/bin/python3
# Whatever is answered over HTTP: what depends on a token is stored nowhere, pages that are listed can read it, errors too, and no others
# can; errors have their members and no white space between them.
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

PAGE, OTHER = "https://app.example.com", "https://evil.example.com"
EVENT = {"topic": "a:1", "event": "ADDED", "data": {"entity_id": "e"}}
BODY_BYTES = 2000
POLICY = """
return policy { api = 1, authorize = {
  subscribe = function(s, topic) if topic.resource == "secret" then return deny("forbidden_topic") end return allow() end,
  publish = function(s, topic) if topic.resource == "broken" then error("no") end return allow() end,
  presence = function() return allow() end } }
"""
CONFIG = {"auth": {"origins": [PAGE]}, "presence": {"topics": ["a:*"]}, "limits": {"body_bytes": BODY_BYTES}, "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}
# (method, path, body, status with a good token, depends on a token)
REQUESTS = [
    ("GET", "/cursor", b"", 200, True), ("POST", "/publish", EVENT, 200, True), ("POST", "/publish", [EVENT, {}], 207, True), ("POST", "/publish", {"x": 1}, 400, True),
    ("POST", "/publish", {**EVENT, "topic": "broken:1"}, 503, True), ("POST", "/publish", {"x": "y" * BODY_BYTES}, 413, True), ("POST", "/ticket", b"", 200, True),
    ("GET", "/poll?topics=a:1&wait=0", b"", 200, True), ("GET", "/poll?topics=secret:1&wait=0", b"", 403, True), ("GET", "/poll?topics=a:1&cursor=x", b"", 400, True),
    ("GET", "/topics/a:1/history", b"", 200, True), ("GET", "/topics/secret:1/history", b"", 403, True), ("GET", "/topics/a:1/presence", b"", 200, True),
    ("GET", "/topics/b:1/presence", b"", 400, True), ("HEAD", "/sse?topics=a:1", b"", 200, True), ("GET", "/sse?topics=secret:1", b"", 403, True),
    ("GET", "/sse?topics=a:1&cursor=x", b"", 400, True), ("GET", "/nowhere", b"", 404, False), ("POST", "/cursor", b"", 405, False), ("GET", "/healthz", b"", 200, False),
]


def ask(broker, method, path, body, token, origin):
    headers = [("Origin", origin)] + ([("Authorization", "Bearer " + token)] if token else []) + ([("Content-Type", "application/json")] if body else [])
    return http(broker.address, method, path, headers, body)


def looked_at(answer, what, depends):
    equal(answer.header("Cache-Control"), "no-store" if depends else None, f"{what}: Cache-Control")
    equal((answer.header("Access-Control-Allow-Origin"), answer.header("Vary")), (PAGE, "Origin"), f"{what}: who may read it")
    if not answer.body:
        return
    equal(json.dumps(answer.json(), separators=(",", ":"), ensure_ascii=False), answer.body.decode(), f"{what}: white space")
    if answer.status >= 400:
        equal(set(answer.json()) - {"retry_after_ms"}, {"code", "message", "retryable"}, f"{what}: members")
        if answer.status == 503:
            check(int(answer.header("Retry-After")) > 0, f"{what}: Retry-After")
            contains(answer.header("Access-Control-Expose-Headers"), "retry-after", f"{what}: what a page may read")


def test_every_answer_is_for_who_asked():
    with Broker(CONFIG, files={"p.lua": POLICY}) as broker:
        for method, path, body, status, depends in REQUESTS:
            for token in (mint("u1"), None, "nonsense"):
                what = f"{method} {path} {'with a token' if token else 'without'}"
                answer = ask(broker, method, path, body, token, PAGE)
                if not depends or token and token != "nonsense":
                    equal(answer.status, status, what)
                else:
                    check(answer.status in (401, 400, 413), f"{what}: {answer.status}")
                looked_at(answer, what, depends)


def test_a_page_that_is_not_listed_reads_nothing():
    with Broker(CONFIG, files={"p.lua": POLICY}) as broker:
        for method, path, body, _, _ in REQUESTS:
            answer = ask(broker, method, path, body, mint("u1"), OTHER)
            equal([name for name, _ in answer.headers if name.lower().startswith("access-control-")], [], f"{method} {path}")
            equal(answer.header("Vary"), "Origin", f"{method} {path}: a cache keeps them apart")


def test_a_preflight_allows_what_clients_need_and_no_more():
    with Broker(CONFIG, files={"p.lua": POLICY}) as broker:
        for path in {path.split("?")[0] for _, path, _, status, _ in REQUESTS if status != 404}:
            answer = http(broker.address, "OPTIONS", path, {"Origin": PAGE, "Access-Control-Request-Method": "GET"})
            equal((answer.status, answer.body, answer.header("Access-Control-Allow-Origin")), (204, b"", PAGE), path)
            equal(answer.header("Access-Control-Allow-Methods"), "GET, POST", path)
            equal(answer.header("Access-Control-Allow-Headers").split(", "), ["authorization", "content-type", "idempotency-key", "last-event-id", "traceparent"], path)
            answer = http(broker.address, "OPTIONS", path, {"Origin": OTHER, "Access-Control-Request-Method": "GET"})
            equal((answer.status, answer.header("Access-Control-Allow-Origin")), (204, None), f"{path}: a page that is not listed")


main()
