#!/usr/bin/python3
# With a durable journal what was revoked is revoked after a restart too, also one by kill -9 right behind the answer; what the
# journal does not take is revoked all the same, and told; and whoever cannot be asked what was revoked lets nobody in.
# ctest: timeout=120 cost=22
import json
import pathlib
import random
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import Database
from hwtest.journal import Journal

V1 = ["hookwire.v1"]
JSON = {"Content-Type": "application/json"}
OWN = "@broker"  # the tenant whose events they are


def admin(broker, path, status=200, **body):
    answer = http(broker.admin_address, "POST", "/api/" + path, JSON, body, ADMIN_TOKEN)
    equal(answer.status, status, f"{path} {body}: {answer.body[:300]}")
    return answer.json()


def many(broker, path, bodies):
    """The answers to many at once, in their order."""
    answers = []
    with HttpConnection(broker.admin_address) as c:
        for begin in range(0, len(bodies), 100):
            part = bodies[begin:begin + 100]
            c.send(b"".join(c.format("POST", "/api/" + path, {"Authorization": "Bearer " + ADMIN_TOKEN}, body) for body in part))
            for _ in part:
                answer = c.read_response("POST")
                equal(answer.status, 200, f"{path}: {answer.body[:300]}")
                answers.append(answer.json())
    return answers


def listed(broker):
    rows, after = [], ""
    while after is not None:
        answer = http(broker.admin_address, "GET", "/api/revocations?limit=1000" + (after and "&after=" + after), token=ADMIN_TOKEN).json()
        rows += answer["revocations"]
        after = answer["next"]
    return rows


def kill(broker):
    broker.process.kill()
    broker.process.wait()
    broker._checked = True


def token(user="anna", tenant="acme", age_s=2, **claims):
    """One that was issued some seconds ago: what is issued in the second of a revocation is revoked by it."""
    return mint(user, tenant, iat=int(time.time()) - age_s, **claims)


def is_in(broker, text):
    status = http(broker.address, "GET", "/cursor", token=text).status
    check(status in (200, 401), f"status {status}")
    with WsClient(broker.address, token=text, protocols=V1) as c:
        try:
            over_ws = c.recv_json()["type"] == "welcome"
        except Closed as closed:
            equal((closed.code, closed.reason), (4401, "unauthorized: the token is revoked"), "the close")
            over_ws = False
    equal(over_ws, status == 200, "the ways in agree")
    return over_ws


def own_events(db):
    return [event["event"] for _, _, event in db.events(OWN)]


def does_not_start(make, words):
    """It ends before anybody may come, and says why."""
    try:
        broker = make()
    except BrokerDied as died:
        contains(str(died), "what was revoked cannot be read from the journal", "what it says")
        contains(str(died), words, "why")
        check("listening on" not in str(died).split("stderr:")[0], "it listened")
        return
    broker._kill()
    broker._forget()
    check(False, "it started")


def test_what_was_revoked_is_revoked_after_a_kill_right_behind_the_answer():
    with Database() as db:
        texts = {"jti": token("a", jti="bad-1"), "of one tenant": token("b", jti="bad-2"), "user": token("anna"),
                 "tenant": token("zoe", "beta"), "session": token("s", jti="of-session", ttl=900)}
        good = {"another": token("a", jti="good"), "of that id elsewhere": token("b", "gamma", jti="bad-2"), "another user": token("ben")}
        with db.broker({"workers": 2}) as broker:
            with WsClient(broker.address, token=texts["session"], protocols=V1) as c:
                session = c.recv_where({"type": "welcome"})["session"]
                admin(broker, "revoke", jti="bad-1")
                admin(broker, "revoke", jti="bad-2", tenant="acme")
                admin(broker, "revoke", user="anna", tenant="acme", seconds=1000)
                admin(broker, "revoke", tenant="beta")
                equal(admin(broker, "revoke", session=session)["id"], "5", "the session's")
            before = listed(broker)
            kill(broker)
        equal([row["id"] for row in before], list("12345"), "the list")
        check(all(row["stored"] is True for row in before), f"not stored: {before}")
        for again in range(2):  # the second time from what the first one made of it
            with db.broker({"workers": 2}) as broker:
                equal(listed(broker), before, "the list after it")
                equal(broker.metric("hookwire_revocations"), 5, "the gauge")
                for name, text in texts.items():
                    check(not is_in(broker, text), f"{name} is let in")
                for name, text in good.items():
                    check(is_in(broker, text), f"{name} is refused")
                now = int(time.time())
                wait_until(lambda: int(time.time()) > now, what="the next second")
                check(is_in(broker, mint("anna")) and is_in(broker, mint("zoe", "beta")), "a fresh token is refused")
                kill(broker)
        db.check()


def test_what_was_taken_back_or_has_ended_stays_so_and_leaves_the_file():
    with Database() as db:
        back, over, stays = token(jti="back"), token(jti="over"), token(jti="stays")
        with db.broker() as broker:
            admin(broker, "revoke", jti="back")
            admin(broker, "revoke", jti="stays")
            until = int(time.time()) + 3
            admin(broker, "revoke", jti="over", until=until)
            admin(broker, "revoke", jti="back", tenant="acme")
            admin(broker, "unrevoke", id="1")
            admin(broker, "unrevoke", id="4")
            wait_until(lambda: len(listed(broker)) == 1, what="the end of one")
            kill(broker)
        # it stays in reserve for a day, in case that the clock was ahead: so it is made older
        db.set("UPDATE event SET event = replace(event, ?, ?) WHERE event LIKE '%over%'", f'"until":{until}', f'"until":{until - 2 * 86400}')
        with db.broker() as broker:
            equal([row["id"] for row in listed(broker)], ["2"], "the list")
            check(is_in(broker, back) and is_in(broker, over), "they are revoked again")
            check(not is_in(broker, stays), "the one that stays is let in")
            wait_until(lambda: own_events(db) == ["LIST", "REVOKED", "LIST_END"], what="the file to hold no more than that")
            check("back" not in str(db.events(OWN)) and "over" not in str(db.events(OWN)), "names of what is over")
            equal(admin(broker, "revoke", jti="next")["id"], "5", "no id is given twice")
            kill(broker)
        with db.broker() as broker:
            equal([row["id"] for row in listed(broker)], ["2", "5"], "the list, from the list that was said again")
            admin(broker, "unrevoke", id="2")
            admin(broker, "unrevoke", id="5")
            kill(broker)
        with db.broker() as broker:
            equal(listed(broker), [], "nothing")
            wait_until(lambda: own_events(db) == ["LIST", "LIST_END"], what="an empty list")
        with db.broker() as broker:
            equal((listed(broker), own_events(db)), ([], ["LIST", "LIST_END"]), "and it stays that")
            equal(admin(broker, "revoke", jti="next")["id"], "6", "no id is given twice")
        db.check()


def test_a_longer_end_and_a_second_time_survive_too():
    with Database() as db:
        text = token()
        with db.broker() as broker:
            until = int(time.time()) + 1000
            admin(broker, "revoke", jti="a", seconds=10)
            admin(broker, "revoke", jti="a", until=until)
            admin(broker, "revoke", user="anna", tenant="acme")
            first = listed(broker)[1]["issued_until"]
            wait_until(lambda: int(time.time()) > first, what="the next second")
            fresh = mint("anna")
            admin(broker, "revoke", user="anna", tenant="acme")
            before = listed(broker)
            kill(broker)
        with db.broker() as broker:
            equal(listed(broker), before, "the list")
            equal((before[0]["until"], before[1]["issued_until"] > first), (until, True), "the ends")
            check(not is_in(broker, text) and not is_in(broker, fresh), "let in")


def test_a_reload_loses_and_repeats_nothing():
    with Database() as db, db.broker() as broker:
        admin(broker, "revoke", jti="a")
        admin(broker, "revoke", jti="b")
        admin(broker, "unrevoke", id="2")
        before = listed(broker), own_events(db)
        broker.write_file("open.lua", OPEN_POLICY + "-- changed\n")
        equal(http(broker.admin_address, "POST", "/api/reload", JSON, {}, ADMIN_TOKEN).status, 200, "the reload")
        check(not is_in(broker, token(jti="a")) and is_in(broker, token(jti="b")), "after it")
        admin(broker, "revoke", jti="c")
        equal((listed(broker)[:1], own_events(db)), (before[0], before[1] + ["REVOKED"]), "the list, and the file")


def test_thousands_and_kills_while_the_list_is_said_again():
    chance = random.Random(37)
    with Database() as db:
        with db.broker() as broker:
            many(broker, "revoke", [{"jti": f"t{n}"} for n in range(700)])  # more than a part of the list
            many(broker, "unrevoke", [{"id": str(n)} for n in range(1, 101)])
            kill(broker)
        wanted = {f"t{n}" for n in range(100, 700)}
        for round in range(3):
            with db.broker() as broker:
                equal({row["jti"] for row in listed(broker)}, wanted, f"the list, round {round}")
                # it is being said again: a second for each part of it. New ones get in between
                time.sleep(scaled(chance.uniform(0, 1.5)))
                number = int(admin(broker, "revoke", jti=f"new{round}")["id"])
                equal(number, 701 + round, "the id")
                first = f"t{100 + round}"
                admin(broker, "unrevoke", id=str(101 + round))
                wanted = wanted - {first} | {f"new{round}"}
                kill(broker)
            db.check()
        with db.broker() as broker:
            wait_until(lambda: own_events(db).count("REVOKED") <= len(wanted) + len(wanted) // 8 and
                       broker.metric("hookwire_revocations_unstored") == 0, 20, "the file to hold what is in force")
        with db.broker() as broker:
            equal({row["jti"] for row in listed(broker)}, wanted, "the list at last")


def test_changes_without_end_do_not_fill_the_file():
    with Database() as db, db.broker() as broker:
        admin(broker, "revoke", jti="stays")
        for _ in range(6):
            ids = [{"id": answer["id"]} for answer in many(broker, "revoke", [{"jti": f"t{n}"} for n in range(100)])]
            many(broker, "unrevoke", ids)
        wait_until(lambda: own_events(db)[:2] == ["LIST", "REVOKED"] and len(own_events(db)) < 300, 20, "the file to get smaller while it runs")
        kill(broker)
        with db.broker() as again:
            equal([row["jti"] for row in listed(again)], ["stays"], "the list")


def test_what_the_journal_refuses_is_revoked_all_the_same_and_stored_when_it_can_be():
    for how in ("fail", "refuse"):
        with Journal() as journal:
            text = token(jti="a")
            with journal.broker() as broker:
                admin(broker, "revoke", jti="before")
                equal(broker.metric("hookwire_revocations_unstored"), 0, "the gauge")
                with WsClient(broker.address, token=text, protocols=V1) as c:
                    c.recv_where({"type": "welcome"})
                    journal.set(how)
                    answer = admin(broker, "revoke", 503, jti="a")
                    equal((answer["code"], answer["retryable"]), ("unavailable", True), "the answer")
                    contains(answer["message"], "it is revoked, but the journal does not store it now", "the answer")
                    c.expect_close(4401)
                equal(broker.metric("hookwire_revocations_unstored"), 1, "the gauge")
                equal([(row["jti"], row["stored"]) for row in listed(broker)], [("before", True), ("a", False)], "the list")
                broker.wait_log("revocations are in force that the journal has not stored")
                answer = admin(broker, "unrevoke", 503, id="1")
                equal(answer["code"], "unavailable", "taking back")
                equal(len(listed(broker)), 2, "it is there")
                journal.clear(how)
                broker.wait_log("all revocations are stored")
                equal(broker.metric("hookwire_revocations_unstored"), 0, "the gauge")
                equal([row["stored"] for row in listed(broker)], [True, True], "the list")
                kill(broker)
            with journal.broker() as broker:
                equal([row["jti"] for row in listed(broker)], ["before", "a"], "the list, and what was not taken back")
                admin(broker, "unrevoke", id="1")
                journal.set(how)
                admin(broker, "revoke", 503, jti="c")
                equal(admin(broker, "revoke", 503, jti="c")["code"], "unavailable", "again")
                broker.stop()
                contains(broker.log(), "revocations that the journal did not store are forgotten", "the log")
                journal.clear(how)
            with journal.broker() as broker:
                equal([row["jti"] for row in listed(broker)], ["a"], "the list")


def test_what_fails_while_the_sessions_end_is_tried_once_more():
    with Journal() as journal, journal.broker() as broker:
        journal.set("fail-once")
        equal(admin(broker, "revoke", jti="a"), {"ok": True, "id": "1", "sessions": 0}, "the answer")
        check(not (journal.dir / "fail-once").exists(), "nothing failed")
        equal([row["stored"] for row in listed(broker)], [True], "the list")


def test_the_answer_waits_for_the_commit_and_the_sessions_do_not():
    with Journal() as journal, journal.broker() as broker, HttpConnection(broker.admin_address) as c:
        text = token(jti="a")
        with WsClient(broker.address, token=text, protocols=V1) as live:
            live.recv_where({"type": "welcome"})
            journal.set("hold")
            c.send(c.format("POST", "/api/revoke", {"Authorization": "Bearer " + ADMIN_TOKEN}, {"jti": "a"}))
            live.expect_close(4401)
        equal(http(broker.address, "GET", "/cursor", token=text).status, 401, "the token")
        wait_until(lambda: broker.metric("hookwire_plugin_appends_total", plugin="test-journal") == 1, what="the append")
        check(c.quiet(), "an answer before it is stored")
        journal.clear("hold")
        equal(c.read_response("POST").json()["id"], "1", "the answer")
        equal(len(journal.lines()), 1, "stored")


def test_a_list_that_cannot_be_read_lets_nobody_in():
    with Journal() as journal:
        with journal.broker() as broker:
            for n in range(3):
                admin(broker, "revoke", jti=f"a{n}")
        journal.set("fail")
        does_not_start(journal.broker, "Input/output error")
        journal.clear("fail")
        # what was to be kept is gone
        does_not_start(lambda: journal.broker(keep=2), "some of it is gone")
        with journal.broker() as broker:
            equal(len(listed(broker)), 3, "it is all there")
        # what this one does not understand
        text = (journal.dir / "journal").read_text()
        for old, new in (('"event":"REVOKED"', '"event":"FORGIVEN"'), ('"entity_id":"2"', '"entity_id":"x"'), ('"jti":"a1"', '"jti":7'), ("}}\n", "\n")):
            check(old in text, f"no {old}")
            (journal.dir / "journal").write_text(text.replace(old, new))
            does_not_start(journal.broker, "something of it is none of this version's")
        (journal.dir / "journal").write_text(text)
        # a journal that does not know yet is waited for
        journal.set("refuse")
        started = in_background(journal.broker)
        wait_until((journal.dir / "refused").exists, what="the broker to ask")
        journal.clear("refuse")
        with started() as broker:
            equal(len(listed(broker)), 3, "it is all there")


def test_nobody_reaches_the_tenant_that_they_are_events_of():
    with Database() as db, db.broker() as broker:
        admin(broker, "revoke", jti="a")
        http(broker.address, "GET", "/cursor", token=mint("u1"))
        for name in (OWN, "@Broker", "@"):
            equal(http(broker.address, "GET", "/cursor", token=mint("u1", name)).status // 100, 4, f"a token of {name}")
            equal(http(broker.address, "GET", "/topics/broker:revocations/history", token=mint("u1", name)).status // 100, 4, f"history of {name}")
        equal(http(broker.address, "GET", "/topics/broker:revocations/history?cursor=1-0", token=mint("u1")).json()["events"], [], "another tenant's topic of that name")
        admin(broker, "revoke", 400, tenant=OWN)
        for path in ("/metrics", "/api/sessions", "/api/hooks", "/api/sessions?tenant=%40broker"):
            answer = http(broker.admin_address, "GET", path, token=ADMIN_TOKEN)
            check(OWN not in answer.body.decode(), f"{path} names it: {answer.body[:300]}")
        answer = http(broker.admin_address, "GET", "/api/explain?trace=x&user=u1&tenant=%40broker", token=ADMIN_TOKEN)
        check("revocations" not in answer.body.decode(), f"explain: {answer.body[:300]}")
        (broker.dir / "other.json").write_text(json.dumps(merge(broker.config, {"tenants": {OWN: {"hooks": []}}})))
        done = cli("check", "-c", str(broker.dir / "other.json"))
        equal(done.returncode, 1, "the check of a configuration that names it")
        contains(done.stdout + done.stderr, "are the broker's own", "what it says")


def test_without_a_durable_journal_nothing_is_said_of_it():
    with Broker() as broker:
        admin(broker, "revoke", jti="a")
        equal(listed(broker), [{"id": "1", "jti": "a", "until": None}], "the list")
        equal(broker.metric("hookwire_revocations_unstored"), 0, "the gauge")


main()
