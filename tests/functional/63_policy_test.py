#!/usr/bin/python3
# hookwire policy test: cases in Lua, what of the broker they see, what is said about those that fail, and coverage.
# ctest: timeout=120
import pathlib
import re
import subprocess
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.run import temporary_directory

POLICY = """return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic, ctx)
      local r = ctx.http.get(ctx.config.url, { query = { u = s.user_id }, timeout_ms = 300 })
      if not r.ok then return unavailable(r.error) end
      if r.json.may then return allow() end
      return deny("forbidden_topic", "not you")
    end,
    wildcard = function(s, topic, ctx) ctx.sleep(ctx.config.sleep_ms or 1000) return allow() end,
    publish = function(s) return s.nothing.here end,
    presence = function() while true do end end,
  },
  transform = function(event, ctx)
    if event.event == "DELETED" then return nil end
    event.data.payload.at = ctx.time.iso()
    return event
  end,
  on = { disconnect = function(s, ctx, code) ctx.sleep(10) ctx.log.info("bye", s.user_id, code) end },
  every = { { seconds = 30, run = function(ctx) ctx.state.n = (ctx.state.n or 0) + 1 ctx.log.info("tick", ctx.state.n) end } },
}
"""
HTTP = 'http = { { url = "http://x.example/?u=alice", json = { may = true } }, { url = "*", json = { may = false } } }'


def run(directory, cases, *options, policy=POLICY, file="p.test.lua"):
    """Runs `case` texts and returns what the command said and its exit code."""
    if policy is not None:
        (directory / "p.lua").write_text(policy)
    (directory / file).write_text("return {\nconfig = { url = 'http://x.example/' },\n" + "\n".join(f"{case}," for case in cases) + "\n}\n")
    return cli("policy", "test", *options, file, cwd=directory)


def passes(*cases, **more):
    with temporary_directory() as directory:
        done = run(directory, cases, **more)
        equal((done.returncode, done.stderr), (0, ""), f"result of {cases}:\n{done.stdout}")
        return done.stdout


def fails(case, *said, **more):
    with temporary_directory() as directory:
        done = run(directory, [case], **more)
        equal((done.returncode, done.stderr), (1, ""), f"result of {case}:\n{done.stdout}")
        contains(done.stdout, "FAIL p.test.lua:3: ", case)
        contains(done.stdout, "\n0 passed, 1 failed, in 1 file\n", case)
        for text in said:
            contains(done.stdout, text, case)
        return done.stdout


def test_a_line_for_each_case_and_a_summary():
    out = passes('case { name = "one", ask = "transform", event = { data = { payload = {} } }, expect = "allow" }',
                 'case { name = "two", ask = "transform", event = { event = "DELETED" }, expect = "drop" }')
    equal(out, "ok   p.test.lua:3: one\nok   p.test.lua:4: two\n2 passed, 0 failed, in 1 file\n", "standard output")


def test_a_case_that_fails_says_both():
    fails(f'case {{ name = "x", ask = "subscribe", topic = "t:1", {HTTP}, expect = "deny" }}', "  expected deny\n  actual   allow\n")
    bob = f'session = {{ user_id = "bob" }}, ask = "subscribe", topic = "t:1", {HTTP}'
    fails(f'case {{ {bob}, expect = "allow" }}', "  expected allow\n  actual   deny forbidden_topic: not you\n")
    fails(f'case {{ {bob}, expect = "deny", code = "rate_limited" }}', 'code: expected "rate_limited"', 'actual   "forbidden_topic"')
    fails(f'case {{ {bob}, expect = "deny", message = "no" }}', 'message: expected "no"', 'actual   "not you"')
    fails('case { ask = "session", expect = "allow" }', "actual   defer\n", "no function for session")
    fails('case { ask = "subscribe", topic = "t:1" }', "says not what to expect")
    fails('case { ask = "transform", event = { data = { payload = { a = 1 } } }, expect = "allow", changed = false }', "was changed to {")
    fails('case { ask = "transform", event = { data = { payload = { a = 1 } } }, expect = "allow", changed = { topic = "t:1" } }',
          'changed: expected {"topic":"t:1"}', '"at":"2026-01-01T00:00:00.000Z"')


def test_an_error_of_the_policy_is_never_what_was_expected():
    case = 'case {{ ask = "publish", topic = "t:1", expect = "{}" }}'
    for verdict in ("unavailable", "deny", "allow"):
        fails(case.format(verdict), "actual   error", "p.lua:11: attempt to index a nil value (field 'nothing')")
    passes('case { ask = "publish", topic = "t:1", expect = "error", error = "field \'nothing\'" }')
    fails('case { ask = "publish", topic = "t:1", expect = "error", error = "else" }', 'error: expected to contain "else"')


def test_the_budgets_are_the_brokers():
    passes('case { ask = "presence", topic = "t:1", expect = "error", error = "CPU time" }',
           'case { ask = "wildcard", topic = "t:*", expect = "allow" }',
           'case { ask = "wildcard", topic = "t:*", config = { sleep_ms = 2500 }, expect = "error", error = "deadline of 2000 ms" }',
           'case { ask = "wildcard", topic = "t:*", budget = { deadline_ms = 500 }, expect = "error", error = "deadline of 500 ms" }')


def test_the_sandbox_is_the_brokers():
    policy = "return policy { api = 1, authorize = { subscribe = function() return io.open('/etc/passwd') end } }"
    passes('case { ask = "subscribe", topic = "t:1", expect = "error", error = "global \'io\'" }', policy=policy)


def test_waiting_takes_no_time():
    started = time.monotonic()
    passes('case { ask = "wildcard", topic = "t:*", config = { sleep_ms = 600000 }, budget = { deadline_ms = 3600000 }, expect = "allow" }',
           'case { steps = { { ask = "connect" }, { ask = "wait", wait_ms = 3600000, log = "tick 120" } } }')
    check(time.monotonic() - started < scaled(10), "an hour took its time")


def test_http_is_answered_by_the_case():
    passes(f'case {{ ask = "subscribe", topic = "t:1", {HTTP}, expect = "allow", requests = {{ "GET http://x.example/?u=alice" }} }}',
           'case { ask = "subscribe", topic = "t:1", http = { { url = "*", delay_ms = 299, json = { may = true } } }, expect = "allow" }',
           'case { ask = "subscribe", topic = "t:1", http = { { url = "*", delay_ms = 300, json = { may = true } } }, expect = "unavailable",'
           ' message = "no answer within 300 ms" }',
           'case { ask = "subscribe", topic = "t:1", http = { { url = "*", status = 503 } }, expect = "unavailable", message = "status 503" }',
           'case { ask = "subscribe", topic = "t:1", http = { { url = "*", error = "cut off" } }, expect = "unavailable", message = "cut off" }',
           'case { ask = "subscribe", topic = "t:1", http = { { url = "*", times = 1, json = { may = true } }, { url = "*", json = {} } },'
           ' steps = { { expect = "allow" }, { expect = "deny" } } }')
    fails('case { ask = "subscribe", topic = "t:1", http = { { url = "http://y.example/*", json = {} } }, expect = "allow" }',
          "no answer in http to GET http://x.example/?u=alice")
    fails('case { ask = "subscribe", topic = "t:1", http = { { url = "*", jsn = {} } }, expect = "allow" }', "unknown key 'jsn' in 'http'")


def test_no_request_is_an_empty_list():
    passes('case { ask = "connect", requests = {} }', f'case {{ ask = "subscribe", topic = "t:1", {HTTP}, expect = "allow" }}')
    fails(f'case {{ ask = "subscribe", topic = "t:1", {HTTP}, expect = "allow", requests = {{}} }}', "requests: expected {}")


def test_what_is_sent_must_fit():
    policy = """return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)
      local r = ctx.http.post("http://x.example/check", { json = { user = s.user_id }, headers = { Authorization = "Bearer k" } })
      return r.ok and allow() or deny() end } }"""
    ask = 'ask = "subscribe", topic = "t:1", '
    stub = 'case {{ ' + ask + 'http = {{ {{ url = "http://x.example/check", {} }} }}, expect = "{}" }}'
    passes(stub.format('with_json = { user = "alice" }', "allow"), stub.format('with_json = { user = "bob" }', "deny"),
           stub.format('method = "POST"', "allow"), stub.format('method = "GET"', "deny"),
           stub.format('with_headers = { authorization = "Bearer k" }', "allow"), stub.format('with_headers = { authorization = "k" }', "deny"),
           stub.format('with_body = \'{"user":"alice"}\'', "allow"), policy=policy)


def test_nothing_goes_to_the_network():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        passes(f'case {{ ask = "subscribe", topic = "t:1", config = {{ url = "{url}" }}, expect = "unavailable" }}')
        with raises(BlockingIOError, "somebody connected"):
            server.accept()


def test_steps_share_a_state_and_cases_do_not():
    policy = """return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)
      ctx.state.n = (ctx.state.n or 0) + 1
      return ctx.state.n == 2 and allow() or deny() end } }"""
    passes('case { ask = "subscribe", topic = "t:1", steps = { { expect = "deny" }, { expect = "allow" } } }',
           'case { ask = "subscribe", topic = "t:1", expect = "deny" }', policy=policy)
    fails('case { ask = "subscribe", topic = "t:1", steps = { { expect = "deny" }, { expect = "deny" } } }', "  step 2: expected deny", policy=policy)


def test_a_reload_keeps_what_is_saved():
    policy = """return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)
      ctx.state.n, ctx.state.m = (ctx.state.n or 0) + 1, (ctx.state.m or 0) + 1
      return deny("forbidden_topic", ctx.state.n .. " " .. ctx.state.m) end },
      save = function(ctx) return { n = ctx.state.n } end, restore = function(saved, ctx) ctx.state.n = saved.n end }"""
    passes('case { ask = "subscribe", topic = "t:1", expect = "deny", steps = { { message = "1 1" }, { message = "2 2" }, { ask = "reload" }, { message = "3 1" } } }',
           policy=policy)


def test_authenticate_makes_an_identity():
    policy = """return policy { api = 1, authenticate = function(req, ctx)
      if req.token == "bad" then return deny("unauthorized", "unknown key") end
      if req.token == "odd" then return allow { user_id = "u1", tenant_id = "not/one" } end
      return allow { user_id = req.token, tenant_id = "t1", claims = { role = "r" }, act_as = true } end }"""
    passes('case { ask = "authenticate", token = "bob", expect = "allow", identity = { user_id = "bob", tenant_id = "t1", claims = { role = "r" }, act_as = true } }',
           'case { ask = "authenticate", token = "bad", expect = "deny", code = "unauthorized", message = "unknown key" }',
           'case { ask = "authenticate", token = "odd", expect = "error" }', policy=policy)
    fails('case { ask = "authenticate", token = "bob", expect = "allow", identity = { user_id = "eve" } }', 'identity.user_id: expected "eve"', policy=policy)


def test_who_may_name_another_user_is_compared():
    policy = "return policy { api = 1, authorize = { publish = function(s) return allow { act_as = s.claims.role == 'service' } end } }"
    ask = 'ask = "publish", topic = "t:1", expect = "allow"'
    passes(f'case {{ {ask}, session = {{ claims = {{ role = "service" }} }}, act_as = true }}', f'case {{ {ask}, act_as = false }}', policy=policy)
    fails(f'case {{ {ask}, act_as = true }}', "act_as: expected true", policy=policy)
    fails(f'case {{ {ask}, session = {{ claims = {{ role = "service" }} }}, act_as = false }}', "act_as: expected false", policy=policy)


def test_lifecycle_is_told():
    passes('case { ask = "disconnect", close_code = 4001, log = "bye alice 4001" }', 'case { ask = "connect" }')
    fails('case { ask = "disconnect", log = "hello" }', 'log: expected to contain "hello"', 'text="bye alice 0"')


def test_mistakes_in_cases_are_said():
    fails('case { ask = "subscribe", topik = "t:1", expect = "allow" }', "unknown key 'topik' in a case (did you mean 'topic'?)")
    fails('case { ask = "subscibe", topic = "t:1", expect = "allow" }', "'ask' is one of")
    fails('case { ask = "subscribe", expect = "allow" }', "has no topic")
    fails('case { ask = "subscribe", topic = "T", expect = "allow" }', "'T' is no topic")
    fails(f'case {{ ask = "subscribe", topic = "t:1", {HTTP}, expect = "alow" }}', "'expect' is one of")
    fails('case { ask = "connect", config = "x" }', "'config' must be a table")


def test_a_policy_that_does_not_load():
    broken = "return policy { api = 1, authorise = {} }"
    fails('case { ask = "subscribe", topic = "t:1", expect = "allow" }', "does not load", "did you mean 'authorize'", policy=broken)
    passes('case { ask = "subscribe", topic = "t:1", expect = "refused", error = "authorise" }', policy=broken)
    fails('case { ask = "connect", expect = "refused" }', "the policy loads")


def test_files_that_cannot_be_used_exit_2():
    with temporary_directory() as directory:
        for text, said in (("return {", "p.test.lua:1:"), ("return 5", "must end with"), ("return { { ask = 'connect' } }", "not made by case"),
                           ("return {}", "no cases"), ("while true do end", "CPU time"), ("return { case { x = print } }", "p.test.lua"),
                           ("return { plugin = 'x', policy = 'y', case {} }", "not both"), ("return { policy = 'no.lua', case {} }", "its policy cannot be read: "),
                           ("return { plugin = './no.so', case {} }", "its plugin cannot be read: ")):
            (directory / "p.test.lua").write_text(text)
            done = cli("policy", "test", directory)
            equal(done.returncode, 2, f"exit code for {text}")
            contains(done.stderr, said, text)
        for path in ("nowhere", "p.lua", "empty"):
            (directory / "empty").mkdir(exist_ok=True)
            done = cli("policy", "test", path, cwd=directory)
            equal(done.returncode, 2, f"exit code for {path}")
            check(done.stderr, f"nothing is said about {path}")


def test_directories_are_searched():
    with temporary_directory() as directory:
        for name in ("a", "b/c"):
            (directory / name).mkdir(parents=True)
            (directory / name / "p.lua").write_text(POLICY)
            (directory / name / "p.test.lua").write_text("return { case { name = 'x', ask = 'connect' } }")
        done = cli("policy", "test", ".", cwd=directory)
        equal(done.stdout, "ok   ./a/p.test.lua:1: x\nok   ./b/c/p.test.lua:1: x\n2 passed, 0 failed, in 2 files\n", "standard output")
        equal(cli("policy", "test", "-q", "a/p.lua", cwd=directory).stdout, "1 passed, 0 failed, in 1 file\n", "standard output")


def test_coverage_tells_what_never_ran():
    policy = """local unused = function()
  return 1
end
local function pick(x)
  if x == "a" then
    return allow()
  end

  if x == "b" then
    return deny()
  else
    return defer()
  end
end
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic)
      return pick(topic.id)
    end,
  },
}
"""
    with temporary_directory() as directory:
        one = 'case { ask = "subscribe", topic = "t:a", expect = "allow" }'
        done = run(directory, [one], "--coverage", policy=policy)
        contains(done.stdout, "coverage p.lua: 10 of 14 lines, 71.4%; not run: 2, 9-12\n", "coverage")
        done = run(directory, [one, one.replace("t:a", "t:b").replace("allow", "deny")], "--coverage", policy=policy)
        contains(done.stdout, "; not run: 2, 12\n", "coverage")
        done = run(directory, [one, one.replace("t:a", "t:b").replace("allow", "deny"), one.replace("t:a", "t:c").replace("allow", "defer")],
                   "--coverage", policy=policy.replace("return 1", ""))
        contains(done.stdout, "lines, 100.0%\n", "coverage")


SEEN = """return policy { api = 1,
  reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  filter = function(event, audience) return audience.claims.role ~= "guest" end,
  redact = function(event, audience)
    if audience.claims.role == "bug" then return audience.claims.age end
    if audience.claims.role == "child" then event.data.payload.price = nil end
    return event
  end }"""


def test_what_recipients_see():
    event = 'ask = "see", event = { topic = "t:1", event = "ADDED", data = { entity_id = "e", payload = { n = 1, price = 2 } } }'
    passes(f'case {{ {event}, session = {{ claims = {{ role = "guest" }} }}, expect = "drop" }}',
           f'case {{ {event}, session = {{ claims = {{ role = "child" }} }}, expect = "allow",'
           ' changed = { topic = "t:1", event = "ADDED", data = { entity_id = "e", payload = { n = 1 } } } }',
           f'case {{ {event}, session = {{ claims = {{ role = "parent" }} }}, expect = "allow", changed = false }}',
           f'case {{ {event}, session = {{ claims = {{ role = "bug" }} }}, expect = "error", error = "p.lua:5:" }}', policy=SEEN)
    fails(f'case {{ {event}, session = {{ claims = {{ role = "guest" }} }}, expect = "allow" }}', "expected allow", "actual   drop", policy=SEEN)
    out = fails(f'case {{ {event}, session = {{ claims = {{ role = "bug" }} }}, expect = "drop" }}', "actual   error", policy=SEEN)
    contains(out, "p.lua:5:", "the reason of an error")


def test_shared_values_are_a_cases_own():
    policy = """return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)
      return deny("forbidden_topic", "hit " .. ctx.dict.incr("hits", 1, 1000)) end } }"""
    case = 'case { ask = "subscribe", topic = "t:1", expect = "deny", steps = { { message = "hit 1" }, { message = "hit 2" }, { message = "hit 1", wait_ms = 1000 } } }'
    passes(case, case, policy=policy)


def test_published_events_are_seen():
    policy = """return policy { api = 1, authorize = { publish = function(s, topic, ctx, event)
      if topic.id == "x" then
        ctx.publish { topic = "audit:1", event = "ADDED", data = { entity_id = s.user_id, payload = { topic = topic.name } } }
      end
      return allow() end } }"""
    passes('case { ask = "publish", topic = "t:x", expect = "allow",'
           ' published = { { topic = "audit:1", event = "ADDED", data = { entity_id = "alice", payload = { topic = "t:x" } } } } }',
           'case { ask = "publish", topic = "t:y", expect = "allow", published = {} }', policy=policy)
    fails('case { ask = "publish", topic = "t:x", expect = "allow", published = {} }', "published: expected {}", '"topic":"audit:1"', policy=policy)


def test_plugins_that_answer_later():
    with temporary_directory() as directory:
        subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread", f"-I{ROOT / 'core/include'}",
                        "-o", directory / "later.so", ROOT / "tests/lib/later_plugin.c"], check=True)
        (directory / "later.test.lua").write_text(f"""return {{
          plugin = "./later.so", config = {{ dir = "{directory}" }}, ask = "subscribe",
          case {{ name = "its own thread", topic = "thread:1", expect = "allow" }},
          case {{ name = "the broker's", topic = "offload:1", expect = "allow" }},
          case {{ name = "never", topic = "never:1", expect = "error" }},
        }}""")
        done = cli("policy", "test", directory)
        equal((done.returncode, done.stderr), (0, ""), done.stdout)


def test_c_plugins():
    with temporary_directory() as directory:
        (directory / "jwt.test.lua").write_text(f"""return {{
          plugin = "jwt", config = {{ keys = {{ {{ alg = "HS256", secret = "{SECRET}" }} }} }},
          case {{ name = "valid", ask = "authenticate", token = "{mint('u1')}", now_ms = {int(time.time() * 1000)}, expect = "allow",
            identity = {{ user_id = "u1" }} }},
          case {{ name = "expired", ask = "authenticate", token = "{mint('u1')}", now_ms = {int(time.time() * 1000) + 10 ** 10}, expect = "deny" }},
          case {{ name = "settings", ask = "authenticate", config = {{ keys = 5 }}, expect = "refused", error = "keys" }},
        }}""")
        done = cli("policy", "test", "jwt.test.lua", cwd=directory)
        equal((done.returncode, done.stderr), (0, ""), done.stdout)


main()
