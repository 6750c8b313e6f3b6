#!/usr/bin/python3
# A journal that a plugin provides: nothing is delivered or acknowledged before it is committed, what memory has dropped
# is read back from it, and a restart goes on where the numbers ended.
# ctest: timeout=120
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.journal import ALLOW, Journal

def client(broker, user="u1", **options):
    c = WsClient(broker.address, token=mint(user), protocols=["hookwire.v1"], **options)
    c.welcome = c.recv_where({"type": "welcome"})
    return c


def publish(c, topic, n, request_id):
    c.send_json({"type": "publish", "topic": topic, "event": "UPDATED",
                 "data": {"entity_id": "e", "payload": {"n": n}}, "id": request_id})


def number_of(event_id):
    return int(event_id.split("-")[1])


def appended(broker):
    return broker.metric("hookwire_plugin_appends_total", plugin="test-journal") or 0


def head(broker):
    return http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"]


def test_nothing_is_delivered_or_acknowledged_before_it_is_committed():
    for workers in (1, 4):
        with Journal() as journal, journal.broker({"workers": workers}) as broker:
            with client(broker) as a, client(broker, "u2") as b:
                b.subscribe("a:1")
                before = head(broker)
                journal.set("hold")
                publish(a, "a:1", 1, "p1")
                wait_until(lambda: appended(broker) == 1, 10, "the append to reach the plugin")
                a.send_json({"type": "ping", "id": "x"})
                equal(a.recv_json(), {"type": "pong", "id": "x"}, "the publisher goes on, and has no ack")
                equal(b.drain(0.1), [], "what the subscriber has before the commit")
                equal(head(broker), before, "the head before the commit")
                journal.clear("hold")
                ack, event = a.recv_where({"type": "ack"}), b.recv_event()
                equal(ack["event_id"], event["id"], "the id")
                equal(head(broker), event["id"], "the head")
                check(head(broker) != before, "the head moved")


def test_many_publishes_of_a_session_are_under_way_and_acknowledged_in_order():
    with Journal() as journal, journal.broker() as broker:
        with client(broker) as a, client(broker, "u2") as b:
            b.subscribe("a:1")
            journal.set("hold")
            for n in range(600):  # more than may be under way: the rest waits, and is not lost
                publish(a, "a:1", n, f"p{n}")
            wait_until(lambda: appended(broker) == 1, 10, "the first append")
            journal.clear("hold")
            equal([a.recv_json()["id"] for _ in range(600)], [f"p{n}" for n in range(600)], "the acks")
            events = [b.recv_event() for _ in range(600)]
            equal([e["data"]["payload"]["n"] for e in events], list(range(600)), "the events")
            numbers = [number_of(e["id"]) for e in events]
            equal(numbers, sorted(set(numbers)), "their numbers")


def test_an_event_is_explained_by_the_number_that_the_plugin_gave():
    with Journal() as journal, journal.broker({"topics": {"fleeting:*": {"history": "none"}}, "journal": {"memory": {"count": 20}}}) as broker:
        with client(broker) as a, client(broker, "u2") as b:
            b.subscribe("a:1")
            ids = []
            for n in range(100):  # places in memory are more than numbers: these have none
                publish(a, "fleeting:1", n, f"f{n}")
                publish(a, "a:1", n, f"p{n}")
                ids.append(a.recv_where({"type": "ack", "id": f"p{n}"})["event_id"])
            for n in range(100):
                b.recv_event()

            def explained(event):
                return http(broker.admin_address, "GET", f"/api/explain?event={event}&user=u2", token=ADMIN_TOKEN).json()

            x = wait_until(lambda: (lambda x: x if x["outcome"] == "sent" else None)(explained(ids[-1])), 10, "the last to be sent")
            contains(x["event"], {"id": ids[-1], "topic": "a:1"}, "the event")
            contains(x["stored"], {"in_journal": True, "seq": number_of(ids[-1]), "plugin": True}, "where it is stored")
            equal(explained(ids[-2])["event"]["id"], ids[-2], "the one before it")
            contains(explained(ids[0]), {"outcome": "gone"}, "what memory has dropped")
            contains(explained(ids[0])["stored"], {"in_journal": False, "plugin": True}, "where it may be")


def test_an_array_is_committed_together_and_answered_in_its_order():
    with Journal() as journal, journal.broker() as broker:
        items = [{"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}} for n in range(200)]
        items[7] = {"topic": "A", "event": "UPDATED", "data": {"entity_id": "e"}}
        answer = http(broker.address, "POST", "/publish", token=mint("backend"), body=items)
        equal(answer.status, 207, "status")
        results = answer.json()["results"]
        equal([i for i, r in enumerate(results) if not r["ok"]], [7], "what failed")
        ids = [number_of(r["id"]) for r in results if r["ok"]]
        equal(ids, sorted(set(ids)), "the ids")
        check(appended(broker) < 50, f"few batches: {appended(broker)}")
        equal(len(journal.lines()), 199, "lines in the file")


def test_what_fails_is_unavailable_and_nobody_gets_it():
    for how in ("fail", "refuse"):
        with Journal() as journal, journal.broker() as broker:
            with client(broker) as a, client(broker, "u2") as b:
                b.subscribe("a:1")
                journal.set(how)
                publish(a, "a:1", 1, "p1")
                error = a.recv_where({"type": "error"})
                equal((error["id"], error["code"], error["retryable"]), ("p1", "unavailable", True), how)
                answer = broker.publish("a:1", data={"entity_id": "e"}, headers=[("Idempotency-Key", "k1")])
                equal(answer.status, 503, "POST")
                journal.clear(how)
                answer = broker.publish("a:1", data={"entity_id": "e"}, headers=[("Idempotency-Key", "k1")])
                equal((answer.status, answer.json().get("duplicate")), (200, None), "the key is free again")
                equal(b.recv_event()["id"], answer.json()["id"], "the first that is delivered")
                answer2 = broker.publish("a:1", data={"entity_id": "e"}, headers=[("Idempotency-Key", "k1")])
                equal((answer2.json()["id"], answer2.json()["duplicate"]), (answer.json()["id"], True), "and is used now")
                equal(len(journal.lines()), 1, "stored")


def test_a_publisher_that_goes_loses_no_event_and_its_key_is_used():
    with Journal() as journal, journal.broker() as broker:
        with client(broker, "u2") as b:
            b.subscribe("a:1")
            journal.set("hold")
            a = client(broker)
            a.send_json({"type": "publish", "topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e"}, "key": "k", "id": 1})
            wait_until(lambda: appended(broker) == 1, 10, "the append")
            a.abort()
            wait_until(lambda: broker.metric("hookwire_sessions") == 1, 10, "the publisher to be gone")
            journal.clear("hold")
            event = b.recv_event()
            with client(broker) as again:
                again.send_json({"type": "publish", "topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e"},
                                 "key": "k", "id": 2})
                equal(again.recv_where({"type": "ack"}),
                      {"type": "ack", "id": 2, "event_id": event["id"], "duplicate": True}, "the repeat")


def test_topics_without_history_wait_for_nothing():
    with Journal() as journal, journal.broker({"topics": {"cursor:*": {"history": "none"}}}) as broker:
        with client(broker) as a, client(broker, "u2") as b:
            b.subscribe("a:1", "cursor:1")
            journal.set("hold")
            publish(a, "a:1", 1, "p1")
            publish(a, "cursor:1", 2, "p2")
            event = b.recv_event()
            equal((event["topic"], "id" in event), ("cursor:1", False), "it is there, and has no id")
            journal.clear("hold")
            equal(b.recv_event()["topic"], "a:1", "the other")
            publish(a, "cursor:1", 3, "p3")
            equal(b.recv_event()["topic"], "cursor:1", "and again")
            equal(len(journal.lines()), 1, "stored")


def slow_client(broker, topics):
    c = client(broker, "slow", receive_buffer=4096)
    c.subscribe(*topics)
    return c


FILL = "x" * 8000
SMALL_MEMORY = {"slow": {"outbox_bytes": 16384, "deadline_ms": 60000},
                "journal": {"memory": {"count": 20, "bytes": 262144}}}


def flood(broker, count, topics=("a:1",)):
    with HttpConnection(broker.address) as connection:
        for first in range(0, count, 50):
            items = [{"topic": topics[n % len(topics)], "event": "UPDATED",
                      "data": {"entity_id": "e", "payload": {"n": n, "fill": FILL}}} for n in range(first, first + 50)]
            answer = connection.request("POST", "/publish", [("Authorization", "Bearer " + mint("backend"))], items)
            equal(answer.status, 200, "publish")


def test_who_falls_behind_memory_is_caught_up_from_the_plugin():
    with Journal() as journal, journal.broker(SMALL_MEMORY) as broker:
        slow = slow_client(broker, ["a:1", "b:1"])
        flood(broker, 1500, ("a:1", "b:1", "c:1"))
        wanted = [n for n in range(1500) if n % 3 != 2]
        got = [slow.recv_event(timeout=20) for _ in wanted]
        equal([e["data"]["payload"]["n"] for e in got], wanted, "all of it, in order")
        equal(slow.drain(0.1), [], "anything else")
        check((broker.metric("hookwire_plugin_reads_total", plugin="test-journal") or 0) > 0, "it came from the plugin")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        flood(broker, 50)
        equal([slow.recv_event()["data"]["payload"]["n"] for _ in range(50)], list(range(50)), "and live again")
        slow.close()


def test_what_the_plugin_has_dropped_too_is_a_gap_of_that_topic():
    with Journal() as journal, journal.broker(SMALL_MEMORY, keep=100) as broker:
        slow = slow_client(broker, ["a:1", "quiet:1"])
        broker.publish("quiet:1", data={"entity_id": "q", "payload": {"n": -1}})
        flood(broker, 1500)
        numbers, told = [], False
        while not numbers or numbers[-1] != 1499:  # a client may be passed by retention more than once
            message = slow.recv_json(timeout=20)
            if message.get("type") == "gap":
                equal(message["topics"], ["a:1"], "what is lost")
                told = True
            elif message.get("topic") == "a:1":
                n = message["data"]["payload"]["n"]
                check(n == (numbers[-1] + 1 if numbers else 0) or (told and n > numbers[-1]), f"{n} comes behind {numbers[-1:]}, gap told: {told}")
                numbers.append(n)
                told = False
        check(len(numbers) < 1500, "something was lost")
        slow.close()


def test_a_plain_client_that_the_plugin_has_something_dropped_of_is_closed():
    with Journal() as journal, journal.broker(SMALL_MEMORY, keep=100) as broker:
        plain = WsClient(broker.address, token=mint("plain"), receive_buffer=4096)
        plain.subscribe("a:1")
        flood(broker, 1500)
        plain.expect_close(4508)  # it gave no cursor: never silence
        equal(broker.metric("hookwire_gaps_total"), 1, "gaps")


def test_a_restart_goes_on_in_its_epoch_with_its_numbers():
    with Journal() as journal:
        with journal.broker() as broker:
            with client(broker) as a:
                first = [broker.publish("a:1", data={"entity_id": "e"}).json()["id"] for _ in range(3)]
            cursor = head(broker)
            equal(cursor, first[-1], "the head")
        with journal.broker() as broker:
            equal(head(broker), cursor, "the head after a restart")
            with client(broker) as a:
                equal(a.welcome["cursor"], cursor, "the welcome's")
                a.subscribe("a:1")
                after = broker.publish("a:1", data={"entity_id": "e"}).json()["id"]
                equal(after.split("-")[0], cursor.split("-")[0], "the epoch")
                check(number_of(after) > number_of(cursor), "the number goes on")
                equal(a.recv_event()["id"], after, "what is delivered")
        with journal.broker(epoch=77) as broker:
            check(head(broker).split("-")[0] != cursor.split("-")[0], "another epoch")


def test_a_tenant_that_the_plugin_does_not_know_yet_is_unavailable_until_it_does():
    with Journal() as journal, journal.broker() as broker:
        journal.set("refuse")
        answer = http(broker.address, "GET", "/cursor", token=mint("u1"))
        equal((answer.status, answer.json()["code"]), (503, "unavailable"), "before")
        journal.clear("refuse")
        equal(broker.publish("a:1", data={"entity_id": "e"}).status, 200, "after")


def test_what_was_given_to_the_plugin_is_committed_when_the_broker_ends():
    with Journal() as journal:
        with journal.broker({"drain_ms": 0}) as broker:
            a = client(broker)
            journal.set("hold")
            publish(a, "a:1", 1, "p1")
            wait_until(lambda: appended(broker) == 1, 10, "the append")
            broker.sigterm()
            wait_until(lambda: "draining" in broker.log(), 10, "the drain")
            journal.clear("hold")
        equal(len(journal.lines()), 1, "stored")


def test_a_journal_that_does_not_open_stops_the_start_and_says_why():
    with Journal() as journal:
        for plugin, config, words in ((str(journal.plugin), {}, "\"dir\" is missing"),
                                      (str(journal.plugin), {"dir": "/nowhere"}, "cannot open the file there"),
                                      ("acl", {"rules": "x"}, "journal")):
            broker = None
            try:
                broker = Broker(merge(ALLOW, {"journal": {"plugin": plugin, "config": config}}))
            except Exception as error:
                contains(str(error), words, plugin)
            check(broker is None, f"it started with {plugin}")


def test_the_check_looks_at_the_journal_and_opens_nothing():
    with Journal() as journal, journal.broker() as broker:
        lines = journal.lines()
        for config, words in (({"plugin": str(journal.plugin), "config": {"dir": "/nowhere"}}, None), ({"plugin": "webhook", "config": {"url": "http://127.0.0.1:1/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}, "provides no journal")):
            (broker.dir / "other.json").write_text(json.dumps({**broker.config, "journal": config}))
            done = cli("check", "-c", str(broker.dir / "other.json"))
            equal(done.returncode, 1 if words else 0, done.stdout)
            contains(done.stdout + done.stderr, words or "", "what it says")
        equal(journal.lines(), lines, "the file")


main()
