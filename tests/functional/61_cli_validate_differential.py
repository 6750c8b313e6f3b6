#!/usr/bin/python3
# hookwire validate says what the reference validator (tests/lib/validate-ws-event.js, run under node) says: same standard output, same
# exit code, on a table of cases and on events broken at random. Where the two may differ is listed below, with the reason.
# HOOKWIRE_SEED repeats a random run, HOOKWIRE_CASES sets how many cases it has. validate-ws-event of clients/node prints what hookwire validate prints.
# ctest: timeout=180 cost=60
import base64
import json
import os
import pathlib
import random
import re
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

BIN = pathlib.Path(__file__).resolve().parents[2] / "clients" / "node" / "bin" / "validate-ws-event.js"
REFERENCE = pathlib.Path(__file__).resolve().parents[1] / "lib" / "validate-reference.js"

# --- Where hookwire refuses what the script lets by, or crashes on. Each takes the parsed event and its text and says whether it
# applies; hookwire must then exit 1, whatever the script does. Nothing else may differ: a timestamp that both refuse is refused alike. ---

ISO_8601 = re.compile(
    r"(?P<year>\d{4}|[+-]\d{6})(-(?P<month>\d\d)(-(?P<day>\d\d))?)?"
    r"([Tt](?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII)


def is_iso_8601(text):
    """The shape of a date and a day that exists. Hours and zones out of range need no look: the script refuses them too."""
    match = ISO_8601.fullmatch(text)
    if not match or match["year"] == "-000000":
        return False
    year, month, day = int(match["year"]), int(match["month"] or 1), int(match["day"] or 1)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return 1 <= month <= 12 and 1 <= day <= days[month - 1]


def lone_surrogate(text):
    return isinstance(text, str) and any("\ud800" <= c <= "\udfff" for c in text)


def truthy(value):
    """As JavaScript has it: empty lists and dicts are."""
    return isinstance(value, (list, dict)) or bool(value)


def member(value, name):
    return value.get(name) if isinstance(value, dict) else None


class Pairs(dict):
    """An object that remembers whether a member repeats."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.twice = len(self) < len(pairs)


def depth(text):
    """How deep the brackets outside strings go."""
    deepest = open_now = 0
    for c in re.sub(r'"(\\.|[^"\\])*"', "", text):
        open_now += c in "[{"
        open_now -= c in "]}"
        deepest = max(deepest, open_now)
    return deepest


EXCEPTIONS = {
    "a member repeats":
        lambda e, text: e.twice or getattr(member(e, "data"), "twice", False),
    "topic is an array or object": lambda e, text: isinstance(member(e, "topic"), (list, dict)),
    "topic is longer than 255 bytes": lambda e, text: isinstance(member(e, "topic"), str) and len(e["topic"]) > 255,
    "event is no string (the script crashes)":
        lambda e, text: truthy(member(e, "event")) and not isinstance(e["event"], str),
    "half a surrogate pair in event or trace_id":
        lambda e, text: lone_surrogate(member(e, "event")) or lone_surrogate(member(e, "trace_id")),
    "entity_id is an array or object": lambda e, text: isinstance(member(member(e, "data"), "entity_id"), (list, dict)),
    "timestamp is no string":
        lambda e, text: truthy(member(member(e, "data"), "timestamp")) and not isinstance(e["data"]["timestamp"], str),
    "timestamp is no ISO 8601 date":
        lambda e, text: isinstance(member(member(e, "data"), "timestamp"), str) and e["data"]["timestamp"] != ""
        and not is_iso_8601(e["data"]["timestamp"]),
}


def exceptions_of(text):
    """The reasons for which the verdicts on this text may differ."""
    if depth(text) > 64:
        return ["nested deeper than 64"]
    try:
        event = json.loads(text, object_pairs_hook=Pairs, parse_int=float)
    except ValueError:
        return []
    if event is None:
        return ["null (the script crashes)"]
    if not isinstance(event, Pairs):
        return []
    return [reason for reason, applies in EXCEPTIONS.items() if applies(event, text)]


# --- Running both ---

def run_reference(cases):
    given = [{"stdin": base64.b64encode(case[1]).decode()} if isinstance(case, tuple) else {"args": [case]} for case in cases]
    done = subprocess.run(["node", str(REFERENCE)], input=json.dumps(given), stdout=subprocess.PIPE, encoding="utf-8",
                          timeout=150, check=True, env={**os.environ, "TZ": "UTC"})
    return json.loads(done.stdout)


def run_hookwire(case):
    arguments, given = ([], case[1]) if isinstance(case, tuple) else ([case.encode("utf-8")], b"")
    done = subprocess.run([binary(), "validate", *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60)
    return {"code": done.returncode, "stdout": done.stdout.decode("utf-8"), "stderr": done.stderr.decode("utf-8")}


def compare(cases):
    """Runs the cases: texts, given as an argument, or ("stdin", bytes). Returns how many excused differences each reason had."""
    used, failures = {}, []
    for case, reference in zip(cases, run_reference(cases)):
        text = case[1].decode("utf-8", "replace").strip() if isinstance(case, tuple) else case
        ours = run_hookwire(case)
        reasons = exceptions_of(text)
        alike = "Invalid timestamp" in reference["stdout"] and all(reason.startswith("timestamp") for reason in reasons)
        if reasons and not alike:
            same = ours["code"] == 1 and (ours["stdout"].startswith("✗ Event is invalid\n") or
                                          ours["stderr"].startswith("✗ Invalid JSON: "))
            if (ours["code"], ours["stdout"]) != (reference["code"], reference["stdout"]):
                for reason in reasons:
                    used[reason] = used.get(reason, 0) + 1
        else:
            same = (ours["code"], ours["stdout"]) == (reference["code"], reference["stdout"]) and \
                ours["stderr"][:16] == reference["stderr"][:16]
        if not same:
            failures.append(f"case {case!r}\n  excused by {reasons}\n  reference {reference}\n  hookwire  {ours}")
    for failure in failures[:10]:
        print(failure)
    equal(len(failures), 0, "cases that differ")
    return used


# --- Cases by hand ---

def event(change="", data="", topic='"gift-list:123"', name='"UPDATED"', entity='"gift-456"', tail=""):
    return (f'{{"topic":{topic},"event":{name},"data":{{"entity_id":{entity},"payload":{{"name":"Bike"}},'
            f'"timestamp":"2026-01-01T00:00:00Z"{data}}}{change}}}{tail}')


def dated(timestamp):
    return f'{{"topic":"a:1","event":"ADDED","data":{{"entity_id":"e","payload":null,"timestamp":{timestamp}}}}}'


SCALARS = ["null", "true", "false", "0", "-0", "0.0", "0e5", "1", "-1", "1.0", "1e0", "10e-1", "0.1e1", "1.5", "1e400", "-1e400",
           "1e-400", "123456789012345678901234567890", "1e21", "1e20", "123456789012345680000", "0.000001", "1e-7", "1.7976931348623157e308",
           "5e-324", "4.9406564584124654e-324", "2.4703282292062327e-324", "0.1", "0.30000000000000004", "9007199254740993", "5.684341886080802e-14",
           "0.99999999999999999999", "1.00000000000000000001", "-1.5e3", "1E3", "1e+3", '""', '"x"', '"0"', '"null"', "[]", "{}",
           "[1]", "[null]", '["a:1"]', '[["a:1"]]', '{"a":1}', '[1,[2,"x",null],{"a":1},true,1e21]', '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"',
           '"\\udc00\\ud800"', '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"Grüße 日本 😀"', '" "']
TOPICS = ["a:1", "a:b", "a:-", "a-:--", "a1-b2:c-3", "gift-list:family-123", "A:1", "1a:1", "-a:1", "a:", ":1", "a", "a:1:2", "a:B", "a:_",
          "a b:1", "a:1 ", " a:1", "a:1\\n", "a:1\\u0000", "gift\\u002dlist:1", "gift\\u002Dlist:1", "\\u0061:\\u0031", "a:é", "a:*", "*:*",
          "a:" + "x" * 253, "a:" + "x" * 254, "a" * 300 + ":1", "a:" + "\\u0078" * 253, "a:" + "\\u0078" * 254, "A" * 300, "\\u0041" * 300,
          "\\ud800:1"]
NAMES = ["ADDED", "UPDATED", "DELETED", "STATUS_CHANGED", "CUSTOM", "_", "A_B_C", "A1", "added", "A-B", "A B", "A\\n", "\\u0041DDED", "Ä", "😀",
         "\\ud83d\\ude00", "\\ud83d", "A\\u0000", "a" * 1000]
TIMES = ["2026", "2026-01", "2026-01-01", "2026-12-31", "2024-02-29", "2000-02-29", "1900-02-28", "0000", "0001-01-01", "9999-12-31T23:59:59.999Z",
         "2026-01-32", "2026-02-32", "2026-13-01", "2026-00-01", "2026-01-00", "2026-02-29", "2026-02-30", "2026-04-31", "1900-02-29",
         "+002026", "+002026-01", "+002026-01-01", "+002026-01-01T00:00:00Z", "-000001-01-01", "-000000-01-01", "-000000", "+000000", "+2026-01-01",
         "+02026-01-01", "+275760-09-13", "+275760-09-14", "+275760-09-13T00:00:00.001Z", "+275760-09-13T23:00+23:00", "+999999", "-271821-04-20",
         "-271821-04-19", "-271821-04-20T00:00+00:01", "2026-01-01T00:00", "2026-01-01T00:00:00", "2026-01-01T00:00Z", "2026T00:00", "2026T00:00Z",
         "2026-01T00:00Z", "2026-01-01T23:59:59.1Z", "2026-01-01T23:59:59.123456789Z", "2026-01-01T00:00:00.000000000000000000000001Z",
         "2026-01-01T24:00", "2026-01-01T24:00:00Z", "2026-01-01T24:00:00.000Z", "2026-01-01T24:00:00.001Z", "2026-01-01T24:00:01Z", "2026-01-01T24:01Z",
         "2026-01-01T24:00:00.0009Z", "2026-01-01T25:00Z", "2026-01-01T23:60Z", "2026-01-01T23:59:60Z", "2026-01-01T23:59:59.Z", "2026-01-01T23:59:59,1Z",
         "2026-01-01t00:00z", "2026-01-01T00:00z", "2026-01-01t00:00Z", "2026-01-01T00:00+01:00", "2026-01-01T00:00-23:59",
         "2026-01-01T00:00+0100", "2026-01-01T00:00:00.000+0000", "2026-01-01T00:00+01", "2026-01-01T00:00-00:00", "2026-01-01T00:00+24:00",
         "2026-01-01T00:00+23:60", "2026-01-01T00:00+2400", "2026-01-01T00:00+2359", "2026-01-01T00:00+99:00", "2026-01-01T00:00+1:00",
         "2026-01-01T00:00+100", "2026-01-01T00:00+01:0", "2026-01-01T0:00Z", "2026-01-01T00:0Z", "2026-01-01T00Z", "2026-01-01T00", "2026-01-01T",
         "2026-01-01T00:00:", "2026-01-01T00:00:0Z", "2026-01-01T00:00:00ZZ", "2026-01-01T00:00:00Z+01:00", "2026-01-01T00:00:00+01:00Z",
         "2026-01-01T00:00:00\\u005a", "2026\\u002d01-01", "2026-01-01T00:00:00Z\\u0000", "2026-01-01Z", "2026-01-01+01:00", "2026-01-01 00:00",
         "2026-01-01 00:00:00Z", "20260101", "20260101T000000Z", "2026-001", "2026-W01", "2026-W01-1", "2026-1-1", "26-01-01", " 2026-01-01",
         "2026-01-01 ", "Thu Jan 01 2026", "Thu, 01 Jan 2026 00:00:00 GMT", "1", "0", "12345", "January", "now", "yesterday", "not-a-date", "T00:00Z",
         "2026-01-01T00:00:00 Z", "2026-", "2026-01-", "-2026-01-01", "202", "20266", "(c)2026-01-01", "１２３４", "2026-01-01T00:00:00−01:00"]

DOCUMENTS = [
    "", " ", "null", "true", "5", '"x"', "[]", "[1]", "{}", "{", "}", "[", "nul", "NaN", "Infinity", "undefined", "'x'", "{a:1}", "{'a':1}",
    '{"a":1,}', "[1,]", "[,1]", '{"a"}', '{"a":}', '{"a":1 "b":2}', '{"a":1}}', "{}{}", "{} x", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10",
    "1_000", "--1", '"', '"\\', '"\\x41"', '"\\u12"', '"\\u12G4"', '"\t"', "\"\x7f\"", "/* c */{}", "// c", "\ufeff{}", "\u00a0{}",
    "true false", "tru", "True", "falsee", '{"topic":"a:1"', "[[[[[[[[[[", "{}\x0b", "{}\x0c", "{}\u2028", '["\u2028"]', '{"":""}', '{"":{"":""}}',
    '{"a":1,"a":2}', '{"__proto__":{"topic":"a:1"}}', '{"constructor":1,"toString":2}',
    event(), event(tail=" \n\t\r"), " \t\r\n" + event(), event().replace(":", " : ").replace(",", " ,\n "),
    event(change=',"trace_id":"t"'), event(change=',"unknown":{"topic":1}'), event(change=',"id":"x-1"'), event(change=',"topic":"b:2"'),
    event(change=',"t\\u006fpic":"b:2"'), event(change=',"x":1,"x":2'), event(change=',"x":1,"\\u0078":2'), event(change=',"X":1,"x":2'),
    event(data=',"mutation_id":"m","nested":{"a":1,"a":2}'), event(data=',"entity_id":"e2"'), event(data=',"\\u0065ntity_id":"e2"'),
    event(data=',"m":1,"m":1'), event(data=',"\\ud800":1,"\\uD800":2'), event(data=',"\\ud800":1,"\\udc00":2'), event(data=',"a":1,"A":2'),
    event(data=',"payload":1'), event(data=',"previous":{"x":1},"user_id":5,"tenant_id":[]'),
    event(data="".join(f',"k{i}":{i}' for i in range(100))), event(data="".join(f',"k{i}":{i}' for i in range(100)) + ',"k5":0'),
    event(change="".join(f',"k{i}":{i}' for i in range(100)) + ',"k99":0'), event(change="".join(f',"\\u006b{i}":{i}' for i in range(50)) + ',"k1":0'),
    event(data=',"deep":' + "[" * 62 + "]" * 62), event(data=',"deep":' + "[" * 63 + "]" * 63), event(data=',"deep":' + '{"a":' * 62 + "1" + "}" * 62),
    event(data=',"deep":' + "[" * 5000 + "]" * 5000),
    '{"topic":"a:1","event":"ADDED"}', '{"topic":"a:1","data":{}}', '{"event":"ADDED"}', '{"data":{"entity_id":"e"}}',
    '{"topic":"a:1","event":"ADDED","data":{"entity_id":"e"}}', '{"topic":"a:1","event":"x","data":{"entity_id":"e"}}',
    '{"topic":"A","event":"x y","data":{"timestamp":"bad"},"trace_id":5,"version":0}',
    '{"topic":"","event":"","data":"","trace_id":"","version":""}', '{"topic":[],"event":[],"data":[],"trace_id":[],"version":[]}',
    '{"topic":{},"event":{},"data":{},"trace_id":{},"version":{}}', '{"topic":5,"event":"E","data":5,"trace_id":true,"version":true}',
    event(data=',"long":"' + "x" * 70000 + '"'), event(entity='"' + "é" * 5000 + '"'),
]

STDIN = [text.encode() for text in [
    "", " \n\t ", "\ufeff", "\ufeff\u00a0\u2028" + event() + "\u3000\n", event() + "\n", json.dumps(json.loads(event()), indent=2), "{\n}\n", "nul\n", "5",
    "\u200b" + event(), "\x00" + event(), event() + "\x00", event(data=',"nul":"\x00"'), event(topic='"\\u0000"'), "\x0b\x0c" + event() + "\x0b\x0c",
    "{\"topic\":\n", "\x85" + event(), "\x1c" + event(), "\u180e" + event()]]


def table():
    cases = list(DOCUMENTS)
    for value in SCALARS:
        cases += [event(topic=value), event(name=value), event(entity=value), event(change=f',"trace_id":{value}'),
                  event(change=f',"version":{value}'), dated(value), f'{{"topic":"a:1","event":"ADDED","data":{value}}}',
                  event(data=f',"payload2":{value}'), value]
    cases += [event(topic=f'"{topic}"') for topic in TOPICS]
    cases += [event(name=f'"{name}"') for name in NAMES]
    cases += [dated(f'"{time}"') for time in TIMES]
    return [case for case in cases if case != ""] + [("stdin", text) for text in STDIN if text.strip(b" \n\t\xef\xbb\xbf")]


# --- Cases at random ---

class Generator:
    """Events that are nearly right, as text: members in any order, values from all sides, now and then a broken byte."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one_of(self, *values):
        return self.random.choice(values)

    def space(self):
        return self.one_of("", "", "", "", " ", "\n", "\t ", "\r\n") if self.spaced else ""

    def string(self, text):
        out = []
        for c in text:
            if c in '"\\' or c < " ":
                out.append("\\u%04x" % ord(c))
            elif self.random.random() < 0.03 and ord(c) < 0x10000:
                out.append(("\\u%04X" if self.random.random() < 0.5 else "\\u%04x") % ord(c))
            else:
                out.append(c)
        return '"' + "".join(out) + '"'

    def number(self):
        r = self.random
        return self.one_of(
            str(r.randint(-5, 20)), str(r.randint(-2**70, 2**70)), repr(r.uniform(-1e3, 1e3)), "%.*e" % (r.randint(0, 20), r.uniform(-10, 10)),
            "%de%d" % (r.randint(0, 99), r.randint(-330, 330)), "%d.0" % r.randint(0, 5), repr(2.0 ** r.randint(-1074, 1023)),
            repr(r.uniform(0.1, 10) * 10.0 ** r.randint(-300, 300)))

    def text(self):
        alphabet = self.one_of("abc-:1", "ABC_", "aZ09 _-:.é😀\u2028\x7f", "\"\\/\b\n\x00")
        return "".join(self.random.choice(alphabet) for _ in range(self.random.randint(0, 12)))

    def value(self, depth=0):
        kind = self.random.randint(0, 9 if depth < 4 else 6)
        if kind < 3:
            return self.one_of("null", "true", "false", "0", '""')
        if kind == 3:
            return self.number()
        if kind == 4:
            return self.one_of('"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00x"', '"\\ud83d\\ud83d\\ude00"')
        if kind < 7:
            return self.string(self.text())
        if kind == 7:
            return "[" + ",".join(self.value(depth + 1) for _ in range(self.random.randint(0, 3))) + "]"
        return self.object([(self.text(), self.value(depth + 1)) for _ in range(self.random.randint(0, 3))])

    def object(self, members):
        inside = ",".join(self.space() + self.string(key) + self.space() + ":" + self.space() + value + self.space()
                          for key, value in members)
        return "{" + inside + "}"

    def topic(self):
        parts = [self.one_of("a", "gift-list", "x9", "a-"), ":", self.one_of("1", "family-123", "-", "0-a")]
        if self.random.random() < 0.2:
            parts[self.random.randint(0, 2)] = self.one_of("", "A", ":", "é", "9", " ", "_", "\n")
        return self.string("".join(parts))

    def timestamp(self):
        r = self.random
        date = self.one_of("%04d", "%04d", "%04d", "+%06d", "-%06d", "%d") % r.choice([2026, 2024, 1900, 2000, r.randint(0, 9999)])
        if r.random() < 0.9:
            date += "-%02d" % r.choice([1, 2, 12, r.randint(0, 13)])
            if r.random() < 0.9:
                date += "-%02d" % r.choice([1, 28, 29, 30, 31, r.randint(0, 33)])
        if r.random() < 0.8:
            date += self.one_of("T", "T", "T", "T", "t", " ") + "%02d:%02d" % (r.choice([0, 23, 24, r.randint(0, 26)]), r.choice([0, 59, r.randint(0, 61)]))
            if r.random() < 0.8:
                date += ":%02d" % r.choice([0, 59, r.randint(0, 61)])
                if r.random() < 0.5:
                    date += "." + "".join(r.choice("0123456789") for _ in range(r.randint(0, 12)))
            date += self.one_of("", "Z", "Z", "z", "+01:00", "-0530", "+%02d:%02d" % (r.randint(0, 25), r.randint(0, 61)), "Z ")
        if r.random() < 0.1:
            at = r.randint(0, len(date))
            date = date[:at] + r.choice("0-:TZ+. ") + date[at + r.randint(0, 1):]
        return self.string(date)

    def rarely(self, usual):
        return self.value() if self.random.random() < 0.12 else usual

    def event(self):
        r = self.random
        self.spaced = r.random() < 0.3
        data = [("entity_id", self.rarely(self.string("gift-456"))), ("payload", self.value()), ("timestamp", self.rarely(self.timestamp()))]
        data += [(name, self.value()) for name in ("user_id", "tenant_id", "previous", "mutation_id", "é") if r.random() < 0.2]
        members = [("topic", self.rarely(self.topic())), ("event", self.rarely(self.string(self.one_of("ADDED", "X_Y", "odd", "STATUS_CHANGED")))),
                   ("data", None)]
        members += [(name, self.rarely(usual)) for name, usual in (("trace_id", self.string("t-1")), ("version", self.number()), ("x", "1"), ("id", "7"))
                    if r.random() < 0.3]
        for some in (data, members):
            if r.random() < 0.15:
                some.pop(r.randrange(len(some)))
            if some and r.random() < 0.05:
                some.append(r.choice(some))
            r.shuffle(some)
        data = self.rarely(self.object(data))
        text = self.object([(name, data if value is None else value) for name, value in members])
        if r.random() < 0.1:
            at = r.randrange(len(text))
            text = text[:at] + self.one_of("", r.choice('{}[]":,\\0e.-x '), text[at] * 2) + text[at + 1:]
        return text


def test_the_table_of_cases():
    cases = table()
    used = compare(cases)
    print(f"{len(cases)} cases; excused: {used}")
    check(len(cases) > 400, "the table has shrunk")
    equal(sorted(set(EXCEPTIONS) - set(used)), [], "exceptions that no case of the table needs")


def test_events_broken_at_random():
    n = int(os.environ.get("HOOKWIRE_CASES") or 800)
    generator = Generator(seed_of_run())
    cases = [generator.event() for _ in range(n)]
    used = compare(cases)
    print(f"{n} cases; excused: {used}")


def test_the_bin_of_npm_prints_the_same():
    generator = Generator(seed_of_run())
    texts = [case for case in table() if isinstance(case, str)] + [generator.event() for _ in range(500)]
    lines = "".join(text.replace("\n", "\t") + "\n" for text in texts).encode()
    said = {}
    for who, command in (("hookwire", [binary(), "validate"]), ("the bin", ["node", str(BIN)])):
        done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        # why something is no JSON is told in other words
        broken = re.findall(r"^✗ Invalid JSON: line (\d+), ", done.stderr.decode("utf-8"), re.M)
        equal(len(broken), done.stderr.count(b"\n"), f"lines on standard error of {who}")
        said[who] = (done.returncode, done.stdout.decode("utf-8").split("\nline "), broken)
    for part in range(3):
        ours, theirs = said["hookwire"][part], said["the bin"][part]
        if part == 1:
            for one, other in zip(ours, theirs):
                equal(other, one, "what the bin says of a line")
        check(ours == theirs, f"part {part} differs")
    check(len(said["hookwire"][1]) > 800 and len(said["hookwire"][2]) > 50, "hardly anything was said")


def test_usage_without_input():
    for given in (b"", b" \n ", b"\xef\xbb\xbf"):
        case = ("stdin", given)
        ours, reference = run_hookwire(case), run_reference([case])[0]
        mask = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z")
        equal(ours["code"], reference["code"], "exit code")
        equal(mask.sub("now", ours["stdout"]), mask.sub("now", reference["stdout"]).replace("node validate-ws-event.js", "hookwire validate"), "usage")


def test_the_oracle_itself():
    """What excuses differences must not excuse everything."""
    equal(exceptions_of(event()), [], "a good event")
    equal(exceptions_of(event(change=',"topic":"a:1"')), ["a member repeats"], "a repeated member")
    check(is_iso_8601("2024-02-29T24:00:00.5+0130") and not is_iso_8601("2026-02-29") and not is_iso_8601("2026-1-1"), "dates")


main()
