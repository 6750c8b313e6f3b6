#!/usr/bin/python3
# The commands beside serve: they explain themselves, tokens are accepted by a broker, check says every problem, and exit codes tell.
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

COMMANDS = ["serve", "check", "policy", "policy test", "policy eval", "token", "pub", "sub", "validate", "version"]


def claims_of(token):
    part = token.strip().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_each_command_explains_itself():
    top = cli("--help")
    equal(top.returncode, 0, "hookwire --help")
    for command in COMMANDS:
        contains(top.stdout, command.split()[0], "hookwire --help")
        shown = cli(*command.split(), "--help")
        equal([shown.returncode, shown.stderr], [0, ""], f"hookwire {command} --help")
        check(re.match(r"usage: ", shown.stdout, re.I), f"{command}: {shown.stdout[:60]!r}")
        contains(shown.stdout, f"hookwire {command}", f"{command} --help")
        equal(cli(*command.split(), "-h").stdout, shown.stdout, f"{command} -h")
        too_long = [line for line in shown.stdout.splitlines() if len(line) > 110]
        equal(too_long, [], f"{command} --help: lines that do not fit a terminal")


def test_what_is_not_understood_is_said_and_exits_2():
    for args in ((), ("nonsense",), ("--nonsense",), ("serve",), ("serve", "--nonsense"), ("check",), ("policy",), ("policy", "tset"), ("policy", "test"), ("policy", "eval"),
                 ("policy", "test", "--nonsense", "."), ("token",), ("token", "--user"),
                 ("serve", "-c", "a", "b"), ("serve", "-c"), ("check", "--plugin"), ("check", "--plugin", "a", "b"), ("token", "--user", "a", "--tenant", "b", "--ttl", "soon")):
        done = cli(*args, timeout=5)
        equal(done.returncode, 2, f"hookwire {args}")
        check(done.stderr and not done.stdout, f"hookwire {args}: {done!r}")
        if args and not args[0].startswith(("-", "nonsense")):
            check(re.match(f"hookwire {args[0]}( test| eval)?: ", done.stderr), f"hookwire {args}: {done.stderr!r}")
    contains(cli("tokne").stderr, "token", "what was meant")
    for name in ("serve", "check", "token", "pub", "sub", "version"):
        done = cli(name, "--nonsense")
        equal(done.returncode, 2, f"{name} --nonsense")
        check(re.match(rf"hookwire {name}: unrecognized (option|argument) '--nonsense'\ntry: hookwire {name} --help\n$", done.stderr),
              f"{name} --nonsense: {done.stderr}")


def test_version():
    done = cli("version")
    equal(done.returncode, 0, "exit code")
    check(re.fullmatch(r"hookwire \d+\.\d+\.\d+\S* \(.*ABI 1.*\)\n", done.stdout), done.stdout)
    equal(cli("--version").stdout, done.stdout, "hookwire --version")


def test_a_token_is_accepted_by_a_broker():
    done = cli("token", "--user", "ann", "--tenant", "acme", "--ttl", "60", "--claim", "role=admin", "--claim", 'families=["a","b"]',
               "--claim", "n=7", "--issuer", "me", "--audience", "you")
    equal([done.returncode, done.stderr], [0, ""], "token")
    contains(claims_of(done.stdout), {"sub": "ann", "tenant_id": "acme", "role": "admin", "families": ["a", "b"], "n": 7, "iss": "me",
                                      "aud": "you"}, "claims")
    left = claims_of(done.stdout)["exp"] - time.time()
    check(50 < left <= 61, f"it is good for {left} s")
    with Broker() as broker:
        with WsClient(broker.address, token=done.stdout.strip(), protocols=["hookwire.v1"]) as client:
            contains(client.recv_json(), {"type": "welcome", "user_id": "ann", "tenant_id": "acme"}, "welcome")
        expired = cli("token", "--user", "ann", "--tenant", "acme", "--ttl", "-5").stdout.strip()
        answer = http(broker.address, "GET", "/cursor", token=expired)
        equal([answer.status, answer.json()["code"]], [401, "token_expired"], "an expired one")
        forever = cli("token", "--user", "ann", "--tenant", "acme", "--ttl", "0").stdout.strip()
        check("exp" not in claims_of(forever), "--ttl 0 is for ever")
        equal(http(broker.address, "GET", "/cursor", token=forever).status, 200, "one for ever")


def test_a_token_signed_with_a_key_is_accepted_by_a_broker():
    for alg, make in (("RS256", ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
                      ("ES256", ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])):
        with temporary_directory() as tmp:
            subprocess.run(["openssl", *make, "-out", tmp / "private.pem"], check=True, stderr=subprocess.DEVNULL)
            public = subprocess.run(["openssl", "pkey", "-in", tmp / "private.pem", "-pubout"], check=True, stdout=subprocess.PIPE, text=True).stdout
            done = cli("token", "--user", "ann", "--tenant", "acme", "--alg", alg, "--key-file", tmp / "private.pem", "--kid", "k1")
            equal([done.returncode, done.stderr], [0, ""], "token")
            hooks = base_config()["hooks"]
            hooks[0]["config"]["keys"] = [{"alg": alg, "public_key": "@file:public.pem", "kid": "k1"}]
            with Broker({"hooks": hooks}, files={"public.pem": public}) as broker:
                equal(http(broker.address, "GET", "/cursor", token=done.stdout.strip()).status, 200, alg)


def test_a_token_without_a_secret_says_what_is_missing():
    done = cli("token", "--user", "a", "--tenant", "b", "--secret-env", "HOOKWIRE_TEST_NOT_SET")
    equal([done.returncode, done.stdout], [1, ""], "token")
    contains(done.stderr, "HOOKWIRE_TEST_NOT_SET", "what it says")
    with temporary_directory() as tmp:
        (tmp / "secret").write_text(SECRET + "\n")
        good = cli("token", "--user", "a", "--tenant", "b", "--secret-file", tmp / "secret", env={"HOOKWIRE_JWT_SECRET": "other" * 8})
        equal(good.returncode, 0, "by --secret-file")
        with Broker() as broker:
            equal(http(broker.address, "GET", "/cursor", token=good.stdout.strip()).status, 200, "its token")


def test_check_says_every_problem_with_its_place():
    text = """{
  // a comment is fine
  "listen": ["127.0.0.1:0"],
  "wrokers": 2,
  "hooks": [ { "name": "jwt", "plugin": "jwt", "config": { "keys": [] } } ],
  "tenants": { "*": { "hooks": [ { "lua": "missing.lua" }, { "lua": "broken.lua" } ] } },
  "drain_ms": "soon",
  "log": { "level": "${HOOKWIRE_TEST_NOT_SET}" }
}
"""
    with temporary_directory() as tmp:
        (tmp / "bad.json").write_text(text)
        (tmp / "broken.lua").write_text("return policy {\n  api = 1,\n  authorize = (,\n}\n")
        done = cli("check", "-c", tmp / "bad.json")
        equal(done.returncode, 1, "exit code")
        said = done.stdout + done.stderr
        check(re.search(r'bad\.json:4:\d+: .*wrokers.*"workers"', said), f"the unknown key: {said}")
        check(re.search(r"bad\.json:7:\d+: .*drain_ms", said), f"the wrong type: {said}")
        check(re.search(r"bad\.json:8:\d+: .*HOOKWIRE_TEST_NOT_SET", said), f"the unset variable: {said}")


def test_check_that_cannot_say_what_it_found_fails():
    with open("/dev/full", "w") as full:
        done = subprocess.run([binary(), "check", "-c", ROOT / "conf/minimal.json"], stdout=full, stderr=subprocess.PIPE, encoding="utf-8",
                              env={"HOOKWIRE_JWT_SECRET": SECRET}, check=False)
    equal(done.returncode, 1, "exit code")
    contains(done.stderr, "No space left on device", "why")


def test_check_misses_nothing_in_a_file_that_it_could_not_read_to_its_end():
    with temporary_directory() as tmp:
        for text, warns in (("{", False), ('{"listen": [', False), ("{}", True), ('{"hooks": [], "log": {"level": "${HOOKWIRE_TEST_NOT_SET}"}}', True)):
            (tmp / "cut.json").write_text(text)
            done = cli("check", "-c", tmp / "cut.json")
            equal('no entry in "hooks"' in done.stdout, warns, f"{text}: {done.stdout}")


def test_check_tries_the_hooks_too():
    with temporary_directory() as tmp:
        (tmp / "broken.lua").write_text("return policy {\n  api = 1,\n  authorize = (,\n}\n")
        (tmp / "good.lua").write_text(OPEN_POLICY)
        config = base_config()
        config["tenants"] = {"*": {"hooks": [{"lua": "good.lua"}]}}
        (tmp / "good.json").write_text(json.dumps(config))
        done = cli("check", "-c", tmp / "good.json")
        equal(done.returncode, 0, f"a good one: {done!r}")
        for hook, pattern in (({"lua": "missing.lua"}, r"missing\.lua"), ({"lua": "broken.lua"}, r"broken\.lua:3"), ({"plugin": "./missing.so"}, r"missing\.so"),
                              ({"plugin": "jwt", "config": {"keys": []}}, r"hook \"jwt\"")):
            config["tenants"] = {"*": {"hooks": [hook]}}
            (tmp / "bad.json").write_text(json.dumps(config))
            done = cli("check", "-c", tmp / "bad.json")
            equal(done.returncode, 1, f"{hook}: {done!r}")
            check(re.search(r"bad\.json:\d+:\d+: .*" + pattern, done.stdout + done.stderr), f"{hook}: {done!r}")
            serve = cli("serve", "-c", tmp / "bad.json", timeout=10)
            equal(serve.returncode, 1, f"serve, too: {hook}")


def test_check_takes_the_shipped_configurations():
    env = {"HOOKWIRE_JWT_SECRET": SECRET, "HOOKWIRE_ADMIN_TOKEN": ADMIN_TOKEN}
    for path in sorted((ROOT / "conf").glob("*.json")):
        if "schema" not in path.name:
            done = cli("check", "-c", path, env=env)
            equal(done.returncode, 0, f"{path.name}: {done.stdout}{done.stderr}")


def test_check_opens_a_plugin():
    so = pathlib.Path(binary()).parent / "plugins" / "jwt.so"
    if not so.exists():
        so = next(iter(ROOT.glob("build*/plugins/jwt.so")))
    done = cli("check", "--plugin", so)
    equal(done.returncode, 0, f"the jwt plugin: {done!r}")
    contains(done.stdout, "authenticate", "its hooks")
    with temporary_directory() as tmp:
        (tmp / "half.so").write_bytes(so.read_bytes()[:5000])
        done = cli("check", "--plugin", tmp / "half.so")
        equal(done.returncode, 1, f"half of it: {done!r}")


def test_serve_without_what_it_needs_says_so_and_exits_1():
    with temporary_directory() as tmp:
        done = cli("serve", "-c", tmp / "absent.json", timeout=5)
        equal(done.returncode, 1, "exit code")
        contains(done.stderr, "absent.json", "what it says")


class Sub:
    """`hookwire sub` in a process; the broker has granted its subscription when this returns."""

    def __init__(self, broker, *args):
        self.process = subprocess.Popen([binary(), "sub", "--url", f"ws://{broker.address}/ws", *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, "HOOKWIRE_TOKEN": mint("ann")})
        self.lines = []
        try:
            wait_until(lambda: broker.metric("hookwire_hook_calls_total", hook="open", stage="authorize") >= 1, 5, "the subscription")
        except AssertionError:
            self.end()
            raise

    def finish(self, timeout=10):
        """Waits for its end: exit code, lines as JSON, standard error."""
        try:
            out, err = self.process.communicate(timeout=scaled(timeout))
        finally:
            self.end()
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def test_pub_and_sub_with_a_broker():
    with Broker() as broker:
        env = {"HOOKWIRE_TOKEN": mint("ben")}
        url = ("--url", f"http://{broker.address}")
        sub = Sub(broker, "--count", "4", "t:1")
        try:
            one = cli("pub", *url, "t:1", "UPDATED", "e1", '{"n":1.50}', env=env)
            equal([one.returncode, one.stderr], [0, ""], "pub")
            lines = "".join(json.dumps({"topic": "t:1", "event": "ADDED", "data": {"entity_id": f"e{n}", "payload": {}}}) + "\n" for n in (2, 3))
            more = cli("pub", *url, "--stdin", stdin=lines, env=env)
            equal(more.returncode, 0, f"pub --stdin: {more!r}")
            keyed = [cli("pub", *url, "--key", "k1", "t:1", "UPDATED", "e4", env=env) for _ in range(2)]
            equal([k.returncode for k in keyed], [0, 0], f"pub --key, twice: {keyed!r}")
        finally:
            code, events, err = sub.finish()
        equal(code, 0, f"sub's exit code, {err}")
        equal([e["data"]["entity_id"] for e in events], ["e1", "e2", "e3", "e4"], "its lines")
        equal(one.stdout.split(), [events[0]["id"]], "the id that pub prints")
        equal({e["data"]["user_id"] for e in events}, {"ben"}, "user_id")


def test_pub_and_sub_say_what_is_refused():
    with Broker() as broker:
        env = {"HOOKWIRE_TOKEN": mint("ben")}
        done = cli("sub", "--url", f"ws://{broker.address}/ws", "--count", "1", "--no-reconnect", "secret:1", env=env, timeout=10)
        equal(done.returncode, 1, f"a refused topic: {done!r}")
        contains(done.stderr, "secret:1", "what sub says")
        for args, token in ((["No Topic", "UPDATED", "e"], mint("ben")), (["t:1", "UPDATED", "e"], mint("ben", secret="x" * 32))):
            done = cli("pub", "--url", f"http://{broker.address}", *args, env={"HOOKWIRE_TOKEN": token}, timeout=10)
            check(done.returncode in (1, 2) and done.stderr and not done.stdout, f"pub {args}: {done!r}")
        done = cli("pub", "--url", "http://127.0.0.1:1", "t:1", "UPDATED", "e", env=env, timeout=10)
        equal(done.returncode, 1, f"nobody listens: {done!r}")


main()
