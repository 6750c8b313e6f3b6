#!/usr/bin/python3
# Through nginx and HAProxy as they are shipped come the broker's statuses, headers and close codes, and to the broker whatever it would take; a client that
# leaves has left the broker too; and a publish is sent on once, also when its answer is lost on the way.
# ctest: timeout=120
import contextlib
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.relay import Relay

KINDS = ("nginx", "haproxy")
V1 = ["hookwire.v1"]
OPEN = {"hooks": [{"name": "open", "lua": "open.lua"}]}
CONFIG = {
    "trusted_proxies": ["127.0.0.1"], "auth": {"timeout_ms": 500},
    "tenants": {"*": None, "acme": OPEN, "full": {**OPEN, "limits": {"connections": 1}}, "busy": {**OPEN, "limits": {"publish_per_s": 1}},
    },
}
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
# what a proxy may add, leave out or write otherwise; X-Accel-Buffering is for nginx itself
ITS_OWN = {"date", "server", "connection", "keep-alive", "x-accel-buffering", "transfer-encoding"}
EVENT = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e", "payload": {}}}


@contextlib.contextmanager
def both(config=None):
    """A broker, and both proxies in front of it."""
    with Broker(merge(CONFIG, config or {})) as broker, ShippedProxy("nginx", broker.address) as nginx, ShippedProxy("haproxy", broker.address) as haproxy:
        yield broker, nginx, haproxy


def bearer(token, **more):
    return {"Authorization": "Bearer " + token, **more}


def wide(n, length):
    """So many topics of such a length, as a query."""
    return ",".join(f"a:{'y' * (length - 6)}{k:04}" for k in range(n))


def test_what_the_broker_answers_is_what_comes():
    u1 = mint("u1")
    requests = [
        # upgrades that are refused: a bad token, a tenant that is not served, a cursor that is none; and what is no upgrade
        ("GET", f"/ws?token={u1}x", UPGRADE), ("GET", f"/ws?token={mint('u1', 'nobody')}", UPGRADE), ("GET", f"/ws?token={u1}&topics=a:1&cursor=zz", UPGRADE),
        ("GET", f"/ws?token={u1}", {}),
        ("GET", "/cursor", {}), ("GET", "/cursor", bearer(u1)), ("GET", "/nowhere", {}), ("PUT", "/publish", bearer(u1)),
        ("GET", "/sse?topics=secret:1", bearer(u1)), ("HEAD", "/sse?topics=a:1", bearer(u1)), ("GET", "/poll?topics=a:1&wait=0", bearer(u1)),
        ("GET", "/poll?topics=secret:1", bearer(u1)), ("POST", "/publish", bearer(u1), b"{}"),
        ("OPTIONS", "/publish", {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}),
        # as much as the broker itself takes: its longest tokens, a head of 12 KiB, a body of 1 MiB; and a cursor that is far too long
        ("GET", "/cursor", bearer(mint("u1", fill="x" * 6000))), ("GET", "/cursor", bearer("x" * 8192)),
        ("GET", f"/poll?wait=0&topics={wide(48, 250)}", bearer(u1)), ("GET", f"/poll?wait=0&topics=a:1&cursor={'x' * 12000}", bearer(u1)),
        ("POST", "/publish", bearer(u1, **{"Content-Type": "application/json"}), b"[" + b" " * (2**20 - 2) + b"]"),
    ]
    with both() as (broker, nginx, haproxy):
        for request in requests:
            direct = http(broker.address, *request)
            for proxy in (nginx, haproxy):
                answer = http(proxy.address, *request)
                what = f"{proxy.kind}: {request[0]} {request[1][:40]}"
                equal((answer.status, answer.body[:200]), (direct.status, direct.body[:200]), what)
                told = [sorted((k.lower(), v) for k, v in r.headers if k.lower() not in ITS_OWN) for r in (answer, direct)]
                equal(told[0], told[1], f"{what}: headers")
        codes = {http(broker.address, *request).status for request in requests}
        for _ in range(2):
            busy = [http(a, "POST", "/publish", bearer(mint("u1", "busy")), EVENT) for a in (broker.address, nginx.address, haproxy.address)]
        equal([(r.status, r.header("Retry-After"), r.json()["code"]) for r in busy], [(429, "1", "rate_limited")] * 3, "what is too much")
        check({200, 204, 400, 401, 403, 404, 405, 415} <= codes, f"the requests show too little: {codes}")


def test_close_codes_come_through():
    with both() as (broker, nginx, haproxy), WsClient(broker.address, token=mint("first", "full")):
        for proxy in (nginx, haproxy):
            def closes(code, send=None, token=mint("u1"), **query):
                client = WsClient(proxy.address, token=token, protocols=V1, query=query)
                with contextlib.suppress(OSError):  # the proxy may be gone before all is sent
                    send and send(client)
                return client.expect_close(code)

            closes(4400, topics="a:1", cursor="zz")
            closes(4401, token=mint("u1", ttl=-10))
            closes(4403, token=mint("u1", "nobody"))
            closes(4408, token=None)
            closes(4429, token=mint("u1", "full"))
            closes(1003, lambda client: client.send_frame(BINARY, b"x"))
            # while the rest of it is still on its way
            closes(4413, lambda client: client.send_text("x" * 5000000))
            own = {"tenant": "acme", "user": "u1", "code": 4999, "reason": "moved: see the notice"}
            closed = closes(4999, lambda client: client.subscribe("a:1") and http(
                broker.admin_address, "POST", "/api/sessions/disconnect", body=own, token=ADMIN_TOKEN))
            equal(closed.reason, own["reason"], f"{proxy.kind}: the reason")


# what haproxy.cfg says about the PROXY protocol
SAYS_IT_FIRST = [(r"option forwardfor", ""), (r" check inter", " send-proxy-v2 check-send-proxy check inter")]


def test_who_asks_is_known():
    listen = {"listen": ["127.0.0.1:0", {"address": "127.0.0.1:0", "proxy_protocol": True}]}
    with both(listen) as (broker, nginx, haproxy), ShippedProxy("haproxy", broker.listening[1], edits=SAYS_IT_FIRST) as first:
        for proxy in (nginx, haproxy, first):
            for source, said in (("127.0.0.2", None), ("127.0.0.3", {"X-Forwarded-For": "127.0.0.9"})):
                with WsClient(proxy.address, token=mint("u1"), source=source, headers=said) as client:
                    client.ping()
                    rows = http(broker.admin_address, "GET", "/api/sessions?user=u1", token=ADMIN_TOKEN).json()["sessions"]
                    equal([row["address"] for row in rows], [source], proxy.kind)
                wait_until(lambda: broker.metric("hookwire_sessions") == 0, what="the session to end")


def test_who_leaves_has_left():
    with both() as (broker, nginx, haproxy):  # the next heartbeat is 25 s away
        for proxy in (nginx, haproxy):
            def gone(what, metric="hookwire_sessions"):
                wait_until(lambda: broker.metric(metric) == 0, what=f"{proxy.kind}: {what} to be gone")

            for leave in (WsClient.abort, WsClient.close):
                client = WsClient(proxy.address, token=mint("u1"))
                client.ping()
                leave(client)
                gone("a WebSocket")
            for leave in (SseClient.abort, SseClient.close):
                leave(SseClient(proxy.address, "a:1", token=mint("u1")).begin())
                gone("a stream")
            with Curl(proxy.url, "/sse?topics=a:1", mint("u1"), "--http2") as curl:
                curl.begin()
            gone("a stream over HTTP/2")
            with HttpConnection(proxy.address) as client:
                client.send(client.format("GET", "/poll?topics=a:1&wait=60", bearer(mint("u1"))))
                wait_until(lambda: broker.metric("hookwire_polls_waiting") == 1, what="the poll")
            gone("a poll", "hookwire_polls_waiting")
            http(broker.admin_address, "POST", "/api/sessions/disconnect", body={"tenant": "acme"}, token=ADMIN_TOKEN)
            gone("its session, which lives on")


def test_connections_to_the_broker_are_used_again():
    n = 50
    with both() as (broker, nginx, haproxy):
        for proxy in (nginx, haproxy):
            before = broker.metric("hookwire_connections_total")
            with HttpConnection(proxy.address) as client, WsClient(proxy.address, token=mint("u1")) as reader:
                reader.subscribe("a:1")
                for k in range(n):
                    answer = client.request("POST", "/publish", bearer(mint("shop")), EVENT) if k % 2 else client.request(
                        "GET", "/poll?topics=a:1&wait=0", bearer(mint("u1")))
                    equal(answer.status, 200, f"{proxy.kind}: request {k}")
                for k in range(n // 2):
                    reader.recv_event()
            used = broker.metric("hookwire_connections_total") - before
            check(used < n / 2, f"{proxy.kind}: {used} connections for {n} requests")


class Lossy(Relay):
    """While `losing`, what the broker answers to a publish is lost, and the connection with it."""

    def __init__(self, upstream):
        self.losing, self.n_lost, self.publishing = False, 0, set()
        super().__init__(upstream)

    def through(self, link, data, answers):
        if not answers and data.startswith(b"POST /publish"):  # HAProxy has questions of its own
            self.publishing.add(link)
        if answers and self.losing and link in self.publishing:
            self.n_lost += 1
            return b""
        return data


def test_a_publish_whose_answer_is_lost_is_not_sent_again():
    for kind in KINDS:
        with Broker(CONFIG) as broker, Lossy(broker.address) as lossy, ShippedProxy(kind, lossy.address) as proxy, WsClient(
                broker.address, token=mint("u1")) as reader:
            reader.subscribe("a:1")
            # on a new connection to the broker, and on one that was used before: which is where a proxy may think that the broker had closed it
            for used in (False, True):
                key = f"key-{used}"
                with HttpConnection(proxy.address) as client:
                    if used:
                        equal(client.request("POST", "/publish", bearer(mint("shop")), EVENT).status, 200, f"{kind}: before")
                        reader.recv_event()
                    published, lost = broker.metric("hookwire_events_published_total"), lossy.n_lost
                    lossy.losing = True
                    client.send(client.format("POST", "/publish", bearer(mint("shop"), **{"Idempotency-Key": key}), EVENT))
                    with contextlib.suppress(EOFError):  # HAProxy says nothing where a browser will ask again by itself
                        equal(client.read_response().status, 502, f"{kind}: the answer")
                    lossy.losing = False
                equal(lossy.n_lost - lost, 1, f"{kind}: answers that were lost")
                equal(broker.metric("hookwire_events_published_total") - published, 1, f"{kind}: published")
                first = reader.recv_event()["id"]
                # its publisher does it again, by its key
                again = http(proxy.address, "POST", "/publish", bearer(mint("shop"), **{"Idempotency-Key": key}), EVENT)
                contains(again.json(), {"ok": True, "id": first, "duplicate": True}, f"{kind}: the repeat")
                broker.publish("a:1", trace_id="last")
                equal(reader.recv_event()["trace_id"], "last", f"{kind}: nothing came in between")



def seconds(text, pattern):
    """All values of a setting of a shipped file, in seconds."""
    found = re.findall(rf"(?m)^\s*{pattern} (\d+)s;?$", text)
    check(found, f"there is no {pattern}")
    return [int(value) for value in found]


def test_the_shipped_time_outs_leave_room():
    # the other tests put shorter ones in their place
    nginx, haproxy = [(ROOT / "conf" / name).read_text() for name in ("nginx.conf", "haproxy.cfg")]
    heartbeat = int(re.search(r'"interval_ms": (\d+)', (ROOT / "conf/hookwire.json").read_text())[1]) / 1000
    longest_poll = 60
    for text, names in ((nginx, ("proxy_read_timeout", "proxy_send_timeout")), (haproxy, ("timeout client", "timeout server", "timeout tunnel"))):
        for name in names:
            for value in seconds(text, name):
                check(value > 2 * heartbeat and value > longest_poll, f"{name} is {value} s")
    # who sends must let go of an idle connection first
    broker_s = int(re.search(r"\bIDLE_MS = (\d+)", (ROOT / "core/edge/http.c").read_text())[1]) / 1000
    check(max(seconds(nginx, "keepalive_timeout")) < broker_s, f"nginx keeps connections that the broker closes after {broker_s} s")


main()
