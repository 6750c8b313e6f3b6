#!/usr/bin/python3
# What does not return in a plugin, on the control thread or on one of the broker's own, is told of and does not keep the broker from ending.
# ctest: timeout=180 cost=35
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

# A plugin that offloads work at each question, which never returns, and allows.
SLEEPER = """
#include <unistd.h>
#include <hookwire/plugin.h>
static void work(const struct hw_host *host, void *instance, void *arg)
{
	(void)instance; (void)arg;
	host->metric(host, "sleeper_works", 1);
	for (;;)
		pause();
}
static void done(struct hw_call *call, void *arg) { (void)call; (void)arg; }
static enum hw_verdict authorize(struct hw_call *call, const struct hw_who *who, const struct hw_question *question)
{
	(void)who; (void)question;
	return call->host->offload(call, work, done, NULL) == 0 ? HW_ALLOW : HW_ERROR;
}
static const struct hw_plugin plugin = { .magic = HW_PLUGIN_MAGIC, .size = sizeof(struct hw_plugin), .major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR, .operations = 1u << HW_OP_SUBSCRIBE, .name = "sleeper", .version = "1.0", .authorize = authorize };
HW_PLUGIN_EXPORT(&plugin)
"""


def sleeper(directory):
    source, plugin = directory / "sleeper.c", directory / "sleeper.so"
    source.write_text(SLEEPER)
    subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", f"-I{ROOT / 'core/include'}",
                    "-o", plugin, source], check=True)
    return {"name": "sleeper", "plugin": str(plugin)}


def test_a_load_that_does_not_return_is_told_of_and_ends_with_the_broker():
    with GateBroker() as broker, WsClient(broker.address, token=mint("u1")) as client:
        cache = broker.plugin_cache()
        broker.hold("load")
        broker.write_mark("two")
        broker.sighup()
        broker.wait_held("load")
        broker.wait_log(r"WARN +app: signals and reloads wait.* what=\"load of hook gate\"", 20)
        client.ping()
        broker.release("load")
        broker.wait_log(r"reload: reloaded")
        broker.hold("load")
        broker.write_mark("three")
        broker.sighup()
        broker.wait_held("load")
        broker.stop(timeout=40, code=1)
        check("something does not return; the process ends without it what=\"load of hook gate\"" in broker.log(), "the reason")
        check(not cache.exists(), "the copies of its plugins are still there")


def test_a_load_that_returns_after_the_signal_lets_it_drain():
    with GateBroker() as broker:
        broker.hold("load")
        broker.write_mark("two")
        broker.sighup()
        broker.wait_held("load")
        broker.sigterm()
        broker.release("load")
        broker.stop()


def test_offloaded_work_that_does_not_return_ends_with_the_broker():
    with Broker() as broker:
        broker.write_config(merge(broker.config, {"tenants": {"*": {"hooks": [sleeper(broker.dir), {"name": "open", "lua": "open.lua"}]}}}))
        broker.sighup()
        broker.wait_log("reload: reloaded")
        cache = broker.plugin_cache()
        with WsClient(broker.address, token=mint("u1")) as client:
            client.subscribe("t:1")
            wait_until(lambda: broker.metric("hookwire_plugin_sleeper_works_total", plugin="sleeper") == 1, 10, "the work to begin")
        broker.stop(timeout=40, code=1)
        check("ends without it what=\"the end of work that plugins have offloaded\"" in broker.log(), "the reason")
        check(not cache.exists(), "the copies of its plugins are still there")


main()
