#!/usr/bin/python3
# Operators list live sessions of all workers, page by page, find a user's, and end them; never a token, never claims.
import pathlib
import re
import sys
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
SECRET = "only-for-hooks-7d1f"
MEMBERS = {"session", "tenant", "user", "transport", "address", "connected_at", "expires_at", "worker", "subscriptions", "queued_bytes", "lagging"}


def sessions(broker, **query):
    answer = http(broker.admin_address, "GET", "/api/sessions?" + urllib.parse.urlencode(query), token=ADMIN_TOKEN)
    equal(answer.status, 200, f"GET /api/sessions {query}: {answer.body}")
    check(SECRET.encode() not in answer.body, "a claim is in the answer")
    return answer.json()


def disconnect(broker, status=200, **body):
    answer = http(broker.admin_address, "POST", "/api/sessions/disconnect", {"Content-Type": "application/json"}, body, ADMIN_TOKEN)
    equal(answer.status, status, f"disconnect {body}: {answer.body}")
    return answer.json()


def client_of(broker, user="anna", tenant="acme", *topics):
    client = WsClient(broker.address, token=mint(user, tenant, note=SECRET), protocols=V1)
    client.id = client.recv_where({"type": "welcome"})["session"]
    if topics:
        client.subscribe(*topics)
    return client



def test_list_pages_and_filters_over_all_workers():
    with Broker({"workers": 2}) as broker:
        equal(sessions(broker), {"total": 0, "sessions": [], "next": None}, "nobody")
        clients = [client_of(broker, f"u{i % 5}", ("acme", "beta")[i % 2]) for i in range(24)]
        clients[0].subscribe("t:1", "t:2")
        whole = sessions(broker)
        equal((whole["total"], whole["next"]), (24, None), "all")
        ids = [row["session"] for row in whole["sessions"]]
        equal(ids, sorted(c.id for c in clients), "ids, in order")
        equal({row["worker"] for row in whole["sessions"]}, {0, 1}, "workers")
        check(all(set(row) == MEMBERS for row in whole["sessions"]), f"members: {whole['sessions'][0]}")
        mine = next(row for row in whole["sessions"] if row["session"] == clients[0].id)
        contains(mine, {"tenant": "acme", "user": "u0", "transport": "ws", "subscriptions": 2, "queued_bytes": 0, "lagging": False}, "a row")
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", mine["connected_at"]), f"time: {mine}")
        # page by page it is the same list, also when one goes in between
        pages, after = [], {}
        while True:
            page = sessions(broker, limit=5, **after)
            equal(page["total"], 24, "total of a page")
            pages += [row["session"] for row in page["sessions"]]
            if page["next"] is None:
                break
            equal(page["next"], page["sessions"][-1]["session"], "next")
            after = {"after": page["next"]}
        equal(pages, ids, "the pages")
        equal(sessions(broker, limit=24)["next"], None, "a page that holds all has no next")
        equal(sessions(broker, tenant="beta")["total"], 12, "by tenant")
        found = sessions(broker, user="u1", tenant="acme")["sessions"]
        equal(sorted(row["session"] for row in found), sorted(clients[i].id for i in (6, 16)), "a user of a tenant")
        equal(sessions(broker, user="u1")["total"], 5, "a user's name in all tenants")
        equal(sessions(broker, session=clients[0].id)["sessions"][0]["topics"], ["t:1", "t:2"], "topics of one")
        equal(sessions(broker, session="0" * 16)["total"], 0, "nobody's")
        for query in ("limit=0", "limit=1001", "limit=x", "tenent=acme", "user=", "user=a&user=b", "user=%zz", "user=a%00"):
            equal(http(broker.admin_address, "GET", "/api/sessions?" + query, token=ADMIN_TOKEN).status, 400, query)
        equal(http(broker.admin_address, "GET", "/api/sessions").status, 401, "no token")
        equal(http(broker.address, "GET", "/api/sessions", token=ADMIN_TOKEN).status, 404, "on the public listener")
        for client in clients:
            client.close()


def test_who_is_not_authenticated_is_not_listed():
    with Broker() as broker, WsClient(broker.address, protocols=V1) as stranger, client_of(broker) as anna:
        equal([row["session"] for row in sessions(broker)["sessions"]], [anna.id], "sessions")
        stranger.send_json({"type": "auth", "token": mint("ben")})
        stranger.recv_where({"type": "welcome"})
        equal(sessions(broker)["total"], 2, "then")


def test_disconnect_ends_whom_it_names_and_nobody_else():
    with Broker({"workers": 2}) as broker:
        clients = {(tenant, user, n): client_of(broker, user, tenant)
                   for tenant in ("acme", "beta") for user in ("anna", "ben") for n in range(3)}
        one = clients.pop(("acme", "ben", 0))
        equal(disconnect(broker, session=one.id, code=4001, reason="out, now"), {"ok": True, "sessions": 1}, "one")
        equal(one.expect_close(4001).reason, "out, now", "its close frame")
        equal(disconnect(broker, session=one.id), {"ok": True, "sessions": 0}, "again")
        equal(disconnect(broker, user="anna", tenant="acme")["sessions"], 3, "a user")
        for n in range(3):
            clients.pop(("acme", "anna", n)).expect_close(4403)
        equal(disconnect(broker, tenant="beta", code=1001)["sessions"], 6, "a tenant")
        for key in [key for key in clients if key[0] == "beta"]:
            clients.pop(key).expect_close(1001)
        equal(len(clients), 2, "who is left")
        for client in clients.values():
            client.ping()
        equal(sorted(row["session"] for row in sessions(broker)["sessions"]), sorted(c.id for c in clients.values()), "the list")
        equal(broker.metric("hookwire_sessions"), 2, "the gauge")
        for body in ({}, {"user": "ben"}, {"session": "x", "tenant": "acme"}, {"tenant": ""}, {"tenant": 5}, {"tenant": "acme", "code": 1002},
                     {"tenant": "acme", "code": 0}, {"tenant": "acme", "code": "4403"}, {"tenant": "acme", "code": 4403.5},
                     {"tenant": "acme", "reason": "x" * 124}, {"tenant": "acme", "why": "x"}):
            disconnect(broker, 400, **body)
        twice = http(broker.admin_address, "POST", "/api/sessions/disconnect", {"Content-Type": "application/json"},
                     '{"tenant":"acme","tenant":"acme"}', ADMIN_TOKEN)
        equal(twice.status, 400, "a member twice")
        equal(http(broker.admin_address, "POST", "/api/sessions/disconnect", {"Content-Type": "application/json"}, {"tenant": "acme"}).status,
              401, "no token")
        for client in clients.values():
            client.ping()
            client.close()


def test_more_sessions_than_one_turn_looks_at():
    with Broker({"workers": 1}) as broker:
        clients = [client_of(broker, f"u{i}") for i in range(600)]  # a turn looks at 512, and ends 16
        equal(sessions(broker, limit=1)["total"], 600, "counted")
        equal(len(sessions(broker, limit=1000)["sessions"]), 600, "listed")
        ending = in_background(lambda: disconnect(broker, tenant="acme"))
        for client in clients:
            client.expect_close(4403)
        equal(ending()["sessions"], 600, "ended")


main()
