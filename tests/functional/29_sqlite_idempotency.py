#!/usr/bin/python3
# Idempotency keys with a durable journal: what was stored before a kill -9 is not stored again when it is published again with
# its key, whoever heard an answer or not; for ten minutes, whatever retention took, and for what has a key alone.
# ctest: timeout=120
import contextlib
import pathlib
import random
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.clock import WallClock
from hwtest.database import Database, number_of, publish_many, v1_client
from hwtest.journal import Journal

TOPIC = "a:1"
KEYS = "@keys:all"
WINDOW_MS = 10 * 60 * 1000
HOUR = 3600


def event(name="e1", **members):
    return {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": name, "payload": {}}, **members}


def post(broker, body, key=None, user="ben", tenant="acme", status=200, **options):
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = http(broker.address, "POST", "/publish", headers, body, mint(user, tenant), **options)
    equal(answer.status, status, f"status of {key}: {answer.body[:300]}")
    return answer.json()


def kill(broker):
    broker.process.kill()
    broker.process.wait()
    broker._checked = True


def stored(db, tenant="acme"):
    return [e["data"]["entity_id"] for _, _, e in db.events(tenant)]


def duplicate(answer):
    return {**answer, "duplicate": True}


def test_what_was_stored_is_a_duplicate_after_a_kill_whichever_way_it_came():
    with Database() as db:
        with db.broker({"workers": 2}) as broker:
            first = post(broker, event("post"), "k1")
            array = post(broker, [event("x", key="ka"), event("y"), event("z", key="kb")])["results"]
            with v1_client(broker, "ben") as c:
                ack = c.request({"type": "publish", **event("ws"), "key": "k2"})
                equal(ack["type"], "ack", f"{ack}")
            kill(broker)
        before = stored(db)
        for again in range(2):  # what is answered so is not stored, and is known the next time too
            with db.broker({"workers": 2}) as broker:
                equal(post(broker, event("post"), "k1"), duplicate(first), "the single one")
                results = post(broker, [event("x", key="ka"), event("z", key="kb")])["results"]
                equal(results, [duplicate(array[0]), duplicate(array[2])], "those of the array")
                with v1_client(broker, "ben") as c:
                    contains(c.request({"type": "publish", **event("ws"), "key": "k2"}), {"type": "ack", "event_id": ack["event_id"], "duplicate": True}, "over WebSocket")
                equal(post(broker, event("other"), "k1", status=422)["code"], "bad_request", "another body")
                equal(stored(db), before, "what is stored")
                kill(broker)
        with db.broker() as broker:
            for user, tenant in (("zoe", "acme"), ("ben", "beta"), ("acme", "ben")):
                check("duplicate" not in post(broker, event("post"), "k1", user, tenant), f"{user} of {tenant} has another's answer")
            check("duplicate" not in post(broker, event("post"), "k3"), "another key")
            check("duplicate" not in post(broker, event("y")), "without a key")
        db.check()


def test_the_first_publish_after_a_restart_may_be_the_one_that_is_repeated():
    # over WebSocket, with others right behind it, which must not pass it
    with Database() as db:
        with db.broker() as broker:
            first = post(broker, event("one"), "k")
            kill(broker)
        with db.broker() as broker, v1_client(broker, "ben") as c:
            for n, (name, key) in enumerate((("one", "k"), ("two", None), ("three", "k3"))):
                c.send_json({"type": "publish", **event(name), "id": n, **({"key": key} if key else {})})
            answers = [c.recv_where({"type": "ack"}) for _ in range(3)]
            equal([a["id"] for a in answers], [0, 1, 2], "the order")
            contains(answers[0], {"event_id": first["id"], "duplicate": True}, "the repeat")
            equal(stored(db), ["one", "two", "three"], "what is stored")


def test_an_answer_that_nobody_read_before_the_kill():
    with Database() as db:
        for round, array in enumerate((False, True)):
            with db.broker() as broker, HttpConnection(broker.address) as c:
                body = event(f"e{round}", key=f"k{round}")
                c.send(c.format("POST", "/publish", {"Authorization": "Bearer " + mint("ben"), "Content-Type": "application/json"}, [body] if array else body))
                wait_until(lambda: f"e{round}" in stored(db), what="it to be stored")
                kill(broker)
            with db.broker() as broker:
                number = [n for n, _, e in db.events() if e["data"]["entity_id"] == f"e{round}"]
                answer = post(broker, [body] if array else body)
                answer = answer["results"][0] if array else answer
                equal((number_of(answer["id"]), answer.get("duplicate")), (number[0], True), "the answer to the repeat")
                equal(stored(db).count(f"e{round}"), 1, "stored")


def test_kills_under_load_and_everything_again():
    """Who heard nothing publishes again with the same key: in the end each is there once, under the id that anybody heard."""
    chance = random.Random(29)
    acked, sent, lock = {}, {}, threading.Lock()
    repeated = []

    def work(broker, who, some):
        n = len([k for k in acked if k[0] == who])  # the first that nobody has heard of
        try:
            with HttpConnection(broker.address) as c:
                while True:
                    name = f"{who}-{n}"
                    sent[who] = n
                    body = [event(f"{name}-{i}", key=f"{name}-{i}") for i in range(3)]
                    answer = c.request("POST", "/publish", [("Authorization", "Bearer " + mint(who))], body)
                    equal(answer.status, 200, f"{answer.body[:300]}")
                    with lock:
                        acked[who, n] = [r["id"] for r in answer.json()["results"]]
                        repeated.extend(r["id"] for r in answer.json()["results"] if "duplicate" in r)
                    some.set()
                    n += 1
        except (EOFError, OSError):
            pass

    with Database() as db:
        for _ in range(6):
            with db.broker({"workers": 2}) as broker:
                some = threading.Event()
                running = [in_background(work, broker, f"w{k}", some) for k in range(4)]
                wait_until(some.is_set, 20, "the first ack")
                time.sleep(scaled(chance.uniform(0, 0.3)))
                kill(broker)
                for result in running:
                    result()
            db.check()
        with db.broker() as broker:
            for who, n in sent.items():  # the last ones
                for i in range(3):
                    answer = post(broker, event(f"{who}-{n}-{i}"), f"{who}-{n}-{i}", who)
                    repeated.extend([answer["id"]] if "duplicate" in answer else [])
                    acked.setdefault((who, n), []).append(answer["id"])
            there = {e["data"]["entity_id"]: number for number, _, e in db.events()}
            equal(len(stored(db)), len(there), "each is there once")
            wanted = {f"{who}-{n}-{i}": number_of(ids[i]) for (who, n), ids in acked.items() for i in range(3)}
            equal({k: n for k, n in wanted.items() if there.get(k) != n}, {}, "not under the id that was told")
            print(f"{len(there)} events, {len(repeated)} were published again and there already", flush=True)


def test_an_event_that_retention_took_is_a_duplicate_all_the_same():
    with Database() as db:
        small = {"journal": {"retention": {"count": 20}}}
        with db.broker(small) as broker:
            first = post(broker, event("gone"), "k")
            publish_many(broker, 100)
            wait_until(lambda: "gone" not in stored(db), what="retention")
            kill(broker)
        with db.broker(small) as broker:
            equal(post(broker, event("gone"), "k"), duplicate(first), "the repeat")
            check("gone" not in stored(db), "it is stored again")


def test_ten_minutes_and_not_for_ever():
    with Database() as db:
        with db.broker() as broker:
            old, new = post(broker, event("old"), "old"), post(broker, event("new"), "new")
        row = db.query("SELECT min(e.id) FROM event e JOIN topic t ON t.id = e.topic WHERE t.name = ?", KEYS)[0][0]
        db.set("UPDATE event SET at_ms = at_ms - ? WHERE id = ?", WINDOW_MS, row)
        with db.broker() as broker:
            equal(post(broker, event("new"), "new"), duplicate(new), "the newer one")
            check(post(broker, event("old"), "old")["id"] != old["id"], "it is known after ten minutes")
            wait_until(lambda: db.keys() == 2, what="the old one to leave the file")
            equal(stored(db), ["old", "new", "old"], "what is stored")


def test_thousands_are_read_back():
    with Database() as db:
        items = [event(f"e{n}", key=f"k{n}") for n in range(2500)]
        with db.broker() as broker:
            first = [r for begin in range(0, 2500, 500) for r in post(broker, items[begin:begin + 500])["results"]]
            kill(broker)
        with db.broker({"workers": 2}) as broker:
            again = [r for begin in range(0, 2500, 500) for r in post(broker, items[begin:begin + 500])["results"]]
            check(again == [duplicate(r) for r in first], "some are not what they were")
            equal(len(stored(db)), 2500, "stored")


def test_many_at_once_right_after_the_start():
    with Database() as db:
        with db.broker() as broker:
            first = post(broker, event("one"), "race")
            kill(broker)
        with db.broker({"workers": 4}) as broker:
            results = [in_background(post, broker, event("one"), "race") for _ in range(16)]
            check(all(r() == duplicate(first) for r in results), "not all are duplicates")
            equal(stored(db), ["one"], "stored")


def test_what_has_no_key_is_stored_as_ever_and_nobody_sees_the_others():
    with Database() as db:
        with db.broker() as broker:
            head = http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"]
            publish_many(broker, 10)
            equal(len(db.events()), 10, "rows")
            with v1_client(broker) as c:
                c.subscribe("a:*")
                ids = [post(broker, event(f"e{n}"), f"k{n}")["id"] for n in range(5)]
                equal([c.recv_event()["id"] for _ in ids], ids, "delivered")
                equal(c.drain(0.1), [], "anything else")
                for topic in (KEYS, "@keys:*"):
                    answer = c.request({"type": "subscribe", "topics": [topic]})
                    check(answer["type"] == "error" or not answer["topics"][topic]["ok"], f"{topic} can be subscribed to: {answer}")
            equal(http(broker.address, "GET", f"/topics/{KEYS}/history", token=mint("u1")).status, 400, "history")
            post(broker, {**event(), "topic": KEYS}, status=400)
            equal(db.keys(), 5, "rows of keys")
            equal(http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"], ids[-1], "the head")
        with db.broker() as broker:
            equal(http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"], ids[-1], "the head after a restart")
            with v1_client(broker) as c:
                answer = c.request({"type": "subscribe", "topics": [{"topic": "a:1", "cursor": head}]})
                equal(answer["topics"]["a:1"]["recovered"], True, "recovered")
            answer = http(broker.address, "GET", f"/topics/a:1/history?cursor={head}", token=mint("u1")).json()
            equal((len(answer["events"]), answer["gap"], answer["events"][-1]["id"]), (15, False, ids[-1]), "history")


def test_while_they_cannot_be_read_what_has_a_key_is_refused_and_the_rest_goes_on():
    with Journal(retains=True) as journal:
        with journal.broker() as broker:
            first = post(broker, event("one"), "k")
            kill(broker)
        journal.set("fail-reads")
        with journal.broker() as broker:
            answer = post(broker, event("one"), "k", status=503)
            equal((answer["code"], answer["retryable"]), ("unavailable", True), "the answer")
            check("duplicate" not in post(broker, event("free")), "without a key")
            journal.clear("fail-reads")
            equal(post(broker, event("one"), "k"), duplicate(first), "the repeat")
            equal(sum('"entity_id":"one"' in line for line in journal.lines()), 1, "stored")


def test_who_waits_for_them_may_leave():
    with Journal(retains=True) as journal:
        with journal.broker() as broker:
            first = post(broker, event("one"), "k")
            kill(broker)
        journal.set("hold-reads")
        with journal.broker({"workers": 2}) as broker:
            gone = [v1_client(broker, "ben") for _ in range(4)]
            for c in gone:
                c.send_json({"type": "publish", **event("one"), "key": "k", "id": 1})
            with HttpConnection(broker.address) as h:
                h.send(h.format("POST", "/publish", {"Authorization": "Bearer " + mint("ben"), "Idempotency-Key": "k", "Content-Type": "application/json"}, event("one")))
                wait_until(lambda: broker.metric("hookwire_plugin_reads_total", plugin="test-journal") == 1, what="the read")
                for c in gone:
                    c.abort()
                wait_until(lambda: broker.metric("hookwire_sessions") == 0, what="them to be gone")
            stays = in_background(post, broker, event("one"), "k")
            journal.clear("hold-reads")
            equal(stays(), duplicate(first), "the one who stayed")
            equal(broker.metric("hookwire_plugin_reads_total", plugin="test-journal"), 1, "it was read once")


@contextlib.contextmanager
def read_before_a_publish(make_token, env=None):
    """A broker that reads its keys before it can store `late`; the token that this is published with; and what lets it read, and returns the answer's
    status, code and message. `late` must not be stored."""
    with Journal(retains=True) as journal:
        with journal.broker() as broker:
            post(broker, event("one"), "k")
            kill(broker)
        journal.set("hold-reads")
        with journal.broker(env=env) as broker, HttpConnection(broker.address) as h:
            token = make_token()
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "new", "Content-Type": "application/json"}
            h.send(h.format("POST", "/publish", headers, event("late")))
            wait_until(lambda: broker.metric("hookwire_plugin_reads_total", plugin="test-journal") == 1, what="the read")

            def answer():
                journal.clear("hold-reads")
                response = h.read_response("POST")
                return response.status, response.json()["code"], response.json()["message"]
            yield broker, token, answer
            check(not any('"entity_id":"late"' in line for line in journal.lines()), "it is stored")


def refuses(broker, token):
    return http(broker.address, "GET", "/cursor", token=token).status == 401


def test_a_token_that_ends_while_they_are_read_publishes_nothing():
    with WallClock() as clock, read_before_a_publish(lambda: clock.mint("ben", HOUR), clock.env) as (broker, token, answer):
        clock.jump(2 * HOUR)
        wait_until(lambda: refuses(broker, token), what="the end of the token")
        equal(answer()[:2], (401, "token_expired"), "the answer")


def test_a_token_that_is_revoked_while_they_are_read_publishes_nothing():
    with read_before_a_publish(lambda: mint("ben", jti="bad")) as (broker, token, answer):
        revoked = in_background(http, broker.admin_address, "POST", "/api/revoke", {"Content-Type": "application/json"}, {"jti": "bad"}, ADMIN_TOKEN)
        wait_until(lambda: refuses(broker, token), what="the token to be revoked")
        equal(answer(), (401, "unauthorized", "the token is revoked"), "the answer")
        equal(revoked().status, 200, "the revocation")


def test_a_broker_that_ends_while_they_are_read():
    with Journal(retains=True) as journal:
        with journal.broker() as broker:
            for begin in range(0, 1500, 500):  # more than a page
                post(broker, [event(f"e{n}", key=f"k{n}") for n in range(begin, begin + 500)])
        journal.set("hold-reads")
        socket = journal.dir / "socket"
        with journal.broker({"drain_ms": 0, "listen": ["127.0.0.1:0", f"unix:{socket}"]}) as broker:
            c = v1_client(broker, "ben")
            c.send_json({"type": "publish", **event("e1"), "key": "k1", "id": 1})
            wait_until(lambda: broker.metric("hookwire_plugin_reads_total", plugin="test-journal") == 1, what="the read")
            broker.sigterm()
            wait_until(lambda: not socket.exists(), what="the workers to have ended")  # it goes before the journal is closed
            journal.clear("hold-reads")  # the first page comes when nobody can ask for the next
            broker.stop()


main()
