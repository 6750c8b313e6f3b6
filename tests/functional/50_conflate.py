#!/usr/bin/python3
# What a slow client need not have: the latest of each entity, payloads joined, of what it may see; and nothing is lost to who is cut off.
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

FILLER, SIZE = 200, 60000  # 12 MB: more than the sockets' buffers hold
CONFIG = {"limits": {"message_bytes": 65536}, "slow": {"outbox_bytes": 16384, "deadline_ms": 60000},
          "tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000}}},
          "topics": {"doc:*": {"conflate": "latest"}, "log:*": {"conflate": "append"}}}
TOPICS = ("fill:1", "doc:1", "log:1", "feed:1")
V1 = ["hookwire.v1"]


def publish(broker, items, size=100):
    """(topic, event, entity, payload) each, in order; the ids. A payload of ... is none."""
    ids = []
    with HttpConnection(broker.address) as connection:
        bearer = [("Authorization", "Bearer " + mint("backend"))]
        for first in range(0, len(items), size):
            body = [{"topic": topic, "event": event, "data": {"entity_id": entity, **({} if payload is ... else {"payload": payload})}}
                    for topic, event, entity, payload in items[first:first + size]]
            answer = connection.request("POST", "/publish", bearer, body)
            equal(answer.status, 200, "publish")
            ids += [result["id"] for result in answer.json()["results"]]
    return ids


def fall_behind(broker, n=1):
    """Fills the sockets of the n clients that do not read: what is published from now on waits."""
    publish(broker, [("fill:1", "UPDATED", "e", "x" * SIZE)] * FILLER, 10)
    wait_until(lambda: broker.metric("hookwire_slow_sessions_total") >= n, 10, f"{n} slow sessions")


def ws(broker, user, topics=TOPICS, protocols=None, **claims):
    client = WsClient(broker.address, token=mint(user, **claims), protocols=protocols, receive_buffer=4096)
    client.subscribe(*topics)
    return client


def read(client, last_id, timeout=20.0):
    """The events that are no filler, up to the one of that id. Of the filler none is missing."""
    got, filler = [], 0
    while not got or got[-1]["id"] != last_id:
        event = client.recv_event(timeout=timeout)
        if event["topic"] == "fill:1":
            filler += 1
        else:
            got.append(event)
    equal(filler, FILLER, "filler")
    return got


def number(event):
    return int(event["id"].rsplit("-", 1)[1])


def brief(events):
    return [(e["topic"], e["event"], e["data"]["entity_id"], e["data"].get("payload", ...)) for e in events]


def in_order(events):
    numbers = [number(e) for e in events]
    check(numbers == sorted(set(numbers)), "an order of ids that is none")


def updated(topic, entity, *payloads):
    return [(topic, "UPDATED", entity, payload) for payload in payloads]


STORY = [
    *updated("doc:1", "many", *range(300)),
    ("doc:1", "ADDED", "flash", 1), ("feed:1", "UPDATED", "f", 1), *updated("doc:1", "flash", 2, 3), ("doc:1", "DELETED", "flash", ...),
    ("doc:1", "ADDED", "new", 1), *updated("doc:1", "new", 2, 3, 4),
    *updated("doc:1", "old", 1, 2), ("doc:1", "DELETED", "old", ...), ("feed:1", "UPDATED", "f", 2),
    ("doc:1", "DELETED", "again", ...), ("doc:1", "ADDED", "again", 1),
    *updated("doc:1", "state", 1, 2), ("doc:1", "STATUS_CHANGED", "state", "x"), ("doc:1", "POKED", "many", 0), *updated("doc:1", "state", 3, 4),
    *updated("doc:1", "many", *range(300, 320)), ("feed:1", "UPDATED", "f", 3),
]
TOLD = [
    ("doc:1", "UPDATED", "many", 299), ("feed:1", "UPDATED", "f", 1), ("doc:1", "ADDED", "new", 1), ("doc:1", "UPDATED", "new", 4),
    ("doc:1", "DELETED", "old", ...), ("feed:1", "UPDATED", "f", 2), ("doc:1", "DELETED", "again", ...), ("doc:1", "ADDED", "again", 1),
    ("doc:1", "UPDATED", "state", 2), ("doc:1", "STATUS_CHANGED", "state", "x"), ("doc:1", "POKED", "many", 0), ("doc:1", "UPDATED", "state", 4),
    ("doc:1", "UPDATED", "many", 319), ("feed:1", "UPDATED", "f", 3),
]


def test_a_slow_client_is_told_what_has_become_of_each_entity_and_others_everything():
    with Broker(CONFIG) as broker:
        plain, v1 = ws(broker, "plain"), ws(broker, "v1", protocols=V1)
        sse = SseClient(broker.address, ",".join(TOPICS), token=mint("sse"), receive_buffer=4096)
        sse.begin()
        fall_behind(broker, 3)
        level = WsClient(broker.address, token=mint("level"))
        level.subscribe(*TOPICS)
        ids = publish(broker, STORY)
        equal(brief([level.recv_event() for _ in STORY]), STORY, "what a client has that is level")
        for name, client in (("plain", plain), ("v1", v1), ("sse", sse)):
            got = read(client, ids[-1])
            equal(brief(got), TOLD, f"what the slow one has ({name})")
            in_order(got)
        check(broker.metric("hookwire_events_conflated_total") >= 3 * (len(STORY) - len(TOLD)), "what was left out is counted")
        # nobody claims that what was left out was sent
        flash = STORY.index(("doc:1", "UPDATED", "flash", 2))
        for place, user, outcome in ((flash, "plain", "conflated"), (flash, "level", "sent"), (len(STORY) - 1, "plain", "sent"),
                                     (STORY.index(("doc:1", "POKED", "many", 0)), "plain", "sent")):
            told = http(broker.admin_address, "GET", f"/api/explain?event={ids[place]}&user={user}", token=ADMIN_TOKEN).json()
            equal(told["outcome"], outcome, f"what is explained of {STORY[place]} to {user}")
        # level again, and with it every event
        ids = publish(broker, updated("doc:1", "many", 1, 2, 3))
        for client in (plain, v1, sse, level):
            equal([client.recv_event()["id"] for _ in ids], ids, "and live again")
        # who asks for all has all
        page = http(broker.address, "GET", "/topics/doc:1/history?limit=1000", token=mint("plain")).json()["events"]
        equal(brief(page)[:len(STORY) - 3], [e for e in STORY if e[0] == "doc:1"], "history")
        poll = http(broker.address, "GET", f"/poll?topics=doc:1&wait=0&cursor={page[0]['id']}", token=mint("plain")).json()["events"]
        equal(len(poll), len(page) - 1, "a poll")
        for client in (plain, v1, level):
            client.close()
        sse.close()


def test_without_a_rule_and_for_other_topics_nothing_is_left_out():
    with Broker(merge(CONFIG, {"topics": None})) as broker:
        slow = ws(broker, "slow")
        fall_behind(broker)
        ids = publish(broker, STORY)
        equal(brief(read(slow, ids[-1])), STORY, "events")
        equal(broker.metric("hookwire_events_conflated_total"), 0, "counted")
        slow.close()


def joined(events, entity):
    """The text of one entity's payloads, whatever pieces it comes in."""
    return "".join(e["data"]["payload"] for e in events if e["data"]["entity_id"] == entity)


def test_payloads_are_joined():
    words = [f"word{n} " for n in range(400)]
    with Broker(CONFIG) as broker:
        slow = ws(broker, "slow")
        fall_behind(broker)
        publish(broker, updated("log:1", "a", *words))
        publish(broker, updated("log:1", "list", [1], [], [2, {"a": "\u00e9"}], [[3]]))
        ids = publish(broker, [*updated("log:1", "odd", "x", "y", {"an": "object"}, "z", 7, ...),
                               *updated("log:1", "b", "b1"), *updated("log:1", "c", "c1"), *updated("log:1", "b", "b2"),
                               ("log:1", "ADDED", "b", "b3"), *updated("log:1", "b", "b4", "b5"), ("log:1", "DELETED", "b", ...)])
        got = read(slow, ids[-1])
        in_order(got)
        tokens = [e for e in got if e["data"]["entity_id"] == "a"]
        equal(joined(tokens, "a"), "".join(words), "the text of the tokens")
        check(len(tokens) < 10, f"{len(tokens)} events for {len(words)} that follow each other")
        equal(brief(got)[len(tokens):], [
            *updated("log:1", "list", [1, 2, {"a": "\u00e9"}, [3]]), *updated("log:1", "odd", "xy", {"an": "object"}, "z", 7, ...),
            *updated("log:1", "b", "b1"), *updated("log:1", "c", "c1"), *updated("log:1", "b", "b2"),
            ("log:1", "ADDED", "b", "b3"), *updated("log:1", "b", "b4b5"), ("log:1", "DELETED", "b", ...)], "the rest")
        equal([e for e in got if e["data"].get("payload") == "xy"][0]["id"], ids[1], "the id is the last one's")
        slow.close()


SIGHT = """return policy { api = 1,
    authorize = { subscribe = function() return allow() end, publish = function() return allow() end },
    reads = { filter = { 'claims.level' }, redact = { 'claims.level' } },
    filter = function(event, audience)
        return event.topic == 'fill:1' or tonumber(audience.claims.level) >= (tonumber(event.data.level) or 0)
    end,
    redact = function(event, audience)
        if event.topic == 'log:1' and audience.claims.level == '1' then event.data.payload = event.data.payload:gsub('secret', '***') end
        if event.topic == 'doc:1' and audience.claims.level == '1' then event.data.payload.price = nil end
        return event
    end }"""


def test_only_what_the_session_may_see_counts():
    config = merge(CONFIG, {"tenants": {"*": {"hooks": [{"name": "sight", "lua": "sight.lua"}]}}})
    with Broker(config, files={"sight.lua": SIGHT}) as broker:
        guest, boss = (ws(broker, user, protocols=V1, level=level) for user, level in (("guest", "1"), ("boss", "2")))
        fall_behind(broker, 2)
        body = []
        for n in range(100):  # every third is not for guests, the last one too
            body.append({"topic": "doc:1", "event": "UPDATED", "data": {"entity_id": "d", "level": 2 if n % 3 == 0 else 1, "payload": {"n": n, "price": n}}})
        for n in range(30):
            body.append({"topic": "log:1", "event": "UPDATED", "data": {"entity_id": "l", "level": 2 if n % 3 == 0 else 1, "payload": f"{n} secret, "}})
        body.append({"topic": "doc:1", "event": "UPDATED", "data": {"entity_id": "end", "level": 0, "payload": {}}})
        answer = http(broker.address, "POST", "/publish", None, body, mint("backend", level="2"))
        equal(answer.status, 200, "publish")
        ids = [result["id"] for result in answer.json()["results"]]
        got = {name: read(client, ids[-1]) for name, client in (("guest", guest), ("boss", boss))}
        docs = {name: [(e["id"], e["data"]["payload"]) for e in events if e["data"]["entity_id"] == "d"] for name, events in got.items()}
        # a turn's hooks may be spent before it has looked at all of them
        check(len(docs["boss"]) < 50 and len(docs["guest"]) < 33, f"{len(docs['boss'])} and {len(docs['guest'])} events of 100 and 66")
        equal(docs["boss"][-1], (ids[99], {"n": 99, "price": 99}), "the latest")
        equal(docs["guest"][-1], (ids[98], {"n": 98}), "the latest that a guest may see, and as a guest sees it")
        equal(joined(got["boss"], "l"), "".join(f"{n} secret, " for n in range(30)), "joined")
        equal(joined(got["guest"], "l"), "".join(f"{n} ***, " for n in range(30) if n % 3), "joined, as a guest sees it")
        for name, events in got.items():
            in_order(events)
        guest.close()
        boss.close()


class Book:
    """What a client knows from what it was sent."""

    def __init__(self):
        self.docs, self.logs, self.feed = {}, {}, []

    def learn(self, event):
        entity, payload = event["data"]["entity_id"], event["data"].get("payload")
        if event["topic"] == "feed:1":
            self.feed.append(payload)
        elif event["topic"] == "log:1":
            self.logs[entity] = self.logs.get(entity, "") + payload
        elif event["event"] == "DELETED":
            self.docs.pop(entity, None)
        elif event["event"] in ("ADDED", "UPDATED"):
            self.docs[entity] = payload

    def all(self):
        return (self.docs, self.logs, self.feed)


KNOWN = {"many": 319, "new": 4, "again": 1, "state": 4}  # from the story


def long_story():
    """Of everything, for long enough that a client can be cut off in many places."""
    story = []
    for n in range(600):
        entity = f"d{n % 40}"
        story.append(("doc:1", "ADDED" if n < 40 else "UPDATED", entity, n))
        if n % 3 == 0:
            story += [("doc:1", "ADDED", f"t{n}", n), ("doc:1", "UPDATED", f"t{n}", n + 1)]
        if n % 3 == 2:
            story.append(("doc:1", "DELETED", f"t{n - 2}", ...))
        story.append(("log:1", "UPDATED", f"l{n // 20 % 3}", f"{n} "))
        if n % 25 == 0:
            story.append(("feed:1", "UPDATED", "f", n))
    return story


def test_who_is_cut_off_and_comes_back_with_the_last_id_lacks_nothing():
    story, whole = long_story(), Book()
    for topic, event, entity, payload in story:
        whole.learn({"topic": topic, "event": event, "data": {"entity_id": entity, "payload": payload}})
    with Broker(CONFIG) as broker:
        clients = [ws(broker, f"u{n}") for n in range(6)]
        fall_behind(broker, len(clients))
        ids = publish(broker, story)
        place = {id_: n for n, id_ in enumerate(ids)}
        n_left_out = 0
        for n, client in enumerate(clients):
            book, last, n_got = Book(), None, 0
            while n_got < 1 + 20 * n:  # events of the story, then the line is cut
                event = client.recv_event(timeout=20)
                last = event["id"]
                if event["topic"] != "fill:1":
                    book.learn(event)
                    n_got += 1
            client.abort()
            n_left_out += place[last] + 1 - n_got
            # again with that id: from there on it is sent every event
            query = {"topics": ",".join(TOPICS), "cursor": last}
            with WsClient(broker.address, token=mint(f"u{n}"), query=query) as again:
                rest = [again.recv_event() for _ in ids[place[last] + 1:]]
                equal([e["id"] for e in rest], ids[place[last] + 1:], "what a cursor brings back")
                for event in rest:
                    book.learn(event)
                check(book.all() == whole.all(), f"cut off behind {n_got} events it knows something else")
        check(n_left_out > 50, f"only {n_left_out} were left out before the cuts")


def test_a_reload_turns_it_on_and_off():
    with Broker(merge(CONFIG, {"topics": None})) as broker:
        first, second = ws(broker, "first"), ws(broker, "second")
        fall_behind(broker, 2)
        ids = publish(broker, STORY)

        def reload(change):
            mark = broker.log_mark()
            broker.write_config(merge(broker.config, change))
            broker.sighup()
            broker.wait_log(r"reloaded generation", since=mark)
        reload({"topics": CONFIG["topics"]})
        ids += publish(broker, STORY)  # of another topic class from here on
        told = read(first, ids[-1])
        check(len(told) < 2 * len(TOLD) + 10, f"{len(told)} of {len(ids)} events are sent")
        book = Book()
        for event in told:
            book.learn(event)
        equal((book.docs, book.feed), (KNOWN, [1, 2, 3, 1, 2, 3]), "what it knows then")
        reload({"topics": None})
        equal(brief(read(second, ids[-1])), STORY + STORY, "turned off")
        first.close()
        second.close()


def test_what_memory_has_dropped_comes_from_the_store_and_is_conflated_too():
    with temporary_directory() as directory:
        config = merge(CONFIG, {"journal": {"plugin": "sqlite", "config": {"path": str(directory / "hookwire.db")},
                                            "retention": {"count": 100000}, "memory": {"count": 40, "bytes": 65536}}})
        with Broker(config) as broker:
            slow = ws(broker, "slow")
            fall_behind(broker)
            publish(broker, STORY)
            ids = publish(broker, [*updated("log:1", "l", *(f"{n} " for n in range(300))), ("feed:1", "UPDATED", "f", 4)])
            got = read(slow, ids[-1])
            equal(joined(got, "l"), "".join(f"{n} " for n in range(300)), "joined")
            check(len(got) < 60, f"{len(got)} events")
            in_order(got)
            book = Book()
            for event in got:
                book.learn(event)
            equal((book.docs, book.feed), (KNOWN, [1, 2, 3, 4]), "what it knows then")
            slow.close()


def test_an_entry_that_says_nothing_of_history_is_kept_with_the_rest():
    config = merge(CONFIG, {"topics": {"doc:*": {"retention": {"count": 10, "bytes": 65536}}, "doc:1": {"conflate": "latest"}}})
    with Broker(config) as broker:
        for topic in ("doc:1", "doc:2"):
            publish(broker, updated(topic, "e", *range(900)))
        kept = [len(http(broker.address, "GET", f"/topics/{topic}/history?limit=1000", token=mint("u")).json()["events"])
                for topic in ("doc:1", "doc:2")]
        equal(kept[0], 900, "of the exact entry, which wins")
        check(kept[1] < 900, "of the pattern around it nothing was dropped: the test is too small")


main()
