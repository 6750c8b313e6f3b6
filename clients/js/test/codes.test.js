/* What the close codes of the protocol make of a client, as its document says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { createClient } from '../dist/index.js';
import { createClient as createSmall } from '../dist/ws.js';
import { until } from '../../testlib/broker.js';

globalThis.WebSocket = WebSocket; // the same codes on every Node

/* | 4400 | malformed … | stops | */
const table = readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8');
const rows = [...table.matchAll(/^\| (\d{4}(?:, \d{4})*) \|.*\| ([^|]+) \|$/gm)].flatMap(([, codes, does]) => codes.split(', ').map((code) => [Number(code), does]));

const cleanups = [];
after(() => cleanups.forEach((clean) => clean()));

/** What is no broker, and closes each connection with the code: at once, or behind a welcome. */
async function closing(code, reason, isWelcome) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await new Promise((done) => server.on('listening', done));
  cleanups.push(() => server.close());
  const of = { url: `http://127.0.0.1:${server.address().port}`, count: 0 };
  server.on('connection', (socket) => {
    of.count++;
    if (isWelcome()) socket.send(JSON.stringify({ type: 'welcome', session: 's', cursor: 'k-0', ping_ms: 25000, limits: { message_bytes: 65536 } }));
    socket.close(code, reason);
  });
  return of;
}

/** What becomes of a client: `stops`, `comes again` or `one more token`. */
async function fate(create, code, reason = '', isWelcome = () => false) {
  const server = await closing(code, reason, isWelcome);
  let asked = 0;
  const client = create({ url: server.url, transports: ['websocket'], getToken: () => `token ${++asked}`, backoff: { minMs: 1, maxMs: 5 } });
  cleanups.push(() => client.close());
  client.subscribe('a:1', () => {});
  await until(() => client.state === 'failed' || server.count > 3);
  const does = client.state !== 'failed' ? 'comes again' : asked === 2 && server.count === 2 ? 'one more token' : server.count === 1 ? 'stops' : `${server.count} attempts`;
  const { code: name, message } = client.status;
  client.close();
  return { does, name, message };
}

test('a client does with each close code what the protocol says', async () => {
  assert.ok(rows.length >= 14, `${rows.length} codes`);
  for (const create of [createClient, createSmall])
    for (const [code, says] of rows) {
      const expected = /takes a new token/.test(says) ? 'one more token' : /^stops/.test(says) ? 'stops' : 'comes again';
      assert.deepEqual({ code, does: (await fate(create, code)).does }, { code, does: expected });
    }
});

test('a code that the protocol does not name, and an end without one, are come back from', async () => {
  for (const code of [1012, 1013, 4999]) assert.equal((await fate(createClient, code)).does, 'comes again', `${code}`);
});

test('what an operator gives as the reason changes nothing of what the code says', async () => {
  assert.deepEqual(await fate(createClient, 4401, 'bye: you have left'), { does: 'one more token', name: 'unauthorized', message: 'you have left' });
  assert.deepEqual(await fate(createClient, 4403, 'lost: your place', () => true), { does: 'stops', name: 'forbidden_topic', message: 'your place' });
  assert.deepEqual(await fate(createClient, 4401, 'token_expired: the token has expired'), { does: 'one more token', name: 'token_expired', message: 'the token has expired' });
});
