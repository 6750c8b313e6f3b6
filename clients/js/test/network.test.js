/* One fault at a time, over each transport: every event once and in order, and no gap. (All of them at once: ledger.test.js.) */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { Broker, freePort, until } from '../../testlib/broker.js';
import { atEnd, clientOf, proxyBefore, TRANSPORTS } from '../testlib/client.js';

globalThis.WebSocket ??= WebSocket;

const NUMBER = 20;
const BEAT_MS = 500;
const range = (n) => Array.from({ length: n }, (_, i) => i);

let broker;
before(async () => (broker = await Broker.start({ heartbeat: { interval_ms: BEAT_MS, timeout_ms: 60000 } })));
after(() => broker.stop());

const connect = (options) => clientOf(broker, { connectTimeoutMs: 2000, ...options });
const startProxy = () => proxyBefore(broker);
let topics = 0;
/** A page that follows a topic of its own, and is live. */
async function follow(client) {
  const topic = `net:${topics++}`;
  const page = { got: [], gaps: [], topic, publish: (n) => broker.publish(topic, { n }) };
  page.numbers = () => page.got.filter((n) => n >= 0);
  client.subscribe(topic, (event) => page.got.push(event.data.payload.n), { onGap: (gap) => page.gaps.push(gap) });
  // one after the other, and not faster: what comes at once from all of these tests is a load of its own
  for (let tries = 100; !page.got.length; tries--) {
    assert.ok(tries, `it is not live: ${JSON.stringify(client.status)}`);
    await page.publish(-1);
    await until(() => page.got.length, '', 200).catch(() => {});
  }
  return page;
}
async function hasAll(page, what, number = NUMBER) {
  // fetch may have kept connections that are dead, and ask over them first: 10 s, or a poll's 35
  await until(() => page.numbers().length >= number, '', 90000).catch(() => assert.fail(`${what()}: ${page.numbers()}`));
  assert.deepEqual(page.numbers(), range(number), what());
  assert.deepEqual(page.gaps, [], what());
}

/** What is done before the nth event is published. */
const FAULTS = {
  latency: { 0: (proxy) => (proxy.latencyMs = 60) },
  drops: Object.fromEntries(range(5).map((i) => [3 + 4 * i, (proxy) => proxy.drop()])),
  // a page that is shown again looks at its connection
  'half-open connections': { 5: (proxy, client) => (proxy.halfOpen(), client.retry()), 12: (proxy, client) => (proxy.halfOpen(), client.retry()) },
  'truncated frames': { 4: (proxy) => proxy.truncate(), 9: (proxy) => proxy.truncate(), 14: (proxy) => proxy.truncate() },
  '502s': { 4: (proxy) => ((proxy.mode = 'bad-gateway'), proxy.drop()), 14: (proxy) => (proxy.mode = 'pass') },
  'slow handshakes': { 4: (proxy) => ((proxy.handshakeMs = 300), proxy.drop()), 12: (proxy) => proxy.drop() },
  'a proxy that strips Upgrade': { 4: (proxy) => ((proxy.stripsUpgrade = true), proxy.drop()), 15: (proxy) => ((proxy.stripsUpgrade = false), proxy.drop()) },
  'a network that is gone for a while': { 4: (proxy) => ((proxy.mode = 'refuse'), proxy.drop()), 14: (proxy) => (proxy.mode = 'pass') },
};

// they do not wait for each other: most of their time is waiting
describe('faults', { concurrency: 4 }, () => {
  for (const [name, steps] of Object.entries(FAULTS))
    test(`${name}: every event once and in order, over every transport`, async () => {
      await Promise.all(
        [...TRANSPORTS.map((transport) => [transport]), undefined].map(async (transports) => {
          const proxy = await startProxy();
          const client = connect({ url: proxy.url, transports, reprobeMs: 500 });
          const page = await follow(client);
          for (const n of range(NUMBER)) {
            steps[n]?.(proxy, client);
            await page.publish(n);
            // each comes alone, or is on its way when the fault comes
            if (n % 2) await new Promise((done) => setTimeout(done, 15));
          }
          await hasAll(page, () => `${transports ?? 'all'}, ${JSON.stringify(client.status)}`);
          client.close();
        }),
      );
    });

  test('a connection that is dead without a word is found out by its silence, over WebSocket and SSE', async () => {
    await Promise.all(
      ['websocket', 'sse'].map(async (transport) => {
        const proxy = await startProxy();
        const client = connect({ url: proxy.url, transports: [transport] });
        const page = await follow(client);
        let { pieces } = proxy;
        let had = page.got.length;
        await until(() => {
          if (page.got.length > had) ({ pieces } = proxy), (had = page.got.length); // that was an event, and no heartbeat
          return proxy.pieces > pieces + 7; // every other one may say that others' events have passed
        }, 'its pace is known');
        proxy.halfOpen();
        await page.publish(0);
        await hasAll(page, () => `${transport}, ${JSON.stringify(client.status)}, ${proxy.seen}, ${proxy.connections} are open`, 1);
        client.close();
      }),
    );
  });

  test('a connection that is alive and has nothing to say is left alone', async () => {
    await Promise.all(
      ['websocket', 'sse'].map(async (transport) => {
        const client = connect({ transports: [transport] });
        await follow(client);
        const states = [];
        client.onStatus((status) => states.push(status));
        await new Promise((done) => setTimeout(done, 8000)); // longer than silence is taken for
        assert.deepEqual(states, [], transport);
        client.close();
      }),
    );
  });

  test('from WebSocket down to plain polling, and back: one cursor, every event once', async () => {
    const proxy = await startProxy();
    const client = connect({ url: proxy.url, reprobeMs: 300 });
    const page = await follow(client);
    let n = 0;
    for (const [blocks, transport, state] of [
      [undefined, 'websocket', 'online'],
      [/^\/ws/, 'sse', 'online'],
      [/^\/(ws|sse)/, 'longpoll', 'degraded'],
      [/^\/(ws|sse)|wait=25/, 'polling', 'degraded'],
      [undefined, 'websocket', 'online'],
    ]) {
      proxy.blocks = blocks;
      if (blocks) proxy.drop();
      for (const end = n + 4; n < end; n++) await page.publish(n);
      await until(() => client.status.transport === transport && client.state === state, `${transport}: it stays at ${client.status.transport}`);
    }
    await hasAll(page, () => 'down and up', n);
  });

  test('a proxy that keeps the body of a stream back: it is no connection before something comes, and polling is', async () => {
    const server = createServer(async (request, response) => {
      if (request.url.startsWith('/sse')) return response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      const answer = await fetch(broker.url + request.url, { headers: { authorization: request.headers.authorization } });
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      response.end(await answer.text());
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    atEnd(() => (server.closeAllConnections(), server.close()));
    const client = connect({ url: `http://127.0.0.1:${server.address().port}`, transports: ['sse', 'longpoll'], connectTimeoutMs: 1000, reprobeMs: 1e7 });
    const ups = [];
    client.onStatus(({ state, transport }) => (state === 'online' || state === 'degraded') && ups.push(transport));
    const page = await follow(client);
    await page.publish(0);
    await hasAll(page, () => 'polled', 1);
    assert.deepEqual([...new Set(ups)], ['longpoll']);
    client.close();
  });
});

/** The waits that a client announces, in ms, with Math.random as it is said. */
async function waitsOf(t, random, number, options) {
  const { random: before } = Math;
  t.after(() => (Math.random = before));
  Math.random = () => random;
  const client = connect(options);
  const waits = [];
  client.onStatus(({ state, retryAt }) => state === 'waiting' && waits.push(retryAt - Date.now()));
  client.subscribe('a:1', () => {});
  await until(() => waits.length >= number);
  client.close();
  Math.random = before;
  return waits.slice(0, number);
}

test('between attempts it waits a random part of a time that doubles, up to a limit', async (t) => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const options = { url, transports: ['websocket'], backoff: { minMs: 100, maxMs: 500 } };
  const most = await waitsOf(t, 0.999, 4, options);
  for (const [i, ms] of [100, 200, 400, 500].entries()) assert.ok(Math.abs(ms - most[i]) <= ms / 10, `${most}`);
  const least = await waitsOf(t, 0, 4, options);
  assert.ok(least.every((ms) => ms <= 10), `${least}`);
});

test('what the broker advises is waited for: goaway, Retry-After, retry', async (t) => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  atEnd(() => sockets.close());
  await new Promise((done) => sockets.on('listening', done));
  sockets.on('connection', (socket) => {
    socket.send('{"type":"welcome","session":"s","cursor":"k-0","ping_ms":25000,"limits":{"message_bytes":65536}}');
    socket.send('{"type":"goaway","retry_after_ms":7000,"jitter_ms":1000,"reason":"draining"}');
    socket.close(1001);
  });
  const url = (server) => `http://127.0.0.1:${server.address().port}`;
  const near = ([ms], expected) => assert.ok(Math.abs(ms - expected) <= expected / 20, `${ms}, not ${expected}`);
  near(await waitsOf(t, 0, 1, { url: url(sockets), transports: ['websocket'] }), 7000);
  near(await waitsOf(t, 0.5, 1, { url: url(sockets), transports: ['websocket'] }), 7500);

  const http = createServer((request, response) => {
    if (request.url.startsWith('/poll')) {
      response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '3' });
      return response.end('{"code":"draining","message":"the server is shutting down","retryable":true}');
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end('retry: 2500\n\nevent: cursor\nid: k-1\ndata: {"type":"cursor","cursor":"k-1"}\n\n');
  });
  atEnd(() => (http.closeAllConnections(), http.close()));
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  near(await waitsOf(t, 0, 1, { url: url(http), transports: ['longpoll'] }), 3000);
  near(await waitsOf(t, 0, 1, { url: url(http), transports: ['sse'] }), 2500);
});
