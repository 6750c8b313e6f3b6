#!/usr/bin/python3
# tests/fixtures/protocol: the validators in C, JavaScript and Python say of each event what the fixture says, a broker refuses what is to be
# refused, and the JSON Schemas in docs/, OpenAPI and AsyncAPI take every message that is good and none that is bad.
import json
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "clients" / "python"))
import hookwire
from hwtest import *

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures" / "protocol"
NO_JSON = "Invalid JSON: "


def cases(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())["cases"]


def verdict_of(case):
    return {"errors": [NO_JSON], "warnings": []} if case.get("json") is False else {"errors": case["errors"], "warnings": case["warnings"]}


def plain(errors, warnings):
    """A verdict without the reason for which something is no JSON: each reader has its own words for that."""
    return {"errors": [NO_JSON if error.startswith(NO_JSON) else error for error in errors], "warnings": warnings}


def compare(said):
    wrong = [f"{case['name']}: {one}, expected {verdict_of(case)}" for case, one in zip(cases("events"), said, strict=True) if one != verdict_of(case)]
    check(not wrong, "\n".join(wrong[:10]))


def test_names_say_which_case_it_is():
    for file in sorted(FIXTURES.glob("*.json")):
        names = [case["name"] for case in cases(file.stem)]
        equal(sorted(set(names)), sorted(names), f"names in {file.name}")


def schemas(file, *path):
    at = json.loads((HERE.parents[1] / "docs" / file).read_text())
    for name in path:
        at = at[name]
    return set(at)


def test_every_message_that_the_documents_have_is_there_good_and_bad():
    good, bad = set(), set()
    for case in cases("broker"):
        (bad if "error" in case else good).add(case["type"])
    for case in cases("client"):
        commands = case.get("commands", [])
        if len(commands) == 1 and case["text"].startswith("{"):
            refused = any("error" in one for one in [*commands, *commands[0].get("topics", [])])
            (bad if refused else good).add(json.loads(case["text"]).get("type"))
    messages = schemas("asyncapi.json", "components", "messages")
    equal((messages - good, messages - bad), (set(), set()), "messages of which there is no good case, and no bad one")

    good, bad = set(), set()
    for case in cases("http"):
        (bad if "error" in case else good).add(case["schema"])
    bodies = {"Error", "Head", "Page", "Presence", "Results", "Stored", "Ticket"}
    check(bodies <= schemas("openapi.json", "components", "schemas"), "they are components")
    equal((bodies - good, bodies - bad), (set(), set()), "bodies of which there is no good case, and no bad one")
    statuses = {case["status"] for case in cases("http") if case["schema"] == "Error"}
    equal({400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 503} - statuses, set(), "statuses of the protocol that no case has")
    equal({"gap", "unsubscribed", "goaway", "cursor", "closed", None} - {case.get("event") for case in cases("sse")}, set(), "blocks that no case has")


def test_the_validator_in_c():
    done = cli("validate", "--json", "--", *[case["text"] for case in cases("events")])
    said = [json.loads(line) for line in done.stdout.splitlines()]
    compare(plain(one["errors"], one["warnings"]) for one in said)


def test_the_validator_in_python():
    compare(plain(*hookwire.validate(case["text"])) for case in cases("events"))


def heard(broker):
    """What the broker answers to each case of client.json: ([messages], by the case), over one session."""
    told = {}
    with WsClient(broker.address, token=mint("anna"), protocols=["hookwire.v1"]) as client:
        welcome = client.recv_where({"type": "welcome"})
        for n, case in enumerate(cases("client")):
            if any(command.get("type") == "auth" for command in case.get("commands", [])):
                continue  # its token is none, and the session would end
            client.send_text(case["text"])
            client.send_json({"type": "ping", "id": f"behind {n}"})
            told[case["name"]] = []
            client.recv_where({"type": "pong", "id": f"behind {n}"}, skipped=told[case["name"]])
    return welcome, told


def refusals(case):
    """(id, end of the message) of each bad_request that the case is answered with; None: whatever the message is."""
    if case.get("json") is False:
        return [(None, None)]
    found = []
    for command in case["commands"]:
        if command.get("error"):
            found.append((command.get("id"), command.get("message")))
        elif "id" not in command:
            found += [(None, topic["message"]) for topic in command.get("topics", []) if "error" in topic]
    return found


def test_a_broker_refuses_what_is_to_be_refused_and_says_what_schemas_know():
    with Broker() as broker:
        welcome, told = heard(broker)
        for case in cases("client"):
            if case["name"] not in told:
                continue
            got = [message for message in told[case["name"]] if message.get("code") == "bad_request"]
            expected = refusals(case)
            equal(len(got), len(expected), f"refusals of {case['name']}: {got}")
            for message, (request, why) in zip(got, expected):
                equal(message.get("id"), request, f"id of {message}")
                check(why is None or message["message"].endswith(why), f"{case['name']}: {message}, expected {why}")
        check(len(told) > 90, f"only {len(told)} were said")
        for case in cases("publish"):
            answer = http(broker.address, "POST", "/publish", headers={"Content-Type": "application/json", "Authorization": f"Bearer {mint('anna')}"},
                          body=case["text"].encode())
            commands = case.get("commands")
            if commands is None or (len(commands) == 1 and "error" in commands[0]):
                equal((answer.status, answer.json()["code"]), (400, "bad_request"), case["name"])
            for command, result in zip(commands or [], answer.json().get("results", [])):
                equal((result["ok"], result.get("message")), ("error" not in command, command.get("message")), case["name"])
        schemas_take([welcome, *[message for messages in told.values() for message in messages]])


def schemas_take(messages=()):
    """Has the check of fixtures run, with these messages of a broker beside them. Returns what it printed."""
    done = subprocess.run(["node", str(HERE / "fixtures_check.mjs")], cwd=HERE, input=json.dumps(list(messages)), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8", timeout=scaled(50))
    equal(done.returncode, 0, f"the check: {done.stderr[-500:]}")
    said = json.loads(done.stdout)
    check(not said["schemas"]["wrong"], "\n".join(said["schemas"]["wrong"][:20]))
    return said


def test_the_validator_in_javascript_and_the_schemas():
    said = schemas_take()
    compare(plain(one["errors"], one["warnings"]) for one in said["validated"])
    check(said["schemas"]["checked"] > 700, f"only {said['schemas']['checked']} were held against a schema")


main()
