"""A transactional outbox: an event is written in the transaction of the change that it tells of, and published when that is committed.

So there is no event of a change that was rolled back, and none is missing, whatever ends in between: the broker, the network or this process.
"""
import contextlib
import json
import logging
import sqlite3
import threading
import uuid

import hookwire

from database import connect

RETRY_S = 0.5
TIMEOUT_S = 2  # short: the client's own pauses grow, and people wait for what is here
_NEVER = ("bad_request", "too_large")  # it will be the same the next time; with all else somebody can help: the network, a key, a policy
_log = logging.getLogger("uvicorn.error")


def add(db, event):
    """To be called in a transaction."""
    db.execute("INSERT INTO outbox (key, event) VALUES (?, ?)", (uuid.uuid4().hex, json.dumps(event)))


class Publisher:
    """A thread that publishes what is in the outbox, in order. There must be one for a database: two would overtake each other."""

    def __init__(self, client):
        self._client, self._wake, self._ended = client, threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)  # ended anywhere: it goes on from there the next time

    def start(self):
        self._thread.start()

    def wake(self):
        """Something was committed."""
        self._wake.set()

    def stop(self):
        self._ended = True
        self._wake.set()

    def _run(self):
        with contextlib.closing(connect()) as db:
            while not self._ended:
                self._wake.clear()
                try:
                    is_empty = self._publish_all(db)
                except sqlite3.OperationalError as error:  # locked for too long, or the disk is full
                    _log.error("outbox: %s", error)
                    is_empty = False
                self._wake.wait(None if is_empty else RETRY_S)

    def _publish_all(self, db):
        """False: the broker does not take the next one now."""
        while not self._ended:
            row = db.execute("SELECT * FROM outbox WHERE refused IS NULL ORDER BY id LIMIT 1").fetchone()
            if row is None:
                return True
            event = json.loads(row["event"])
            try:
                # The same key each time: one whose answer was lost, or that this process did not live to delete, is stored once.
                self._client.publish(event["topic"], event["event"], event["data"], key=row["key"])
            except hookwire.HookwireError as error:
                if error.code not in _NEVER:
                    _log.warning("outbox: waiting, %s", error)
                    return False
                _log.error("outbox: event %d is left out, %s", row["id"], error)
                db.execute("UPDATE outbox SET refused = ? WHERE id = ?", (str(error), row["id"]))
            else:
                db.execute("DELETE FROM outbox WHERE id = ?", (row["id"],))
        return True
