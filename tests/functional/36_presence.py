#!/usr/bin/python3
# ctest: timeout=180 cost=28
# Who is in a topic: asked for and followed, over all workers, however clients come and go; each change once, in one order for everybody.
import os
import pathlib
import random
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

V1 = ["hookwire.v1"]
SEED = int(os.environ.get("HOOKWIRE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
GRACE_MS = 300
POLICY = """
return policy { api = 1, authorize = {
  subscribe = function() return allow() end, publish = function() return allow() end, wildcard = function() return allow() end,
  presence = function(s, topic) if topic.id ~= "secret" then return allow() end end } }
"""


def config(workers=1, grace_ms=GRACE_MS, topics=("room:*", "hall:1"), claims=("name", "avatar"), **more):
    return {"workers": workers, "reauth_ms": 100, "presence": {"topics": list(topics), "claims": list(claims), "grace_ms": grace_ms},
            "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}], "limits": {"connections": 10000}}}, **more}


def broker_of(policy=POLICY, **more):
    return Broker(config(**more), files={"p.lua": policy})


def client_of(broker, *topics, user="anna", tenant="acme", protocols=V1, receive_buffer=None, **claims):
    client = WsClient(broker.address, token=mint(user, tenant, **claims), protocols=protocols, receive_buffer=receive_buffer)
    if protocols:
        client.recv_where({"type": "welcome"})
    else:
        client.ping()
    if topics:
        client.subscribe(*topics)
    return client


def by_user(users):
    equal(len({u["user_id"] for u in users}), len(users), "each user once")
    return {u["user_id"]: (u["connections"], u.get("info")) for u in users}


def asked(client, topic, **more):
    """(who is there, number) as a reply says it."""
    reply = client.request({"type": "presence", "topic": topic, **more})
    check(reply["type"] == "reply" and set(reply["topics"]) == {topic}, f"no reply: {str(reply)[:200]}")
    return by_user(reply["topics"][topic]["users"]), reply["topics"][topic]["number"]


def counts(client, topic):
    return {user: n for user, (n, _) in asked(client, topic)[0].items()}


class Follower:
    """Folds what it is told over the list that it asked for."""

    def __init__(self, client, topic):
        self.client, self.topic = client, topic
        self.said = []  # [(number of the message, kind, user, connections)]
        self.lists = 0
        self.users, self.number = asked(client, topic, follow=True)
        self.first = self.number

    def take(self, message):
        equal(set(message), {"type", "topics", "joined", "left", "updated"}, "members")
        (topic, about), = message["topics"].items()
        equal(topic, self.topic, "topic")
        check(about["number"] > self.number or "users" in about, f"{about['number']} after {self.number}")
        self.number = about["number"]
        if "users" in about:
            self.lists += 1
            self.users = by_user(about["users"])
        for kind in ("joined", "left", "updated"):
            for u in message[kind]:
                user = u["user_id"]
                equal(user in self.users, kind != "joined", f"{user} was there when it {kind}")
                if kind == "left":
                    equal(u["connections"], 0, "connections of who left")
                    del self.users[user]
                else:
                    now = (u["connections"], u.get("info"))
                    check(self.users.get(user) != now, f"{user} is as it was")
                    self.users[user] = now
                self.said.append((kind, user, u["connections"]))

    def until(self, condition, what, timeout=10.0, others=None):
        deadline = time.monotonic() + scaled(timeout)
        while not condition(self):
            left = deadline - time.monotonic()
            try:
                check(left > 0, f"not in time: {what}; said: {str(self.said)[-300:]}")
                message = self.client.recv_where({"type": "presence"}, left)
                (others or {}).get(next(iter(message["topics"])), self).take(message)
            except TimeoutError:
                check(False, f"not in time: {what}; said: {str(self.said)[-300:]}")

    def until_reply(self, id):
        """Takes what comes until the reply, whose list replaces what is known."""
        message = self.client.recv_json(scaled(10))
        while message.get("id") != id:
            self.take(message)
            message = self.client.recv_json(scaled(10))
        about = message["topics"][self.topic]
        check(about["number"] >= self.number, f"a list of {about['number']} after {self.number}")
        if about["number"] == self.number:
            equal(by_user(about["users"]), self.users, "the list")
        self.users, self.number = by_user(about["users"]), about["number"]

    def until_are(self, expected, others=None):
        self.until(lambda me: {u: n for u, (n, _) in me.users.items()} == expected, str(expected)[:300], others=others)


def test_who_is_there_is_listed():
    with broker_of() as broker, client_of(broker, "room:1", name="Anna", avatar={"src": "a.png"}, role="admin") as anna:
        equal(asked(anna, "room:1")[0], {"anna": (1, {"name": "Anna", "avatar": {"src": "a.png"}})}, "alone")
        with client_of(broker, "room:1", "room:*", "hall:1", user="berta") as berta, client_of(broker, "room:1", name="Anna") as again:
            equal(asked(again, "room:1")[0], {"anna": (2, {"name": "Anna"}), "berta": (1, None)}, "the newest connection's claims are shown")
            equal(counts(berta, "hall:1"), {"berta": 1}, "by its whole name")
            equal(counts(berta, "room:2"), {}, "a pattern puts nobody into a topic")
            berta.request({"type": "unsubscribe", "topics": ["hall:1"]})
            wait_until(lambda: counts(anna, "hall:1") == {}, 10, "it to leave")
        wait_until(lambda: counts(anna, "room:1") == {"anna": 1}, 10, "the others to leave")
        with client_of(broker, "room:1", user="anna", tenant="other") as other:
            equal(counts(other, "room:1"), {"anna": 1}, "another tenant's")
            equal(counts(anna, "room:1"), {"anna": 1}, "this tenant's")


def test_who_may_not_and_what_is_not_kept():
    with broker_of() as broker, client_of(broker, "room:secret", "hall:2") as anna:
        equal(anna.request({"type": "presence", "topic": "room:secret"})["code"], "forbidden_topic", "denied")
        equal(anna.request({"type": "presence", "topic": "room:secret", "follow": True})["code"], "forbidden_topic", "denied")
        equal(anna.request({"type": "presence", "topic": "hall:2"})["code"], "bad_request", "not kept")
        equal(anna.request({"type": "presence", "topic": "room:*"})["code"], "bad_request", "a pattern")
        equal(anna.request({"type": "presence", "topic": "room:1", "follow": 1})["code"], "bad_request", "follow")
        with client_of(broker, "room:1", user="plain", protocols=None) as plain:
            equal(plain.request({"type": "presence", "topic": "room:1", "follow": True})["code"], "bad_request", "unasked messages")
            reply = plain.request({"type": "presence", "topic": "room:1"})
            equal((reply["topic"], by_user(reply["topics"]["room:1"]["users"])), ("", {"plain": (1, None)}), "a plain client's reply")
    with Broker({"presence": None}) as broker, client_of(broker, "room:1") as anna:
        equal(anna.request({"type": "presence", "topic": "room:1"})["code"], "forbidden_topic", "a policy that says nothing of it")
    with broker_of(topics=()) as broker, client_of(broker, "room:1") as anna:
        equal(anna.request({"type": "presence", "topic": "room:1"})["code"], "bad_request", "presence is off")
    with broker_of(limits={"topics_per_session": 2}) as broker, client_of(broker) as anna:
        for n in range(2):
            Follower(anna, f"room:{n}")
        equal(anna.request({"type": "presence", "topic": "room:2", "follow": True})["code"], "topic_limit", "the limit")
        asked(anna, "room:1", follow=False)
        Follower(anna, "room:2")


def test_who_follows_is_told():
    with broker_of(workers=2) as broker, client_of(broker, user="watcher") as watcher:
        follower = Follower(watcher, "room:1")
        anna = client_of(broker, "room:1", name="A")
        follower.until_are({"anna": 1})
        equal(follower.users["anna"], (1, {"name": "A"}), "with its claims")
        second = client_of(broker, "room:1", name="A")
        follower.until_are({"anna": 2})
        reply = second.request({"type": "auth", "token": mint("anna", name="A2")})
        check(reply.get("ok"), f"not refreshed: {reply}")
        follower.until(lambda me: me.users["anna"] == (2, {"name": "A2"}), "the new claims")
        second.abort()
        follower.until_are({"anna": 1})
        anna.request({"type": "unsubscribe", "topics": ["room:1"]})
        follower.until_are({})
        equal(follower.said, [("joined", "anna", 1), ("updated", "anna", 2), ("updated", "anna", 2), ("updated", "anna", 1), ("left", "anna", 0)], "all of it")
        asked(watcher, "room:1", follow=False)
        with client_of(broker, "room:1", user="berta"):
            wait_until(lambda: counts(watcher, "room:1") == {"berta": 1}, 10, "berta")
            check(not any(m.get("type") == "presence" for m in watcher.drain()), "told after it stopped to follow")
        anna.close()


def test_a_page_that_is_loaded_again_has_not_been_away():
    with broker_of(workers=2, grace_ms=60000) as broker, client_of(broker, user="asks") as asks, client_of(broker, user="watcher") as watcher:
        follower = Follower(watcher, "room:1")
        for n in range(10):
            client_of(broker, "room:1").abort()
            wait_until(lambda: broker.metric("hookwire_sessions") == 2, 10, "it to be gone")
            equal(counts(asks, "room:1"), {"anna": 1}, "it is in grace")
        with client_of(broker, "room:1"), client_of(broker, "room:1"):
            follower.until_are({"anna": 2})
        equal(follower.said, [("joined", "anna", 1), ("updated", "anna", 2)], "what was told")
        broker.write_config(merge(base_config(), config(workers=2, grace_ms=0)))
        broker.sighup()
        follower.until_are({})  # the shorter period holds at once
        client_of(broker, "room:1").close()
        follower.until(lambda me: me.said[-2:] == [("joined", "anna", 1), ("left", "anna", 0)], "no grace")


def random_case(workers, seed, steps=400):
    rng = random.Random(seed)
    topics = [f"room:{n}" for n in range(3)]
    open_ones, followers = [], []  # [(client, user, set of topics)]
    with broker_of(workers=workers, grace_ms=rng.choice((0, 1, 30))) as broker, client_of(broker, user="asks") as asks:
        stranger = Follower(client_of(broker, user="w", tenant="other"), "room:0")
        early = {topic: [Follower(client_of(broker, user="w"), topic) for _ in range(4)] for topic in topics}
        for step in range(steps):
            what = rng.random()
            if what < 0.35 or not open_ones:
                mine = set(rng.sample(topics, rng.randrange(1, 4)))
                user = f"u{rng.randrange(8)}"
                open_ones.append((client_of(broker, *sorted(mine), user=user, name=f"n{rng.randrange(2)}"), user, mine))
            elif what < 0.65:
                client, _, _ = open_ones.pop(rng.randrange(len(open_ones)))
                rng.choice((client.abort, client.close))()
            elif what < 0.8:
                client, _, mine = rng.choice(open_ones)
                topic = rng.choice(topics)
                client.send_json({"type": "unsubscribe" if topic in mine else "subscribe", "topics": [topic]})
                mine ^= {topic}
            elif what < 0.9:
                client, user, _ = rng.choice(open_ones)
                client.send_json({"type": "auth", "token": mint(user, name=f"n{rng.randrange(2)}")})
            elif len(followers) < 30:
                followers.append(Follower(client_of(broker, user="w"), rng.choice(topics)))
        for client, _, _ in open_ones:
            client.ping()
        for topic in topics:
            expected = {}
            for _, user, mine in open_ones:
                if topic in mine:
                    expected[user] = expected.get(user, 0) + 1
            wait_until(lambda: counts(asks, topic) == expected, 10, f"{topic} to be as the clients are")
            final, number = asked(asks, topic)
            for follower in early[topic] + [f for f in followers if f.topic == topic]:
                follower.until(lambda me: me.users == final, f"the list of {topic}")
                equal(follower.lists, 0, "lists instead of changes")
            one = early[topic][0].said
            check(len(one) > 20, f"only {len(one)} changes")
            for other in early[topic][1:]:
                # the order within one message is by kind: each user's own order is what it says
                for user in {u for _, u, _ in one}:
                    equal([s for s in other.said if s[1] == user], [s for s in one if s[1] == user], f"order in {topic} of {user}")
        for client, _, _ in open_ones:
            client.abort()
        for topic in topics:
            for follower in early[topic]:
                follower.until_are({})
        equal((stranger.client.drain(), stranger.users, counts(stranger.client, "room:0")), ([], {}, {}), "what another tenant is told")


def test_clients_at_random_on_one_worker():
    random_case(1, SEED)


def test_clients_at_random_on_four_workers():
    random_case(4, SEED + 1)
    random_case(4, SEED + 2)


class Place:
    """One who is in room:1, over a WebSocket, a stream of events, or polls; where a user's polls are one session."""

    def __init__(self, broker, kind, user, name):
        self.broker, self.kind, self.user, self.token = broker, kind, user, mint(user, name=name)
        if kind == "ws":
            self.client = client_of(broker, "room:1", user=user, name=name)
        elif kind == "sse":
            self.client = SseClient(broker.address, "room:1", token=self.token).begin()
        else:
            self.poll()

    def poll(self):
        equal(http(self.broker.address, "GET", "/poll?topics=room:1&wait=0", token=self.token).status, 200, "poll")

    def leave(self, rng):
        if self.kind != "poll":
            rng.choice((self.client.abort, self.client.close))()
            return
        gone = http(self.broker.admin_address, "POST", "/api/sessions/disconnect", {"Content-Type": "application/json"}, {"user": self.user, "tenant": "acme"}, ADMIN_TOKEN)
        check(gone.json()["sessions"] >= 1, "on each worker that its polls met it has one")


def at_each_point(workers, grace_ms, seed, steps=40):
    rng = random.Random(seed)
    with broker_of(workers=workers, grace_ms=grace_ms) as broker, client_of(broker, user="watcher") as watcher:
        followers, places = [Follower(watcher, "room:1")], []
        for step in range(steps):
            what = rng.random()
            if what < 0.45 or not places:
                kind = rng.choice(("ws", "ws", "sse", "poll"))
                # who polls is ended by its name: it has no other session
                places.append(Place(broker, kind, f"poll-{step}" if kind == "poll" else f"u{rng.randrange(4)}", f"n{rng.randrange(2)}"))
            elif what < 0.8:
                places.pop(rng.randrange(len(places))).leave(rng)
            elif what < 0.9:
                place = rng.choice(places)
                if place.kind == "ws":
                    check(place.client.request({"type": "auth", "token": mint(place.user, name=f"n{rng.randrange(2)}")})["ok"], "refreshed")
                elif place.kind == "poll":
                    place.poll()  # again, maybe on another worker: it is there once
            else:
                followers.append(Follower(client_of(broker, user="watcher"), "room:1"))
            expected = {}
            for place in places:
                expected[place.user] = expected.get(place.user, 0) + 1
            for follower in followers:
                follower.until_are(expected)
            answer = http(broker.address, "GET", "/topics/room:1/presence", token=mint("asks")).json()["topics"]["room:1"]
            equal({user: n for user, (n, _) in by_user(answer["users"]).items()}, expected, f"step {step}: the list over HTTP")
        for place in places:
            place.leave(rng)
        for follower in followers:
            follower.until_are({})
            equal(follower.lists, 0, "lists instead of changes")


def test_at_each_point_what_was_told_over_the_list_is_who_is_there():
    at_each_point(1, 0, SEED)
    at_each_point(4, 0, SEED + 1)
    at_each_point(4, 30, SEED + 2)


def test_the_list_and_what_changes_meanwhile_are_of_one_piece():
    """Who asks again and again while the topic is in uproar: what comes behind a list is newer than it, and nothing is missing."""
    flap = [{"type": kind, "topics": ["room:1"]} for kind in ("subscribe", "unsubscribe")] * 50
    for workers in (1, 4):
        with broker_of(workers=workers, grace_ms=0) as broker:
            noisy = [client_of(broker, user=f"u{n}") for n in range(6)]
            followers = [Follower(client_of(broker, user="w"), "room:1") for _ in range(6)]
            for turn in range(12):
                for client in noisy:
                    client.send_json(flap)
                for follower in followers:
                    follower.client.send_json({"type": "presence", "topic": "room:1", "follow": True, "id": turn})
                for follower in followers:
                    follower.until_reply(turn)
            for client in noisy:
                client.request({"type": "subscribe", "topics": ["room:1"]})
            for follower in followers:
                follower.until_are({f"u{n}": 1 for n in range(6)})
                check(len(follower.said) > 300, f"only {len(follower.said)} changes")


def test_more_than_a_worker_reads_in_a_turn_is_listed():
    """One message makes more changes than may wait for a worker: who follows gets lists, and ends where the others do."""
    topics = [f"room:{n}" for n in range(100)]
    flap = [{"type": kind, "topics": topics} for kind in ("unsubscribe", "subscribe")] * 25
    with broker_of(grace_ms=0, limits={"message_bytes": 1 << 20}, slow={"outbox_bytes": 1 << 24}) as broker:
        followers = {topic: None for topic in topics}
        with client_of(broker, user="w") as watcher, client_of(broker, *topics) as anna:
            for topic in topics:
                followers[topic] = Follower(watcher, topic)
            anna.send_json(flap)
            anna.ping()
            number = max(asked(anna, topic)[1] for topic in topics)
            check(number > 4096 + len(topics), f"only {number} changes")
            anna.close()
            for follower in followers.values():
                follower.until(lambda me: not me.users and me.number > number, "anna to leave", others=followers)
            check(all(f.lists > 0 for f in followers.values()), "lists")


def reload(broker, new, policy=None):
    mark = broker.log_mark()
    if policy:
        broker.write_file("p.lua", policy)
    broker.write_config(merge(base_config(), new))
    broker.sighup()
    broker.wait_log("reload: reloaded", since=mark)


def test_a_reload_begins_and_ends_it_and_changes_what_is_shown():
    with broker_of(workers=2, topics=["hall:1"], claims=[]) as broker:
        clients = [client_of(broker, "room:1", "hall:1", user=f"u{n % 3}", name=f"N{n % 3}") for n in range(6)]
        asks = client_of(broker, user="asks")
        equal(asked(asks, "hall:1")[0], {f"u{n}": (2, None) for n in range(3)}, "no claims")
        follower = Follower(client_of(broker, user="watcher"), "hall:1")
        reload(broker, config(workers=2, topics=["room:*", "hall:1"], claims=["name"]))
        shown = {f"u{n}": (2, {"name": f"N{n}"}) for n in range(3)}
        wait_until(lambda: asked(asks, "room:1")[0] == shown, 10, "who was there before")
        follower.until(lambda me: me.users == shown, "the claims")
        reload(broker, config(workers=2, topics=["room:*"], claims=["name"]))
        follower.until_are({})
        equal(asks.request({"type": "presence", "topic": "hall:1"})["code"], "bad_request", "not kept any more")
        clients.pop().close()
        reload(broker, config(workers=2, topics=["room:*", "hall:1"]))
        wait_until(lambda: counts(asks, "hall:1") == {"u0": 2, "u1": 2, "u2": 1}, 10, "counted anew")
        for client in clients:
            client.close()
        wait_until(lambda: counts(asks, "hall:1") == counts(asks, "room:1") == {}, 10, "all gone")


def test_what_is_revoked_is_not_followed_any_more():
    with broker_of() as broker, client_of(broker, user="watcher") as watcher:
        one, two = Follower(watcher, "room:1"), Follower(watcher, "room:2")
        denied = POLICY.replace('topic.id ~= "secret"', 'topic.id ~= "1"')
        reload(broker, config(), denied)
        told = watcher.recv_where({"type": "presence"})
        equal(told, {"type": "presence", "topics": {"room:1": {"ok": False, "code": "forbidden_topic"}}, "joined": [], "left": [], "updated": []}, "the end")
        with client_of(broker, "room:1", "room:2"):
            two.until_are({"anna": 1})  # nothing of room:1 comes, which take() would refuse
        equal(one.said, [], "room:1")
        # a session whose tenant goes is not there any more
        reload(broker, {**config(), "tenants": {"*": None, "third": {"hooks": []}}})
        watcher.expect_close(4403)


def test_a_client_that_does_not_read_gets_the_list_when_it_does():
    long = "x" * 900
    topics = [f"room:{n}" for n in range(10)]
    with broker_of(workers=2, grace_ms=0, slow={"outbox_bytes": 4096, "deadline_ms": 600000}) as broker:
        with client_of(broker, user="slow", receive_buffer=4096) as slow, client_of(broker, user="quick") as quick:
            level = Follower(quick, "room:1")
            behind = {topic: Follower(slow, topic) for topic in topics}
            client = client_of(broker)
            rss = broker.rss_bytes()
            for n in range(1500):
                client.send_json({"type": "auth", "token": mint("anna", name=f"{n}{long}")})
                client.send_json({"type": "subscribe" if n % 2 == 0 else "unsubscribe", "topics": topics})
                if n % 100 == 99:
                    client.ping()
                    level.until(lambda me: me.said and me.number >= asked(client, "room:1")[1] - len(topics), "all so far")
            client.subscribe(*topics)
            final, _ = asked(client, "room:1")
            level.until(lambda me: me.users == final, "the last one")
            equal(level.lists, 0, "lists to who reads")
            check(stretched() or broker.rss_bytes() - rss < 8 << 20, "what waits for a client that does not read is not bounded")
            while any(f.users != final for f in behind.values()):
                message = slow.recv_where({"type": "presence"})
                behind[next(iter(message["topics"]))].take(message)
            check(all(f.lists > 0 for f in behind.values()), "it was sent all there was")
            client.close()
            behind["room:1"].until_are({}, others=behind)


def test_a_drain_tells_who_leaves():
    with broker_of(grace_ms=0, drain_ms=60000) as broker:
        first = client_of(broker, user="first")  # is closed at once, the others later
        others = [client_of(broker, "room:1", user=f"u{n}") for n in range(4)]
        watcher = client_of(broker, user="watcher")
        follower = Follower(watcher, "room:1")
        equal(len(follower.users), 4, "there")
        broker.sigterm()
        watcher.recv_where({"type": "goaway"})
        for client in others:
            client.close()
        follower.until_are({})
        for client in (first, watcher):
            client.close()


print(f"HOOKWIRE_TEST_SEED={SEED}")
main()
