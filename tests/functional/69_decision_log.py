#!/usr/bin/python3
# The decision log: what a run decided is in it and no secret is, what cannot be cleaned or written is dropped and counted, and
# nobody waits for the disk.
# ctest: timeout=120
import contextlib
import json
import os
import pathlib
import re
import resource
import stat
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

POLICY = """return policy { api = 1,
  reads = { filter = { "claims.role" }, redact = { "claims.role" } },
  authorize = {
    subscribe = function(s, topic) if topic.resource == "doc" then return allow() end return deny("forbidden_topic", "not a doc") end,
    wildcard = function(s, topic, ctx) ctx.sleep(5) return allow() end,
    publish = function(s, topic) if topic.resource == "broken" then return s.no.thing end return allow() end },
  transform = function(event) if event.event == "DELETED" then return nil end event.data.seen = true return event end,
  filter = function(event, audience) return audience.claims.role ~= "guest" end,
  redact = function(event, audience) event.data.payload = nil return event end }"""
ALL = ["authenticate", "authorize", "transform", "filter"]


@contextlib.contextmanager
def logging(policy=POLICY, prefix=(), path="decisions.ndjson", **decisions):
    """A broker that logs all decisions to decisions.ndjson beside its configuration."""
    change = {"tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}},
              "decisions": {"path": path, "sample": 1, "stages": ALL, **decisions}}
    with Broker(change, files={"p.lua": policy}, prefix=prefix) as broker:
        yield broker


def lines(broker, name="decisions.ndjson"):
    """What was decided, but that a session may be where nobody is asked about that."""
    path = broker.dir / name
    every = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in every if line.get("op") != "session"]


def logged(broker):
    return broker.metric("hookwire_decisions_logged_total")


def dropped(broker, reason):
    return broker.metric("hookwire_decisions_dropped_total", reason=reason)


def wait_lines(broker, condition, what, name="decisions.ndjson"):
    return wait_until(lambda: [line for line in lines(broker, name) if condition(line)], 10, what)


def test_a_run_is_in_the_log_with_what_hooks_saw():
    with logging() as broker, WsClient(broker.address, token=mint("alice", role="member", level=3)) as alice, \
            WsClient(broker.address, token=mint("greg", role="guest")) as greg:
        alice.subscribe("doc:1")
        greg.subscribe("doc:1")
        contains(alice.request({"type": "subscribe", "topics": ["other:1"]})["topics"]["other:1"], {"code": "forbidden_topic"}, "refused")
        alice.request({"type": "subscribe", "topics": ["doc:*"]})
        equal(broker.publish("doc:1", data={"entity_id": "1", "payload": {"n": 12345678901234567890}}, trace_id="trace-17").status, 200, "publish")
        alice.recv_event()
        equal(broker.publish("broken:1").status, 503, "a hook that fails")
        seen = wait_lines(broker, lambda line: line["stage"] == "authorize" and line["verdict"] == "error", "the error")[-1]
        equal((seen["op"], seen["topic"], seen["code"], seen["by"]), ("publish", "broken:1", "unavailable", "p"), "the error")
        all_lines = lines(broker)
        who = [line for line in all_lines if line["stage"] == "authenticate" and line.get("user_id") == "alice"][0]
        equal((who["verdict"], who["tenant"], who["by"], who["scope"]), ("allow", "acme", "jwt", "global"), "authenticate")
        check("claims" not in who and "token" not in who, f"what is in authenticate: {who}")
        may = [line for line in all_lines if line.get("op") == "subscribe" and line["user_id"] == "alice"]
        equal([(line["topic"], line["verdict"], line.get("code"), line.get("message")) for line in may],
              [("doc:1", "allow", None, None), ("other:1", "deny", "forbidden_topic", "not a doc")], "alice's questions")
        equal((may[0]["claims"]["role"], may[0]["claims"]["level"], may[0]["by"], may[0]["scope"], may[0]["generation"]),
              ("member", 3, "p", "tenant", 1), "what the hook saw, and which it was")
        check(re.fullmatch(r"[0-9a-f]{16}", may[0]["tenant_chain"]) and may[0]["global_chain"] != may[0]["tenant_chain"], f"chains: {may[0]}")
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", may[0]["time"]), may[0]["time"])
        check(may[0]["address"].startswith("127.0.0.1") and len(may[0]["session"]) == 16, f"from where: {may[0]}")
        waited = [line for line in all_lines if line.get("op") == "wildcard"][0]
        check(waited["took_us"] >= 4000, f"a decision that waited 5 ms: {waited}")
        changed = [line for line in all_lines if line["stage"] == "transform"][0]
        check(changed["changed"] and changed["topic"] == "doc:1" and "seen" not in changed["event"]["data"],
              f"transform, with the event as it was before: {changed}")
        contains((broker.dir / "decisions.ndjson").read_text(), '"n":12345678901234567890', "numbers as they were written")
        equal(changed["trace"], "trace-17", "the event's trace")
        views = sorted((line["claims"]["role"], line["verdict"], line.get("changed", False)) for line in all_lines if line["stage"] == "filter")
        equal(views, [("guest", "deny", False), ("member", "allow", True)], "views, one a class")
        equal([line["reads"] for line in all_lines if line["stage"] == "filter"], [["claims.role"]] * 2, "what the hooks declare that they read")
        equal(stat.S_IMODE((broker.dir / "decisions.ndjson").stat().st_mode), 0o600, "mode of the file")
        wait_until(lambda: logged(broker) == len((broker.dir / "decisions.ndjson").read_text().splitlines()), 5, "as many are counted as are there")
        sessions = [json.loads(line) for line in (broker.dir / "decisions.ndjson").read_text().splitlines() if '"op":"session"' in line]
        equal([(line["user_id"], line["verdict"], "by" in line, "topic" in line) for line in sessions],
              [("alice", "allow", False, False), ("greg", "allow", False, False)], "sessions, which nobody is asked about")
        check(all(dropped(broker, why) == 0 for why in ("redact", "large", "memory", "buffer", "write")), "none is dropped")


def test_no_secret_is_in_it():
    leaky = POLICY.replace('return deny("forbidden_topic", "not a doc")', 'return deny("forbidden_topic", "you are " .. s.claims.jws)')
    inner = mint("inner")
    with logging(leaky, redact=["claims.email", "event.data.payload.*.price", "address"]) as broker:
        token = mint("alice", email="alice@example.com", password="hunter2-hunter2", jws=inner, deep={"Api_Key": "k-123456", "list": [inner]})
        with WsClient(broker.address, token=token) as alice:
            alice.subscribe("doc:1")
            contains(alice.request({"type": "subscribe", "topics": ["other:1"]})["topics"]["other:1"], {"code": "forbidden_topic"}, "refused")
            equal(broker.publish("doc:1", data={"entity_id": "1", "payload": {"gift": {"price": 4711, "name": "bike"}, "secret": "s3cr3t-value"}}).status,
                  200, "publish")
            alice.recv_event()
        with raises(Refused):
            WsClient(broker.address, token=token[:-4] + "AAAA")
        wait_lines(broker, lambda line: line["stage"] == "authenticate" and line["verdict"] == "deny", "a token that is refused")
        wait_lines(broker, lambda line: line["stage"] == "filter", "a view")
        text = (broker.dir / "decisions.ndjson").read_text()
        for secret in (SECRET, token, *token.split("."), inner, *inner.split("."), "hunter2", "k-123456", "alice@example.com", "4711", "s3cr3t",
                       "127.0.0.1"):
            check(secret not in text, f"{secret} is in the log")
        contains(text, '"name":"bike"', "what is no secret")
        asked = [line for line in lines(broker) if line.get("op") == "subscribe" and line["topic"] == "doc:1"][0]
        equal(sorted(asked["redacted"]), ["/address", "/claims/deep/Api_Key", "/claims/deep/list/0", "/claims/email", "/claims/jws", "/claims/password"],
              "what is missing is named")
        equal((asked["address"], asked["claims"]["email"], asked["claims"]["deep"]), (None, None, {"Api_Key": None, "list": [None]}), "and null")
        refused = [line for line in lines(broker) if line.get("topic") == "other:1"][0]
        equal(refused["message"], None, "a message with a token")
        event = [line for line in lines(broker) if line["stage"] == "transform"][0]
        equal(event["event"]["data"]["payload"], {"gift": {"price": None, "name": "bike"}, "secret": None}, "the event")
        equal(dropped(broker, "redact"), 0, "nothing had to be dropped")


def test_a_hook_that_says_the_token_has_no_line():
    guard = 'return policy { api = 1, authenticate = function(req) return deny("unauthorized", "no user has " .. req.token) end }'
    with Broker({"hooks": [{"name": "guard", "lua": "guard.lua"}], "decisions": {"path": "decisions.ndjson", "sample": 1}},
                files={"guard.lua": guard}) as broker:
        with raises(Refused):
            WsClient(broker.address, token='opaque-"token"-of-somebody')
        wait_until(lambda: dropped(broker, "redact") + logged(broker) == 1, 10, "it is decided")
        with raises(Refused):
            WsClient(broker.address, token="".join(f"opaque{i:03}" for i in range(40)))  # more than a message holds
        wait_until(lambda: dropped(broker, "redact") + logged(broker) == 2, 10, "both are")
        equal(len(lines(broker)), 0, "lines")


def test_what_cannot_be_redacted_is_dropped_and_counted():
    with logging(redact=["claims.home.street"], line_bytes=2048, stages=["authorize"]) as broker:
        def asked(user, **claims):
            with WsClient(broker.address, token=mint(user, **claims)) as client:
                client.subscribe("doc:1")
        asked("object", home={"street": "Elm Street", "town": "T"})
        asked("absent")
        asked("null", home=None)
        asked("text", home="Elm Street 1")
        asked("list", home=[{"street": "Elm Street"}])
        asked("large", long="x" * 3000)  # its session and its topic
        asked("last")
        wait_lines(broker, lambda line: line["user_id"] == "last", "the last one")
        equal([line["user_id"] for line in lines(broker)], ["object", "absent", "null", "last"], "who is in the log")
        equal((dropped(broker, "redact"), dropped(broker, "large")), (4, 2), "dropped: sessions and topics")
        check("Elm Street" not in (broker.dir / "decisions.ndjson").read_text(), "the street is in the log")


def test_a_sample_and_what_is_always_written():
    def counts(n, **decisions):
        with logging(stages=["authorize"], **decisions) as broker:
            with WsClient(broker.address, token=mint("alice")) as client:
                client.subscribe(*(f"doc:{i}" for i in range(n)))
                client.request({"type": "subscribe", "topics": [f"other:{i}" for i in range(3)]})
            broker.sigterm()
            broker.process.wait(scaled(10))  # which writes what waits
            return [line["verdict"] for line in lines(broker)]
    equal(counts(5, sample=0), [], "of none")
    equal(counts(5, sample=0, always=["deny"]), ["deny"] * 3, "refusals always")
    allowed = counts(90, sample=0.5).count("allow")
    check(15 <= allowed <= 75, f"{allowed} of 90 at a sample of a half, which chance makes less than once in a hundred million runs")


def test_it_is_opened_again_after_logrotate_also_when_the_configuration_is_broken():
    with logging(stages=["authorize"]) as broker, WsClient(broker.address, token=mint("alice")) as client:
        client.subscribe("doc:1")
        wait_lines(broker, lambda line: line["topic"] == "doc:1", "the first")
        for turn, config in (("2", None), ("3", "{")):
            (broker.dir / "decisions.ndjson").rename(broker.dir / f"old-{turn}")
            if config:
                broker.write_file("hookwire.json", config)
            broker.sighup()
            # the file appears with the first line in it
            def in_new_file(turn=turn):
                client.request({"type": "unsubscribe", "topics": [f"doc:{turn}"]})
                client.subscribe(f"doc:{turn}")
                return lines(broker)
            wait_until(in_new_file, 10, "a line in the new file")
            equal({line["topic"] for line in lines(broker)}, {f"doc:{turn}"}, "lines of the new file")
            equal(stat.S_IMODE((broker.dir / "decisions.ndjson").stat().st_mode), 0o600, "mode of the new file")
        client.subscribe("doc:4")
        wait_lines(broker, lambda line: line["topic"] == "doc:4", "the last")
        n = sum(len((broker.dir / name).read_text().splitlines()) for name in ("decisions.ndjson", "old-2", "old-3"))
        wait_until(lambda: logged(broker) == n, 10, "all that was decided is in one of them")
        equal(dropped(broker, "write"), 0, "and none is dropped")


def test_a_reload_turns_it_off_and_on_and_elsewhere():
    with logging(stages=["authorize"]) as broker, WsClient(broker.address, token=mint("alice")) as client:
        config = broker.config
        client.subscribe("doc:1")
        wait_lines(broker, lambda line: line["topic"] == "doc:1", "it is on")
        for n, (change, found) in enumerate(((None, False), ({"path": "other.ndjson"}, True)), 2):
            broker.write_config(merge(config, {"decisions": change}))
            mark = broker.log_mark()
            broker.sighup()
            broker.wait_log("reloaded generation", since=mark)
            client.subscribe(f"doc:{n}")
            if found:
                wait_lines(broker, lambda line: line["topic"] == f"doc:{n}", "it is elsewhere", "other.ndjson")
        equal([line["topic"] for line in lines(broker)], ["doc:1"], "the first file")
        equal([line["topic"] for line in lines(broker, "other.ndjson")], ["doc:3"], "the other file")


def test_a_log_that_a_reload_turns_on_is_written_as_soon_as_one_from_the_start():
    with Broker() as broker:
        def nice(task):
            return int((task / "stat").read_text().rpartition(")")[2].split()[16])  # proc(5): field 19, the third is the first behind the name
        def tasks():
            return list(pathlib.Path(f"/proc/{broker.pid}/task").iterdir())
        broker.write_config(merge(broker.config, {"decisions": {"path": "decisions.ndjson", "sample": 1, "stages": ALL}}))
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log("reloaded generation", since=mark)
        with WsClient(broker.address, token=mint("alice")) as client:
            client.subscribe("gift-list:1")
            wait_until(lambda: lines(broker), 10, "it is written")
        check(any(nice(task) > 0 for task in tasks()), "nobody gives way: this test would not see it")
        writers = [task for task in tasks() if (task / "comm").read_text().strip() == "hw-decisions"]
        equal([nice(task) for task in writers], [0], "what the writer's share of the CPU is")


@contextlib.contextmanager
def small_disk():
    """How to run a broker so that its directory log/ takes 64 KiB: a tmpfs where that may be made, else a bound on its files."""
    script = 'mkdir -p "$0" && mount -t tmpfs -o size=64k,mode=700 none "$0" && exec "$@"'
    with temporary_directory() as directory:
        disk = directory / "disk"
        may = subprocess.run(["unshare", "-rm", "sh", "-c", script, str(disk), "true"], stderr=subprocess.DEVNULL).returncode == 0
        print(f"     full disk: {'a tmpfs of 64 KiB' if may else 'RLIMIT_FSIZE, for want of a tmpfs'}", flush=True)
        disk.mkdir(exist_ok=True)
        yield disk, ("unshare", "-rm", "sh", "-c", script, str(disk)) if may else (), may


def test_a_full_disk_costs_lines_and_nothing_else():
    with small_disk() as (disk, prefix, is_small):
        with logging(prefix=prefix, path=str(disk / "d.ndjson"), stages=["authorize"]) as broker, \
                WsClient(broker.address, token=mint("alice", pad="x" * 2000)) as client:
            seen = pathlib.Path(f"/proc/{broker.pid}/root{disk}/d.ndjson")
            if not is_small:
                before = resource.prlimit(broker.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (len((broker.dir / "broker.log").read_bytes()) + (1 << 16), before[1]))
            n = 0

            def is_full():
                nonlocal n
                for _ in range(20):
                    client.subscribe("doc:1")
                    client.request({"type": "unsubscribe", "topics": ["doc:1"]})
                    n += 1
                return dropped(broker, "write") >= 20
            wait_until(is_full, 20, "lines are dropped")
            client.subscribe("doc:1")
            equal(broker.publish("doc:1").status, 200, "a publish meanwhile")
            client.recv_event()
            wait_until(lambda: logged(broker) + dropped(broker, "write") == n + 3, 10, "every decision is counted: the session, n and one topics, a publish")
            whole = seen.read_text()
            check(whole.endswith("}\n"), f"the file ends in the middle of a line: {whole[-80:]!r}")
            equal(len([json.loads(line) for line in whole.splitlines()]), logged(broker), "lines that are there")
            equal(len(re.findall("decisions cannot be written and are dropped", broker.log())), 1, "times it was said")
            if is_small:
                contains(broker.log(), "No space left on device", "why")
            else:
                resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, before)
            had = logged(broker)
            os.truncate(seen, 0)
            client.request({"type": "unsubscribe", "topics": ["doc:1"]})
            client.subscribe("doc:1")
            wait_until(lambda: logged(broker) > had, 10, "it is written again")
            broker.wait_log("decisions are written again")
            check(all(json.loads(line) for line in seen.read_text().splitlines()), "whole lines")


def test_what_is_no_file_or_cannot_be_made_is_said_and_the_broker_serves():
    for path in ("/dev/full", "none/decisions.ndjson"):
        with logging(path=path, stages=["authorize"]) as broker, WsClient(broker.address, token=mint("alice")) as client:
            client.subscribe("doc:1")
            wait_until(lambda: dropped(broker, "write") == 2, 10, f"the lines for {path} are dropped")
            broker.wait_log("decisions cannot be written and are dropped")


def test_the_line_that_a_killed_broker_tore_stays_alone():
    with temporary_directory() as directory:
        path = directory / "d.ndjson"
        path.write_text('{"time":"2026-01-01T00:00:00.000Z","stage":"auth')
        with logging(path=str(path), stages=["authorize"]) as broker, WsClient(broker.address, token=mint("alice")) as client:
            client.subscribe("doc:1")
            wait_until(lambda: logged(broker) == 2, 10, "two lines")
        torn, first, second = path.read_text().splitlines()
        equal((torn[-4:], json.loads(first)["op"], json.loads(second)["topic"]), ("auth", "session", "doc:1"), "the torn line and the next ones")


def test_the_configuration_is_checked_by_line_and_column():
    for text, said in (
            ('{"sample": 1}', ":2:14: \"decisions\" does not say where to"),
            ('{"path": "d", "sample": 2}', ":2:38: \"sample\" is 2, which is out of range"),
            ('{"path": "d", "stages": ["authorise"]}', ":2:39: \"authorise\" is none of them"),
            ('{"path": "d", "stages": []}', ":2:38: of no stage is nothing written"),
            ('{"path": "d", "always": ["allow"]}', ":2:39: \"allow\" is none of them"),
            ('{"path": "d", "redact": ["claim.email"]}', ":2:39: \"claim.email\" names nothing of a decision: a line has no \"claim\""),
            ('{"path": "d", "redact": ["claims..email"]}', ":2:39: \"claims..email\" names nothing of a decision: a name is missing"),
            ('{"path": "d", "redact": ["user_id.x"]}', ":2:39: \"user_id.x\" names nothing of a decision: there is nothing inside of user_id"),
            ('{"path": "d", "line_bytes": 131072, "buffer_bytes": 65536}', ":2:42: a line of \"line_bytes\" (131072) finds no room"),
            ('{"path": "d", "pathh": "e"}', "\"pathh\""),
            ('{"path": "none/d"}', ":2:15: warning: there is no such directory yet")):
        with temporary_directory() as directory:
            (directory / "hw.json").write_text('{ "hooks": [],\n"decisions": ' + text + "}")
            done = cli("check", "-c", "hw.json", cwd=directory)
            contains(done.stdout + done.stderr, said, text)


main()
