#!/usr/bin/python3
# The broker's main job with clients that nobody here wrote: npm's ws and python3-websockets subscribe, curl publishes, they get the
# event; the policy is edited, SIGHUP, the new policy decides from the next message on, and nobody is disconnected.
# ctest: timeout=90
import asyncio
import json
import pathlib
import queue
import subprocess
import sys
import threading
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *

import websockets

TOPIC = "gift-list:family-123"

POLICY = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic)
      if topic.resource ~= "gift-list" then return deny("forbidden_topic") end
      return allow()
    end,
    publish = function(s, topic)
      if s.claims.role == "backend" then return allow { act_as = true } end
      return deny("forbidden_topic")
    end,
  },
  transform = function(event)
    event.data.payload.secret = nil
    return event
  end,
}
"""

EDITED = """
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic)
      if topic.name == "gift-list:family-123" then return allow() end
      return deny("forbidden_topic")
    end,
    publish = function(s, topic)
      if s.claims.role == "backend" then return allow { act_as = true } end
      return deny("forbidden_topic")
    end,
  },
  transform = function(event)
    event.data.payload.seen_by = "the edited policy"
    return event
  end,
}
"""


class NpmClient:
    """ws_client.js in a process: what came is in `got`."""

    def __init__(self, url, *messages):
        self.process = subprocess.Popen(
            ["node", str(pathlib.Path(__file__).parent / "ws_client.js"), url, *map(json.dumps, messages)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.got = queue.Queue()
        threading.Thread(target=lambda: [self.got.put(json.loads(line)) for line in self.process.stdout], daemon=True).start()

    def recv(self, timeout=10):
        return self.got.get(timeout=scaled(timeout))

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class PythonClient:
    """python3-websockets in a thread of its own."""

    def __init__(self, url, **options):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.ws = self.call(self.connect(url, options))

    @staticmethod
    async def connect(url, options):
        return await websockets.connect(url, **options)

    def call(self, coroutine, timeout=10):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(scaled(timeout))

    def recv(self):
        return json.loads(self.call(self.ws.recv()))

    def send(self, message):
        self.call(self.ws.send(json.dumps(message)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call(self.ws.close())
        self.loop.call_soon_threadsafe(self.loop.stop)


def curl(*arguments):
    """curl's standard output; fails when curl does."""
    return subprocess.run(["curl", "-sS", "--max-time", "10", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def publish(broker, token, payload):
    """POST /publish by curl; the answer."""
    event = {"topic": TOPIC, "event": "UPDATED", "data": {"entity_id": "gift-456", "user_id": "mallory", "payload": payload}}
    return json.loads(curl(f"http://{broker.address}/publish", "-H", "Content-Type: application/json",
                           "-H", f"Authorization: Bearer {token}", "-d", json.dumps(event)))


def test_the_story():
    config = {"tenants": {"*": {"hooks": [{"name": "family", "lua": "family.lua"}]}}, "workers": 2}
    with Broker(config, files={"family.lua": POLICY}) as broker:
        base = f"ws://{broker.address}/ws"
        backend = mint("shop", role="backend")
        plain = NpmClient(base + "?token=" + mint("anna"), {"type": "subscribe", "topics": [TOPIC]}, {"type": "ping"})
        v1 = PythonClient(base + "?token=" + mint("ben"), subprotocols=["hookwire.v1"])
        with plain, v1:
            equal(plain.recv(), {"open": True}, "npm's ws")
            # a plain client is told nothing unasked: the first thing that comes is the answer to its ping
            equal(plain.recv(), {"type": "pong", "topic": ""}, "what the plain client hears first")
            equal(v1.ws.subprotocol, "hookwire.v1", "sub-protocol")
            welcome = v1.recv()
            contains(welcome, {"type": "welcome", "user_id": "ben", "tenant_id": "acme"}, "welcome")
            v1.send({"type": "subscribe", "topics": [TOPIC], "id": "s1"})
            reply = v1.recv()
            contains(reply, {"type": "reply", "id": "s1", "ok": True}, "reply")
            equal(reply["topics"][TOPIC]["ok"], True, "subscribed")

            first = publish(broker, backend, {"name": "Bike", "secret": "under the bed"})
            equal(first["ok"], True, "publish")
            for name, client in (("npm", plain), ("python", v1)):
                event = client.recv()
                contains(event, {"topic": TOPIC, "event": "UPDATED", "id": first["id"]}, f"{name}'s event")
                contains(event["data"], {"entity_id": "gift-456", "payload": {"name": "Bike"}, "user_id": "mallory",
                                         "tenant_id": "acme"}, f"{name}'s data")
                check(len(event["trace_id"]) == 32, "a trace id is filled in")
                check("timestamp" in event["data"], "a timestamp is filled in")

            v1.send({"type": "subscribe", "topics": ["gift-list:other"], "id": "s2"})
            equal(v1.recv()["topics"]["gift-list:other"]["ok"], True, "another topic, before the edit")

            broker.write_file("family.lua", EDITED)
            broker.sighup()

            def decided_anew():
                published = publish(broker, backend, {"name": "Car"})
                for client in (plain, v1):
                    event = client.recv()
                    while event.get("type") == "unsubscribed":  # the edit took gift-list:other away
                        equal(event["topics"], ["gift-list:other"], "what is revoked")
                        event = client.recv()
                    equal(event["id"], published["id"], "the event after SIGHUP, on the same connection")
                    seen = event["data"]["payload"].get("seen_by")
                return seen == "the edited policy"
            wait_until(decided_anew, 10, "the edited policy's mark in an event", interval=0.05)

            v1.send({"type": "subscribe", "topics": ["gift-list:third"], "id": "s3"})
            answer = v1.recv()
            while answer.get("id") != "s3":
                answer = v1.recv()
            contains(answer["topics"]["gift-list:third"], {"ok": False, "code": "forbidden_topic"}, "a topic that the edit refuses")
            check(v1.ws.open, "python's connection is the one it opened")
            check(plain.process.poll() is None, "npm's connection is the one it opened")
            plain.send({"type": "ping"})
            equal(plain.recv(), {"type": "pong", "topic": ""}, "npm's last pong")


def test_a_broken_edit_leaves_the_old_policy_deciding():
    config = {"tenants": {"*": {"hooks": [{"name": "family", "lua": "family.lua"}]}}}
    with Broker(config, files={"family.lua": POLICY}) as broker, \
            PythonClient(f"ws://{broker.address}/ws?token=" + mint("ben"), subprotocols=["hookwire.v1"]) as client:
        equal(client.recv()["type"], "welcome", "first message")
        mark = broker.log_mark()
        broker.write_file("family.lua", "return policy {\n  api = 1,\n  authorize = nonsense(,\n}\n")
        broker.sighup()
        broker.wait_log(r"family\.lua:3", since=mark)
        client.send({"type": "subscribe", "topics": [TOPIC], "id": "s1"})
        equal(client.recv()["topics"][TOPIC]["ok"], True, "the old policy's answer")
        equal(http(broker.address, "GET", "/healthz").status, 200, "health")


main()
