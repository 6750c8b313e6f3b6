/* Tokens that end and clocks that are wrong. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { createClient as createSmall } from '../dist/ws.js';
import { Broker, mint, until } from '../../testlib/broker.js';
import { clientOf, isUp } from '../testlib/client.js';

globalThis.WebSocket ??= WebSocket;

let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const connect = (options, create) => clientOf(broker, options, create);

test('who comes back with the token of before is given the next one in time, without a break', async () => {
  await Promise.all(
    ['websocket', 'sse', 'longpoll', 'polling'].map(async (transport) => {
      let asked = 0;
      const client = connect({ transports: [transport], getToken: () => mint('alice', { seconds: ++asked === 1 ? 8 : 3600 }) });
      client.subscribe('a:1', () => {})();
      await until(() => asked && client.state === 'idle', `${transport}: it rests`);
      client.subscribe('a:1', () => {});
      await until(() => isUp(client));
      const states = new Set();
      client.onStatus(({ state }) => states.add(state));
      await until(() => asked === 2, `${transport}: the next one`);
      await new Promise((done) => setTimeout(done, 2500)); // the first one has ended by then
      assert.deepEqual([...states].filter((state) => state !== 'online' && state !== 'degraded'), [], transport);
      client.close();
    }),
  );
});

test('a clock that is hours ahead: the token is not asked for again and again', async (t) => {
  const now = Date.now;
  t.after(() => (Date.now = now));
  await Promise.all(
    [[createClient, 'websocket'], [createClient, 'longpoll'], [createSmall, 'websocket']].map(async ([create, transport]) => {
      Date.now = now;
      let asked = 0;
      const token = mint('alice', { seconds: 3600 });
      const client = connect({ transports: [transport], getToken: () => (asked++, token) }, create);
      Date.now = () => now() + 5 * 3600 * 1000;
      client.subscribe('a:1', () => {});
      await until(() => isUp(client), transport, 60000);
      await new Promise((done) => setTimeout(done, 6000)); // the least time that is waited, and some
      assert.equal(asked, 1, transport);
      client.close();
    }),
  );
});
