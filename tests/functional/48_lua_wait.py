#!/usr/bin/python3
# A hook that waits holds up nobody but its own client, whose frames stay in order; however it ends, it leaves nothing behind.
import pathlib
import sys
import threading
import time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

# the topic's id is how long a call about `slow:…` waits, in milliseconds
SLOW = """
local function wait(topic, ctx)
  if topic.resource ~= "slow" and topic.resource ~= "slowly-published" then return allow() end
  local closing <close> = setmetatable({}, { __close = function() ctx.log.info("closed " .. topic.id) end })
  ctx.log.info("waiting " .. topic.id)
  ctx.sleep(tonumber(topic.id))
  return allow()
end
return policy {
  api = 1,
  authorize = { subscribe = function(s, topic, ctx) return topic.resource == "slow" and wait(topic, ctx) or allow() end,
                publish = function(s, topic, ctx) return wait(topic, ctx) end },
}
"""
CONFIG = {"tenants": {"*": {"hooks": [{"name": "slow", "lua": "slow.lua", "budget": {"deadline_ms": 60000}}]}}, "workers": 1}
FOREVER = "slow:59000"
FLOOD_BYTES = 64 << 20  # more than two sockets hold


def broker_of(policy=SLOW, config=None):
    return Broker(merge(CONFIG, config or {}), files={"slow.lua": policy})


def start_waiting(broker, client, topic=FOREVER):
    client.send_json({"type": "subscribe", "topics": [topic], "id": "waits"})
    broker.wait_log(rf'waiting {topic.partition(":")[2]}')


def test_others_are_served_while_a_hook_waits():
    with broker_of() as broker, WsClient(broker.address, token=mint("u1")) as waiting, WsClient(broker.address, token=mint("u2")) as other:
        start_waiting(broker, waiting)
        other.subscribe("fine:1")
        equal(broker.publish("fine:1").status, 200, "status")
        other.recv_event("fine:1")
        delays = []
        for _ in range(50):
            started = time.monotonic()
            other.ping()
            delays.append(time.monotonic() - started)
        check(sorted(delays)[45] < scaled(0.05), f"pongs took {[round(d * 1000) for d in sorted(delays)[-5:]]} ms")
        waiting.abort()


def test_frames_behind_it_stay_in_order():
    with broker_of() as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.subscribe("fine:1")
        client.send_json({"type": "subscribe", "topics": ["slow:300"], "id": "a"})
        broker.wait_log("waiting 300")
        for n in range(20):
            client.send_json({"type": "publish", "id": f"p{n}", "event": {
                "topic": "fine:1", "event": "UPDATED", "data": {"entity_id": str(n), "payload": {}}}})
        client.send_json({"type": "ping", "id": "last"})
        seen = []
        while not seen or seen[-1] != "last":
            message = client.recv_json()
            if message.get("id") in {"a", "last", *(f"p{n}" for n in range(20))}:
                seen.append(message["id"])
        equal(seen, ["a", *(f"p{n}" for n in range(20)), "last"], "the order of the answers")


def test_who_sends_too_much_meanwhile_is_not_read_and_loses_nothing():
    with broker_of() as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.send_json({"type": "subscribe", "topics": ["slow:700"], "id": "a"})
        broker.wait_log("waiting 700")
        text = "x" * 20000
        sender = threading.Thread(target=lambda: [client.send_json({"type": "ping", "id": n, "filler": text}) for n in range(100)])
        sender.start()
        ids = []
        while len(ids) < 100:
            message = client.recv_json()
            if message["type"] == "pong":
                ids.append(message["id"])
        sender.join()
        equal(ids, list(range(100)), "pongs")


def test_who_sends_without_end_meanwhile_is_stopped_by_its_full_socket():
    with broker_of() as broker, WsClient(broker.address, token=mint("u1")) as client:
        start_waiting(broker, client)
        before, taken = broker.rss_bytes(), 0
        client.stream.sock.settimeout(scaled(1))
        frame = {"type": "ping", "filler": "x" * 60000}
        try:
            while taken < FLOOD_BYTES:
                client.send_json(frame)
                taken += 60000
        except TimeoutError:
            pass
        check(taken < FLOOD_BYTES, f"{taken} bytes were taken of a client whose hook waits")
        check(broker.rss_bytes() - before < FLOOD_BYTES / 4, f"they take {broker.rss_bytes() - before} bytes of memory")
        client.abort()


def test_a_client_that_leaves_ends_its_call():
    with broker_of() as broker:
        for how, ms in (("close", 58000), ("abort", 58001)):
            client = WsClient(broker.address, token=mint("u1"))
            start_waiting(broker, client, f"slow:{ms}")
            getattr(client, how)()
            broker.wait_log(f"closed {ms}")
        with WsClient(broker.address, token=mint("u1")) as client:
            client.subscribe("fine:1")


def test_a_back_end_waits_for_its_answer_and_what_it_sent_counts_when_it_leaves():
    with broker_of() as broker, WsClient(broker.address, token=mint("u1")) as client:
        equal(broker.publish("slow:200").status, 200, "status")
        connection = HttpConnection(broker.address)
        body = b'{"topic":"slowly-published:300","event":"UPDATED","data":{"entity_id":"1"}}'
        connection.send(b"POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + mint("api", backend=True).encode()
                        + b"\r\nContent-Type: application/json\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
        client.subscribe("slowly-published:300")
        broker.wait_log("waiting 300")
        connection.close()
        client.recv_event("slowly-published:300")


def test_the_deadline_is_kept():
    with broker_of(config={"tenants": {"*": {"hooks": [{"name": "slow", "lua": "slow.lua", "budget": {"deadline_ms": 200}}]}}}) as broker:
        with WsClient(broker.address, token=mint("u1")) as client:
            started = time.monotonic()
            reply = client.request({"type": "subscribe", "topics": [FOREVER]})
            took = time.monotonic() - started
            contains(reply["topics"][FOREVER], {"ok": False, "code": "unavailable"}, "the answer")
            check(0.19 < took < scaled(2), f"it took {took:.3f} s")
            broker.wait_log("did not end within its deadline of 200 ms")


def test_more_than_may_wait_is_unavailable_at_once():
    config = {"tenants": {"*": {"hooks": [{"name": "slow", "lua": "slow.lua", "budget": {"deadline_ms": 60000, "in_flight": 2}}]}}}
    with broker_of(config=config) as broker:
        clients = [WsClient(broker.address, token=mint(f"u{n}")) for n in range(3)]
        for client in clients[:2]:
            client.send_json({"type": "subscribe", "topics": [FOREVER], "id": "waits"})
        wait_until(lambda: broker.log().count("waiting 59000") == 2, 5, "two that wait")
        reply = clients[2].request({"type": "subscribe", "topics": [FOREVER]})
        contains(reply["topics"][FOREVER], {"ok": False, "code": "unavailable"}, "the third")
        clients[2].subscribe("fine:1")
        for client in clients:
            client.abort()


def test_what_waits_is_its_own_generations_and_ends_with_the_oldest_of_four():
    with broker_of() as broker:
        clients = [WsClient(broker.address, token=mint(f"u{n}")) for n in range(5)]
        for n, client in enumerate(clients[:4]):
            client.send_json({"type": "subscribe", "topics": [FOREVER], "id": "waits"})
            client.send_json({"type": "ping", "id": "behind"})
            wait_until(lambda n=n: broker.log().count("waiting 59000") == n + 1, 5, "another that waits")
            equal([c.drain(0.05) for c in clients[:n + 1]], [[]] * (n + 1), "what waits")
            broker.write_file("slow.lua", SLOW + f"-- {n}\n")
            broker.sighup()
            broker.wait_log(rf"reloaded generation={n + 2}")
        reply = clients[0].recv_where({"type": "reply", "id": "waits"})
        contains(reply["topics"][FOREVER], {"ok": False, "code": "unavailable"}, "the answer of the oldest")
        clients[0].recv_where({"type": "pong", "id": "behind"})
        clients[4].ping()
        equal([c.drain(0.05) for c in clients[1:4]], [[]] * 3, "what still waits")
        for client in clients:
            client.abort()


def test_a_reload_that_changes_nothing_for_it_leaves_it_waiting():
    with broker_of() as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.send_json({"type": "subscribe", "topics": ["slow:600"], "id": "waits"})
        broker.wait_log("waiting 600")
        broker.sighup()
        broker.wait_log("reloaded generation=2")
        equal(client.recv_where({"type": "reply", "id": "waits"})["topics"]["slow:600"]["ok"], True, "the answer")


def test_the_broker_ends_while_hooks_wait():
    with broker_of() as broker:
        clients = [WsClient(broker.address, token=mint(f"u{n}")) for n in range(3)]
        for client in clients:
            client.send_json({"type": "subscribe", "topics": [FOREVER]})
        wait_until(lambda: broker.log().count("waiting 59000") == 3, 5, "three that wait")
        started = time.monotonic()
        broker.stop()
        check(time.monotonic() - started < scaled(5), "it waited for the hooks")


def test_a_lifecycle_hook_that_waits_holds_up_nobody():
    policy = """
    return policy {
      api = 1,
      authorize = { subscribe = function() return allow() end },
      on = { connect = function(s, ctx) ctx.sleep(100) ctx.log.info("later " .. s.user_id) end,
             disconnect = function(s, ctx) ctx.sleep(100) ctx.log.info("gone " .. s.user_id) end },
    }"""
    with broker_of(policy) as broker:
        with WsClient(broker.address, token=mint("u1")) as client:
            client.subscribe("fine:1")
            broker.wait_log("later u1")
        broker.wait_log("gone u1")


COUNTING = """
return policy {
  api = 1,
  authorize = { subscribe = function(s, topic, ctx)
    if topic.resource == "ticks" then return deny("forbidden_topic") end
    ctx.state.asked = (ctx.state.asked or 0) + 1
    ctx.log.info("asked " .. ctx.state.asked)
    return allow()
  end },
  every = { { seconds = 0.2, run = function(ctx) ctx.sleep(10) ctx.log.info("tick GENERATION") end } },
  save = function(ctx) return { asked = ctx.state.asked } end,
  restore = function(saved, ctx) ctx.state.asked = saved.asked end,
}
"""


def test_timers_run_and_what_is_saved_outlives_a_reload():
    with broker_of(COUNTING) as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.subscribe("a:1")
        client.subscribe("a:2")
        wait_until(lambda: broker.log().count("tick GENERATION") >= 2, 5, "two ticks")
        check(broker.metric("hookwire_hook_calls_total", hook="slow", tenant="acme", stage="every") >= 2, "they are counted")
        broker.write_file("slow.lua", COUNTING.replace("GENERATION", "of the second"))
        broker.sighup()
        broker.wait_log("tick of the second")
        client.subscribe("a:3")
        broker.wait_log("asked 3")
        check(not [line for line in broker.log().splitlines() if "hook failed" in line], "a hook failed")


def test_an_idle_state_is_given_back_and_comes_again():
    config = {"tenants": {"*": {"hooks": [{"name": "slow", "lua": "slow.lua", "budget": {"idle_ms": 100}}]}}}
    policy = COUNTING.replace("every = ", "-- every = ").replace("return policy", 'print("made") return policy')
    with broker_of(policy, config) as broker, WsClient(broker.address, token=mint("u1")) as client:
        client.subscribe("a:1")
        made = broker.log().count("made")
        deadline = time.monotonic() + scaled(10)
        n = 2
        while broker.log().count("made") == made and time.monotonic() < deadline:
            time.sleep(0.3)  # idle
            client.subscribe(f"a:{n}")
            broker.wait_log(f"asked {n}")  # what it knew is there again
            n += 1
        equal(broker.log().count("made"), made + 1, "states that were made")


main()
