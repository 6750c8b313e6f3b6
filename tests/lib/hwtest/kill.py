"""Kills a broker with a durable journal again and again, under load, and compares what everybody saw with what is stored."""
import random
import threading
import time

from .check import check, equal
from .database import Database, epoch_of, number_of, v1_client
from .http import HttpConnection
from .token import mint
from .wait import in_background, scaled, wait_until
from .ws import Closed

TOPICS = ("a:1", "a:2", "b:1")
POSTERS = 2
SENDERS = 2
ARRAY = 40
IN_FLIGHT = 100
SHORTEST_S, LONGEST_S = 0.02, 0.6  # from the first ack to the kill


class Ledger:
    """What publishers and subscribers saw: all rounds."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acked = {}      # (publisher, n) -> id
        self.delivered = {}  # id -> (publisher, n)
        self.sent = {}       # publisher -> the next n
        self.some = threading.Event()

    def next(self, who):
        """The number of a publisher's next event."""
        n = self.sent.get(who, 0)
        self.sent[who] = n + 1
        return n

    def ack(self, who, n, event_id):
        """An event was acknowledged."""
        with self.lock:
            check((who, n) not in self.acked, f"{who}'s {n} was acknowledged twice")
            self.acked[who, n] = event_id
        self.some.set()

    def deliver(self, event):
        """An event reached a subscriber."""
        payload = event["data"]["payload"]
        with self.lock:
            check(event["id"] not in self.delivered, f"{event['id']} was delivered twice")
            self.delivered[event["id"]] = (payload["who"], payload["n"])


def _event(ledger, who):
    n = ledger.next(who)
    return n, {"topic": TOPICS[n % len(TOPICS)], "event": "UPDATED",
               "data": {"entity_id": "e", "payload": {"who": who, "n": n, "fill": "x" * (n * 37 % 700)}}}


def _ends_with_the_broker(work):
    """Calls it until the broker is gone."""
    def run(*arguments):
        try:
            work(*arguments)
        except (Closed, EOFError, OSError):
            pass
    return run


@_ends_with_the_broker
def _post(broker, ledger, who):
    with HttpConnection(broker.address) as connection:
        while True:
            items = [_event(ledger, who) for _ in range(ARRAY)]
            answer = connection.request("POST", "/publish", [("Authorization", "Bearer " + mint(who, backend=True))],
                                        [event for _, event in items])
            for (n, _), result in zip(items, answer.json()["results"]):
                check(result["ok"], f"a publish was refused: {result}")
                ledger.ack(who, n, result["id"])


@_ends_with_the_broker
def _send(broker, ledger, who):
    with v1_client(broker, who) as client:
        flying = 0
        while True:
            while flying < IN_FLIGHT:
                n, event = _event(ledger, who)
                client.send_json({"type": "publish", "id": n, **event})
                flying += 1
            message = client.recv_json()
            equal(message["type"], "ack", f"the answer {message}")
            ledger.ack(who, message["id"], message["event_id"])
            flying -= 1


@_ends_with_the_broker
def _receive(client, ledger, may_miss):
    while True:
        message = client.recv_json(timeout=30)
        check(may_miss or message.get("type") != "gap", f"a live subscriber heard of a gap: {message}")
        if "topic" in message and "event" in message:
            ledger.deliver(message)


def _check_stored(db, ledger, before, kept):
    """Compares what is stored above the number `before` with the ledger; returns the last number."""
    rows = db.events(after=before)
    # what was sent and not acknowledged may be there
    stored = {(e["data"]["payload"]["who"], e["data"]["payload"]["n"]): number for number, _, e in rows}
    equal(len(stored), len(rows), "each event is there once")
    newest = {}
    for number, topic, event in rows:
        who, n = event["data"]["payload"]["who"], event["data"]["payload"]["n"]
        equal(topic, event["topic"], f"the topic of {number}")
        check(newest.get(who, -1) < n, f"{who}'s {n} is behind {newest.get(who)}")
        newest[who] = n
    lowest = rows[0][0] if rows else before
    with ledger.lock:
        acked = {key: number_of(i) for key, i in ledger.acked.items() if number_of(i) > before}
        delivered = {number_of(i): key for i, key in ledger.delivered.items() if number_of(i) > before}
    if kept is None:
        lost = {key: n for key, n in acked.items() if stored.get(key) != n}
        unknown = {n: key for n, key in delivered.items() if stored.get(key) != n}
    else:  # retention took the oldest, and no other
        check(len(rows) >= min(kept, len(acked)), f"{len(rows)} of {len(acked)} are kept")
        lost = {key: n for key, n in acked.items() if n >= lowest and stored.get(key) != n}
        unknown = {n: key for n, key in delivered.items() if n >= lowest and stored.get(key) != n}
    equal(lost, {}, "acknowledged, and not stored under that number")
    equal(unknown, {}, "delivered, and not stored under that number")
    return rows[-1][0] if rows else before


def _round(broker, ledger, seconds, may_miss):
    """Load until the kill."""
    ledger.some.clear()
    with v1_client(broker, "reader") as reader:
        reader.subscribe(*TOPICS)
        running = [in_background(_receive, reader, ledger, may_miss, timeout=60)]
        running += [in_background(_post, broker, ledger, f"poster-{k}", timeout=60) for k in range(POSTERS)]
        running += [in_background(_send, broker, ledger, f"sender-{k}", timeout=60) for k in range(SENDERS)]
        wait_until(ledger.some.is_set, 20, "the first ack")
        time.sleep(scaled(seconds))
        broker.process.kill()
        broker.process.wait()
        for result in running:
            result()
        reader.stream.close()


def kill_again_and_again(times, seed, settings=None, retention=None):
    """So many rounds; after each all that was seen is compared with what is there."""
    chance = random.Random(seed)
    ledger, last, epochs = Ledger(), 0, set()
    config = {"workers": 2}
    if retention:
        config["journal"] = {"retention": retention}
    with Database() as db:
        for k in range(times):
            with db.broker(config, settings) as broker:
                broker._checked = True  # it will not end by itself
                _round(broker, ledger, chance.uniform(SHORTEST_S, LONGEST_S), retention is not None)
                broker.check_sanitizers()
            if k % 2:  # recovered by SQLite's own library here, or by the next broker
                db.check()
            with db.broker(config, settings):
                pass
            db.check()
            stored = _check_stored(db, ledger, last, retention and retention["count"])
            check(stored > last, "a round that stored nothing proves nothing")
            last = stored
            epochs |= {epoch_of(i) for i in ledger.acked.values()}
            equal(len(epochs), 1, "epochs")
        print(f"{times} kills, {len(ledger.acked)} acknowledged, {len(ledger.delivered)} delivered, last number {last}", flush=True)
        check(len(ledger.delivered) > times, "the subscriber got something")
