#!/usr/bin/python3
# conf/: the shipped configurations are valid by the schema, broken ones are not, schema and reader know the same keys, and
# the proxies take the files made for them.
# ctest: timeout=300 cost=20
import copy
import json
import shutil
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import jsonschema
from hwtest import *

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"
SCHEMA = json.loads((CONF / "hookwire.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def strip_comments(text):
    """JSON without its // and /* */ comments; what is inside strings stays."""
    out, i = [], 0
    while i < len(text):
        if text[i] == '"':
            end = i + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            out.append(text[i:end + 1])
            i = end + 1
        elif text.startswith("//", i):
            i = text.find("\n", i) if "\n" in text[i:] else len(text)
        elif text.startswith("/*", i):
            i = text.index("*/", i) + 2
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


def complaints(config):
    """What the schema says against a configuration."""
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in VALIDATOR.iter_errors(config)]


def reader(*arguments):
    """The configuration reader alone, which neither loads plugins nor runs scripts."""
    program = pathlib.Path(binary()).resolve().parent / "tests" / "unit_app_conf_shipped"
    return subprocess.run([str(program), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)


def reader_keys():
    done = reader("--keys")
    equal(done.returncode, 0, f"--keys: {done.stdout}")
    return {key["path"]: key for key in map(json.loads, done.stdout.splitlines())}


def resolve(node):
    """A schema with its $ref followed; what stands beside the $ref counts."""
    while "$ref" in node:
        target = SCHEMA
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
    return node


def schema_keys(node=None, path=""):
    """Every key the schema knows by its path: items of arrays and members that the operator names are *."""
    node = resolve(SCHEMA if node is None else node)
    keys = {}
    for name, child in node.get("properties", {}).items():
        keys[f"{path}/{name}"] = resolve(child)
        keys.update(schema_keys(child, f"{path}/{name}"))
    for child in (node.get("items"), node.get("additionalProperties")):
        if isinstance(child, dict):
            keys.update(schema_keys(child, f"{path}/*"))
    return keys


def types_of(node):
    """The JSON types a schema allows."""
    types = node.get("type", [])
    found = {types} if isinstance(types, str) else set(types)
    for branch in node.get("anyOf", []):
        found |= types_of(resolve(branch))
    for value in node.get("enum", []) + ([node["const"]] if "const" in node else []):
        found.add("string" if isinstance(value, str) else type(value).__name__)
    return found


def enum_of(node):
    for branch in [node, *node.get("anyOf", [])]:
        if "enum" in branch:
            return branch["enum"]
    return None


BASE = {  # has everything in it that a path of the reader's keys may lead to
    "listen": [{"address": "127.0.0.1:8082"}], "trusted_proxies": ["127.0.0.1"],
    "admin": {}, "log": {}, "auth": {}, "journal": {"retention": {}, "memory": {}}, "slow": {}, "limits": {}, "heartbeat": {}, "sse": {}, "occupancy": {}, "presence": {},
    "decisions": {"path": "decisions.ndjson"},
    "hooks": [{"lua": "open.lua", "budget": {}, "breaker": {}}],
    "tenants": {"acme": {"hooks": [{"lua": "open.lua", "budget": {}, "breaker": {}}], "limits": {}, "journal": {"retention": {}}}},
    "topics": {"audit:*": {"retention": {}}},
}


def with_value(path, value):
    """BASE with one more member, and what must then be there or be gone."""
    config = copy.deepcopy(BASE)
    *parents, name = path.strip("/").split("/")
    node = config
    for step in parents:
        if step == "*":
            node = node[0] if isinstance(node, list) else next(iter(node.values()))
        else:
            node = node[step]
    if name == "plugin":
        node.pop("lua", None), node.pop("budget", None)
    if name == "history":
        node.pop("retention")
    node[name] = value
    if path == "/auth/cookie":
        node["origins"] = ["https://app.example.com"]
    if path == "/heartbeat/interval_ms":
        node["timeout_ms"] = 86400000
    if path == "/heartbeat/timeout_ms":
        node["interval_ms"] = 10
    if path == "/decisions/line_bytes":
        node["buffer_bytes"] = 1 << 30
    if path == "/listen":
        config["admin"]["listen"] = "127.0.0.1:9"
    return config


class Both:
    """Asks the schema and the reader about one configuration, and wants them to agree."""

    def __init__(self, directory):
        self.directory, self.asked = directory, 0
        (directory / "open.lua").write_text(
            "return policy { api = 1, authorize = { subscribe = function() return allow() end } }\n")
        shutil.copy(pathlib.Path(binary()).resolve().parent / "tests/probes/probe.so", directory / "jwt.so")
        (directory / "tenants.json").write_text('{"tenants": {}}')

    def expect(self, good, config, what):
        self.asked += 1
        path = self.directory / "hookwire.json"
        path.write_text(json.dumps(config))
        read, said = reader("check", "-c", path), complaints(config)
        equal(not said, good, f"the schema about {what}: {said or 'nothing'}")
        equal(read.returncode, 0 if good else 1, f"the reader about {what}: {read.stdout}")


# What stands for a key whose value is no number, switch or word.
GOOD = {
    "/listen": [["127.0.0.1:8080"], ["[::]:8080", "unix:/run/x.sock", "localhost:0", "0.0.0.0:65535"],
                [f"unix:{n}" for n in range(15)], [{"address": "[::1]:0"}, {"address": "unix:/run/x", "proxy_protocol": True}]],
    "/listen/*/address": ["127.0.0.1:8080", "[::]:0", "unix:a.sock"],
    "/presence/topics": [[], ["room:*"], ["room:1", "hall:*", "a-b:c-1"]],
    "/presence/claims": [[], ["name"], ["name", "https://example.com/avatar"]],
    "/trusted_proxies": [[], ["127.0.0.1", "10.0.0.0/8", "0.0.0.0/0"], ["::1", "2001:db8::/32", "[fe80::]/10", "::/0", "unix"],
                         [f"192.0.2.{n}" for n in range(64)]],
    "/admin": [None, {}],
    "/admin/listen": ["127.0.0.1:8081", "127.1.2.3:1", "[::1]:8081", "unix:a.sock", "localhost:9"],
    "/admin/token": [None, "0123456789abcdef"],
    "/auth/cookie": [None, "sid", "__Host-sid"],
    "/auth/origins": [[], ["*"], ["https://app.example.com", "http://localhost:3000", "capacitor://localhost"]],
    "/plugin_path": [None, [], ["plugins", "/opt/plugins"]],
    "/script_path": [None, "lib"],
    "/plugin_cache": [None, "/var/lib/hookwire"],
    "/hooks": [[], [{"lua": "open.lua"}, {"plugin": "./jwt.so"}]],
    "/tenants/*/hooks": [[], [{"lua": "open.lua"}]],
    "/tenants": [{}, {"*": {}, "acme": {"hooks": []}}],
    "/topics": [{}, {"cursor:*": {"history": "none"}, "audit:a-1": {"retention": {"count": 1}},
                     "doc:*": {"conflate": "latest", "retention": {"count": 1}}, "x:*": {"history": "none", "conflate": "none"}}],
    "/topics/*/history": ["none"],
    "/max_revoke": [None, 0, 0.25, 1],
    "/decisions": [None, {"path": "decisions.ndjson"}],
    "/decisions/path": ["decisions.ndjson", "/var/log/hookwire/decisions.ndjson"],
    "/decisions/sample": [0, 0.001, 1],
    "/decisions/stages": [["authenticate", "authorize", "transform", "filter"], ["filter"]],
    "/decisions/always": [[], ["deny", "error"], ["error"]],
    "/decisions/redact": [[], ["claims", "claims.email", "event.data.*.price", "user_id", "session", "address", "topic", "message"],
                          [f"claims.c{n}" for n in range(32)]],
    "/echo": [None, "/echo", "/wsx", "/a/b"],
    "/include": [[], ["tenants.json", "none.d/*.json"]],
    "/$schema": ["./hookwire.schema.json", None],
    "/journal/plugin": [None],
    "/journal/config": [{}],
    "*/name": ["a", "a-b_9"],
    "*/lua": ["open.lua", "./open.lua"],
    "*/plugin": ["./jwt.so"],
    "*/config": [{}, {"any": [1, None, {"thing": True}]}],
    "*/on_error": ["unavailable"],
}


def good_values(path, key):
    if key["type"] == "boolean":
        return [True, False]
    if key["type"] == "integer":
        return [key["minimum"], key["maximum"], key.get("default", key["minimum"])]
    if "enum" in key:
        return key["enum"]
    for known, values in GOOD.items():
        if path == known or (known.startswith("*") and "/hooks/*" in path and path.endswith(known[1:])):
            return values
    return [{}] if key["type"] == "object" else None


def bad_values(key):
    wrong = {"boolean": [0, "true"], "integer": ["1", 1.5, True], "string": [5, ["x"], {}], "array": [{}, "x", 5], "object": [[], "x", 5]}
    values = list(wrong.get(key["type"], []))
    if key["type"] == "integer":
        values += [key["minimum"] - 1, key["maximum"] + 1]
    if "enum" in key:
        values.append("nonsense")
    if not key["nullable"] and key["type"] != "any":
        values.append(None)
    return values


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_shipped_configurations_are_valid():
    files = [p for p in [*CONF.glob("*.json"), *CONF.glob("tenants.d/*.json*")] if p.name != "hookwire.schema.json"]
    check(len(files) >= 4, f"only {files} are shipped")
    for path in files:
        config = json.loads(strip_comments(path.read_text()))
        equal(complaints(config), [], path.name)
        check((path.parent / config["$schema"]).resolve() == CONF / "hookwire.schema.json", f"{path.name} names another schema")


def test_schema_and_reader_know_the_same_keys():
    known = {path for path, key in reader_keys().items() if key["type"] != "later"}
    equal(sorted(set(schema_keys()) - known), [], "only the schema knows")
    equal(sorted(known - set(schema_keys())), [], "only the reader knows")


def test_types_defaults_and_ranges_are_the_same():
    schema = schema_keys()
    for path, key in reader_keys().items():
        if key["type"] in ("later", "any"):
            continue
        node = schema[path]
        equal(types_of(node), {key["type"]} | ({"null"} if key["nullable"] else set()), f"types of {path}")
        for name in ("minimum", "maximum"):
            equal(node.get(name), key.get(name), f"{name} of {path}")
        equal(enum_of(node), key.get("enum"), f"words of {path}")
        if "default" in key:
            equal(node.get("default"), key["default"], f"default of {path}")
        if node.get("default") is not None and "anyOf" not in node and key["type"] != "object":
            equal(node["default"], key.get("default"), f"default of {path}")


def test_every_key_is_described():
    for path, node in schema_keys().items():
        check(len(node.get("description", "")) > 10, f"{path} has no description")


def test_both_take_what_is_good_and_refuse_what_is_not():
    with temporary_directory() as directory:
        both = Both(directory)
        both.expect(True, {}, "{}")
        both.expect(True, BASE, "BASE")
        for path, key in reader_keys().items():
            if key["type"] == "later":
                both.expect(False, with_value(path, {}), f"{path}, of a later version")
                continue
            values = good_values(path, key)
            check(values is not None, f"no good value of {path} is known to this test")
            for value in values:
                both.expect(True, with_value(path, value), f"{path} = {json.dumps(value)}")
            for value in bad_values(key):
                both.expect(False, with_value(path, value), f"{path} = {json.dumps(value)}")
        check(both.asked > 300, f"only {both.asked} configurations were tried")


BROKEN = [
    [],
    {"worker": 1},
    {"listen": []},
    {"listen": [f"unix:{n}" for n in range(16)]},
    {"listen": ["127.0.0.1"]},
    {"listen": ["127.0.0.1:x"]},
    {"listen": ["::1:80"]},
    {"listen": ["example.com:80"]},
    {"listen": [":80"]},
    {"listen": ["unix:"]},
    {"listen": [{"address": "127.0.0.1:443", "cert": "c", "key": "k"}]},
    {"listen": [{"proxy_protocol": True}], "trusted_proxies": ["127.0.0.1"]},
    {"listen": [{"address": "127.0.0.1:443", "proxy_protocol": "v2"}], "trusted_proxies": ["127.0.0.1"]},
    {"admin": {"listen": {"address": "127.0.0.1:8081"}}},
    {"presence": {"topics": "room:*"}},
    {"presence": {"topics": ["room"]}},
    {"presence": {"topics": ["*:*"]}},
    {"presence": {"topics": [f"room:{n}" for n in range(65)]}},
    {"presence": {"claims": [""]}},
    {"presence": {"claims": [1]}},
    {"trusted_proxies": "127.0.0.1"},
    {"trusted_proxies": ["localhost"]},
    {"trusted_proxies": ["127.0.0.1:80"]},
    {"trusted_proxies": ["unix:/run/x"]},
    {"trusted_proxies": [f"10.0.0.{n}" for n in range(65)]},
    {"listen": ["127.0.0.1:1", "127.0.0.1:1"]},
    {"admin": {"listen": "0.0.0.0:8081"}},
    {"admin": {"listen": "[::]:8081"}},
    {"admin": {"listen": "192.168.1.1:8081"}},
    {"admin": {"token": "short"}},
    {"admin": {"token": "with a blank in it"}},
    {"auth": {"cookie": "sid"}},
    {"auth": {"cookie": "sid", "origins": ["*"]}},
    {"auth": {"cookie": "a b", "origins": []}},
    {"auth": {"origins": ["null"]}},
    {"auth": {"origins": ["https://a/"]}},
    {"auth": {"origins": ["https://*.a"]}},
    {"auth": {"origins": ["HTTPS://a"]}},
    {"echo": "echo"},
    {"echo": "/"},
    {"echo": "/ws"},
    {"echo": "/topics/x"},
    {"echo": "/a?b"},
    {"hooks": [{}]},
    {"hooks": [{"name": "x"}]},
    {"hooks": [{"lua": "open.lua", "plugin": "./jwt.so"}]},
    {"hooks": [{"plugin": "./jwt.so", "budget": {}}]},
    {"hooks": [{"lua": "open.lua", "name": "Upper"}]},
    {"hooks": [{"lua": "open.lua", "name": ""}]},
    {"hooks": [{"lua": "open.lua", "config": "text"}]},
    {"hooks": [{"lua": "open.lua", "on_error": "allow"}]},
    {"hooks": [{"lua": "open.lua", "budget": {"cpu": 1}}]},
    {"hooks": [{"lua": ""}]},
    {"hooks": ["jwt"]},
    {"tenants": {"": {}}},
    {"tenants": {"a*": {}}},
    {"tenants": {"a\u0001": {}}},
    {"tenants": {"a": None}},
    {"tenants": {"a": {"limit": {}}}},
    {"tenants": {"a": {"journal": {"plugin": "sqlite"}}}},
    {"topics": {"cursor": {"history": "none"}}},
    {"topics": {"Cursor:*": {"history": "none"}}},
    {"topics": {"*": {"history": "none"}}},
    {"topics": {"a:*": {}}},
    {"topics": {"a:*": {"history": "none", "retention": {}}}},
    {"topics": {"a:*": {"history": "none", "conflate": "latest"}}},
    {"topics": {"a:*": {"conflate": "first"}}},
    {"topics": {f"a:{i}": {"history": "none"} for i in range(16)}},
    {"include": ["${NAME}/*.json"]},
    {"include": [""]},
    {"include": ["*/tenants.json"]},
    {"plugin_path": [""]},
]


def test_both_refuse_what_is_broken():
    with temporary_directory() as directory:
        both = Both(directory)
        for config in BROKEN:
            both.expect(False, config, json.dumps(config))


def test_the_proxies_take_the_shipped_files():
    with temporary_directory() as directory:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                        "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"],
                       cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (directory / "both.pem").write_text((directory / "cert.pem").read_text() + (directory / "key.pem").read_text())
        for name, command, names in (
                ("nginx.conf", ["nginx", "-t", "-e", "stderr", "-g", f"pid {directory}/pid;", "-c"], {
                    "/etc/ssl/certs/realtime.example.com.pem": "cert.pem", "/etc/ssl/private/realtime.example.com.key": "key.pem",
                    "/var/log/nginx/hookwire.log": "access.log",
                    "/var/log/nginx/hookwire-error.log": "error.log", "listen 443 ssl": "listen 127.0.0.1:18443 ssl",
                    "listen [::]:443 ssl": "listen 127.0.0.1:18444 ssl"}),
                ("haproxy.cfg", ["haproxy", "-c", "-f"], {"/etc/ssl/private/realtime.example.com.pem": "both.pem"})):
            text = (CONF / name).read_text()
            for old, new in names.items():
                check(old in text, f"{old} is not in {name}")
                text = text.replace(old, str(directory / new) if old.startswith("/") else new)
            (directory / name).write_text(text)
            done = subprocess.run([*command, str(directory / name)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            equal(done.returncode, 0, f"{name}: {done.stdout}")
            check("warn" not in done.stdout.lower(), f"{name}: {done.stdout}")


main()
