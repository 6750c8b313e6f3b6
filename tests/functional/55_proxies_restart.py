#!/usr/bin/python3
# A broker dies behind nginx and HAProxy and comes back with its journal: whoever follows, over whichever transport, gets all events, once and in order.
# ctest: timeout=120
import contextlib
import json
import os
import pathlib
import re
import subprocess
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
    deaths, each = 1, 5
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


def documented_follow():
    """The code of docs/protocol.md that polls, as a page or a program has it."""
    blocks = re.findall(r"(?s)```js\n(.*?)```", (ROOT / "docs/protocol.md").read_text())
    found = [block for block in blocks if "async function follow(" in block]
    equal(len(found), 1, "such blocks in docs/protocol.md")
    return found[0]


def test_the_documented_way_to_poll_goes_on_behind_each_of_them():
    config = {"listen": [f"127.0.0.1:{free_port()}"]}
    with Database() as db, contextlib.ExitStack() as stack:
        clients = []
        for life in range(2):
            with db.broker(config) as broker:
                if life == 0:
                    for kind in KINDS:
                        proxy = stack.enter_context(ShippedProxy(kind, broker.address))
                        script = documented_follow().replace("http://127.0.0.1:8080", proxy.url).replace("family-123", "1")
                        node = stack.enter_context(subprocess.Popen(
                            ["node", "-e", f"const token = {json.dumps(mint(kind))};\n{script}"], stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(proxy.ca)}))
                        stack.callback(node.kill)
                        clients.append((kind, proxy, node))
                    # one poll is enough: it says where the next one begins
                    wait_until(lambda: broker.metric("hookwire_polls_waiting") == len(KINDS), what="both to poll")
                sent = broker.publish("gift-list:1").json()["id"]
                for kind, _, node in clients:
                    equal(json.loads(in_background(node.stdout.readline)())["id"], sent, f"{kind}: the event of life {life}")
                if life == 0:
                    broker._checked = True  # it will not end by itself
                    broker.process.kill()
                    broker.process.wait()
                    for kind, proxy, node in clients:
                        wait_until(lambda: re.search(r"/poll\"? 50[234]|50[23] .*GET \S*/poll", proxy.log()), what=f"{kind}: a poll without a broker")
                        check(node.poll() is None, f"{kind}: it gave up")


main()
