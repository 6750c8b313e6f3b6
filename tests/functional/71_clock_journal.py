#!/usr/bin/python3
# Somebody sets the wall clock while the broker runs: what the journal keeps stays for its time, no more and no less.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.clock import WallClock
from hwtest.database import Database

HOUR = 3600
DAY = 24 * HOUR
# what is of "brief:*" goes with the next housekeeping: whoever sees it gone knows that ages have been looked at
BRIEF = {"topics": {"brief:*": {"retention": {"age_ms": 1}}}}


def poll(broker, token, cursor=None, topic="a:1"):
    """What has come since, as the answer's JSON."""
    where = f"/poll?topics={topic}&wait=0" + (f"&cursor={cursor}" if cursor else "")
    answer = http(broker.address, "GET", where, token=token)
    equal(answer.status, 200, f"poll ({answer.body[:200]!r})")
    return answer.json()


def publish(broker, token, topic="a:1"):
    """Stores an event; its id."""
    answer = broker.publish(topic, token=token)
    equal(answer.status, 200, f"publish ({answer.body[:200]!r})")
    return answer.json()["id"]


def keep_house(broker, token):
    """Waits until the ages of all that is there have been looked at."""
    before = poll(broker, token, topic="brief:1")["cursor"]
    publish(broker, token, "brief:1")
    wait_until(lambda: poll(broker, token, before, "brief:1")["gap"], 10, "housekeeping")


def has_all(broker, token, start, ids, what):
    answer = poll(broker, token, start)
    equal((answer["gap"], [e["id"] for e in answer["events"]]), (False, ids), f"all of it, {what}")


def test_in_memory_nothing_goes_because_of_the_clock():
    with WallClock() as clock, clock.broker({"journal": {"retention": {"age_ms": HOUR * 1000}}, **BRIEF}) as broker:
        token = clock.mint("u1", 60 * DAY)
        start = poll(broker, token)["cursor"]
        ids = []
        for jump in (3 * HOUR, -6 * HOUR):
            clock.jump(jump)
            ids += [publish(broker, token) for _ in range(3)]
            keep_house(broker, token)
            has_all(broker, token, start, ids, f"after a jump of {jump} s")


def test_in_memory_nothing_stays_because_of_the_clock():
    with WallClock() as clock, clock.broker({"journal": {"retention": {"age_ms": 1000}}}) as broker:
        clock.jump(DAY)
        token = clock.mint("u1", 60 * DAY)
        start = poll(broker, token)["cursor"]
        publish(broker, token)
        clock.jump(-DAY)
        wait_until(lambda: poll(broker, token, start)["gap"], 20, "what is too old to go")


def test_stored_what_is_of_tomorrow_becomes_of_today():
    with WallClock() as clock, Database() as db:
        config = db.config({"journal": {"retention": {"age_ms": HOUR * 1000}}, **BRIEF})
        token = clock.mint("u1", 60 * DAY)
        clock.jump(30 * DAY)
        with clock.broker(config) as broker:
            start = poll(broker, token)["cursor"]
            ids = [publish(broker, token) for _ in range(3)]
        clock.jump(-30 * DAY)
        with clock.broker(config) as broker:
            ids += [publish(broker, token) for _ in range(3)]
            wait_until(lambda: broker.metric("hookwire_plugin_sqlite_redated_total") == 3, 10, "the present for what is of tomorrow")
            keep_house(broker, token)
            has_all(broker, token, start, ids, "after a jump back")
        clock.jump(2 * HOUR)
        with clock.broker(config) as broker:
            poll(broker, token)
            wait_until(lambda: db.events() == [], 10, "what is too old to go")
            equal(poll(broker, token, start)["gap"], True, "who missed it is told")
        db.check()


def test_stored_a_class_that_is_larger_than_a_step_is_given_the_present_too():
    with WallClock() as clock, Database() as db:
        config = db.config({"journal": {"retention": {"age_ms": HOUR * 1000}}})
        token = clock.mint("u1", 60 * DAY)
        clock.jump(30 * DAY)
        with clock.broker(config) as broker:
            first = publish(broker, token)
        # more than one transaction changes, by hand, and of one moment
        count, (at_ms, event_id) = 4500, db.query("SELECT at_ms, id FROM event")[0]
        db.set("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
               " INSERT INTO event(id, topic, at_ms, event) SELECT id + i, topic, at_ms, event FROM event, n WHERE id = ?2", count, event_id)
        db.set("UPDATE tenant SET last = last + ?1", count)
        db.set("UPDATE class SET events = events + ?1, bytes = bytes * (?1 + 1)", count)
        clock.jump(-30 * DAY)
        with clock.broker(config) as broker:
            poll(broker, token)  # a tenant is looked after from when somebody of it comes
            wait_until(lambda: broker.metric("hookwire_plugin_sqlite_redated_total") == count + 1, 10, "the present for all of it")
            equal(poll(broker, token, first)["gap"], False, "it is there")
        check(db.query("SELECT max(at_ms) FROM event")[0][0] < at_ms - HOUR * 1000, "nothing is of tomorrow")
        db.check()


main()
