#!/usr/bin/python3
# SIGTERM: sessions are closed with 1001 spread over drain_ms, newcomers are sent away, and the broker ends with 0 when all are gone.
import pathlib
import select
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def close_times(clients, start, timeout):
    """Per client: seconds after start at which its close frame came; answers each. Fails on another code than 1001."""
    times = {}
    deadline = time.monotonic() + timeout
    waiting = {c.stream.sock: c for c in clients}
    while waiting and time.monotonic() < deadline:
        for sock in select.select(list(waiting), [], [], 0.05)[0]:
            client = waiting[sock]
            try:
                client.recv(0.5)
            except Closed as closed:
                equal(closed.code, 1001, "close code")
                times[client] = time.monotonic() - start
                del waiting[sock]
                client.stream.close()
            except TimeoutError:
                pass
    check(not waiting, f"{len(waiting)} sessions were not closed")
    return sorted(times.values())


def wait_draining(broker):
    """Waits until the broker says that it is not ready; a connection made in the moment of the signal may be closed unanswered."""
    def not_ready():
        try:
            return http(broker.address, "GET", "/readyz").status == 503
        except EOFError:
            return False
    wait_until(not_ready, 5, "not ready")


def test_fifty_sessions_are_closed_with_1001_spread_over_drain_ms():
    with Broker({"drain_ms": 2000, "workers": 2}) as broker:
        clients = [WsClient(broker.address, token=mint(f"u{i}")) for i in range(50)]
        for client in clients:
            client.subscribe("t:1")
        start = time.monotonic()
        broker.sigterm()
        times = close_times(clients, start, 6)
        check(times[-1] <= scaled(3.0), f"the last one was closed after {times[-1]:.2f} s, drain_ms is 2000")
        check(times[-1] - times[0] >= 1.0, f"all were closed within {times[-1] - times[0]:.2f} s")
        most = max(sum(1 for t in times if w <= t < w + 0.2) for w in [x / 10 for x in range(0, 40)])
        check(most <= 25, f"{most} of 50 were closed within 0.2 s of one another")
        broker.process.wait(scaled(2))
        equal(broker.process.returncode, 0, "exit code")
        broker.stop()


def test_it_ends_as_soon_as_nobody_is_left():
    with Broker({"drain_ms": 20000}) as broker:
        start = time.monotonic()
        broker.stop(5)
        check(time.monotonic() - start < scaled(2), f"without sessions it took {time.monotonic() - start:.1f} s")
    with Broker({"drain_ms": 20000}) as broker:
        clients = [WsClient(broker.address, token=mint(f"u{i}")) for i in range(5)]
        for client in clients:
            client.ping()
        broker.sigterm()
        wait_draining(broker)
        check(broker.alive(), "it waits for its sessions")
        for client in clients:
            client.close()
        start = time.monotonic()
        broker.process.wait(scaled(5))
        check(time.monotonic() - start < scaled(2), "it ends soon after the last one left")


def test_newcomers_are_sent_away_while_draining():
    with Broker({"drain_ms": 20000}) as broker:
        stay = [WsClient(broker.address, token=mint(f"u{i}"), protocols=["hookwire.v1"]) for i in range(40)]
        for client in stay:
            client.recv_where({"type": "welcome"})
            client.subscribe("t:1")
        kept = HttpConnection(broker.address)
        equal(kept.request("GET", "/readyz").status, 200, "ready before")
        broker.sigterm()
        wait_draining(broker)
        equal(http(broker.address, "GET", "/healthz").status, 200, "alive meanwhile")
        with raises(Refused) as refused:
            WsClient(broker.address, token=mint("new"))
        response = refused[0].response
        equal(response.status, 503, "a plain upgrade")
        contains(response.json(), {"code": "draining", "retryable": True}, "its body")
        check(int(response.header("Retry-After")) >= 0, "Retry-After")
        late = WsClient(broker.address, token=mint("new"), protocols=["hookwire.v1"])
        late.expect_close(4503)
        goaway = stay[-1].recv_where({"type": "goaway"})
        answer = broker.publish("t:1")
        if answer.status == 200:  # what is acked reaches those who are still there
            equal(stay[-1].recv_event("t:1")["id"], answer.json()["id"], "the event")
        else:
            equal([answer.status, answer.json()["code"]], [503, "draining"], "a publish")
        with kept:  # an idle connection may have been closed; what it still answers is the truth
            try:
                equal(kept.request("GET", "/readyz").status, 503, "on a connection from before")
            except (EOFError, OSError):
                pass
        check(goaway["retry_after_ms"] >= 0 and goaway["jitter_ms"] >= 0 and goaway["reason"], f"goaway: {goaway}")
        for client in stay:
            client.abort()
        broker.stop(10)


def test_a_plain_client_hears_nothing_before_its_close():
    with Broker({"drain_ms": 100}) as broker:
        client = WsClient(broker.address, token=mint("u1"))
        client.ping()
        broker.sigterm()
        with raises(Closed) as closed:
            message = client.recv()
            check(False, f"a plain client was told {message!r}")
        equal(closed[0].code, 1001, "close code")
        client.stream.close()


def test_a_client_that_never_answers_the_close_does_not_hold_the_end_up():
    with Broker({"drain_ms": 200}) as broker:
        mute = WsClient(broker.address, token=mint("u1"))
        mute.ping()
        half = HttpConnection(broker.address)
        half.send(b"POST /publish HTTP/1.1\r\nHost: x\r\n")
        start = time.monotonic()
        broker.stop(12)
        check(time.monotonic() - start < scaled(8), "it took too long")
        mute.stream.close()
        half.close()


def test_a_second_sigterm_ends_at_once():
    with Broker({"drain_ms": 30000}) as broker:
        clients = [WsClient(broker.address, token=mint(f"u{i}")) for i in range(20)]
        for client in clients:
            client.ping()
        broker.sigterm()
        wait_draining(broker)
        broker.sigterm()
        broker.process.wait(scaled(5))
        equal(broker.process.returncode, 0, "exit code")
        for client in clients:
            client.stream.close()


main()
