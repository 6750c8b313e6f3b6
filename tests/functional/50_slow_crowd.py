#!/usr/bin/python3
# Some of a crowd stop reading: the others go on, nobody is closed, memory stays under its bound, and when they read again they have every
# event, in order and once. What was unsent is in the broker's hands and not in the kernel's, where no bound counts it.
# (50_slow_crowd_full.py does the same with a thousand, for half a minute. How long deliveries take is what tests/bench/bench_slow.c measures.)
# ctest: timeout=120
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest import slow


def test_a_few_of_a_small_crowd_stop_reading():
    slow.stop_reading_and_go_on(sessions=200, slow=10, events_per_s=80 if stretched() else 400, pad=4000, seconds=3)


def test_the_kernel_does_not_take_all_that_a_client_does_not_read():
    with Broker({"slow": {"outbox_bytes": 16384, "deadline_ms": 60000}}) as broker:
        client = WsClient(broker.address, token=mint("u1"), receive_buffer=4096)
        client.subscribe("feed:1")
        count = 125  # of 8 KB: a megabyte, of which the sockets and the outbox may have a quarter
        for n in range(count):
            equal(broker.publish("feed:1", data={"entity_id": "e", "payload": {"n": n, "fill": "x" * 8000}}).status, 200, "publish")
        equal(broker.metric("hookwire_slow_sessions_total"), 1, "times that it fell behind")
        equal([client.recv_event()["data"]["payload"]["n"] for _ in range(count)], list(range(count)), "what it has when it reads")
        client.close()


main()
