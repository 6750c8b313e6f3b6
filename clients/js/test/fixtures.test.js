/* The client takes everything that a broker says (tests/fixtures/protocol), without a broker. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { createClient } from '../dist/index.js';
import { until } from '../../testlib/broker.js';
import { fixture, fixtures } from '../../testlib/fixtures.js';

const TOPIC = 'gift-list:family-123'; // of the fixtures' events
const real = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch };
const clients = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  Object.assign(globalThis, real);
});

/** A client that follows two topics; `got` are the events that it was given, `statuses` what it went through, `errors` what it was told of the topics. */
function follow(transport) {
  const client = createClient({ url: 'http://broker.test', transports: [transport], getToken: () => 'a-token' });
  clients.push(client);
  const got = [];
  const statuses = [];
  client.onStatus((status) => statuses.push(status));
  const errors = [];
  client.subscribe([TOPIC, 'a:1'], (event) => got.push(event), { onError: ({ code }) => errors.push(code) });
  return { client, got, statuses, errors };
}

const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
};

/** A socket that is open at once; it welcomes, and answers each request as a fixture does. */
function fakeSocket() {
  return new Promise((done) => {
    globalThis.WebSocket = class {
      readyState = 1;
      constructor() {
        setImmediate(() => {
          this.onopen?.();
          this.say(fixture('broker', 'welcome'));
          setImmediate(() => done(this)); // behind the answer to its subscription
        });
      }
      say(data) {
        this.onmessage?.({ data });
      }
      send(text) {
        const { id, topics } = JSON.parse(text);
        const results = topics?.map((one) => [one.topic ?? one, { ok: true, cursor: 'k3f9a-0' }]);
        if (results && id !== undefined) setImmediate(() => this.say(JSON.stringify({ type: 'reply', id, ok: true, topics: Object.fromEntries(results) })));
      }
      close() {}
    };
  });
}

const said = fixtures('broker').filter(({ type, error, plain }) => !plain && (!error || type === null));

for (const { name, type, text } of said)
  test(`WebSocket: ${name}`, async () => {
    const opened = fakeSocket();
    const { client, got } = follow('websocket');
    const socket = await opened;
    assert.equal(client.state, 'online');
    socket.say(text); // what it throws fails the test
    socket.say(text); // again: what has an id is given once
    await turns();
    assert.equal(client.state, 'online');
    const isKept = type === 'event' && JSON.parse(text).id !== undefined;
    assert.deepEqual(got, type === 'event' ? Array(isKept ? 1 : 2).fill(JSON.parse(text)) : []);
  });

test('there are messages of every kind', () => {
  const kinds = new Set(said.map(({ type }) => type));
  for (const kind of ['event', 'welcome', 'reply', 'ack', 'error', 'gap', 'unsubscribed', 'present', 'goaway', 'pong', 'cursor', null]) assert.ok(kinds.has(kind), String(kind));
});

test('WebSocket: a publish has each answer that there is', async () => {
  const opened = fakeSocket();
  const { client } = follow('websocket');
  const socket = await opened;
  for (const { name, type, text } of said.filter((one) => one.type === 'ack' || one.type === 'error')) {
    const answer = JSON.parse(text);
    if (answer.id === undefined || answer.retryable) continue; // what may be tried again is tried again
    socket.send = (message) => setImmediate(() => socket.say(JSON.stringify({ ...answer, id: JSON.parse(message).id })));
    const published = client.publish({ topic: TOPIC, event: 'UPDATED', data: { entity_id: 'e' } }, { timeoutMs: 1000 });
    if (type === 'ack') assert.equal((await published).id, answer.event_id, name);
    else await assert.rejects(published, { code: answer.code }, name);
  }
});

test('Server-Sent Events: every block, in whatever pieces it comes', async () => {
  const streams = [];
  globalThis.fetch = async () => {
    let stream;
    const body = new ReadableStream({ start: (controller) => void (stream = controller) });
    streams.push(stream);
    return new Response(body, { status: 200, headers: { 'content-type': 'text/event-stream' } });
  };
  const { client, got, statuses } = follow('sse');
  const blocks = fixtures('sse');
  const say = (block) => {
    const bytes = new TextEncoder().encode(block.text);
    for (let i = 0; i < bytes.length; i += 7) streams[0].enqueue(bytes.subarray(i, i + 7));
  };
  await until(() => streams.length, 'a stream');
  say(blocks.find(({ event }) => event === 'cursor'));
  await until(() => client.state === 'online', 'it is live');
  for (const block of blocks.filter(({ event }) => event !== 'closed')) say(block);
  // two of the blocks are one event, and one has no id
  await until(() => got.length === 2, 'its events');
  assert.equal(client.state, 'online');
  const closed = blocks.find(({ event }) => event === 'closed'); // its token has expired
  say(closed);
  await until(() => streams.length > 1 || statuses.some(({ code }) => code === JSON.parse(closed.data).code), 'that it ended is heard');
  assert.notEqual(client.state, 'online');
});

for (const { name, status, text } of fixtures('http').filter(({ schema, error }) => !error && (schema === 'Page' || schema === 'Error')))
  test(`polling: ${name}`, async () => {
    globalThis.fetch = async () => new Response(text, { status });
    const { got, statuses, errors } = follow('polling');
    const { events, code, retryable } = JSON.parse(text);
    const isTooLong = status === 431; // too many topics for an address: a matter of the transport
    // what else is wrong with a request is wrong with the topics that it is about
    if (code === 'bad_request' && !isTooLong) return until(() => errors.filter((one) => one === code).length === 2, 'that its topics are refused');
    const state = status === 200 ? 'degraded' : retryable || isTooLong ? 'waiting' : 'failed';
    await until(() => statuses.some((one) => one.state === state && (state === 'degraded' || isTooLong || one.code === code)), `${state} ${code}`);
    if (events) await until(() => got.length === events.length, 'its events');
    assert.deepEqual(got, events ?? []);
  });
