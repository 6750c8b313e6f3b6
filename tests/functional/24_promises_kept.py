#!/usr/bin/python3
# Acknowledged is kept: whoever has an acknowledgement, or an event, finds it in the journal from then on, on whichever worker and by
# whichever way he asks; and in the file, where there is one.
# ctest: timeout=120
import pathlib
import random
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import resume
from hwtest.database import Database, number_of, v1_client

ROUNDS = 60
CONFIG = {"workers": 4, "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000}}},
          "topics": {"b:*": {"retention": {"count": 1000}}}}
ITEM = {"event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}


def by_http(broker, topic, count):
    answer = http(broker.address, "POST", "/publish", body=[{"topic": topic, **ITEM}] * count, token=mint("p"))
    equal(answer.status, 200, "publish")
    return [r["id"] for r in answer.json()["results"]]


def by_ws(broker, topic, count):
    with v1_client(broker, "p") as c:
        c.send_json([{"type": "publish", "id": n, "topic": topic, **ITEM} for n in range(count)])
        return [c.recv_where({"type": "ack", "id": n})["event_id"] for n in range(count)]


def check_found(broker, topic, cursor, ids, ways, what):
    token = mint("u1")
    head = http(broker.address, "GET", "/cursor", token=token).json()["cursor"]
    check(number_of(head) >= number_of(ids[-1]), f"{what}: the head {head} is not behind it")
    for way in ways:
        got = way(broker.address, token, [topic], cursor)
        equal(([e["id"] for e in got.events], got.gap), (ids, set()), f"{what}, by {way.__name__}")


def run(broker, stored):
    rng, cursor = random.Random(seed_of_run()), {t: http(broker.address, "GET", "/cursor", token=mint("u1")).json()["cursor"] for t in ("a:1", "b:1")}
    with v1_client(broker) as subscriber, SseClient(broker.address, "a:1,b:1", token=mint("u1")).begin() as sse:
        subscriber.subscribe("a:1", "b:1")
        for n in range(ROUNDS):
            topic = rng.choice(["a:1", "b:1"])
            ids = (by_http if n % 2 else by_ws)(broker, topic, rng.randrange(1, 4))
            what = f"what was acknowledged, {ids}"
            check(not stored or set(map(number_of, ids)) <= stored(), f"{what}, is in the file")
            check_found(broker, topic, cursor[topic], ids, rng.sample(resume.WAYS, 2), what)
            equal([subscriber.recv_event()["id"] for _ in ids], ids, "and is delivered, in its order")
            equal([sse.recv("message").id for _ in ids], ids, "over SSE too")
            cursor[topic] = ids[-1]
        # who receives an event may ask at once, and has no acknowledgement to wait for
        with v1_client(broker, "p") as silent:
            for _ in range(ROUNDS):
                silent.send_json({"type": "publish", "topic": "a:1", **ITEM})
                id_ = subscriber.recv_event()["id"]
                check(not stored or number_of(id_) in stored(), f"{id_} was received, and is in the file")
                check_found(broker, "a:1", cursor["a:1"], [id_], rng.sample(resume.WAYS, 1), f"what was received, {id_}")
                cursor["a:1"] = id_


def test_what_is_acknowledged_or_received_is_in_the_journal():
    with Broker(CONFIG) as broker:
        run(broker, None)


def test_and_in_the_file():
    with Database() as db:
        with db.broker(CONFIG) as broker:
            run(broker, lambda: {number for number, _, _ in db.events()})
        db.check()


main()
