#!/usr/bin/python3
# Who is it: every way a token travels, what a wrong one gets, refresh on a live session, and expiry.
import pathlib
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "gift-list:1"
V1 = ["hookwire.v1"]
PAGE = "https://app.example.com"
COOKIE = {"auth": {"cookie": "hw_session", "origins": [PAGE]}}

# whoever has the claim `role` may subscribe
ROLES = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic)
      if s.claims.role == "parent" or topic.resource == "open" then return allow() end
      return deny("forbidden_topic")
    end,
    publish = function(s, topic) return allow() end,
  },
}
"""


def user_of(client):
    """Who the broker takes the session for: the user_id of an event that it publishes."""
    client.subscribe(TOPIC)
    client.send_json({"type": "publish", "topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "whoami"}})
    return client.recv_event(TOPIC)["data"]["user_id"]


def authenticated(broker, **how):
    """Whether such a connection is let in without an auth message; a refusal must be one of the documented ones."""
    try:
        client = WsClient(broker.address, **how)
    except Refused as refused:
        check(refused.response.status in (401, 403), f"refused with {refused.response!r}")
        return False
    with client:
        client.send_json({"type": "ping"})
        try:
            return client.recv_json()["type"] == "pong"
        except Closed as closed:
            check(closed.code in (4401, 4403), f"closed with {closed.code}")
            return False


def refused_plain(broker, status, code, **how):
    """Fails unless the upgrade of a plain client is refused with this status and code."""
    with raises(Refused, "the upgrade") as caught:
        WsClient(broker.address, **how).close()
    check(caught, "the upgrade was accepted")
    answer = caught[0].response
    equal(answer.status, status, f"status of {answer!r}")
    equal(answer.json()["code"], code, "code")


def refused_v1(broker, code, protocols=None, **how):
    """Fails unless a v1 client is accepted, told nothing else, and closed with this code."""
    with WsClient(broker.address, protocols=protocols or V1, **how) as client:
        equal(client.protocol, "hookwire.v1", "sub-protocol")
        with raises(Closed) as caught:
            while True:
                message = client.recv_json()
                check(message["type"] == "error", f"before the close came {message!r}")
        equal(caught[0].code, code, "close code")


def wrong_tokens():
    """(name, token, error code)"""
    good = mint("anna")
    head, body, sign = good.split(".")
    return [
        ("another secret", mint("anna", secret="another-secret-of-32-bytes-or-more!"), "unauthorized"),
        ("no signature", encode_jwt({"sub": "anna", "tenant_id": "acme", "exp": int(time.time()) + 99}, alg="none"), "unauthorized"),
        ("another algorithm", mint("anna", alg="HS512"), "unauthorized"),
        ("a changed body", ".".join([head, mint("mallory").split(".")[1], sign]), "unauthorized"),
        ("no JWT", "nonsense", "unauthorized"),
        ("no user", mint(None), "unauthorized"),
        ("no tenant", mint("anna", tenant=None), "unauthorized"),
        ("expired", mint("anna", ttl=-60), "token_expired"),
    ]


# ---- the ways

def test_a_token_by_query_header_and_subprotocol():
    with Broker() as broker:
        tokens = [mint("anna"), mint("ben"), mint("carl")]
        with WsClient(broker.address, token=tokens[0]) as client:
            equal(client.protocol, None, "sub-protocol of a plain client")
            equal(user_of(client), "anna", "by query")
        with WsClient(broker.address, headers={"Authorization": "Bearer " + tokens[1]}) as client:
            equal(user_of(client), "ben", "by Authorization")
        for order in (["hookwire.v1", "token." + tokens[2]], ["token." + tokens[2], "hookwire.v1"]):
            with WsClient(broker.address, protocols=order) as client:
                equal(client.protocol, "hookwire.v1", "the token is never echoed")
                check(tokens[2] not in repr(client.response.headers), "the token is in the answer's head")
                contains(client.recv_json(), {"type": "welcome", "user_id": "carl"}, "welcome")
        log = broker.log()
        for token in tokens:
            check(token not in log and token.split(".")[2] not in log, "a token is in the log")


def test_the_first_present_of_query_and_header_decides():
    with Broker() as broker:
        good, bad = mint("anna"), mint("ben", secret="another-secret-of-32-bytes-or-more!")
        refused_plain(broker, 401, "unauthorized", token=bad, headers={"Authorization": "Bearer " + good})
        with WsClient(broker.address, token=good, headers={"Authorization": "Bearer " + bad}) as client:
            equal(user_of(client), "anna", "the query's")


def test_identity_never_comes_from_another_header():
    headers = {"X-User-Id": "root", "X-Tenant-Id": "other", "X-Forwarded-User": "root", "From": "root"}
    with Broker() as broker, WsClient(broker.address, token=mint("anna"), headers=headers, protocols=V1) as client:
        contains(client.recv_json(), {"type": "welcome", "user_id": "anna", "tenant_id": "acme"}, "welcome")


def test_a_query_token_is_not_read_when_switched_off():
    with Broker({"auth": {"query": False, "first_message": False}}) as broker:
        check(not authenticated(broker, token=mint("anna")), "a token by query counts though auth.query is false")
        check(authenticated(broker, headers={"Authorization": "Bearer " + mint("anna")}), "a header's token is refused")


def test_without_first_message_a_token_is_needed_at_the_upgrade():
    with Broker({"auth": {"first_message": False}}) as broker:
        refused_plain(broker, 401, "unauthorized")
        refused_v1(broker, 4401)


def test_a_cookie_counts_with_a_verbatim_origin():
    with Broker(COOKIE) as broker:
        cookie = "theme=dark; hw_session=" + mint("anna") + "; lang=de"
        with WsClient(broker.address, headers={"Origin": PAGE, "Cookie": cookie}) as client:
            equal(user_of(client), "anna", "by cookie")
        with WsClient(broker.address, protocols=V1, headers={"Origin": PAGE, "Cookie": cookie}) as client:
            contains(client.recv_json(), {"type": "welcome", "user_id": "anna"}, "welcome")
        equal(http(broker.address, "GET", "/cursor", {"Origin": PAGE, "Cookie": cookie}).status, 200, "GET /cursor by cookie")


def test_a_cookie_never_counts_without_a_verbatim_origin():
    with Broker(COOKIE) as broker:
        cookie = ("Cookie", "hw_session=" + mint("anna"))
        check(authenticated(broker, headers=[("Origin", PAGE), cookie]), "the control: with the origin it counts")
        for origin in (None, "null", "*", "https://evil.example.com", "http://app.example.com", PAGE + ":444", PAGE + "/",
                       "https://APP.example.com", "https://app.example.com.evil.org", "https://xapp.example.com", ""):
            headers = [cookie] if origin is None else [("Origin", origin), cookie]
            check(not authenticated(broker, headers=headers), f"a cookie counts with Origin {origin!r}")
            check(not authenticated(broker, headers=headers, protocols=V1), f"a cookie counts with Origin {origin!r}, v1")
            equal(http(broker.address, "GET", "/cursor", headers).status in (401, 403), True, f"GET /cursor, Origin {origin!r}")
        check(not authenticated(broker, headers=[("Origin", PAGE), ("Cookie", "xhw_session=" + mint("anna"))]), "another name")


def test_a_cookie_never_authenticates_a_post():
    with Broker(COOKIE) as broker:
        headers = {"Origin": PAGE, "Cookie": "hw_session=" + mint("anna")}
        body = {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "e1"}}
        answer = http(broker.address, "POST", "/publish", headers, body)
        equal(answer.status, 401, f"POST by cookie: {answer!r}")
        equal(http(broker.address, "POST", "/publish", {"Origin": PAGE}, body, mint("anna")).status, 200, "the control")


def test_a_page_of_another_origin_is_refused():
    with Broker({"auth": {"origins": [PAGE]}}) as broker:
        check(authenticated(broker, token=mint("anna"), headers={"Origin": PAGE}), "the listed page")
        check(authenticated(broker, token=mint("anna")), "no browser: no Origin")
        with raises(Refused) as caught:
            WsClient(broker.address, token=mint("anna"), headers={"Origin": "https://evil.example.com"}).close()
        check(caught, "another page is let in")
        equal(caught[0].response.status, 403, "status for another page")
        refused_v1(broker, 4403, token=mint("anna"), headers={"Origin": "https://evil.example.com"})


# ---- the first message

def test_a_token_by_first_message():
    with Broker() as broker:
        with WsClient(broker.address, query={"topics": TOPIC}) as client:
            check(client.stream.quiet(0.2), "something comes before authentication")
            client.send_json({"type": "auth", "token": mint("anna"), "id": "a1"})
            reply = client.recv_json()
            contains(reply, {"type": "reply", "id": "a1", "ok": True, "topic": ""}, "reply")
            check("expires_at" in reply, "the reply says when it expires")
            equal(broker.publish(TOPIC).status, 200, "publish")
            equal(client.recv_json()["topic"], TOPIC, "the query's topic is subscribed, and a plain client gets no welcome")
        with WsClient(broker.address, protocols=V1, query={"topics": "gift-list:1,secret:1"}) as client:
            client.send_json({"type": "auth", "token": mint("anna"), "id": 2})
            contains(client.recv_json(), {"type": "reply", "id": 2, "ok": True}, "the reply comes first")
            contains(client.recv_json(), {"type": "welcome", "user_id": "anna"}, "then welcome")
            error = client.recv_json()
            contains(error, {"type": "error", "code": "forbidden_topic"}, "then the query's topics")
            contains(error["message"], "secret:1", "message")


def test_without_an_id_the_first_message_is_not_answered():
    with Broker() as broker, WsClient(broker.address) as client:
        client.send_json({"type": "auth", "token": mint("anna")})
        client.send_json({"type": "ping"})
        equal(client.recv_json(), {"type": "pong", "topic": ""}, "the first thing that comes")


def test_another_message_first_is_4401():
    with Broker() as broker:
        for first in ({"type": "ping"}, {"type": "subscribe", "topics": [TOPIC], "id": 1}, {"type": "nonsense"},
                      [{"type": "ping"}], {"no": "type"}):
            for protocols in (None, V1):
                with WsClient(broker.address, protocols=protocols) as client:
                    client.send_json(first)
                    client.expect_close(4401)
        with WsClient(broker.address) as client:
            client.send_text("no JSON")
            client.expect_close(4401)


def test_a_wrong_first_message_token_is_4401():
    with Broker() as broker:
        for name, token, _ in wrong_tokens() + [("a number", 5, ""), ("none", None, ""), ("empty", "", "")]:
            for protocols in (None, V1):
                with WsClient(broker.address, protocols=protocols) as client:
                    client.send_json({"type": "auth", "token": token})
                    try:
                        client.expect_close(4401)
                    except AssertionError as error:
                        raise Failure(f"{name}, {protocols}: {error}") from None


def test_no_message_in_time_is_4408():
    with Broker({"auth": {"timeout_ms": 300}}) as broker:
        for protocols in (None, V1):
            started = time.monotonic()
            with WsClient(broker.address, protocols=protocols) as client:
                client.expect_close(4408, 5)
            check(time.monotonic() - started > 0.25, "closed before auth.timeout_ms")
        # control frames and half a message do not stretch it
        with WsClient(broker.address) as client:
            client.send_frame(TEXT, '{"type":', fin=False)
            started = time.monotonic()
            with raises(Closed) as caught:
                while time.monotonic() - started < 3:
                    try:
                        client.send_frame(PONG)
                        client.recv(0.1)
                    except TimeoutError:
                        pass
                    except OSError:
                        client.recv(1)
            equal(caught and caught[0].code, 4408, "a client that only sends control frames")
        with WsClient(broker.address, token=mint("anna")) as client:
            time.sleep(scaled(0.5))
            client.send_json({"type": "ping"})
            equal(client.recv_json()["type"], "pong", "an authenticated client is not bound by it")


# ---- wrong tokens

def test_wrong_tokens_plain_401_and_v1_4401():
    with Broker() as broker:
        for name, token, code in wrong_tokens():
            for how in ({"token": token}, {"headers": {"Authorization": "Bearer " + token}}):
                try:
                    refused_plain(broker, 401, code, **how)
                    refused_v1(broker, 4401, **how)
                except (Failure, IndexError, Refused, TimeoutError) as error:
                    raise Failure(f"{name} by {list(how)[0]}: {error}") from None
            refused_v1(broker, 4401, protocols=["hookwire.v1", "token." + token])


def test_a_tenant_that_is_not_served_is_403_and_4403():
    with Broker({"tenants": {"*": None, "acme": {"hooks": [{"name": "open", "lua": "open.lua"}]}}}) as broker:
        check(authenticated(broker, token=mint("anna", "acme")), "the tenant that is listed")
        with raises(Refused) as caught:
            WsClient(broker.address, token=mint("anna", "other")).close()
        equal(caught and caught[0].response.status, 403, "status for a tenant that is not listed")
        refused_v1(broker, 4403, token=mint("anna", "other"))


# ---- refresh and expiry

ADMISSION = """
return policy {
  api = 1,
  authorize = {
    session = function(s) if s.claims.banned then return deny("forbidden_topic", "not today") end return allow() end,
    subscribe = function() return allow() end,
  },
}
"""


def test_who_may_be_no_session_is_told_at_the_upgrade_and_v1_by_4403():
    with Broker({"tenants": {"*": {"hooks": [{"name": "door", "lua": "door.lua"}]}}}, files={"door.lua": ADMISSION}) as broker:
        banned = mint("u1", banned=True)
        with raises(Refused, "the upgrade") as caught:
            WsClient(broker.address, token=banned)
        equal(caught[0].response.status, 403, "status")
        contains(caught[0].response.json(), {"code": "forbidden_topic", "message": "not today"}, "body")
        with WsClient(broker.address, token=banned, protocols=["hookwire.v1"]) as client:
            client.expect_close(4403)
        with WsClient(broker.address) as client:
            client.send_json({"type": "auth", "token": banned})
            client.expect_close(4403)


def test_a_token_is_asked_about_once():
    with Broker() as broker:
        for count, protocols in ((1, []), (2, ["hookwire.v1"])):
            with WsClient(broker.address, token=mint("u1"), protocols=protocols) as client:
                client.subscribe("a:1")
                equal(broker.metric("hookwire_hook_calls_total", hook="jwt", stage="authenticate"), count, "questions")


def test_expiry_closes_with_4401():
    with Broker() as broker:
        with WsClient(broker.address, token=mint("anna", ttl=2)) as plain, \
                WsClient(broker.address, token=mint("anna", ttl=2), protocols=V1) as v1, \
                WsClient(broker.address, token=mint("anna")) as other:
            plain.subscribe(TOPIC)
            plain.expect_close(4401, 5)
            v1.expect_close(4401, 5)
            other.send_json({"type": "ping"})
            equal(other.recv_json()["type"], "pong", "a session whose token lives")
        refused_plain(broker, 401, "token_expired", token=mint("anna", ttl=-1))


def test_a_refresh_of_the_same_user_extends():
    with Broker() as broker:
        with WsClient(broker.address, token=mint("anna", ttl=2)) as refreshed, \
                WsClient(broker.address, token=mint("anna", ttl=2)) as silent, \
                WsClient(broker.address, token=mint("anna", ttl=2)) as control:
            refreshed.subscribe(TOPIC)
            reply = refreshed.request({"type": "auth", "token": mint("anna")})
            contains(reply, {"type": "reply", "ok": True, "topic": ""}, "reply")
            check("expires_at" in reply, "the reply says when it expires")
            silent.send_json({"type": "auth", "token": mint("anna")})
            control.expect_close(4401, 5)
            time.sleep(scaled(1.2))
            broker.publish(TOPIC)
            equal(refreshed.recv_json()["topic"], TOPIC, "still subscribed after the first token's end")
            silent.send_json({"type": "ping"})
            equal(silent.recv_json()["type"], "pong", "refreshed without an id")


def test_a_refresh_may_also_shorten():
    with Broker() as broker, WsClient(broker.address, token=mint("anna")) as client:
        client.request({"type": "auth", "token": mint("anna", ttl=2)})
        client.expect_close(4401, 5)


def test_a_refresh_for_another_user_or_tenant_is_4403():
    with Broker() as broker:
        for other in (mint("ben"), mint("anna", "other")):
            for protocols in (None, V1):
                with WsClient(broker.address, token=mint("anna"), protocols=protocols) as client:
                    client.send_json({"type": "auth", "token": other})
                    client.expect_close(4403)


def test_a_refused_refresh_is_4401():
    with Broker() as broker:
        for name, token, _ in wrong_tokens():
            with WsClient(broker.address, token=mint("anna")) as client:
                client.send_json({"type": "auth", "token": token, "id": "x"})
                try:
                    client.expect_close(4401)
                except AssertionError as error:
                    raise Failure(f"{name}: {error}") from None


def test_changed_claims_authorize_every_subscription_again():
    config = {"tenants": {"*": {"hooks": [{"name": "roles", "lua": "roles.lua"}]}}}
    with Broker(config, files={"roles.lua": ROLES}) as broker:
        with WsClient(broker.address, token=mint("anna", role="parent"), protocols=V1) as client:
            client.subscribe("gift-list:1", "open:1")
            client.request({"type": "auth", "token": mint("anna", role="parent", extra=1)})
            broker.publish("gift-list:1")
            client.recv_event("gift-list:1")
            client.send_json({"type": "auth", "token": mint("anna", role="guest")})
            contains(client.recv_where({"type": "unsubscribed"}), {"topics": ["gift-list:1"], "code": "forbidden_topic"}, "revoked")
            broker.publish("gift-list:1")
            broker.publish("open:1")
            equal(client.recv_json()["topic"], "open:1", "what still comes")
            contains(client.request({"type": "subscribe", "topics": ["gift-list:1"]})["topics"]["gift-list:1"],
                     {"ok": False, "code": "forbidden_topic"}, "a new attempt")


main()
