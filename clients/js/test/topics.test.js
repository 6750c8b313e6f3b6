/* What topics are called, how many there are, and their past: the same over every transport. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { createClient as createSmall } from '../dist/ws.js';
import { Broker, until } from '../../testlib/broker.js';
import { clientOf, followOf, isUp, proxyBefore, TRANSPORTS } from '../testlib/client.js';

/** Counts what is sent. */
const sent = [];
globalThis.WebSocket = class extends WebSocket {
  send(text) {
    sent.push(JSON.parse(text));
    super.send(text);
  }
};

const range = (n) => Array.from({ length: n }, (_, i) => i);

let broker;
before(async () => (broker = await Broker.start({ limits: { topics_per_session: 5000 }, tenants: { '*': { hooks: [{ name: 'open', lua: 'open.lua' }], limits: { subscriptions: 100000, publish_per_s: 10000 } } } })));
after(() => broker.stop());

const follow = (client, topic, options) => followOf(broker, client, topic, options);
const connect = (options, create) => clientOf(broker, options, create);

test('what is no topic is refused as such, and never read as something else: an address has nothing of it', async () => {
  const odd = ['a:1&cursor=x', 'a:1,b:2', 'a:1#x', 'a:1%2Cb:2', 'a:ü', 'a: 1', 'a:1+2', '', 'a:**', `a:${'x'.repeat(300)}`];
  for (const transport of TRANSPORTS) {
    const proxy = await proxyBefore(broker);
    const client = connect({ url: proxy.url, transports: [transport] });
    const errors = [];
    client.subscribe(odd, () => {}, { onError: ({ code }, topic) => errors.push([topic, code]) });
    const { numbers } = await follow(client, `odd-${transport}:1`);
    await until(() => errors.length === odd.length, `${transport}: ${JSON.stringify(errors)}`);
    assert.deepEqual(errors.sort(), odd.map((topic) => [topic, 'bad_request']).sort(), transport);
    await broker.publish(`odd-${transport}:1`, { n: 1 });
    await until(() => numbers().length === 1, `${transport}: the others go on`);
    assert.equal(errors.length, odd.length, 'each is told once');
    assert.deepEqual(proxy.seen.filter((path) => /[#%+ü ]|=x/.test(path.replace(/cursor=[^&]*/, ''))), [], transport);
    client.close();
  }
});

test('what a topic begins with may be wrong: it is refused alone, over every transport', async () => {
  for (const transport of TRANSPORTS) {
    const client = connect({ transports: [transport] });
    const errors = [];
    const onError = ({ code }, topic) => errors.push([topic, code]);
    client.subscribe('stored:1', () => {}, { onError, cursor: 'no cursor at all' });
    client.subscribe('newest:*', () => {}, { onError, last: true });
    const { numbers } = await follow(client, `begin-${transport}:1`);
    await until(() => errors.length === 2, `${transport}: ${JSON.stringify(errors)}`);
    assert.deepEqual(errors.sort(), [['newest:*', 'bad_request'], ['stored:1', 'bad_request']], transport);
    await broker.publish(`begin-${transport}:1`, { n: 1 });
    await until(() => numbers().length === 1, transport);
    assert.equal(errors.length, 2, 'each is told once');
    client.close();
  }
});

test('the history of a topic and of a pattern is the same over every transport', async () => {
  const ids = [];
  for (const n of range(3)) ids.push(await broker.publish(`past:${n}`, { n }));
  for (const transport of TRANSPORTS) {
    const client = connect({ transports: [transport] });
    for (const [topic, expected] of [['past:1', [1]], ['past:*', [0, 1, 2]]])
      assert.deepEqual((await client.history(topic)).events.map((event) => event.data.payload.n), expected, `${transport} ${topic}`);
    const page = await client.history('past:*', { limit: 2, cursor: ids[0] });
    assert.deepEqual(page.events.map((event) => event.data.payload.n), [1, 2]);
    await assert.rejects(client.history('past:1&limit=1'), { code: 'bad_request' }, transport);
    await assert.rejects(client.history('secret:1'), { code: 'forbidden_topic' }, transport);
    client.close();
  }
});

test('what a page of history lacks is told in it, and not to who follows the topic and has lost nothing', async () => {
  for (const transport of TRANSPORTS) {
    const client = connect({ transports: [transport] });
    const gaps = [];
    await follow(client, 'whole:1', { onGap: (gap) => gaps.push(gap) });
    const page = await client.history('whole:1', { cursor: 'zz9zz-41' });
    assert.equal(page.gap, true, transport);
    await client.publish({ topic: 'whole:1', event: 'ADDED', data: { entity_id: 'x', payload: { n: 1 } } });
    assert.deepEqual(gaps, [], transport);
    client.close();
  }
});

test('what is subscribed and left together is told together', async () => {
  for (const create of [createClient, createSmall]) {
    const client = connect({}, create);
    await follow(client, 'first:1');
    sent.length = 0;
    const offs = range(120).map((i) => client.subscribe(`together:${i}`, () => {}));
    await until(() => sent.filter(({ type }) => type === 'subscribe').flatMap(({ topics }) => topics).length === 120);
    assert.equal(sent.length, 3, 'so many as the messages of at most 50 topics are');
    sent.length = 0;
    for (const off of offs) off();
    await until(() => sent.flatMap(({ topics = [] }) => topics).length === 120);
    assert.ok(sent.length <= 3, `${sent.length} messages`); // their timers end in more than one turn, maybe
    client.close();
  }
});

test('a topic that several follow is subscribed to once, and left a while behind the last of them', async () => {
  for (const create of [createClient, createSmall]) {
    const client = connect({ lingerMs: 300 }, create);
    await follow(client, 'shared:0');
    sent.length = 0;
    const about = () => sent.filter(({ topics = [] }) => topics.some((topic) => (topic.topic ?? topic) === 'shared:1')).map(({ type }) => type);
    const got = [[], []];
    const offs = got.map((list) => client.subscribe('shared:1', (event) => list.push(event.data.payload.n)));
    await until(async () => {
      await broker.publish('shared:1', { n: -1 });
      return got[0].length && got[1].length;
    });
    offs[0]();
    const number = got[0].length;
    await broker.publish('shared:1', { n: 1 });
    await until(() => got[1].includes(1));
    assert.equal(got[0].length, number, 'who has left hears nothing');
    offs[1]();
    offs[1](); // once is enough
    const again = client.subscribe('shared:1', (event) => got[0].push(event.data.payload.n));
    await broker.publish('shared:1', { n: 2 });
    await until(() => got[0].includes(2));
    assert.deepEqual(about(), ['subscribe'], 'nothing was said in the meantime');
    again();
    await until(() => about().includes('unsubscribe'));
    assert.deepEqual(about(), ['subscribe', 'unsubscribe']);
    client.close();
  }
});

test('what comes while a topic is left, and nobody hears it, is there for who goes on later', async () => {
  for (const [transport, create] of [...TRANSPORTS.map((name) => [name, createClient]), ['websocket', createSmall]]) {
    const client = connect({ transports: [transport], lingerMs: 300 }, create);
    const got = { later: [], other: [] };
    const join = (name, options) => client.subscribe(`${name}-${transport}:1`, (event) => got[name].push(event.data.payload.n), options);
    const publish = (name, n) => broker.publish(`${name}-${transport}:1`, { n });
    const offs = { later: join('later'), other: join('other') };
    await until(async () => {
      for (const name of Object.keys(got)) await publish(name, 0);
      return got.later.length && got.other.length;
    }, transport);
    const cursor = offs.later();
    await publish('later', 1);
    await publish('other', 1);
    await until(() => got.other.includes(1), 'so it has come too');
    offs.other();
    await until(() => client.state === 'idle');
    got.later = [];
    join('later', { cursor });
    await publish('later', 2);
    await until(() => got.later.includes(2));
    assert.deepEqual(got.later.filter((n) => n), [1, 2], transport);
    client.close();
  }
});

test('who begins where the topic itself still begins is not late: nothing is read for each of them', async (t) => {
  const { fetch } = globalThis;
  t.after(() => (globalThis.fetch = fetch));
  let asked = 0;
  globalThis.fetch = (address, ...rest) => ((asked += String(address).includes('/history')), fetch(address, ...rest));
  for (const [transport, create] of [...TRANSPORTS.map((name) => [name, createClient]), ['websocket', createSmall]]) {
    const topic = `rows-${transport}:1`;
    const cursor = await broker.publish(topic, { n: 0 });
    await broker.publish(topic, { n: 1 });
    const client = connect({ transports: [transport] }, create);
    const gaps = [];
    const rows = range(5).map(() => []);
    for (const row of rows) client.subscribe(topic, (event) => row.push(event.data.payload.n), { cursor, onGap: (gap) => gaps.push(gap) });
    await until(() => rows.every((row) => row.length), transport);
    await broker.publish(topic, { n: 2 });
    await until(() => rows.every((row) => row.includes(2)), transport);
    assert.deepEqual([rows, gaps, asked], [rows.map(() => [1, 2]), [], 0], transport);
    client.close();
  }
});

test('who begins while the topic recovers gets what has come already', async (t) => {
  const fake = createFakeBroker();
  t.after(fake.install());
  const client = connect({ url: fake.url, getToken: () => fake.token(), transports: ['websocket'] });
  const got = [[], []];
  const join = (i, options) => client.subscribe('mid:1', (event) => (got[i].push(event.data.payload.n), event.data.payload.n === 1 && i === 0 && join(1, { cursor })), options);
  join(0);
  await until(() => fake.sessions().length && client.state === 'online');
  await until(() => fake.publish('mid:1', { n: -1 }) && got[0].length);
  const cursor = fake.publish('mid:1', { n: 0 });
  await until(() => got[0].includes(0));
  fake.disconnect();
  for (const n of [1, 2]) fake.publish('mid:1', { n });
  await until(() => got[1].includes(2));
  assert.deepEqual(got[1], [1, 2]);
});

test('thousands of topics, each with somebody of its own who follows it', async () => {
  const client = connect();
  const got = new Set();
  for (const i of range(3000)) client.subscribe(`many:${i}`, () => got.add(i));
  await until(async () => {
    await broker.publish('many:2999', {});
    return got.has(2999);
  });
  for (const i of [0, 1500, 2998]) await broker.publish(`many:${i}`, {});
  await until(() => got.size === 4);
  client.close();
});
