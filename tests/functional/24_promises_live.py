#!/usr/bin/python3
# While it is published as fast as it goes, on four workers: thousands of subscriptions that come and go, from random cursors, each have
# exactly what is theirs, from where they began to where they ended; whoever goes from transport to transport with one cursor has
# everything once; and all transports see one order. HOOKWIRE_SEED repeats a run, HOOKWIRE_CASES sets how many rounds it has.
# ctest: timeout=120
import collections
import os
import pathlib
import random
import sys
import threading
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import number_of, v1_client

ROUNDS = int(os.environ.get("HOOKWIRE_CASES", 150))  # of each session
SESSIONS = 4
TOPICS = ["a:1", "a:2", "a:3", "b:1", "b:2"]
PATTERNS = ["a:*", "b:*"]
RECENT = 200  # how far back a cursor mostly is
CONFIG = {
    "workers": 4, "log": {"level": "info"},
    "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "subscriptions": 100000}}},
    "topics": {"b:1": {"retention": {"count": 100000}}},  # its events are kept apart, and yet in one order
    # who waits for its turn to run, on a busy machine, answers no ping
    "heartbeat": {"timeout_ms": int(scaled(60000))},
}


def rng_of(what):
    return random.Random(f"{seed_of_run()} {what}")


def is_of(topic, wanted):
    return topic == wanted or (wanted.endswith("*") and topic.startswith(wanted[:-1]))


class Flood:
    """Publishes without a pause, by two connections, until it is ended; knows all that was acknowledged."""

    def __init__(self, broker, at_a_time=10, most=60000):
        self.broker, self.at_a_time, self.most = broker, at_a_time, most
        self.token = mint("writer")
        self.begin = http(broker.address, "GET", "/cursor", token=self.token).json()["cursor"]
        self.epoch = self.begin.split("-")[0]
        self.topic_of, self.last = {}, number_of(self.begin)
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [in_background(self._publish, random.Random(i), timeout=120) for i in range(2)]

    def _publish(self, rng):
        with HttpConnection(self.broker.address) as c:
            while not self.ended.is_set() and len(self.topic_of) < self.most:
                topics = rng.choices(TOPICS, k=self.at_a_time)
                items = [{"topic": t, "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}} for t in topics]
                answer = c.request("POST", "/publish", [("Authorization", "Bearer " + self.token)], items)
                equal(answer.status, 200, "publish")
                numbers = [number_of(r["id"]) for r in answer.json()["results"]]
                with self.lock:
                    self.topic_of.update(zip(numbers, topics))
                    self.last = max(self.last, numbers[-1])

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread()

    def cursor(self, rng):
        """One of the journal's; mostly of the last that came."""
        back = RECENT if rng.random() < 0.98 else 3000
        return f"{self.epoch}-{rng.randrange(max(0, self.last - back), self.last + 1)}"

    def of(self, topics, after, upto):
        """What was published to them behind the one cursor and up to the other."""
        return [n for n in range(after + 1, upto + 1) if any(is_of(self.topic_of[n], t) for t in topics)]


class Subscriber:
    """Comes and goes. What it got is judged when all that was published is known."""

    def __init__(self, broker, flood, rng, v1):
        self.flood, self.rng = flood, rng
        self.client = v1_client(broker, "s") if v1 else WsClient(broker.address, token=mint("s"))
        self.rounds = []  # (what was subscribed from where, where it ended, what came)

    def ask(self, message, came):
        reply = self.client.request(message, skipped=came, timeout=30)
        equal((reply["type"], {t["ok"] for t in reply["topics"].values()}), ("reply", {True}), "answer")
        cursors = {t["cursor"] for t in reply["topics"].values()}
        equal(len(cursors), 1, "one reply, one place")
        place = number_of(cursors.pop())
        behind = [m["id"] for m in came if "event" in m and number_of(m["id"]) > place]
        check(not behind, f"the reply's cursor is behind what came before it: {place}, {behind[:3]}")
        return reply, place

    def subscribe(self, topics, subscribed, came):
        wanted, given = [], {}
        for topic in topics:
            if self.rng.random() < 0.8:
                cursor = self.flood.cursor(self.rng)
                wanted.append({"topic": topic, "cursor": cursor})
                given[topic] = number_of(cursor)
            else:
                wanted.append(topic)
        first = not subscribed
        reply, place = self.ask({"type": "subscribe", "topics": wanted}, came)
        for topic in topics:
            equal(reply["topics"][topic].get("recovered"), True if topic in given else None, f"{topic}: recovered")
            subscribed.append((topic, given.get(topic, place)))
        # a topic that recovers is in order; not so one that was live before a pattern of it went further back
        if first:
            for topic in TOPICS:
                ids = [number_of(m["id"]) for m in came if m["topic"] == topic]
                check(ids == sorted(ids), f"{topic}: order while it recovers")
        return place

    def round(self):
        topics = self.rng.sample(TOPICS + PATTERNS, self.rng.randrange(1, 5))
        subscribed, came = [], []
        cut = self.rng.randrange(1, len(topics) + 1)
        place = self.subscribe(topics[:cut], subscribed, came)
        live = []
        self.client.send_json({"type": "ping", "id": "p"})
        self.client.recv_where({"type": "pong", "id": "p"}, skipped=live)
        ids = [number_of(m["id"]) for m in live if "event" in m]
        check(all(a < b for a, b in zip([place] + ids, ids)), f"behind the reply at {place} it is one order: {ids[:5]}")
        came += live
        if topics[cut:]:
            self.subscribe(topics[cut:], subscribed, came)
        _, end = self.ask({"type": "unsubscribe", "topics": topics}, came)
        others = [m for m in came if "event" not in m and m["type"] != "cursor"]
        equal(others, [], "messages that are no events")
        self.rounds.append((subscribed, end, [number_of(m["id"]) for m in came if "event" in m]))

    def run(self):
        for _ in range(ROUNDS):
            self.round()
        self.client.close()

    def judge(self):
        """How many events there were."""
        for subscribed, end, came in self.rounds:
            wanted = set()
            for topic, after in subscribed:
                wanted |= set(self.flood.of([topic], after, end))
            counts = collections.Counter(came)
            equal((sorted(wanted - set(came))[:5], sorted(set(came) - wanted)[:5], [n for n, c in counts.items() if c > 1][:5]), ([], [], []),
                  f"{subscribed} to {end}: missing, too many, twice")
        return sum(len(came) for _, _, came in self.rounds)


def test_recovering_and_going_live_is_one_step():
    rng = rng_of("live")
    with Broker(CONFIG) as broker:
        flood = Flood(broker)
        wait_until(lambda: flood.last > RECENT, 10, "some events")
        subscribers = [Subscriber(broker, flood, random.Random(rng.random()), v1=i % 2 == 0) for i in range(SESSIONS)]
        for join in [in_background(s.run, timeout=100) for s in subscribers]:
            join()
        flood.end()
        n = sum(s.judge() for s in subscribers)
        print(f"     {SESSIONS * ROUNDS} rounds, {n} deliveries, {len(flood.topic_of)} published")


# ---- one cursor, whatever the transport


class Wanderer:
    """Goes from transport to transport with the last thing that it saw, some events at a time."""

    def __init__(self, broker, rng, topics, cursor):
        self.broker, self.rng, self.topics, self.cursor = broker, rng, topics, cursor
        self.token = mint("wanderer")
        self.seen, self.turns = [], collections.Counter()

    def take(self, event):
        self.seen.append(number_of(event["id"]))
        self.cursor = event["id"]

    def by_query(self, v1):
        query = {"topics": ",".join(self.topics), "cursor": self.cursor}
        c = WsClient(self.broker.address, token=self.token, protocols=["hookwire.v1"] if v1 else None, query=query)
        for _ in range(self.rng.randrange(1, 40)):
            self.take(c.recv_event(timeout=20))
        c.abort()

    def by_subscription(self):
        with v1_client(self.broker, "wanderer") as c:
            came = []
            reply = c.request({"type": "subscribe", "topics": [{"topic": t, "cursor": self.cursor} for t in self.topics]}, skipped=came)
            for message in sorted(came, key=lambda m: number_of(m["id"])):  # order holds by topic until the reply
                self.take(message)
            self.cursor = reply["topics"][self.topics[0]]["cursor"]
            for _ in range(self.rng.randrange(0, 10)):
                self.take(c.recv_event(timeout=20))

    def by_sse(self, **how):
        c = SseClient(self.broker.address, ",".join(self.topics), token=self.token, **how)
        for _ in range(self.rng.randrange(1, 40)):
            self.take(c.recv_event(timeout=20))
        c.abort()

    def by_poll(self):
        for _ in range(self.rng.randrange(1, 4)):
            query = urllib.parse.urlencode({"topics": ",".join(self.topics), "wait": self.rng.randrange(2), "cursor": self.cursor}, safe=":,*")
            answer = http(self.broker.address, "GET", "/poll?" + query, token=self.token, timeout=30).json()
            equal(answer["gap"], False, "gap")
            for event in answer["events"]:
                self.take(event)
            self.cursor = answer["cursor"]

    def by_history(self):
        pages = []
        for topic in self.topics:
            path = f"/topics/{topic}/history?cursor={self.cursor}&limit=1000"
            pages.append(http(self.broker.address, "GET", path, token=self.token).json())
        equal([p["gap"] for p in pages], [False] * len(pages), "gap")
        upto = min(number_of(p["cursor"]) for p in pages)
        events = {number_of(e["id"]): e for p in pages for e in p["events"]}
        for number in sorted(events):
            if number <= upto:
                self.take(events[number])
        self.cursor = f"{self.cursor.split('-')[0]}-{upto}"

    def turn(self):
        ways = {"query, v1": lambda: self.by_query(True), "query, plain": lambda: self.by_query(False), "subscription": self.by_subscription,
                "sse, header": lambda: self.by_sse(last_id=self.cursor), "sse, query": lambda: self.by_sse(cursor=self.cursor),
                "poll": self.by_poll, "history": self.by_history}
        way = self.rng.choice(sorted(ways))
        self.turns[way] += 1
        ways[way]()


def test_one_cursor_over_all_transports_loses_nothing_and_repeats_nothing():
    rng = rng_of("wander")
    with Broker(CONFIG) as broker:
        flood = Flood(broker, at_a_time=3)
        wanderers = [Wanderer(broker, random.Random(rng.random()), topics, flood.begin) for topics in (["a:1", "b:1"], ["a:*", "b:2"])]

        def wander(w):
            for _ in range(ROUNDS // 2):
                w.turn()
        for join in [in_background(wander, w, timeout=100) for w in wanderers]:
            join()
        flood.end()
        for w in wanderers:
            wanted = flood.of(w.topics, number_of(flood.begin), number_of(w.cursor))
            equal((sorted(set(wanted) - set(w.seen))[:5], sorted(set(w.seen) - set(wanted))[:5]), ([], []), f"{w.topics}: missing, too many")
            check(w.seen == wanted, f"{w.topics}: order, or something twice")
            check(len(w.turns) == 7, f"ways: {w.turns}")
        print(f"     {sum(sum(w.turns.values()) for w in wanderers)} turns, {sum(len(w.seen) for w in wanderers)} deliveries")


# ---- one order

LAST = "THE_LAST"


def test_all_transports_and_workers_see_one_order_and_nothing_twice():
    count, topics = 1500, ["a:1", "a:2", "a:*", "b:1"]  # that overlap
    with Broker(CONFIG) as broker:
        begin = http(broker.address, "GET", "/cursor", token=mint("u")).json()["cursor"]
        joined, query = ",".join(topics), {"topics": ",".join(topics), "cursor": begin}
        seen = collections.defaultdict(list)

        def take(name, event):
            seen[name].append(number_of(event["id"]))
            return event["event"] == LAST

        def websocket(name, v1):
            with WsClient(broker.address, token=mint(name), protocols=["hookwire.v1"] if v1 else None, query=query) as c:
                while not take(name, c.recv_event(timeout=60)):
                    pass
                more = []
                c.send_json({"type": "ping", "id": "p"})
                c.recv_where({"type": "pong", "id": "p"}, skipped=more)
                equal([m for m in more if "event" in m], [], f"{name}: behind the last")

        def sse(name):
            with SseClient(broker.address, joined, token=mint(name), cursor=begin) as c:
                while not take(name, c.recv_event(timeout=60)):
                    pass

        def poll(name):
            cursor, ended = begin, False
            while not ended:
                path = f"/poll?topics={joined}&cursor={cursor}&wait=5"
                answer = http(broker.address, "GET", path, token=mint(name), timeout=60).json()
                ended = any([take(name, e) for e in answer["events"]])
                cursor = answer["cursor"]

        flood = Flood(broker, most=count)
        jobs = [in_background(websocket, f"ws{i}", i % 2 == 0, timeout=100) for i in range(6)]
        jobs += [in_background(sse, f"sse{i}", timeout=100) for i in range(4)]
        jobs += [in_background(poll, f"poll{i}", timeout=100) for i in range(2)]
        wait_until(lambda: len(flood.topic_of) >= count, 60, "all to be published")
        flood.end()
        wanted = flood.of(topics, number_of(begin), flood.last) + [number_of(broker.publish("b:1", LAST).json()["id"])]
        for job in jobs:
            job()
        for name, got in sorted(seen.items()):
            equal((sorted(set(wanted) - set(got))[:5], sorted(set(got) - set(wanted))[:5]), ([], []), f"{name}: missing, too many")
            check(got == wanted, f"{name}: order, or something twice")


main()
