#!/usr/bin/python3
# Whoever comes back, whenever, by whichever way: it has exactly what is kept of its topics behind its cursor, and a gap of exactly
# those topics of which something behind it is gone. Events that keep no history take nobody's place. HOOKWIRE_SEED repeats a run.
# ctest: timeout=120
import pathlib
import random
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import resume
from hwtest.database import Database, number_of

ROUNDS, LOOKS = 12, 45  # how often it is published; how often somebody comes back in between
KEPT = {"*": 60, "audit:*": 300, "hot:*": 12}  # events, at least
MEMORY = 4  # of them, of each kind, where a file has the others
CONFIG = {
    "workers": 2,
    "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "subscriptions": 100000}}},
    "journal": {"retention": {"count": KEPT["*"]}},
    "topics": {"audit:*": {"retention": {"count": KEPT["audit:*"]}}, "hot:*": {"retention": {"count": KEPT["hot:*"]}},
               "cursor:*": {"history": "none"}},
}
# some busy, some that have an event now and then
TOPICS = [f"a:{i}" for i in range(6)] + [f"b:{i}" for i in range(12)] + ["audit:1", "audit:2", "hot:1", "hot:2"]
WEIGHTS = [30] * 6 + [1] * 12 + [3, 1, 3, 1]
FLEETING = "cursor:1"
NEVER = "never:1"  # nothing was ever published to it
PATTERNS = ["a:*", "b:*", "audit:*", "hot:*", "cursor:*", "never:*"]


def class_of(topic):
    pattern = topic.split(":")[0] + ":*"
    return pattern if pattern in KEPT else "*"


def is_of(topic, wanted):
    return topic == wanted or (wanted.endswith("*") and topic.startswith(wanted[:-1]))


class Ledger:
    """All that was published, and what is left of it."""

    def __init__(self, broker, rng):
        self.broker, self.rng = broker, rng
        self.token = mint("reader")
        self.begin = http(broker.address, "GET", "/cursor", token=self.token).json()["cursor"]
        self.events, self.cursors = [], [self.begin]  # (number, topic); every cursor that there was
        self.kept = set()  # numbers

    def publish(self, count):
        topics = self.rng.choices(TOPICS, WEIGHTS, k=count)
        with HttpConnection(self.broker.address) as c:
            for first in range(0, count, 25):
                items = []
                for topic in topics[first:first + 25]:
                    items.append({"topic": topic, "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": len(items)}}})
                    if self.rng.random() < 0.5:  # some numbers follow each other
                        continue
                    items.append({"topic": FLEETING, "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}})
                answer = c.request("POST", "/publish", [("Authorization", "Bearer " + self.token)], items)
                equal(answer.status, 200, "publish")
                for item, result in zip(items, answer.json()["results"]):
                    equal("id" in result, item["topic"] != FLEETING, "who keeps history has an id")
                    if "id" in result:
                        self.events.append((number_of(result["id"]), item["topic"]))
                        self.cursors.append(result["id"])
        self.look()

    def look(self):
        """Asks what is left of each topic, and holds it against what is promised to be kept."""
        self.kept = set()
        for topic in TOPICS:
            left = [number_of(e["id"]) for e in resume.history_http(self.broker.address, self.token, [topic]).events]
            ours = [n for n, t in self.events if t == topic]
            equal(left, ours[len(ours) - len(left):], f"what is left of {topic} are its newest")
            self.kept |= set(left)
        for pattern, count in KEPT.items():
            ours = [n for n, t in self.events if class_of(t) == pattern]
            check(set(ours[-count:]) <= self.kept, f"{pattern}: the newest {count} are kept")
            check(len(self.kept & set(ours)) <= 2 * count, f"{pattern}: no more than twice {count}")

    def expected(self, cursors):
        """Of these topics, each behind its cursor: the events, by number, and the topics with a gap."""
        after = {w: number_of(cursor) for w, cursor in cursors.items()}
        newer = [(n, t, [w for w in after if n > after[w] and is_of(t, w)]) for n, t in self.events]
        return [n for n, _, of in newer if of and n in self.kept], {w for n, _, of in newer if n not in self.kept for w in of}

    def a_cursor(self):
        return self.rng.choice(self.cursors) if self.rng.random() < 0.5 else self.rng.choice(self.cursors[-150:])

    def check_one(self):
        """Somebody comes back. True: with a gap."""
        way = self.rng.choice(resume.WAYS)
        patterns = [] if way is resume.history_ws else PATTERNS  # that command is of one topic
        topics = self.rng.sample(TOPICS + patterns + [NEVER, FLEETING], self.rng.randrange(1, 6))
        cursor = self.a_cursor()
        cursors = {t: self.a_cursor() if way in resume.OWN_CURSORS else cursor for t in topics}
        if way in resume.OWN_CURSORS:
            cursor = cursors
        while True:
            got = way(self.broker.address, self.token, topics, cursor)
            events, gap = self.expected(cursors)
            if way is resume.poll:
                gap = set(topics) if gap else set()
            if ([number_of(e["id"]) for e in got.events], got.gap) == (events, gap):
                return bool(gap)
            # what a worker was still reading goes a little later than what is published would have it
            before = self.kept
            self.look()
            if self.kept == before:
                break
        what = f"{way.__name__} {topics} from {cursor}"
        names = dict(self.events)
        came = [number_of(e["id"]) for e in got.events]
        equal([(n, names[n]) for n in came if n not in events], [], f"{what}: events too many")
        equal([(n, names[n]) for n in events if n not in came], [], f"{what}: events that are missing")
        equal(came, events, f"{what}: order")
        equal(got.gap, gap, f"{what}: gap")


def check_both_sides(n_gaps):
    n = ROUNDS * LOOKS
    check(n / 10 < n_gaps < n * 9 / 10, f"{n_gaps} gaps of {n}: the test shows one side only")


def test_everybody_has_what_is_kept_and_a_gap_of_what_is_not():
    n_gaps = 0
    with Broker(CONFIG) as broker:
        ledger = Ledger(broker, random.Random(seed_of_run()))
        for _ in range(ROUNDS):
            ledger.publish(ledger.rng.randrange(1, 120))
            n_gaps += sum(ledger.check_one() for _ in range(LOOKS))
    check_both_sides(n_gaps)


def test_the_same_of_a_file_over_restarts():
    n_gaps, ledger = 0, None
    with Database() as db:
        for _ in range(3):
            with db.broker(merge(CONFIG, {"journal": {"memory": {"count": MEMORY}}})) as broker:
                if ledger:
                    ledger.broker = broker
                    ledger.look()
                else:
                    ledger = Ledger(broker, random.Random(seed_of_run()))
                for _ in range(ROUNDS // 3):
                    n_gaps += sum(ledger.check_one() for _ in range(LOOKS // 2))
                    ledger.publish(ledger.rng.randrange(1, 120))
                    n_gaps += sum(ledger.check_one() for _ in range(LOOKS - LOOKS // 2))
        db.check()
    check_both_sides(n_gaps)


main()
