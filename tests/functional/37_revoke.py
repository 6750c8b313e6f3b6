#!/usr/bin/python3
# A token is good no longer before it expires: by its id, its user, its tenant, or the session that came with it. Whoever is there is
# closed with 4401, whoever comes with it again is refused, on every worker and way in; a fresh token is let in.
import json
import pathlib
import sys
import time
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
LIST_MAX = 10000
JSON = {"Content-Type": "application/json"}
EVENT = {"topic": "t:1", "event": "UPDATED", "data": {"entity_id": "1", "payload": {}}}


def admin(broker, path, status=200, **body):
    answer = http(broker.admin_address, "POST", "/api/" + path, JSON, body, ADMIN_TOKEN)
    equal(answer.status, status, f"{path} {body}: {answer.body[:300]}")
    return answer.json()


def listed(broker, **query):
    answer = http(broker.admin_address, "GET", "/api/revocations?" + urllib.parse.urlencode(query), token=ADMIN_TOKEN)
    equal(answer.status, 200, f"GET /api/revocations {query}: {answer.body[:300]}")
    return answer.json()


def token(user="anna", tenant="acme", age_s=2, **claims):
    """One that was issued some seconds ago: what is issued in the second of a revocation is revoked by it."""
    return mint(user, tenant, iat=int(time.time()) - age_s, **claims)


def fresh(user="anna", tenant="acme"):
    """One that was issued after whatever was revoked until now."""
    now = int(time.time())
    wait_until(lambda: int(time.time()) > now, what="the next second")
    return mint(user, tenant)


def client(broker, text):
    c = WsClient(broker.address, token=text, protocols=V1)
    c.id = c.recv_where({"type": "welcome"})["session"]
    return c


def is_in(broker, text):
    """Whether the token is let in, asked on every way in: they must agree."""
    ways = {}
    with WsClient(broker.address, token=text, protocols=V1) as c:
        ways["v1"] = knows(c)
    with WsClient(broker.address, protocols=V1) as c:
        c.send_json({"type": "auth", "token": text})
        ways["first message"] = knows(c)
    try:
        WsClient(broker.address, token=text).close()
        ways["plain"] = True
    except Refused as refused:
        equal((refused.response.status, refused.response.json()["code"]), (401, "unauthorized"), "a plain client's refusal")
        ways["plain"] = False
    for name, method, path, body in (("publish", "POST", "/publish", EVENT), ("cursor", "GET", "/cursor", b""), ("poll", "GET", "/poll?topics=t:1&wait=0", b""),
                                     ("history", "GET", "/topics/t:1/history", b""), ("ticket", "POST", "/ticket", b""), ("sse", "HEAD", "/sse?topics=t:1", b"")):
        answer = http(broker.address, method, path, JSON if body else None, body, text)
        check(answer.status == 200 or answer.status == 401 and (method == "HEAD" or answer.json()["code"] == "unauthorized"), f"{name}: {answer}")
        ways[name] = answer.status == 200
    check(len(set(ways.values())) == 1, f"ways in do not agree: {ways}")
    return ways["v1"]


def knows(c):
    try:
        return c.recv_json()["type"] == "welcome"
    except Closed as closed:
        equal((closed.code, closed.reason), (4401, "unauthorized: the token is revoked"), "the close")
        return False


def test_a_token_by_its_id():
    with Broker({"workers": 2}) as broker:
        bad, good = token(jti="bad-1"), token(jti="good-1")
        there = [client(broker, bad) for _ in range(8)]
        others = [client(broker, good), client(broker, token("anna", "acme")), client(broker, token("anna", "beta", jti="bad-2"))]
        equal(listed(broker), {"total": 0, "revocations": [], "next": None}, "nothing yet")
        done = admin(broker, "revoke", jti="bad-1")
        equal(done, {"ok": True, "id": "1", "sessions": 8}, "what was done")
        for c in there:
            equal(c.expect_close(4401).reason, "unauthorized: the token is revoked", "the reason")
        for c in others:
            c.ping()
        for _ in range(4):  # whichever worker it meets
            check(not is_in(broker, bad), "the token is let in")
        check(is_in(broker, good), "another of the user's is refused")
        equal(listed(broker)["revocations"], [{"id": "1", "jti": "bad-1", "until": None}], "the list")
        # a live session cannot put it on either
        others[0].send_json({"type": "auth", "token": bad, "id": 1})
        others[0].expect_close(4401)
        # of one tenant only
        admin(broker, "revoke", jti="bad-2", tenant="acme")
        others[2].ping()
        check(is_in(broker, token("anna", "beta", jti="bad-2")), "another tenant's token of that id")
        check(not is_in(broker, token("anna", "acme", jti="bad-2")), "the tenant's own")
        check(broker.metric("hookwire_revoked_tokens_refused_total") >= 20, "not counted")
        # an id of another type or length is nobody's
        check(is_in(broker, token(jti=1)) and is_in(broker, token(jti="x" * 300)), "odd ids")
        equal(admin(broker, "unrevoke", id="1"), {"ok": True}, "taken back")
        check(is_in(broker, bad), "still refused")
        equal(admin(broker, "unrevoke", 404, id="1")["code"], "bad_request", "again")


def test_whatever_the_transport_and_tickets_too():
    with Broker({"workers": 2}) as broker:
        text = token(jti="a")
        ticket = http(broker.address, "POST", "/ticket", token=text).json()["ticket"]
        other = http(broker.address, "POST", "/ticket", token=text).json()["ticket"]
        # a stream and a poll that waits
        with HttpConnection(broker.address) as stream, HttpConnection(broker.address) as poll:
            stream.send(stream.format("GET", "/sse?topics=t:1", {"Authorization": "Bearer " + text}))
            stream.read_until(b"event: cursor\n")
            poll.send(poll.format("GET", "/poll?topics=t:1&wait=60", {"Authorization": "Bearer " + text}))
            wait_until(lambda: broker.metric("hookwire_sessions") == 2, what="both sessions")
            equal(admin(broker, "revoke", jti="a")["sessions"], 2, "ended")
            stream.read_until(b"event: closed\ndata: ")
            contains(json.loads(stream.read_until(b"\n")), {"code": "unauthorized", "close_code": 4401}, "the end of the stream")
            answer = poll.read_response()
            equal((answer.status, answer.json()["code"]), (401, "unauthorized"), "the poll that waited")
        check(not is_in(broker, text), "the token is let in")
        with WsClient(broker.address, path="/ws?ticket=" + ticket, protocols=V1) as c:
            check(not knows(c), "its ticket is let in")
        answer = http(broker.address, "GET", "/poll?topics=t:1&wait=0&ticket=" + other)
        equal((answer.status, answer.json()["code"]), (401, "unauthorized"), "a poll with its ticket")


def test_a_user_and_a_tenant_until_they_have_a_fresh_token():
    with Broker({"workers": 2}) as broker:
        anna, ben, other = token("anna"), token("ben"), token("anna", "beta")
        undated = mint("anna", iat=None)
        there = {name: client(broker, text) for name, text in (("anna", anna), ("ben", ben), ("other", other), ("undated", undated))}
        equal(admin(broker, "revoke", user="anna", tenant="acme")["sessions"], 2, "hers")
        there.pop("anna").expect_close(4401)
        there.pop("undated").expect_close(4401)
        check(not is_in(broker, anna), "an old token")
        check(not is_in(broker, undated), "one that does not say when it was issued")
        check(not is_in(broker, mint("anna", iat=time.time() - 1.5)), "one with a fraction")
        check(is_in(broker, ben) and is_in(broker, other), "somebody else's")
        new = fresh("anna")
        with client(broker, new) as again:
            check(is_in(broker, new), "her next token")
            # and again, with the session that her poll left: what was fresh is old now; the entry is the same one
            equal(admin(broker, "revoke", user="anna", tenant="acme"), {"ok": True, "id": "1", "sessions": 2}, "again")
            again.expect_close(4401)
        check(not is_in(broker, new), "it is old now")
        equal(listed(broker)["total"], 1, "one entry")
        equal(admin(broker, "revoke", tenant="beta")["sessions"], 2, "a tenant's, a poll's too")
        there.pop("other").expect_close(4401)
        check(not is_in(broker, other), "of the tenant")
        check(is_in(broker, fresh("anna", "beta")), "of the tenant, fresh")
        there["ben"].ping()
        there["ben"].close()
        row = listed(broker)["revocations"][0]
        check(set(row) == {"id", "tenant", "user", "issued_until", "until"} and abs(row["issued_until"] - time.time()) < 60, f"a row: {row}")


def test_a_session_and_its_token():
    with Broker({"workers": 2}) as broker:
        text, expires = token(jti="of-session", ttl=900), int(time.time()) + 900
        one, two, bare = client(broker, text), client(broker, token(jti="of-another")), client(broker, token())
        done = admin(broker, "revoke", session=one.id)
        equal((done["sessions"], done["id"]), (1, "1"), "done")
        one.expect_close(4401)
        check(not is_in(broker, text), "its token is let in")
        row = listed(broker)["revocations"][0]
        contains(row, {"tenant": "acme", "jti": "of-session"}, "its token")
        check(abs(row["until"] - expires) < 60, f"it is kept as long as the token lives: {row}")
        equal(admin(broker, "revoke", session=one.id), {"ok": True, "id": None, "sessions": 0}, "nobody")
        equal(admin(broker, "revoke", session=bare.id), {"ok": True, "id": None, "sessions": 1}, "a token without an id")
        bare.expect_close(4401)
        two.ping()
        two.close()


def test_it_ends_when_it_is_told_to():
    with Broker() as broker:
        text = token(jti="a")
        admin(broker, "revoke", jti="a", seconds=3)
        check(not is_in(broker, text), "let in")
        wait_until(lambda: is_in(broker, text), what="the end of it")
        wait_until(lambda: broker.metric("hookwire_revocations") == 0, what="the gauge")
        equal(listed(broker)["total"], 0, "the list")
        until = int(time.time()) + 1000
        admin(broker, "revoke", jti="a", until=until)
        equal(listed(broker)["revocations"][0]["until"], until, "until")
        # the longer one holds
        admin(broker, "revoke", jti="a", seconds=10)
        equal(listed(broker)["revocations"][0]["until"], until, "a shorter one does not shorten it")
        admin(broker, "revoke", jti="a")
        equal(listed(broker)["revocations"][0]["until"], None, "for good")


def test_it_survives_a_reload():
    with Broker({"workers": 2}) as broker:
        text = token(jti="a")
        admin(broker, "revoke", jti="a")
        broker.write_file("open.lua", OPEN_POLICY + "-- changed\n")
        equal(http(broker.admin_address, "POST", "/api/reload", JSON, {}, ADMIN_TOKEN).status, 200, "the reload")
        check(not is_in(broker, text), "let in after a reload")


# a hook takes its time over whether one may be a session; somebody else tells it when
WAITS = """
return policy {
  api = 1,
  authorize = {
    session = function(s, _, ctx)
      if s.user_id == "slow" then
        ctx.dict.set("asked", true)
        while not ctx.dict.get("go") do ctx.sleep(20) end
      end
      return allow()
    end,
    subscribe = function() return allow() end,
    publish = function(s, topic, ctx)
      if topic.id == "go" then ctx.dict.set("go", true) end
      if topic.id == "asked" and not ctx.dict.get("asked") then return deny("forbidden_topic") end
      return allow()
    end,
  },
}
"""


def test_who_is_on_the_way_in_is_not_missed():
    with Broker({"workers": 2, "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua", "budget": {"deadline_ms": 60000}}]}}},
                files={"open.lua": WAITS}) as broker:
        def publish(id):
            return http(broker.address, "POST", "/publish", JSON, {**EVENT, "topic": "t:" + id}, token("backend")).status
        slow = WsClient(broker.address, token=token("slow", jti="a"), protocols=V1)
        wait_until(lambda: publish("asked") == 200, what="the hook is asked")
        equal(admin(broker, "revoke", jti="a")["sessions"], 0, "it is no session yet")
        equal(publish("go"), 200, "go on")
        slow.expect_close(4401)
        # a body that comes after its head
        text = token(jti="b")
        body = b'{"topic":"t:1","event":"UPDATED","data":{"entity_id":"1","payload":{}}}'
        with HttpConnection(broker.address) as c:
            c.send(f"POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text}\r\nContent-Type: application/json\r\n"
                   f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
            check(c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 "), "the token is not good")
            admin(broker, "revoke", jti="b")
            c.send(body)
            equal(c.read_response("POST").status, 401, "the body came too late")


def test_what_is_asked_wrongly():
    with Broker() as broker:
        for body in ({}, {"user": "anna"}, {"session": "x", "tenant": "acme"}, {"jti": "a", "user": "b", "tenant": "c"}, {"jti": ""},
                     {"jti": 5}, {"jti": "x" * 256}, {"tenant": "no tenant"}, {"tenant": "acme", "user": "x" * 256},
                     {"tenant": "acme", "seconds": 0}, {"tenant": "acme", "seconds": 1.5}, {"tenant": "acme", "seconds": "5"},
                     {"tenant": "acme", "until": 5}, {"tenant": "acme", "until": 1 << 62}, {"tenant": "acme", "seconds": (1 << 53) + 1},
                     {"tenant": "acme", "until": int(time.time()) + 99, "seconds": 5}, {"tenant": "acme", "why": "x"}):
            admin(broker, "revoke", 400, **body)
        for body in ({}, {"id": 1}, {"id": "x"}, {"id": "0"}, {"id": ""}):
            admin(broker, "unrevoke", 400, **body)
        for query in ("limit=0", "limit=1001", "limit=x", "after=x", "after=", "who=me"):
            equal(http(broker.admin_address, "GET", "/api/revocations?" + query, token=ADMIN_TOKEN).status, 400, query)
        for path in ("/api/revocations", "/api/sessions"):
            answer = http(broker.admin_address, "GET", path + "?limit=1&limit=1", token=ADMIN_TOKEN)
            equal((answer.status, answer.json()["message"]), (400, "a parameter comes twice"), path)
        for method, path in (("POST", "/api/revoke"), ("POST", "/api/unrevoke"), ("GET", "/api/revocations")):
            equal(http(broker.admin_address, method, path, JSON, {"tenant": "acme"}).status, 401, f"{path} without the admin token")
            equal(http(broker.address, method, path, JSON, {"tenant": "acme"}, ADMIN_TOKEN).status, 404, f"{path} on the listener")
        equal(listed(broker)["total"], 0, "nothing came of it")


def test_the_list_is_bounded_and_comes_in_pages():
    with Broker() as broker:
        with HttpConnection(broker.admin_address) as c:
            auth = {"Authorization": "Bearer " + ADMIN_TOKEN}
            for begin in range(0, LIST_MAX, 100):
                c.send(b"".join(c.format("POST", "/api/revoke", auth, {"jti": f"t{i}"}) for i in range(begin, begin + 100)))
                for _ in range(100):
                    equal(c.read_response("POST").status, 200, "an entry")
        full = admin(broker, "revoke", 403, jti="one too many")
        equal(full["code"], "topic_limit", "code")
        check(is_in(broker, token(jti="one too many")), "it is not on the list")
        admin(broker, "revoke", jti="t0", seconds=100)  # who is there needs no room
        ids, after = [], {}
        while True:
            page = listed(broker, limit=1000, **after)
            equal(page["total"], LIST_MAX, "total")
            ids += [int(row["id"]) for row in page["revocations"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        check(ids == list(range(1, LIST_MAX + 1)), f"{len(ids)} ids, not in order")
        check(not is_in(broker, token(jti=f"t{LIST_MAX - 1}")), "the last one")
        admin(broker, "unrevoke", id="7")
        equal(admin(broker, "revoke", jti="one too many")["id"], str(LIST_MAX + 1), "there is room again")


main()
