/*
 * A transactional outbox: an event is written in the transaction of the change that it tells of, and published when that is committed.
 * So there is no event of a change that was rolled back, and none is missing, whatever ends in between: the broker, the network or this
 * process.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Publisher } from 'hookwire';
import { serviceToken } from './auth.js';
import { rows, run } from './database.js';

const RETRY_MS = 500;
const TIMEOUT_MS = 2000; // short: the publisher's own pauses grow, and people wait for what is here
const NEVER = ['bad_request', 'too_large']; // it will be the same the next time; with all else somebody can help: the network, a key, a policy
const publisher = new Publisher({ url: process.env.GIFT_BROKER, token: serviceToken, timeoutMs: TIMEOUT_MS });
let isRunning = false;

/** To be called in a transaction. */
export function add(event) {
  run('INSERT INTO outbox (key, event) VALUES (?, ?)', randomUUID(), JSON.stringify(event));
}

/** Publishes what is there, in order. Only one process may do that for a database: two would overtake each other. */
export async function publish() {
  if (isRunning) return; // it will come to what is new
  isRunning = true;
  for (;;) {
    try {
      const [row] = rows('SELECT * FROM outbox WHERE refused IS NULL ORDER BY id LIMIT 1');
      if (!row) break;
      await publishOne(row);
    } catch (error) {
      console.error(`outbox: waiting, ${error.message}`);
      await sleep(RETRY_MS);
    }
  }
  isRunning = false;
}

async function publishOne({ id, key, event }) {
  try {
    // The same key each time: one whose answer was lost, or that this process did not live to delete, is stored once.
    await publisher.publish({ ...JSON.parse(event), key });
  } catch (error) {
    if (!NEVER.includes(error.code)) throw error;
    console.error(`outbox: event ${id} is left out, ${error.message}`);
    run('UPDATE outbox SET refused = ? WHERE id = ?', error.message, id);
    return;
  }
  run('DELETE FROM outbox WHERE id = ?', id);
}
