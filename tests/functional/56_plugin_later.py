#!/usr/bin/python3
# A plugin that answers later, from threads of its own and of the broker's; its timers and shared values.
# ctest: timeout=120
import pathlib
import subprocess
import sys
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


class LaterBroker(Broker):
    """A broker whose tenants are decided by tests/lib/later_plugin.c, which waits while `hold` is there."""

    def __init__(self, config=None, **settings):
        self.settings = settings
        super().__init__(config)

    def write_config(self, config=None):
        plugin = self.dir / "later.so"
        if not plugin.exists():
            subprocess.run(["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", "-pthread",
                            f"-I{ROOT / 'core/include'}", "-o", plugin, ROOT / "tests/lib/later_plugin.c"], check=True)
            (self.dir / "hold").touch()
        entry = {"name": "later", "plugin": str(plugin), "config": {"dir": str(self.dir), **self.settings}}
        return super().write_config(merge(config or self.config, {"tenants": {"*": {"hooks": [entry, {"name": "open", "lua": "open.lua"}]}}}))

    def reload(self, **settings):
        """With other settings: the entry is another one."""
        self.settings = settings
        self.write_config()
        mark = self.log_mark()
        self.sighup()
        self.wait_log("reloaded", since=mark)

    def release(self):
        (self.dir / "hold").unlink()

    def counted(self, name):
        return self.metric(f"hookwire_plugin_{name}_total", plugin="later") or 0

    def wait_counted(self, name, n):
        wait_until(lambda: self.counted(name) == n, 10, f"{name} to be {n}")

    def client(self, user="u1", **options):
        client = WsClient(self.address, token=mint(user, **options), protocols=["hookwire.v1"])
        client.recv_where({"type": "welcome"})
        return client


def ask(client, topic, request_id):
    client.send_json({"type": "subscribe", "topics": [topic], "id": request_id})


def granted(reply, topic):
    return reply["topics"][topic].get("ok") is True


def test_while_one_session_waits_others_are_served_and_its_own_order_holds():
    for topic in ("offload:1", "thread:1"):
        with LaterBroker() as broker:
            with broker.client("slow") as slow, broker.client("quick") as quick:
                ask(slow, topic, 1)
                slow.send_json({"type": "ping", "id": 2})
                ask(slow, "open:1", 3)
                broker.wait_counted("later_waits", 1)
                quick.subscribe("open:1")  # the one worker does not wait
                if not stretched():  # a suspended call has 2 s, in a slow build too
                    equal(slow.drain(0.1), [], "what the waiting session hears")
                broker.release()
                equal([slow.recv_json()["id"] for _ in range(3)], [1, 2, 3], "the order of its answers")
                broker.wait_counted("later_taken", 1)
                broker.publish(topic)
                equal(slow.recv_event()["topic"], topic, "it is subscribed")


def test_what_it_publishes_being_only_asked_what_it_would_decide_comes_to_nothing():
    with LaterBroker() as broker, broker.client("watch") as watch, broker.client("ben") as ben:
        watch.subscribe("said:1")
        ben.subscribe("say:1")
        equal(watch.recv_event()["topic"], "said:1", "what it publishes")
        broker.settings = {"other": 1}
        broker.write_config()
        answer = http(broker.admin_address, "POST", "/api/reload?dry_run=1", {"Content-Type": "application/json"}, {}, ADMIN_TOKEN)
        contains(answer.json()["preview"], {"subscriptions": 2, "revoked_subscriptions": 0}, "the preview")
        equal(watch.drain(0.3), [], "what it published, being previewed")


def test_a_session_that_goes_while_it_waits_leaves_a_ticket_that_is_refused():
    with LaterBroker() as broker:
        for user in range(8):
            client = broker.client(f"u{user}")
            ask(client, "thread:1", 1)
            broker.wait_counted("later_waits", user + 1)
            if user % 2:
                client.abort()
            else:
                client.close()
        wait_until(lambda: broker.metric("hookwire_sessions") == 0, 10, "all sessions to be gone")
        broker.release()
        broker.wait_counted("later_refused", 8)
        with broker.client() as client:
            client.subscribe("thread:2", "offload:2")


def test_a_generation_that_goes_answers_unavailable_and_its_threads_are_refused():
    with LaterBroker() as broker:
        with broker.client("a") as first, broker.client("b") as second:
            ask(first, "thread:1", 1)
            ask(second, "offload:1", 1)
            broker.wait_counted("later_waits", 2)
            broker.wait_counted("later_works", 1)
            broker.reload(generation=2)
            for client, topic in ((first, "thread:1"), (second, "offload:1")):
                equal(client.recv_where({"id": 1})["topics"][topic].get("code"), "unavailable", topic)
            equal(broker.counted("later_unloaded"), 0, "unloaded while its work runs")
            broker.release()
            broker.wait_counted("later_refused", 1)  # the work's done has no call, and frees only
            broker.wait_counted("later_unloaded", 1)
            first.subscribe("thread:1")
            second.subscribe("offload:1")


def test_what_nobody_finishes_is_unavailable_after_its_time():
    with LaterBroker() as broker:
        with broker.client() as client:
            begin = time.monotonic()
            ask(client, "never:1", 1)
            reply = client.recv_where({"id": 1})
            equal(reply["topics"]["never:1"]["code"], "unavailable", "the answer")
            check(1.9 < time.monotonic() - begin, "it did not wait")
            broker.wait_log("hook failed .*hook=later .*not finished in time")
            client.subscribe("open:1")


def test_a_broker_that_ends_does_not_wait_for_a_hook():
    with LaterBroker() as broker:
        client = broker.client()
        ask(client, "thread:1", 1)
        ask(client, "never:1", 2)
        broker.wait_counted("later_waits", 1)
        broker.sigterm()
        wait_until(lambda: not broker.alive(), 5, "the broker to end")
        client.abort()


def test_values_are_counted_across_workers():
    with LaterBroker({"workers": 2}) as broker:
        def is_number(n, **who):
            with broker.client(f"u{n}", **who) as client:
                reply = client.request({"type": "subscribe", "topics": [f"count:{n}"]})
                return granted(reply, f"count:{n}")
        equal([n for n in range(1, 25) if not is_number(n)], [], "whom the workers count differently")
        check(is_number(1, tenant="other"), "another tenant's counter is its own")
        check(not is_number(1), "the first counter has gone")


def test_a_timer_publishes_to_its_tenant_alone_and_ends_with_its_generation():
    with LaterBroker(tick=True) as broker:
        with broker.client(tenant="acme") as acme:
            acme.subscribe("tick:1")
            event = acme.recv_event("tick:1")
            equal((event["data"]["user_id"], event["data"]["tenant_id"]), ("system", "acme"), "whose event it is")
            acme.recv_event("tick:1")
            broker.reload(generation=2)
            acme.drain(0.1)
            equal(acme.drain(0.2), [], "events after the generation with the timer has gone")


main()
