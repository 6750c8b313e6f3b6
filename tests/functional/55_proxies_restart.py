#!/usr/bin/python3
# A broker ends behind nginx and HAProxy, by SIGTERM and by SIGKILL, and comes back with its journal: whoever follows, over whichever transport, gets all
# events, once and in order; so do the clients of protocol.md.
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
PATIENCE_S = 30  # four processes of Node begin, and come again after seconds


def try_publish(address, n):
    """POST /publish; the answer."""
    return http(address, "POST", "/publish", body={"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}}, token=mint("shop"))


def publish(address, n):
    """The same, which has to succeed; the event's id."""
    answer = try_publish(address, n)
    equal(answer.status, 200, f"publish: {answer.body[:200]}")
    return answer.json()["id"]


def test_a_broker_that_ends_behind_the_proxies_and_comes_back():
    ends, each = ("drained", "killed", None), 4
    total = each * len(ends)
    config = {"listen": [f"127.0.0.1:{free_port()}"], "drain_ms": 300}
    with Database() as db, contextlib.ExitStack() as stack:
        proxies, followers, n = [], [], 0
        for life, end in enumerate(ends):
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
                if not end:
                    expect_numbers(followers, total)
                elif end == "drained":
                    broker.stop()
                else:
                    broker._checked = True  # it will not end by itself
                    broker.process.kill()
                    broker.process.wait()
                if end:
                    for proxy in proxies:
                        if proxy.kind == "haproxy":  # until it knows it waits for the broker, for 3 s
                            wait_until(lambda: proxy.log().count("backend 'hookwire' has no server") > life, what="HAProxy to see it")
                        check(try_publish(proxy.address, 1000).status in (502, 503), f"{proxy.kind}: a publish meanwhile")
                    for follower in followers:  # a poll may be on its way, and HAProxy may keep it until there is a broker again
                        follower.wait_for(lambda f: f.n_cut > life or f.transport == "poll", "to be cut")


def documented(function):
    """The block of docs/protocol.md that defines a function."""
    blocks = re.findall(r"(?s)```js\n(.*?)```", (ROOT / "docs/protocol.md").read_text())
    found = [block for block in blocks if f"function {function}(" in block]
    equal(len(found), 1, f"blocks of docs/protocol.md with {function}")
    return found[0]


class Page:
    """A block of docs/protocol.md in a process, as a page or a program has it; what it prints are events."""

    def __init__(self, function, proxy):
        self.name = f"{function} behind {proxy.kind}"
        script = documented(function).replace("family-123", "1")
        for address in ("http://127.0.0.1:8080", "https://realtime.example.com"):
            script = script.replace(address, proxy.url)
        head = f"const token = {json.dumps(mint(function + proxy.kind))}; const {{ EventSource }} = require('eventsource');\n"
        self.process = subprocess.Popen(["node", "-e", head + script], stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parent,
                                        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(proxy.ca)})

    def recv(self):
        return json.loads(in_background(self.process.stdout.readline)())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_the_documented_clients_go_on_behind_both():
    config = {"listen": [f"127.0.0.1:{free_port()}"]}
    with Database() as db, contextlib.ExitStack() as stack:
        proxies, pages = [], []
        for life in range(2):
            with db.broker(config) as broker:
                if life == 0:
                    proxies = [stack.enter_context(ShippedProxy(kind, broker.address)) for kind in KINDS]
                    pages = [stack.enter_context(Page(function, proxy)) for function in ("follow", "listen") for proxy in proxies]
                    wait_until(lambda: broker.metric("hookwire_subscriptions") == len(pages), PATIENCE_S, "all to be there")
                # in the second life before anybody has come back
                sent = broker.publish("gift-list:1").json()["id"]
                for page in pages:
                    equal(page.recv()["id"], sent, f"{page.name}: the event of life {life}")
                if life == 0:
                    broker._checked = True  # it will not end by itself
                    broker.process.kill()
                    broker.process.wait()
                    for proxy in proxies:
                        for path in ("/poll", "/sse"):  # each of them was told that there is no broker
                            wait_until(lambda: re.search(rf"{path}\"? 502 | 50[23] .*GET \S*{path}", proxy.log()), PATIENCE_S,
                                       f"{proxy.kind}: {path} without a broker")


main()
