#!/usr/bin/python3
# The documentation is true: its examples run, its links lead somewhere, its lists of commands and metrics are complete.
# ctest: timeout=120
import json
import pathlib
import re
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.docs import blocks_of, run_page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "scripts/policies/README.md",
         *sorted((ROOT / "plugins").glob("*/README.md"))]


def test_every_example_runs_or_says_why_not():
    failed = []
    for path in PAGES:
        name = str(path.relative_to(ROOT))
        try:
            print(f"     {name}: {run_page(name, path.read_text())} blocks", flush=True)
        except Failure as failure:
            failed.append(str(failure))
    check(not failed, "examples that are not so:\n\n" + "\n\n".join(failed))


def names_of(struct):
    """The members of a struct of the plugin interface: data, and pointers to functions."""
    header = re.sub(r"/\*.*?\*/", "", (ROOT / "core/include/hookwire/plugin.h").read_text(), flags=re.S)
    body = re.search(rf"^struct {struct} \{{\n(.*?)^\}};", header, re.M | re.S)[1]
    names = []
    for declaration in body.split(";"):
        function = re.search(r"\(\*(\w+)\)\(", declaration)
        names += [function[1]] if function else re.findall(r"(\w+)(?:\[\w+\])?\s*(?:,|$)", declaration.strip())
    return names


def test_the_manual_of_the_plugin_interface_names_all_of_it():
    header = (ROOT / "core/include/hookwire/plugin.h").read_text()
    page = (ROOT / "docs/plugin-abi.md").read_text()
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    structs = re.findall(r"^struct (\w+) \{", header, re.M)
    check({"hw_host", "hw_plugin", "hw_call", "hw_answer"} <= set(structs), f"structs: {structs}")
    for struct in structs:
        members = names_of(struct)
        check(len(members) >= 2, f"members of {struct}: {members}")
        check(struct in named, f"docs/plugin-abi.md does not name struct {struct}")
        for member in members:
            check(member in named, f"docs/plugin-abi.md does not name {struct}.{member}")
    check(len(names_of("hw_plugin")) >= 19 and len(names_of("hw_host")) >= 37, "members are not found")
    major, minor = (re.search(rf"^#define HW_PLUGIN_{part} (\d+)", header, re.M)[1] for part in ("MAJOR", "MINOR"))
    contains(page, f"interface {major}.{minor}.", "the page's version")
    contains(page, f"| {major}.{minor} |", "what the version adds")


LISTER = """
local function names(of)
  local list = {}
  for name in pairs(of) do list[#list + 1] = tostring(name) end
  return table.concat(list, " ")
end
local globals = names(_G)
return policy {
  api = 1,
  authenticate = function(req, ctx) ctx.log.info("req " .. names(req)) return defer() end,
  authorize = {
    publish = function(s, topic, ctx, event)
      for name, of in pairs { s = s, topic = topic, globals = {}, ctx = ctx, http = ctx.http, log = ctx.log, time = ctx.time, crypto = ctx.crypto,
                              jwt = ctx.jwt, dict = ctx.dict, json = json, os = os, string = string,
                              answer = ctx.http.get(ctx.config.url), failure = ctx.http.get("http://127.0.0.1:1/") } do
        print(name .. " " .. (name == "globals" and globals or names(of)))
      end
      return allow()
    end,
  },
}
"""


def section_of(page, title):
    return re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", page)[1]


def cells_of(section):
    """The first two cells of the rows of its tables."""
    return [row.strip("| ").split(" | ")[:2] for row in re.findall(r"(?m)^\| .*$", section)]


def known_of(source, after):
    """The names in the array of C that follows a text."""
    text = (ROOT / "core/hook" / source).read_text()
    return set(re.findall(r'"(\w+)"', re.search(r"\{(.*?)\};", text[text.index(after):], re.S)[1]))


def test_the_manual_of_lua_names_what_a_policy_has_and_no_more():
    page = (ROOT / "docs/lua-api.md").read_text()
    hooks = base_config()["hooks"]
    lister = {"name": "lister", "lua": "lister.lua", "config": {"keys": hooks[0]["config"]["keys"], "url": "-"}, "budget": {"cpu_ms": 1000}}
    with Broker({"hooks": [lister, *hooks], "log": {"format": "json"}}, files={"lister.lua": LISTER}) as broker:
        lister["config"]["url"] = f"http://{broker.admin_address}/api/status"
        broker.write_config(merge(broker.config, {"hooks": [lister, *hooks]}))
        broker.sighup()
        broker.wait_log("reloaded")
        equal(broker.publish("t:1").status, 200, "publish")
        lines = [json.loads(line)["text"].split() for line in broker.log().splitlines() if '"msg":"policy"' in line]
    there = {name: set(names) for name, *names in lines}

    # ctx: the names of its table, where `.post` goes on with what is before it
    documented, group = {"ctx": set()}, None
    for first, _ in cells_of(section_of(page, "ctx")):
        for name in re.findall(r"`([^`]+)`", first):
            found = re.match(r"ctx\.(\w+)(?:\.(\w+))?|\.(\w+)", name)
            check(found, f"docs/lua-api.md, ctx: {name}")
            group = found[1] or group
            documented["ctx"].add(group)
            if found[2] or found[3]:
                documented.setdefault(group, set()).add(found[2] or found[3])
    for name in documented:
        equal(sorted(documented[name]), sorted(there[name]), f"members of {name}, in docs/lua-api.md and there")
    check(len(documented) >= 7, f"tables of ctx: {sorted(documented)}")

    # what functions are given
    arguments = {re.match(r"`(\w+)`", first)[1]: re.findall(r"`(\w+)`", second.split(";")[0])
                 for first, second in cells_of(section_of(page, "The file")) if first.startswith("`")}
    for name in ("req", "s", "topic"):
        equal(sorted(arguments[name]), sorted(there[name]), f"members of {name}")

    # globals
    text = section_of(page, "Globals")
    present, absent = text.split("There is no ")
    named = set(re.findall(r"[\w.]+", " ".join(re.findall(r"`([^`]+)`", present + " `allow` `deny` `defer` `unavailable`"))))
    equal(sorted(there["globals"] - {name.split(".")[0] for name in named}), [], "globals that the page does not name")
    for name in re.findall(r"`(\w+)`", absent.split(";")[0]):
        check(name not in there["globals"], f"{name} is there")
    equal(there["os"], {"time", "date", "clock"}, "members of os")
    check("dump" not in there["string"], "string.dump is there")
    equal(sorted(there["json"]), sorted(name[5:] for name in named if name.startswith("json.")), "members of json")

    # options and keys that are looked up by name
    options, members = ({name for first, _ in cells_of(part) for name in re.findall(r"`(\w+)`", first)}
                        for part in section_of(page, "HTTP").split("It returns a table"))
    equal(sorted(options), sorted(known_of("lua_http.c", "take_option(lua_State")), "options of ctx.http")
    equal(sorted(members), sorted(there["answer"] | there["failure"] | {"json"}), "members of an answer")
    answers = section_of(page, "Answers")
    check(set(re.findall(r"\w+", answers)) >= known_of("lua_api.c", "*const known[] = {\n\t\t\"user_id\""), "what allow takes")
    for source, after in (("lua_policy.c", '*const known[] = {"api"'), ("lua_policy.c", "*const authorize[]"), ("lua_policy.c", "*const on[]")):
        for name in known_of(source, after):
            check(re.search(rf"\b{name}\b", section_of(page, "The file")), f"docs/lua-api.md, The file: {name}")


def fence(language, text, mark=None):
    return (f"<!-- example: {mark} -->\n" if mark else "") + f"```{language}\n{text}\n```\n"


SERVE = (fence("json", '{"listen":["127.0.0.1:8080"],"admin":{"listen":"127.0.0.1:8081"},'
                       '"hooks":[{"plugin":"jwt","config":{"keys":[{"alg":"HS256","secret":"${HOOKWIRE_JWT_SECRET}"}]}}],'
                       '"tenants":{"*":{"hooks":[{"lua":"scripts/policies/family.lua","config":{"open_resources":["gift-list"]}}]}}}',
               "file hookwire.json")
         + fence("sh", "hookwire serve -c hookwire.json", "background"))
# one wrong example of each kind, and what is said about it
BROKEN = {
    "sh": (fence("sh", "true\nfalse\ntrue"), "exit code 1"),
    "output": (fence("console", "$ echo one\ntwo"), "the page says"),
    "an unknown command": (fence("console", "$ hookwire version\nhookwire …\n$ hookwire frob\nok"), "no command"),
    "lua": (fence("lua", "return policy { api = 1, authorise = {} }"), "authorize"),
    "an event": (fence("json", '{"topic":"Upper:1","event":"ADDED","data":{"entity_id":"1"}}'), "hookwire validate"),
    "a configuration": (fence("json", '{"lisen": []}'), "listen"),
    "a part of one": (fence("jsonc", '"tenants": {"*": {"hoks": []}} // a part'), "hooks"),
    "c": (fence("c", "#include <hookwire/plugin.h>\nint f(void) { return HW_NOTHING; }"), "HW_NOTHING"),
    "c that is no plugin": (fence("c", "int f(void);"), "hookwire_plugin"),
    "js": (fence("js", "const ws = new WebSocket(`ws://127.0.0.1:8080/w?token=${token}`);"), "it ended"),
    "the log": (SERVE + fence("log", "… never said"), "not in the log"),
    "a conversation": (SERVE + fence("ws", '< {"type":"welcome",…}\n> {"type":"ping","id":1}\n< {"type":"pong","id":2}'), '"id":1'),
    "a signal that reaches who listens, too": (SERVE
        + fence("sh", "export HOOKWIRE_TOKEN=$(hookwire token --user alice --tenant acme)")
        + fence("console", "$ hookwire sub --count 1 gift-list:1", "background") + fence("sh", "kill -HUP $(pidof hookwire)"), "ended with -1"),
    "a file that is not kept": (fence("lua", "return policy { api = 1, transform = function(e) return e end }") + fence("sh", "cat policy.lua"),
                                "policy.lua"),
    "nobody's language": (fence("yaml", "a: b"), "nobody runs"),
    "no language": (fence("", "a"), "nobody runs"),
    "a list that an entry names": (fence("jsonc", '[{"alow": ["subscribe"], "topics": ["a:1"]}]', "kept as acl.json")
        + fence("json", '{"plugin": "acl", "config": {"rules": "@file:acl.json"}}'), "alow"),
    "keys": (fence("jsonc", '"keys": [{"alg": "HS256", "secrt": "x"}]'), "secrt"),
    "a mark without a reason": (fence("sh", "true", "not run: no"), "not a mark"),
    "a mark of nothing": ("<!-- example: background -->\n\ntext\n", "no block follows"),
    "no end": ("```sh\ntrue\n", "does not end"),
}


def test_a_broken_example_is_found():
    for what, (text, said) in BROKEN.items():
        with raises(Failure, f"{what}: {text}") as caught:
            run_page("page.md", text, log_timeout=0.5)
        contains(str(caught[0]), said, what)
        contains(str(caught[0]), "page.md:", what)


def test_a_good_page_passes():
    equal(run_page("page.md", SERVE + "1. in a list\n\n   " + fence("console", """$ hookwire token --user alice --tenant acme
eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl""").replace("\n", "\n   ") + "\n"
        + fence("sh", "export HOOKWIRE_TOKEN=$(hookwire token --user alice --tenant acme)\nmkdir d\ncd d")
        + fence("console", "$ hookwire sub --count 1 gift-list:1\n{\"topic\":\"gift-list:1\",…}", "background")
        + fence("console", """$ basename "$PWD"
d
$ hookwire pub gift-list:1 ADDED g1
k3f9a-1
$ hookwire pub other:1 ADDED g1
hookwire pub: forbidden_topic: …
$ echo $?
1""")
        + fence("ws", '< {"type":"welcome","session":"1f",…}\n> {"type":"ping","id":1}\n< {"type":"pong","id":1}')
        + fence("sh", "exit 7", "not run: it would not be so")), 8, "blocks")


def test_links_lead_somewhere():
    def anchors(path):
        return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
                for title in re.findall(r"^#+ (.*)$", path.read_text(), re.M)}
    for path in [*PAGES, *sorted((ROOT / "docs/decisions").glob("*.md")), ROOT / "tests/lib/README.md", ROOT / "clients/README.md",
                 *sorted((ROOT / "clients").glob("*/*.md")), ROOT / "docs/examples/README.md", *sorted((ROOT / "docs/examples").glob("*/README.md"))]:
        for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?ms)^```.*?^```", "", path.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            check(target.exists(), f"{path.relative_to(ROOT)}: {link} is not there")
            check(not anchor or anchor in anchors(target), f"{path.relative_to(ROOT)}: {link}: no such heading")


def test_every_command_is_in_the_readme_and_there():
    listed = set(re.findall(r"^  ([a-z]+) {2,}", cli("--help").stdout, re.M))
    check(len(listed) > 3, f"commands of --help: {listed}")
    table = re.search(r"## Commands\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.S)[1]
    equal(set(re.findall(r"`hookwire ([a-z]+)", table)), listed, "commands of the README's table and of --help")


def test_every_metric_is_in_operations_and_there():
    token = mint("u1")  # shown twice: the second time from the cache
    shadow = {"name": "tried", "lua": "open.lua", "shadow": True}
    journal = {"plugin": "sqlite", "config": {"path": "journal.db"}}
    with Broker({"hooks": [*base_config()["hooks"], shadow], "journal": journal}) as broker, WsClient(broker.address, token=token) as client, \
            WsClient(broker.address, token=token):
        client.subscribe("t:1")
        wait_until(lambda: any('journal_bytes{tenant="acme"' in name for name in broker.metrics()), what="what is told once a second")
        told = set(re.findall(r"^# TYPE (\w+)", http(broker.admin_address, "GET", "/metrics").body.decode(), re.M))
    named = set(re.findall(r"`(hookwire_\w+)`", (ROOT / "docs/operations.md").read_text()))
    named |= set(re.findall(r"`(hookwire_plugin_\w+)`", (ROOT / "plugins/jwt/README.md").read_text()))
    equal(named, told, "metrics that the documentation names, and those of /metrics")


def test_every_page_is_found_by_its_marks():
    # a fence that the reader of blocks does not see would be an example that nobody runs
    for path in PAGES:
        text = path.read_text()
        equal(len(blocks_of(path.name, text)) * 2, len(re.findall(r"^\s*```", text, re.M)), f"fences of {path.relative_to(ROOT)}")


main()
