#!/usr/bin/python3
# A heartbeat that is slower than a proxy's time-out: nginx and HAProxy cut who is idle, and whoever comes back by the last id that he saw gets all
# events, once and in order, over every transport.
# ctest: timeout=120
import pathlib
import random
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.follow import expect_numbers, follow_everywhere

TIMEOUT_S = 1
NEVER = {"heartbeat": {"interval_ms": 300000, "timeout_ms": 600000}}


def test_who_is_cut_by_an_impatient_proxy_resumes():
    chance = random.Random(seed_of_run())
    total = 5
    with Broker(NEVER) as broker, ShippedProxy("nginx", broker.address, TIMEOUT_S) as nginx, ShippedProxy("haproxy", broker.address, TIMEOUT_S) as haproxy:
        followers = follow_everywhere((nginx, haproxy), http(nginx.address, "GET", "/cursor", token=mint("u")).json()["cursor"], total)
        for n in range(total):
            if n == 1:
                # nothing comes until every one of them has been cut
                for follower in followers:
                    follower.wait_for(lambda f: f.n_cut > 0, "to be cut for its silence")
            elif n > 1:
                # about when the time-outs pass: before, while and after they are cut
                time.sleep(TIMEOUT_S * chance.uniform(0.9, 1.1))
            equal(broker.publish("a:1", data={"entity_id": "e", "payload": {"n": n}}).status, 200, "publish")
        expect_numbers(followers, total)
        wait_until(lambda: broker.metric("hookwire_polls_waiting") == 0, what="no poll to be left behind")


main()
