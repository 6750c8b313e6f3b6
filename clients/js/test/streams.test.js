/* What comes over a stream, byte for byte, and what becomes of the stream. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Broker, mint, until } from '../../testlib/broker.js';
import { atEnd, clientOf, followOf, proxyBefore } from '../testlib/client.js';

globalThis.WebSocket ??= WebSocket;

let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const connect = (options) => clientOf(broker, options);

/** What is published, as it stands: JSON.stringify would write it in its own way. */
async function publish(topic, payload) {
  const response = await fetch(`${broker.url}/publish`, {
    method: 'POST',
    headers: { authorization: `Bearer ${mint('backend')}`, 'content-type': 'application/json' },
    body: `{"topic":"${topic}","event":"UPDATED","data":{"entity_id":"e","payload":${payload}}}`,
  });
  assert.equal(response.status, 200, await response.text());
}

const PAYLOADS = [
  '"between lines\u2028and paragraphs\u2029"',
  '{\n"several":\r\n"lines",\r"of":\n\n"all kinds"\n}',
  '"id: 7\\nevent: gap\\ndata: {}"',
  '" data: "',
  '"🎁 ü \\u0000 \\ud83c"',
  '"\u0085\ufeff"',
  `"${'x'.repeat(60000)}"`,
  'null',
];

for (const transport of ['websocket', 'sse', 'longpoll', 'polling'])
  test(`${transport}: payloads come as they were published, whatever letters and lines they have`, async () => {
    const client = connect({ transports: [transport] });
    const got = [];
    client.subscribe(`odd-${transport}:1`, (event) => got.push(event.data.payload));
    await until(async () => {
      await publish(`odd-${transport}:1`, '"live?"');
      return got.length;
    });
    const before = got.length;
    for (const payload of PAYLOADS) await publish(`odd-${transport}:1`, payload);
    const wanted = PAYLOADS.map((payload) => JSON.parse(payload));
    await until(() => got.filter((payload) => payload !== 'live?').length >= wanted.length, `${transport}: ${got.length - before} of ${wanted.length}`, 5000);
    assert.ok(got.filter((payload) => payload !== 'live?').every((payload, i) => JSON.stringify(payload) === JSON.stringify(wanted[i])), transport);
    client.close();
  });

/** A server that plays the broker's HTTP; `answer` gets the request's path without its query, and the response. */
async function play(answer) {
  const server = createServer((request, response) => answer(request.url.split('?')[0], response, request));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  atEnd(() => (server.closeAllConnections(), server.close()));
  return `http://127.0.0.1:${server.address().port}`;
}

test('a stream that is not to be understood is left, and not only begun anew', async () => {
  let open = 0;
  let begun = 0;
  const url = await play((path, response) => {
    open++;
    begun++;
    response.on('close', () => open--);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('event: cursor\nid: k-1\ndata: {"type":"cursor","cursor":"k-1"}\n\nid: k-2\ndata: {"topic":\n\n'); // and it stays open
  });
  const client = connect({ url, transports: ['sse'] });
  client.subscribe('a:1', () => {});
  await until(() => begun >= 3);
  await until(() => open <= 1, `${open} are open`, 5000);
  client.close();
});

test('a gap that a better transport tells before it takes over is not lost', async () => {
  const polled = (response, gap) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ events: [], cursor: 'k-1', gap }));
  };
  const url = await play((path, response) => {
    if (path === '/poll') return polled(response, false);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('event: gap\ndata: {"type":"gap","topics":["a:1"],"reason":"retention"}\n\nevent: cursor\nid: k-9\ndata: {"type":"cursor","cursor":"k-9"}\n\n');
  });
  let isBlocked = true;
  const fetchOf = globalThis.fetch;
  globalThis.fetch = (address, ...rest) => (isBlocked && String(address).includes('/sse') ? Promise.reject(new TypeError('blocked')) : fetchOf(address, ...rest));
  atEnd(() => (globalThis.fetch = fetchOf));
  const client = connect({ url, transports: ['sse', 'polling'], reprobeMs: 300 });
  const gaps = [];
  client.subscribe('a:1', () => {}, { onGap: (gap) => gaps.push(gap.reason) });
  await until(() => client.status.transport === 'polling');
  isBlocked = false;
  await until(() => client.status.transport === 'sse');
  assert.deepEqual(gaps, ['retention']);
  client.close();
});

test('more topics than an address takes: that transport is left, and the connection is not given up', async () => {
  const client = connect({ transports: ['sse', 'websocket'], reprobeMs: 1e7 });
  const refused = [];
  const topics = Array.from({ length: 90 }, (_, i) => `${'long-'.repeat(40)}:${i}`);
  let got = 0;
  client.subscribe(topics, () => got++, { onError: (error, topic) => refused.push(topic) });
  await until(() => client.status.transport === 'websocket', 'the other transport', 5000);
  await until(async () => {
    await broker.publish(topics[89], {});
    return got;
  });
  assert.deepEqual(refused, []);
  client.close();

  const alone = connect({ transports: ['sse', 'longpoll'] });
  alone.subscribe(topics, () => {});
  await until(() => alone.status.message === 'HTTP 431', 'it is said why', 5000);
  alone.close();
});

/** A stream up to the event with that number, and no more: then it breaks. */
async function* upTo(n, body) {
  let text = '';
  for await (const bytes of body) {
    text += Buffer.from(bytes).toString();
    const [whole] = new RegExp(`^.*?"n":${n}\\b[^\\n]*\\n\\n`, 's').exec(text) ?? [];
    if (!whole) continue;
    yield Buffer.from(whole);
    throw new Error('broken');
  }
}

/** Follows a pattern, and waits until it is live, by a topic that nobody follows by name. */
async function followPattern(client, resource, onNumber = () => {}) {
  let isLive = false;
  client.subscribe(`${resource}:*`, ({ topic, data }) => (topic === `${resource}:other` ? (isLive = true) : onNumber(data.payload.n)));
  await until(async () => {
    await publish(`${resource}:other`, '{}');
    return isLive;
  }, `${resource}:* is live`);
}

const cut = (n, { body }) => new Response(Readable.toWeb(Readable.from(upTo(n, body))));

test('a stream breaks while it catches up, and then again and again what reads on for one topic: of no other one, nor of a pattern, anything is lost', async () => {
  const numbers = async (topic, ...all) => {
    for (const n of all) await publish(topic, `{"n":${n}}`);
  };
  const proxy = await proxyBefore(broker);
  const client = connect({ url: proxy.url, transports: ['sse'], backoff: { minMs: 1, maxMs: 5 } });
  const one = await followOf(broker, client, 'read:1');
  const two = await followOf(broker, client, 'read:2');
  const all = [];
  await followPattern(client, 'read', (n) => all.push(n));

  const fetchOf = globalThis.fetch;
  atEnd(() => (globalThis.fetch = fetchOf));
  let breaks = 3;
  globalThis.fetch = async (address, options) => {
    const { pathname, searchParams } = new URL(address);
    const isRead = pathname === '/sse' || (pathname === '/poll' && searchParams.get('topics').includes('read:2'));
    if (!breaks || !isRead) return fetchOf(address, options);
    if (breaks-- === 3) {
      assert.equal(pathname, '/sse');
      // the second topic's is the first that it gets, and there is more of both
      await numbers('read:2', 0);
      await numbers('read:1', 1);
      await numbers('read:2', 2, 3);
      await numbers('read:1', 4, 5);
      return cut(0, await fetchOf(address, options));
    }
    await numbers('read:2', 6 + breaks);
    throw new TypeError('broken');
  };
  proxy.drop();
  await until(() => breaks === 0 && client.state === 'online', 'it is live again');
  await numbers('read:1', 8);
  await until(() => all.filter((n) => n >= 0).length >= 9, 'all of it', 3000).catch(() => {});
  assert.deepEqual(one.numbers(), [1, 4, 5, 8]);
  assert.deepEqual(two.numbers(), [0, 2, 3, 7, 6]);
  assert.deepEqual(all.filter((n) => n >= 0).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('what breaks in the middle of catching up goes on from there, over WebSocket as over a stream', async () => {
  const SENT = 60;
  const WebSocketOf = globalThis.WebSocket;
  const fetchOf = globalThis.fetch;
  atEnd(() => Object.assign(globalThis, { WebSocket: WebSocketOf, fetch: fetchOf }));
  let onAsked; // with the cursors
  globalThis.WebSocket = class extends WebSocketOf {
    send(text) {
      const { type, topics } = JSON.parse(text);
      if (type === 'subscribe') onAsked?.(topics.map(({ cursor }) => cursor)); // its next bytes are cut in the middle
      super.send(text);
    }
  };
  globalThis.fetch = async (address, options) => {
    const { pathname, searchParams } = new URL(address);
    const isCut = pathname === '/sse' && onAsked?.([searchParams.get('cursor')]);
    const response = await fetchOf(address, options);
    return isCut ? cut(SENT / 2, response) : response;
  };
  for (const transport of ['websocket', 'sse']) {
    const proxy = await proxyBefore(broker);
    const client = connect({ url: proxy.url, transports: [transport], backoff: { minMs: 1, maxMs: 20 } });
    const topic = `middle-${transport}:1`;
    const ids = [];
    const { numbers } = await followOf(broker, client, topic);
    client.subscribe(topic, ({ id, data }) => data.payload.n >= 0 && ids.push(id));
    await followPattern(client, `middle-${transport}`);
    let isInTheMiddle = false;
    onAsked = (cursors) => {
      if (ids.length) assert.deepEqual(new Set(cursors), new Set([ids.at(-1)]), `${transport}, behind ${ids.length}`);
      isInTheMiddle ||= ids.length > 0 && ids.length < SENT;
      if (!isInTheMiddle && transport === 'websocket') proxy.truncate();
      return !isInTheMiddle;
    };
    proxy.mode = 'refuse';
    proxy.drop();
    for (let n = 0; n < SENT; n++) await publish(topic, `{"n":${n},"filler":"${'x'.repeat(4000)}"}`);
    proxy.mode = 'pass';
    await until(() => ids.length >= SENT, `${transport}: all of it, ${ids.length}`);
    assert.deepEqual(numbers(), Array.from({ length: SENT }, (_, n) => n), transport);
    assert.ok(isInTheMiddle, `${transport} broke`);
    onAsked = undefined;
    client.close();
  }
});

test('what is followed from now on beside it is not caught up', async () => {
  const WebSocketOf = globalThis.WebSocket;
  atEnd(() => (globalThis.WebSocket = WebSocketOf));
  let breaks = 0;
  const proxy = await proxyBefore(broker);
  globalThis.WebSocket = class extends WebSocketOf {
    send(text) {
      if (text.includes('"subscribe"') && breaks-- > 0) proxy.truncate(); // its next bytes are cut in the middle
      super.send(text);
    }
  };
  const client = connect({ url: proxy.url, transports: ['websocket'], backoff: { minMs: 1, maxMs: 20 } });
  const { numbers } = await followOf(broker, client, 'beside:1');
  proxy.mode = 'refuse';
  proxy.drop();
  for (let n = 0; n < 60; n++) await publish('beside:1', `{"n":${n},"filler":"${'x'.repeat(4000)}"}`);
  await publish('beside:2', '{"n":0}');
  const got = [];
  client.subscribe('beside:2', (event) => got.push(event.data.payload.n));
  breaks = 2;
  proxy.mode = 'pass';
  await until(() => numbers().length === 60);
  await until(async () => {
    await publish('beside:2', '{"n":1}');
    return got.includes(1);
  });
  assert.ok(breaks < 0);
  assert.equal(got[0], 1);
});
