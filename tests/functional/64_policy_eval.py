#!/usr/bin/python3
# hookwire policy eval: what the hooks of a configuration answer, which of them decided, and what is said when it cannot be asked.
import contextlib
import json
import pathlib
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

GUARD = """return policy { api = 1, authorize = {
  subscribe = function(s, topic) if topic.resource == "closed" then return deny("forbidden_topic", "closed today") end return allow() end } }"""
FIRST = """return policy { api = 1, authorize = {
  subscribe = function(s, topic) if topic.id == s.claims.own then return allow() end end,
  wildcard = function(s) if s.claims.role == "admin" then return allow() end end,
  publish = function(s) return s.no.thing end,
  presence = function(s, topic, ctx) ctx.sleep(30) return allow() end } }"""
SECOND = """return policy { api = 1,
  authorize = { subscribe = function(s, topic, ctx)
    if not ctx.config.url then return deny("forbidden_topic", "not yours") end
    local r = ctx.http.get(ctx.config.url, { query = { user = s.user_id } })
    if not r.ok then return unavailable("the service is away") end
    return r.json.may and allow() or deny() end },
  transform = function(event) if event.event == "DELETED" then return nil end event.data.seen = true return event end }"""


@contextlib.contextmanager
def configuration(second=None):
    with temporary_directory() as directory:
        for name, text in (("guard", GUARD), ("first", FIRST), ("second", SECOND)):
            (directory / f"{name}.lua").write_text(text)
        (directory / "hw.json").write_text(json.dumps({
            "hooks": [{"plugin": "jwt", "config": {"keys": [{"alg": "HS256", "secret": SECRET}]}}, {"lua": "guard.lua"}],
            "tenants": {"acme": {"hooks": [{"lua": "first.lua"}, {"lua": "second.lua", "config": second or {}}]}}}))
        yield directory


def ask(directory, *words, claims="{}", code=None):
    done = cli("policy", "eval", "-c", "hw.json", "--tenant", "acme", "--user", "bob", "--claims", claims, "--explain", *words, cwd=directory)
    if code is not None:
        equal(done.returncode, code, f"exit code of {words}: {done.stdout}{done.stderr}")
    return re.sub(r"\d+\.\d ms", "N ms", done.stdout)


def test_it_says_what_each_hook_answered():
    with configuration() as directory:
        equal(ask(directory, "subscribe", "doc:1", claims='{"own":"1"}', code=0), """allow
asked: subscribe doc:1 as bob of acme, claims {"own":"1"}
decided by: first
  global  jwt (jwt): not asked: it has no function for this
  global  guard (guard.lua): allow, N ms
  tenant  first (first.lua): allow, N ms
  tenant  second (second.lua): not reached
""", "an entry allows")
        equal(ask(directory, "subscribe", "doc:1", code=1), """deny forbidden_topic: not yours
asked: subscribe doc:1 as bob of acme, claims {}
decided by: second
  global  jwt (jwt): not asked: it has no function for this
  global  guard (guard.lua): allow, N ms
  tenant  first (first.lua): no opinion, N ms
  tenant  second (second.lua): deny forbidden_topic: not yours, N ms
""", "the next one denies")
        out = ask(directory, "subscribe", "closed:1", claims='{"own":"1"}', code=1)
        contains(out, "deny forbidden_topic: closed today\n", "a guard denies")
        contains(out, "decided by: guard\n", "a guard denies")
        contains(out, "  tenant  first (first.lua): not reached\n", "a guard denies")


def test_the_wildcard_is_another_question():
    with configuration() as directory:
        contains(ask(directory, "subscribe", "doc:*", claims='{"own":"*"}', code=1), "decided by: nobody\n", "nobody says anything")
        contains(ask(directory, "subscribe", "doc:*", claims='{"role":"admin"}', code=0), "decided by: first\n", "an admin")


def test_an_error_is_told_with_its_reason():
    with configuration() as directory:
        out = ask(directory, "publish", "doc:1", '{"topic":"doc:1"}', code=1)
        contains(out, "unavailable\n", "answer")
        contains(out, "first (first.lua): unavailable (", "explanation")
        contains(out, "first.lua:4: attempt to index a nil value (field 'no')", "explanation")


def test_hooks_wait_and_ask_other_services():
    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"may": self.path.endswith("user=bob")}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    with HTTPServer(("127.0.0.1", 0), Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        with configuration({"url": f"http://127.0.0.1:{service.server_port}/may"}) as directory:
            contains(ask(directory, "subscribe", "doc:1", code=0), "decided by: second\n", "the service says yes")
            found = re.search(r"first.lua\): allow, (\d+\.\d) ms", cli("policy", "eval", "-c", "hw.json", "--tenant", "acme", "--user", "bob", "--explain",
                                                                      "presence", "doc:1", cwd=directory).stdout)
            check(found and float(found[1]) >= 29, f"a wait of 30 ms, of a clock that counts whole ones, took {found and found[1]} ms")
        service.shutdown()
        port = service.server_port
    with configuration({"url": f"http://127.0.0.1:{port}/may"}) as directory:
        contains(ask(directory, "subscribe", "doc:1", code=1), "unavailable: the service is away\n", "the service is away")


def test_what_it_publishes_is_said_and_not_done():
    with configuration() as directory:
        (directory / "first.lua").write_text("""return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)
          ctx.publish { topic = "audit:1", event = "ADDED", data = { entity_id = s.user_id } }
          return allow() end } }""")
        contains(ask(directory, "subscribe", "doc:1", code=0), 'first would publish to acme: {"', "what is published")


def test_transform_shows_the_event():
    with configuration() as directory:
        out = ask(directory, "transform", '{"topic":"doc:1","event":"UPDATED","data":{"n":1.50}}', code=0)
        contains(out, 'allow\n{"topic":"doc:1","event":"UPDATED","data":{"n":1.50,"seen":true}}\n', "the event")
        contains(out, "second (second.lua): changed it, N ms", "explanation")
        contains(ask(directory, "transform", '{"event":"DELETED"}', code=1), "drop\n", "dropped")


FILTERS = """return policy { api = 1, reads = { filter = { "claims.role", "user" }, redact = { "claims.role" } },
  filter = function(event, audience) if audience.user == "boom" then return event.no.thing end return audience.claims.role ~= "guest" end,
  redact = function(event, audience) if audience.claims.role == "child" then event.data.payload.price = nil end return event end }"""
EVENT = '{"topic":"doc:1","event":"UPDATED","data":{"entity_id":"1","payload":{"price":1.50,"name":"bike"}}}'


def test_filter_shows_who_gets_what_of_an_event():
    with configuration() as directory:
        (directory / "second.lua").write_text(FILTERS)
        equal(ask(directory, "filter", EVENT, claims='{"role":"child"}', code=0), """allow
{"topic":"doc:1","event":"UPDATED","data":{"entity_id":"1","payload":{"name":"bike"}}}
asked: filter as bob of acme, claims {"role":"child"}
decided by: second
  tenant  second (second.lua) filter: pass, from claims.role = "child", user = "bob", N ms
  tenant  second (second.lua) redact: changed it, from claims.role = "child", N ms
  global  jwt (jwt): not asked: it has no function for this
  global  guard (guard.lua): not asked: it has no function for this
  tenant  first (first.lua): not asked: it has no function for this
""", "a child")
        out = ask(directory, "--event", EVENT, "--audience", '{"user_id":"ann","claims":{}}', "filter", code=0)
        contains(out, f"allow\n{EVENT}\n", "nobody's child gets all of it, byte for byte")
        contains(out, 'filter: pass, from claims.role = absent, user = "ann", N ms', "and why")
        contains(out, "redact: left it alone, from claims.role = absent, N ms", "and why")
        out = ask(directory, "--audience", '{"claims":{"role":"guest"}}', "filter", EVENT, code=1)
        contains(out, "withheld\n", "a guest")
        contains(out, 'second (second.lua) filter: withhold, from claims.role = "guest", user = "bob", N ms', "and why")
        check("redact:" not in out and EVENT not in out, f"what a guest is told: {out}")
        out = ask(directory, "--audience", '{"user":"boom"}', "filter", EVENT, code=1)
        contains(out, "withheld: a hook failed\n", "a hook that fails")
        contains(out, "second.lua:2: attempt to index a nil value (field 'no')), from", "and how")
        (directory / "second.lua").write_text(SECOND)
        contains(ask(directory, "filter", EVENT, code=0), "decided by: nobody: no hook has a filter or a redact\n", "without filters all get all")


def test_authenticate_shows_the_identity():
    with configuration() as directory:
        def who(token, **env):
            return cli("policy", "eval", "-c", "hw.json", "--explain", "authenticate", *([token] if token else []), cwd=directory, env=env)
        done = who(mint("u1", role="r"))
        equal(done.returncode, 0, done.stdout)
        contains(done.stdout, "user u1 of tenant acme, claims {", "identity")
        contains(done.stdout, "decided by: jwt\n", "identity")
        equal(who(None, HOOKWIRE_TOKEN=mint("u1")).returncode, 0, "from the environment")
        equal(who("a.b.c").returncode, 1, "no token")
        done = who(mint("u1", tenant="other"))
        equal(done.returncode, 1, done.stdout)
        contains(done.stdout, "deny forbidden_topic: this tenant is not served here\n", "another tenant")


def test_rights_of_back_ends_are_told():
    with configuration() as directory:
        config = json.loads((directory / "hw.json").read_text())
        config["hooks"][0]["config"]["act_as"] = {"claim": "role", "equals": "service"}
        config["tenants"]["acme"]["hooks"].insert(0, {"lua": "grant.lua"})
        (directory / "hw.json").write_text(json.dumps(config))
        (directory / "grant.lua").write_text("return policy { api = 1, authorize = { publish = function(s) "
                                             "return allow { act_as = s.claims.role == 'service' } end } }")
        for role, acts in (("service", True), ("member", False)):
            done = cli("policy", "eval", "-c", "hw.json", "authenticate", mint("u1", role=role), cwd=directory)
            equal((done.returncode, "acts for others" in done.stdout), (0, acts), f"{role}: {done.stdout}")
            out = ask(directory, "publish", "t:1", claims=json.dumps({"role": role}), code=0)
            equal("allow, and may name another user\n" in out, acts, f"{role}: {out}")


def test_what_cannot_be_asked_exits_2():
    with configuration() as directory:
        for words, said in (((), "it asks nothing"), (("frob",), "it asks nothing"), (("subscribe",), "needs a TOPIC"),
                            (("subscribe", "T"), "the topic is none"), (("publish", "t:*"), "the topic is none"), (("transform", "5"), "JSON object"),
                            (("subscribe", "t:1", "more"), "too many"), (("--claims", "[]", "subscribe", "t:1"), "--claims"),
                            (("filter",), "JSON object"), (("filter", '{"topic":"t:1"}'), "the EVENT is none"),
                            (("--audience", "[]", "filter", EVENT), "--audience is a JSON object"),
                            (("--audience", '{"role":"x"}', "filter", EVENT), "--audience has user_id"),
                            (("--audience", "{}", "subscribe", "t:1"), "--audience is of filter"),
                            (("--event", EVENT, "transform", EVENT), "too many"),
                            (("--tenant", "other", "subscribe", "t:1"), "not served")):
            done = cli("policy", "eval", "-c", "hw.json", "--tenant", "acme", "--user", "bob", *words, cwd=directory)
            equal((done.returncode, done.stdout), (2, ""), f"result of {words}")
            contains(done.stderr, said, str(words))
        (directory / "first.lua").write_text("return policy { api = 1, authorise = {} }")
        done = cli("policy", "eval", "-c", "hw.json", "--tenant", "acme", "--user", "bob", "subscribe", "t:1", cwd=directory)
        equal((done.returncode, done.stdout), (2, ""), "result with a broken policy")
        contains(done.stderr, "did you mean 'authorize'", "broken policy")


main()
