#!/usr/bin/python3
# What the broker makes of a published event: it fills what is missing, overwrites what is forged, refuses what repeats, and leaves
# every other byte alone.
import datetime
import json
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "gift-list:1"

# transform edits `mark` alone, where the event asks for it
EDITING = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic) return allow() end,
    publish = function(s, topic) return allow { act_as = true } end,
  },
  transform = function(event)
    if event.event == "EDIT_ME" then event.data.payload.mark = "edited" end
    return event
  end,
}
"""

ODD_PAYLOADS = [
    '{}', '[]', 'null', 'true', 'false', '""', '0', '-0', '-0.0', '1.0', '1.50', '1e2', '1E+2', '1E400', '0.1e-7',
    '123456789012345678901234567890', '0.1000000000000000055511151231257827021181583404541015625',
    '{ "a" : 1 ,\t"b":[ 1 , 2 ,3 ] }', '{"a":\n\r\n 1}', '[ ]', '{ }',
    '"\\u00e4\\/\\ud83d\\ude00\\b\\f\\n\\r\\t\\"\\\\"', '"ä€😀\x7f"', '{"\\u0061":1,"b":2}',
    '{"a":1,"a":2}', '{"topic":"x","event":1,"data":{"user_id":"inner","user_id":"again"},"type":"pong","id":5}', '[[[[[[[[[[1]]]]]]]]]]',
]


def command(data, topic=TOPIC, event="UPDATED", more="", request="p"):
    """The text of a publish command; data is JSON text, more is put behind it."""
    return '{"type":"publish","id":%s,"topic":%s,"event":%s,"data":%s%s}' % (
        json.dumps(request), json.dumps(topic), json.dumps(event), data, more)


class Pair:
    """A subscriber of TOPIC and cursor:1, and a publisher who is not it."""

    def __init__(self, broker, user="anna"):
        self.reader = WsClient(broker.address, token=mint("reader"))
        self.reader.subscribe(TOPIC, "cursor:1")
        self.writer = WsClient(broker.address, token=mint(user))

    def publish(self, text):
        """Publishes a command's text; (its text as the reader gets it, the ack)."""
        self.writer.send_text(text)
        ack = self.writer.recv_json()
        if ack.get("type") != "ack":
            raise Failure(f"{text[:300]}: {ack!r}")
        return self.reader.recv(10), ack

    def refused(self, text, code="bad_request"):
        """Publishes what must be refused; nothing may come to the reader."""
        self.writer.send_text(text)
        error = self.writer.recv_json()
        contains(error, {"type": "error", "code": code, "retryable": False}, f"answer to {text[:300]}")
        check(isinstance(error["message"], str) and error["message"], "an error has a message")
        self.reader.send_json({"type": "ping", "id": "n"})
        equal(self.reader.recv_json().get("id"), "n", f"the reader got an event of {text[:300]}")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.reader.__exit__(kind, error, trace)
        self.writer.__exit__(kind, error, trace)


def test_what_is_missing_is_filled_in():
    with Broker() as broker, Pair(broker) as pair:
        before = datetime.datetime.now(datetime.timezone.utc)
        text, ack = pair.publish(command('{"entity_id":"e1","payload":{"n":1}}'))
        after = datetime.datetime.now(datetime.timezone.utc)
        event = json.loads(text)
        equal(set(event), {"topic", "event", "data", "trace_id", "id"}, "members of an event")
        equal(set(event["data"]), {"entity_id", "payload", "user_id", "tenant_id", "timestamp"}, "members of data")
        contains(event["data"], {"entity_id": "e1", "payload": {"n": 1}, "user_id": "anna", "tenant_id": "acme"}, "data")
        stamp = event["data"]["timestamp"]
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp), f"UTC with milliseconds: {stamp}")
        when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        second = datetime.timedelta(seconds=1)
        check(before - second < when < after + second, f"timestamp is now: {stamp}")
        check(re.fullmatch(r"[0-9a-f]{32}", event["trace_id"]), f"trace_id: {event['trace_id']}")
        equal(event["id"], ack["event_id"], "the id of the ack")
        check(re.fullmatch(r"[^-]+-\d+", event["id"]), f"id is EPOCH-SEQ: {event['id']}")
        other = json.loads(pair.publish(command('{"entity_id":"e1"}'))[0])
        check(other["trace_id"] != event["trace_id"], "each event has a trace of its own")
        check("payload" not in other["data"], "a payload that nobody gave")


def test_what_is_there_stays():
    with Broker() as broker, Pair(broker) as pair:
        data = '{"entity_id":"e1","payload":1,"timestamp":"2026-01-01T00:00:00Z","mutation_id":"m-1","more":{"x":[1]}}'
        text, _ = pair.publish(command(data, more=',"trace_id":"my trace","version":3,"unknown":{"a":1},"version2":1'))
        event = json.loads(text)
        contains(event["data"], {"timestamp": "2026-01-01T00:00:00Z", "mutation_id": "m-1", "more": {"x": [1]}}, "data")
        equal(event["trace_id"], "my trace", "trace_id")
        check("unknown" not in event and "version2" not in event, f"unknown top-level members are dropped: {event!r}")
        check("type" not in event and event["id"] != "p", f"nothing of the command is left: {event!r}")
        equal(json.loads(pair.publish(command('{"entity_id":7}'))[0])["data"]["entity_id"], 7, "another scalar entity_id")


def test_a_forged_user_or_tenant_is_overwritten():
    with Broker() as broker, Pair(broker) as pair:
        forged = ['"user_id":"root","tenant_id":"other"', '"tenant_id":"other"', '"user_id":"root"',
                  '"\\u0075ser_id":"root","tenant\\u005fid":"other"', '"user_id":{"a":1},"tenant_id":[5]', '"user_id":5', '"user_id":null,"tenant_id":""']
        for members in forged:
            for data in ('{"entity_id":"e1",%s}' % members, '{%s,"entity_id":"e1"}' % members, '{ %s , "entity_id" : "e1" }' % members):
                text, _ = pair.publish(command(data))
                contains(json.loads(text)["data"], {"user_id": "anna", "tenant_id": "acme", "entity_id": "e1"}, f"data of {data}")
                check("root" not in text and "other" not in text, f"a forged name is left in {text}")
                names = [name for name, _ in json.loads(text, object_pairs_hook=lambda pairs: pairs)]
                equal(len(names), len(set(names)), f"a member twice in {text}")
                check(text.count("_id\":\"anna\"") == 1, f"user_id once in {text}")
        with WsClient(broker.address, token=mint("spy", "other")) as spy:
            spy.subscribe(TOPIC)
            pair.publish(command('{"entity_id":"e1","tenant_id":"other"}'))
            spy.send_json({"type": "ping"})
            equal(spy.recv_json()["type"], "pong", "a forged tenant_id reaches no other tenant")


def test_a_backend_may_not_name_a_user_over_websocket():
    with Broker() as broker:
        with WsClient(broker.address, token=mint("shop", backend=True)) as writer, WsClient(broker.address, token=mint("r")) as reader:
            reader.subscribe(TOPIC)
            writer.send_text(command('{"entity_id":"e1","user_id":"anna"}'))
            equal(reader.recv_event()["data"]["user_id"], "shop", "POST /publish only")


def test_null_false_zero_and_empty_count_as_missing():
    with Broker() as broker, Pair(broker) as pair:
        for nothing in ("null", "false", "0", '""'):
            text, _ = pair.publish(command('{"entity_id":"e1","timestamp":%s}' % nothing, more=',"trace_id":%s' % nothing))
            event = json.loads(text)
            check(str(event["data"]["timestamp"]).endswith("Z"), f"timestamp {nothing}: {text}")
            check(re.fullmatch(r"[0-9a-f]{32}", str(event["trace_id"])), f"trace_id {nothing}: {text}")
            pair.refused(command('{"entity_id":%s}' % nothing))
            pair.refused(command(nothing))
            pair.refused('{"type":"publish","id":1,"topic":%s,"event":"UPDATED","data":{"entity_id":"e"}}' % nothing)
            pair.refused('{"type":"publish","id":1,"topic":"%s","event":%s,"data":{"entity_id":"e"}}' % (TOPIC, nothing))


def test_payload_bytes_leave_as_they_came():
    with Broker() as broker, Pair(broker) as pair:
        for payload in ODD_PAYLOADS:
            for form in ('{"entity_id":"e1","payload":%s}', '{"payload":%s,"entity_id":"e1"}', '{ "payload" : %s , "entity_id" : "e1" }'):
                text, _ = pair.publish(command(form % payload))
                check(re.search(r'"payload"\s*:\s*' + re.escape(payload) + r'\s*[,}]', text), f"payload {payload!r} came as {text!r}")
                json.loads(text)


def test_other_members_of_data_keep_their_bytes():
    with Broker() as broker, Pair(broker) as pair:
        member = '{ "n" : 1.50, "big":123456789012345678901234567890 }'
        text, _ = pair.publish(command('{"entity_id":"e\\u0031","mutation":%s,"payload":1}' % member))
        check(re.search(r'"mutation"\s*:\s*' + re.escape(member), text), text)
        equal(json.loads(text)["data"]["entity_id"], "e1", "entity_id")


def test_bytes_that_a_transform_did_not_touch_stay():
    config = {"tenants": {"*": {"hooks": [{"name": "edit", "lua": "edit.lua"}]}}}
    with Broker(config, files={"edit.lua": EDITING}) as broker, Pair(broker) as pair:
        for kept in ('"big":123456789012345678901234567890', '"e": 1.50E+3', '"s":"\\u00e4\\/"', '"list":[ 1.0 , -0 ]', '"o":{ "x" :1 }'):
            text, _ = pair.publish(command('{"entity_id":"e1","payload":{%s,"mark":"old"}}' % kept, event="EDIT_ME"))
            contains(text, kept, "an edited event")
            equal(json.loads(text)["data"]["payload"]["mark"], "edited", "the edit")
            check("old" not in text, f"the old value is left: {text}")


def test_members_that_repeat_are_bad_request():
    with Broker() as broker, Pair(broker) as pair:
        ok = '{"entity_id":"e1"}'
        for more in (',"topic":"gift-list:1"', ',"event":"UPDATED"', ',"data":{"entity_id":"e1"}', ',"d\\u0061ta":{"entity_id":"e2"}',
                     ',"trace_id":"a","trace_id":"a"', ',"\\u0074opic":"secret:1"', ',"version":1,"version":1'):
            pair.refused(command(ok, more=more))
        for data in ('{"entity_id":"e1","entity_id":"e1"}', '{"entity_id":"e1","payload":1,"payload":2}', '{"entity_id":"e1","x":1,"x":1}',
                     '{"entity_id":"e1","user_id":"a","user_id":"b"}', '{"entity_id":"e1","user_id":"a","\\u0075ser_id":"b"}',
                     '{"entity_id":"e1","tenant_id":"a","tenant\\u005Fid":"b"}', '{"entity_id":"e1","\\u0065ntity_id":"e2"}',
                     '{"entity_id":"e1","ä":1,"\\u00e4":2}', '{"entity_id":"e1","\\ud83d\\ude00":1,"😀":2}'):
            pair.refused(command(data))
        pair.publish(command('{"entity_id":"e1","payload":{"x":1,"x":2},"Entity_id":"other case"}'))  # deeper, and another name


def test_invalid_events_are_bad_request():
    with Broker() as broker, Pair(broker) as pair:
        ok = '{"entity_id":"e1"}'
        for topic in ("Bad:1", "gift-list", "gift-list:*", "gift-list:A", ":", "gift-list:" + "x" * 246, 5, [], {}, True):
            pair.refused(command(ok, topic=topic))
        for data in ('5', '"x"', '[]', '{}', '{"payload":1}', '{"entity_id":[]}', '{"entity_id":{}}', '{"entity_id":"e1","timestamp":"soon"}',
                     '{"entity_id":"e1","timestamp":"2026-13-45"}', 'true'):
            pair.refused(command(data))
        for more in (',"trace_id":5', ',"trace_id":{}', ',"version":0', ',"version":-1', ',"version":1.5', ',"version":"1"', ',"version":null'):
            pair.refused(command(ok, more=more))
        for event in (5, [], {}, True):
            pair.refused(command(ok, event=event))
        for event in ("ADDED", "DELETED", "STATUS_CHANGED", "MY_OWN", "my own: ä"):
            equal(json.loads(pair.publish(command(ok, event=event))[0])["event"], event, "event")


def test_ids_are_cursors_in_order():
    with Broker() as broker, Pair(broker) as pair:
        ids = [json.loads(pair.publish(command('{"entity_id":"e1"}'))[0])["id"] for _ in range(20)]
        equal(len({i.rpartition("-")[0] for i in ids}), 1, "epochs")
        numbers = [int(i.rpartition("-")[2]) for i in ids]
        equal(numbers, list(range(numbers[0], numbers[0] + 20)), "sequence")
        equal(http(broker.address, "GET", "/cursor", token=mint("anna")).json()["cursor"], ids[-1], "the head")


def test_events_without_history_have_no_id():
    with Broker({"topics": {"cursor:*": {"history": "none"}}}) as broker, Pair(broker) as pair:
        text, ack = pair.publish(command('{"entity_id":"e1","payload":{ "x" : 1.0 },"user_id":"root"}', topic="cursor:1"))
        event = json.loads(text)
        check("id" not in event, f"an id in {text}")
        contains(text, '{ "x" : 1.0 }', "payload bytes")
        contains(event["data"], {"user_id": "anna", "tenant_id": "acme"}, "data is filled all the same")
        check(ack.get("id") == "p" and not ack.get("event_id"), f"ack of an event without an id: {ack!r}")
        check("id" in json.loads(pair.publish(command('{"entity_id":"e1"}'))[0]), "the next event of another class has one")


def test_traceparent_names_the_trace():
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with Broker() as broker, Pair(broker) as pair:
        def published(parent, **members):
            equal(broker.publish(TOPIC, headers={"traceparent": parent}, **members).status, 200, "status")
            return pair.reader.recv_event()["trace_id"]
        equal(published(f"00-{trace}-00f067aa0ba902b7-01"), trace, "from traceparent")
        equal(published(f"00-{trace}-00f067aa0ba902b7-01", trace_id="mine"), "mine", "the event's own")
        for bad in ("nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{trace}-{'0' * 16}-01", f"ff-{trace}-00f067aa0ba902b7-01"):
            got = published(bad)
            check(re.fullmatch(r"[0-9a-f]{32}", got) and got not in (trace, "0" * 32), f"trace_id for {bad}: {got}")


main()
