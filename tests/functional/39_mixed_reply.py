#!/usr/bin/python3
# The cursor of a reply is not ahead of the events that wait with it for a client that does not read.
# ctest: timeout=60
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import number_of, publish_many, v1_client

FILL = "x" * 8000
AT_A_TIME = 50
CONFIG = {"slow": {"outbox_bytes": 2000000, "deadline_ms": 60000},
          "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000}}}}


def row(broker):
    return http(broker.admin_address, "GET", "/api/sessions", token=ADMIN_TOKEN).json()["sessions"][0]


def publish_until(broker, n, condition):
    """Publishes until the session is so; returns the next event's number."""
    while not condition(row(broker)):
        publish_many(broker, AT_A_TIME, fill=FILL, first=n)
        n += AT_A_TIME
    return n


def look(command):
    with Broker(CONFIG) as broker, v1_client(broker, receive_buffer=65536) as c:
        c.subscribe("a:1", "b:1")
        n = publish_until(broker, 1, lambda r: r["queued_bytes"] > 10 * len(FILL))
        check(not row(broker)["lagging"], "what it has to get waits for its socket")
        before = row(broker)["subscriptions"]
        c.send_json({"type": command, "topics": ["b:1" if command == "unsubscribe" else "c:1"], "id": 1})
        wait_until(lambda: row(broker)["subscriptions"] != before, 10, "the command to be done")
        n = publish_until(broker, n, lambda r: r["lagging"])
        skipped = []
        reply = c.recv_where({"type": "reply"}, 20, skipped)
        numbers = [number_of(e["id"]) for e in skipped if "data" in e]
        cursor, = {number_of(t["cursor"]) for t in reply["topics"].values()}
        equal(numbers[-1], cursor, f"the last event before the reply of {command}, and the cursor in it")
        numbers += [number_of(c.recv_event(timeout=20)["id"]) for _ in range(n - 1 - len(numbers))]
        equal(numbers, list(range(1, n)), "all that came")


def test_of_a_subscription():
    look("subscribe")


def test_of_the_end_of_one():
    look("unsubscribe")


main()
