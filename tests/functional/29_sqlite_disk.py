#!/usr/bin/python3
# What the disk does is what publishers hear: an ack waits for its sync; a sync that fails, or a disk that is full, is
# `unavailable`, loses nothing that was acknowledged, and is over when the disk is well again.
# ctest: timeout=120
import os
import pathlib
import shutil
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import storm
from hwtest.database import Database, epoch_of, number_of, publish_many, v1_client

FILL = "x" * 8000


class Gate:
    """A broker whose log's syncs are held up, or fail (tests/lib/sync_gate.c)."""

    def __init__(self, db):
        self.db = db
        self.library = db.dir / "sync_gate.so"
        subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-Wall", "-Werror", "-o", self.library,
                        ROOT / "tests/lib/sync_gate.c", "-ldl"], check=True)

    def broker(self, config=None, settings=None):
        env = {"LD_PRELOAD": str(self.library), "HOOKWIRE_SYNC_GATE": str(self.db.dir),
               "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:verify_asan_link_order=0"}
        return self.db.broker(config, settings, env=env)

    def set(self, name):
        (self.db.dir / name).touch()

    def clear(self, name):
        (self.db.dir / name).unlink()

    def syncs(self):
        path = self.db.dir / "syncs"
        return path.stat().st_size if path.exists() else 0


def event(n, request_id):
    return {"type": "publish", "topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}, "id": request_id}


def appended(broker):
    return broker.metric("hookwire_plugin_sqlite_events_total")


def test_an_ack_and_a_delivery_wait_for_the_sync():
    with Database() as db:
        gate = Gate(db)
        with gate.broker() as broker, v1_client(broker) as a, v1_client(broker, "u2") as b:
            b.subscribe("a:1")
            gate.set("hold")
            a.send_json(event(1, "p1"))
            wait_until(lambda: db.path.with_name("journal.db-wal").stat().st_size > 0, 10, "the log to be written")
            a.send_json({"type": "ping", "id": "x"})
            equal(a.recv_json(), {"type": "pong", "id": "x"}, "the worker goes on, and there is no ack")
            equal(b.drain(0.3), [], "what the subscriber has before the sync")
            for n in range(2, 102):  # these wait together, and share the next sync
                a.send_json(event(n, f"p{n}"))
            a.send_json({"type": "ping", "id": "y"})
            equal(a.recv_json(), {"type": "pong", "id": "y"}, "and again")
            before = gate.syncs()
            gate.clear("hold")
            equal([a.recv_json()["id"] for _ in range(101)], [f"p{n}" for n in range(1, 102)], "the acks")
            equal([b.recv_event()["data"]["payload"]["n"] for _ in range(101)], list(range(1, 102)), "the events")
            check(1 <= gate.syncs() - before <= 20, f"{gate.syncs() - before} syncs for 101 events")


def test_what_waits_for_a_commit_is_committed_when_the_broker_ends():
    with Database() as db:
        gate = Gate(db)
        with gate.broker({"drain_ms": 0}) as broker:
            a = v1_client(broker)
            gate.set("hold")
            a.send_json(event(0, 0))
            wait_until(lambda: db.path.with_name("journal.db-wal").stat().st_size > 0, 10, "the log to be written")
            for n in range(1, 50):
                a.send_json(event(n, n))
            a.send_json({"type": "ping", "id": "x"})
            equal(a.recv_json(), {"type": "pong", "id": "x"}, "all of them are taken")
            broker.sigterm()
            broker.wait_log("draining")
            gate.clear("hold")
        equal([e["data"]["payload"]["n"] for _, _, e in db.events()], list(range(50)), "stored")
        db.check()


def test_normal_does_not_wait_for_a_sync():
    with Database() as db:
        gate = Gate(db)
        with gate.broker(settings={"synchronous": "normal"}) as broker:
            broker.publish("a:1")  # a log begins with a sync
            gate.set("hold")
            equal(broker.publish("a:1").status, 200, "it is acknowledged")
            gate.clear("hold")
            db.check()


def test_every_single_ack_has_its_sync_while_old_events_are_taken_away():
    # what takes events away goes without a sync, and must not take it from the commits
    with Database() as db:
        gate = Gate(db)
        with gate.broker({"journal": {"retention": {"count": 5}}}) as broker:
            before = gate.syncs()
            for n in range(100):
                equal(broker.publish("a:1").status, 200, "publish")
                check(gate.syncs() > before, f"the {n}th was acknowledged without a sync")
                before = gate.syncs()
            check(broker.metric("hookwire_plugin_sqlite_trimmed_total") > 50, "they were taken away meanwhile")


def test_a_sync_that_fails_is_unavailable_and_is_over_when_it_is():
    with Database() as db:
        gate = Gate(db)
        with gate.broker() as broker, v1_client(broker, "u2") as b:
            b.subscribe("a:1")
            ids = publish_many(broker, 10)
            equal([b.recv_event()["id"] for _ in range(10)], ids, "delivered")
            gate.set("fail")
            for n in range(3):
                answer = broker.publish("a:1", headers=[("Idempotency-Key", f"k{n}")])
                equal((answer.status, answer.json()["code"], answer.json()["retryable"]), (503, "unavailable", True), "the answer")
            equal(b.drain(0.2), [], "nothing of it is delivered")
            equal(http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"], ids[-1], "the head stays")
            check(broker.metric("hookwire_plugin_sqlite_failures_total") >= 3, "counted")
            broker.wait_log("the journal cannot be written: .*I/O error.*; publishes are refused until it can")
            equal(broker.log().count("cannot be written"), 1, "and told once")
            gate.clear("fail")
            answer = broker.publish("a:1", headers=[("Idempotency-Key", "k0")]).json()
            equal((number_of(answer["id"]), answer.get("duplicate")), (12, None), "the next number but the key's, and the key was free")
            equal(b.recv_event()["id"], answer["id"], "delivered")
            broker.wait_log("the journal is written again")
            equal([n for n, _, _ in db.events()], [*range(1, 11), 12], "stored")
            db.check()


class Small:
    """A database on a file system of its own, of so many bytes, that only the broker sees."""

    def __init__(self, db, size):
        self.db = db
        inside = db.dir / "disk"
        inside.mkdir()
        db.path = inside / "journal.db"
        how = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
        self.prefix = [*how, "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"', str(inside)]

    def broker(self, config=None, settings=None):
        self.running = self.db.broker(config, settings, prefix=self.prefix)
        return self.running

    def place(self, name):
        """A path of the disk, seen from outside."""
        return pathlib.Path(f"/proc/{self.running.pid}/root{self.db.path.parent}") / name


def fill(broker, disk):
    """Publishes until the disk is full; the ids of what was acknowledged."""
    disk.place("ballast").write_bytes(bytes(2 << 20))
    acked, refused = [], 0
    while refused < 5:
        answer = broker.publish("a:1", data={"entity_id": "e", "payload": {"n": len(acked), "fill": FILL}})
        if answer.status == 200:
            acked.append(answer.json()["id"])
        else:
            equal((answer.status, answer.json()["code"]), (503, "unavailable"), "the refusal")
            refused += 1
        check(len(acked) < 2000, "the disk is full some time")
    return acked


def test_a_full_disk_refuses_and_loses_nothing_and_recovers():
    if not storm.may_mount():
        raise Forbidden("this process may make no disk of its own")
    with Database() as db:
        disk = Small(db, 4 << 20)
        with disk.broker(settings={"checkpoint_bytes": 65536}) as broker, v1_client(broker, "u2") as b:
            b.subscribe("a:1")
            acked = fill(broker, disk)
            check(len(acked) > 20, f"{len(acked)} were taken")
            broker.wait_log("the journal cannot be written: .*full")
            equal([b.recv_event()["id"] for _ in acked], acked, "all that was acknowledged is delivered")
            equal(b.drain(0.2), [], "and nothing else")
            equal(http(broker.address, "GET", "/healthz").status, 200, "the broker is there")
            equal(http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"], acked[-1], "and says where it is")

            disk.place("ballast").unlink()
            more = wait_until(lambda: broker.publish("a:1", data={"entity_id": "e", "payload": {"n": len(acked)}}).json().get("id"),
                              10, "it to go on when there is room")
            equal(number_of(more), number_of(acked[-1]) + 1, "its number")
            equal(b.recv_event()["id"], more, "it is delivered")
            broker.wait_log("the journal is written again")
            for name in ("journal.db", "journal.db-wal"):
                shutil.copy(disk.place(name), db.dir / name)
            equal([n for n, _, _ in db.events(path=db.dir / "journal.db")], [number_of(i) for i in acked + [more]], "stored")
            db.check(path=db.dir / "journal.db")


def polled(broker, cursor):
    """The ids of all that is there of a:1 behind a cursor, page by page."""
    ids = []
    while True:
        answer = http(broker.address, "GET", f"/poll?topics=a:1&wait=0&cursor={cursor}", token=mint("u3")).json()
        equal(answer["gap"], False, "gap")
        if not answer["events"]:
            return ids
        ids += [e["id"] for e in answer["events"]]
        cursor = answer["cursor"]


def test_all_but_publishing_goes_on_while_the_disk_is_full():
    if not storm.may_mount():
        raise Forbidden("this process may make no disk of its own")
    few = {"journal": {"memory": {"count": 4}}, "topics": {"live:*": {"history": "none"}}}  # the rest is read from the disk
    with Database() as db:
        disk = Small(db, 4 << 20)
        with disk.broker(few, settings={"checkpoint_bytes": 65536}) as broker, v1_client(broker, "u2") as there:
            start = http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"]
            there.subscribe("a:1", "live:1")
            acked = fill(broker, disk)
            check(len(acked) > 20, f"{len(acked)} were taken")
            equal([there.recv_event()["id"] for _ in acked], acked, "who was there has all of it")

            # who comes now, over each transport, and who wants more
            with WsClient(broker.address, token=mint("u4"), protocols=["hookwire.v1"], query={"topics": "a:1", "cursor": start}) as late:
                equal([late.recv_event()["id"] for _ in acked], acked, "recovered over WebSocket")
                late.subscribe("live:1")
                with SseClient(broker.address, "a:1", token=mint("u5"), last_id=start) as sse:
                    equal([sse.recv_event()["id"] for _ in acked], acked, "over SSE")
                equal(polled(broker, start), acked, "by polling")
                page = http(broker.address, "GET", "/topics/a:1/history?limit=5", token=mint("u6")).json()
                equal([e["id"] for e in page["events"]], acked[:5], "history")

                # who publishes is told over each of the ways in, and what is stored nowhere is delivered
                late.send_json(event(0, "p"))
                contains(late.recv_where({"id": "p"}), {"type": "error", "code": "unavailable", "retryable": True}, "over WebSocket")
                answer = http(broker.address, "POST", "/publish", token=mint("backend", backend=True), body=[
                    {"topic": t, "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}, "key": t} for t in ("a:1", "live:1")])
                equal((answer.status, [r.get("code") for r in answer.json()["results"]]), (207, ["unavailable", None]), "an array")
                equal([c.recv_event()["topic"] for c in (there, late)], ["live:1"] * 2, "what is not stored")
                equal((there.drain(0.2), late.drain(0.2)), ([], []), "and nothing else")

                # as it is now, it would be found after a crash
                for name in ("journal.db", "journal.db-wal"):
                    shutil.copy(disk.place(name), db.dir / name)

                disk.place("ballast").unlink()
                more = wait_until(lambda: broker.publish("a:1", headers=[("Idempotency-Key", "a:1")]).json().get("id"), 10, "it to go on")
                equal([c.recv_event()["id"] for c in (there, late)], [more] * 2, "everybody goes on, without coming again")
                equal(polled(broker, start), acked + [more], "nothing is lost, and nothing there that was refused")
        db.path = db.dir / "journal.db"
        with db.broker(few) as broker:
            equal(polled(broker, start), acked, "after a crash")
        db.check()


main()
