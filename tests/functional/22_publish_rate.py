#!/usr/bin/python3
# A tenant that publishes more than its quota is told when to try again; other tenants and its subscribers go on undisturbed.
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "list:1"
HOOKS = {"hooks": [{"name": "open", "lua": "open.lua"}]}
CONFIG = {"tenants": {"*": HOOKS, "small": {**HOOKS, "limits": {"publish_per_s": 20}}}}


def storm(broker, count, tenant="small"):
    """Publishes as fast as it goes; the answers."""
    with HttpConnection(broker.address) as connection:
        bearer = [("Authorization", "Bearer " + mint("ben", tenant))]
        request = connection.format("POST", "/publish", bearer, {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}})
        connection.send(request * count)
        return [connection.read_response("POST") for _ in range(count)]


def test_past_the_quota_it_is_429_with_advice_that_holds():
    with Broker(CONFIG) as broker:
        answers = storm(broker, 200)
        refused = [a for a in answers if a.status != 200]
        taken = len(answers) - len(refused)
        check(1 <= taken <= 60, f"{taken} of 200 were taken, the quota is 20 a second")
        for answer in refused:
            equal(answer.status, 429, "status")
            contains(answer.json(), {"code": "rate_limited", "retryable": True}, "error")
        advice = refused[-1].json()["retry_after_ms"]
        check(isinstance(advice, int) and 0 < advice <= 5000, f"retry_after_ms {advice!r}")
        time.sleep(advice / 1000 + 0.02)
        equal(broker.publish(TOPIC, tenant="small").status, 200, "after the advice")


def test_the_rate_over_time_is_the_quota():
    with Broker(CONFIG) as broker:
        storm(broker, 100)  # the burst is used up
        started, taken = time.monotonic(), 0
        while time.monotonic() - started < 1.5:
            taken += sum(a.status == 200 for a in storm(broker, 5))
            time.sleep(0.01)
        check(20 <= taken <= 45, f"{taken} were taken in 1.5 s at 20 a second")


def test_others_are_not_disturbed():
    with Broker(CONFIG) as broker, WsClient(broker.address, token=mint("anna", "big")) as big, \
            WsClient(broker.address, token=mint("bob", "small")) as small:
        big.subscribe(TOPIC)
        small.subscribe(TOPIC)
        answers = storm(broker, 100)
        for n in range(50):
            equal(broker.publish(TOPIC, tenant="big", data={"entity_id": f"e{n}", "payload": {}}).status, 200, "the other tenant")
        equal([big.recv_event()["data"]["entity_id"] for _ in range(50)], [f"e{n}" for n in range(50)], "its events")
        ids = [a.json()["id"] for a in answers if a.status == 200]
        equal([m["id"] for m in small.drain(0.3)], ids, "what was taken is delivered, what was refused is not")
        equal(http(broker.address, "GET", "/cursor", token=mint("bob", "small")).status, 200, "the tenant can still read")


def test_over_websocket_and_within_an_array_too():
    with Broker(CONFIG) as broker, WsClient(broker.address, token=mint("bob", "small")) as client:
        event = {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}
        answer = http(broker.address, "POST", "/publish", body=[event] * 80, token=mint("ben", "small"))
        equal(answer.status, 207, "status")
        refused = [r for r in answer.json()["results"] if not r["ok"]]
        check(refused and all(r["code"] == "rate_limited" for r in refused), f"results {refused[:2]}")
        check(len(refused) < 80, "some are taken")
        message = client.request({"type": "publish", **event})
        contains(message, {"type": "error", "code": "rate_limited", "retryable": True}, "over WebSocket")
        check(message["retry_after_ms"] > 0, "advice")
        client.ping()


def test_workers_share_one_quota():
    with Broker({**CONFIG, "workers": 4}) as broker:
        taken = sum(a.status == 200 for _ in range(12) for a in storm(broker, 20))
        check(taken <= 80, f"{taken} were taken by 4 workers, the quota is 20 a second")


main()
