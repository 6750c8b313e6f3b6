#!/usr/bin/python3
# The journal in a file: a restart goes on where it ended, who falls behind memory is caught up from the file, tenants know
# nothing of each other, and what may not be opened is told at the start.
# ctest: timeout=120
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import Database, epoch_of, number_of, publish_many, v1_client

FILL = "x" * 8000
SMALL_MEMORY = {"slow": {"outbox_bytes": 16384, "deadline_ms": 60000},
                "journal": {"memory": {"count": 20, "bytes": 262144}}}


def head(broker, tenant="acme"):
    return http(broker.address, "GET", "/cursor", token=mint("u1", tenant)).json()["cursor"]


def slow_client(broker, topics):
    c = v1_client(broker, "slow", receive_buffer=4096)
    c.subscribe(*topics)
    return c


def test_a_restart_goes_on_in_its_epoch_with_its_numbers():
    with Database() as db:
        with db.broker() as broker:
            first = publish_many(broker, 3)
            equal(head(broker), first[-1], "the head")
        db.check()
        with db.broker() as broker:
            equal(head(broker), first[-1], "the head after a restart")
            with v1_client(broker) as c:
                equal(c.welcome["cursor"], first[-1], "the welcome's")
                c.subscribe("a:1")
                after = broker.publish("a:1").json()["id"]
                equal((epoch_of(after), number_of(after)), (epoch_of(first[0]), number_of(first[-1]) + 1), "the next id")
                equal(c.recv_event()["id"], after, "what is delivered")
        equal([number for number, _, _ in db.events()], [number_of(i) for i in first] + [number_of(after)], "stored")


def test_what_is_stored_is_what_was_sent():
    with Database() as db, db.broker() as broker:
        with v1_client(broker) as c:
            c.subscribe("a:1")
            payload = {"text": "\u00e4\U0001f600 \"quoted\" \\ \u2028", "n": 1.50, "deep": [[], {}, None]}
            broker.publish("a:1", data={"entity_id": "e", "payload": payload, "previous": {"was": 1}})
            event = c.recv_event()
        number = number_of(event.pop("id"))
        equal(db.events(), [(number, "a:1", event)], "the row")
        equal(db.query("SELECT previous FROM event"), [('{"was":1}',)], "what was before is beside it")


SEES = """return policy { api = 1, reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = { subscribe = function() return allow() end, publish = function() return allow() end },
  filter = function(event, audience) return audience.claims.role ~= "guest" or event.data.payload.public == true end,
  redact = function(event, audience) if audience.claims.role == "guest" then event.data.payload.price = nil end return event end }"""


def test_what_is_read_from_the_file_is_filtered_redacted_and_changes_views():
    views = [{"public": True, "price": 1}, {"price": 2}]
    with Database() as db:
        with db.broker(files={"open.lua": SEES}) as broker:
            start = head(broker)
            for before in views:
                for after in views:
                    broker.publish("a:1", data={"entity_id": "e", "payload": after, "previous": before})
            end = head(broker)
        with db.broker(files={"open.lua": SEES}) as broker:  # its memory knows nothing of them
            public, deleted = ("UPDATED", {"public": True}), ("DELETED", None)
            wanted = {"guest": [public, deleted, ("ADDED", {"public": True})],
                      "owner": [("UPDATED", after) for _ in views for after in views]}
            for role, expected in wanted.items():
                token = mint("u1", role=role)
                page = http(broker.address, "GET", f"/topics/a:1/history?cursor={start}", token=token).json()
                polled = http(broker.address, "GET", f"/poll?topics=a:1&wait=0&cursor={start}", token=token).json()
                with WsClient(broker.address, token=token, query={"topics": "a:1", "cursor": start}) as c:
                    resumed = [c.recv_event() for _ in expected]
                for events in (page["events"], polled["events"], resumed):
                    equal([(e["event"], e["data"].get("payload")) for e in events], expected, role)
                    check("previous" not in json.dumps(events), f"{role} is told what was before")
                equal((page["gap"], polled["gap"], polled["cursor"]), (False, False, end), role)
            check(broker.metric("hookwire_plugin_sqlite_reads_total") > 0, "it came from the file")


def test_numbers_of_tenants_and_their_epochs_are_their_own():
    with Database() as db:
        with db.broker() as broker:
            a = publish_many(broker, 3, tenant="acme")
            b = publish_many(broker, 2, tenant="beta")
            a += publish_many(broker, 1, tenant="acme", first=3)
        equal([number_of(i) for i in a], [1, 2, 3, 4], "acme's")
        equal([number_of(i) for i in b], [1, 2], "beta's know nothing of acme's")
        check(epoch_of(a[0]) != epoch_of(b[0]), "and their epochs differ")
        with db.broker() as broker:
            equal((head(broker), head(broker, "beta")), (a[-1], b[-1]), "after a restart")
            check(head(broker, "never") != "", "and one that has nothing")
        with db.broker(SMALL_MEMORY) as broker:
            slow = slow_client(broker, ["a:1"])
            publish_many(broker, 300, fill=FILL, tenant="beta", first=1000)
            publish_many(broker, 1, tenant="acme", first=99)
            equal([slow.recv_event()["data"]["payload"]["n"]], [99], "the other tenant's same topic is another")
            equal(slow.drain(0.1), [], "anything else")
            slow.close()


def test_who_falls_behind_memory_is_caught_up_from_the_file():
    with Database() as db, db.broker(SMALL_MEMORY) as broker:
        slow = slow_client(broker, ["a:1", "b:1"])
        wild = slow_client(broker, ["a:*"])
        publish_many(broker, 1500, ("a:1", "b:1", "c:1"), FILL)
        wanted = [n for n in range(1500) if n % 3 != 2]
        got = [slow.recv_event(timeout=20) for _ in wanted]
        equal([e["data"]["payload"]["n"] for e in got], wanted, "all of it, in order")
        equal(slow.drain(0.1), [], "anything else")
        got = [wild.recv_event(timeout=20)["data"]["payload"]["n"] for _ in range(500)]
        equal(got, list(range(0, 1500, 3)), "by a pattern")
        check(broker.metric("hookwire_plugin_sqlite_reads_total") > 0, "it came from the file")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        publish_many(broker, 50)
        equal([slow.recv_event()["data"]["payload"]["n"] for _ in range(50)], list(range(50)), "and live again")
        slow.close()
        wild.close()


def test_very_many_topics_of_a_pattern_are_looked_through():
    # more than are looked up one by one
    topics = [f"{kind}:{n}" for n in range(700) for kind in "ab"]
    with Database() as db, db.broker(SMALL_MEMORY) as broker:
        wild = slow_client(broker, ["a:*"])
        publish_many(broker, 2800, topics, FILL[:4000])
        got = [wild.recv_event(timeout=20)["data"]["payload"]["n"] for _ in range(1400)]
        equal(got, list(range(0, 2800, 2)), "all of it, in order")
        equal(wild.drain(0.1), [], "anything else")
        check(broker.metric("hookwire_plugin_sqlite_reads_total") > 0, "it came from the file")
        equal(broker.metric("hookwire_gaps_total"), 0, "gaps")
        wild.close()


def test_many_workers_one_order():
    with Database() as db, db.broker({"workers": 4}) as broker:
        with v1_client(broker) as c:
            c.subscribe("a:1")
            done = [in_background(publish_many, broker, 200, ("a:1",), "", "acme", 1000 * k) for k in range(4)]
            events = [c.recv_event() for _ in range(800)]
            ids = sorted(number_of(i) for d in done for i in d())
        numbers = [number_of(e["id"]) for e in events]
        equal(numbers, ids, "delivered in the order of their numbers, all that is acknowledged")
        for k in range(4):
            mine = [e["data"]["payload"]["n"] for e in events if e["data"]["payload"]["n"] // 1000 == k]
            equal(mine, list(range(1000 * k, 1000 * k + 200)), "each publisher's order")
        equal([(n, e["data"]["payload"]["n"]) for n, _, e in db.events()],
              [(number_of(e["id"]), e["data"]["payload"]["n"]) for e in events], "stored as delivered")


def test_a_key_is_used_once_its_event_is_committed():
    with Database() as db, db.broker() as broker:
        key = [("Idempotency-Key", "k1")]
        first = broker.publish("a:1", headers=key).json()
        again = broker.publish("a:1", headers=key).json()
        equal((again["id"], again.get("duplicate")), (first["id"], True), "the repeat")
        equal(len(db.events()), 1, "stored")


def test_what_was_taken_is_committed_when_the_broker_ends():
    with Database() as db:
        with db.broker({"drain_ms": 0}) as broker:
            c = v1_client(broker)
            for n in range(200):
                c.send_json({"type": "publish", "topic": "a:1", "event": "UPDATED",
                             "data": {"entity_id": "e", "payload": {"n": n}}, "id": n})
            acked = [c.recv_where({"type": "ack"})["id"]]
            broker.sigterm()
            try:
                while True:
                    acked.append(c.recv_where({"type": "ack"})["id"])
            except (Closed, EOFError):
                pass
        stored = [e["data"]["payload"]["n"] for _, _, e in db.events()]
        equal(stored, list(range(len(stored))), "no hole")
        check(len(stored) >= len(acked), f"{len(stored)} are stored, {len(acked)} were acknowledged")
        check(not (db.dir / "journal.db-wal").exists(), "the log is in the file")
        db.check()


def readme_sql(word):
    """The SQL of a command of the plugin's README, that has this word."""
    found = re.findall(r'^sqlite3 [^\n"]*"([^"\n]*)"$', (ROOT / "plugins/sqlite/README.md").read_text(), re.MULTILINE)
    return next(sql for sql in found if word in sql)


def test_a_backup_is_whole_and_an_older_one_gets_a_new_epoch():
    with Database() as db:
        backup = db.dir / "backup.db"
        with db.broker() as broker:
            ids = publish_many(broker, 500)
            more = in_background(publish_many, broker, 2000, ("a:1",), "", "acme", 500)
            source, target = sqlite3.connect(str(db.path)), sqlite3.connect(str(backup))
            source.backup(target)
            source.close()
            target.close()
            ids += more()
        equal(len(db.events()), 2500, "the broker went on")
        db.check(path=backup)
        kept = db.events(path=backup)
        check(len(kept) >= 500, f"{len(kept)} in the backup")
        equal([n for n, _, _ in kept], list(range(1, len(kept) + 1)), "without a hole")
        for name in db.dir.glob("journal.db*"):
            name.unlink()
        shutil.copy(backup, db.path)
        db.set(readme_sql("seed"))
        with db.broker() as broker:
            cursor = head(broker)
            check(epoch_of(cursor) != epoch_of(ids[0]), "another epoch")
            equal(number_of(cursor), len(kept), "the head")
            equal(number_of(publish_many(broker, 1)[0]), len(kept) + 1, "the next")


def test_what_can_be_read_of_a_damaged_file_is_saved():
    with Database() as db:
        with db.broker() as broker:
            ids = publish_many(broker, 2000, fill="y" * 300)
        with open(db.path, "r+b") as f:
            f.seek(db.path.stat().st_size // 2 // 8192 * 8192)  # a page in the middle
            f.write(b"\xff" * 8192)
        readme = (ROOT / "plugins/sqlite/README.md").read_text()
        commands = re.search(r"```sh\n(sqlite3 hookwire.db .dump.*?)```", readme, re.DOTALL)[1]
        subprocess.run(["sh", "-ec", commands.replace("hookwire.db", "journal.db")], cwd=db.dir, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        (db.dir / "new.db").rename(db.path)
        saved = [e["data"]["payload"]["n"] for _, _, e in db.events()]
        check(1900 < len(saved) < 2000 and saved == sorted(saved), f"{len(saved)} are saved")
        db.check()
        with db.broker() as broker:
            after = publish_many(broker, 1, first=2000)[0]
            check(epoch_of(after) != epoch_of(ids[0]), "another epoch")
            equal(number_of(after), 2001, "the number of the next")


def test_counters_that_are_wrong_become_right():
    config = {"journal": {"retention": {"count": 100, "age_ms": 1500}}}
    for wrong in (50, -19, -20):
        with Database() as db:
            with db.broker(config) as broker:
                publish_many(broker, 20)
                old = time.time() + 1.5
            db.set("UPDATE class SET events = events + ?, bytes = bytes + ?", wrong, 100 * wrong)
            # they go before the one that comes, and the counters then say that nothing is there
            wait_until(lambda: time.time() > old, 5, "them to be too old")
            with db.broker(config) as broker:
                publish_many(broker, 1, ("a:2",), first=20)
                wait_until(lambda: db.events() == [], 15, "all to go, which are too old")
                wait_until(lambda: db.query("SELECT events, bytes FROM class") == [(0, 0)], 5, "the counters to know it")
                db.check()


# ---- what does not open

def refused(db, words, settings=None, **options):
    """The broker does not start, and says these words where its configuration names the journal."""
    try:
        with db.broker(settings=settings, **options):
            pass
    except BrokerDied as error:
        for word in words if isinstance(words, tuple) else (words,):
            contains(str(error), word, "what it says")
        return str(error)
    raise Failure(f"it started, and should have said {words}")


def test_settings_that_are_wrong_are_told_with_their_place():
    with Database() as db:
        for settings, words in (({"path": ""}, "name of a file"), ({"path": 7}, "name of a file"),
                                ({"pth": "x"}, "unknown setting"), ({"synchronous": "off"}, "\"full\" or \"normal\""),
                                ({"queue_bytes": 1}, "whole number"), ({"checkpoint_bytes": "1"}, "whole number")):
            refused(db, (words, "hookwire.json:"), settings=settings)
        equal(list(db.dir.iterdir()), [], "no file is made")


def test_a_check_looks_at_the_settings_and_at_no_file():
    with Database() as db, db.broker() as broker:
        env = {"HOOKWIRE_JWT_SECRET": SECRET, "HOOKWIRE_ADMIN_TOKEN": ADMIN_TOKEN}
        before = sorted(p.name for p in db.dir.iterdir())
        answer = cli("check", "-c", broker.dir / "hookwire.json", env=env)
        equal((answer.returncode, answer.stderr), (0, ""), "while the broker has the file")
        broker.write_config(merge(broker.config, {"journal": {"config": {"synchronous": "maybe"}}}))
        answer = cli("check", "-c", broker.dir / "hookwire.json", env=env)
        equal(answer.returncode, 1, "a wrong setting")
        contains(answer.stdout, "must be \"full\" or \"normal\"", "what it says")
        check(re.search(r"hookwire\.json:[0-9]+:[0-9]+: ", answer.stdout), "where")
        equal(sorted(p.name for p in db.dir.iterdir()), before, "the files")


def test_a_relative_path_is_below_the_configuration():
    with Database() as db, db.broker(settings={"path": "data/j.db"}, prefix=["env", "-C", "/"], files={"data/x": ""}) as broker:
        publish_many(broker, 1)
        check((broker.dir / "data/j.db").is_file(), "the file")
        equal(len(db.events(path=broker.dir / "data/j.db")), 1, "and the event in it")


def test_a_file_that_is_no_journal_is_refused():
    with Database() as db:
        db.path.write_bytes(b"This is a text and no database at all. " * 100)
        refused(db, ("is not an SQLite database", "hookwire.json:"))
        db.path.unlink()
        db.set("CREATE TABLE somebodys(x)")
        refused(db, "is a database of another program")
        equal(db.query("SELECT name FROM sqlite_schema"), [("somebodys",)], "and is left as it is")


def test_a_file_of_a_newer_version_is_refused():
    with Database() as db:
        with db.broker() as broker:
            publish_many(broker, 1)
        db.set("PRAGMA user_version = 99")
        refused(db, ("version 99", "written by a newer one"))
        db.set("PRAGMA user_version = 1")
        with db.broker() as broker:
            equal(number_of(publish_many(broker, 1)[0]), 2, "as it was")


def test_a_second_broker_on_the_file_is_refused():
    with Database() as db, db.broker() as broker:
        text = refused(db, ("is used by another broker", str(broker.pid)))
        contains(text, "hookwire.json:", "where")
        link = db.dir / "link.db"
        link.symlink_to(db.path)
        refused(db, "is used by another broker", settings={"path": str(link)})
        equal(number_of(publish_many(broker, 1)[0]), 1, "the first goes on")


def test_a_file_that_another_process_holds_is_refused():
    with Database() as db:
        with db.broker():
            pass
        other = sqlite3.connect(str(db.path), isolation_level=None)
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        refused(db, "is locked by another process")
        other.close()
        with db.broker():
            pass


def test_directories_that_do_not_do():
    with Database() as db:
        refused(db, ("No such file or directory", "hookwire.json:"), settings={"path": str(db.dir / "nowhere" / "j.db")})
        (db.dir / "d").mkdir()
        refused(db, "Is a directory", settings={"path": str(db.dir / "d")})


def test_a_broken_file_is_refused():
    with Database() as db:
        with db.broker() as broker:
            publish_many(broker, 500, fill="y" * 500)
        size = db.path.stat().st_size
        with open(db.path, "r+b") as f:
            f.truncate(size // 2)
        refused(db, "is damaged")


def without_root(command):
    """The command as nobody, when this is root."""
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *command]


def test_a_file_of_another_user_is_refused_and_says_whose_it_is():
    check(os.geteuid() == 0, "this test is for root: it becomes another user")
    with Database() as db:
        with db.broker():
            pass
        text = json.dumps(merge(base_config(), db.config()))
        place = db.dir / "theirs"
        place.mkdir()
        (place / "c.json").write_text(text)
        (place / "open.lua").write_text(OPEN_POLICY)
        shutil.copy(binary(), place / "hookwire")
        shutil.copytree(pathlib.Path(binary()).parent / "plugins", place / "plugins", ignore=shutil.ignore_patterns("*CMake*", "*cmake*"))
        os.chmod(db.dir, 0o777)
        os.chmod(place, 0o755)

        def serve():
            return subprocess.run(without_root([str(place / "hookwire"), "serve", "-c", str(place / "c.json")]),
                                  env={**os.environ, "HOOKWIRE_JWT_SECRET": SECRET, "HOOKWIRE_ADMIN_TOKEN": ADMIN_TOKEN},
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=scaled(15))
        answer = serve()
        check(answer.returncode != 0, "it does not start")
        contains(answer.stderr, "Permission denied", "the lock's")
        contains(answer.stderr, "it belongs to user 0, and this is user 65534", "whose")
        (db.dir / "journal.db-lock").unlink()
        contains(serve().stderr, "cannot make or open", "the file's")
        os.chmod(db.path, 0o644)
        contains(serve().stderr, "Permission denied", "that can be read only")
        os.chmod(db.dir, 0o755)
        (db.dir / "journal.db-lock").unlink(missing_ok=True)
        contains(serve().stderr, "Permission denied", "in a directory that can be read only")


main()
