#!/usr/bin/python3
# Two tenants throw at each other what they can: topics, patterns, cursors (over every transport), idempotency keys, forged ids, tokens,
# tickets, questions of presence and history, hooks. Nothing of the one reaches the other, and each gets exactly its own. HOOKWIRE_SEED repeats a random run, HOOKWIRE_CASES sets how many cases it has.
import collections
import json
import os
import pathlib
import random
import sys
import urllib.parse
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

CASES = 4000  # of each of the two
NAMES = ("acme", "beta")
USERS = ("u1", "u2", "acme", "beta")
TOPICS = ("list:1", "list:2", "acme:1", "beta:1", "tenant:beta", "tenant:acme")
PATTERNS = ("list:*", "beta:*", "tenant:*")
HOSTILE_TOPICS = ("beta/list:1", "acme/list:1", "../beta/list:1", "list:1\0beta", "beta\0list:1", "*:*", "*", "list:", ":1", "LIST:1",
                  "list:1,beta:1", "list:1 ", "beta\nlist:1", "list:*:*", "list:1*", "", "l" * 300 + ":1", "list:\u0661", None, 5, ["list:1"],
                  {"topic": "beta/list:1"}, {"tenant": "beta", "topic": ""})
HOSTILE_TENANTS = ("beta ", " acme", "Beta", "ACME", "acme/../beta", "acme\0", "acme\0beta", "beta,acme", "*", "", "acme-", "gamma", 5, ["beta"])
PRESENT = ("acme:1", "beta:1")  # of which it is kept who is there; nobody polls them, whose session would stay
PREVIOUS = "what-was-before-is-for-filters-alone"

# Each tenant's copy leaves its secret wherever it can, and shows what it finds there; and says that its events are the other's.
POLICY = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic, ctx) return allow() end,
    wildcard = function(s, topic, ctx) return allow() end,
    publish = function(s, topic, ctx) return allow() end,
    presence = function(s, topic, ctx) return allow() end,
  },
  --[[per audience]]
  transform = function(event, ctx)
    local seen = {}
    local function look(where)
      if type(where) ~= "table" then return end
      pcall(function() seen[#seen + 1] = tostring(where.leak) end)
      pcall(function() where.leak = event.data.payload.secret end)
      pcall(function() rawset(where, "leak", event.data.payload.secret) end)
    end
    for _, where in ipairs { ctx.state, ctx, ctx.config, string, table, math, utf8, json, _G, policy } do look(where) end
    pcall(function() look(getmetatable("").__index) end)
    event.data.payload.seen = table.concat(seen, ",")
    pcall(function() event.data.tenant_id = event.data.tenant_id == "acme" and "beta" or "acme" end)
    return event
  end,
}
"""
PER_AUDIENCE = """
  reads = { filter = { "user", "tenant" }, redact = { "claims.note" } },
  filter = function(event, audience) return string.leak == nil end,
  redact = function(event, audience) event.data.payload.redacted_for = audience.claims.note return event end,
"""
OWN = {"hooks": [{"name": "p", "lua": "p.lua"}],
       "limits": {"connections": 10000, "subscriptions": 100000, "publish_per_s": 1000000}}


class Tenant:
    def __init__(self, name, rng):
        self.name = name
        self.secret = f"secret-of-{name}-{rng.getrandbits(64):x}"
        self.epoch = None
        self.events = []  # that were acked, in the journal's order
        self.by_id = {}

    def seq(self):
        return self.events[-1]["seq"] if self.events else self.first


class Client(WsClient):
    """Whatever it hears is searched for what is the other tenant's."""

    def __init__(self, run, tenant, user, **options):
        self.run, self.tenant, self.user = run, tenant, user
        self.got, self.subs, self.must, self.may = [], {}, set(), set()
        super().__init__(run.broker.address, token=run.token(tenant, user), protocols=["hookwire.v1"], **options)
        self.welcome = self.recv_where({"type": "welcome"}, skipped=self.got)
        equal((self.welcome["tenant_id"], self.welcome["user_id"]), (tenant.name, user), "welcome")

    def recv(self, timeout=None):
        text = super().recv(timeout)
        self.run.look(self.tenant, text)
        return text

    def ask(self, message):
        return self.request(message, skipped=self.got)

    def catch_up(self):
        self.ask({"type": "ping"})

    def events(self):
        return [m for m in self.got if "type" not in m]


def matches(subscription, topic):
    return subscription == topic or (subscription.endswith(":*") and topic.startswith(subscription[:-1]))


class Run:
    def __init__(self, broker, seed, any_tenant):
        self.broker, self.rng, self.any_tenant = broker, random.Random(seed), any_tenant
        self.tenants = [Tenant(name, self.rng) for name in NAMES]
        self.keys = {}  # (tenant, user, key) -> (body, id)
        self.counts = collections.Counter()
        self.tokens = {}
        self.n_entities = 0
        self.members = [Client(self, tenant, user) for user in USERS for tenant in self.tenants]
        for member in self.members:
            member.tenant.epoch, seq = member.welcome["cursor"].split("-")
            member.tenant.first = int(seq)
        check(self.tenants[0].epoch != self.tenants[1].epoch, "the tenants share an epoch")

    # ---- what must hold of everything that is heard

    def look(self, tenant, text):
        self.counts["heard"] += 1
        for other in self.tenants:
            if other is not tenant:
                check(other.secret not in text, f"{other.name}'s secret reached {tenant.name}: {text}")
                check(other.epoch is None or other.epoch not in text, f"{other.name}'s epoch reached {tenant.name}: {text}")
        check(PREVIOUS not in text, f"previous reached {tenant.name}: {text}")

    def look_at(self, tenant, event):
        known = tenant.by_id.get(event["id"])
        check(known, f"{tenant.name} got an event that is none of its own: {event}")
        data = event["data"]
        equal((event["topic"], data["entity_id"], data["tenant_id"], data["user_id"]),
              (known["topic"], known["entity"], tenant.name, known["user"]), f"event {event['id']} of {tenant.name}")
        return known

    # ---- helpers

    def other(self, tenant):
        return self.tenants[1 - self.tenants.index(tenant)]

    def token(self, tenant, user, **claims):
        key = (tenant.name, user)
        if key not in self.tokens:
            self.tokens[key] = mint(user, tenant.name, note=tenant.secret)
        return self.tokens[key]

    def pick(self, *chances):
        """One of (weight, value)."""
        return self.rng.choices([value for _, value in chances], [weight for weight, _ in chances])[0]

    def http(self, tenant, user, method, path, headers=None, body=b""):
        """By the tenant's token; sometimes the other's comes with it where it does not count: of query and header the first decides."""
        headers = dict(headers or {})
        if self.rng.random() < 0.2:
            path += ("&" if "?" in path else "?") + urllib.parse.urlencode({"token": self.token(tenant, user)})
            headers["Authorization"] = "Bearer " + self.token(self.other(tenant), user)
            self.counts["two tokens"] += 1
        else:
            headers["Authorization"] = "Bearer " + self.token(tenant, user)
        for name in ("X-Tenant-Id", "X-User-Id", "X-Forwarded-User"):
            if self.rng.random() < 0.1:
                headers[name] = self.other(tenant).name
        answer = http(self.broker.address, method, path, headers, body)
        self.look(tenant, answer.body.decode() + repr(answer.headers))
        return answer

    def body_of(self, tenant, topic, entity, with_secret=True):
        data = {"entity_id": entity, "payload": {"secret": tenant.secret if with_secret else "-"}}
        other = self.other(tenant)
        if self.rng.random() < 0.5:
            data["tenant_id"] = other.name
            data["user_id"] = self.rng.choice(USERS)
        if self.rng.random() < 0.3:
            data["previous"] = {"secret": PREVIOUS, "tenant_id": other.name}
        body = {"topic": topic, "event": "UPDATED", "data": data}
        if self.rng.random() < 0.3:
            body.update(tenant_id=other.name, user_id="root", tenant=other.name, id=f"{other.epoch}-{other.seq()}")
        return body

    def note(self, tenant, user, topic, entity, event_id):
        epoch, seq = event_id.split("-")
        equal(epoch, tenant.epoch, f"epoch of what {tenant.name} published")
        check(int(seq) > tenant.seq(), f"{event_id} comes after {tenant.seq()}")
        event = {"id": event_id, "seq": int(seq), "topic": topic, "entity": entity, "user": user}
        tenant.events.append(event)
        tenant.by_id[event_id] = event
        for member in self.members:
            if member.tenant is tenant and any(matches(sub, topic) for sub in member.subs):
                member.must.add(event_id)

    def entity(self, tenant):
        self.n_entities += 1
        return f"{tenant.name}-{self.n_entities}"

    # ---- the cases

    def publish(self):
        member = self.rng.choice(self.members)
        tenant, user, topic, entity = member.tenant, member.user, self.rng.choice(TOPICS), self.entity(member.tenant)
        body = self.body_of(tenant, topic, entity)
        if self.rng.random() < 0.5:
            body.pop("id", None)
            ack = member.ask({"type": "publish", **body})
            equal(ack["type"], "ack", f"publish: {ack}")
            self.note(tenant, user, topic, entity, ack["event_id"])
            return
        answer = self.http(tenant, user, "POST", "/publish", {"Content-Type": "application/json"}, json.dumps(body))
        equal(answer.status, 200, f"publish: {answer.body}")
        self.note(tenant, user, topic, entity, answer.json()["id"])

    def publish_array(self):
        tenant, user = self.rng.choice(self.tenants), self.rng.choice(USERS)
        items = [(self.rng.choice(TOPICS), self.entity(tenant)) for _ in range(self.rng.randrange(2, 5))]
        answer = self.http(tenant, user, "POST", "/publish", {"Content-Type": "application/json"},
                           json.dumps([self.body_of(tenant, *item) for item in items]))
        equal(answer.status, 200, f"publish: {answer.body}")
        for (topic, entity), result in zip(items, answer.json()["results"], strict=True):
            self.note(tenant, user, topic, entity, result["id"])

    def publish_with_a_key(self):
        """Few keys and few bodies, the same ones for all: what another tenant or user did with them is nobody's business."""
        member = self.rng.choice(self.members)
        tenant, user, key = member.tenant, member.user, f"key-{self.rng.randrange(20 + self.counts['publish_with_a_key'] // 20)}"
        topic, entity = self.rng.choice(TOPICS[:2]), f"keyed-{self.rng.randrange(2)}"
        body = {"topic": topic, "event": "UPDATED", "data": {"entity_id": entity, "payload": {"secret": "-"}}}
        if self.rng.random() < 0.5:
            answer = member.ask({"type": "publish", "key": key, **body})
            status = {"ack": 200, "error": 422}[answer["type"]]
            event_id, code = answer.get("event_id"), answer.get("code")
        else:
            got = self.http(tenant, user, "POST", "/publish", {"Content-Type": "application/json", "Idempotency-Key": key},
                            json.dumps(body, separators=(",", ":")))
            answer, status = got.json(), got.status
            event_id, code = answer.get("id"), answer.get("code")
        before = self.keys.get((tenant.name, user, key))
        if before is None:
            check(status == 200 and "duplicate" not in answer, f"the first use of a key: {answer}")
            self.keys[tenant.name, user, key] = (body, event_id)
            self.note(tenant, user, topic, entity, event_id)
            self.counts["first use of a key"] += 1
        elif before[0] == body:
            equal((status, answer.get("duplicate"), event_id), (200, True, before[1]), f"the same again: {answer}")
            self.counts["duplicate"] += 1
        else:
            equal((status, code), (422, "bad_request"), f"a key's second event: {answer}")
            self.counts["conflict"] += 1

    def subscribe(self):
        member = self.rng.choice(self.members)
        topic = self.rng.choice(TOPICS + PATTERNS)
        if topic in member.subs:
            member.may |= member.must  # what is on its way may be lost with the subscription
            member.must = set()
            equal(member.ask({"type": "unsubscribe", "topics": [topic]})["type"], "reply", "unsubscribe")
            del member.subs[topic]
            return
        reply = member.ask({"type": "subscribe", "topics": [topic]})
        equal(reply["topics"][topic]["ok"], True, f"subscribe: {reply}")
        member.subs[topic] = True

    def cursor_of(self, tenant):
        """A cursor, and from which of the tenant's events on it leads: None, a gap; "malformed"."""
        other = self.other(tenant)
        own, foreign = self.rng.choice(tenant.events), self.rng.choice(other.events)

        def from_seq(seq):
            return seq if seq <= tenant.seq() else None
        return self.pick((4, (own["id"], own["seq"])),
                         (4, (foreign["id"], None)),
                         (2, (f"{tenant.epoch}-{foreign['seq']}", from_seq(foreign["seq"]))),
                         (2, (f"{other.epoch}-{own['seq']}", None)),
                         (1, (f"{tenant.epoch}-{tenant.seq() + self.rng.randrange(1, 1000)}", None)),
                         (1, (self.rng.choice(["", "-", f"{other.epoch}-", f"{tenant.epoch}-0{own['seq']}", f"{other.epoch}-{foreign['seq']} ",
                                               f"{tenant.epoch}-{own['seq']}-{other.epoch}", f"{other.name}:{foreign['id']}"]), "malformed")))

    def resume(self):
        tenant = self.rng.choice(self.tenants)
        if not all(t.events for t in self.tenants):
            return
        topic = self.rng.choice(TOPICS + PATTERNS)
        cursor, after = self.cursor_of(tenant)
        client = Client(self, tenant, self.rng.choice(USERS))
        reply = client.ask({"type": "subscribe", "topics": [{"topic": topic, "cursor": cursor}]})
        if after == "malformed":
            check(reply["type"] == "error" or not reply["topics"][topic]["ok"], f"the malformed cursor {cursor!r}: {reply}")
        else:
            self.check_resumed(client, topic, cursor, after)
            equal(reply["topics"][topic].get("recovered"), not any(m.get("type") == "gap" for m in client.got), f"recovered from {cursor}: {reply}")
        client.close()

    def resume_by_query(self):
        tenant = self.rng.choice(self.tenants)
        if not all(t.events for t in self.tenants):
            return
        topic = self.rng.choice(TOPICS + PATTERNS)
        cursor, after = self.cursor_of(tenant)
        if after == "malformed":
            with raises(Closed):
                Client(self, tenant, "u1", query={"topics": topic, "cursor": cursor})
            return
        client = Client(self, tenant, "u1", query={"topics": topic, "cursor": cursor})
        client.catch_up()
        self.check_resumed(client, topic, cursor, after)
        client.close()

    def wanted(self, tenant, topic, after):
        """The ids of what is behind a cursor; None: it leads nowhere."""
        return [] if after is None else [e["id"] for e in tenant.events if e["seq"] > after and matches(topic, e["topic"])]

    def read(self, ask):
        """By something other than a WebSocket: ask(tenant, topic, cursor) is the events and whether there is a gap, or None: refused."""
        tenant, topic = self.rng.choice(self.tenants), self.rng.choice([t for t in TOPICS + PATTERNS if t not in PRESENT])
        if not all(t.events for t in self.tenants):
            return
        cursor, after = self.cursor_of(tenant)
        got = ask(tenant, topic, cursor)
        if after == "malformed":
            equal(got, None, f"the malformed cursor {cursor!r}")
            return
        wanted = self.wanted(tenant, topic, after)
        equal([self.look_at(tenant, event)["id"] for event in got[0]], wanted, f"{tenant.name}'s events of {topic} from {cursor}")
        equal(got[1], after is None, f"a gap after {cursor}")
        self.counts["read elsewhere"] += len(wanted)

    def pages(self, tenant, page, cursor):
        """All events from there on, however many answers they take."""
        events, gap = [], False
        while True:
            answer = page(urllib.parse.quote(cursor))
            if answer.status == 400:
                return None
            equal(answer.status, 200, f"{tenant.name}: {answer.body[:200]}")
            answer = answer.json()
            gap |= answer["gap"]
            if not answer["events"]:
                return events, gap
            events, cursor = events + answer["events"], answer["cursor"]

    def history(self):
        self.read(lambda tenant, topic, cursor: self.pages(tenant, lambda at: self.http(
            tenant, self.rng.choice(USERS), "GET", f"/topics/{topic}/history?limit=1000&cursor={at}"), cursor))

    def poll(self):
        def page(tenant, topic, at):
            user, where = self.rng.choice(USERS), f"/poll?topics={topic}&wait=0&cursor={at}"
            if self.rng.random() < 0.5:
                return self.http(tenant, user, "GET", where)
            answer = self.http(tenant, user, "POST", "/ticket")
            equal(answer.status, 200, "a ticket")
            self.counts["ticket"] += 1
            answer = http(self.broker.address, "GET", f"{where}&ticket={answer.json()['ticket']}")
            self.look(tenant, answer.body.decode())
            return answer
        self.read(lambda tenant, topic, cursor: self.pages(tenant, lambda at: page(tenant, topic, at), cursor))

    def stream(self):
        def ask(tenant, topic, cursor):
            try:
                client = SseClient(self.broker.address, topic, token=self.token(tenant, self.rng.choice(USERS)), query={"cursor": cursor})
            except SseRefused as refused:
                equal(refused.response.status, 400, "the answer")
                return None
            with client:
                messages = [client.recv()]
                while messages[-1].name != "cursor":
                    messages.append(client.recv())
            for message in messages:
                self.look(tenant, message.data)
            return [m.json() for m in messages if m.name == "message"], any(m.name == "gap" for m in messages)
        self.read(ask)

    def presence(self):
        """Who is there are the tenant's own, with its own claims; clients of other cases leave a little later."""
        member, topic = self.rng.choice(self.members), self.rng.choice(PRESENT)
        tenant = member.tenant
        there = collections.Counter(m.user for m in self.members if m.tenant is tenant and topic in m.subs)
        wanted = sorted((user, n, {"note": tenant.secret}) for user, n in there.items())

        def told():
            if self.rng.random() < 0.5:
                answer = member.ask({"type": "presence", "topic": topic, "tenant_id": self.other(tenant).name})
            else:
                answer = self.http(tenant, member.user, "GET", f"/topics/{topic}/presence").json()
            return sorted((u["user_id"], u["connections"], u["info"]) for u in answer["topics"][topic]["users"])
        crossed = []  # nothing of the other's may be told for a moment either

        def settled():
            try:
                return told() == wanted
            except Failure as failure:
                crossed.append(failure)
                return True
        wait_until(settled, 10, f"{tenant.name}'s {topic} to hold {dict(there)}")
        check(not crossed, crossed and str(crossed[0])[:300])
        self.counts["present"] += len(wanted)

    def check_resumed(self, client, topic, cursor, after):
        tenant = client.tenant
        wanted = self.wanted(tenant, topic, after)
        gaps = [m for m in client.got if m.get("type") == "gap"]
        equal([self.look_at(tenant, event)["id"] for event in client.events()], wanted, f"{tenant.name}'s events of {topic} from {cursor}")
        equal(len(gaps), 1 if after is None else 0, f"gaps after {cursor}: {gaps}")
        self.counts["gap" if after is None else "resumed"] += 1
        self.counts["replayed"] += len(wanted)

    def refresh_with_the_others_token(self):
        tenant, user = self.rng.choice(self.tenants), self.rng.choice(USERS)
        client = Client(self, tenant, user)
        client.subscribe(self.rng.choice(TOPICS))
        client.send_json({"type": "auth", "token": self.token(self.other(tenant), user), "id": "r"})
        client.expect_close(4403)

    def token_of_a_tenant_that_is_none(self):
        token = mint(self.rng.choice(USERS), self.rng.choice(HOSTILE_TENANTS))
        answer = http(self.broker.address, "GET", "/cursor", token=token)
        check(answer.status in (401, 403, 503) or (self.any_tenant and answer.status == 200), f"a tenant that is none: {answer!r}")
        for tenant in self.tenants:
            check(tenant.epoch.encode() not in answer.body, f"{tenant.name}'s epoch: {answer.body}")

    def head(self):
        tenant = self.rng.choice(self.tenants)
        answer = self.http(tenant, self.rng.choice(USERS), "GET", "/cursor")
        equal(answer.json()["cursor"], f"{tenant.epoch}-{tenant.seq()}", f"{tenant.name}'s head")

    def hostile_topic(self):
        member, topic = self.rng.choice(self.members), self.rng.choice(HOSTILE_TOPICS)
        kind = self.rng.choice(("subscribe", "publish", "unsubscribe", "presence", "history", "http"))
        body = self.body_of(member.tenant, topic, self.entity(member.tenant))
        body.pop("id", None)
        if kind == "http":
            answer = self.http(member.tenant, member.user, "POST", "/publish", {"Content-Type": "application/json"}, json.dumps(body))
            check(400 <= answer.status < 500, f"publish to {topic!r}: {answer!r}")
        elif kind == "publish":
            equal(member.ask({"type": "publish", **body})["type"], "error", f"publish to {topic!r}")
        elif kind in ("presence", "history"):
            member.ask({"type": kind, "topic": topic, "tenant_id": self.other(member.tenant).name})
        else:
            reply = member.ask({"type": kind, "topics": [topic], "tenant_id": self.other(member.tenant).name})
            if kind == "subscribe":
                check(reply["type"] == "error" or not any(t["ok"] for t in reply["topics"].values()), f"subscribe to {topic!r}: {reply}")

    def go(self, n):
        for i in range(n):
            case = self.pick((30, self.publish), (5, self.publish_array), (20, self.publish_with_a_key), (12, self.subscribe), (6, self.resume),
                             (4, self.resume_by_query), (2, self.refresh_with_the_others_token), (2, self.token_of_a_tenant_that_is_none),
                             (4, self.head), (8, self.hostile_topic), (4, self.history), (4, self.poll), (4, self.stream), (6, self.presence))
            self.counts[case.__name__] += 1
            case()
            if i % 100 == 0:
                for member in self.members:
                    member.catch_up()

    def finish(self):
        """Everybody has what was published while it was subscribed, in order, once, and nothing else."""
        for member in self.members:
            if "list:1" not in member.subs:
                member.ask({"type": "subscribe", "topics": ["list:1"]})
                member.subs["list:1"] = True
        ends = {}
        for tenant in self.tenants:
            answer = self.http(tenant, "u1", "POST", "/publish", {"Content-Type": "application/json"},
                               json.dumps(self.body_of(tenant, "list:1", f"{tenant.name}-end")))
            self.note(tenant, "u1", "list:1", f"{tenant.name}-end", answer.json()["id"])
            ends[tenant] = answer.json()["id"]
        for member in self.members:
            if not any(event["id"] == ends[member.tenant] for event in member.events()):
                member.got.append(member.recv_where({"id": ends[member.tenant]}, skipped=member.got))
            seqs = [self.look_at(member.tenant, event)["seq"] for event in member.events()]
            equal(seqs, sorted(set(seqs)), f"order for {member.user} of {member.tenant.name}")
            got = {event["id"] for event in member.events()}
            equal(sorted(member.must - got), [], f"what {member.user} of {member.tenant.name} did not get")
            equal(sorted(got - member.must - member.may), [], f"what {member.user} of {member.tenant.name} got without a subscription")
            self.counts["delivered"] += len(got)
            member.close()


def throw(tenants, policy):
    seed = seed_of_run()
    n = int(os.environ.get("HOOKWIRE_CASES") or CASES)
    print(f"     HOOKWIRE_CASES={n}", flush=True)
    with Broker({"workers": 2, "tenants": tenants, "log": {"level": "info"},
                 "presence": {"topics": list(PRESENT), "claims": ["note"], "grace_ms": 0}}, files={"p.lua": policy}) as broker:
        run = Run(broker, seed, "acme" not in tenants)
        run.go(n)
        run.finish()
        print("     " + ", ".join(f"{what} {count}" for what, count in sorted(run.counts.items())), flush=True)
        # a run in which nothing happened proves nothing
        for what, at_least in (("gap", n // 100), ("delivered", n), ("heard", n), ("duplicate", n // 100), ("conflict", n // 100),
                               ("first use of a key", n // 50), ("two tokens", n // 50), ("resumed", n // 100), ("replayed", n // 10),
                               ("read elsewhere", n // 10), ("ticket", n // 100), ("present", n // 50)):
            check(run.counts[what] >= at_least, f"{what}: {run.counts[what]}, expected {at_least} at least")


def test_nothing_crosses_between_tenants_of_their_own_rules():
    throw({"*": None, "acme": OWN, "beta": OWN}, POLICY)


def test_nothing_crosses_between_tenants_of_the_same_rules():
    # one entry, loaded once, decides for both; and what is delivered is made for each audience
    throw({"*": OWN}, POLICY.replace("--[[per audience]]", PER_AUDIENCE))


main()
