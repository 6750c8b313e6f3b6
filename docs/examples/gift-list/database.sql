-- What both back ends keep, and two families to play with. They run it in a new database, whose user_version is 0.

BEGIN;

CREATE TABLE families (id TEXT PRIMARY KEY, name TEXT NOT NULL);

CREATE TABLE people (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	role TEXT NOT NULL CHECK (role IN ('parent', 'child', 'guest')),
	family_id TEXT NOT NULL REFERENCES families (id)
);

CREATE TABLE lists (
	id TEXT PRIMARY KEY,
	title TEXT NOT NULL,
	owner_id TEXT NOT NULL REFERENCES people (id), -- who gets the gifts, and must not see who reserved them
	family_id TEXT NOT NULL REFERENCES families (id)
);

CREATE TABLE gifts (
	id TEXT PRIMARY KEY,
	list_id TEXT NOT NULL REFERENCES lists (id),
	name TEXT NOT NULL,
	note TEXT NOT NULL,
	price INTEGER, -- cents
	status TEXT NOT NULL DEFAULT 'wanted' CHECK (status IN ('wanted', 'reserved', 'bought')),
	reserved_by TEXT REFERENCES people (id),
	added_by TEXT NOT NULL REFERENCES people (id),
	version INTEGER NOT NULL DEFAULT 1, -- of name, note and price: counting reservations would give the surprise away
	updated_at TEXT NOT NULL -- likewise
);

-- Events that are to be published, in this order. They are written in the transaction of the change that they tell of.
CREATE TABLE outbox (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	key TEXT NOT NULL, -- the broker stores what has the same key once
	event TEXT NOT NULL, -- JSON
	refused TEXT -- why the broker will never take it; for somebody to look into
);

INSERT INTO families VALUES ('family-123', 'The Millers'), ('family-456', 'The Browns');
INSERT INTO people VALUES
	('alice', 'Alice', 'parent', 'family-123'),
	('bob', 'Bob', 'parent', 'family-123'),
	('carol', 'Carol', 'child', 'family-123'),
	('gran', 'Gran', 'guest', 'family-123'),
	('dave', 'Dave', 'parent', 'family-456');
INSERT INTO lists VALUES
	('alice-birthday', 'Alice’s birthday', 'alice', 'family-123'),
	('bob-birthday', 'Bob’s birthday', 'bob', 'family-123'),
	('carol-christmas', 'Carol’s Christmas', 'carol', 'family-123'),
	('dave-birthday', 'Dave’s birthday', 'dave', 'family-456');
INSERT INTO gifts (id, list_id, name, note, price, added_by, updated_at) VALUES
	('gift-1', 'alice-birthday', 'Garden shears', 'The small ones', 2490, 'bob', '2026-01-01T08:00:00.000Z'),
	('gift-2', 'alice-birthday', 'A weekend in the mountains', '', NULL, 'alice', '2026-01-01T08:01:00.000Z'),
	('gift-3', 'bob-birthday', 'Coffee grinder', 'By hand, not electric', 4500, 'alice', '2026-01-01T08:02:00.000Z'),
	('gift-4', 'carol-christmas', 'Bicycle bell', 'Red', 1200, 'carol', '2026-01-01T08:03:00.000Z'),
	('gift-5', 'dave-birthday', 'Headphones', '', 7900, 'dave', '2026-01-01T08:04:00.000Z');

PRAGMA user_version = 1;
COMMIT;
