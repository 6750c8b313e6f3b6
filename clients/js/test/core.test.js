/* The core over networks and brokers that do not behave. */
// ctest: cost=60
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { createClient as createSmall } from '../dist/ws.js';
import { Broker, freePort, mint, until } from '../../testlib/broker.js';
import { atEnd, clientOf, followOf, isUp, proxyBefore } from '../testlib/client.js';

globalThis.WebSocket ??= WebSocket;

const ROLES = `
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic)
      if topic.resource == "staff" and s.claims.role ~= "staff" then return deny("forbidden_topic", "for staff") end
      return allow()
    end,
    publish = function() return allow() end,
    presence = function() return allow() end,
  },
}
`;
const EVENT = { event: 'ADDED', data: { entity_id: 'x', payload: {} } };

let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const follow = (client, topic, options) => followOf(broker, client, topic, options);
const connect = (options, create) => clientOf(broker, { connectTimeoutMs: 2000, ...options }, create);
const startProxy = (port = broker.port) => proxyBefore({ port });
/** A broker of the test's own, which ends with the file also when the test fails: what is left alive would keep the file from ending. */
async function startBroker(...args) {
  const own = await Broker.start(...args);
  atEnd(() => own.stop());
  return own;
}
/** What the client's state becomes, one after the other. A state may be over before a poll looks: what must have been is looked for in here. */
function statesOf(client) {
  const states = [];
  client.onStatus(({ state }) => states.push(state));
  return states;
}

test('two early ends, and the next transport is tried; when the better one works again it is taken, and its end is noticed', async () => {
  const proxy = await startProxy();
  proxy.stripsUpgrade = true;
  const client = connect({ url: proxy.url, reprobeMs: 300 });
  const states = statesOf(client);
  const { numbers } = await follow(client, 'fall:1');
  assert.equal(client.status.transport, 'sse');
  assert.ok(states.slice(0, states.indexOf('online')).filter((state) => state === 'connecting').length >= 3, `twice over the better one: ${states}`);
  proxy.stripsUpgrade = false;
  states.length = 0;
  await until(() => client.status.transport === 'websocket', 'it is back');
  assert.deepEqual([...new Set(states)], ['online'], 'it never was without a connection');
  states.length = 0;
  proxy.drop();
  await until(() => states.some((state) => state !== 'online'), 'its end is noticed');
  await broker.publish('fall:1', { n: 1 });
  await until(() => numbers().length, 'what came in between');
  client.close();
});

test('what the broker itself says is no reason to fall back', async () => {
  const own = await startBroker({}, { policy: ROLES });
  const client = connect({ url: own.url });
  client.subscribe('a:1', () => {});
  await until(() => isUp(client));
  const states = statesOf(client);
  for (let i = 0; i < 3; i++) {
    states.length = 0;
    await own.ask('POST', '/api/sessions/disconnect', { user: 'alice', tenant: 'acme', code: 4508, reason: 'x' });
    await until(() => states.includes('waiting'), 'it is cut off');
    await until(() => isUp(client), 'and comes back');
  }
  assert.equal(client.status.transport, 'websocket');
  client.close();
  await own.stop();
});

test('an answer that is not the broker\'s is no acknowledgement', async () => {
  let asked = 0;
  const portal = createServer((request, response) => {
    asked++;
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end('<html>Welcome to our hotel</html>');
  });
  atEnd(() => (portal.closeAllConnections(), portal.close()));
  await new Promise((done) => portal.listen(0, '127.0.0.1', done));
  const client = connect({ url: `http://127.0.0.1:${portal.address().port}`, transports: ['longpoll'] });
  await assert.rejects(client.publish({ topic: 'a:1', ...EVENT }, { timeoutMs: 600 }), { code: 'timeout' });
  assert.ok(asked > 1, 'it was tried again');
  client.close();
});

test('an event that is too large is refused, and the session lives on', async () => {
  for (const create of [createClient, createSmall]) {
    const client = connect({}, create);
    await follow(client, 'large:1');
    await assert.rejects(client.publish({ topic: 'large:1', event: 'ADDED', data: { entity_id: 'x', payload: 'ü'.repeat(40000) } }), { code: 'too_large' });
    assert.equal(client.state, 'online');
    client.close();
  }
});

test('a publish on a connection that is dead without a word is acknowledged over the next one, once', async () => {
  const proxy = await startProxy();
  const client = connect({ url: proxy.url, transports: ['websocket'] });
  await follow(client, 'half:1');
  proxy.halfOpen();
  const ack = await client.publish({ topic: 'half:1', ...EVENT }, { timeoutMs: 20000 });
  const { events } = await client.history('half:1');
  assert.equal(events.filter((event) => event.id === ack.id).length, 1);
  client.close();
});

test('a stream that is dead without a word is begun anew when it is looked at', async () => {
  for (const transport of ['sse', 'longpoll']) {
    const proxy = await startProxy();
    const client = connect({ url: proxy.url, transports: [transport] });
    const { numbers } = await follow(client, `dead-${transport}:1`);
    proxy.halfOpen();
    await broker.publish(`dead-${transport}:1`, { n: 1 });
    client.retry();
    // fetch may have kept another connection that is dead, and ask over that one first: 10 s
    await until(() => numbers().length === 1, transport, 60000);
    client.close();
  }
});

test('getToken that throws, or rejects, is asked again; it is no matter of the transport', async () => {
  for (const fail of [() => { throw new Error('no'); }, () => Promise.reject(new Error('no'))]) {
    let asked = 0;
    const client = connect({ getToken: () => (++asked < 5 ? fail() : mint('alice')) });
    client.subscribe('a:1', () => {});
    await until(() => client.status.code === 'no_token');
    await until(() => isUp(client));
    assert.equal(client.status.transport, 'websocket');
    client.close();
  }
});

test('one token is asked for at a time, before the last one ends, on every transport and without a break', async () => {
  await Promise.all(
    ['websocket', 'sse', 'longpoll', 'polling'].map(async (transport) => {
      let asked = 0;
      let atOnce = 0;
      const client = connect({
        transports: [transport],
        async getToken({ refresh }) {
          assert.equal(refresh, asked > 0);
          assert.equal(++atOnce, 1, 'one at a time');
          asked++;
          await new Promise((done) => setTimeout(done, 20));
          atOnce--;
          return mint('alice', { seconds: asked === 1 ? 7 : 3600 });
        },
      });
      const { numbers } = await follow(client, `token-${transport}:1`);
      const states = new Set();
      client.onStatus(({ state }) => states.add(state));
      await until(() => asked === 2, `${transport}: another token`);
      await new Promise((done) => setTimeout(done, 1500)); // the first one has ended by then
      await broker.publish(`token-${transport}:1`, { n: 1 });
      await until(() => numbers().length === 1);
      assert.deepEqual([...states].filter((state) => state !== 'online' && state !== 'degraded'), [], transport);
      client.close();
    }),
  );
});

test('what was refused is followed once a new token allows it', async () => {
  const own = await startBroker({}, { policy: ROLES });
  let role = 'guest';
  const client = connect({ url: own.url, getToken: () => mint('alice', { seconds: role === 'guest' ? 6 : 3600, role }) });
  const refused = [];
  const got = [];
  client.subscribe(['staff:1', 'open:1'], (event) => got.push(event.topic), { onError: (error, topic) => refused.push([topic, error.code]) });
  await until(() => refused.length);
  assert.deepEqual(refused, [['staff:1', 'forbidden_topic']]);
  role = 'staff';
  await until(async () => {
    await own.publish('staff:1');
    return got.includes('staff:1');
  }, 'after the refresh');
  client.close();
  await own.stop();
});

test('a topic that was refused is asked for again by who follows it next; one that is no topic harms no other', async () => {
  for (const transport of ['websocket', 'sse', 'longpoll']) {
    const client = connect({ transports: [transport] });
    const errors = [];
    const onError = (error, topic) => errors.push(`${topic} ${error.code}`);
    const { numbers } = await follow(client, `fine-${transport}:1`);
    client.subscribe(['Nonsense', 'secret:1'], () => {}, { onError });
    await until(() => errors.length === 2, `${transport}: two errors: ${errors}`);
    client.subscribe('secret:1', () => {}, { onError });
    await until(() => errors.filter((text) => text === 'secret:1 forbidden_topic').length >= 3, `${transport}: both who follow it are told again: ${errors}`);
    await broker.publish(`fine-${transport}:1`, { n: 1 });
    await until(() => numbers().length === 1);
    client.close();
  }
});

test('who begins behind a cursor where another one is live already gets what it missed, in order and once', async () => {
  for (const transport of ['websocket', 'sse', 'longpoll']) {
    const client = connect({ transports: [transport] });
    const topic = `late-${transport}:1`;
    const first = await follow(client, topic);
    const cursor = await broker.publish(topic, { n: 0 });
    for (let n = 1; n < 150; n++) await broker.publish(topic, { n });
    await until(() => first.numbers().length === 150);
    const got = [];
    const off = client.subscribe(topic, (event) => got.push(event.data.payload.n), { cursor });
    for (let n = 150; n < 160; n++) await broker.publish(topic, { n });
    await until(() => got.length >= 159, `${transport}: ${got.length}`);
    assert.deepEqual(got, Array.from({ length: 159 }, (_, n) => n + 1));
    assert.deepEqual(first.numbers(), Array.from({ length: 160 }, (_, n) => n), 'the other one gets nothing twice');
    // away for less than the linger time: the subscription is still there
    const left = off();
    await broker.publish(topic, { n: 200 });
    await until(() => first.numbers().includes(200));
    const again = [];
    client.subscribe(topic, (event) => again.push(event.data.payload.n), { cursor: left });
    await until(() => again.includes(200), `${transport}: what came in between`);
    client.close();
  }
});

test('a pattern and a name that match the same events: whoever joins behind a cursor gets them too', async () => {
  for (const transport of ['websocket', 'sse', 'longpoll'])
    for (const [early, late] of [['1', '*'], ['*', '1']]) {
      const client = connect({ transports: [transport] });
      const resource = `both-${transport}-${early === '*' ? 'a' : 'b'}`;
      const first = [];
      client.subscribe(`${resource}:${early}`, (event) => first.push(event.data.payload.n));
      await until(async () => {
        await broker.publish(`${resource}:1`, { n: -1 });
        return first.length;
      });
      const cursor = await broker.publish(`${resource}:1`, { n: 0 });
      for (let n = 1; n <= 5; n++) await broker.publish(`${resource}:1`, { n });
      await until(() => first.includes(5));
      const got = [];
      client.subscribe(`${resource}:${late}`, (event) => got.push(event.data.payload.n), { cursor });
      await broker.publish(`${resource}:1`, { n: 6 });
      await until(() => got.length >= 6, `${transport}, ${late} behind ${early}: ${got}`, 5000);
      assert.deepEqual(got, [1, 2, 3, 4, 5, 6]);
      assert.deepEqual(first.filter((n) => n >= 0), [0, 1, 2, 3, 4, 5, 6]);
      client.close();
    }
});

test('topics with cursors of their own join a session in order, on every transport', async () => {
  for (const transport of ['websocket', 'sse', 'longpoll', 'polling']) {
    const client = connect({ transports: [transport] });
    const [a, b] = [`one-${transport}:1`, `two-${transport}:1`];
    const cursor = await broker.publish(b, { n: 0 });
    const first = await follow(client, a);
    for (let n = 1; n <= 5; n++) await broker.publish(b, { n });
    const middle = await client.cursor();
    for (let n = 6; n <= 10; n++) await broker.publish(b, { n });
    const got = [];
    client.subscribe(b, (event) => got.push(event.data.payload.n), { cursor: middle });
    for (let n = 11; n <= 15; n++) await broker.publish(b, { n });
    await until(() => got.includes(15), `${transport}: ${got}`);
    assert.deepEqual(got, [6, 7, 8, 9, 10, 11, 12, 13, 14, 15], transport);
    const newest = [];
    await broker.publish(`new-${transport}:1`, { n: 41 });
    await broker.publish(`new-${transport}:1`, { n: 42 });
    client.subscribe(`new-${transport}:1`, (event) => newest.push(event.data.payload.n), { last: true });
    await until(() => newest.length, `${transport}: the newest event`);
    assert.deepEqual(newest, [42]);
    await broker.publish(a, { n: 1 });
    await until(() => first.numbers().length === 1);
    assert.ok(cursor);
    client.close();
  }
});

test('a snapshot while the broker is away gives the page its data, and newer data when it is there', async () => {
  const port = await freePort();
  for (const create of [createClient, createSmall]) {
    const client = connect({ url: `http://127.0.0.1:${port}` }, create);
    let version = 1;
    const newer = [];
    const got = [];
    const { data, unsubscribe } = await client.snapshot('a:1', async () => version, (event) => got.push(event.data.payload.n), { onData: (data) => newer.push(data) });
    assert.equal(data, 1);
    version = 2;
    const own = await startBroker({}, { port });
    await until(() => newer.length, 'newer data');
    assert.deepEqual(newer, [2]);
    await fetch(`${own.url}/publish`, { method: 'POST', headers: { authorization: `Bearer ${mint('x')}`, 'content-type': 'application/json' }, body: JSON.stringify({ topic: 'a:1', event: 'ADDED', data: { entity_id: '1', payload: { n: 7 } } }) });
    await until(() => got.includes(7));
    unsubscribe();
    client.close();
    await own.stop();
  }
});

test('a snapshot has no hole while its connection is cut', async () => {
  const proxy = await startProxy();
  for (const transport of ['websocket', 'sse', 'longpoll']) {
    const client = connect({ url: proxy.url, transports: [transport] });
    const topic = `cut-${transport}:1`;
    const got = [];
    let n = 0;
    const { data } = await client.snapshot(
      topic,
      async () => {
        const read = ++n;
        proxy.drop();
        for (let i = 0; i < 5; i++) await broker.publish(topic, { n: ++n });
        return read;
      },
      (event) => got.push(event.data.payload.n),
    );
    await until(() => got.at(-1) === n, `${transport}: ${got}`);
    assert.deepEqual(got.filter((one) => one > data), [2, 3, 4, 5, 6]);
    client.close();
  }
});

test('a snapshot that is aborted leaves nothing behind, and tells nothing', async () => {
  const client = connect();
  const abort = new AbortController();
  const got = [];
  const waits = client.snapshot('a:1', (signal) => new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason))), (event) => got.push(event), { signal: abort.signal });
  await until(() => client.state === 'online');
  abort.abort();
  await assert.rejects(waits, { name: 'AbortError' });
  await until(() => client.state === 'idle');
  await assert.rejects(client.snapshot('a:1', async () => 1, () => {}, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(client.state, 'idle');
});

test('states: each one, and what leads from one to the next', async () => {
  const port = await freePort();
  const client = connect({ url: `http://127.0.0.1:${port}`, transports: ['websocket'], getToken: () => token });
  let token = mint('alice');
  const states = [];
  client.onStatus((status) => states.push(status));
  const was = () => states.splice(0).map(({ state }) => state);
  assert.equal(client.state, 'idle');
  const off = client.subscribe('a:1', () => {});
  assert.equal(client.state, 'connecting');
  await until(() => client.state === 'waiting');
  assert.ok(client.status.retryAt >= Date.now() - 5 && client.status.retryAt < Date.now() + 300);
  assert.equal(client.status.code, 'lost');
  const own = await startBroker({}, { port });
  await until(() => client.state === 'online');
  assert.deepEqual(client.status, { state: 'online', transport: 'websocket' });
  off();
  await until(() => client.state === 'idle');
  was();
  token = 'nonsense';
  client.subscribe('a:1', () => {});
  await until(() => client.state === 'online', 'with the token that it had');
  await own.ask('POST', '/api/sessions/disconnect', { user: 'alice', tenant: 'acme', code: 4401 });
  await until(() => client.state === 'failed');
  assert.equal(client.status.code, 'unauthorized');
  await assert.rejects(client.publish({ topic: 'a:1', ...EVENT }), { code: 'unauthorized' });
  token = mint('alice');
  client.retry();
  await until(() => client.state === 'online', 'retry ends failed');
  client.close();
  assert.equal(client.state, 'closed');
  assert.throws(() => client.subscribe('a:1', () => {}), { code: 'closed' });
  await assert.rejects(client.publish({ topic: 'a:1', ...EVENT }), { code: 'closed' });
  client.retry();
  assert.equal(client.state, 'closed');
  await own.stop();
});

test('the page goes offline and online, and is shown again', async () => {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: 'hidden' });
  let listeners = 0;
  const count = (target) => ({
    addEventListener(name, run) {
      listeners++;
      target.addEventListener(name, run);
    },
    removeEventListener(name, run) {
      listeners--;
      target.removeEventListener(name, run);
    },
  });
  const navigator = { onLine: true };
  Object.assign(globalThis, count(page));
  Object.defineProperty(globalThis, 'document', { value: Object.defineProperty(count(document), 'visibilityState', { get: () => document.visibilityState }), configurable: true });
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  try {
    const proxy = await startProxy();
    const client = connect({ url: proxy.url, transports: ['websocket'], backoff: { minMs: 1e7, maxMs: 1e7 } });
    client.subscribe('a:1', () => {});
    await until(() => client.state === 'online');
    navigator.onLine = false;
    page.dispatchEvent(new Event('offline'));
    assert.equal(client.state, 'offline');
    client.retry();
    assert.equal(client.state, 'offline');
    navigator.onLine = true;
    page.dispatchEvent(new Event('online'));
    await until(() => client.state === 'online');
    for (const wake of [() => page.dispatchEvent(new Event('pageshow')), () => { document.visibilityState = 'visible'; document.dispatchEvent(new Event('visibilitychange')); }]) {
      proxy.drop();
      await until(() => client.state === 'waiting', 'it waits for hours');
      wake();
      await until(() => client.state === 'online');
    }
    page.dispatchEvent(new Event('pagehide'));
    await until(() => proxy.connections === 0, 'a page that is left is connected no more');
    page.dispatchEvent(new Event('pageshow'));
    await until(() => client.state === 'online');
    assert.equal(listeners, 5);
    client.close();
    assert.equal(listeners, 0);
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
    delete globalThis.document;
    delete globalThis.navigator;
  }
});

test('who slept looks at once whether the connection is alive', async (t) => {
  const proxy = await startProxy();
  const client = connect({ url: proxy.url, transports: ['websocket'] });
  const { numbers } = await follow(client, 'sleep:1');
  proxy.halfOpen();
  await broker.publish('sleep:1', { n: 1 });
  const now = Date.now;
  t.after(() => (Date.now = now));
  Date.now = () => now() + 60000;
  await until(() => numbers().length === 1, 'within a tick and the answer to a ping', 20000 + 60000);
  client.close();
});

test('a broker that drains is come back to when it says, over the same transport', async () => {
  const own = await startBroker();
  const client = connect({ url: own.url });
  client.subscribe('a:1', () => {});
  await until(() => client.state === 'online');
  const waits = [];
  client.onStatus((status) => status.state === 'waiting' && waits.push(status));
  await own.kill('SIGTERM');
  await own.run();
  await until(() => client.state === 'online' && waits.length);
  assert.equal(client.status.transport, 'websocket');
  client.close();
  await own.stop();
});

test('a ticket stands in the address, and no token', async () => {
  const proxy = await startProxy();
  const client = connect({ url: proxy.url, tickets: true });
  const { numbers } = await follow(client, 'ticket:1');
  assert.match(proxy.seen.find((path) => path.startsWith('/ws')), /^\/ws\?ticket=[0-9a-f]+$/);
  proxy.drop();
  await broker.publish('ticket:1', { n: 1 });
  await until(() => numbers().length === 1, 'another ticket, another connection');
  client.close();
});

test('no token stands in an address of any transport, with tickets or without', async () => {
  for (const tickets of [false, true])
    for (const transport of ['websocket', 'sse', 'longpoll', 'polling']) {
      const proxy = await startProxy();
      const client = connect({ url: proxy.url, transports: [transport], tickets });
      await follow(client, 'address:1');
      await client.publish({ topic: 'address:1', ...EVENT });
      await client.history('address:1');
      await client.presence('room:1');
      await client.cursor();
      assert.deepEqual(proxy.seen.filter((path) => /token|ey[JI]/.test(path)), []);
      // what has the token in a head needs no ticket
      assert.equal(proxy.seen.some((path) => /ticket/.test(path)), tickets && transport === 'websocket', `${proxy.seen}`);
      client.close();
    }
});

test('a broker that takes no token in a message says what is missing; with a ticket it is connected to', async () => {
  const own = await startBroker({ auth: { origins: ['*'], first_message: false } });
  const without = connect({ url: own.url });
  without.subscribe('a:1', () => {});
  await until(() => without.state === 'failed');
  assert.deepEqual(without.status, { state: 'failed', code: 'unauthorized', message: 'a token is needed to connect' });
  without.close();
  for (const transports of [undefined, ['sse']]) {
    const client = connect({ url: own.url, tickets: !transports, transports });
    client.subscribe('a:1', () => {});
    await until(() => client.state === 'online');
    assert.equal(client.status.transport, transports?.[0] ?? 'websocket');
    client.close();
  }
  await own.stop();
});

for (const bundle of ['index', 'ws'])
  test(`close leaves no timer, listener or socket (${bundle})`, { timeout: 60000 }, async (t) => {
    const proxy = await startProxy();
    const child = spawn(process.execPath, [fileURLToPath(new URL('../testlib/leftovers.js', import.meta.url)), proxy.url, mint('alice'), bundle], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL')); // where something is left it may never end
    let out = '';
    child.stdout.on('data', (text) => (out += text));
    const code = await new Promise((done) => child.once('exit', done));
    assert.equal(code, 0);
    const lines = out.trim().split('\n').map((line) => JSON.parse(line));
    assert.equal(lines.length, bundle === 'ws' ? 3 : 12);
    for (const { what, left } of lines) assert.deepEqual({ what, left }, { what, left: [] });
  });
