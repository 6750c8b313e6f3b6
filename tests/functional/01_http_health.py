#!/usr/bin/python3
# Both listeners say that the broker lives and is ready; one that drains is alive and not ready.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def test_both_listeners_answer_health_and_readiness():
    with Broker() as broker:
        for address in (broker.address, broker.admin_address):
            for path in ("/healthz", "/readyz"):
                answer = http(address, "GET", path)
                equal(answer.status, 200, f"{address}{path}")


def test_health_answers_on_a_connection_that_is_kept():
    with Broker() as broker, HttpConnection(broker.address) as connection:
        for _ in range(3):
            equal(connection.request("GET", "/healthz").status, 200, "status")
        connection.send(connection.format("GET", "/healthz") * 3)
        equal([connection.read_response().status for _ in range(3)], [200] * 3, "pipelined statuses")


def test_an_unknown_path_is_not_found_in_the_documented_form():
    with Broker() as broker:
        answer = http(broker.address, "GET", "/no-such-thing")
        equal(answer.status, 404, "status")
        contains(answer.json(), {"code": "bad_request", "retryable": False}, "body")
        check(isinstance(answer.json()["message"], str) and answer.json()["message"], "the error has a message")


def test_a_method_that_is_not_offered_is_told_apart_from_an_unknown_path():
    with Broker() as broker:
        equal(http(broker.address, "POST", "/healthz", body={}).status, 405, "status")
        equal(http(broker.address, "GET", "/publish").status, 405, "status")


def test_head_has_no_body():
    with Broker() as broker, HttpConnection(broker.address) as connection:
        answer = connection.request("HEAD", "/healthz")
        equal(answer.status, 200, "status")
        equal(connection.request("GET", "/healthz").status, 200, "the answer after HEAD")


def test_a_second_broker_on_the_same_address_fails_with_the_address():
    with Broker() as first:
        with raises(BrokerDied) as caught:
            Broker({"listen": [first.address]})
        contains(str(caught[0]), first.address, "what the second broker says")
        equal(http(first.address, "GET", "/healthz").status, 200, "the first one, afterwards")


main()
