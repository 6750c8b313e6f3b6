#!/usr/bin/python3
# What the file keeps: by count, bytes and age, each pattern and tenant by itself, as a reload says it; what has gone of a
# topic is a gap of that topic and no other.
# ctest: timeout=180
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import Database, epoch_of, number_of, publish_many, v1_client

FILL = "x" * 8000
SLOW = {"slow": {"outbox_bytes": 16384, "deadline_ms": 60000}}


def keeping(memory=20, topics=None, **retention):
    return merge(SLOW, {"journal": {"retention": {"bytes": 1 << 30, **retention}, "memory": {"count": memory, "bytes": 262144}},
                        **({"topics": topics} if topics else {})})


def stored(db, topic=None, tenant="acme"):
    return [e["data"]["payload"]["n"] for _, t, e in db.events(tenant) if topic in (None, t)]


def slow_client(broker, *topics):
    c = v1_client(broker, "slow", receive_buffer=4096)
    c.subscribe(*topics)
    return c


def test_by_count():
    with Database() as db, db.broker(keeping(count=100)) as broker:
        publish_many(broker, 1000)
        kept = wait_until(lambda: (n := stored(db)) and len(n) <= 113 and n, 10, "the rest to go")
        equal(kept, list(range(1000 - len(kept), 1000)), "the newest")
        check(len(kept) >= 100, f"{len(kept)} kept")
        equal(broker.metric("hookwire_plugin_sqlite_trimmed_total"), 1000 - len(kept), "counted")
        db.check()


def test_by_bytes():
    with Database() as db, db.broker(keeping(count=1000000, bytes=1 << 20)) as broker:
        publish_many(broker, 600, fill=FILL)
        wait_until(lambda: db.query("SELECT sum(bytes) FROM class")[0][0] <= (1 << 20) * 9 // 8, 10, "the rest to go")
        kept = stored(db)
        equal(kept, list(range(600 - len(kept), 600)), "the newest")
        check(len(kept) * 8300 > (1 << 20) * 0.9, f"{len(kept)} kept")
        db.check()


def test_by_age():
    with Database() as db, db.broker(keeping(count=1000000, age_ms=1500)) as broker:
        began = time.monotonic()
        publish_many(broker, 50)
        wait_until(lambda: stored(db) == [], 15, "the old to go")
        check(time.monotonic() - began > 1.5, "not before their time")
        last = publish_many(broker, 1, first=50)[0]
        equal(number_of(last), 51, "the number of the next")
        db.check()


def test_a_tenant_whose_events_have_all_gone_keeps_its_last_number():
    with Database() as db:
        with db.broker(keeping(count=1000000, age_ms=200)) as broker:
            ids = publish_many(broker, 7)
            wait_until(lambda: stored(db) == [], 15, "all to go")
        with db.broker(keeping(count=1000000, age_ms=200)) as broker:
            equal(http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"], ids[-1], "the head")
            equal(number_of(publish_many(broker, 1)[0]), 8, "the next")


def test_what_has_gone_is_a_gap_of_that_topic_alone():
    with Database() as db, db.broker(keeping(count=200)) as broker:
        publish_many(broker, 1, ("quiet:1",), first=5000)
        slow = slow_client(broker, "a:1", "b:1", "quiet:1")
        publish_many(broker, 1000, ("a:1",), FILL)
        publish_many(broker, 150, ("b:1",), FILL, first=1000)
        publish_many(broker, 150, ("a:1",), FILL, first=2000)  # of b:1 nothing has gone, of a:1 much
        wait_until(lambda: len(stored(db)) <= 350, 10, "the rest to go")
        gap = slow.recv_where({"type": "gap"}, timeout=20, skipped=(skipped := []))
        gone_b = 1000 not in stored(db, "b:1")
        equal(gap["topics"], ["a:1", "b:1"] if gone_b else ["a:1"], "what is lost")
        events = [m for m in skipped if "event" in m]
        while not events or events[-1]["data"]["payload"]["n"] != 2149:
            events.append(slow.recv_event(timeout=20))
        for topic in ("a:1", "b:1"):
            got = [e["data"]["payload"]["n"] for e in events if e["topic"] == topic]
            kept = stored(db, topic)
            equal(got[-len(kept):], kept, f"all of {topic} that is kept")
        slow.close()


def test_a_gap_is_told_by_the_file_after_a_restart_too():
    config = keeping(count=100)
    with Database() as db:
        with db.broker(config) as broker:
            publish_many(broker, 1, ("b:1",), first=9000)
            publish_many(broker, 500, ("a:1",))
            wait_until(lambda: len(stored(db)) <= 113, 10, "the rest to go")
        gone = dict(db.query("SELECT name, gone FROM topic"))
        first = db.events()[0][0]
        equal(gone, {"a:1": first - 1, "b:1": 1}, "the newest that has gone of each")
        with db.broker(config) as broker:
            slow = slow_client(broker, "a:1", "b:1")
            publish_many(broker, 1000, ("a:1",), FILL, first=500)
            gap = slow.recv_where({"type": "gap"}, timeout=20)
            equal(gap["topics"], ["a:1"], "b:1 has lost nothing since the client came")
            slow.close()


def test_a_flood_of_one_pattern_leaves_others_alone():
    topics = {"cursor:*": {"retention": {"count": 50}}, "cursor:vip": {"retention": {"count": 500}}}
    with Database() as db, db.broker(keeping(count=1000, topics=topics)) as broker:
        publish_many(broker, 200, ("gift-list:1", "cursor:vip"))
        slow = slow_client(broker, "gift-list:1", "cursor:vip")
        publish_many(broker, 20, ("gift-list:1",), FILL, first=300)
        publish_many(broker, 5000, tuple(f"cursor:{n}" for n in range(2500)), first=1000)
        wait_until(lambda: sum(n for n, in db.query(
            "SELECT events FROM class WHERE pattern = 'cursor:*'")) <= 56, 10, "the flood to go")
        equal(stored(db, "gift-list:1"), list(range(0, 200, 2)) + list(range(300, 320)), "nothing of the others has gone")
        equal(stored(db, "cursor:vip"), list(range(1, 200, 2)), "nor of the topic that has its own")
        equal([slow.recv_event()["data"]["payload"]["n"] for _ in range(20)], list(range(300, 320)), "and it is given")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        db.check()
        slow.close()


def test_topics_that_were_emptied_long_ago_share_a_floor():
    # more of them than are remembered, under a pattern of their own
    topics = {"cursor:*": {"retention": {"count": 1}}}
    with Database() as db, db.broker(keeping(count=100000, topics=topics)) as broker:
        publish_many(broker, 10, ("gift-list:1",))
        publish_many(broker, 13000, tuple(f"cursor:{n}" for n in range(13000)), at_a_time=1000)
        wait_until(lambda: sum(n for n, in db.query("SELECT events FROM class WHERE pattern = 'cursor:*'")) <= 1, 20, "all to go")
        n_empty = db.query("SELECT count(*) FROM topic WHERE empty = 1")[0][0]
        check(0 < n_empty <= 10000, f"{n_empty} empty topics are remembered")
        floors = dict(db.query("SELECT pattern, floor FROM class"))
        equal(floors[""], 0, "the others' floor")
        oldest = db.query("SELECT min(gone) FROM topic WHERE empty = 1")[0][0]
        equal(floors["cursor:*"], oldest - 1, "it is just below what is remembered")
        publish_many(broker, 1, ("cursor:0",))
        equal(db.query("SELECT gone FROM topic WHERE name = 'cursor:0'"), [(floors["cursor:*"],)], "one that comes again")
        publish_many(broker, 1, ("gift-list:2",))
        equal(db.query("SELECT gone FROM topic WHERE name = 'gift-list:2'"), [(0,)], "one of another pattern")
        db.check()


def test_a_reload_changes_what_is_kept():
    with Database() as db, db.broker(keeping(count=1000)) as broker:
        publish_many(broker, 600, ("a:1", "b:1"))
        broker.write_config(merge(broker.config, {"journal": {"retention": {"count": 100}}}))
        broker.sighup()
        wait_until(lambda: len(stored(db)) <= 113, 10, "the rest to go")
        # a pattern of its own from now on; what it has stays where it was stored, and goes by its rules there
        broker.write_config(merge(broker.config, {"journal": {"retention": {"count": 1000}}, "topics": {"b:*": {"retention": {"count": 10}}}}))
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log("reload: reloaded", since=mark)
        before = stored(db, "b:1")
        publish_many(broker, 100, ("b:1",), first=1000)
        wait_until(lambda: db.query("SELECT events FROM class WHERE pattern = 'b:*'")[0][0] <= 11, 10, "the new pattern's")
        equal([n for n in stored(db, "b:1") if n < 1000], before, "what was stored before is where it was")
        equal(db.query("SELECT gone FROM topic WHERE name = 'b:1'")[0][0] > 0, True, "and a gap in between is known")
        # without the pattern again its class goes by the rules of the others
        broker.write_config(merge(broker.config, {"journal": {"retention": {"count": 5}}, "topics": None}))
        broker.sighup()
        wait_until(lambda: all(n <= 5 for n, in db.query("SELECT events FROM class")), 10, "all to follow")
        db.check()


def test_a_topic_in_two_classes_is_read_in_its_order():
    topics = {"b:*": {"retention": {"count": 1000}}}
    with Database() as db, db.broker(keeping(count=1000)) as broker:
        slow = slow_client(broker, "b:1", "a:*")
        publish_many(broker, 100, ("b:1", "a:1"), FILL)
        broker.write_config(merge(broker.config, {"topics": topics}))
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log("reload: reloaded", since=mark)
        publish_many(broker, 400, ("b:1", "a:1"), FILL, first=100)
        equal(len(db.query("SELECT id FROM class WHERE events > 0")), 2, "classes")
        equal([slow.recv_event(timeout=20)["data"]["payload"]["n"] for _ in range(500)], list(range(500)), "in order")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        slow.close()


def test_a_topic_that_lost_its_history_loses_what_is_stored():
    with Database() as db, db.broker(keeping(count=1000, topics={"cursor:*": {"retention": {"count": 100}}})) as broker:
        publish_many(broker, 40, ("cursor:1", "a:1"))
        broker.write_config(merge(broker.config, {"topics": {"cursor:*": {"history": "none", "retention": None}}}))
        broker.sighup()
        wait_until(lambda: stored(db, "cursor:1") == [], 10, "them to go")
        equal(len(stored(db, "a:1")), 20, "the others")


def test_what_is_free_is_used_again_or_given_back():
    checkpoint = 262144
    with Database() as db, db.broker(keeping(count=2500), settings={"checkpoint_bytes": checkpoint}) as broker:
        publish_many(broker, 3000, fill=FILL)
        wait_until(lambda: len(stored(db)) <= 2813, 10, "the rest to go")
        size = db.path.stat().st_size
        publish_many(broker, 4000, fill=FILL)
        wait_until(lambda: len(stored(db)) <= 2813, 10, "the rest to go")
        check(db.path.stat().st_size < 1.5 * size, f"{db.path.stat().st_size} bytes, before {size}")
        log = db.path.with_name("journal.db-wal").stat().st_size
        check(log < 16 * checkpoint, f"the log has {log} bytes: it is copied and begun again")
        broker.write_config(merge(broker.config, {"journal": {"retention": {"count": 10}}}))
        broker.sighup()
        wait_until(lambda: len(stored(db)) <= 11, 20, "the rest to go")
        wait_until(lambda: db.query("PRAGMA freelist_count")[0][0] <= 1000, 20, "it to shrink")
        db.check()


main()
