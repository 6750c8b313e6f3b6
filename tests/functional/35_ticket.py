#!/usr/bin/python3
# A ticket stands for a token in an address line: once, for 30 seconds, for the same identity and no more.
# ctest: timeout=180
import json
import pathlib
import subprocess
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

WORKERS = {"workers": 4, "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}]}}}
V1 = ["hookwire.v1"]


def ticket(broker, token=None, **claims):
    r = http(broker.address, "POST", "/ticket", token=token or mint("u1", "acme", **claims))
    equal(r.status, 200, f"status ({r.body[:200]!r})")
    equal(r.header("Cache-Control"), "no-store", "Cache-Control")
    answer = r.json()
    equal(sorted(answer), ["expires_in_ms", "ticket"], "members")
    return answer["ticket"]


def poll(broker, text, topics="a:1", **more):
    query = "".join(f"&{k}={v}" for k, v in more.items())
    return http(broker.address, "GET", f"/poll?topics={topics}&wait=0&ticket={text}{query}")


def test_it_opens_a_websocket_of_either_kind_and_a_poll():
    with Broker(WORKERS) as broker:
        with WsClient(broker.address, protocols=V1, query={"ticket": ticket(broker), "topics": "a:1"}) as v1:
            welcome = v1.recv_where({"type": "welcome"})
            equal((welcome["user_id"], welcome["tenant_id"]), ("u1", "acme"), "who it is")
            with WsClient(broker.address, query={"ticket": ticket(broker), "topics": "a:1"}) as plain:
                plain.ping()
                v1.ping()
                event = broker.publish("a:1").json()["id"]
                equal([v1.recv_event()["id"], plain.recv_event()["id"]], [event, event], "both follow")
        equal(poll(broker, ticket(broker)).status, 200, "a poll")
        text = ticket(broker)
        with SseClient(broker.address, "a:1", query={"ticket": text}) as stream:
            stream.begin()
            event = broker.publish("a:1").json()["id"]
            equal(stream.recv_event()["id"], event, "a stream of events")
        with raises(SseRefused) as refused:
            SseClient(broker.address, "a:1", query={"ticket": text}).begin()
        equal(refused[0].response.status, 401, "once")


def test_it_works_where_tokens_in_the_query_are_switched_off():
    with Broker(merge(WORKERS, {"auth": {"query": False, "first_message": False}})) as broker:
        equal(http(broker.address, "GET", "/poll?topics=a:1&wait=0&token=" + mint("u1")).status, 401, "a token")
        equal(poll(broker, ticket(broker)).status, 200, "a ticket")
        for protocols in (V1, None):
            with WsClient(broker.address, protocols=protocols, query={"ticket": ticket(broker)}) as ws:
                ws.ping()


def test_one_use_and_no_second():
    with Broker(WORKERS) as broker:
        text = ticket(broker)
        equal(poll(broker, text).status, 200, "the first")
        r = poll(broker, text)
        equal((r.status, r.json()["code"]), (401, "unauthorized"), "the second")
        WsClient(broker.address, protocols=V1, query={"ticket": text}).expect_close(4401)
        with raises(Refused) as refused:
            WsClient(broker.address, query={"ticket": text})
        equal(refused[0].response.status, 401, "a plain WebSocket")
        for wrong in ("", "x", "0" * 48, text[:-1], text.upper() if text != text.upper() else text + "0"):
            equal(poll(broker, wrong).status, 401, "what is none")


def test_of_many_at_once_exactly_one_gets_in():
    with Broker(WORKERS) as broker:
        for _ in range(25):
            text = ticket(broker)
            connections = [HttpConnection(broker.address) for _ in range(12)]
            start, statuses = threading.Barrier(len(connections)), []

            def use(c):
                request = c.format("GET", f"/poll?topics=a:1&wait=0&ticket={text}")
                start.wait()
                c.send(request)
                statuses.append(c.read_response().status)

            threads = [threading.Thread(target=use, args=(c,)) for c in connections]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            for c in connections:
                c.close()
            equal(sorted(statuses), [200] + [401] * 11, "who got in")


def test_it_is_for_sessions_alone_and_makes_no_other():
    with Broker(WORKERS) as broker:
        text = ticket(broker, backend=True)
        body = {"topic": "a:1", "event": "UPDATED", "data": {"entity_id": "e"}}
        for method, path in (("POST", "/publish"), ("POST", "/ticket"), ("GET", "/cursor"), ("GET", "/topics/a:1/history")):
            r = http(broker.address, method, f"{path}?ticket={text}", body=body if path == "/publish" else b"")
            equal(r.status, 401, path)
        r = poll(broker, text, token=mint("u1"))
        equal((r.status, r.json()["code"]), (400, "bad_request"), "a token beside it")
        equal(poll(broker, text).status, 200, "and all that did not use it up")
        equal(http(broker.address, "POST", "/ticket").status, 401, "nobody gets one")
        equal(http(broker.address, "GET", "/ticket", token=mint("u1")).status, 405, "GET")
        equal(http(broker.address, "POST", "/ticket", headers={"Cookie": "t=" + mint("u1")}).status, 401, "a cookie is no token for a POST")


def test_rights_to_publish_for_others_do_not_go_with_it():
    with Broker(WORKERS) as broker:
        with WsClient(broker.address, protocols=V1, query={"ticket": ticket(broker, backend=True), "topics": "a:1"}) as c:
            c.recv_where({"type": "welcome"})
            c.send_json({"type": "publish", "topic": "a:1", "event": "UPDATED",
                         "data": {"entity_id": "e", "payload": {}, "user_id": "boss", "tenant_id": "globex"}})
            seen = c.recv_event()
            equal((seen["data"]["user_id"], seen["data"]["tenant_id"]), ("u1", "acme"), "who it came from")


def test_claims_and_expiry_go_with_it():
    with Broker(WORKERS) as broker:
        text = ticket(broker, mint("u1", ttl=2))
        c = WsClient(broker.address, protocols=V1, query={"ticket": text})
        welcome = c.recv_where({"type": "welcome"})
        check(welcome["expires_at"] <= time.time() + 3, "the token's expiry is the session's")
        c.expect_close(4401)
        late = ticket(broker, mint("u1", ttl=2))
        later = mint("u1", ttl=2)
        wait_until(lambda: http(broker.address, "POST", "/ticket", token=later).status == 401, 10, "the token to expire", interval=0.1)
        r = poll(broker, late)
        equal((r.status, r.json()["code"]), (401, "token_expired"), "a ticket does not outlive its token")


def test_a_session_of_a_ticket_is_refreshed_as_any_other():
    with Broker(WORKERS) as broker:
        with WsClient(broker.address, protocols=V1, query={"ticket": ticket(broker, mint("u1", ttl=3)), "topics": "a:1"}) as c:
            c.recv_where({"type": "welcome"})
            later = mint("u1", ttl=3)
            reply = c.request({"type": "auth", "token": mint("u1", ttl=600)})
            check(reply["expires_at"] > time.time() + 300, "it lives longer now")
            wait_until(lambda: http(broker.address, "GET", "/cursor", token=later).status == 401, 10, "the first token to expire", interval=0.1)
            event = broker.publish("a:1").json()["id"]
            equal(c.recv_event()["id"], event, "and goes on")
        other = WsClient(broker.address, protocols=V1, query={"ticket": ticket(broker)})
        other.recv_where({"type": "welcome"})
        other.send_json({"type": "auth", "token": mint("u2"), "id": 1})
        other.expect_close(4403)


def test_the_policy_of_now_admits_it():
    refuse = """return policy { api = 1, authorize = {
        session = function(s) if s.user_id == "eve" then return deny("forbidden_topic", "not you") end return allow() end,
        subscribe = function() return allow() end } }"""
    with Broker(WORKERS, files={"open.lua": refuse}) as broker:
        r = poll(broker, ticket(broker, mint("eve", "acme")))
        equal((r.status, r.json()["message"]), (403, "not you"), "authorize.session is asked")
        WsClient(broker.address, protocols=V1, query={"ticket": ticket(broker, mint("eve", "acme"))}).expect_close(4403)


def test_their_number_is_bounded_for_each_tenant():
    with Broker(WORKERS) as broker, HttpConnection(broker.address) as c:
        auth = [("Authorization", "Bearer " + mint("u1", "acme"))]
        request = c.format("POST", "/ticket", auth)
        statuses, batch = [], 500
        for _ in range(0, 10001, batch):
            c.send(request * batch)
            statuses += [c.read_response("POST").status for _ in range(batch)]
        equal(set(statuses[:10000]), {200}, "as many as there may be")
        equal(set(statuses[10000:]), {429}, "and then no more")
        r = c.request("POST", "/ticket", auth)
        equal((r.status, r.json()["code"], r.header("Retry-After")), (429, "rate_limited", "30"), "when to come again")
        ticket(broker, mint("u1", "globex"))


def test_it_is_never_logged():
    with Broker(merge(WORKERS, {"log": {"level": "debug"}})) as broker:
        texts = [ticket(broker) for _ in range(3)]
        poll(broker, texts[0])
        poll(broker, texts[0])
        WsClient(broker.address, protocols=V1, query={"ticket": texts[1]}).close()
        WsClient(broker.address, protocols=V1, query={"ticket": texts[1]}).expect_close(4401)
        log = broker.log()
        check(not any(t in log or t[:16] in log for t in texts), "a ticket is in the log")


def test_from_a_page_by_curl():
    with Broker(merge(WORKERS, {"auth": {"origins": ["https://app.example"]}})) as broker:
        url = f"http://{broker.address}"
        out = subprocess.run(["curl", "-sS", "--fail", "-X", "POST", "-H", "Authorization: Bearer " + mint("u1"), url + "/ticket"],
                             capture_output=True, timeout=scaled(20), check=True)
        text = json.loads(out.stdout)["ticket"]
        out = subprocess.run(["curl", "-sS", "--fail", f"{url}/poll?topics=a:1&wait=0&ticket={text}"], capture_output=True, timeout=scaled(20), check=True)
        equal(json.loads(out.stdout)["events"], [], "polled")
        r = http(broker.address, "OPTIONS", "/ticket", headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"})
        equal((r.status, r.header("Access-Control-Allow-Origin")), (204, "https://app.example"), "preflight")


main()
