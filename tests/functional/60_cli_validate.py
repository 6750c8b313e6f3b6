#!/usr/bin/python3
# hookwire validate: what it reads, what it prints where, and its exit codes.
import json
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

GOOD = '{"topic":"gift-list:123","event":"UPDATED","data":{"entity_id":"g-1","payload":{},"timestamp":"2026-01-01T00:00:00Z"}}'
GOOD_OUTPUT = "✓ Event is valid\n\nParsed:\n Topic: gift-list:123\n Event: UPDATED\n Entity: g-1\n"
BAD = '{"topic":"Gift:1","event":"odd","data":{"timestamp":"soon"},"version":0}'
BAD_OUTPUT = """✗ Event is invalid

Errors:
 - Invalid topic format "Gift:1". Expected: "{resource}:{id}" (e.g., "gift-list:123")
 - Missing required field: data.entity_id
 - Invalid timestamp "soon". Use ISO 8601 format.
 - version must be a positive integer

Warnings:
 - Non-standard event type "odd". Standard: ADDED, UPDATED, DELETED, STATUS_CHANGED
 - Missing data.payload (optional but recommended)
"""


def expect(done, code, stdout, stderr=""):
    equal(done.stdout, stdout, "standard output")
    equal(done.stderr, stderr, "standard error")
    equal(done.returncode, code, "exit code")


def test_a_valid_event_as_argument():
    expect(cli("validate", GOOD), 0, GOOD_OUTPUT)


def test_every_problem_is_listed_errors_before_warnings():
    expect(cli("validate", BAD), 1, BAD_OUTPUT)


def test_several_arguments_are_numbered_and_one_bad_one_decides():
    expect(cli("validate", GOOD, BAD, GOOD), 1, f"event 1:\n{GOOD_OUTPUT}\nevent 2:\n{BAD_OUTPUT}\nevent 3:\n{GOOD_OUTPUT}")
    expect(cli("validate", GOOD, GOOD), 0, f"event 1:\n{GOOD_OUTPUT}\nevent 2:\n{GOOD_OUTPUT}")


def test_a_document_over_several_lines_is_one_event():
    expect(cli("validate", stdin=json.dumps(json.loads(GOOD), indent=2) + "\n"), 0, GOOD_OUTPUT)


def test_lines_are_events_of_their_own():
    expect(cli("validate", stdin=f"{GOOD}\n\n{BAD}\n"), 1, f"line 1:\n{GOOD_OUTPUT}\nline 3:\n{BAD_OUTPUT}")
    expect(cli("validate", stdin=f"{GOOD}\r\n{GOOD}"), 0, f"line 1:\n{GOOD_OUTPUT}\nline 2:\n{GOOD_OUTPUT}")


def test_a_line_that_is_no_json_is_told_with_its_number_and_the_others_go_on():
    expect(cli("validate", stdin=f"{GOOD}\n{{\"topic\":\n{GOOD}\n"), 1, f"line 1:\n{GOOD_OUTPUT}\nline 3:\n{GOOD_OUTPUT}",
           "✗ Invalid JSON: line 2, byte 9: the text ends where a value is expected\n")


def test_a_broken_document_over_several_lines_is_told_once():
    expect(cli("validate", stdin='{\n  "topic": "a:1",\n  oops\n}\n'), 1, "", "✗ Invalid JSON: byte 22: a member name is expected\n")


def test_no_json_goes_to_standard_error():
    expect(cli("validate", "{"), 1, "", "✗ Invalid JSON: byte 1: the text ends inside an array or object\n")


def test_without_input_it_says_how_to_use_it():
    for done in (cli("validate", stdin=" \n\n"), cli("validate"), cli("validate", "")):
        equal((done.returncode, done.stderr), (1, ""), "result")
        check(done.stdout.startswith("Usage: hookwire validate '"), f"standard output: {done.stdout!r}")
        example = done.stdout[done.stdout.index("\n{\n") + 1:]
        equal(cli("validate", example).returncode, 0, "exit code for the example that it shows")


def test_bytes_that_are_not_utf8_are_refused():
    done = subprocess.run([binary(), "validate"], input=GOOD.encode().replace(b"g-1", b"g\xff"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30)
    equal((done.returncode, done.stdout), (1, b""), "result")
    check(done.stderr.endswith(b"a string is not UTF-8\n"), f"standard error: {done.stderr!r}")


def test_a_full_disk_is_not_a_valid_event():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary(), "validate", GOOD], stdout=full, stderr=subprocess.PIPE, timeout=30)
    equal(done.returncode, 1, "exit code")
    contains(done.stderr.decode(), "cannot write", "standard error")


def machine(*arguments, stdin=""):
    done = cli("validate", "--json", *arguments, stdin=stdin)
    equal(done.stderr, "", "standard error")
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_json_says_the_same_for_machines():
    equal(machine(GOOD), (0, [{"valid": True, "errors": [], "warnings": []}]), "one event")
    code, lines = machine(stdin=f"{GOOD}\n\n{BAD}\n{{\n")
    equal((code, [(line["line"], line["valid"]) for line in lines]), (1, [(1, True), (3, False), (4, False)]), "lines")
    told = [problem for part in ("errors", "warnings") for problem in lines[1][part]]
    equal([f" - {problem}" for problem in told], [line for line in BAD_OUTPUT.splitlines() if line.startswith(" - ")], "what is wrong")
    equal(lines[2]["errors"], ["Invalid JSON: byte 1: the text ends inside an array or object"], "what is no JSON")
    code, events = machine(GOOD, json.dumps({"topic": 'x"\\\n\u2028'}))
    equal((code, [(event["event"], event["valid"]) for event in events]), (1, [(1, True), (2, False)]), "arguments")
    contains(events[1]["errors"][0], 'Invalid topic format "x"\\\n\u2028"', "what has to be escaped")


def test_strict_makes_warnings_errors():
    warned = GOOD.replace('"payload":{},', "")
    equal(cli("validate", warned).returncode, 0, "exit code without it")
    expect(cli("validate", "--strict", warned), 1, "✗ Event is invalid\n\nWarnings:\n - Missing data.payload (optional but recommended)\n")
    expect(cli("validate", GOOD, "--strict"), 0, GOOD_OUTPUT)
    equal(machine("--strict", warned), (1, [{"valid": False, "errors": [], "warnings": ["Missing data.payload (optional but recommended)"]}]), "--json")
    equal(cli("validate", "--", "--strict").returncode, 1, "a text that looks like an option")


def test_help():
    for flag in ("--help", "-h"):
        done = cli("validate", flag)
        equal((done.returncode, done.stderr), (0, ""), "result")
        contains(done.stdout, "Exit code: 0 if every event is valid, else 1.", "help")


main()
