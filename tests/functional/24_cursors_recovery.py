#!/usr/bin/python3
# While somebody recovers, and reads slowly: what retention takes meanwhile is told each time and of its topic alone, live events wait
# behind the reply, and the reply's cursor is where the topics are joined.
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import number_of, publish_many, v1_client

FILL = "x" * 32000  # what is kept is more than the sockets hold
AT_A_TIME = 25  # within body_bytes
KEPT = 200
SMALL = {"slow": {"outbox_bytes": 16384, "deadline_ms": 60000},
         "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000}}},
         "journal": {"retention": {"count": KEPT}}}


def head(broker):
    return http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"]


def n_of(event):
    return event["data"]["payload"]["n"]


class Reader:
    """Reads when it is told to, and holds each hole against the gaps that were told before it."""

    def __init__(self, client, cursor, ids):
        self.client, self.ids = client, ids  # topic -> the ids that were published, in order
        self.at = {topic: number_of(cursor) for topic in ids}
        self.told = {topic: 0 for topic in ids}  # gaps that have no hole yet
        self.holes, self.order = 0, []

    def read(self, until):
        """Goes on until a message for which until(message) is true; returns it."""
        while True:
            message = self.client.recv_json(timeout=20)
            self.order.append(message.get("type", "event"))
            if message.get("type") == "gap":
                for topic in message["topics"]:
                    equal(self.told[topic], 0, f"{topic}: gaps without a hole behind them")
                    self.told[topic] += 1
            elif "type" not in message:
                self.take(message)
            if until(message):
                return message

    def take(self, event):
        topic, number = event["topic"], number_of(event["id"])
        missed = [i for i in self.ids[topic] if self.at[topic] < number_of(i) < number]
        check(self.at[topic] < number, f"{topic}: {event['id']} came before")
        equal(self.told[topic], 1 if missed else 0, f"{topic}: gaps before {event['id']}, {len(missed)} missed")
        self.holes += bool(missed)
        self.told[topic] = 0
        self.at[topic] = number


QUERY = {"topics": "a:1,b:1"}


def slow_ws(broker, cursor, protocols):
    return WsClient(broker.address, token=mint("slow"), protocols=protocols, query={**QUERY, "cursor": cursor}, receive_buffer=4096)


class SlowSse(SseClient):
    """What comes is JSON, as over WebSocket."""

    def __init__(self, broker, cursor):
        super().__init__(broker.address, QUERY["topics"], token=mint("slow"), last_id=cursor, receive_buffer=4096)

    def recv_json(self, timeout):
        return self.recv(timeout=timeout).json()


def check_each_hole_is_told_once(open_slow):
    with Broker(SMALL) as broker:
        cursor, ids = head(broker), {"a:1": [], "b:1": []}
        ids["a:1"] += publish_many(broker, 5, ("a:1",), FILL, at_a_time=AT_A_TIME)
        ids["b:1"] += publish_many(broker, KEPT - 50, ("b:1",), FILL, at_a_time=AT_A_TIME)
        reader = Reader(open_slow(broker, cursor), cursor, ids)
        reader.read(lambda m: m.get("topic") == "b:1")
        for _ in range(2):  # it has not come to the end when all that it knew is gone
            n = len(ids["b:1"])
            ids["b:1"] += publish_many(broker, 2 * KEPT, ("b:1",), FILL, first=n, at_a_time=AT_A_TIME)
            reader.read(lambda m: m.get("type") == "gap")
            reader.read(lambda m: m.get("topic") == "b:1")
        publish_many(broker, 1, ("a:1",), first=5)
        ids["a:1"].append(head(broker))
        reader.read(lambda m: m.get("topic") == "a:1")
        # one in each round; two, where the machine let it read on in the middle of one
        check(reader.holes >= 2, f"{reader.holes} holes")
        equal(reader.order.count("gap"), reader.holes, "gaps")
        equal(reader.at["b:1"], number_of(ids["b:1"][-1]), "and the last that was published")
        reader.client.close()


def test_each_hole_is_told_and_of_its_topic_alone():
    check_each_hole_is_told_once(lambda broker, cursor: slow_ws(broker, cursor, ["hookwire.v1"]))


def test_a_plain_client_that_gave_a_cursor_is_told_too():
    check_each_hole_is_told_once(lambda broker, cursor: slow_ws(broker, cursor, None))


def test_over_sse_too():
    check_each_hole_is_told_once(SlowSse)


THREE = ("b:1", "a:1", "c:1")


def numbers_of(messages):
    return [number_of(m["id"]) for m in messages if "id" in m and "event" in m]


def same(got, wanted, what):
    """Lists of numbers, that are too long to be shown."""
    equal((sorted(set(wanted) - set(got))[:5], sorted(set(got) - set(wanted))[:5]), ([], []), f"{what}: missing, too many")
    check(got == wanted, f"{what}: order, or something twice")


def test_the_replys_cursor_joins_the_topic_to_the_session_also_of_a_slow_client():
    large = {"journal": {"retention": {"count": 100000}}}
    with Broker(merge(SMALL, large)) as broker:
        cursor = head(broker)
        published = publish_many(broker, KEPT, ("a:1",), FILL, at_a_time=AT_A_TIME)
        client = v1_client(broker, "slow", receive_buffer=4096)
        client.subscribe("b:1")
        client.send_json({"type": "subscribe", "id": "a", "topics": [{"topic": "a:1", "cursor": cursor}, "c:1"]})
        first = client.recv_json()  # it has begun; the live topic falls behind too
        published += publish_many(broker, KEPT, THREE, FILL, at_a_time=AT_A_TIME)
        before = [first]
        reply = client.recv_where({"id": "a"}, timeout=30, skipped=before)
        published += publish_many(broker, 3, THREE, first=KEPT)
        topics = reply["topics"]
        equal({t: r["ok"] for t, r in topics.items()}, {"a:1": True, "c:1": True}, "results")
        equal(len({r["cursor"] for r in topics.values()}), 1, "one reply, one place")
        joined = number_of(topics["a:1"]["cursor"])
        behind = []
        while not behind or behind[-1]["id"] != published[-1]:
            behind.append(client.recv_event(timeout=30))
        everything = {number_of(i): t for i, t in zip(published, ["a:1"] * KEPT + list(THREE * KEPT)[:KEPT + 3])}
        for topic in ("a:1", "b:1"):
            same([n for n in numbers_of(before) if everything[n] == topic], [n for n, t in everything.items() if t == topic and n <= joined],
                  f"{topic} before the reply: all up to its cursor {joined}")
        same([n for n in numbers_of(before) if everything[n] == "c:1"], [], "c:1 begins with the reply")
        same(numbers_of(behind), [n for n in everything if n > joined], "and behind it all the rest, in one order")
        client.close()


def test_a_topic_without_a_cursor_begins_where_a_slow_session_is():
    with Broker(merge(SMALL, {"journal": {"retention": {"count": 100000}}})) as broker:
        client = v1_client(broker, "slow", receive_buffer=4096)
        client.subscribe("b:1")
        published = publish_many(broker, 3 * KEPT, THREE, FILL, at_a_time=AT_A_TIME)
        client.send_json({"type": "subscribe", "id": "c", "topics": ["c:1"]})
        client.ping()  # it has been worked off
        published += publish_many(broker, 30, THREE, first=3 * KEPT)
        before, behind = [], []
        reply = client.recv_where({"id": "c"}, timeout=30, skipped=before)
        place = number_of(reply["topics"]["c:1"]["cursor"])
        while not behind or behind[-1]["id"] != published[-1]:
            behind.append(client.recv_event(timeout=30))
        everything = {number_of(i): THREE[n % 3] for n, i in enumerate(published)}
        check(place < number_of(published[3 * KEPT - 1]), "the session was behind")
        same(numbers_of(before), [n for n, t in everything.items() if t == "b:1" and n <= place], f"up to {place}, without the new topic")
        same(numbers_of(behind), [n for n, t in everything.items() if t != "a:1" and n > place], "and behind it with the new topic, in one order")
        client.close()


def test_what_is_dropped_while_it_catches_up_is_read_again():
    # more is queued at a time than the socket takes, also of what is read again
    with Broker(merge(SMALL, {"slow": {"outbox_bytes": 1 << 20}, "journal": {"retention": {"count": 100000}}})) as broker:
        client = v1_client(broker, "slow", receive_buffer=4096)
        client.subscribe("b:1")
        published = publish_many(broker, 2 * KEPT, ("b:1",), FILL, at_a_time=AT_A_TIME)
        check(broker.metric("hookwire_slow_sessions_total") > 0, "it fell behind")
        seen = [client.recv_event(timeout=30)["id"] for _ in published]
        check(seen == published, "all of it, in order")
        client.close()


# what is read again takes its time
POLICY = """return policy { api = 1, reads = { filter = { "user" } }, -- %d
  authorize = { subscribe = function() return allow() end, publish = function() return allow() end },
  filter = function(event) local n = 0 for i = 1, 20000 do n = n + i end return n > 0 end }"""


def test_a_policy_that_changes_meanwhile_holds_nothing_up():
    # nothing is delivered until the new policy was asked, and it is asked when what is being recovered has its answer
    now = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua", "revoke": "now"}]}},
           "journal": {"retention": {"count": 100000}}}
    with Broker(merge(SMALL, now), files={"open.lua": POLICY % 0}) as broker:
        begin = head(broker)
        publish_many(broker, 1, ("a:1",))
        client = v1_client(broker)
        client.subscribe("b:1")
        published, seen, answers = [], [], []
        for n in range(1, 6):
            published += publish_many(broker, 600, ("b:1",))
            client.send_json({"type": "subscribe", "id": n, "topics": [{"topic": "a:1", "cursor": begin}]})
            broker.write_file("open.lua", POLICY % n)
            since = broker.log_mark()
            broker.sighup()
            broker.wait_log("reloaded", since=since)
            answers.append(client.recv_where({"id": n}, timeout=20, skipped=seen)["topics"]["a:1"].get("code"))
            client.request({"type": "unsubscribe", "topics": ["a:1"]}, timeout=20, skipped=seen)
        contains(answers, "unavailable", "answers; nothing was held: the test is too quick")
        publish_many(broker, 1, ("b:1",), first=5000)
        seen.append(client.recv_where(lambda m: m.get("topic") == "b:1" and n_of(m) == 5000, timeout=20, skipped=seen))
        same(numbers_of(m for m in seen if m.get("topic") == "b:1")[:-1], list(map(number_of, published)), "what is live the whole time")
        client.close()


main()
