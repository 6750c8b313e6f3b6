"""The sqlite plugin's journal: brokers on one file, and what is in it, looked at by SQLite itself."""
import json
import pathlib
import shutil
import sqlite3
import tempfile

from .broker import Broker, merge
from .check import equal
from .http import HttpConnection
from .token import mint
from .wait import scaled
from .ws import WsClient

NUMBER_BITS = 40  # of an event's id in the table; above it is the class
_OPEN = {"tenants": {"*": {"hooks": [{"name": "open", "lua": "open.lua"}], "limits": {"publish_per_s": 1000000}}}}


class Database:
    """A directory with the journal's file; several brokers may be on it, one after the other."""

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hookwire-sqlite-"))
        self.path = self.dir / "journal.db"
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def config(self, change=None, settings=None):
        """A broker's configuration with this journal; settings are the plugin's."""
        return merge(merge(_OPEN, {"journal": {"plugin": "sqlite", "config": {"path": str(self.path), **(settings or {})}}}),
                     change or {})

    def broker(self, change=None, settings=None, **options):
        """A broker with this journal."""
        return Broker(self.config(change, settings), **options)

    def query(self, sql, *values, path=None):
        """The rows of a question, while a broker runs or not."""
        connection = sqlite3.connect(str(path or self.path), timeout=scaled(10))
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def set(self, sql, *values):
        """A change, by hand."""
        connection = sqlite3.connect(str(self.path), timeout=scaled(10))
        try:
            with connection:
                connection.execute(sql, values)
        finally:
            connection.close()

    def events(self, tenant="acme", after=0, path=None):
        """What is stored of a tenant: (number, topic, event as a dict), by number; but for the broker's own topics."""
        rows = self.query(
            f"SELECT e.id & {(1 << NUMBER_BITS) - 1} AS number, t.name, e.event FROM event e JOIN topic t ON t.id = e.topic"
            " JOIN tenant n ON n.id = t.tenant WHERE n.name = ? AND number > ? AND t.name NOT LIKE '@%' ORDER BY number", tenant, after, path=path)
        return [(number, topic, json.loads(event)) for number, topic, event in rows]

    def keys(self, tenant="acme"):
        """How many idempotency keys are stored of a tenant."""
        return self.query("SELECT count(*) FROM event e JOIN topic t ON t.id = e.topic JOIN tenant n ON n.id = t.tenant"
                          " WHERE n.name = ? AND t.name = '@keys:all'", tenant)[0][0]

    def check(self, path=None):
        """Fails unless SQLite finds nothing wrong, and the counters are what is there."""
        equal(self.query("PRAGMA integrity_check", path=path), [("ok",)], "integrity_check")
        equal(self.query("SELECT id, events, bytes FROM class ORDER BY id", path=path),
              self.query(f"""SELECT c.id, count(e.id),
                         coalesce(sum(length(CAST(e.event AS BLOB)) + coalesce(length(CAST(e.previous AS BLOB)), 0)), 0)
                         FROM class c LEFT JOIN event e ON e.id >> {NUMBER_BITS} = c.id GROUP BY c.id ORDER BY c.id""", path=path),
              "what the classes say that they hold")
        equal(self.query("SELECT id FROM topic WHERE empty = EXISTS (SELECT 1 FROM event WHERE event.topic = topic.id)", path=path),
              [], "topics that are marked wrongly")


def number_of(event_id):
    """The number in an event's id."""
    return int(event_id.split("-")[1])


def epoch_of(event_id):
    """The epoch in an event's id or a cursor."""
    return event_id.split("-")[0]


def v1_client(broker, user="u1", tenant="acme", **options):
    """A client that speaks hookwire.v1, welcomed."""
    c = WsClient(broker.address, token=mint(user, tenant), protocols=["hookwire.v1"], **options)
    c.welcome = c.recv_where({"type": "welcome"})
    return c


def publish_many(broker, count, topics=("a:1",), fill="", tenant="acme", first=0, at_a_time=50):
    """Publishes count events, by arrays, whose payload.n counts from `first`; returns their ids."""
    ids = []
    with HttpConnection(broker.address) as connection:
        for start in range(first, first + count, at_a_time):
            items = [{"topic": topics[n % len(topics)], "event": "UPDATED",
                      "data": {"entity_id": "e", "payload": {"n": n, "fill": fill}}}
                     for n in range(start, min(start + at_a_time, first + count))]
            answer = connection.request(
                "POST", "/publish", [("Authorization", "Bearer " + mint("backend", tenant, backend=True))], items)
            equal(answer.status, 200, "publish")
            ids += [result["id"] for result in answer.json()["results"]]
    return ids
