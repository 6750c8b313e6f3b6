#!/usr/bin/python3
# What the demo's back ends promise, with a real broker: the same cases for both. GIFT_BACKEND=express asks the one in Express.
# ctest: timeout=180
import argparse
import atexit
import base64
import concurrent.futures
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import sqlite3
import sys
import time

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[4] / "tests/lib"))
from hwtest import *
from hwtest.relay import Relay

BACKEND = os.environ.get("GIFT_BACKEND", "fastapi")
TWIN = {"fastapi": "express", "express": "fastapi"}[BACKEND]
FAMILY = "gift-list:family-123"


def _start_script():
    """`start`, whose processes are those that people have."""
    loader = importlib.machinery.SourceFileLoader("start", str(HERE.parents[1] / "start"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("start", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


start = _start_script()


class _Deaf(Relay):
    """While it is deaf, what the broker answers does not arrive."""
    deaf = False

    def through(self, link, data, answers):
        return b"" if answers and self.deaf else data


class Demo:
    """A broker and a back end, on free ports, with data of their own."""

    def __init__(self):
        os.environ.setdefault("HOOKWIRE_BIN", binary())
        self._rest = contextlib.ExitStack()
        self.data = self._rest.enter_context(temporary_directory())
        options = argparse.Namespace(backend=BACKEND, broker=0, api=0, web=0, broker_url=None, token_ttl=300, data=self.data)
        parts = start.parts_of(options)
        self.broker, self.api = parts["broker"], parts["api"]
        self.broker_address, self.address = (part.url.removeprefix("http://") for part in (self.broker, self.api))
        options.backend, options.api = TWIN, int(self.api.env["GIFT_PORT"])
        twin = start.parts_of(options)["api"]
        self.relay = self._rest.enter_context(_Deaf(self.broker_address))  # between the back end and the broker
        self.api.env["GIFT_BROKER"] = f"http://{self.relay.address}"
        self._env, self._backends, self._sessions = self.api.env, {BACKEND: self.api, TWIN: twin}, {}

    def run(self, backend=BACKEND, **env):
        """Starts what does not run. Another back end, or one with another environment, takes the place of the one that runs, which is killed."""
        if not self.broker.is_running():
            self.broker.start()
        part, env = self._backends[backend], {**self._env, **env}
        if part is not self.api or env != part.env:
            self.api.kill()
        self.api, part.env = part, env
        if not part.is_running():
            part.start()

    def end(self):
        for part in (self.api, self.broker):
            if part.is_running():
                part.kill()
        self._rest.close()

    # ---- as a page

    def ask(self, who, method, path, body=b"", status=None):
        """A request of somebody; fails unless it is answered with this status (any of 200 to 299 if none is given)."""
        answer = http(self.address, method, "/api" + path, body=body, token=self.session(who) if who else None)
        right = answer.status == status if status else 200 <= answer.status < 300
        check(right, f"{who}: {method} {path} {body}: {answer!r}")
        if answer.status >= 400:
            error = answer.json()["error"]
            check(error["code"] and error["message"], f"{answer!r}")
            return error["code"]
        equal(answer.header("Cache-Control"), "no-store", path)
        return answer.json() if answer.body else None

    def session(self, who):
        if who not in self._sessions:
            self._sessions[who] = self.ask(None, "POST", "/login", {"user_id": who})["session"]
        return self._sessions[who]

    def token(self, who):
        return self.ask(who, "GET", "/realtime-token")["token"]

    def gifts(self, who, family="family-123"):
        """The gifts of a family as somebody sees them, by their id."""
        return {gift["id"]: gift for one in self.ask(who, "GET", f"/families/{family}/gifts")["lists"] for gift in one["gifts"]}

    def add(self, who, to="carol-christmas", **more):
        return self.ask(who, "POST", f"/lists/{to}/gifts", {"name": "Kite", **more})

    def edit(self, who, gift, change, status=None):
        return self.ask(who, "PATCH", f"/gifts/{gift['id']}", change, status)

    def follow(self, who, cursor=None):
        """Somebody's live connection, from now on, or from a cursor."""
        client = WsClient(self.broker_address, token=self.token(who), protocols=["hookwire.v1"],
                          query={"topics": FAMILY, **({"cursor": cursor} if cursor else {})})
        client.ping()  # it is subscribed
        return client

    def history(self, who, cursor):
        answer = http(self.broker_address, "GET", f"/topics/{FAMILY}/history?cursor={cursor}&limit=1000", token=self.token(who))
        equal((answer.status, answer.json().get("gap")), (200, False), f"{answer!r}")
        return answer.json()["events"]

    def cursor(self):
        """Behind all that was edited so far."""
        self.wait_published()
        return http(self.broker_address, "GET", "/cursor", token=self.token("bob")).json()["cursor"]

    def wait_published(self):
        wait_until(lambda: not self.outbox(), 10, "an empty outbox")

    def outbox(self, columns="*"):
        with contextlib.closing(sqlite3.connect(self.data / "gift-list.db")) as db:
            return db.execute(f"SELECT {columns} FROM outbox ORDER BY id").fetchall()


_demos = []


def demo():
    """The one of all tests, as it was at first: what a test has killed runs again, and what it did has been told."""
    if not _demos:
        _demos.append(Demo())
        atexit.register(_demos[0].end)
    _demos[0].run()
    _demos[0].wait_published()
    return _demos[0]


def events(client, count):
    return [client.recv_event() for _ in range(count)]


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


# ---- who is it?

def test_people_sign_in():
    gl = demo()
    people = gl.ask(None, "GET", "/people")
    equal({one["id"]: (one["role"], one["family_id"]) for one in people}, {
        "alice": ("parent", "family-123"), "bob": ("parent", "family-123"), "carol": ("child", "family-123"), "gran": ("guest", "family-123"),
        "dave": ("parent", "family-456")}, "people")
    equal({one["family"] for one in people}, {"The Millers", "The Browns"}, "their families")
    answer = gl.ask(None, "POST", "/login", {"user_id": "alice"})
    equal(answer["user"], {"id": "alice", "name": "Alice", "role": "parent", "family_id": "family-123"}, "who signed in")
    equal(gl.ask(None, "POST", "/login", {"user_id": "eve"}, 401), "unauthorized", "a stranger")
    equal(gl.ask("alice", "GET", "/config"), {"broker_url": gl.broker.url}, "where the broker is")


def test_without_a_session_nothing_is_told():
    gl = demo()
    for session in (None, "x", gl.session("alice")[:-3] + "AAA", gl.token("alice")):  # nor does the broker's token count as one
        for method, path in (("GET", "/realtime-token"), ("GET", "/config"), ("GET", "/families/family-123/gifts"), ("PATCH", "/gifts/gift-1"),
                             ("DELETE", "/gifts/gift-1"), ("POST", "/lists/alice-birthday/gifts")):
            answer = http(gl.address, method, "/api" + path, body={"name": "x"} if method in ("PATCH", "POST") else b"", token=session)
            equal((answer.status, answer.json()["error"]["code"]), (401, "unauthorized"), f"{method} {path} with {session}")


def test_a_page_gets_a_token_for_the_broker_that_ends_soon():
    gl = demo()
    answer = gl.ask("carol", "GET", "/realtime-token")
    claims = claims_of(answer["token"])
    contains(claims, {"sub": "carol", "tenant_id": "shopping", "families": ["family-123"], "role": "child", "name": "Carol"}, "claims")
    equal(answer["expires_in"], 300, "expires_in")
    left = claims["exp"] - time.time()
    check(0 < left <= 301, f"it ends in {left} s")


def test_a_token_ends_a_connection_and_the_next_one_goes_on():
    gl = demo()
    gl.run(GIFT_TOKEN_TTL="2")
    client = gl.follow("bob")
    gl.add("alice", name="first")
    [first] = events(client, 1)
    client.expect_close(4401)
    gl.add("alice", name="second")
    [second] = events(gl.follow("bob", first["id"]), 1)
    equal(second["data"]["payload"]["name"], "second", "what came meanwhile")


# ---- what is told

def test_each_edit_is_told_once_in_order_as_what_it_made():
    gl = demo()
    client = gl.follow("bob")
    made = [gl.add("alice", name=" Kite ", note="Red", price=1200, mutation_id="m1")]
    made.append(gl.ask("alice", "PATCH", f"/gifts/{made[0]['id']}", {"name": "Big kite", "price": None, "version": 1, "mutation_id": "m2"}))
    made.append(gl.ask("alice", "PATCH", f"/gifts/{made[0]['id']}", {"status": "reserved", "mutation_id": "m3"}))
    gl.ask("alice", "DELETE", f"/gifts/{made[0]['id']}?mutation_id=m4")
    came = events(client, 4)
    equal([event["event"] for event in came], ["ADDED", "UPDATED", "STATUS_CHANGED", "DELETED"], "events")
    equal([event["data"]["payload"] for event in came], [*made, {"id": made[0]["id"], "list_id": "carol-christmas"}], "payloads")
    equal([event["data"]["mutation_id"] for event in came], ["m1", "m2", "m3", "m4"], "mutation ids")
    for event in came:
        contains(event["data"], {"entity_id": made[0]["id"], "user_id": "alice", "tenant_id": "shopping"}, "data")
        check(event["data"]["timestamp"].endswith("Z"), "a time")
    contains(made[0], {"list_id": "carol-christmas", "name": "Kite", "note": "Red", "price": 1200, "status": "wanted", "reserved_by": None,
                       "added_by": "alice", "version": 1}, "what was added")
    contains(made[1], {"name": "Big kite", "note": "Red", "price": None, "version": 2}, "what was edited")
    contains(made[2], {"status": "reserved", "reserved_by": "alice", "version": 2, "updated_at": made[1]["updated_at"]}, "what was reserved")
    check(made[0]["id"] not in gl.gifts("bob"), "it is still there")


def test_edits_at_the_same_time_are_told_in_the_order_in_which_they_were_stored():
    gl = demo()
    client = gl.follow("bob")
    gift = gl.add("alice")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: gl.edit("alice", gift, {"name": f"Kite {n}"}), range(24)))
    came = events(client, 25)
    equal([event["data"]["payload"]["version"] for event in came], list(range(1, 26)), "versions")
    equal(gl.gifts("bob")[gift["id"]], came[-1]["data"]["payload"], "what is stored")


def test_people_see_who_looks_and_do_not_publish():
    gl = demo()
    gl.follow("gran")
    answer = wait_until(lambda: _present(gl, "alice", "gran"), 5, "gran")
    contains(answer, {"name": "Gran", "role": "guest"}, "who is there")
    event = {"topic": FAMILY, "event": "UPDATED", "data": {"entity_id": "gift-1", "payload": {}}}
    answer = http(gl.broker_address, "POST", "/publish", body=event, token=gl.token("alice"))
    equal((answer.status, answer.json()["code"]), (403, "forbidden_topic"), "a page that publishes")


def _present(gl, who, whom):
    answer = http(gl.broker_address, "GET", f"/topics/{FAMILY}/presence", token=gl.token(who)).json()
    return next((one["info"] for one in answer["topics"][FAMILY]["users"] if one["user_id"] == whom), None)


# ---- who may what?

def test_roles():
    gl = demo()
    of_bob, of_carol = gl.add("bob"), gl.add("carol")
    equal(gl.ask("gran", "POST", "/lists/carol-christmas/gifts", {"name": "x"}, 403), "forbidden", "a guest adds")
    for who, gift in (("gran", of_bob), ("carol", of_bob)):
        for change in ({"name": "x"}, {"note": "x"}, {"price": 1}, {"name": "x", "status": "bought"}):
            equal(gl.edit(who, gift, change, 403), "forbidden", f"{who} edits {change}")
        equal(gl.ask(who, "DELETE", f"/gifts/{gift['id']}", status=403), "forbidden", f"{who} deletes")
    equal(gl.gifts("bob")[of_bob["id"]], of_bob, "what was refused")
    equal(gl.edit("carol", of_carol, {"name": "My kite"})["name"], "My kite", "a child's own")
    equal(gl.edit("alice", of_carol, {"name": "A kite"})["name"], "A kite", "parents edit all")
    gl.ask("carol", "DELETE", f"/gifts/{of_carol['id']}")
    gl.ask("alice", "DELETE", f"/gifts/{of_bob['id']}")


def test_who_has_reserved_something_keeps_it():
    gl = demo()
    gift = gl.add("alice")
    contains(gl.edit("gran", gift, {"status": "reserved"}), {"status": "reserved", "reserved_by": "gran"}, "a guest reserves")
    equal(gl.edit("bob", gift, {"status": "reserved"}, 409), "conflict", "who comes later")
    contains(gl.edit("gran", gift, {"status": "bought"}), {"status": "bought", "reserved_by": "gran"}, "and buys")
    contains(gl.edit("bob", gift, {"status": "wanted"}), {"status": "wanted", "reserved_by": None}, "a parent puts it back")
    gift = gl.add("alice", to="bob-birthday")
    gl.edit("alice", gift, {"status": "bought"})
    for status in ("wanted", "bought"):
        equal(gl.edit("carol", gift, {"status": status}, 403), "forbidden", f"a child says of what another has: {status}")


def test_families_know_nothing_of_each_other():
    gl = demo()
    for who, family, gift, to in (("dave", "family-123", "gift-1", "alice-birthday"), ("alice", "family-456", "gift-5", "dave-birthday")):
        for method, path, body in (("GET", f"/families/{family}/gifts", b""), ("PATCH", f"/gifts/{gift}", {"name": "x"}), ("DELETE", f"/gifts/{gift}", b""),
                                   ("POST", f"/lists/{to}/gifts", {"name": "x"})):
            equal(gl.ask(who, method, path, body, 404), "not_found", f"{who}: {method} {path}")
        client = WsClient(gl.broker_address, token=gl.token(who), protocols=["hookwire.v1"])
        for topic in (f"gift-list:{family}", "gift-list:*", "user:bob"):
            answer = client.request({"type": "subscribe", "topics": [topic]})["topics"][topic]
            equal((answer["ok"], answer.get("code")), (False, "forbidden_topic"), f"{who} follows {topic}")
        equal(http(gl.broker_address, "GET", f"/topics/gift-list:{family}/presence", token=gl.token(who)).status, 403, "presence")
    equal(set(gl.gifts("dave", "family-456")), {"gift-5"}, "the other family's gifts")


def test_a_surprise_stays_one():
    gl = demo()
    alice, bob, cursor = gl.follow("alice"), gl.follow("bob"), gl.cursor()
    gift = gl.add("bob", to="alice-birthday")
    before = gl.gifts("alice")[gift["id"]]
    check("reserved_by" not in before, "reserved_by is there")
    gl.edit("bob", gift, {"status": "reserved"})
    gl.edit("bob", gift, {"status": "bought"})
    equal(gl.gifts("alice")[gift["id"]], before, "what she reads: version and time would tell, too")
    contains(gl.gifts("carol")[gift["id"]], {"status": "bought", "reserved_by": "bob"}, "what others read")
    equal(gl.edit("alice", gift, {"status": "reserved"}, 403), "forbidden", "she tries to reserve it herself")
    mine = gl.edit("alice", gift, {"name": "Big kite", "version": before["version"]})
    equal(mine, {**before, "name": "Big kite", "version": 2, "updated_at": mine["updated_at"]}, "what she is answered")
    gl.ask("bob", "DELETE", f"/gifts/{gift['id']}")
    came = events(bob, 5)
    equal([event["event"] for event in came], ["ADDED", "STATUS_CHANGED", "STATUS_CHANGED", "UPDATED", "DELETED"], "what others hear")
    contains(came[3]["data"]["payload"], {"status": "bought", "reserved_by": "bob"}, "what others hear")
    hers = events(alice, 3)
    equal([event["data"]["payload"] for event in hers], [before, mine, {"id": gift["id"], "list_id": "alice-birthday"}], "what she hears")
    equal(gl.history("alice", cursor), hers, "what she reads of the past")


# ---- what is refused

def test_an_old_version_is_a_conflict():
    gl = demo()
    gift = gl.add("alice")
    gl.edit("bob", gift, {"name": "Bob's", "version": 1})
    equal(gl.edit("alice", gift, {"name": "Alice's", "version": 1}, 409), "conflict", "an old version")
    equal(gl.edit("alice", gift, {"name": "Alice's"})["version"], 3, "without a version the last one wins")


def test_mistakes_are_named_and_change_nothing():
    gl = demo()
    gift, before = gl.add("alice"), gl.cursor()
    for change in ({}, {"version": 1}, {"mutation_id": "m"}, {"name": ""}, {"name": "  "}, {"name": None}, {"name": 1}, {"name": "x" * 201}, {"note": None},
                   {"note": "x" * 2001}, {"price": -1}, {"price": "1"}, {"price": 1.5}, {"price": True}, {"price": 10 ** 9}, {"status": "stolen"},
                   {"status": None}, {"name": "x", "version": 0}, {"name": "x", "version": "1"}, {"name": "x", "mutation_id": ""}, {"name": "x", "mutation_id": None},
                   {"name": "\ud800"}, {"note": "half of a pair: \ud800"}, {"name": "x", "mutation_id": "\udc00"}, {"added_by": "bob"}, []):
        equal(gl.ask("alice", "PATCH", f"/gifts/{gift['id']}", change, 422), "invalid", f"{change}")
    for body in ({}, {"name": "x", "status": "bought"}, {"note": "no name"}, {"name": "x", "price": 0.1}):
        equal(gl.ask("alice", "POST", "/lists/carol-christmas/gifts", body, 422), "invalid", f"{body}")
    for body in ({}, {"user_id": ""}, {"user_id": "\ud800"}):
        equal(gl.ask(None, "POST", "/login", body, 422), "invalid", f"nobody signs in: {body}")
    for path in ("/gifts/none", "/nothing"):
        equal(gl.ask("alice", "DELETE", path, status=404), "not_found", path)
    answer = http(gl.address, "PATCH", f"/api/gifts/{gift['id']}", {"Content-Type": "application/json"}, b'{"name":', gl.session("alice"))
    equal((answer.status, answer.json()["error"]["code"]), (400, "bad_request"), "half a body")
    equal(gl.gifts("alice")[gift["id"]], gift, "the gift")
    equal(gl.cursor(), before, "the cursor: nothing was told")


# ---- nothing is lost

@contextlib.contextmanager
def _full_outbox(gl):
    """Events cannot be written."""
    with contextlib.closing(sqlite3.connect(gl.data / "gift-list.db", timeout=scaled(5))) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'full, for a test'); END")
        yield
        db.execute("DROP TRIGGER full")


def test_an_edit_whose_event_cannot_be_written_is_not_made():
    gl = demo()
    gift, cursor = gl.add("alice"), gl.cursor()
    with _full_outbox(gl):
        before = gl.gifts("bob")
        for method, path, body in (("POST", "/lists/carol-christmas/gifts", {"name": "x"}), ("PATCH", f"/gifts/{gift['id']}", {"name": "x", "status": "bought"}),
                                   ("DELETE", f"/gifts/{gift['id']}", b"")):
            equal(gl.ask("alice", method, path, body, 500), "internal", f"{method} {path}")
        equal(gl.gifts("bob"), before, "gifts")
    edited = gl.edit("alice", gift, {"name": "y"})
    equal([event["data"]["payload"] for event in events(gl.follow("bob", cursor), 1)], [edited], "what came")


def test_the_broker_is_away_while_people_edit():
    gl = demo()
    gift, cursor = gl.add("alice"), gl.cursor()
    gl.broker.kill()
    for n in range(10):
        gl.edit("alice", gift, {"name": f"Kite {n}", "mutation_id": f"m{n}"})
    equal(gl.gifts("bob")[gift["id"]]["name"], "Kite 9", "what is stored")
    gl.broker.start()
    came = events(gl.follow("bob", cursor), 10)
    equal([event["data"]["mutation_id"] for event in came], [f"m{n}" for n in range(10)], "what came")
    gl.wait_published()
    equal(gl.history("bob", cursor), came, "what is at the broker")


def _killed_between_commit_and_publish(gl):
    """Returns the gift as it was edited and not told, and a cursor before that."""
    gift, cursor = gl.add("alice"), gl.cursor()
    gl.broker.kill()
    gift = gl.edit("alice", gift, {"name": "committed"})
    gl.api.kill()
    equal(len(gl.outbox()), 1, "events in the outbox")
    return gift, cursor


def test_killed_between_commit_and_publish():
    gl = demo()
    gift, cursor = _killed_between_commit_and_publish(gl)
    gl.run()
    client = gl.follow("bob", cursor)
    equal(events(client, 1)[0]["data"]["payload"], gift, "what was left")
    edited = gl.edit("alice", gift, {"name": "and it goes on"})
    equal(events(client, 1)[0]["data"]["payload"], edited, "the next one")


def test_the_twin_goes_on_where_this_one_was_killed():
    gl = demo()
    gift, cursor = _killed_between_commit_and_publish(gl)
    gl.run(TWIN)
    client = gl.follow("bob", cursor)
    equal(events(client, 1)[0]["data"]["payload"], gift, "what was left")
    edited = gl.edit("alice", gift, {"name": "and it goes on"})  # with the session that the other one gave
    equal(events(client, 1)[0]["data"]["payload"], edited, "the next one")
    equal(gl.gifts("bob")[gift["id"]], edited, "what is stored")


def test_killed_between_publish_and_its_answer():
    gl = demo()
    gift, cursor = gl.add("alice"), gl.cursor()
    gl.relay.deaf = True
    gl.edit("alice", gift, {"name": "stored twice?"})
    wait_until(lambda: gl.history("bob", cursor), 5, "the event at the broker")
    gl.api.kill()
    equal(len(gl.outbox()), 1, "events in the outbox")
    gl.relay.deaf = False
    gl.run()
    gl.wait_published()
    equal(len(gl.history("bob", cursor)), 1, "events")


def test_what_the_broker_will_never_take_holds_up_nobody():
    gl = demo()
    client = gl.follow("bob")
    with contextlib.closing(sqlite3.connect(gl.data / "gift-list.db", timeout=scaled(5))) as db, db:
        db.execute("INSERT INTO outbox (key, event) VALUES ('k', ?)", (json.dumps({"topic": "no topic", "event": "X", "data": {"entity_id": "x"}}),))
    gl.add("alice", mutation_id="behind it")
    equal(events(client, 1)[0]["data"]["mutation_id"], "behind it", "the next event")
    [(key, refused)] = wait_until(lambda: len(rows := gl.outbox("key, refused")) == 1 and rows, 5, "an outbox with what is left out")
    check(key == "k" and "topic" in refused, f"what is left: {key} {refused}")


main()
