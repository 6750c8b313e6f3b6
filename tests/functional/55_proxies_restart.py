#!/usr/bin/python3
# A broker dies behind nginx and HAProxy and comes back with its journal: whoever follows, over whichever transport, gets all events, once and in order.
# ctest: timeout=120
import contextlib
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import Database, epoch_of
from hwtest.follow import expect_numbers, follow_everywhere

KINDS = ("nginx", "haproxy")


def try_publish(address, n):
    """POST /publish; the answer."""
    return http(address, "POST", "/publish", body={"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}}, token=mint("shop"))


def publish(address, n):
    """The same, which has to succeed; the event's id."""
    answer = try_publish(address, n)
    equal(answer.status, 200, f"publish: {answer.body[:200]}")
    return answer.json()["id"]


def test_a_broker_that_dies_behind_the_proxies_and_comes_back():
    deaths, each = 2, 5
    total = each * (deaths + 1)
    config = {"listen": [f"127.0.0.1:{free_port()}"]}
    with Database() as db, contextlib.ExitStack() as stack:
        proxies, followers, n = [], [], 0
        for death in range(deaths + 1):
            with db.broker(config) as broker:
                for k in range(each):
                    if k == 1:  # the first is there before anybody has come back
                        proxies = proxies or [stack.enter_context(ShippedProxy(kind, broker.address, 10)) for kind in KINDS]
                        followers = followers or follow_everywhere(proxies, epoch_of(last) + "-0", total)
                        for follower in followers:
                            follower.wait_for(lambda f: f.there, "to be back")
                        wait_until(lambda: all(http(proxy.address, "GET", "/readyz").status == 200 for proxy in proxies), what="the proxies to see it")
                    last = publish(proxies[n % 2].address if k else broker.address, n)  # through either in turn
                    n += 1
                if death == deaths:
                    break
                broker._checked = True  # it will not end by itself
                broker.process.kill()
                broker.process.wait()
                for proxy in proxies:
                    if proxy.kind == "haproxy":  # until it knows it waits for the broker, for 3 s
                        wait_until(lambda: proxy.log().count("broker1 is DOWN, reason: ") > death, what="HAProxy to see it")
                    check(try_publish(proxy.address, 1000).status in (502, 503), f"{proxy.kind}: a publish meanwhile")
                for follower in followers:  # a poll may be on its way, and HAProxy may keep it until there is a broker again
                    follower.wait_for(lambda f: f.n_cut > death or f.transport == "poll", "to be cut")
        expect_numbers(followers, total)


main()
