#!/usr/bin/python3
# docs/security.md is true: what it says of each boundary that no other test shows, and that the tests it names are there.
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

PAGE = ROOT / "docs/security.md"
UNIT = ROOT / "conf/hookwire.service"
EXPOSURE = 2.0  # of systemd-analyze, 0 to 10: what the unit had was 1.5
TENANT, OTHER = "acme", "beta"
V1 = ["hookwire.v1"]


def client_of(broker, user="u1", tenant=TENANT, **options):
    client = WsClient(broker.address, token=options.pop("token", None) or mint(user, tenant), protocols=V1, **options)
    client.welcome = client.recv_where({"type": "welcome"})
    return client


def said(client, topic, skipped=None):
    """The policy's words, to who would publish."""
    message = {"type": "publish", "topic": topic, "event": "ADDED", "data": {"entity_id": "e"}}
    return client.request(message, skipped=[] if skipped is None else skipped)["message"]


def told(function):
    """A policy that says what a function of (s, topic, ctx) returns, to who would publish."""
    return "return policy { api = 1, authorize = { publish = function(s, topic, ctx)\n" \
           f"local function say(...)\n{function}\nend\nreturn deny('forbidden_topic', tostring(say())) end }} }}"


def with_policy(**change):
    return merge({"tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}, change)


# ---- the author of a tenant's policy

def test_a_policy_reaches_what_the_host_reaches_over_http_and_no_file():
    # what the page says that nothing protects from, and what does
    policy = told("""
        local url = ctx.config.urls[topic.id]
        local r = ctx.http.get(url, { headers = { Authorization = "Bearer wrong" } })
        return (r.status or "none") .. " " .. tostring((r.body or ""):find("hookwire_sessions", 1, true) ~= nil) .. " " .. (r.error or "")""")
    config = with_policy()
    with Broker(config, files={"p.lua": policy}) as broker:
        urls = {"metrics": f"http://{broker.admin_address}/metrics", "api": f"http://{broker.admin_address}/api/sessions",
                "file": "file:///etc/passwd", "gopher": "gopher://127.0.0.1:1/"}
        config["tenants"]["*"]["hooks"][0]["config"] = {"urls": urls}
        broker.write_config(merge(broker.config, config))
        broker.sighup()
        broker.wait_log("reloaded generation=2")
        with client_of(broker) as client:
            equal(said(client, "t:metrics"), "200 true ", "the metrics of all tenants")
            equal(said(client, "t:api"), "401 false status 401", "the API without its token")
            for scheme in ("file", "gopher"):
                contains(said(client, f"t:{scheme}"), "not supported", f"{scheme}:")


def test_an_admin_listener_on_a_unix_socket_is_out_of_a_policys_reach():
    policy = told("local r = ctx.http.get(ctx.config.url) return tostring(r.ok) .. ' ' .. (r.error or '')")
    with temporary_directory() as directory:
        path = directory / "admin.sock"
        urls = (f"unix:{path}", f"http+unix://{str(path).replace('/', '%2F')}/metrics", f"http://unix:{path}:/metrics")
        for url in urls:
            config = with_policy(admin={"listen": f"unix:{path}"})
            config["tenants"]["*"]["hooks"][0]["config"] = {"url": url}
            with Broker(config, files={"p.lua": policy}) as broker:
                got = subprocess.run(["curl", "-sS", "--unix-socket", str(path), "http://localhost/metrics"], stdout=subprocess.PIPE, timeout=10, text=True)
                check("hookwire_sessions" in got.stdout, "the metrics, for whoever may open the socket")
                with client_of(broker) as client:
                    answer = said(client, "t:1")
                    check(answer.startswith("false ") or answer == "this cannot be decided right now", f"{url}: {answer}")


def test_what_a_policy_publishes_and_keeps_is_its_tenants():
    policy = """
    return policy { api = 1,
      authorize = {
        subscribe = function(s, topic, ctx) return allow() end,
        publish = function(s, topic, ctx)
          local found = tostring(ctx.dict.get("k"))
          ctx.dict.set("k", "of " .. s.tenant_id)
          ctx.publish { topic = "open:1", event = "UPDATED", data = { entity_id = s.tenant_id, tenant_id = "beta", payload = {} } }
          return deny("forbidden_topic", found)
        end,
      },
    }"""
    with Broker(with_policy(), files={"p.lua": policy}) as broker, client_of(broker) as acme, client_of(broker, tenant=OTHER) as beta:
        acme.subscribe("open:1")
        beta.subscribe("open:1")
        for client, tenant in ((acme, TENANT), (beta, OTHER)):
            got = []
            equal([said(client, "x:1", got), said(client, "x:1", got)], ["nil", f"of {tenant}"], "shared values")
            client.got = got
        for client, tenant in ((acme, TENANT), (beta, OTHER)):
            while len(client.got) < 2:
                client.got.append(client.recv_event("open:1"))
            client.got += client.drain(0.1)
            equal([[event["data"][name] for name in ("entity_id", "tenant_id", "user_id")] for event in client.got],
                  [[tenant, tenant, "system"]] * 2, f"all that {tenant} heard of what its policy published, and the other's")


def test_a_tenants_own_authenticate_makes_nobody_and_reaches_no_other_tenant():
    for answer in ("allow { tenant_id = 'beta' }", "allow { tenants = { 'beta' } }"):
        policy = "return policy { api = 1, authenticate = function() return " + answer + " end }"
        with Broker(with_policy(), files={"p.lua": policy}) as broker:
            equal(http(broker.address, "GET", "/cursor", token=mint("u1")).status, 503, answer)
    with Broker(with_policy(hooks=[]), files={"p.lua": "return policy { api = 1, authenticate = function() "
                                              "return allow { user_id = 'root', tenant_id = 'acme' } end }"}) as broker:
        equal(http(broker.address, "GET", "/cursor", token="anything").status, 401, "a tenant's entry says who it is")


def test_forwarded_addresses_are_not_believed():
    with Broker(with_policy(), files={"p.lua": told("return s.address")}) as broker:
        headers = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7"), ("X-Real-IP", "203.0.113.7")]
        with client_of(broker, headers=headers) as client:
            equal(said(client, "t:1"), "127.0.0.1", "the address that hooks see")


def test_a_policy_floods_neither_the_log_nor_the_metrics():
    policy = told("for i = 1, 400 do ctx.log.info('flood ' .. i) end for i = 1, 100 do ctx.metric(('n'):rep(i % 48 + 1)) end "
                  "for a = 97, 122 do ctx.metric('m' .. string.char(a)) end for a = 97, 122 do ctx.metric('k' .. string.char(a)) end")
    with Broker(with_policy(tenants={"*": {"limits": {"publish_per_s": 100000}}}), files={"p.lua": policy}) as broker, client_of(broker) as client:
        said(client, "t:1")
        check(50 < broker.log().count("flood ") < 200, f"{broker.log().count('flood ')} lines of 400")
        for i in range(120):
            broker.publish("t:1", tenant=f"tenant-{i}")
        text = http(broker.admin_address, "GET", "/metrics").body.decode()
        names = {name for name in re.findall(r"^(hookwire_policy_\w+_total)\{", text, re.M)}
        check(10 < len(names) <= 64, f"{len(names)} counters of a policy")
        tenants = set(re.findall(r'^hookwire_hook_calls_total\{.*tenant="([^"]*)"', text, re.M))
        check(90 < len(tenants) <= 102 and "other" in tenants, f"{len(tenants)} tenants in the labels")


# ---- who writes a tenant's file of the configuration

def test_who_writes_a_tenants_file_can_name_every_secret_and_every_file():
    name, secret = ("HOOKWIRE_JWT_SECRET", "a-secret-of-the-environment-0123456789")
    config = {"include": ["tenants.d/*.json"], "tenants": {"*": None},
              "hooks": [{"name": "jwt", "plugin": "jwt", "config": {"keys": [{"alg": "HS256", "secret": secret}]}}]}
    files = {"p.lua": told("return ctx.config.a .. ' ' .. ctx.config.b"), "key": "a-secret-of-a-file",
             "tenants.d/acme.json": {"tenants": {"acme": {"hooks": [
                 {"name": "p", "lua": "../p.lua", "config": {"a": "${" + name + "}", "b": "@file:../key"}}]}}}}
    with Broker(config, files=files, env={name: secret}) as broker, client_of(broker, token=mint("u1", secret=secret)) as client:
        equal(said(client, "t:1"), f"{secret} a-secret-of-a-file", "what a tenant's policy was given")
        # but the file holds tenants alone
        mark = broker.log_mark()
        broker.write_file("tenants.d/acme.json", {"hooks": [], "tenants": {}})
        broker.sighup()
        broker.wait_log(r"acme\.json:\d+:\d+: .*hooks.* holds only", since=mark)


# ---- keys and tokens

def test_a_key_that_is_taken_away_lets_nobody_in_and_ends_nobody_until_they_are_disconnected():
    old, new = "the-old-secret-0123456789", "the-new-secret-0123456789"

    def keys(*secrets):
        return {"hooks": [{"name": "jwt", "plugin": "jwt", "config": {"keys": [{"alg": "HS256", "secret": s} for s in secrets]}}]}
    with Broker({**keys(old), "reauth_ms": 0}) as broker, client_of(broker, token=mint("u1", secret=old)) as client:
        client.subscribe("t:1")
        broker.write_config(merge(broker.config, keys(new)))
        broker.sighup()
        wait_until(lambda: http(broker.address, "GET", "/cursor", token=mint("u2", secret=old)).status == 401, 10, "the old key's end", interval=0.03)
        broker.wait_log("sessions are authorized again")
        client.ping()
        done = http(broker.admin_address, "POST", "/api/sessions/disconnect", {"Content-Type": "application/json"},
                    {"tenant": TENANT, "reason": "a key has leaked"}, ADMIN_TOKEN)
        equal(done.json(), {"ok": True, "sessions": 1}, "those that are still there")
        client.expect_close(4403)


def test_the_admin_token_of_a_file_is_changed_by_a_reload():
    first, second = "first-admin-token-0123456789", "second-admin-token-0123456789"
    with temporary_directory() as directory:
        (directory / "admin.token").write_text(first + "\n")
        with Broker({"admin": {"token": f"@file:{directory}/admin.token"}}) as broker:
            def status(token):
                return http(broker.admin_address, "GET", "/api/status", token=token).status
            equal([status(first), status(second)], [200, 401], "before")
            (directory / "admin.token").write_text(second + "\n")
            broker.sighup()
            wait_until(lambda: status(second) == 200, 10, "the new token", interval=0.03)
            equal(status(first), 401, "the old one")


def test_a_token_without_an_end_makes_a_session_without_one():
    with Broker() as broker, client_of(broker, token=encode_jwt({"sub": "u1", "tenant_id": TENANT})) as client:
        equal(client.welcome["expires_at"], None, "expires_at")


# ---- who looks from outside

def test_nothing_tells_who_has_no_token_what_runs_here():
    version = cli("version").stdout.split()[1]
    with Broker() as broker:
        for method, path in (("GET", "/"), ("GET", "/healthz"), ("GET", "/ws"), ("POST", "/publish"), ("GET", "/cursor")):
            answer = http(broker.address, method, path)
            text = repr(answer.headers) + answer.body.decode()
            check("server" not in {name.lower() for name, _ in answer.headers} and version not in text and "ookwire" not in text,
                  f"{method} {path}: {text}")


def test_payloads_and_claims_are_in_no_log():
    marks = ("payload-0123456789", "claim-0123456789", "previous-0123456789")
    with Broker({"log": {"level": "debug"}}) as broker, client_of(broker, token=mint("u1", note=marks[1])) as client:
        client.subscribe("t:1")
        broker.publish("t:1", data={"entity_id": "e", "payload": {"a": marks[0]}, "previous": {"a": marks[2]}})
        client.recv_event("t:1")
        broker.publish("t:1", data={"payload": {"a": marks[0]}})  # refused
        client.request({"type": "publish", "topic": "secret:1", "event": "ADDED", "data": {"entity_id": "e", "payload": marks[0]}})
        listed = http(broker.admin_address, "GET", "/api/sessions", token=ADMIN_TOKEN)
        equal(listed.json()["total"], 1, "sessions in the list")
        client.close()
        broker.wait_log("session closed")
        text = broker.log() + listed.body.decode() + http(broker.admin_address, "GET", "/metrics").body.decode()
        for mark in marks:
            check(mark not in text, f"{mark} is in the log, the metrics or the list of sessions")


# ---- what is shipped

def test_no_token_gets_into_haproxys_log():
    token = mint("u1")
    with Broker() as broker, ShippedProxy("haproxy", broker.address) as haproxy:
        with WsClient(haproxy.address, token=token) as client:
            client.subscribe("t:1")
        broker.stop()
        equal(http(haproxy.address, "GET", f"/last?token={token}").status, 503, "without a broker")
        wait_until(lambda: "GET /last" in haproxy.log() and "GET /ws" in haproxy.log(), what="the requests in the log")
        check(token not in haproxy.log() and "token=" not in haproxy.log(), "a token is in HAProxy's log")


def unit_setting(name):
    return re.search(rf"(?m)^{name}=(.*)$", UNIT.read_text())[1]


def test_a_proxy_of_the_units_group_may_open_a_unix_socket_and_nobody_else():
    mask = int(unit_setting("UMask"), 8)
    with Broker({"listen": ["unix:hookwire.sock"]}, prefix=["sh", "-c", f"umask {mask:04o}; exec \"$@\"", "sh"]) as broker:
        mode = stat.S_IMODE((broker.dir / "hookwire.sock").stat().st_mode)
        equal((mode & 0o070, mode & 0o007), (0o070, 0), f"mode {mode:o} with the unit's UMask {mask:04o}: connecting takes the right to write")


def test_the_unit_is_as_closed_as_the_page_says():
    if not shutil.which("systemd-analyze"):
        print("     systemd-analyze is not installed", flush=True)
        return
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={int(EXPOSURE * 10)}", str(UNIT)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"})
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    check(level, f"systemd-analyze says: {done.stdout[-500:]}")
    equal(done.returncode, 0, f"the unit's exposure of {level[1]} is over {EXPOSURE}")
    contains(PAGE.read_text(), f"exposure of {level[1]}", "what the page says of it")


# ---- the page itself

def test_every_test_that_the_page_names_is_there():
    text = PAGE.read_text()
    named = set(re.findall(r"`(\d\d_\w+|test_\w+)`", text))
    check(len(named) > 20, f"tests that the page names: {sorted(named)}")
    there = {path.stem for path in [*(ROOT / "tests/functional").glob("*.py"), *(ROOT / "tests/unit").rglob("test_*.c")]}
    equal(sorted(named - there), [], "tests that the page names and that are not there")
    n_rows, claims = 0, False
    for line, row in enumerate(text.split("\n"), 1):
        claims = row.startswith("|") and (claims or row.endswith("| shown by |"))
        if claims and not row.startswith("| ---") and not row.endswith("| shown by |"):
            n_rows += 1
            check(re.search(r"`(\d\d_\w+|test_\w+)`", row), f"docs/security.md:{line}: no test shows it: {row}")
    check(n_rows > 40, f"{n_rows} rows that say what shows them")


main()
