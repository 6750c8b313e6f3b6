#!/usr/bin/python3
# A worker that a plugin holds while a reload comes: nobody waits for it longer than ten seconds, and it never decides on its own.
# ctest: timeout=120
# ctest: label=long
import contextlib
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

PUBLISH = {"type": "publish", "topic": "t:1", "event": "UPDATED", "data": {"entity_id": "e1"}, "id": "held"}


@contextlib.contextmanager
def held(broker, client):
    """Worker 1 stands still in the block; yields a list that afterwards has what it then answered."""
    broker.hold("ask-1")
    client.send_json(PUBLISH)
    broker.wait_held("ask-1")
    answer = []
    yield answer
    broker.release("ask-1")
    answer.append(client.recv_where({"id": "held"})["message"])


def test_a_held_worker_takes_the_new_settings_when_it_comes_back():
    with GateBroker({"workers": 2}) as broker:
        clients = broker.clients()
        with held(broker, clients[1]) as answer:
            broker.write_mark("two")
            broker.sighup()
            wait_until(lambda: broker.reason(clients[0]) == "worker 0 two", 5, "the other worker's new settings")
            broker.wait_log("a worker does not answer", 15)
            broker.wait_log("reloaded generation=2")
        equal(answer, ["worker 1 one"], "the message it was held at")
        equal(broker.reason(clients[1]), "worker 1 two", "and the next one")


def test_a_held_worker_does_not_hide_that_another_refuses():
    with GateBroker({"workers": 2}) as broker:
        clients = broker.clients()
        broker.refuse(0)
        with held(broker, clients[1]):
            broker.write_mark("two")
            broker.sighup()
            broker.wait_log("reload failed: everything decides as before", 30)
        equal([broker.reason(clients[0]), broker.reason(clients[1])], ["worker 0 one", "worker 1 one"], "the workers")


def test_a_held_worker_that_refuses_when_it_comes_back_says_so():
    with GateBroker({"workers": 2}) as broker:
        clients = broker.clients()
        with held(broker, clients[1]):
            broker.write_mark("two")
            broker.sighup()
            broker.wait_log("reloaded generation=2", 15)
            broker.refuse(1)
        broker.wait_log("came back too late and cannot start the new hooks.*worker=1")
        broker.permit(1)
        broker.write_mark("three")
        broker.sighup()
        wait_until(lambda: [broker.reason(clients[n]) for n in (0, 1)] == ["worker 0 three", "worker 1 three"], 10, "both alike again")


main()
