#!/usr/bin/python3
# Long-poll: what came since the cursor, at once or as soon as it comes; nothing lost and nothing twice from poll to poll.
# ctest: timeout=180
import json
import pathlib
import shutil
import subprocess
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

ALLOW = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000, "subscriptions": 100000}}}}


def path(topics, cursor=None, wait=None, **more):
    query = {"topics": topics, "cursor": cursor, "wait": wait, **more}
    return "/poll?" + "&".join(f"{k}={v}" for k, v in query.items() if v is not None)


def poll(broker, topics="a:1", cursor=None, wait=0, user="u1", tenant="acme", status=200, token=None, timeout=40, **more):
    """One poll on a connection of its own: the answer's object."""
    r = http(broker.address, "GET", path(topics, cursor, wait, **more), token=token or mint(user, tenant), timeout=timeout)
    equal(r.status, status, f"status ({r.body[:200]!r})")
    equal(r.header("Cache-Control"), "no-store", "Cache-Control")
    return r.json()


def waiting(broker, *args, wait=20, **more):
    """A poll that waits, in a thread of its own: call what is returned for its answer."""
    before = in_wait(broker)
    call = in_background(lambda: poll(broker, *args, wait=wait, **more))
    wait_until(lambda: in_wait(broker) == before + 1, 10, "the poll to wait", interval=0.01)
    return call


def in_wait(broker):
    return broker.metric("hookwire_polls_waiting")


def publish(broker, topic, n, tenant="acme", **data):
    r = broker.publish(topic, data={"entity_id": "e", "payload": {"n": n}, **data}, tenant=tenant)
    equal(r.status, 200, "publish")
    return r.json().get("id")


def head(broker, tenant="acme"):
    return http(broker.address, "GET", "/cursor", token=mint("u1", tenant)).json()["cursor"]


def numbers(answer):
    return [e["data"]["payload"]["n"] for e in answer["events"]]


def test_without_a_cursor_it_begins_now_and_then_reads_on():
    with Broker(ALLOW) as broker:
        publish(broker, "a:1", 0)
        first = poll(broker)
        equal(first, {"events": [], "cursor": head(broker), "gap": False}, "nothing yet")
        for n in range(1, 4):
            publish(broker, "a:1", n)
            publish(broker, "b:1", 100 + n)
        second = poll(broker, cursor=first["cursor"])
        equal((numbers(second), second["gap"]), ([1, 2, 3], False), "what came")
        equal(poll(broker, cursor=second["cursor"])["events"], [], "it is read")
        equal(numbers(poll(broker, "a:1,b:1", cursor=first["cursor"])), [1, 101, 2, 102, 3, 103], "both topics, in order")


def test_it_waits_for_the_first_event_and_takes_those_that_come_with_it():
    with Broker(ALLOW) as broker:
        answer = waiting(broker)
        publish(broker, "b:1", 0)
        events = [{"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}} for n in range(1, 6)]
        http(broker.address, "POST", "/publish", body=events, token=mint("u2"))
        got = answer()
        equal(numbers(got), [1, 2, 3, 4, 5], "one batch")
        equal(got["cursor"], head(broker), "the cursor is behind them")
        equal(in_wait(broker), 0, "waiting")


def test_when_nothing_comes_it_is_answered_in_time_and_the_cursor_has_moved():
    with Broker(ALLOW) as broker:
        answer = waiting(broker, wait=2)
        began = time.monotonic()
        publish(broker, "b:1", 1)
        got = answer()
        check(1 < time.monotonic() - began < scaled(4), "answered after the wait")
        equal(got, {"events": [], "cursor": head(broker), "gap": False}, "empty, behind what it did not want")


def test_the_same_cursor_is_good_on_a_websocket_and_back():
    with Broker(merge(ALLOW, {"workers": 4})) as broker:
        cursor = poll(broker)["cursor"]
        publish(broker, "a:1", 1)
        cursor = poll(broker, cursor=cursor)["cursor"]
        publish(broker, "a:1", 2)
        with WsClient(broker.address, token=mint("u1"), query={"topics": "a:1", "cursor": cursor}) as ws:
            event = ws.recv_event()
            equal(event["data"]["payload"]["n"], 2, "the WebSocket goes on")
            publish(broker, "a:1", 3)
            equal(ws.recv_event()["data"]["payload"]["n"], 3, "live")
        equal(numbers(poll(broker, cursor=event["id"])), [3], "and the poll goes on from an event's id")


def test_a_batch_is_bounded_and_the_cursor_says_where_it_goes_on():
    with Broker(ALLOW) as broker:
        cursor = poll(broker)["cursor"]
        for at in range(0, 2500, 500):
            events = [{"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}} for n in range(at, at + 500)]
            http(broker.address, "POST", "/publish", body=events, token=mint("u2"))
        sizes, got = [], []
        while True:
            answer = poll(broker, cursor=cursor)
            cursor = answer["cursor"]
            if not answer["events"]:
                break
            sizes.append(len(answer["events"]))
            got += numbers(answer)
        equal(got, list(range(2500)), "all, once each")
        equal(sizes, [1000, 1000, 500], "in answers of a bounded size")


def test_bad_queries_are_refused():
    with Broker(merge(ALLOW, {"limits": {"topics_per_session": 3}})) as broker:
        for query, why in (("wait=0", "topics"), ("topics=&wait=0", "topics"), ("topics=,,", "topics"), ("topics=a:1&wait=61", "wait"),
                           ("topics=a:1&wait=-1", "wait"), ("topics=a:1&wait=1.5", "wait"), ("topics=a:1&wait=", "wait"),
                           ("topics=a:1&cursor=nonsense", "cursor"), ("topics=a:1&cursor=", "cursor"), ("topics=a:1&topics=b:1", "topics"),
                           ("topics=a:1&wait=0&wait=0", "wait"), ("topics=a:1&last=2", "last"), ("topics=a:1&%zz", "malformed"),
                           ("topics=No!&wait=0", "topic"), ("topics=a:*&last=1&wait=0", "last")):
            r = http(broker.address, "GET", "/poll?" + query, token=mint("u1"))
            equal((r.status, r.json().get("code")), (400, "bad_request"), query)
            contains(r.json()["message"], why, query)
        equal(http(broker.address, "GET", "/poll?topics=a:1&wait=0").status, 401, "nobody")
        equal(poll(broker, "a:1,b:1,c:1,d:1", status=403)["code"], "topic_limit", "too many topics")
        equal(poll(broker, "a:1,secret:1", status=403)["code"], "forbidden_topic", "one of them is refused")
        r = http(broker.address, "POST", "/poll?topics=a:1", token=mint("u1"), body={})
        equal((r.status, r.header("Allow")), (405, "GET, HEAD, OPTIONS"), "POST")


def test_cursors_of_elsewhere_are_a_gap_and_retention_a_gap_of_its_topic():
    with Broker(merge(ALLOW, {"journal": {"retention": {"count": 20}}})) as broker:
        publish(broker, "quiet:1", -1)
        cursor = head(broker)
        for n in range(100):
            publish(broker, "busy:1", n)
        equal(poll(broker, "quiet:1", cursor)["gap"], False, "a quiet topic has none")
        got = poll(broker, "busy:1", cursor)
        equal(got["gap"], True, "the busy one has")
        equal(numbers(got), list(range(numbers(got)[0], 100)), "and what is left comes")
        epoch, seq = head(broker).split("-")
        for other in (head(broker, "globex"), f"{epoch}-{int(seq) + 1000}", f"zz9-{seq}"):
            equal(poll(broker, "quiet:1", other, wait=20), {"events": [], "cursor": head(broker), "gap": True}, "at once, and nothing else")


def test_two_polls_at_once_are_both_answered():
    with Broker(merge(ALLOW, {"tenants": {"*": {"limits": {"connections": 1}}}})) as broker:
        one, two = waiting(broker), waiting(broker)
        publish(broker, "a:1", 7)
        equal([numbers(one()), numbers(two())], [[7], [7]], "both")


def test_keep_alive_and_pipelining_keep_their_order():
    with Broker(ALLOW) as broker, HttpConnection(broker.address) as c:
        auth = [("Authorization", "Bearer " + mint("u1"))]
        c.send(c.format("GET", path("a:1", wait=20), auth) + c.format("GET", "/healthz"))
        wait_until(lambda: in_wait(broker) == 1, 10, "the poll to wait", interval=0.01)
        id1 = publish(broker, "a:1", 1)
        equal(numbers(c.read_response().json()), [1], "the poll's answer first")
        equal(c.read_response().json(), {"ok": True}, "and then the next one's")
        equal(c.request("GET", path("a:1", id1, 0), auth).json()["events"], [], "the connection goes on")
        equal(c.request("HEAD", path("a:1", wait=0), auth).status, 200, "HEAD")


def test_who_leaves_takes_its_poll_with_it():
    with Broker(ALLOW) as broker:
        fds = broker.fds()
        clients = []
        for n in range(20):
            c = HttpConnection(broker.address)
            c.send(c.format("GET", path("a:1", wait=50), [("Authorization", "Bearer " + mint(f"u{n % 4}"))]))
            clients.append(c)
        wait_until(lambda: in_wait(broker) == 20, 10, "all to wait", interval=0.01)
        for c in clients:
            c.close()
        wait_until(lambda: in_wait(broker) == 0, 10, "nobody to wait", interval=0.01)
        wait_until(lambda: broker.fds() <= fds, 10, "the sockets to go", interval=0.01)
        publish(broker, "a:1", 1)
        equal(broker.metric("hookwire_sessions"), 4, "the sessions linger")


def test_topics_without_history_come_to_who_waits_and_to_nobody_else():
    with Broker(merge(ALLOW, {"topics": {"cursor:*": {"history": "none"}}})) as broker:
        answer = waiting(broker, "cursor:1,a:1")
        publish(broker, "cursor:1", 1)
        got = answer()
        equal(numbers(got), [1], "who waits gets it")
        check("id" not in got["events"][0], "without an id")
        publish(broker, "cursor:1", 2)
        publish(broker, "a:1", 3)
        equal(numbers(poll(broker, "cursor:1,a:1", got["cursor"])), [3], "between two polls it is not kept")


def test_cors_and_the_preflight():
    with Broker(merge(ALLOW, {"auth": {"origins": ["https://app.example"]}})) as broker:
        headers = [("Origin", "https://app.example")]
        r = http(broker.address, "OPTIONS", "/poll?topics=a:1", headers=headers + [("Access-Control-Request-Method", "GET")])
        equal((r.status, r.header("Access-Control-Allow-Origin")), (204, "https://app.example"), "preflight")
        for token, status in ((mint("u1"), 200), ("wrong", 401)):
            r = http(broker.address, "GET", path("a:1", wait=0), headers=headers, token=token)
            equal((r.status, r.header("Access-Control-Allow-Origin")), (status, "https://app.example"), "answer")


def test_last_begins_with_the_newest_event_of_each_topic():
    with Broker(ALLOW) as broker:
        for n in range(1, 10):
            publish(broker, ("a:1", "b:1", "c:1")[n % 3], n)
        got = poll(broker, "a:1,c:1,none:1", last=1)
        equal(numbers(got), [8, 9], "one of each")
        equal(got["cursor"], head(broker), "then on from the head")
        equal(poll(broker, "none:1", last=1)["events"], [], "a topic without events")
        cursor = head(broker)
        equal(poll(broker, "a:1", cursor, last=1)["events"], [], "a cursor decides")


def test_curl_and_node_poll_too():
    with Broker(ALLOW) as broker:
        cursor = poll(broker)["cursor"]
        publish(broker, "a:1", 1)
        url = f"http://{broker.address}" + path("a:1", cursor, 5)
        out = subprocess.run(["curl", "-sS", "-H", "Authorization: Bearer " + mint("u1"), url], capture_output=True, timeout=scaled(20), check=True)
        equal(numbers(json.loads(out.stdout)), [1], "curl")
        node = shutil.which("node")
        check(node, "node is not installed")
        script = """const [url, token] = process.argv.slice(1);
            const r = await fetch(url, {headers: {authorization: 'Bearer ' + token}}); console.log(await r.text());"""
        out = subprocess.run([node, "--input-type=module", "-e", script, url, mint("u1")], capture_output=True, timeout=scaled(30), check=True)
        equal(numbers(json.loads(out.stdout)), [1], "node")


main()
