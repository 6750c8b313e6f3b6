#!/usr/bin/python3
# Out of descriptors: who is connected goes on, who comes is told 503, and when there is room again all is as before.
import pathlib
import resource
import socket
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

LIMIT = 64


def limit(broker, descriptors):
    """Sets how many descriptors the broker may have from now on."""
    _, hard = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (descriptors, hard))


def connect(address):
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=scaled(5))


def fill(broker, count):
    """So many connections that say nothing."""
    return [connect(broker.address) for _ in range(count)]


def test_sessions_go_on_newcomers_hear_503_and_it_recovers():
    with Broker({"workers": 1}) as broker:
        with WsClient(broker.address, token=mint("u1")) as client, HttpConnection(broker.address) as publisher:
            client.subscribe("t:1")
            bearer = [("Authorization", "Bearer " + mint("ben"))]
            event = {"topic": "t:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}
            equal(publisher.request("POST", "/publish", bearer, event).status, 200, "before")
            client.recv_event()
            limit(broker, broker.fds() + 5)
            idle = fill(broker, 15)
            late = HttpConnection(broker.address)
            late.send(late.format("GET", "/healthz"))
            answer = late.read_response(timeout=5)
            equal(answer.status, 503, "a newcomer")
            contains(answer.json(), {"code": "unavailable", "retryable": True}, "what it hears")
            check(answer.header("Retry-After") is not None, "Retry-After")
            check(late.closed(5), "its connection is closed")
            for _ in range(5):
                equal(publisher.request("POST", "/publish", bearer, event).status, 200, "a publish meanwhile")
                client.recv_event()
                client.ping()
            cpu = cpu_seconds(broker)
            time.sleep(0.5)
            check(cpu_seconds(broker) - cpu < 0.3, "it spins while it has no descriptors")
            for sock in idle:
                sock.close()
            late.close()
            wait_until(lambda: answered(broker) == 200, 10, "room again")
            with WsClient(broker.address, token=mint("u2")) as second:
                second.subscribe("t:1")
            client.ping()


def test_newcomers_behind_many_others_are_not_left_waiting():
    with Broker({"workers": 1}) as broker:
        http(broker.address, "GET", "/healthz")
        limit(broker, broker.fds() + 5)
        idle = fill(broker, 100)
        late = HttpConnection(broker.address)
        late.send(late.format("GET", "/healthz"))
        equal(late.read_response(timeout=3).status, 503, "a newcomer behind 95 that are refused")
        for sock in idle:
            sock.close()
        late.close()


def answered(broker):
    """The status of a health request; None when the connection ends without one."""
    try:
        return http(broker.address, "GET", "/healthz", timeout=2).status
    except (OSError, EOFError):
        return None


def cpu_seconds(broker):
    fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_reload_without_descriptors_leaves_the_old_policy_deciding():
    with Broker() as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.subscribe("t:1")
        limit(broker, 3)
        broker.write_file("open.lua", "return policy { api = 1, authorize = { subscribe = function() return allow() end } }")
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log("reload", since=mark)
        check(broker.alive(), "the broker died")
        reply = client.request({"type": "subscribe", "topics": ["secret:1", "t:2"]})["topics"]
        equal([reply["secret:1"].get("code"), reply["t:2"]["ok"]], ["forbidden_topic", True], "the old policy's verdicts")
        limit(broker, 1024)
        broker.sighup()
        wait_until(lambda: client.request({"type": "subscribe", "topics": ["secret:1"]})["topics"]["secret:1"]["ok"], 10, "the new policy")


def test_a_small_limit_from_the_start():
    with Broker({"workers": 1}, prefix=["prlimit", f"--nofile={LIMIT}:{LIMIT}"]) as broker:
        idle = fill(broker, LIMIT - broker.fds() + 5)
        wait_until(lambda: answered(broker) == 503, 5, "503")
        for sock in idle:
            sock.close()
        wait_until(lambda: answered(broker) == 200, 10, "room again")


def test_many_connections_that_come_and_go_leave_no_descriptor():
    with Broker() as broker:
        http(broker.address, "GET", "/healthz")
        before = wait_until(broker.fds, 1)
        for n in range(60):
            client = WsClient(broker.address, token=mint("u1"))
            if n % 3 == 0:
                client.close()
            elif n % 3 == 1:
                client.abort()
            else:
                client.stream.close()
        for sock in fill(broker, 20):
            sock.close()
        wait_until(lambda: broker.fds() <= before, 10, "all descriptors given back")


main()
