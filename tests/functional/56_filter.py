#!/usr/bin/python3
# Who sees what: filter and redact by role, view changes, slow clients, reloads, errors, undeclared reads; in Lua and in C.
# ctest: timeout=120
import json
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

TOPIC = "gift:1"
OPEN = """
  authorize = { subscribe = function() return allow() end, publish = function() return allow() end,
                wildcard = function() return allow() end },"""
# Guests see what is public, staff all but what is secret; only staff see prices.
ROLES = "return policy { api = 1," + OPEN + """
  reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  filter = function(event, audience)
    local payload, role = event.data.payload, audience.claims.role
    if payload == nil or role == "admin" then return true end
    if role == "staff" then return not payload.secret end
    return payload.public == true
  end,
  redact = function(event, audience)
    if audience.claims.role ~= "admin" and audience.claims.role ~= "staff" and event.data.payload then
      event.data.payload.price = nil
    end
    return event
  end,
}"""
NAMES = ("admin", "staff", "guest", "nobody")


def chain(lua, workers=1, **more):
    return {"workers": workers, "tenants": {"*": {"hooks": [{"name": "roles", "lua": "roles.lua"}],
                                                  "limits": {"publish_per_s": 1000000}}}, **more}, {"roles.lua": lua}


def broker_of(lua, workers=1, **more):
    config, files = chain(lua, workers, **more)
    return Broker(config, files=files)


def client(broker, role, topic=TOPIC, **options):
    claims = {} if role == "nobody" else {"role": role}
    c = WsClient(broker.address, token=mint(f"u-{role}", **claims), **options)
    c.request({"type": "subscribe", "topics": [topic]})
    return c


def publish(broker, event="UPDATED", payload=None, previous=None, **more):
    data = {"entity_id": "g1", **more}
    if payload is not None:
        data["payload"] = payload
    if previous is not None:
        data["previous"] = previous
    answer = broker.publish(TOPIC, event, data)
    equal(answer.status, 200, "publish")
    return answer.json()["id"]


def fence(broker, clients):
    """What each client got before an event that all may see."""
    publish(broker, "FENCE", {"public": True})
    result = []
    for c in clients:
        got = []
        while True:
            event = c.recv_event()
            if event["event"] == "FENCE":
                break
            got.append(event)
        result.append(got)
    return result


def test_each_role_sees_its_events_and_its_part_of_them():
    for workers in (1, 2):
        with broker_of(ROLES, workers) as broker:
            clients = [client(broker, name) for name in NAMES] + [client(broker, "guest", "gift:*") for _ in range(3)]
            first = publish(broker, payload={"price": 5, "public": True})
            publish(broker, payload={"price": 6})
            publish(broker, payload={"price": 7, "secret": True})
            got = fence(broker, clients)
            prices = [[e["data"]["payload"].get("price") for e in events] for events in got]
            equal(prices, [[5, 6, 7], [5, 6], [None], [None], [None], [None], [None]], f"prices, {workers} workers")
            for events in got:
                equal(events[0]["id"], first, "the event's id")
                equal(sorted(events[0]), ["data", "event", "id", "topic", "trace_id"], "members of what is redacted")
                equal(events[0]["data"]["user_id"], "backend", "who published")
            for c in clients:
                c.close()


def test_calls_are_counted_by_class_and_recipients_by_number():
    with broker_of(ROLES) as broker:
        clients = [client(broker, name) for name in NAMES for _ in range(5)]
        for i in range(10):
            publish(broker, payload={"price": i})
        calls = {stage: broker.metric("hookwire_hook_calls_total", hook="roles", stage=stage) for stage in ("filter", "redact")}
        fence(broker, clients)
        equal(calls, {"filter": 10 * 4, "redact": 10 * 2}, "calls for 20 recipients in 4 classes, 2 of which see it")
        equal(broker.metric("hookwire_events_withheld_total", reason="filtered"), 100, "events withheld")
        for c in clients:
            c.close()


def test_view_changes():
    public, staff, secret = {"public": True}, {}, {"secret": True}
    with broker_of(ROLES, 2) as broker:
        clients = [client(broker, name) for name in ("admin", "staff", "guest")]
        cases = [  # event, before, after -> what admin, staff and guest get
            ("UPDATED", public, public, "UPDATED UPDATED UPDATED"), ("UPDATED", public, staff, "UPDATED UPDATED DELETED"),
            ("UPDATED", staff, public, "UPDATED UPDATED ADDED"), ("STATUS_CHANGED", public, secret, "STATUS_CHANGED DELETED DELETED"),
            ("STATUS_CHANGED", secret, staff, "STATUS_CHANGED ADDED -"), ("UPDATED", secret, secret, "UPDATED - -"),
            ("DELETED", staff, public, "DELETED DELETED -"), ("DELETED", staff, staff, "DELETED DELETED -"),
        ]
        for event, before, after, expected in cases:
            publish(broker, event, {**after, "price": 1}, {**before, "price": 2}, mutation_id="m1")
            got = fence(broker, clients)
            equal(" ".join(events[0]["event"] if events else "-" for events in got), expected, f"{event}: {before} -> {after}")
            check("previous" not in json.dumps(got), f"previous in {got}")
            for events in got:
                for e in events:
                    if e["event"] == "DELETED" and event != "DELETED":
                        equal(sorted(e["data"]), ["entity_id", "tenant_id", "timestamp", "user_id"], "data of a DELETED")
                    elif e["event"] == "ADDED":
                        equal(e["data"]["mutation_id"], "m1", "what else is in an ADDED")
        for c in clients:
            c.close()


def read_again(broker, role, cursor):
    """What a role gets of everything behind a cursor, up to the fence, by each way to read it: way -> events."""
    token = mint(f"u-{role}", role=role)
    ways = {}
    with WsClient(broker.address, token=token, query={"topics": TOPIC, "cursor": cursor}) as c:
        ways["websocket"] = until_fence(c)
    with SseClient(broker.address, TOPIC, token=token, last_id=cursor) as c:
        ways["stream"] = until_fence(c)
    for way, path in (("poll", f"/poll?topics={TOPIC}&wait=0&cursor={cursor}"), ("history", f"/topics/{TOPIC}/history?cursor={cursor}")):
        answer = http(broker.address, "GET", path, token=token)
        equal((answer.status, answer.json()["gap"]), (200, False), way)
        ways[way] = answer.json()["events"]
        equal(ways[way].pop()["event"], "FENCE", f"the end of {way}")
    with WsClient(broker.address, token=token) as c:
        ways["history, by WebSocket"] = c.request({"type": "history", "topic": TOPIC, "cursor": cursor, "id": 1})["events"]
        equal(ways["history, by WebSocket"].pop()["event"], "FENCE", "its end")
    return ways


def until_fence(client):
    got = []
    while (event := client.recv_event())["event"] != "FENCE":
        got.append(event)
    return got


def test_view_changes_are_the_same_live_and_read_again():
    views = {"public": {"public": True}, "staff": {}, "secret": {"secret": True}}
    with broker_of(ROLES, 2) as broker:
        roles = ("admin", "staff", "guest")
        clients = [client(broker, name) for name in roles]
        cursor = http(broker.address, "GET", "/cursor", token=mint("u")).json()["cursor"]
        for before in views.values():
            for after in views.values():
                publish(broker, "UPDATED", {**after, "price": 1}, {**before, "price": 2})
        live = fence(broker, clients)
        # public, staff, secret: before by row, after by column
        equal([[e["event"][0] for e in events] for events in live],
              [list("UUUUUUUUU"), list("UUDUUDAA"), list("UDDAA")], "live: who keeps, loses and gains sight")
        for c in clients:  # what was decided for them is nobody's now
            c.close()
        wait_until(lambda: broker.metric("hookwire_sessions") == 0, 10, "they have gone")
        for role, events in zip(roles, live):
            for way, again in read_again(broker, role, cursor).items():
                for first, second in zip(events, again):
                    equal(second, first, f"{role}, {way}")
                equal(len(again), len(events), f"{role}, {way}: how many")
                check("previous" not in json.dumps(again), f"{role}, {way}: previous is told")


def test_previous_is_never_delivered_without_filters_either():
    with Broker() as broker, WsClient(broker.address, token=mint("u1")) as c:
        c.subscribe(TOPIC)
        for previous in ({"secret": 1}, [1], "x", 0, False, {"nested": {"previous": 1}}):
            publish(broker, payload={"n": 1}, previous=previous)
            event = c.recv_event()
            equal(sorted(event["data"]), ["entity_id", "payload", "tenant_id", "timestamp", "user_id"], "members of data")
        raw = '{"topic":"gift:1","event":"UPDATED","data":{"entity_id":"g","pre\\u0076ious":{"a":1},"payload":2}}'
        answer = http(broker.address, "POST", "/publish", [("Content-Type", "application/json")], raw.encode(), token=mint("b"))
        equal(answer.status, 200, "an escaped name")
        check("ious" not in json.dumps(c.recv_event()), "an escaped name is the same name")


def test_a_slow_client_is_caught_up_with_what_it_may_see():
    count, fill = 1500, "x" * 8000
    with broker_of(ROLES, slow={"outbox_bytes": 16384, "deadline_ms": 60000}) as broker:
        slow = client(broker, "guest", receive_buffer=4096)
        quick = client(broker, "guest")
        with HttpConnection(broker.address) as connection:
            bearer = [("Authorization", "Bearer " + mint("backend"))]
            for first in range(0, count, 50):
                items = [{"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "e", "payload": {
                    "n": n, "price": n, "public": n % 3 != 0, "fill": fill}}} for n in range(first, first + 50)]
                equal(connection.request("POST", "/publish", bearer, items).status, 200, "publish")
                for _ in range(sum(n % 3 != 0 for n in range(first, first + 50))):
                    quick.recv_event()
        # a slow build's hub leaves it to read for itself before its socket is full
        check(stretched() or broker.metric("hookwire_slow_sessions_total") > 0, "it fell behind")
        expected = [n for n in range(count) if n % 3]
        got = [slow.recv_event(timeout=20.0)["data"]["payload"] for _ in expected]
        equal([p["n"] for p in got], expected, "what the slow one gets when it reads")
        check(not any("price" in p for p in got), "prices")
        publish(broker, "FENCE", {"public": True})
        equal(slow.recv_event()["event"], "FENCE", "and live again")
        slow.close()
        quick.close()


def test_past_256_classes_everybody_has_every_event_once_and_in_order():
    people, count = 300, 20
    lua = "return policy { api = 1," + OPEN + """
      reads = { filter = { "user" } },
      filter = function(event, audience) return event.data.payload.n % 2 == 0 or audience.user ~= "p7" end }"""
    with broker_of(lua) as broker:
        clients = [WsClient(broker.address, token=mint(f"p{i}")) for i in range(people)]
        for c in clients:
            c.subscribe(TOPIC)
        items = [{"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "e", "payload": {"n": n}}} for n in range(count)]
        equal(http(broker.address, "POST", "/publish", body=items, token=mint("backend")).status, 200, "publish")
        for i, c in enumerate(clients):
            expected = [n for n in range(count) if n % 2 == 0 or i != 7]
            equal([c.recv_event()["data"]["payload"]["n"] for _ in expected], expected, f"what p{i} gets")
        equal(broker.metric("hookwire_hook_calls_total", hook="roles", stage="filter"), people * count, "calls")
        equal(broker.metric("hookwire_events_withheld_total", reason="filtered"), count // 2, "withheld")
        for c in clients:
            c.close()


def test_a_reload_decides_from_the_next_event_on():
    only = "return policy { api = 1," + OPEN + """
      reads = { filter = { "claims.role" } },
      filter = function(event, audience) return event.event == "FENCE" or audience.claims.role == "%s" end }"""
    with broker_of(only % "staff", 2) as broker:
        clients = {name: client(broker, name) for name in ("staff", "guest")}

        def receivers():
            publish(broker, payload={})
            return [name for name, got in zip(clients, fence(broker, clients.values())) if got]
        equal(receivers(), ["staff"], "before")
        for name in ("guest", "staff"):
            mark = broker.log_mark()
            broker.write_file("roles.lua", only % name)
            broker.sighup()
            broker.wait_log("reloaded", since=mark)
            equal(receivers(), [name], "after a reload")
        mark = broker.log_mark()
        broker.write_file("roles.lua", "return policy { api = 1," + OPEN + "}")
        broker.sighup()
        broker.wait_log("reloaded", since=mark)
        equal(receivers(), ["staff", "guest"], "without a filter")
        for c in clients.values():
            c.close()


def test_a_refreshed_token_with_another_role_sees_other_events():
    with broker_of(ROLES) as broker, client(broker, "guest") as c:
        publish(broker, payload={"price": 1})
        contains(c.request({"type": "auth", "token": mint("u-guest", role="staff")}), {"ok": True}, "refresh")
        publish(broker, payload={"price": 2})
        equal([e["data"]["payload"] for e in fence(broker, [c])[0]], [{"price": 2}], "what it sees")


def test_what_is_not_declared_is_an_error_that_says_what_to_add():
    lua = "return policy { api = 1," + OPEN + """
      reads = { filter = { "claims.role" } },
      filter = function(event, audience) if event.event == "FENCE" then return true end return %s end }"""
    cases = {"audience.claims.team == nil": r"add .{1,2}claims\.team.{1,2} to reads\.filter",
             "audience.user ~= ''": r"add .{1,2}user.{1,2} to reads\.filter",
             "audience.tenant_id": r"add .{1,2}tenant_id.{1,2} to reads\.filter", "pairs(audience)": "read by name",
             "error('e2')": "e2", "allow()": "filter must return true or false"}
    for body, said in cases.items():
        with broker_of(lua % body) as broker, client(broker, "staff") as c, client(broker, "staff") as d:
            publish(broker, payload={"n": 1})
            equal(fence(broker, [c, d]), [[], []], f"what {body} lets through")
            broker.wait_log(said)
            equal(broker.metric("hookwire_events_withheld_total", reason="failed"), 2, "withheld")
            equal(broker.metric("hookwire_hook_errors_total", hook="roles", stage="filter"), 1, "errors")


def test_what_is_not_declared_is_an_error_also_where_it_is_read_again():
    for stage, yes in (("filter", "true"), ("redact", "event")):
        lua = "return policy { api = 1," + OPEN + f"""
          reads = {{ {stage} = {{ "claims.role" }} }},
          {stage} = function(event, audience)
            if event.event ~= "FENCE" and audience.claims.team == nil then return {yes} end
            return event.event == "FENCE" and {yes} or nil
          end }}"""
        with broker_of(lua) as broker:
            cursor = http(broker.address, "GET", "/cursor", token=mint("u")).json()["cursor"]
            publish(broker, payload={"n": 1})
            publish(broker, "FENCE", {"public": True})
            equal(broker.metric("hookwire_hook_calls_total", hook="roles", stage=stage), 0, "calls while nobody is there")
            for way, events in read_again(broker, "staff", cursor).items():
                equal(events, [], f"what an undeclared read in {stage} lets through, {way}")
            broker.wait_log(rf"add .{{1,2}}claims\.team.{{1,2}} to reads\.{stage}")
            check(broker.metric("hookwire_events_withheld_total", reason="failed") > 0, "it is counted as failed")


def test_filter_and_redact_never_wait():
    for stage in ("filter", "redact"):
        lua = "local kept\nreturn policy { api = 1," + OPEN.replace("subscribe = function() return", "subscribe = function(s, t, ctx) kept = ctx return") + f"""
          {stage} = function(event) if event.event ~= "FENCE" then kept.sleep(1) end return {"true" if stage == "filter" else "event"} end }}"""
        with broker_of(lua) as broker, client(broker, "staff") as c:
            publish(broker, payload={"n": 1})
            equal(fence(broker, [c]), [[]], f"what a {stage} that would wait lets through")
            equal(broker.metric("hookwire_hook_errors_total", hook="roles", stage=stage), 1, "errors")
            broker.wait_log(f"hook failed hook=roles .*stage={stage} why=.*sleep")


def test_what_redact_makes_stays_an_event_of_its_topic():
    for spoil in ("event.topic = 'elsewhere:1'", "event.topic = nil", "event.data.entity_id = nil", "event.event = 5"):
        lua = "return policy { api = 1," + OPEN + f"""
          redact = function(event) if event.event ~= "FENCE" then {spoil} end return event end }}"""
        with broker_of(lua) as broker, client(broker, "staff") as c:
            publish(broker, payload={"n": 1})
            equal(fence(broker, [c]), [[]], f"what {spoil} leaves")
            equal(broker.metric("hookwire_events_withheld_total", reason="failed"), 1, "withheld")


def test_a_filter_that_never_ends_withholds():
    if not lua_can_be_ended():
        return
    lua = "return policy { api = 1," + OPEN + """
      filter = function(event) if event.event == "FENCE" then return true end while true do end end }"""
    with broker_of(lua) as broker, client(broker, "staff") as c:
        publish(broker, payload={"n": 1})
        equal(fence(broker, [c]), [[]], "what is let through")


PLUGIN = """
#define _GNU_SOURCE
#include <string.h>
#include <hookwire/plugin.h>
static enum hw_verdict filter(struct hw_call *call, struct hw_slice event)
{
	char kind, scratch[64];
	struct hw_slice role;
	if (memmem(event.p, event.len, "\\"unsure\\"", 8))
		return HW_DEFER;
	if (call->host->audience(call, "claims.role", &kind, &role, scratch, sizeof(scratch)) != 0)
		return HW_DENY;
	return kind == 's' && role.len == 5 && memcmp(role.p, "staff", 5) == 0 ? HW_ALLOW : HW_DENY;
}
static const char *const reads[] = {"claims.role", NULL};
static const struct hw_plugin plugin = {.magic = HW_PLUGIN_MAGIC, .size = sizeof(plugin), .major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR, .name = "staff", .version = "1", .filter_reads = reads, .filter = filter};
HW_PLUGIN_EXPORT(&plugin)
"""


def test_a_plugin_and_a_policy_must_both_let_it_through():
    with temporary_directory() as tmp:
        source, target = pathlib.Path(tmp) / "staff.c", pathlib.Path(tmp) / "staff.so"
        source.write_text(PLUGIN)
        subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{ROOT / 'core/include'}", "-o", target, source],
                       check=True)
        config, files = chain(ROLES)
        config["tenants"]["*"]["hooks"].insert(0, {"name": "staff", "plugin": str(target)})
        with Broker(config, files=files) as broker:
            clients = [client(broker, name) for name in ("admin", "staff", "guest")]
            id_ = publish(broker, payload={"public": True})
            publish(broker, payload={"secret": True})
            publish(broker, payload={"public": True, "unsure": True})
            last = publish(broker, payload={})
            equal(clients[1].recv_event()["id"], id_, "the first that staff gets")
            equal(clients[1].recv_event()["id"], last, "the next: neither the secret one nor the one that the plugin has no opinion of")
            for c in clients:  # one worker: what it queued before comes before the pong
                skipped = []
                c.request({"type": "ping", "id": 1}, skipped=skipped)
                equal(skipped, [], "what the others get")
                c.close()


main()
