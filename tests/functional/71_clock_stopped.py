#!/usr/bin/python3
# The broker stands still for longer than the heartbeat's time-out, as in a machine that is suspended: whoever is still there stays.
import os
import pathlib
import signal
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
INTERVAL, TIMEOUT = 0.5, 1.5  # of the heartbeat, in seconds
MANY = 80  # more than the broker hears of in one look at its sockets


def config(**more):
    heartbeat = {"interval_ms": int(scaled(INTERVAL) * 1000), "timeout_ms": int(scaled(TIMEOUT) * 1000)}
    return {"heartbeat": heartbeat, "auth": {"timeout_ms": int(scaled(TIMEOUT) * 1000)}, **more}


class Stopped:
    """The broker stands still in the block, and for longer than its time-out."""

    def __init__(self, broker):
        self.pid = broker.pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        self.until = time.monotonic() + scaled(TIMEOUT * 1.5)

    def __exit__(self, *_):
        time.sleep(max(0, self.until - time.monotonic()))  # how long it stands still is what this is about
        os.kill(self.pid, signal.SIGCONT)


def live_on(clients, rounds=3):
    """All of them go on answering pings, and none is closed."""
    for _ in range(rounds):
        for n, client in enumerate(clients):
            frame = client.recv_frame()
            check(frame.opcode == PING, f"client {n} of {len(clients)} gets {frame!r} {client.close_frame}")
            client.send_frame(PONG, frame.payload)


def crowd(broker, topics="a:1"):
    return [WsClient(broker.address, token=mint("u1"), query={"topics": topics}) for _ in range(MANY)]


def test_who_said_nothing_meanwhile_is_asked_first():
    with Broker(config()) as broker:
        clients = crowd(broker)
        live_on(clients, 1)
        for client in clients:
            client.ping()  # they have just been heard of: none is being asked
        with Stopped(broker):
            pass
        live_on(clients)
        for client in clients:
            client.close()


def test_who_answered_meanwhile_has_answered():
    with Broker(config()) as broker:
        clients = crowd(broker)
        asked = [client.recv_frame() for client in clients]
        with Stopped(broker):
            for client, frame in zip(clients, asked):
                client.send_frame(PONG, frame.payload)
        live_on(clients)
        for client in clients:
            client.close()


def test_who_has_gone_meanwhile_is_found_all_the_same():
    with Broker(config()) as broker:
        here, gone = crowd(broker), crowd(broker)
        live_on(here + gone, 1)
        with Stopped(broker):
            pass
        live_on(here, 4)  # which is longer than the time-out
        for client in gone:
            opcodes = []
            while not client.close_frame:
                opcodes.append(client.recv_frame().opcode)
            equal(client.close_frame[0], 4408, f"the close of one that does not answer, after {opcodes}")
        for client in here:
            client.close()


def test_streams_polls_and_what_is_published_meanwhile():
    with Broker(config(workers=2)) as broker:
        token = mint("u1")
        with SseClient(broker.address, "a:1", token=token).begin() as sse, HttpConnection(broker.address) as poll, \
                HttpConnection(broker.address) as publisher, WsClient(broker.address, token=token, protocols=V1) as ws:
            ws.subscribe("a:1")
            poll.send(poll.format("GET", "/poll?topics=a:1&wait=50", [("Authorization", "Bearer " + token)]))
            wait_until(lambda: broker.metric("hookwire_polls_waiting") == 1, 10, "the poll to wait")
            with Stopped(broker):
                publisher.send(publisher.format("POST", "/publish", [("Authorization", "Bearer " + token)],
                                                {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}))
            id_ = publisher.read_response("POST").json()["id"]
            events = [sse.recv_event(), ws.recv_event(), poll.read_response().json()["events"][0]]
            equal([e["id"] for e in events], [id_] * 3, "the event")


main()
