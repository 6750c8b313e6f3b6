"""Coming back with a cursor, by every way there is: what came, of which topics there is a gap, and where to go on."""
import collections
import urllib.parse

from .check import Failure, check, equal
from .http import http
from .sse import SseClient
from .ws import WsClient

MOST = 1000  # events of a page

# events: those with an id, in the order in which they came.  gap: the topics of which something is lost.
# cursor: where to go on, all topics together
Resumed = collections.namedtuple("Resumed", "events gap cursor")


def sort_out(messages, cursor=None):
    """A Resumed of what came over a WebSocket, without the answer that ends it."""
    events, gap = [], set()
    for message in messages:
        if message.get("type") == "gap":
            gap |= set(message["topics"])
        elif "type" in message:
            raise Failure(f"neither an event nor a gap: {message!r}")
        elif "id" in message:
            events.append(message)
    return Resumed(events, gap, cursor)


def _ids_rise(events, what):
    numbers = [int(e["id"].split("-")[1]) for e in events]
    check(all(a < b for a, b in zip(numbers, numbers[1:])), f"{what}: in the journal's order: {numbers[:20]}")


def _ws_query(address, token, topics, cursor, protocols):
    query = {"topics": ",".join(topics), **({"cursor": cursor} if cursor else {})}
    came = []
    with WsClient(address, token=token, protocols=protocols, query=query) as c:
        c.send_json({"type": "ping", "id": "end"})
        c.recv_where({"type": "pong", "id": "end"}, skipped=came)
    got = sort_out([m for m in came if m.get("type") != "welcome"])
    _ids_rise(got.events, "topics of a query")
    # nothing else tells a client of the query how far it is
    return got._replace(cursor=got.events[-1]["id"] if got.events else cursor)


def v1_query(address, token, topics, cursor=None):
    """`/ws?topics=…&cursor=…` of a client that speaks hookwire.v1."""
    return _ws_query(address, token, topics, cursor, ["hookwire.v1"])


def plain_query(address, token, topics, cursor=None):
    """The same of a plain client."""
    return _ws_query(address, token, topics, cursor, None)


def _ws_subscribe(address, token, topics, cursor, protocols):
    came = []
    each = cursor if isinstance(cursor, dict) else dict.fromkeys(topics, cursor)
    with WsClient(address, token=token, protocols=protocols) as c:
        wanted = [{"topic": t, "cursor": each[t]} if cursor else t for t in topics]
        reply = c.request({"type": "subscribe", "topics": wanted}, skipped=came)
    results = reply["topics"]
    equal({r["ok"] for r in results.values()}, {True}, "results")
    got = sort_out([m for m in came if m.get("type") != "welcome"], results[topics[0]]["cursor"])
    equal({t for t, r in results.items() if not r.get("recovered", True)}, got.gap, "what was not recovered, and the gap")
    equal({"recovered" in r for r in results.values()}, {bool(cursor)}, "recovered is told of who gave a cursor")
    return got


def v1_subscribe(address, token, topics, cursor=None):
    """A subscription for each topic, each with the cursor, or with its own if a dict says so."""
    return _ws_subscribe(address, token, topics, cursor, ["hookwire.v1"])


def plain_subscribe(address, token, topics, cursor=None):
    """The same of a plain client."""
    return _ws_subscribe(address, token, topics, cursor, None)


def _sse(address, token, topics, **how):
    events, gap = [], set()
    with SseClient(address, ",".join(topics), token=token, **how) as c:
        while (message := c.recv()).name != "cursor":
            if message.name == "gap":
                gap |= set(message.json()["topics"])
            elif "id" in message.json():
                equal(message.id, message.json()["id"], "id: and the event's id")
                events.append(message.json())
        _ids_rise(events, "topics of a stream")
        return Resumed(events, gap, c.last_id)


def sse_query(address, token, topics, cursor=None):
    """`/sse?topics=…&cursor=…`."""
    return _sse(address, token, topics, cursor=cursor)


def sse_header(address, token, topics, cursor=None):
    """`/sse` with Last-Event-ID."""
    return _sse(address, token, topics, last_id=cursor)


def poll(address, token, topics, cursor=None):
    """Polls that do not wait, until one has nothing: any topic with a gap is all of them, as it names none."""
    events, gap = [], set()
    while True:
        query = {"topics": ",".join(topics), "wait": 0, **({"cursor": cursor} if cursor else {})}
        answer = http(address, "GET", "/poll?" + urllib.parse.urlencode(query, safe=":,*"), token=token).json()
        events += answer["events"]
        cursor = answer["cursor"]
        if answer["gap"]:
            gap |= set(topics)
        if not answer["events"]:
            _ids_rise(events, "polls")
            return Resumed(events, gap, cursor)


def _history(ask, topics, cursor):
    """Page by page, topic by topic. The last topic's end is where to go on: nothing is missing of the others up to the first one's."""
    events, gap, ends = {}, set(), []
    for topic in topics:
        at = cursor
        while True:
            page, lost, at = ask(topic, at)
            events.update((e["id"], e) for e in page)
            if lost:
                gap.add(topic)
            if not page:
                break
        ends.append(at)
    in_order = sorted(events.values(), key=lambda e: int(e["id"].split("-")[1]))
    end = min(ends, key=lambda c: int(c.split("-")[1]))
    return Resumed([e for e in in_order if int(e["id"].split("-")[1]) <= int(end.split("-")[1])], gap, end)


def history_http(address, token, topics, cursor=None):
    """`GET /topics/…/history`."""
    def ask(topic, at):
        query = f"limit={MOST}" + (f"&cursor={at}" if at else "")
        answer = http(address, "GET", f"/topics/{topic}/history?{query}", token=token).json()
        return answer["events"], answer["gap"], answer["cursor"]
    return _history(ask, topics, cursor)


def history_ws(address, token, topics, cursor=None):
    """The command of the same name."""
    with WsClient(address, token=token, protocols=["hookwire.v1"]) as c:
        def ask(topic, at):
            came = []
            reply = c.request({"type": "history", "topic": topic, "limit": MOST, **({"cursor": at} if at else {})}, skipped=came)
            lost = [m for m in came if m.get("type") == "gap"]
            check(all(m["topics"] == [topic] for m in lost), f"a gap of another topic: {lost}")
            return reply["events"], bool(lost), reply["cursor"]
        return _history(ask, topics, cursor)


OWN_CURSORS = (v1_subscribe, plain_subscribe)  # a topic may have its own
LIVE_WAYS = (v1_query, plain_query, v1_subscribe, plain_subscribe, sse_query, sse_header, poll)  # without a cursor: from now
WAYS = LIVE_WAYS + (history_http, history_ws)
