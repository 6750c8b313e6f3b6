#!/usr/bin/python3
# How often one may connect, ask, subscribe and publish: per address (behind proxies too), user and tenant, over all workers, across reloads.
# The rates are so low that no token comes back while a test runs: what gets through is the burst, exactly.
# ctest: timeout=120
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
ONE, TWO, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.9"
WORKERS = (1, 4)
NEVER = 0.001  # tokens a second
EVENT = {"topic": "a:1", "event": "ADDED", "data": {"entity_id": "e1", "payload": {}}}
JWT = base_config()["hooks"][0]


def limit(per, burst):
    return {"per": per, "rate": NEVER, "burst": burst}


def entry(name="ratelimit", **settings):
    return {"name": name, "plugin": "ratelimit", "config": settings}


def in_front(**settings):
    """The global hooks with this limit before the token is looked at."""
    return [entry("door", **settings), JWT]


def tenants(*entries):
    return {"*": {"hooks": [*entries, {"name": "open", "lua": "open.lua"}]}}


def post(address, user="u1", tenant="acme", headers=None, source=None, body=EVENT):
    return http(address, "POST", "/publish", headers, body, mint(user, tenant), source=source)


def count(n, attempt):
    """How many of n attempts get through, each tried to its end."""
    return sum(attempt(i) for i in range(n))


def published(address, n, users=("u1",), **how):
    def attempt(i):
        answer = post(address, users[i % len(users)], **how)
        if answer.status == 200:
            return True
        expect_limited(answer)
        return False
    return count(n, attempt)


def expect_limited(answer, most_ms=1 / NEVER * 1000):
    equal(answer.status, 429, f"the status of one too many: {answer.body}")
    body = answer.json()
    equal((body["code"], body["retryable"]), ("rate_limited", True), "the code of one too many")
    check(1 <= body["retry_after_ms"] <= most_ms, f"retry_after_ms: {body}")
    equal(int(answer.header("Retry-After")), (body["retry_after_ms"] + 999) // 1000, "Retry-After")


def connected(address, n, source=None, headers=None, v1=False):
    def attempt(i):
        try:
            with WsClient(address, token=mint("u1"), protocols=V1 if v1 else None, source=source, headers=headers) as client:
                if not v1:
                    return True
                try:
                    client.recv_where({"type": "welcome"})
                    return True
                except Closed as closed:
                    equal(closed.code, 4429, f"the close code of one too many ({closed.reason})")
                    return False
        except Refused as refused:
            expect_limited(refused.response)
            return False
    return count(n, attempt)


# ---- behind proxies

def expect_buckets_of_their_own(front):
    equal(connected(front, 5, ONE), 3, "connections of the first client")
    equal(connected(front, 5, ONE, {"X-Forwarded-For": STRANGER}), 0, "those with a header of its own making")
    equal(connected(front, 5, TWO, v1=True), 3, "connections of the second client")
    equal(published(front, 5, source=ONE), 2, "requests of the first client")
    equal(published(front, 5, source=TWO), 2, "requests of the second client")


def test_clients_behind_a_trusted_proxy_have_buckets_of_their_own():
    hooks = in_front(connect=limit("address", 3), request=limit("address", 2))
    for workers in WORKERS:
        with Broker({"workers": workers, "hooks": hooks, "trusted_proxies": ["127.0.0.1"],
                     "listen": [{"address": "127.0.0.1:0", "proxy_protocol": True}]}) as broker:
            with Proxy("haproxy", broker.address, forward="proxy2") as haproxy:
                expect_buckets_of_their_own(haproxy.address)
        for kind in ("nginx", "haproxy"):
            with Broker({"workers": workers, "hooks": hooks, "trusted_proxies": ["127.0.0.1"]}) as broker:
                with Proxy(kind, broker.address, forward="header") as front:
                    expect_buckets_of_their_own(front.address)


def test_an_untrusted_peer_is_limited_by_its_own_address():
    hooks = in_front(connect=limit("address", 3), request=limit("address", 2))
    for workers in WORKERS:
        with Broker({"workers": workers, "hooks": hooks, "trusted_proxies": ["127.0.0.1"]}) as broker:
            equal(count(6, lambda i: connected(broker.address, 1, STRANGER, {"X-Forwarded-For": f"127.0.1.{i}"})), 3,
                  "connections, each with another X-Forwarded-For")
            equal(count(6, lambda i: published(broker.address, 1, source=STRANGER, headers={"X-Forwarded-For": f"127.0.1.{i}"})), 2,
                  "requests, each with another X-Forwarded-For")


# ---- who is counted

def test_guessed_tokens_count_where_the_entry_is_in_front():
    for workers in WORKERS:
        with Broker({"workers": workers, "hooks": in_front(request=limit("address", 4))}) as broker:
            statuses = [http(broker.address, "POST", "/publish", None, EVENT, "guess").status for _ in range(6)]
            equal(statuses, [401] * 4 + [429] * 2, "guesses")
            equal(post(broker.address).status, 429, "a good token from there")
            equal(post(broker.address, source=TWO).status, 200, "a good token from elsewhere")


def test_a_limit_per_user_in_front_lets_nobody_in_and_says_why():
    with Broker({"hooks": in_front(connect=limit("user", 5))}) as broker:
        try:
            WsClient(broker.address, token=mint("u1")).close()
            raise Failure("somebody got in")
        except Refused as refused:
            equal(refused.response.status, 503, "the upgrade")
        broker.wait_log(r"put this entry behind it")
    with Broker({"hooks": [JWT, entry(connect=limit("user", 2))]}) as broker:
        equal(connected(broker.address, 4), 2, "behind the entry that says who it is")
    with Broker({"hooks": [JWT, entry(publish=limit("tenant", 3))]}) as broker:
        equal([published(broker.address, 5, ["u1", "u2"], tenant=t) for t in ("acme", "beta")], [3, 3], "a guard's limit of each tenant")


def test_a_limit_is_the_broker_s_however_many_workers_it_has():
    for workers in WORKERS:
        with Broker({"workers": workers, "tenants": tenants(entry(publish=[limit("user", 20), limit("tenant", 50)]))}) as broker:
            equal(published(broker.address, 40), 20, f"of one user, with {workers} workers")
            # the other users have what the tenant has left, in one bucket
            equal(published(broker.address, 60, [f"v{i}" for i in range(6)]), 30, f"of the tenant, with {workers} workers")
            equal(published(broker.address, 25, tenant="beta"), 20, "of another tenant")
            if workers > 1:
                clients = [WsClient(broker.address, token=mint("w1", "gamma"), protocols=V1) for _ in range(16)]
                rows = http(broker.admin_address, "GET", "/api/sessions?tenant=gamma", token=ADMIN_TOKEN).json()["sessions"]
                check(len({row["worker"] for row in rows}) > 1, "all sixteen are on one worker: the test shows nothing")
                answers = [client.request({"type": "publish", **EVENT, "id": f"{i}"}) for client in clients for i in range(2)]
                equal(sum(answer["type"] == "ack" for answer in answers), 20, "of one user's sessions on several workers")
                for client in clients:
                    client.close()


def test_what_clients_hear():
    with Broker({"tenants": tenants(entry(publish=limit("user", 2), subscribe=limit("user", 2)))}) as broker:
        with WsClient(broker.address, token=mint("u1"), protocols=V1) as client:
            topics = client.request({"type": "subscribe", "topics": ["a:1", "a:2", "a:3"], "id": "1"})["topics"]
            equal({t: r.get("code") for t, r in topics.items()}, {"a:1": None, "a:2": None, "a:3": "rate_limited"}, "subscribing")
            client.send_json({"type": "subscribe", "topics": ["a:4"]})
            error = client.recv_where({"type": "error"})
            equal((error["code"], error["retryable"]), ("rate_limited", True), "subscribing without an id")
            check(error["message"].startswith("a:4: this user subscribes more often"), error["message"])
            check(error["retry_after_ms"] > 0, f"when to try again: {error}")
            answers = [client.request({"type": "publish", **EVENT, "id": str(i)}) for i in range(3)]
            equal([a["type"] for a in answers], ["ack", "ack", "error"], "publishing")
            equal(answers[2]["code"], "rate_limited", "the code")
            check(answers[2]["retry_after_ms"] > 0, f"when to try again: {answers[2]}")
        mixed = post(broker.address, "u2", body=[EVENT] * 3)
        equal(mixed.status, 207, "an array of which one is too many")
        equal([r.get("code") for r in mixed.json()["results"]], [None, None, "rate_limited"], "its results")


def test_tokens_come_back():
    with Broker({"tenants": tenants(entry(publish={"per": "user", "rate": 5, "burst": 1}))}) as broker:
        equal(post(broker.address).status, 200, "the first")
        answer = post(broker.address)
        if answer.status != 200:  # on a slow machine the token may be back
            expect_limited(answer, 200)
        wait_until(lambda: post(broker.address).status == 200, 5, "a token to come back")


# ---- reload

def test_a_reload_gives_nobody_a_fresh_bucket():
    for workers in WORKERS:
        with Broker({"workers": workers, "tenants": tenants(entry(publish=limit("user", 10)))}) as broker:
            equal(published(broker.address, 15), 10, "before")
            equal(published(broker.address, 4, ["u2"]), 4, "of another user, before")
            for generation in range(2, 6):
                change = entry(publish=limit("user", 10), buckets=1024 * generation)
                broker.write_config({**broker.config, "tenants": tenants(change)})
                broker.sighup()
                broker.wait_log(rf"reload: reloaded generation={generation}$")
                equal(published(broker.address, 3 * workers), 0, f"after reload {generation}, of who had none")
            equal(published(broker.address, 10, ["u2"]), 6, "after all reloads, of the other user")


def test_looking_again_costs_nothing_and_takes_nothing_away():
    with Broker({"workers": 2, "reauth_ms": 0, "tenants": tenants(entry(subscribe=limit("user", 3)))}) as broker:
        with WsClient(broker.address, token=mint("u1"), protocols=V1) as client:
            equal(client.subscribe("a:1", "a:2", "a:3")["ok"], True, "subscribing")
            dry = http(broker.admin_address, "POST", "/api/reload?dry_run=1", {"Content-Type": "application/json"}, b"{}", ADMIN_TOKEN)
            equal(dry.status, 200, f"a dry run: {dry.body}")
            for generation in (2, 3):
                # another policy: every subscription is authorized again
                broker.write_file("open.lua", OPEN_POLICY + f"\n-- {generation}\n")
                done = broker.metric("hookwire_reauthorizations_total")
                broker.sighup()
                broker.wait_log(rf"reload: reloaded generation={generation}$")
                wait_until(lambda: broker.metric("hookwire_reauthorizations_total") > done, 10, "the session to be authorized again")
            again = http(broker.admin_address, "POST", "/api/reauthorize", {"Content-Type": "application/json"}, {"user": "u1"}, ADMIN_TOKEN)
            equal(again.status, 200, f"reauthorize: {again.body}")
            wait_until(lambda: broker.metric("hookwire_reauthorizations_total") >= 3, 10, "the session to be authorized once more")
            equal(broker.metric("hookwire_revoked_total"), 0, "what was taken away")
            broker.publish("a:3")
            equal(client.recv_event()["topic"], "a:3", "an event afterwards")


# ---- settings

def test_mistakes_are_told_at_their_places():
    with Broker() as broker:
        for settings, words in (
                ({}, "nothing is limited"),
                ({"publish": {"per": "usr", "rate": 1}}, 'must be "address", "user" or "tenant"'),
                ({"publish": [{"per": "user", "rate": "fast"}]}, "must be a number of tokens a second"),
                ({"publishes": {"per": "user", "rate": 1}}, '"publishes" is no setting')):
            path = broker.write_file("bad.json", json.dumps({**broker.config, "tenants": tenants(entry(**settings))}))
            done = cli("check", "-c", path)
            said = done.stdout + done.stderr
            equal(done.returncode, 1, f"check of {settings}: {said}")
            check(words in said and "bad.json:1:" in said, f"check of {settings} says: {said}")


main()
