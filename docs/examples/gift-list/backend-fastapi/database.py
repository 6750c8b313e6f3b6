"""SQLite. Each request has a connection and a transaction of its own."""
import contextlib
import os
import pathlib
import sqlite3

PATH = os.environ["GIFT_DATABASE"]
SCHEMA = pathlib.Path(__file__).resolve().parents[1] / "database.sql"


def connect():
    db = sqlite3.connect(PATH, isolation_level=None)  # we say ourselves where a transaction begins
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def create():
    with contextlib.closing(connect()) as db:
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            db.executescript(SCHEMA.read_text())


@contextlib.contextmanager
def reading():
    """All that is read in it is of one moment."""
    with contextlib.closing(connect()) as db:
        db.execute("BEGIN")
        yield db


@contextlib.contextmanager
def writing():
    """All that is written in it is stored together, or, when something is raised, not at all."""
    with contextlib.closing(connect()) as db:
        db.execute("BEGIN IMMEDIATE")  # one writer after the other: what was read is still so when we write
        yield db
        db.execute("COMMIT")  # not reached by an exception: closing rolls back
