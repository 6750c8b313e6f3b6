#!/usr/bin/python3
# The plain client: the published snippets run as printed under node, their handler survives every message that the broker sends,
# nothing comes unasked; and what a client of hookwire.v1 gets instead.
import json
import pathlib
import subprocess
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *
from hwtest.published import HOOK, USE_WEB_SOCKET, untyped

V1 = ["hookwire.v1"]
TOPIC = "gift-list:family-123"

LIFECYCLE = r"""
const ws = new WebSocket(`${WS_URL}?token=${authToken}`);
ws.onopen = () => {
console.log('Connected');
subscribeToTopics(['gift-list:123', 'user:456']);
};
function subscribe(topics: string[]) {
ws.send(JSON.stringify({
type: 'subscribe',
topics: ['gift-list:123', 'user:456']
}));
}
// Unsubscribe on unmount
function unsubscribe(topics: string[]) {
ws.send(JSON.stringify({
type: 'unsubscribe',
topics: ['gift-list:123']
}));
}
const heartbeat = setInterval(() => {
if (ws.readyState === WebSocket.OPEN) {
ws.send(JSON.stringify({ type: 'ping' }));
}
}, 30000);
// Server responds with pong
ws.onmessage = (event) => {
const msg = JSON.parse(event.data);
if (msg.type === 'pong') {
lastPong = Date.now();
}
};
"""

# What the hook's page does; `pong` is what it would do every 30 s.
HOOK_STAGE = r"""
const WebSocket = require('ws');
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');
process.on('uncaughtException', (error) => { say({ threw: String(error) }); process.exit(3); });
const [WS_URL, TOKEN, ...TOPICS] = process.argv.slice(1);
@SNIPPET@
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'unmount') cleanup(); else ref.current.send(line);
}).on('close', () => process.exit(0));
"""

LIFECYCLE_STAGE = r"""
const WebSocket = require('ws');
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');
process.on('uncaughtException', (error) => { say({ threw: String(error) }); process.exit(3); });
const [WS_URL, authToken] = process.argv.slice(1);
let lastPong = 0;
const subscribeToTopics = (topics) => subscribe(topics);
const beats = [];
const setInterval = (beat, ms) => { beats.push(beat); return { ms }; };
@SNIPPET@
ws.addEventListener('message', (event) => say({ got: JSON.parse(event.data), pong: lastPong > 0 }));
ws.addEventListener('close', (event) => { say({ closed: event.code }); process.exit(0); });
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'beat') beats[0]();
  if (line === 'unsubscribe') unsubscribe();
}).on('close', () => ws.close());
"""

# The handler's body on messages from standard input.
HANDLER_STAGE = r"""
const invalidated = [];
const queryClient = { invalidateQueries: (key) => invalidated.push(key) };
const ws = {};
@SNIPPET@
const thrown = [];
for (const line of require('node:fs').readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  try { ws.onmessage({ data: JSON.parse(line) }); } catch (error) { thrown.push([line, String(error)]); }
}
process.stdout.write(JSON.stringify({ thrown, invalidated }));
"""


def staged(stage, snippet):
    """The program: a snippet, without its type annotations, on its stage."""
    return stage.replace("@SNIPPET@", untyped(snippet))


class Node:
    """A program under node; each line that it prints is JSON."""

    def __init__(self, program, *arguments):
        self.process = subprocess.Popen(["node", "-e", program, "--", *arguments], cwd=pathlib.Path(__file__).parent, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def next(self):
        """The next line; a broker that stays silent is caught by the test's time limit."""
        line = self.process.stdout.readline()
        check(line, "node ended")
        message = json.loads(line)
        check("threw" not in message, f"the snippet threw: {message}")
        return message

    def say(self, line):
        """One line of standard input."""
        self.process.stdin.write(line + "\n")
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


def handle(messages):
    """Runs the printed handler on these texts; its (thrown, invalidated)."""
    start = USE_WEB_SOCKET.index("ws.onmessage")
    body = USE_WEB_SOCKET[start:USE_WEB_SOCKET.index("ws.onclose")]
    done = subprocess.run(["node", "-e", staged(HANDLER_STAGE, body)], input="\n".join(map(json.dumps, messages)), check=True,
                          stdout=subprocess.PIPE, text=True, timeout=scaled(20))
    result = json.loads(done.stdout)
    return result["thrown"], result["invalidated"]


def texts_until_pong(client):
    """Pings, and returns the texts of all messages up to the pong."""
    client.send_json({"type": "ping", "id": "last"})
    texts = []
    while not texts or json.loads(texts[-1]).get("id") != "last":
        texts.append(client.recv(10))
    return texts


def test_the_hook_as_printed():
    with Broker() as broker:
        with Node(staged(HOOK_STAGE, HOOK), f"ws://{broker.address}/ws", mint("anna"), TOPIC, "secret:1") as page:
            equal(page.next(), {"isConnected": True}, "open")
            equal(page.next(), {"invalidated": [""]}, "the error for secret:1 is handled")
            broker.publish(TOPIC)
            equal(page.next(), {"invalidated": ["gift-list"]}, "an event")
            page.say('{"type":"ping"}')
            equal(page.next(), {"invalidated": [""]}, "a pong is handled")
            page.say("unmount")
            equal(page.next(), {"isConnected": False}, "closed by the cleanup")


def test_the_lifecycle_snippets_as_printed():
    with Broker() as broker:
        with Node(staged(LIFECYCLE_STAGE, LIFECYCLE.replace("console.log", "say")), f"ws://{broker.address}/ws", mint("anna")) as page:
            equal(page.next(), "Connected", "the first line")
            page.say("beat")
            equal(page.next(), {"got": {"type": "pong", "topic": ""}, "pong": True}, "pong, after the subscribe was read")
            for topic in ("user:456", "gift-list:123"):
                broker.publish(topic)
                equal(page.next()["got"]["topic"], topic, "an event")
            page.say("unsubscribe")
            page.say("beat")
            equal(page.next()["got"]["type"], "pong", "the next beat")
            broker.publish("gift-list:123")
            broker.publish("user:456")
            equal(page.next()["got"]["topic"], "user:456", "after unsubscribe")
            page.process.stdin.close()
            equal(page.next(), {"closed": 1005}, "ws.close() sends no code, the broker's answer has none")


def test_the_handler_never_throws_whatever_comes():
    config = {"topics": {"cursor:*": {"history": "none"}}, "limits": {"topics_per_session": 5}}
    with Broker(config) as broker, WsClient(broker.address, token=mint("anna"), query={"topics": "gift-list:1,secret:9,bad"}) as client:
        event = {"topic": "gift-list:1", "event": "ADDED", "data": {"entity_id": "e", "payload": {"type": "pong", "topic": 5}}}
        for message in (
                {"type": "subscribe", "topics": ["gift-list:1", "secret:1", "no topic", "cursor:1"], "id": 1},
                {"type": "subscribe", "topics": ["secret:2", "x:1", "x:2", "x:3", "x:4", "nope"]},
                {"type": "subscribe", "topics": 5, "id": 2}, {"type": "subscribe"},
                {"type": "publish", **event, "id": 3}, {"type": "publish", **event}, {"type": "publish", "id": 4},
                {"type": "publish", **event, "key": "k", "id": 5}, {"type": "publish", **event, "key": "k", "id": 6},
                {"type": "publish", **event, "event": "OTHER", "key": "k", "id": 7},
                {"type": "publish", "topic": "cursor:1", "event": "moved", "data": {"entity_id": "e"}, "id": 8},
                {"type": "publish", "topic": "Bad", "event": "ADDED", "data": {"entity_id": "e"}},
                {"type": "auth", "token": mint("anna"), "id": 9}, {"type": "presence", "topic": "gift-list:1", "id": 10},
                {"type": "history", "topic": "gift-list:1", "id": 11}, {"type": "nonsense", "id": 12}, {"type": "nonsense"},
                {"type": "unsubscribe", "topics": ["gift-list:1"], "id": 13}, {"type": "unsubscribe", "topics": "x"},
                {"type": "ping"}, {"type": "ping", "id": 14}, {"type": "subscribe", "topics": [{"topic": "x:9", "cursor": "zzzz-99"}], "id": 15},
                [], [{"type": "ping"}], [5], 5, None, "text", {}, {"id": 16}):
            client.send_json(message)
        client.send_text("no JSON")
        texts = texts_until_pong(client)
        kinds = {json.loads(text).get("type", "event") for text in texts}
        check(kinds >= {"event", "reply", "ack", "error", "pong"}, f"kinds that came: {kinds}")
        check(kinds <= {"event", "reply", "ack", "error", "pong", "gap"}, f"a plain client gets what it did not ask for: {kinds}")
        check(len(texts) > 25, f"only {len(texts)} messages came")
        for message in map(json.loads, texts):
            if "type" in message:
                equal(message.get("topic"), "", f"topic of {message!r}")
            else:
                check(message["topic"] in ("gift-list:1", "cursor:1"), f"an event: {message!r}")
        thrown, invalidated = handle(texts)
        equal(thrown, [], "what the handler throws")
        equal(len(invalidated), len(texts), "messages handled")


def test_the_handler_would_throw_on_a_bare_control_message():
    thrown, invalidated = handle(['{"type":"pong"}', '{"type":"pong","topic":""}'])
    equal((len(thrown), invalidated), (1, [[""]]), "why control messages carry a topic")


def test_nothing_comes_unasked():
    policy = OPEN_POLICY.replace('topic.resource == "secret"', 'topic.resource == "secret" or s.claims.role == "guest"')
    config = {"heartbeat": {"interval_ms": 200, "timeout_ms": 5000}, "tenants": {"*": {"hooks": [{"name": "p", "lua": "p.lua"}]}}}
    with Broker(config, files={"p.lua": policy}) as broker:
        with WsClient(broker.address, token=mint("anna"), query={"topics": "a:1"}) as client:
            client.send_json({"type": "subscribe", "topics": ["a:2", "a:3"]})
            client.send_json({"type": "unsubscribe", "topics": ["a:3"]})
            with WsClient(broker.address, token=mint("ben"), query={"topics": "a:1"}):  # joins, and leaves
                for n in range(20):
                    broker.publish(f"b:{n}")  # the tenant moves on
                equal(client.drain(0.7), [], "what comes unasked")
            equal(client.drain(0.2), [], "what comes unasked when another leaves")
            broker.publish("a:2")
            equal(client.recv_json()["topic"], "a:2", "an event")
            client.send_json({"type": "auth", "token": mint("anna", role="guest")})  # takes the subscriptions away
            equal(client.drain(0.3), [], "no unsubscribed for a plain client")
            broker.publish("a:2")
            equal(client.drain(0.2), [], "nothing after the rights are gone")
            broker.sigterm()
            with raises(Closed) as caught:
                equal(client.recv_json(5), None, "a goaway for a plain client")
            equal(caught and caught[0].code, 1001, "close code when draining")


def test_v1_gets_welcome_first_and_bare_control_messages():
    with Broker({"limits": {"topics_per_session": 7}}) as broker:
        with WsClient(broker.address, token=mint("anna", "acme"), protocols=V1, query={"topics": "a:1,secret:1"}) as client:
            equal(client.protocol, "hookwire.v1", "sub-protocol")
            text = client.recv()
            welcome = json.loads(text)
            equal(set(welcome), {"type", "session", "user_id", "tenant_id", "cursor", "ping_ms", "expires_at", "limits"}, "members of welcome")
            contains(welcome, {"type": "welcome", "user_id": "anna", "tenant_id": "acme"}, "welcome")
            equal(text, json.dumps(welcome, separators=(",", ":")), "no white space between tokens")
            check(isinstance(welcome["session"], str) and welcome["session"], "session")
            check(isinstance(welcome["ping_ms"], int) and welcome["ping_ms"] > 0, "ping_ms")
            check(isinstance(welcome["limits"], dict) and welcome["limits"], "limits")
            equal(welcome["cursor"], http(broker.address, "GET", "/cursor", token=mint("anna")).json()["cursor"], "cursor")
            contains(client.recv_json(), {"type": "error", "code": "forbidden_topic"}, "then the query's topics")
            client.send_json({"type": "ping", "id": 1})
            equal(client.recv_json(), {"type": "pong", "id": 1}, "no topic in a control message of v1")
            broker.publish("a:1")
            check("type" not in client.recv_json(), "events are bare")


def test_a_v1_client_among_other_subprotocols():
    with Broker() as broker:
        with WsClient(broker.address, token=mint("anna"), protocols=["other", "hookwire.v1"]) as client:
            equal(client.protocol, "hookwire.v1", "chosen")
            equal(client.recv_json()["type"], "welcome", "first message")


main()
