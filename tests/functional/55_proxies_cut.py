#!/usr/bin/python3
# A heartbeat that is slower than a proxy's time-out: nginx and HAProxy cut who is idle, and whoever comes back by the last id that he saw gets all
# events, once and in order, over every transport. The same of a broker that dies behind them and comes back with its journal.
# ctest: timeout=120
import contextlib
import pathlib
import random
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.database import Database
from hwtest.follow import TRANSPORTS, Follower

KINDS = ("nginx", "haproxy")
TIMEOUT_S = 1
NEVER = {"heartbeat": {"interval_ms": 300000, "timeout_ms": 600000}}


def publish(address, n):
    """POST /publish; the answer."""
    return http(address, "POST", "/publish", body={"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}}, token=mint("shop"))


def everybody(proxies, total):
    """One over each transport through each of the proxies."""
    cursor = http(proxies[0].address, "GET", "/cursor", token=mint("u")).json()["cursor"]
    return [Follower(transport, proxy.address, cursor, total, name=f"{transport} {proxy.kind}") for proxy in proxies for transport in TRANSPORTS]


def expect_all(followers, total):
    for follower in followers:
        equal([event["data"]["payload"]["n"] for event in follower.result()], list(range(total)), f"{follower.name}, cut {follower.n_cut} times")


def test_who_is_cut_by_an_impatient_proxy_resumes():
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    total = 6
    with Broker(NEVER) as broker, ShippedProxy("nginx", broker.address, TIMEOUT_S) as nginx, ShippedProxy("haproxy", broker.address, TIMEOUT_S) as haproxy:
        followers = everybody((nginx, haproxy), total)
        for n in range(total):
            if n == 1:
                # nothing comes until every one of them has been cut
                for follower in followers:
                    follower.wait_for(lambda f: f.n_cut > 0, "to be cut for its silence")
            elif n > 1:
                # about when the time-outs pass: before, while and after they are cut
                time.sleep(TIMEOUT_S * chance.uniform(0.9, 1.1))
            equal(publish(broker.address, n).status, 200, "publish")
        expect_all(followers, total)
        wait_until(lambda: broker.metric("hookwire_polls_waiting") == 0, what="no poll to be left behind")


def test_a_broker_that_dies_behind_the_proxies_and_comes_back():
    deaths, before, total = 2, 4, 10
    config = {"listen": [f"127.0.0.1:{free_port()}"]}
    with Database() as db, contextlib.ExitStack() as stack:
        proxies, followers, n = [], [], 0
        for death in range(deaths + 1):
            with db.broker(config) as broker:
                proxies = proxies or [stack.enter_context(ShippedProxy(kind, broker.address, 10)) for kind in KINDS]
                followers = followers or everybody(proxies, total)
                for follower in followers:
                    follower.wait_for(lambda f: f.there, "to be back")
                for _ in range(total - n if death == deaths else before):
                    answer = publish(proxies[n % 2].address, n)  # through either in turn
                    equal(answer.status, 200, f"publish: {answer.body[:200]}")
                    n += 1
                if death == deaths:
                    break
                broker._checked = True  # it will not end by itself
                broker.process.kill()
                broker.process.wait()
                for proxy in proxies:
                    if proxy.kind == "haproxy":  # until it knows it waits for the broker, for 3 s
                        wait_until(lambda: proxy.log().count("broker1 is DOWN, reason: ") > death, what="HAProxy to see it")
                    check(publish(proxy.address, 1000).status in (502, 503), f"{proxy.kind}: a publish meanwhile")
                for follower in followers:  # a poll may be on its way, and HAProxy may keep it until there is a broker again
                    follower.wait_for(lambda f: f.n_cut > death or f.transport == "poll", "to be cut")
        expect_all(followers, total)


main()
