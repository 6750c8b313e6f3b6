#!/usr/bin/python3
# A policy of one tenant that never ends, or eats memory, is ended: its callers hear `unavailable`, and the other tenant notices nothing.
import json
import pathlib
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

# takes one field of every event away, for which all of the payload is looked into
REDACTING = """
return policy {
  api = 1,
  authorize = { subscribe = function() return allow() end, publish = function() return allow() end },
  redact = function(event) event.data.payload.price = nil return event end,
}
"""

# what a topic's resource asks for; all else is allowed
EVIL = r"""
local traps = {
  loop = function() while true do end end,
  rep = function() return string.rep("", 1 << 60) end,
  find = function() return string.find(string.rep("a", 200000), string.rep("a*", 20) .. "b") end,
  move = function() return table.move({1, 2, 3}, 1, math.maxinteger - 1, 2) end,
  memory = function() local t = {} for i = 1, math.huge do t[i] = "x" .. i end end,
  string = function() local s = "x" while true do s = s .. s end end,
  recursion = function() local function f(n) return 1 + f(n + 1) end return f(1) end,
  pcall = function() while true do pcall(function() while true do end end) end end,
  sort = function() local t = {} for i = 1, 200 do t[i] = i end
    while true do table.sort(t, function(a, b) return a > b end) end end,
  error = function() error("a mistake") end,
  index = function() return nil + 1 end,
}
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic) if traps[topic.resource] then traps[topic.resource]() end return allow() end,
    publish = function(s, topic) if topic.resource == "loop" then traps.loop() end return allow() end,
  },
  transform = function(event)
    if event.topic == "transform:loop" then while true do end end
    if event.topic == "transform:error" then error("no") end
    return event
  end,
}
"""
TRAPS = ["loop", "rep", "find", "move", "memory", "string", "recursion", "pcall", "sort", "error", "index"]
CONFIG = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}]}, "evil": {"hooks": [{"name": "evil", "lua": "evil.lua", "budget": tight()}]}}}


def trapped(client, trap):
    """Asks for what the trap decides; the time it took."""
    started = time.monotonic()
    reply = client.request({"type": "subscribe", "topics": [f"{trap}:1"]})
    took = time.monotonic() - started
    contains(reply["topics"][f"{trap}:1"], {"ok": False, "code": "unavailable"}, trap)
    return took


def works_again(client, topic):
    """Waits until the policy is asked again: after several kills in a row it is left alone for a moment."""
    wait_until(lambda: client.request({"type": "subscribe", "topics": [topic]})["topics"][topic]["ok"], 3, "the policy's answer")


def subscribes(client, topic):
    client.send_json({"type": "subscribe", "topics": [topic], "id": topic})
    return client.recv_where({"type": "reply", "id": topic})["topics"][topic]["ok"]


def test_each_trap_ends_soon_as_unavailable_and_the_policy_works_again():
    with Broker(CONFIG, files={"evil.lua": EVIL}) as broker, WsClient(broker.address, token=mint("u1", "evil")) as client:
        for trap in TRAPS:
            times = [trapped(client, trap) for _ in range(3)]
            check(min(times) < scaled(0.05), f"{trap} took {[round(t * 1000) for t in times]} ms")
            works_again(client, f"fine-{trap}:1")
            equal(broker.publish(f"fine-{trap}:1", tenant="evil").status, 200, f"a publish after {trap}")
            client.recv_event(f"fine-{trap}:1")


def test_why_a_policy_failed_is_in_the_log_and_not_in_the_answer():
    with Broker(CONFIG, files={"evil.lua": EVIL}) as broker, WsClient(broker.address, token=mint("u1", "evil")) as client:
        client.send_json({"type": "subscribe", "topics": ["error:1"]})
        error = client.recv_where({"type": "error"})
        contains(error, {"code": "unavailable", "retryable": True}, "error")
        check("mistake" not in json.dumps(error) and ".lua" not in json.dumps(error), f"the script's text: {error}")
        broker.wait_log(r"evil\.lua:\d+: a mistake")


def test_a_trap_in_publish_and_in_transform_is_unavailable_and_nothing_is_stored():
    with Broker(CONFIG, files={"evil.lua": EVIL}) as broker, WsClient(broker.address, token=mint("u1", "evil")) as client:
        client.subscribe("transform:loop", "transform:error", "fine:1")
        for topic in ("loop:1", "transform:loop", "transform:error"):
            answer = broker.publish(topic, tenant="evil")
            equal(answer.status, 503, f"{topic}: {answer!r}")
            contains(answer.json(), {"code": "unavailable", "retryable": True}, topic)
            check("mistake" not in answer.json()["message"] and ".lua" not in answer.json()["message"], "the script's text")
            check(answer.header("Retry-After") is not None, "Retry-After")
        wait_until(lambda: broker.publish("fine:1", tenant="evil").status == 200, 3, "the next publish")
        equal(client.recv_event()["topic"], "fine:1", "the first event that came")


def test_the_other_tenant_on_the_same_worker_notices_nothing():
    with Broker({**CONFIG, "workers": 1}, files={"evil.lua": EVIL}) as broker:
        stop = threading.Event()
        failures, rounds = [], [0]

        def torment(n):
            try:
                with WsClient(broker.address, token=mint(f"e{n}", "evil")) as client:
                    while not stop.is_set():
                        if trapped(client, TRAPS[rounds[0] % 5]) > 0.002:  # it ran, and was ended
                            rounds[0] += 1
                        else:
                            time.sleep(0.005)
            except BaseException as error:  # told by the test
                failures.append(error)
        threads = [threading.Thread(target=torment, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        delays = []
        with WsClient(broker.address, token=mint("u1")) as client:
            client.subscribe("t:1")
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                started = time.monotonic()
                client.ping()
                delays.append(time.monotonic() - started)
                time.sleep(0.005)
            equal(broker.publish("t:1").status, 200, "the other tenant's publish")
            client.recv_event("t:1")
        stop.set()
        for thread in threads:
            thread.join()
        check(not failures, f"the tormentors: {failures}")
        check(rounds[0] > 10, f"only {rounds[0]} traps were tried")
        delays.sort()
        p99 = delays[int(len(delays) * 0.99)]
        check(p99 < scaled(0.1), f"p99 of {len(delays)} pongs: {p99 * 1000:.0f} ms")


def test_a_publisher_cannot_have_a_policy_ended_by_the_size_of_its_events():
    wide = {f"k{n}": 1 for n in range(5000)}
    often = '{"price":0,' + '"a":1,' * 5000 + f'"a":"{"x" * 25000}"' + "}"
    config = {"tenants": {"*": {"hooks": [{"name": "redacting", "lua": "redacting.lua", "budget": tight()}]}}}
    with Broker(config, files={"redacting.lua": REDACTING}) as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.subscribe("t:1")
        for payload in (json.dumps({**wide, "price": 5}, separators=(",", ":")), often):
            body = f'{{"topic":"t:1","event":"UPDATED","data":{{"entity_id":"e1","payload":{payload}}}}}'
            for _ in range(4):  # one more than it takes to open the breaker
                answer = http(broker.address, "POST", "/publish", {"Content-Type": "application/json"}, body.encode(), mint("u2"))
                equal(answer.status, 200, "the publish")
                got = client.recv_event("t:1")
                check("price" not in got["data"]["payload"] and len(got["data"]["payload"]) > 0, "the field is still there")
        equal(broker.metric("hookwire_lua_kills_total") or 0, 0, "states that were ended")


def test_kills_do_not_leak():
    with Broker(CONFIG, files={"evil.lua": EVIL}) as broker, WsClient(broker.address, token=mint("u1", "evil")) as client:
        def kill(times):
            for n in range(times):
                trapped(client, "rep")
                if n % 3 == 2:
                    works_again(client, "fine:1")
        kill(6)
        before, fds = broker.rss_bytes(), broker.fds()
        kill(45)
        check(broker.rss_bytes() - before < 8 << 20, f"45 kills cost {(broker.rss_bytes() - before) >> 10} KiB")
        check(broker.fds() <= fds, "descriptors")


def test_a_killed_policy_is_counted_by_hook_and_tenant():
    with Broker(CONFIG, files={"evil.lua": EVIL}) as broker, WsClient(broker.address, token=mint("u1", "evil")) as client:
        before = broker.metric("hookwire_hook_calls_total", hook="evil", tenant="evil")
        trapped(client, "loop")
        check(broker.metric("hookwire_hook_calls_total", hook="evil", tenant="evil") > before, "the call is counted")


if lua_can_be_ended():
    main()
print("not run: ThreadSanitizer defers the signals that end a call")
