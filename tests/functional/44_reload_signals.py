#!/usr/bin/python3
# Signals that come while a reload is under way: none is lost, and no stream of SIGHUP keeps the broker from ending.
import pathlib
import signal
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def begin_reload(broker):
    """Stops a reload in the middle, where the gate's load waits."""
    broker.hold("load")
    broker.write_mark("two")
    broker.sighup()
    broker.wait_held("load")


def reloads(broker):
    return len([line for line in broker.log().splitlines() if " reloaded generation=" in line])


def test_a_sigterm_goes_before_any_number_of_sighups():
    with GateBroker() as broker:
        begin_reload(broker)
        broker.sighup()
        broker.sigterm()
        broker.release("load")
        broker.stop(5)
        equal(reloads(broker), 1, "reloads: the one that was under way")


def test_a_sigint_counts_though_a_reload_was_asked_for():
    with GateBroker() as broker, HttpConnection(broker.admin_address) as h:
        begin_reload(broker)
        h.send(h.format("POST", "/api/reload", {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}, "{}"))
        broker.metric("hookwire_sessions")  # was asked behind it, and is answered: it has been heard
        broker.process.send_signal(signal.SIGINT)
        broker.release("load")
        equal(h.read_response("POST").status, 503, "what is answered who asked for another")
        broker.process.wait(scaled(5))
        broker.stop()


def test_a_storm_of_sighups_ends_in_the_last_configuration():
    with GateBroker() as broker, WsClient(broker.address, token=mint("u1"), protocols=["hookwire.v1"]) as client:
        client.recv_where({"type": "welcome"})
        for n in range(200):
            broker.write_mark(f"m{n}")
            broker.sighup()
        wait_until(lambda: broker.reason(client) == "worker 0 m199", 10, "the last mark")
        equal(broker.metric("hookwire_reloads_total", result="failed"), 0, "failed reloads")


def test_nothing_is_reloaded_while_sessions_drain():
    with GateBroker({"drain_ms": 3000}) as broker, WsClient(broker.address, token=mint("u1"), protocols=["hookwire.v1"]) as client:
        client.recv_where({"type": "welcome"})
        broker.sigterm()
        client.recv_where({"type": "goaway"})
        broker.hold("load")
        broker.write_mark("two")
        broker.sighup()
        client.expect_close(1001)
        broker.stop(10)
        check(not (broker.dir / "load.waiting").exists() and reloads(broker) == 0, "it was reloaded")


main()
