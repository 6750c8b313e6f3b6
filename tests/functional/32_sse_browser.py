#!/usr/bin/python3
# A browser without a window is a client: its EventSource by token, ticket and cookie, from another origin, over cuts, in several tabs; its
# WebSocket, with the published hook as printed; and its fetch, for who polls and publishes.
# ctest: timeout=240 cost=27
import collections
import pathlib
import re
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.browser import Browser, Site, chromium_or_exit
from hwtest.published import HOOK
from hwtest.relay import Relay

chromium_or_exit()
JSON = {"Content-Type": "application/json"}
TOPIC = "gift-list:family-123"
COOKIE = "hw_session"
ORDER_CERTAIN_MS = 500  # comebacks further apart than this have an order, however busy the machine is

# A WebSocket whose doings are logged; a page may send on `ws`.
SOCKET = """
globalThis.ws = new WebSocket(URL, PROTOCOLS);
ws.onopen = () => log.push({ open: ws.protocol });
ws.onmessage = (event) => log.push(JSON.parse(event.data));
ws.onclose = (event) => log.push({ closed: event.code, why: event.reason.split(':')[0] });
"""


def config(*sites, **more):
    return {"auth": {"cookie": COOKIE, "origins": [site.origin for site in sites]}, "heartbeat": {"interval_ms": 500, "timeout_ms": 10000},
            "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}]}}, **more}


def publish(broker, n, topic="a:1"):
    answer = broker.publish(topic, data={"entity_id": "e", "payload": {"n": n}})
    equal(answer.status, 200, "publish")
    return answer.json()["id"]


def n_of(entry):
    return entry["data"]["data"]["payload"]["n"]


def until_live(broker, n=1):
    wait_until(lambda: broker.metric("hookwire_subscriptions") == n, what=f"{n} subscriptions to be live")


def cut(broker, user):
    """The broker ends that user's sessions. Whoever comes again is let in."""
    answer = http(broker.admin_address, "POST", "/api/sessions/disconnect", JSON, {"user": user, "tenant": "acme", "code": 1001}, ADMIN_TOKEN)
    check(answer.json()["sessions"] > 0, f"nobody was cut: {answer.body}")
    wait_until(lambda: broker.metric("hookwire_sessions") == 0, what="its sessions to be gone")


class Watch(Relay):
    """Notes what the broker advises and when who comes back, by topic."""

    def __init__(self, upstream):
        self.came, self.retry_ms = [], {}
        self.topic_of, self.answered = {}, collections.defaultdict(bytes)  # by link; one that the browser keeps in reserve has none
        super().__init__(upstream)

    def through(self, link, data, answers):
        if answers:
            self.answered[link] += data
            if advice := re.search(rb"^retry: (\d+)\n", self.answered[link], re.MULTILINE):
                self.retry_ms[self.topic_of[link]] = int(advice[1])
        elif topic := re.search(rb"topics=([a-z0-9:]+)", data):
            self.topic_of[link] = topic[1].decode()
            self.came.append((self.topic_of[link], time.monotonic()))
        return data

    def cut(self):
        """Ends them; what they had been advised."""
        super().cut()
        self.came = []
        return dict(self.retry_ms)


def test_an_event_source_by_token_ticket_and_cookie_from_the_pages_that_are_listed():
    with Site() as site, Site() as other, Broker(config(site)) as broker, Browser() as browser:
        stream = f"http://{broker.address}/sse?topics=a:1"
        token = mint("u1")

        def follows(tab, what, url, options=None):
            tab.run("globalThis.source = follow(URL, OPTIONS)", URL=url, OPTIONS=options or {})
            equal(tab.said(), {"open": True}, what)
            until_live(broker)
            sent = publish(broker, 1)
            got = tab.said()
            equal((got["name"], n_of(got), got["id"]), ("message", 1, sent), what)
            tab.run("source.close()")
            until_live(broker, 0)

        def refused(tab, what, url, options=None):
            tab.run("globalThis.source = follow(URL, OPTIONS)", URL=url, OPTIONS=options or {})
            equal(tab.said(), {"error": True, "state": 2}, f"{what}: refused for good")

        page, strange = browser.open(site.origin), browser.open(other.origin)
        follows(page, "a token", f"{stream}&token={token}")
        ticket = page.run("""
            const r = await fetch(URL, { method: 'POST', headers: { authorization: 'Bearer ' + TOKEN } });
            return (await r.json()).ticket;""", URL=f"http://{broker.address}/ticket", TOKEN=token)
        follows(page, "a ticket", f"{stream}&ticket={ticket}")
        refused(page, "a ticket that was used", f"{stream}&ticket={ticket}")
        refused(page, "nobody", stream, {"withCredentials": True})
        browser.cookie(COOKIE, token, f"http://{broker.address}/")
        follows(page, "a cookie", stream, {"withCredentials": True})
        refused(page, "a cookie that is not sent", stream)
        refused(strange, "a page that is not listed, by cookie", stream, {"withCredentials": True})
        refused(strange, "a page that is not listed, by token", f"{stream}&token={token}")
    with Site() as site, Broker({"auth": {"origins": ["*"]}}) as broker, Browser() as browser:
        follows(browser.open(site.origin), "any page, by token", f"http://{broker.address}/sse?topics=a:1&token={mint('u1')}")


def test_an_event_source_that_the_broker_cuts_comes_back_where_it_was_and_hears_of_a_gap():
    with Site() as site, Broker(config(site, journal={"retention": {"count": 20}})) as broker, Browser() as browser:
        page = browser.open(site.origin)
        page.run("follow(URL, {}, 'gap', 'closed')", URL=f"http://{broker.address}/sse?topics=a:1,quiet:1&token={mint('u1')}")
        equal(page.said(), {"open": True}, "the first time")
        until_live(broker, 2)
        publish(broker, 0)
        equal(n_of(page.said()), 0, "live")

        def comes_back():
            closed = page.said()
            equal((closed["name"], closed["data"]["close_code"]), ("closed", 1001), "why it ends")
            equal(page.said(), {"error": True, "state": 0}, "it will come back by itself")
            equal(page.said(), {"open": True}, "and does")
        cut(broker, "u1")
        for n in (1, 2, 3):
            publish(broker, n)
        comes_back()
        equal([n_of(page.said()) for _ in range(3)], [1, 2, 3], "what it missed, once")
        until_live(broker, 2)
        publish(broker, 4)
        equal(n_of(page.said()), 4, "live again")
        cut(broker, "u1")
        for n in range(100):
            publish(broker, n)
        comes_back()
        gap = page.said()
        equal((gap["name"], gap["data"]["type"], gap["data"]["topics"]), ("gap", "gap", ["a:1"]), "what is gone, of that topic alone")
        until_live(broker, 2)
        publish(broker, 200)
        behind = page.said()
        while n_of(behind) < 100:  # what is still kept
            behind = page.said()
        equal(n_of(behind), 200, "and live behind it")


def test_an_event_source_waits_as_long_as_it_is_told():
    topics = [f"a:{n}" for n in range(5)]  # a browser has six connections to a host
    with Site() as site, Broker(config(site)) as broker, Watch(broker.address) as relay, Browser() as browser:
        page = browser.open(site.origin)
        for topic in topics:
            page.run("follow(URL)", URL=f"http://{relay.address}/sse?topics={topic}&token={mint('u1')}")
        until_live(broker, len(topics))
        wait_until(lambda: set(relay.retry_ms) == set(topics), what="the advice")
        before = time.monotonic()
        advice = relay.cut()
        wait_until(lambda: {topic for topic, _ in relay.came} == set(topics), what="all of them to come back")
        came = dict(relay.came)
        check(all(1000 <= ms <= 3000 for ms in advice.values()), f"advice {advice}")
        early = {topic: came[topic] - before for topic in topics if came[topic] - before < advice[topic] / 1000}
        equal(early, {}, f"who came early, of {advice}")
        for one in topics:
            for other in topics:
                if advice[one] + ORDER_CERTAIN_MS < advice[other]:
                    check(came[one] < came[other], f"{one} came after {other}: {advice}")


def test_tabs_follow_beside_each_other_and_the_seventh_connection_waits():
    n_connections = 6  # of HTTP/1.1, to a host, for all tabs
    with Site() as site, Broker(config(site, workers=2)) as broker, Browser() as browser:
        stream = f"http://{broker.address}/sse?topics=a:1&token={mint('u1')}"
        tabs = [browser.open(site.origin) for _ in range(3)]
        for tab in tabs:
            tab.run("globalThis.sources = [follow(URL), follow(URL)]", URL=stream)
            equal([tab.said(), tab.said()], [{"open": True}] * 2, "a tab")
        until_live(broker, n_connections)
        for n in range(5):
            publish(broker, n)
        for tab in tabs:
            equal(sorted(n_of(tab.said()) for _ in range(10)), sorted(list(range(5)) * 2), "both of each tab have all")
        last = browser.open(site.origin)
        last.run("follow(URL)", URL=stream)
        equal(broker.metric("hookwire_subscriptions"), n_connections, "the seventh waits")
        tabs[0].shut()
        equal(last.said(), {"open": True}, "until a tab is shut")
        until_live(broker, n_connections - 1)
        publish(broker, 9)
        for tab, n in ((last, 1), (tabs[1], 2), (tabs[2], 2)):
            equal([n_of(tab.said()) for _ in range(n)], [9] * n, "who is there has it")


def test_over_http_2_through_the_shipped_proxies_nobody_waits():
    n_tabs, each = 2, 5  # more than the six connections of HTTP/1.1
    for kind in ("nginx", "haproxy"):
        with Site() as site, Broker(config(site)) as broker, ShippedProxy(kind, broker.address) as proxy, Browser() as browser:
            tabs = [browser.open(site.origin) for _ in range(n_tabs)]
            for tab in tabs:
                tab.run("for (let i = 0; i < N; i++) follow(URL)", N=each, URL=f"{proxy.url}/sse?topics=a:1&token={mint('u1')}")
            until_live(broker, n_tabs * each)
            for tab in tabs:
                equal([tab.said() for _ in range(each)], [{"open": True}] * each, f"{kind}: all are open")
            publish(broker, 1)
            for tab in tabs:
                equal([n_of(tab.said()) for _ in range(each)], [1] * each, f"{kind}: the event on each")
            for tab in tabs:
                tab.shut()
            until_live(broker, 0)


def test_the_published_hook_and_a_websocket_of_version_1():
    with Site() as site, Site() as other, Broker(config(site)) as broker, Browser() as browser:
        url = f"ws://{broker.address}/ws"
        page, strange = browser.open(site.origin), browser.open(other.origin)
        page.run("const say = (value) => log.push(value);" + HOOK, WS_URL=url, TOKEN=mint("anna"), TOPICS=[TOPIC, "secret:1"])
        equal(page.said(), {"isConnected": True}, "the hook")
        equal(page.said(), {"invalidated": [""]}, "the refusal of secret:1")
        publish(broker, 1, TOPIC)
        equal(page.said(), {"invalidated": ["gift-list"]}, "an event")
        page.run("ref.current.send('{\"type\":\"ping\"}')")
        equal(page.said(), {"invalidated": [""]}, "a pong")
        page.run("cleanup()")
        equal(page.said(), {"isConnected": False}, "unmounted")
        until_live(broker, 0)

        page.run(SOCKET, URL=f"{url}?topics=a:1", PROTOCOLS=["hookwire.v1", "token." + mint("anna")])
        equal(page.said(), {"open": "hookwire.v1"}, "the token is not echoed")
        contains(page.said(), {"type": "welcome", "user_id": "anna"}, "welcome")
        sent = publish(broker, 1)
        equal(page.said()["id"], sent, "an event")
        cut(broker, "anna")
        equal(page.said()["closed"], 1001, "a code that a page can read")
        browser.cookie(COOKIE, mint("cora"), f"http://{broker.address}/")
        page.run(SOCKET, URL=url, PROTOCOLS=["hookwire.v1"])
        equal(page.said(), {"open": "hookwire.v1"}, "by cookie")
        contains(page.said(), {"type": "welcome", "user_id": "cora"}, "by cookie")
        strange.run(SOCKET, URL=url, PROTOCOLS=["hookwire.v1"])
        equal([strange.said(), strange.said()], [{"open": "hookwire.v1"}, {"closed": 4403, "why": "forbidden_topic"}], "a page that is not listed")
        page.run(SOCKET, URL=f"{url}?token=nonsense", PROTOCOLS=["hookwire.v1"])
        equal([page.said(), page.said()], [{"open": "hookwire.v1"}, {"closed": 4401, "why": "unauthorized"}], "a token that is none")


def test_fetch_polls_publishes_and_reads_refusals_of_another_origin():
    with Site() as site, Broker(config(site)) as broker, Browser() as browser:
        page = browser.open(site.origin)
        ask = """
            const r = await fetch(BASE + PATH, { headers: { authorization: 'Bearer ' + TOKEN } });
            return [r.status, await r.json()];"""
        here = {"BASE": f"http://{broker.address}", "TOKEN": mint("u1")}
        status, first = page.run(ask, PATH="/poll?topics=a:1&wait=0", **here)
        equal((status, first["events"], first["gap"]), (200, [], False), "a first poll")
        page.run("""
            globalThis.polled = (async () => {
                const r = await fetch(BASE + PATH, { headers: { authorization: 'Bearer ' + TOKEN } });
                log.push(await r.json());
            })();""", PATH=f"/poll?topics=a:1&wait=20&cursor={first['cursor']}", **here)
        until_live(broker)
        body = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": 1}}}
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        sending = """
            const r = await fetch(BASE + '/publish', { method: 'POST', body: JSON.stringify(BODY), headers: { authorization: 'Bearer ' + TOKEN,
                'content-type': 'application/json', 'idempotency-key': 'k1', traceparent: `00-${TRACE}-00f067aa0ba902b7-01` } });
            return await r.json();"""
        answer = page.run(sending, BODY=body, TRACE=trace, **here)
        event, = page.said()["events"]
        equal((event["id"], event["trace_id"]), (answer["id"], trace), "the poll that waited has what was published")
        equal(page.run(sending, BODY=body, TRACE=trace, **here), {**answer, "duplicate": True}, "a repeat")
        equal(page.run(ask, PATH="/topics/a:1/history", **here)[1]["events"], [event], "history")
        equal(page.run(ask, PATH="/cursor", **here), [200, {"cursor": answer["id"]}], "the head")
        for path, status, code in (("/poll?topics=secret:1&wait=0", 403, "forbidden_topic"), ("/poll?topics=a:1&cursor=x", 400, "bad_request")):
            got = page.run(ask, PATH=path, **here)
            equal((got[0], got[1]["code"]), (status, code), f"{path}: the page can read why")
        equal(page.run("return (await fetch(URL)).status", URL=here["BASE"] + "/nowhere"), 404, "a path that is none")
        equal(page.run(ask, PATH="/cursor", BASE=here["BASE"], TOKEN="x")[0], 401, "a token that is none")
        browser.cookie(COOKIE, mint("u1"), f"http://{broker.address}/")
        by_cookie = "const r = await fetch(URL, { method: METHOD, credentials: 'include', headers: HEADERS, body: BODY }); return r.status;"
        poll = f"{here['BASE']}/poll?topics=a:1&wait=0"
        equal(page.run(by_cookie.replace(", body: BODY", ""), URL=poll, METHOD="GET", HEADERS={}), 200, "a poll by cookie")
        equal(page.run(by_cookie, URL=f"{here['BASE']}/publish", METHOD="POST", HEADERS=JSON, BODY="{}"), 401, "a cookie never publishes")
        with Site() as other:
            strange = browser.open(other.origin)
            blocked = "return await fetch(URL, { credentials: 'include' }).then((r) => r.status, (error) => error.name)"
            equal(strange.run(blocked, URL=poll), "TypeError", "a page that is not listed reads nothing")


main()
