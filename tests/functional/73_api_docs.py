#!/usr/bin/python3
# GET /openapi.json and /asyncapi.json: valid for public validators, complete, and true of what the broker answers.
# ctest: timeout=180
import json
import pathlib
import re
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

JSON = {"Content-Type": "application/json"}
HERE = pathlib.Path(__file__).resolve().parent
V1 = ["hookwire.v1"]
EVENT = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": 1}}}
CLOUD = {"specversion": "1.0", "id": "1", "source": "s", "type": "ADDED", "subject": "a:1", "data": 5}


def documents(broker):
    return {name: http(broker.address, "GET", f"/{name}.json").json() for name in ("openapi", "asyncapi")}


def problems(docs, samples=()):
    """What the validators say, line by line."""
    done = subprocess.run(["node", str(HERE / "api_docs_check.js")], input=json.dumps({**docs, "samples": list(samples)}), cwd=HERE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=scaled(60))
    equal(done.returncode, 0, f"the check: {done.stderr[-500:]}")
    return done.stdout.splitlines()


def table():
    """(path, method) of every route in the broker's tables; of which listener."""
    routes = {}
    for name, source in (("public", "routes.c"), ("admin", "admin.c")):
        text = (ROOT / "core/edge" / source).read_text()
        for body in re.findall(r"^static const struct route \w*routes\[\] = \{\n(.*?)^\};", text, re.M | re.S):
            for path, rest in re.findall(r'^\t\{"(/[^"]+)"([^}]*)\}', body, re.M):
                routes[path, "post" if re.search(r"\.post = true", rest) else "get"] = name
    return routes


def test_they_are_served_to_anybody_without_white_space():
    with Broker() as broker:
        for name in ("openapi", "asyncapi"):
            answer = http(broker.address, "GET", f"/{name}.json")
            equal((answer.status, answer.header("Content-Type"), answer.header("Access-Control-Allow-Origin")), (200, "application/json", "*"), name)
            written = json.loads((ROOT / f"docs/{name}.json").read_text())
            check(answer.json() == written, f"{name} is not docs/{name}.json")
            check(answer.body.decode() == json.dumps(written, separators=(",", ":"), ensure_ascii=False), f"{name} has white space between its tokens")
            head = http(broker.address, "HEAD", f"/{name}.json")
            equal((head.status, head.body, head.header("Content-Length")), (200, b"", str(len(answer.body))), f"HEAD of {name}")
            equal(http(broker.address, "POST", f"/{name}.json", JSON, {}).status, 405, f"POST of {name}")
            equal(http(broker.admin_address, "GET", f"/{name}.json").status, 404, f"{name} on the admin listener")
            check(http(broker.admin_address, "GET", "/api/status", token=ADMIN_TOKEN).json()["version"] not in written["info"]["version"], "it tells what runs here")


def test_every_route_is_there_and_no_other():
    routes = table()
    check({("/ws", "get"), ("/publish", "post"), ("/healthz", "get"), ("/metrics", "get"), ("/api/reload", "post")} <= set(routes) and len(routes) >= 18,
          f"the table is not found: {sorted(routes)}")
    with Broker() as broker:
        openapi = documents(broker)["openapi"]
        told = {(path, method): item for path, item in openapi["paths"].items() for method in item if method in ("get", "post", "put", "delete", "patch")}
        equal(sorted(told), sorted(routes), "paths and methods")
        for (path, method), item in told.items():
            admin = "servers" in item
            equal(admin, routes[path, method] == "admin", f"the listener of {path}")
            address = broker.admin_address if admin else broker.address
            answer = http(address, method.upper(), re.sub(r"\{\w+\}", "a:1", path))
            check(answer.status not in (404, 405), f"{method} {path}: {answer.status}")
            known = set(item[method]["responses"])
            check(str(answer.status) in known, f"{method} {path}: {answer.status} is not among {sorted(known)}")
        ids = [item[method]["operationId"] for (_, method), item in told.items()]
        equal(len(ids), len(set(ids)), "operationIds")


def test_public_validators_find_nothing_and_would():
    with Broker() as broker:
        docs = documents(broker)
    equal(problems(docs), [], "what the validators say")
    broken = json.loads(json.dumps(docs))
    del broken["openapi"]["paths"]["/cursor"]["get"]["responses"]["200"]["description"]
    broken["asyncapi"]["operations"]["say"]["action"] = "shout"
    found = problems(broken, [{"in": "openapi", "schema": "/components/schemas/Head", "value": {"cursor": 5}}])
    for part in ("openapi: ", "asyncapi: ", "openapi#/components/schemas/Head"):
        check(any(line.startswith(part) for line in found), f"what is broken is not found: {part}: {[line[:100] for line in found]}")


def source(name):
    return (ROOT / name).read_text()


CODES = re.findall(r'CODE\(\w+, "(\w+)", (\d+), (\d+), (true|false)', source("core/wire/code.c"))


def columns(text, key):
    """Rows of the Markdown tables whose first cell is one name in `code`, as {name: [cells]}."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row for row in rows if re.fullmatch(rf"`{key}`", row[0])}


def test_every_code_is_in_the_documents_with_all_that_it_means():
    check(len(CODES) == 11, f"the table of codes is not found: {CODES}")
    told = columns(source("docs/protocol.md"), r"[a-z_]+")
    for name, http_status, close, retry in CODES:
        check(name in told, f"{name} is not in docs/protocol.md")
        _, _, told_http, told_close, told_retry = told[name]
        check(http_status in told_http or name == "slow_consumer", f"{name}: HTTP {told_http}, not {http_status}")
        check(close in told_close, f"{name}: close {told_close}, not {close}")
        equal(told_retry.startswith("yes"), retry == "true", f"{name}: retry {told_retry}")
    for document in ("openapi", "asyncapi"):
        enum = json.loads(source(f"docs/{document}.json"))["components"]["schemas"]["Code"]["enum"]
        equal(sorted(enum), sorted(code[0] for code in CODES), f"codes of docs/{document}.json")


def test_every_message_and_close_code_is_in_the_documents():
    protocol = source("docs/protocol.md")
    said = set(re.findall(r'begin\(out, (?:plain|false), "(\w+)"\)', source("core/wire/control.c")))
    asked = set(re.findall(r'\{\{"(\w+)", \d+\}, HW_COMMAND_', source("core/wire/command.c")))
    check({"welcome", "reply", "gap", "presence"} <= said and {"auth", "subscribe"} <= asked, f"they are not found: {said} {asked}")
    messages = json.loads(source("docs/asyncapi.json"))["components"]["messages"].values()
    types = {m["payload"]["properties"]["type"]["const"] for m in messages if "type" in m["payload"].get("properties", {})}
    equal(types, said | asked, "types of docs/asyncapi.json")
    for name in said | asked:
        check(f'{{"type":"{name}"' in protocol, f"docs/protocol.md has no {name}")
    events = re.search(r"heard\[\] = \{([^}]*)\}", source("core/edge/sse.c"))[1]
    for name in [*re.findall(r'"(\w+)"', events), "cursor", "closed"]:
        check(re.search(rf"\| `event: {name}`|, then `{name}`", protocol), f"docs/protocol.md has no event: {name}")
    closes = {int(code[2]) for code in CODES} | {int(n) for n in re.findall(r"HW_WS_CODE_\w+ = (\d+)", source("core/wire/ws.h"))}
    closes |= {int(n) for n in re.findall(r"hw_session_close\(s, (4\d{3}),", source("core/session/session.c"))}
    closes.discard(1005)  # never on the wire
    check({1009, 4400, 4408, 4508} <= closes, f"close codes are not found: {closes}")
    section = protocol[protocol.index("### Close codes"):]
    for code in closes:
        check(str(code) in section[:section.index("\n## ")], f"docs/protocol.md has no close code {code}")


def test_every_path_is_in_the_manuals():
    protocol, operations = source("docs/protocol.md"), source("docs/operations.md")
    for (path, method), listener in table().items():
        text = re.sub(r"\{topic\}", "a:1", path)
        check(text in (operations if listener == "admin" else protocol), f"{method} {path} of the {listener} listener is in no manual")


def answers(broker):
    """What the broker says, each with the schema that the document has for it."""
    samples = []

    def add(schema, value, document="openapi"):
        samples.append({"in": document, "schema": schema, "value": value})

    def ask(admin, method, path, status=200, body=b"", token=None, kind="application/json", pointer=None):
        answer = http(broker.admin_address if admin else broker.address, method, path, {"Content-Type": kind} if body else None,
                      json.dumps(body) if body else b"", token)
        equal(answer.status, status, f"{method} {path}: {answer.body[:200]}")
        place = path.split("?")[0].replace("/", "~1")
        response = f"/paths/{place}/{method.lower()}/responses/{status}/content/application~1json/schema"
        add(pointer or response, answer.json())
        if body and status == 200:
            add(f"/paths/{place}/{method.lower()}/requestBody/content/{kind.replace('/', '~1')}/schema", body)
        return answer.json()
    token, error = mint("anna", jti="j"), "/components/schemas/Error"
    ask(False, "POST", "/publish", body={**EVENT, "version": 2, "trace_id": "x"}, token=token)
    ask(False, "POST", "/publish", body=[EVENT, {**EVENT, "key": "k"}, {**EVENT, "key": "k"}], token=token)
    ask(False, "POST", "/publish", 207, body=[EVENT, {}], token=token)
    ask(False, "POST", "/publish", body=CLOUD, token=token, kind="application/cloudevents+json")
    ask(False, "POST", "/publish", body=[CLOUD], token=token, kind="application/cloudevents-batch+json")
    for status, body, who in ((400, {"a": 1}, token), (401, EVENT, None), (415, EVENT, token)):
        ask(False, "POST", "/publish", status, body=body, token=who, kind="text/plain" if status == 415 else "application/json", pointer=error)
    for path in ("/cursor", "/healthz", "/readyz", "/openapi.json", "/asyncapi.json"):
        ask(False, "GET", path, token=token if path == "/cursor" else None)
    ask(False, "POST", "/ticket", token=token)
    ask(False, "GET", "/poll?topics=a:1&wait=0&last=1", token=token)
    page = "/paths/~1topics~1{topic}~1history/get/responses/200/content/application~1json/schema"
    check(ask(False, "GET", "/topics/a:1/history?limit=2", token=token, pointer=page)["events"], "a page of nothing shows nothing")
    with WsClient(broker.address, token=token, protocols=V1) as client:
        session = client.recv_where({"type": "welcome"})["session"]
        client.subscribe("a:1")
        for path in ("/api/sessions", f"/api/sessions?session={session}", "/api/status", "/api/hooks"):
            ask(True, "GET", path, token=ADMIN_TOKEN)
        ask(True, "POST", "/api/reauthorize", body={"tenant": "acme"}, token=ADMIN_TOKEN)
        ask(True, "POST", "/api/sessions/disconnect", body={"user": "nobody", "tenant": "acme", "code": 1001}, token=ADMIN_TOKEN)
        ask(True, "POST", "/api/revoke", body={"session": session, "seconds": 60}, token=ADMIN_TOKEN)
        client.expect_close(4401)
    ask(True, "POST", "/api/revoke", body={"user": "x", "tenant": "acme"}, token=ADMIN_TOKEN)
    ask(True, "GET", "/api/revocations", token=ADMIN_TOKEN)
    ask(True, "POST", "/api/unrevoke", body={"id": "1"}, token=ADMIN_TOKEN)
    ask(True, "POST", "/api/unrevoke", 404, body={"id": "1"}, token=ADMIN_TOKEN, pointer=error)
    ask(True, "POST", "/api/reload", body={"x": 1}, token=ADMIN_TOKEN)
    return samples


def conversation(broker):
    """Messages of sessions, with protocol and without, each with its schema."""
    samples, heard = [], set()
    # refused, and rightly: schemas of what a client says hold for what is not
    asks = [{"type": "subscribe", "topics": ["a:1", {"topic": "a:2", "cursor": "x-0"}, "secret:1", "b:*"], "id": 1},
            {"type": "publish", **EVENT, "id": "p"}, {"type": "publish", **EVENT, "id": "p2", "key": "k"}, {"type": "publish", **EVENT, "id": "p3", "key": "k"},
            {"type": "history", "topic": "a:1", "limit": 2, "id": 2}, {"type": "history", "topic": "secret:1", "id": 3}, {"type": "ping", "id": 4}, {"type": "ping"},
            {"type": "unsubscribe", "topics": ["a:1"], "id": 5}, {"type": "auth", "token": mint("anna"), "id": "last"}]
    for protocols in (V1, None):
        with WsClient(broker.address, token=mint("anna"), protocols=protocols) as client:
            def say(ask):
                client.send_json(ask)
                samples.append({"in": "asyncapi", "schema": f"/components/messages/{ask['type']}/payload", "value": ask})

            def hear_until(wanted):
                while True:
                    message = client.recv_json()
                    name = message.get("type", "event")
                    heard.add(name)
                    samples.append({"in": "asyncapi", "schema": f"/components/messages/{name}/payload", "value": message})
                    if wanted(name, message):
                        return
            for ask in asks:
                if ask["type"] == "unsubscribe":
                    hear_until(lambda name, _: name == "event")
                say(ask)
            hear_until(lambda _, message: message.get("id") == "last")
    check({"event", "welcome", "reply", "ack", "error", "gap", "pong"} <= heard, f"heard only {heard}")
    return samples


def test_what_the_broker_says_is_as_they_tell():
    with Broker() as broker:
        docs = documents(broker)
        found = problems(docs, [*answers(broker), *conversation(broker)])
        check(not found, "\n".join(found))


main()
