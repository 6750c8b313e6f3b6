import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { Broker, mint, until } from '../../testlib/broker.js';

globalThis.WebSocket ??= WebSocket;
globalThis.EventSource ??= EventSource;

let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const clients = [];
function connect(options = {}) {
  const client = createClient({ url: broker.url, getToken: () => mint('alice'), lingerMs: 20, backoff: { minMs: 20, maxMs: 200 }, pollMs: 50, ...options });
  clients.push(client);
  return client;
}
after(() => clients.forEach((client) => client.close()));

/** Waits until the topic is followed: something comes. */
const live = (topic, got) => until(async () => (await broker.publish(topic, { n: -1 }), got.length), `${topic} is followed`);

for (const transport of ['websocket', 'sse', 'longpoll', 'polling'])
  test(`${transport}: events come in order, and after a restart of the link it goes on where it was`, async () => {
    const client = connect({ transports: [transport] });
    const got = [];
    assert.equal(client.state, 'idle');
    const off = client.subscribe(`t-${transport}:1`, (event) => got.push(event.data.payload.n));
    await until(() => client.state === (transport.includes('poll') ? 'degraded' : 'online'), `${client.state} is not it`);
    assert.equal(client.status.transport, transport);
    await live(`t-${transport}:1`, got);
    for (let n = 0; n < 20; n++) await broker.publish(`t-${transport}:1`, { n });
    const numbers = () => got.filter((n) => n >= 0);
    await until(() => numbers().length === 20, `20 events, not ${numbers().length}`);
    await broker.ask('POST', '/api/sessions/disconnect', { user: 'alice', tenant: 'acme', code: 1001 });
    for (let n = 20; n < 40; n++) await broker.publish(`t-${transport}:1`, { n });
    await until(() => numbers().length >= 40, `40 events, not ${numbers().length}`);
    assert.deepEqual(numbers(), Array.from({ length: 40 }, (_, n) => n));
    off();
    await until(() => client.state === 'idle');
  });

test('publish is acknowledged, and a refusal has its code', async () => {
  for (const transports of [['websocket'], ['longpoll']]) {
    const client = connect({ transports });
    const ack = await client.publish({ topic: 'a:1', event: 'ADDED', data: { entity_id: 'x', payload: { a: 1 } } });
    assert.match(ack.id, /-\d+$/);
    await assert.rejects(client.publish({ topic: 'sealed:1', event: 'ADDED', data: { entity_id: 'x' } }), { code: 'forbidden_topic' });
    const page = await client.history('a:1');
    assert.equal(page.events.at(-1).id, ack.id);
    client.close();
  }
});

test('a topic that is refused is told to who follows it, and the others go on', async () => {
  for (const transport of ['websocket', 'sse', 'longpoll']) {
    const client = connect({ transports: [transport] });
    const got = [];
    const errors = [];
    client.subscribe(['secret:1', `ok-${transport}:1`], (event) => got.push(event.topic), { onError: (error, topic) => errors.push([error.code, topic]) });
    await until(() => errors.length, `${transport}: an error`);
    assert.deepEqual(errors, [['forbidden_topic', 'secret:1']]);
    await until(async () => {
      await broker.publish(`ok-${transport}:1`, {});
      return got.length;
    }, `${transport}: the other topic`);
    client.close();
  }
});

test('snapshot has no hole', async () => {
  for (const transport of ['websocket', 'sse', 'longpoll']) {
    const client = connect({ transports: [transport] });
    const topic = `snap-${transport}:1`;
    await broker.publish(topic, { n: 1 });
    const got = [];
    const { data, unsubscribe } = await client.snapshot(
      topic,
      async () => {
        await broker.publish(topic, { n: 2 });
        return 'mine';
      },
      (event) => got.push(event.data.payload.n),
    );
    await broker.publish(topic, { n: 3 });
    assert.equal(data, 'mine');
    await until(() => got.includes(3), `${transport}: got ${got}`);
    assert.deepEqual(got, [2, 3]);
    unsubscribe();
  }
});

test('a gap is told after a restart without a store, and it goes on', async () => {
  for (const transport of ['websocket', 'sse', 'longpoll', 'polling']) {
    const client = connect({ transports: [transport] });
    const gaps = [];
    const got = [];
    client.subscribe('gap:1', (event) => got.push(event.data.payload.n), { onGap: (gap) => gaps.push(gap.topics) });
    await until(() => client.status.transport === transport, 'it is up');
    await live('gap:1', got);
    await broker.restart();
    await until(() => gaps.length, `${transport}: a gap`);
    assert.deepEqual(gaps, [['gap:1']]);
    await until(() => client.status.transport === transport, 'it is up again');
    await broker.publish('gap:1', { n: 2 });
    await until(() => got.includes(2), `${transport}: an event behind it`);
    client.close();
  }
});

test('presence is followed', async () => {
  const watcher = connect();
  const seen = [];
  watcher.onPresence('room:1', (users) => seen.push(users.map((user) => user.user_id).join()));
  await until(() => watcher.state === 'online');
  const bob = connect({ getToken: () => mint('bob') });
  bob.subscribe('room:1', () => {});
  await until(() => seen.at(-1) === 'bob', `bob is there: ${seen}`);
  bob.close();
  await until(() => seen.at(-1) === '', 'bob has gone');
  watcher.close();
});

test('a token that is not accepted is asked for once more, then it has failed', async () => {
  let asked = 0;
  const client = connect({
    getToken: () => {
      asked++;
      return 'nonsense';
    },
  });
  client.subscribe('a:1', () => {});
  await until(() => client.state === 'failed');
  assert.equal(client.status.code, 'unauthorized');
  assert.equal(asked, 2);
});
