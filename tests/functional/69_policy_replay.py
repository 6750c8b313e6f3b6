#!/usr/bin/python3
# hookwire policy replay: a policy's edit changes exactly the decisions that it must, and what cannot be known is not guessed.
# ctest: timeout=120
import contextlib
import json
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

POLICY = """return policy { api = 1,
  reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = {
    subscribe = function(s, topic) if topic.resource == "doc" then return allow() end return deny("forbidden_topic", "not a doc") end,
    wildcard = function(s, topic, ctx) ctx.sleep(5) return allow() end,
    publish = function(s, topic, ctx, event) return allow() end },
  transform = function(event) if event.event == "DELETED" then return nil end return event end,
  filter = function(event, audience) return audience.claims.role ~= "guest" end,
  redact = function(event, audience) if audience.claims.role == "child" then event.data.payload = nil end return event end }"""
LINE = {"time": "2026-01-01T12:00:00.000Z", "stage": "authorize", "op": "subscribe", "tenant": "acme", "user_id": "bob", "session": "s1",
        "address": "192.0.2.1", "claims": {"role": "member"}, "topic": "doc:1", "verdict": "allow", "by": "p"}


def config(hooks=None, **more):
    return {"hooks": [{"plugin": "jwt", "config": {"keys": [{"alg": "HS256", "secret": SECRET}]}}],
            "tenants": {"acme": {"hooks": hooks or [{"lua": "p.lua"}]}}, **more}


def replay(lines, policy=POLICY, *options, conf=None, text=None, files=None):
    """Replays lines (dicts) against a policy: the exit code and what --json says."""
    with temporary_directory() as directory:
        (directory / "p.lua").write_text(policy)
        (directory / "hw.json").write_text(json.dumps(conf or config()))
        for name, content in (files or {}).items():
            (directory / name).write_text(content)
        (directory / "d.ndjson").write_text(text if text is not None else "".join(json.dumps(line) + "\n" for line in lines))
        done = cli("policy", "replay", "-c", "hw.json", "--json", *options, "d.ndjson", cwd=directory)
        check(done.returncode in (0, 1), f"{done.returncode}: {done.stderr}")
        return done.returncode, json.loads(done.stdout)


def outcome(line, policy=POLICY, *options, **more):
    """Of one line: "same", (before, after), or why it is not known."""
    code, told = replay([line], policy, *options, **more)
    equal(code, told["changed"], "exit code")
    if told["not_replayed"]:
        equal((told["replayed"], told["changed"]), (0, 0), "a line that is not replayed")
        (reason, one), = told["not_replayed_by"].items()
        return reason, one["first"]
    return (told["changes"][0]["before"], told["changes"][0]["after"]) if told["changed"] else "same"


@contextlib.contextmanager
def a_real_run(**decisions):
    change = {"tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}},
              "decisions": {"path": "decisions.ndjson", "sample": 1, "stages": ["authenticate", "authorize", "transform", "filter"], **decisions}}
    with Broker(change, files={"p.lua": POLICY}) as broker:
        with WsClient(broker.address, token=mint("alice", role="member")) as alice, WsClient(broker.address, token=mint("greg", role="guest")) as greg:
            for topic in ("doc:1", "doc:2", "doc:3"):
                alice.subscribe(topic)
                greg.subscribe(topic)
            alice.request({"type": "subscribe", "topics": ["note:1", "note:2"]})
            alice.subscribe("doc:*")
            broker.publish("doc:1", data={"entity_id": "1", "payload": {"n": 1}})
            broker.publish("doc:2", "DELETED", data={"entity_id": "1"})
            alice.recv_event()
        path = broker.dir / "decisions.ndjson"
        wait_until(lambda: path.exists() and path.read_text().count('"stage":"filter"') >= 2 and path.read_text().count('"stage":"transform"') == 2,
                   10, "the run is in the log")
        yield broker, path


def run_on(broker, policy, *options):
    (broker.dir / "new.lua").write_text(policy)
    (broker.dir / "new.json").write_text(json.dumps(config([{"name": "p", "lua": "new.lua"}])))
    return cli("policy", "replay", "-c", "new.json", *options, "decisions.ndjson", cwd=broker.dir)


def test_an_edit_changes_exactly_the_decisions_that_it_must():
    with a_real_run() as (broker, path):
        told = json.loads(run_on(broker, POLICY, "--json").stdout)
        authenticated = path.read_text().count('"stage":"authenticate"')
        equal((told["changed"], told["not_replayed"], told["not_replayed_by"]["authenticate"]["count"], list(told["not_replayed_by"])),
              (0, authenticated, authenticated, ["authenticate"]), "the same policy")
        equal(told["decisions"], len(path.read_text().splitlines()), "all lines")
        equal(run_on(broker, POLICY).returncode, 0, "exit code when nothing changes")
        edits = {
            'topic.resource == "doc"': ('topic.resource == "doc" and topic.id ~= "2"', [("allow", "deny forbidden_topic", 2)]),
            'deny("forbidden_topic", "not a doc")': ("allow()", [("deny forbidden_topic", "allow", 2)]),
            'event.event == "DELETED"': ("false", [("deny forbidden_topic", "allow", 1)]),
            'audience.claims.role ~= "guest"': ("true", [("deny", "allow", 1)]),
            'audience.claims.role == "child"': ("true", [("allow", "allow, another event", 1)]),
            "ctx.sleep(5) return allow()": ("return s.no.thing", [("allow", "error", 1)]),
            "function(s, topic, ctx, event) return allow()": ("function() return allow { act_as = true }", [("allow", "allow, may name another user", 2)]),
        }
        for old, (new, expected) in edits.items():
            check(old in POLICY, old)
            done = run_on(broker, POLICY.replace(old, new), "--json")
            told = json.loads(done.stdout)
            equal(([(c["before"], c["after"], c["count"]) for c in told["changes"]], done.returncode), (expected, 1), f"{old} becomes {new}")
            equal(told["changed"], sum(n for *_, n in expected), f"changed when {old} becomes {new}")
        told = json.loads(run_on(broker, POLICY.replace('"doc"', '"note"'), "--json").stdout)
        equal(sorted((e["user_id"], e["topic"], e["before"], e["by_before"], e["after"], e["by_after"]) for e in told["examples"]),
              [("alice", f"doc:{n}", "allow", "p", "deny forbidden_topic", "p") for n in (1, 2, 3)]
              + [("alice", f"note:{n}", "deny forbidden_topic", "p", "allow", "p") for n in (1, 2)]
              + [("greg", f"doc:{n}", "allow", "p", "deny forbidden_topic", "p") for n in (1, 2, 3)], "which ones, and who decided")
        lines = path.read_text().splitlines()
        for e in told["examples"]:
            equal(json.loads(lines[e["line"] - 1])["topic"], e["topic"], "the line that an example names")


def test_for_people():
    with temporary_directory() as directory:
        (directory / "p.lua").write_text(POLICY)
        (directory / "hw.json").write_text(json.dumps(config()))
        denied = {**LINE, "user_id": "eve\u001b[31m", "topic": "note:1"}
        lines = [LINE, denied, {**LINE, "stage": "authenticate"}, {**LINE, "topic": "note:2"}, {**LINE, "topic": "doc:2", "verdict": "deny"}]
        (directory / "d.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"time":"2026')
        done = cli("policy", "replay", "-c", "hw.json", "--examples", "2", "d.ndjson", cwd=directory)
        equal((done.stdout, done.returncode), ("""5 decisions, 4 asked again: 3 would change
     2  allow -> deny forbidden_topic
     1  deny -> allow
the first of them:
  line 2: 2026-01-01T12:00:00.000Z acme "eve\\u001b[31m" authorize subscribe note:1: allow (p) -> deny forbidden_topic (p)
  line 4: 2026-01-01T12:00:00.000Z acme bob authorize subscribe note:2: allow (p) -> deny forbidden_topic (p)
not asked again: 1
     1  authenticate: the log holds no token
the last line is half a line and is left out
ctx.http: nothing was asked of the network; every request counts as unanswered
""", 1), "what is said")
        piped = cli("policy", "replay", "-c", "hw.json", "-", stdin=json.dumps(LINE) + "\n", cwd=directory)
        equal((piped.stdout.splitlines()[0], piped.returncode), ("1 decisions, 1 asked again: 0 would change", 0), "standard input")


def test_what_a_hook_may_have_looked_at_is_not_guessed():
    secret = {**LINE, "claims": {"role": "member", "email": None, "home": {"street": None, "town": "T"}}, "redacted": ["/claims/email", "/claims/home/street"]}
    for body, known in (
            ("return allow()", True),
            ('if s.claims.role == "member" then return allow() end', True),
            ('if s.claims.home.town == "T" then return allow() end', True),
            ('local keys = 0 for k in pairs(s.claims.home) do keys = keys + (k == "town" and 1 or 0) end return allow()', False),
            ('if s.claims.email ~= "x" then return allow() end', False),
            ('if s.claims.home.street then return deny() end return allow()', False),
            ('pcall(function() return #s.claims.email end) return allow()', False),
            ('for _, v in pairs(s.claims) do if v == "x" then return deny() end end return allow()', False),
            ('local k, v = next(s.claims) while k do k, v = next(s.claims, k) end return allow()', False),
            ('if rawget(s.claims, "email") then return deny() end return allow()', False),
            ('if ctx.json.encode(s.claims) == "x" then return deny() end return allow()', False),
            ('if ctx.json.encode(s.claims.home) == "x" then return deny() end return allow()', False)):
        got = outcome(secret, POLICY.replace("function(s, topic) if", "function(s, topic, ctx) " + body + " end, presence = function(s, topic) if"))
        if known:
            equal(got, "same", body)
        else:
            equal(got[0], "redacted", body)
            contains(got[1], "/claims/email", "it is named")
    for member in ("user_id", "address", "session"):
        line = {**LINE, member: None, "redacted": [f"/{member}"]}
        equal(outcome(line), "same", f"a policy that does not ask for {member}")
        equal(outcome(line, POLICY.replace("function(s, topic) if", f'function(s, topic) if s.{member} == "x" then return deny() end if'))[0],
              "redacted", f"one that does ask for {member}")
    equal(outcome({**LINE, "topic": None, "redacted": ["/topic"]})[0], "redacted", "no topic")
    equal(outcome({**LINE, "message": None, "redacted": ["/message"]}), "same", "the message is no input")


def test_a_redacted_event_is_known_as_far_as_hooks_look():
    event = {"topic": "doc:1", "event": "UPDATED", "data": {"entity_id": "1", "payload": {"price": None, "name": "bike"}}}
    line = {**LINE, "stage": "transform", "event": event, "redacted": ["/event/data/payload/price"]}
    line.pop("op")
    equal(outcome(line), "same", "a hook that looks at event.event")
    touching = POLICY.replace('event.event == "DELETED"', 'event.data.payload.name == "car"')
    equal(outcome(line, touching)[0], "redacted", "a hook that looks beside the price")
    encoding = POLICY.replace('function(event) if event.event == "DELETED"', 'function(event, ctx) if ctx.json.encode(event) == "x"')
    equal(outcome(line, encoding)[0], "redacted", "a hook that writes all of it as JSON")
    view = {**LINE, "stage": "filter", "event": event, "reads": ["claims.role"], "redacted": ["/event/data/payload/price"]}
    view.pop("op"), view.pop("user_id")
    equal(outcome(view), "same", "a filter that looks at nobody's price")
    equal(outcome({**view, "claims": {"role": None}, "redacted": ["/claims/role"]})[0], "redacted", "a filter that reads what is redacted")


def test_a_plugin_is_given_all_of_it():
    conf = config([{"plugin": "acl", "config": {"rules": [{"allow": ["subscribe"], "topics": ["doc:*"]}]}}])
    equal(outcome(LINE, conf=conf), "same", "with all that there was")
    got = outcome({**LINE, "claims": {"email": None}, "redacted": ["/claims/email"]}, conf=conf)
    equal(got[0], "redacted", "with something redacted")
    contains(got[1], "plugin acl", "which one")


def test_what_filters_read_must_have_been_logged():
    event = {"topic": "doc:1", "event": "UPDATED", "data": {"entity_id": "1", "payload": {}}}
    line = {**LINE, "stage": "filter", "event": event, "reads": ["claims.role"]}
    line.pop("op"), line.pop("user_id")
    equal(outcome(line), "same", "the same reads")
    equal(outcome({**line, "claims": {}, "verdict": "allow"}), "same", "a claim that the class did not have")
    equal(outcome(line, POLICY.replace("claims.role", "claims.team"))[:2], ("undeclared", "claims.team"), "another claim")
    reading_user = 'return policy { api = 1, reads = { filter = { "user" } }, filter = function(event, audience) return audience.user == "bob" end }'
    equal(outcome(line, reading_user), ("undeclared", "user"), "the user")
    equal(outcome({**line, "reads": ["user_id"], "user_id": "bob"}, reading_user), "same", "the user, who was logged")
    equal(outcome({**line, "reads": ["user_id"], "user_id": "eve"}, reading_user), ("allow", "deny"), "another user")


def test_http_is_answered_by_the_file_or_by_nobody():
    asking = POLICY.replace("function(s, topic) if", """function(s, topic, ctx) local r = ctx.http.get("http://acl.example/may", { query = { user = s.user_id } })
      if not r.ok then return allow() end if r.json.may then return allow() end if""").replace('"doc"', '"none"')
    equal(outcome(LINE, asking), ("http", "GET http://acl.example/may?user=bob"), "nobody answers, and what the policy makes of that is no answer")
    for may, expected in ((True, "same"), (False, ("allow", "deny forbidden_topic"))):
        stubs = json.dumps([{"url": "http://acl.example/may?user=bob", "times": 1, "json": {"may": may}}])
        equal(outcome(LINE, asking, "--http", "h.json", files={"h.json": stubs}), expected, f"the service says {may}")
        code, told = replay([LINE] * 3, asking, "--http", "h.json", files={"h.json": stubs})
        equal(told["changed"], 0 if may else 3, "each line has the answers anew")


def test_each_line_stands_alone_at_its_own_time():
    counting = POLICY.replace("function(s, topic) if", """function(s, topic, ctx) ctx.state.n = (ctx.state.n or 0) + 1
      if ctx.state.n > 1 or ctx.dict.incr("n", 1) > 1 then return deny() end if""")
    equal(replay([LINE] * 5, counting)[1]["changed"], 0, "a policy that counts")
    failing = POLICY.replace("function(s, topic) if", "function(s, topic) if topic.id == 'bad' then return unavailable('away') end if")
    bad = {**LINE, "topic": "doc:bad", "verdict": "error"}
    equal(replay([bad] * 20 + [LINE], failing)[1]["changed"], 0, "a breaker that opens in the broker does not open here")
    at_noon = POLICY.replace("function(s, topic) if", 'function(s, topic, ctx) if ctx.time.iso() ~= "2026-01-01T12:00:00.000Z" then return deny() end if')
    equal(outcome(LINE, at_noon), "same", "the clock")
    equal(outcome({**LINE, "time": "2026-01-01T13:00:00.000Z"}, at_noon)[0], "allow", "another time")
    equal(outcome({**LINE, "tenant": "other"}), ("allow", "deny, the tenant is not served"), "a tenant that is not served any more")


def test_a_plugin_that_counts_is_told_that_nobody_does_it():
    pace = {"name": "pace", "plugin": "ratelimit", "config": {"subscribe": {"per": "user", "rate": 0.001, "burst": 1},
                                                              "publish": {"per": "user", "rate": 0.001, "burst": 1}}}
    publish = {**LINE, "op": "publish", "event": {"topic": "doc:1", "event": "UPDATED", "data": {"entity_id": "1"}}}
    code, told = replay([LINE, LINE, LINE, publish, publish], conf=config([pace, {"lua": "p.lua"}]))
    equal((code, told["replayed"], told["changes"]), (0, 5, []), "what has been allowed is no second one")


def test_lines_that_are_none_are_counted_and_named():
    good = json.dumps(LINE) + "\n"
    for bad in ("nonsense", "[1]", '{"time":"t","stage":"authorize"}', json.dumps({**LINE, "op": "frob"}), json.dumps({**LINE, "stage": "frob"}),
                json.dumps({**LINE, "claims": "x"}), json.dumps({**LINE, "topic": "Not A Topic"})):
        code, told = replay([], text=good + bad + "\n" + good)
        equal((code, told["replayed"], told["not_replayed_by"]["unreadable"]["count"], told["not_replayed_by"]["unreadable"]["first_line"], told["torn"]),
              (0, 2, 1, 2, False), bad)
    for torn in (good[:-20], "{"):
        code, told = replay([], text=good + torn)
        equal((code, told["decisions"], told["replayed"], told["torn"], told["not_replayed"]), (0, 1, 1, True, 0), f"a torn line {torn!r}")
    equal(replay([], text=good + good[:-1])[1]["replayed"], 2, "a whole line without its newline")
    equal(replay([], text="")[1]["decisions"], 0, "an empty log")


def test_what_cannot_be_found_out_exits_2():
    with temporary_directory() as directory:
        (directory / "p.lua").write_text(POLICY)
        (directory / "hw.json").write_text(json.dumps(config()))
        (directory / "d.ndjson").write_text(json.dumps(LINE) + "\n")
        (directory / "text").write_text("no log\nat all\n")
        (directory / "stubs").write_text('[{"urll": 1}]')
        for words, said in (((), "it needs -c FILE"), (("-c", "hw.json"), "it needs a LOG"), (("-c", "hw.json", "d.ndjson", "x"), "a word too many"),
                            (("-c", "none.json", "d.ndjson"), "none.json"), (("-c", "hw.json", "none"), "No such file"),
                            (("-c", "hw.json", "text"), "it is no decision log"), (("-c", "hw.json", "--http", "stubs", "d.ndjson"), "needs a url"),
                            (("-c", "hw.json", "--examples", "x", "d.ndjson"), "--examples")):
            done = cli("policy", "replay", *words, cwd=directory)
            equal((done.returncode, done.stdout), (2, ""), f"result of {words}")
            contains(done.stderr, said, str(words))
        (directory / "p.lua").write_text("return policy { api = 1, authorise = {} }")
        done = cli("policy", "replay", "-c", "hw.json", "d.ndjson", cwd=directory)
        equal((done.returncode, done.stdout), (2, ""), "result with a broken policy")
        contains(done.stderr, "did you mean 'authorize'", "broken policy")


main()
