#!/usr/bin/python3
# While somebody recovers, and reads slowly: what retention takes meanwhile is told each time, and of its topic alone.
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import number_of, publish_many, v1_client

FILL = "x" * 32000  # what is kept is more than the sockets hold
AT_A_TIME = 25  # within body_bytes
KEPT = 250
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


def slow_reader(broker, cursor, ids, v1):
    query = {"topics": "a:1,b:1", "cursor": cursor}
    client = WsClient(broker.address, token=mint("slow"), protocols=["hookwire.v1"] if v1 else None, query=query, receive_buffer=4096)
    return Reader(client, cursor, ids)


def check_each_hole_is_told_once(v1):
    with Broker(SMALL) as broker:
        cursor, ids = head(broker), {"a:1": [], "b:1": []}
        ids["a:1"] += publish_many(broker, 5, ("a:1",), FILL, at_a_time=AT_A_TIME)
        ids["b:1"] += publish_many(broker, KEPT - 50, ("b:1",), FILL, at_a_time=AT_A_TIME)
        reader = slow_reader(broker, cursor, ids, v1)
        reader.read(lambda m: m.get("topic") == "b:1")
        for _ in range(2):  # it has not come to the end when all that it knew is gone
            n = len(ids["b:1"])
            ids["b:1"] += publish_many(broker, 2 * KEPT, ("b:1",), FILL, first=n, at_a_time=AT_A_TIME)
            reader.read(lambda m: m.get("type") == "gap")
            reader.read(lambda m: m.get("topic") == "b:1")
        publish_many(broker, 1, ("a:1",), first=5)
        ids["a:1"].append(head(broker))
        reader.read(lambda m: m.get("topic") == "a:1")
        equal((reader.holes, reader.order.count("gap")), (2, 2), "holes and gaps")
        equal(reader.at["b:1"], number_of(ids["b:1"][-1]), "and the last that was published")
        reader.client.close()


def test_each_hole_is_told_and_of_its_topic_alone():
    check_each_hole_is_told_once(v1=True)


def test_a_plain_client_that_gave_a_cursor_is_told_too():
    check_each_hole_is_told_once(v1=False)


main()
