"""hookwire.validate. That it says what the other validators say is tests/functional/80_validators_agree.py's."""
import datetime
import json

import pytest

import hookwire

DATA = {"entity_id": "g-1", "payload": {}, "timestamp": "2026-01-01T00:00:00Z"}
GOOD = {"topic": "gift-list:123", "event": "UPDATED", "data": DATA}


def test_an_event_that_is_in_order():
    assert hookwire.validate(GOOD) == ([], [])
    assert hookwire.validate(json.dumps(GOOD)) == hookwire.validate(json.dumps(GOOD).encode()) == ([], [])


def test_everything_that_is_wrong_is_told():
    assert hookwire.validate({"topic": "Gift:1", "event": "odd", "data": {"timestamp": "soon"}, "version": 0}) == ([
        'Invalid topic format "Gift:1". Expected: "{resource}:{id}" (e.g., "gift-list:123")', "Missing required field: data.entity_id",
        'Invalid timestamp "soon". Use ISO 8601 format.', "version must be a positive integer",
    ], ['Non-standard event type "odd". Standard: ADDED, UPDATED, DELETED, STATUS_CHANGED', "Missing data.payload (optional but recommended)"])


def test_what_an_event_is_made_of_is_judged_as_the_json_that_it_becomes():
    assert hookwire.validate({**GOOD, "data": {**DATA, "timestamp": datetime.datetime.now(datetime.timezone.utc)}}) == ([], [])
    assert hookwire.validate({**GOOD, "version": float("nan")})[0][0].startswith("Invalid JSON: ")


@pytest.mark.parametrize("text", ["{", "NaN", '{"a":Infinity}', b'"\xff"', "[" * 65 + "]" * 65, "\ufeff{}", ""])
def test_what_is_no_json(text):
    errors, warnings = hookwire.validate(text)
    assert len(errors) == 1 and errors[0].startswith("Invalid JSON: ") and warnings == []


def test_members_that_stand_twice_are_seen_in_a_text():
    text = '{"topic":"a:1","event":"ADDED","data":{"entity_id":"e","payload":1,"m":1,"\\u006d":2,"timestamp":"2026"},"topic":"a:1"}'
    assert hookwire.validate(text) == (["Duplicate member: data.m", "Duplicate member: topic"], [])
