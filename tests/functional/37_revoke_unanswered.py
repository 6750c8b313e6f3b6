#!/usr/bin/python3
# What a journal is asked to take back and does not answer in time may be taken back yet: the answer does not say that it is not.
# ctest: label=long timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.journal import Journal

TIMEOUT = 60.0  # the broker waits some seconds for its journal


def admin(broker, path, status=200, **body):
    answer = http(broker.admin_address, "POST", "/api/" + path, {"Content-Type": "application/json"}, body, ADMIN_TOKEN, timeout=TIMEOUT)
    equal(answer.status, status, f"{path} {body}: {answer.body[:300]}")
    return answer.json()


def listed(broker):
    return [row["jti"] for row in http(broker.admin_address, "GET", "/api/revocations", token=ADMIN_TOKEN).json()["revocations"]]


def test_a_taking_back_that_the_journal_does_not_answer_may_happen_yet():
    with Journal() as journal, journal.broker() as broker:
        admin(broker, "revoke", jti="a")
        admin(broker, "revoke", jti="b")
        journal.set("hold")
        answer = admin(broker, "unrevoke", 503, id="1")
        equal((answer["code"], answer["retryable"]), ("unavailable", True), "the answer")
        contains(answer["message"], "it is not known", "the answer")
        # what waits behind it has not begun, and never will
        contains(admin(broker, "unrevoke", 503, id="2")["message"], "it is revoked as before", "the answer to another")
        equal(listed(broker), ["a", "b"], "the list until then")
        journal.clear("hold")
        wait_until(lambda: listed(broker) == ["b"], what="it to be taken back")
        equal(admin(broker, "revoke", jti="c")["id"], "3", "it goes on")
        equal(listed(broker), ["b", "c"], "the other")


main()
