#!/usr/bin/python3
# Somebody sets the wall clock while the broker runs: what is timed goes on as it was, and nothing is timed over and over.
import os
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.clock import WallClock

V1 = ["hookwire.v1"]
HOUR = 3600
DAY = 24 * HOUR
TICKS_S = os.sysconf("SC_CLK_TCK")


def cpu_s(broker):
    """What the broker has used of the CPU, in seconds."""
    fields = pathlib.Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def test_it_does_not_spin():
    heartbeat = {"interval_ms": int(scaled(500)), "timeout_ms": int(scaled(5000))}
    with WallClock() as clock, clock.broker({"workers": 2, "heartbeat": heartbeat}) as broker:
        tokens = [clock.mint(f"u{n}", ttl) for n, ttl in enumerate((2 * HOUR, 3 * HOUR, 60 * DAY))]
        clients = [SseClient(broker.address, "a:1", token=token).begin() for token in tokens]
        poll = HttpConnection(broker.address)
        poll.send(poll.format("GET", "/poll?topics=a:1&wait=50", [("Authorization", "Bearer " + tokens[2])]))
        wait_until(lambda: broker.metric("hookwire_polls_waiting") == 1, 10, "the poll to wait")
        for jump in (-DAY, DAY + HOUR):
            clock.jump(jump)
            heard = [c.parser.n_comments for c in clients]
            used, began = cpu_s(broker), time.monotonic()
            for c, n in zip(clients, heard):
                c.read_until(lambda p, n=n: p.n_comments >= n + 3, 20, "heartbeats")
            share = (cpu_s(broker) - used) / (time.monotonic() - began)
            check(share < 0.25, f"{share:.2f} of a CPU after a jump of {jump} s: with nothing to do it uses next to none")
        equal(broker.publish("a:1", token=tokens[2]).status, 200, "publish")
        equal(poll.read_response().status, 200, "the poll")
        for c in clients:
            equal(c.recv_event()["topic"], "a:1", "the event")
            c.close()


def test_policies_timers_go_on():
    ticking = OPEN_POLICY.replace("  authorize = {", '  every = { { seconds = 1, run = function(ctx) ctx.log.info("tick") end } },\n  authorize = {')
    with WallClock() as clock, clock.broker(files={"open.lua": ticking}) as broker:
        broker.publish("a:1", token=clock.mint("u1", HOUR))  # somebody of the tenant, whose policy is at work from now on

        def ticks():
            return broker.log().count("tick")

        wait_until(ticks, 10, "the first time")
        for jump in (-DAY, 2 * DAY):
            clock.jump(jump)
            before = ticks()
            wait_until(lambda: ticks() >= before + 2, 10, f"two more after a jump of {jump} s", interval=0.05)
        check(ticks() < 50, f"{ticks()} times: it makes up for no time that has not passed")


def test_a_drain_takes_its_time():
    with WallClock() as clock, clock.broker({"drain_ms": 3000}) as broker:
        clients = [WsClient(broker.address, token=clock.mint("u1", 60 * DAY), protocols=V1) for _ in range(60)]
        broker.sigterm()
        for client in clients:
            client.recv_where({"type": "goaway"})
        for jump in (DAY, -2 * DAY):
            clock.jump(jump)
            before = broker.metric("hookwire_sessions")
            now = wait_until(lambda: before > broker.metric("hookwire_sessions") and (broker.metric("hookwire_sessions") or -1), 10, "one to be closed")
            check(now > 0, f"all are closed at once after a jump of {jump} s")
        for client in clients:
            client.expect_close(1001)
        broker.stop()


main()
