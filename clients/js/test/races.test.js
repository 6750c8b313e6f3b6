/* What is left, closed, woken or renewed at a moment that does not suit. */
// ctest: cost=25
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { createClient as createSmall } from '../dist/ws.js';
import { Broker, freePort, mint, until } from '../../testlib/broker.js';
import { clean, clientOf, isUp, proxyBefore, TRANSPORTS } from '../testlib/client.js';

/** The sockets that were made. */
let sockets = [];
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.push(this);
  }
};

let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const unhandled = [];
process.on('unhandledRejection', (error) => unhandled.push(error));
afterEach(async () => {
  await clean();
  await new Promise((done) => setTimeout(done, 20)); // for who hears of a rejection in a later turn
  assert.deepEqual(unhandled.splice(0).map(String), [], 'nobody is left alone with an error');
  sockets = [];
});
const connect = (options, create) => clientOf(broker, { lingerMs: 10, ...options }, create);
const startProxy = () => proxyBefore(broker);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

test('nothing is told to who has left, whenever that is', async () => {
  for (const transport of TRANSPORTS) {
    const proxy = await startProxy();
    proxy.latencyMs = 15; // each step of a connection has a moment of its own
    for (const ms of [0, 10, 40, 70, 100, 150]) {
      const client = connect({ url: proxy.url, transports: [transport] });
      const topic = `left-${transport}-${ms}:1`;
      const heard = [];
      const note = (what) => () => heard.push(what);
      const off = client.subscribe([topic, 'secret:1'], note('event'), { onGap: note('gap'), onError: note('error') });
      await pause(ms);
      off();
      heard.length = 0;
      await broker.publish(topic);
      await until(() => client.state === 'idle', `${transport}, after ${ms} ms: ${client.state}`);
      await broker.publish(topic);
      assert.deepEqual(heard, [], `${transport}, after ${ms} ms`);
      client.close();
    }
  }
  await until(() => sockets.every(({ readyState }) => readyState === WebSocket.CLOSED), 'no socket is left');
  await until(async () => (await broker.sessions()).every(({ transport }) => transport === 'poll'), 'no session is left');
});

test('a client that is closed while a token, a ticket, an answer or data is waited for', async () => {
  for (const [create, options] of [[createSmall, {}], ...TRANSPORTS.map((transport) => [createClient, { transports: [transport] }]), [createClient, { tickets: true }]])
    for (const ms of [0, 20, 60, 120]) {
      const proxy = await startProxy();
      proxy.latencyMs = 15;
      let answer;
      const client = connect({ url: proxy.url, ...options, getToken: () => new Promise((done) => (answer = done)) }, create);
      const outcomes = [];
      const end = (name) => [() => outcomes.push(name), () => outcomes.push(name)];
      client.subscribe('a:1', () => assert.fail('an event of whoever'));
      client.onPresence('room:1', () => {});
      client.history('a:1').then(...end('history'));
      client.publish({ topic: 'other:1', event: 'ADDED', data: { entity_id: 'x', payload: {} } }).then(...end('publish'));
      client.snapshot('b:1', async () => 1, () => {}).then(...end('snapshot'));
      await until(() => answer);
      if (ms) answer(mint('alice'));
      await pause(ms);
      client.close();
      answer(mint('alice'));
      if (ms) await until(() => outcomes.length === 3, `${JSON.stringify(options)}, after ${ms} ms: ${outcomes}`);
      await pause(20);
      assert.equal(client.state, 'closed');
      await proxy.stop();
    }
  await until(() => sockets.every(({ readyState }) => readyState === WebSocket.CLOSED), 'no socket is left');
});

test('a page that is woken again and again while it waits makes one attempt at a time', async () => {
  const port = await freePort();
  const client = connect({ url: `http://127.0.0.1:${port}`, transports: ['websocket'], backoff: { minMs: 1e7, maxMs: 1e7 } });
  client.subscribe('a:1', () => {});
  await until(() => client.state === 'waiting');
  sockets = [];
  for (let i = 0; i < 50; i++) client.retry();
  assert.equal(client.state, 'connecting');
  await until(() => sockets.length);
  for (let i = 0; i < 50; i++) client.retry();
  assert.equal(sockets.length, 1);
});

test('a snapshot that is ended at any moment tells nothing any more, and leaves nothing', async () => {
  for (const ms of [0, 10, 40, 80, 120, 200]) {
    const proxy = await startProxy();
    proxy.latencyMs = 15;
    const client = connect({ url: proxy.url });
    const abort = new AbortController();
    const heard = [];
    let isEnded = false;
    const note = (what) => () => isEnded && heard.push(what);
    const snapshot = client.snapshot('end:1', async () => (await pause(30), 1), note('event'), { onData: note('data'), onGap: note('gap'), signal: abort.signal });
    snapshot.catch(() => {});
    await pause(ms);
    isEnded = true;
    abort.abort();
    await broker.publish('end:1');
    await until(() => client.state === 'idle', `after ${ms} ms: ${client.state}`);
    assert.deepEqual(heard, [], `after ${ms} ms`);
    client.close();
  }
});

test('the token is renewed while the connection is made anew: the new one counts, and is asked for once', async () => {
  const proxy = await startProxy();
  let asked = 0;
  const client = connect({ url: proxy.url, transports: ['websocket'], getToken: async () => (await pause(30), mint('alice', { seconds: ++asked === 1 ? 6 : 3600 })) });
  const got = [];
  client.subscribe('renew:1', (event) => got.push(event.data.payload.n));
  await until(() => isUp(client));
  const ends = Date.now() + 8000;
  while (Date.now() < ends) {
    proxy.drop();
    await pause(100);
  }
  await until(async () => {
    await broker.publish('renew:1', { n: 1 });
    return got.length;
  }, `${JSON.stringify(client.status)}`);
  assert.equal(asked, 2);
  assert.notEqual(client.state, 'failed');
});

test('an error of a handler is the page\'s, and nobody else\'s', async () => {
  const errors = [];
  // the test runner takes them for the test's
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => errors.push(error.message));
  try {
    for (const transport of TRANSPORTS) {
      const client = connect({ transports: [transport] });
      const topic = `throws-${transport}:1`;
      const got = [];
      const offStatus = client.onStatus(() => {
        throw new Error('status');
      });
      const off = client.subscribe(topic, () => {
        throw new Error('event');
      });
      client.subscribe(topic, (event) => got.push(event.data.payload.n));
      await until(async () => {
        await broker.publish(topic, { n: 1 });
        return got.length > 1;
      }, transport);
      offStatus();
      off();
      client.close();
    }
    await pause(20); // they come in a later turn
    await until(() => errors.includes('event') && errors.includes('status'));
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const other of others) process.on('uncaughtException', other);
  }
});
