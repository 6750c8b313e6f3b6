/* SQLite, with libsql: it has the interface of better-sqlite3, and comes compiled. Node has one thread: one connection is enough. */
import { readFileSync } from 'node:fs';
import Database from 'libsql';

const BUSY_MS = 5000;

const db = new Database(process.env.GIFT_DATABASE, { timeout: BUSY_MS });
db.pragma('journal_mode = WAL');
db.pragma('foreign_keys = ON');
if (rows('PRAGMA user_version')[0].user_version === 0) db.exec(readFileSync(new URL('../database.sql', import.meta.url), 'utf8'));

export function rows(sql, ...values) {
  return db.prepare(sql).all(...values);
}

export function run(sql, ...values) {
  db.prepare(sql).run(...values);
}

/** All that happens in it is of one moment, and stored together, or, when something is thrown, not at all. */
export function transaction(work) {
  return db.transaction(work).immediate();
}
