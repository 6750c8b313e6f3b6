#!/usr/bin/python3
# A plugin that changed on disk decides after SIGHUP; half a plugin is refused and the old one goes on; keys rotate.
import copy
import pathlib
import resource
import shutil
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

NEW_SECRET = "another-secret-for-the-rotation-0123456789abcdef"


def build(directory, name, change=None):
    """Compiles plugins/template, with change = (old, new) texts in its source; the .so's path."""
    source = (ROOT / "plugins/template/template.c").read_text()
    for old, new in change or ():
        contains(source, old, "template.c")
        source = source.replace(old, new)
    path = directory / f"{name}.c"
    path.write_text(source)
    target = directory / f"{name}.so"
    subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-O1", f"-I{ROOT / 'core/include'}", "-o", target, path],
                   check=True)
    return target


def install(broker, so, name="guard.so"):
    """Puts a .so beside the configuration as an installation does: by a rename."""
    draft = broker.dir / (name + ".draft")
    shutil.copyfile(so, draft)
    draft.rename(broker.dir / name)


def guarded(broker_config=None):
    """base_config() with ./guard.so as a second global entry that denies the resource `closed`."""
    hooks = base_config()["hooks"] + [{"name": "guard", "plugin": "./guard.so", "config": {"deny_resource": "closed"}}]
    return merge({"hooks": hooks, "workers": 2}, broker_config or {})


class GuardedBroker(Broker):
    """A broker with a guard.so from the start."""

    def __init__(self, so, config=None, **options):
        self.so = so
        super().__init__(guarded(config), **options)

    def write_config(self, config=None):
        if not (self.dir / "guard.so").exists():
            install(self, self.so)
        return super().write_config(config)


def verdict(client, topic):
    """True when the topic may be subscribed to, else the code."""
    answer = client.request({"type": "subscribe", "topics": [topic]})["topics"][topic]
    client.request({"type": "unsubscribe", "topics": [topic]})
    return True if answer["ok"] else answer["code"]


def client_of(broker, user="u1"):
    client = WsClient(broker.address, token=mint(user), protocols=["hookwire.v1"])
    client.recv_where({"type": "welcome"})
    return client


def test_a_changed_plugin_decides_after_sighup_and_back():
    with temporary_directory() as tmp:
        one = build(tmp, "one")
        # the second build denies every resource but the one named
        two = build(tmp, "two", [("question->resource.len != i->len ||", "!(question->resource.len != i->len ||"),
                                 ("i->deny_resource, i->len) != 0)\n\t\treturn HW_DEFER;", "i->deny_resource, i->len) != 0))\n\t\treturn HW_DEFER;")])
        with GuardedBroker(one) as broker, client_of(broker) as client:
            equal([verdict(client, "closed:1"), verdict(client, "list:1")], ["forbidden_topic", True], "the first build")
            for so, closed in ((two, True), (one, "forbidden_topic"), (two, True)):
                install(broker, so)
                broker.sighup()
                wait_until(lambda c=closed: verdict(client, "closed:1") == c, 10, f"{so.name}'s verdict", interval=0.03)
                equal(verdict(client, "list:1"), "forbidden_topic" if closed is True else True, so.name)
            client.ping()


def test_half_a_plugin_is_refused_and_the_old_one_decides():
    with temporary_directory() as tmp:
        one = build(tmp, "one")
        whole = one.read_bytes()
        with GuardedBroker(one) as broker, client_of(broker) as client:
            for cut in (0, 3, 64, 500, 4096, len(whole) // 2):
                half = tmp / "half.so"
                half.write_bytes(whole[:cut])
                install(broker, half)
                mark = broker.log_mark()
                broker.sighup()
                broker.wait_log(r"hookwire\.json:\d+:\d+: .*guard", since=mark)
                check(broker.alive(), f"the broker died of {cut} bytes")
                equal(verdict(client, "closed:1"), "forbidden_topic", f"the old plugin's verdict after {cut} bytes")
                equal(verdict(client, "list:1"), True, "and its other one")
            install(broker, one)
            broker.sighup()
            client.ping()


def test_a_plugin_that_crashes_or_refuses_while_it_is_loaded_does_no_harm():
    crash = [("static int validate(", "__attribute__((constructor)) static void boom(void)\n{\n\t__builtin_trap();\n}\n\nstatic int validate(")]
    other = [(".major = HW_PLUGIN_MAJOR,", ".major = HW_PLUGIN_MAJOR + 1,")]
    magic = [(".magic = HW_PLUGIN_MAGIC,", ".magic = HW_PLUGIN_MAGIC + 1,")]
    with temporary_directory() as tmp:
        one = build(tmp, "one")
        with GuardedBroker(one) as broker, client_of(broker) as client:
            for name, change in (("crash", crash), ("other-major", other), ("other-magic", magic)):
                install(broker, build(tmp, name, change))
                mark = broker.log_mark()
                broker.sighup()
                broker.wait_log(r"hookwire\.json:\d+:\d+: .*guard", since=mark)
                equal(verdict(client, "closed:1"), "forbidden_topic", f"the old plugin's verdict after {name}")


def test_a_plugin_is_tried_though_the_broker_was_replaced_on_disk():
    with temporary_directory() as tmp:
        old = shutil.copy2(binary(), tmp / "hookwire")
        paths = {"plugin_path": [str(pathlib.Path(binary()).resolve().parent / "plugins")]}
        with GuardedBroker(build(tmp, "one"), paths, program=old) as broker, client_of(broker) as client:
            (tmp / "new").write_text("#!/bin/false\n")
            (tmp / "new").chmod(0o755)
            (tmp / "new").rename(old)
            install(broker, build(tmp, "two", [("1.0", "2.0")]))
            mark = broker.log_mark()
            broker.sighup()
            broker.wait_log(r"reload: reloaded generation=2", since=mark)
            equal(verdict(client, "closed:1"), "forbidden_topic", "the new plugin's verdict")


def test_a_plugin_that_cannot_be_copied_is_refused_and_the_old_one_decides():
    with temporary_directory() as tmp, GuardedBroker(build(tmp, "one")) as broker, client_of(broker) as client:
        before = resource.prlimit(broker.pid, resource.RLIMIT_FSIZE)
        install(broker, build(tmp, "two", [("1.0", "2.0")]))
        resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (1, before[1]))  # as a disk that is full: the log fails as well
        broker.sighup()
        wait_until(lambda: broker.metric("hookwire_reloads_total", result="failed") == 1, 10, "the failed reload")
        equal(verdict(client, "closed:1"), "forbidden_topic", "the old plugin's verdict")
        resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, before)
        broker.sighup()
        wait_until(lambda: broker.metric("hookwire_reloads_total", result="ok") == 1, 10, "the reload with room again")
        equal(verdict(client, "closed:1"), "forbidden_topic", "the new plugin's verdict")
        equal([p.suffix for p in broker.plugin_cache().iterdir() if p.suffix != ".so"], [], "halves of copies")


def test_settings_of_a_plugin_are_reloaded_and_bad_ones_point_into_the_file():
    with temporary_directory() as tmp:
        with GuardedBroker(build(tmp, "one")) as broker, client_of(broker) as client:
            good = copy.deepcopy(broker.config)
            changed = copy.deepcopy(good)
            changed["hooks"][1]["config"] = {"deny_resource": "list"}
            broker.write_config(changed)
            broker.sighup()
            wait_until(lambda: verdict(client, "list:1") == "forbidden_topic", 10, "the new setting", interval=0.03)
            equal(verdict(client, "closed:1"), True, "what is denied no more")
            bad = copy.deepcopy(good)
            bad["hooks"][1]["config"] = {"deny_resource": 7}
            broker.write_config(bad)
            line = next(i for i, text in enumerate((broker.dir / "hookwire.json").read_text().split("\n"), 1) if "deny_resource" in text)
            mark = broker.log_mark()
            broker.sighup()
            broker.wait_log(rf"hookwire\.json:{line}:\d+: .*must be a resource", since=mark)
            equal(verdict(client, "list:1"), "forbidden_topic", "the settings from before")


def test_a_secret_rotates_without_disconnecting_anybody():
    def keys(*secrets):
        hooks = base_config()["hooks"]
        hooks[0]["config"]["keys"] = [{"alg": "HS256", "secret": s} for s in secrets]
        return {"hooks": hooks}

    def accepted(broker, secret):
        return http(broker.address, "GET", "/cursor", token=mint("u1", secret=secret)).status
    with Broker(keys(SECRET)) as broker, client_of(broker) as client:
        client.subscribe("t:1")
        equal([accepted(broker, SECRET), accepted(broker, NEW_SECRET)], [200, 401], "before")
        broker.write_config(merge(broker.config, keys(SECRET, NEW_SECRET)))
        broker.sighup()
        wait_until(lambda: accepted(broker, NEW_SECRET) == 200, 10, "the new secret", interval=0.03)
        equal(accepted(broker, SECRET), 200, "the old one, meanwhile")
        broker.write_config(merge(broker.config, keys(NEW_SECRET)))
        broker.sighup()
        wait_until(lambda: accepted(broker, SECRET) == 401, 10, "the old secret's end", interval=0.03)  # a remembered token too
        equal(accepted(broker, NEW_SECRET), 200, "the new one")
        broker.publish("t:1", token=mint("backend", secret=NEW_SECRET))
        client.recv_event("t:1")


main()
