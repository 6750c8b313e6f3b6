/* Data of the page's own and what happened to it since: when it comes, and that nothing is missing between the two. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { createClient as createSmall } from '../dist/ws.js';
import { Broker, until } from '../../testlib/broker.js';
import { atEnd, clientOf, proxyBefore } from '../testlib/client.js';

globalThis.WebSocket ??= WebSocket;

let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const connect = (options, create) => clientOf(broker, options, create);
const startProxy = () => proxyBefore(broker);
const WAYS = [[createClient, 'websocket'], [createClient, 'sse'], [createClient, 'longpoll'], [createClient, 'polling'], [createSmall, 'websocket']];
const nameOf = ([create, transport]) => `${transport}${create === createSmall ? ' (ws)' : ''}`;

/** A row of the page's own, and who changes it: first the row, then the event. */
class Row {
  n = 0;
  reads = 0;
  constructor(topic) {
    this.topic = topic;
  }
  async change() {
    this.n++;
    await broker.publish(this.topic, { n: this.n });
  }
  read = async () => {
    this.reads++;
    return this.n;
  };
}
/** A page that shows the row. */
async function show(client, row, fetcher = row.read) {
  const page = { shown: undefined, log: [] };
  const put = (n, from) => {
    page.shown = n;
    page.log.push(`${from} ${n}`);
  };
  const { data, ...rest } = await client.snapshot(row.topic, fetcher, (event) => put(event.data.payload.n, 'event'), { onData: (data) => put(data, 'data') });
  put(data, 'first');
  return Object.assign(page, rest);
}

test('the data is read as soon as there is a cursor: no connection is waited for, and what happens until there is one comes behind it', async () => {
  const proxy = await startProxy();
  proxy.blocks = /^\/ws/;
  const client = connect({ url: proxy.url, transports: ['websocket'] });
  const row = new Row('early:1');
  const page = await show(client, row);
  assert.ok(page.cursor);
  for (let i = 0; i < 3; i++) await row.change();
  assert.equal(page.shown, 0);
  assert.notEqual(client.state, 'online');
  proxy.blocks = undefined;
  await until(() => page.shown === 3, `${page.log}`);
  assert.deepEqual(page.log, ['first 0', 'event 1', 'event 2', 'event 3']);
  assert.equal(row.reads, 1, 'once is enough');
});

test('where something is live the data is read at once: nothing is asked for', async () => {
  const proxy = await startProxy();
  const client = connect({ url: proxy.url });
  const row = new Row('now:1');
  await show(client, new Row('other:1'));
  await until(() => client.state === 'online');
  proxy.seen.length = 0;
  const page = await show(client, row);
  await row.change();
  await until(() => page.shown === 1);
  assert.deepEqual(proxy.seen, []);
});

test('many who begin together ask for the cursor once', async () => {
  const proxy = await startProxy();
  const client = connect({ url: proxy.url });
  const asked = () => proxy.seen.filter((path) => path.startsWith('/cursor')).length;
  const cursors = await Promise.all(Array.from({ length: 20 }, () => client.cursor()));
  assert.equal(new Set(cursors).size, 1);
  assert.equal(asked(), 1);
  await client.cursor();
  assert.equal(asked(), 2, 'a later one is another');
  await Promise.all(Array.from({ length: 5 }, (_, i) => show(client, new Row(`many:${i}`))));
  assert.equal(asked(), 3);
  proxy.mode = 'refuse';
  proxy.drop();
  const gone = connect({ url: proxy.url });
  await assert.rejects(Promise.all([gone.cursor(), gone.cursor()]), { code: 'lost' });
  proxy.mode = 'pass';
  assert.ok(await gone.cursor(), 'a failure is not kept');
});

test('a broker that starts again without a store while the data is read: it is read again', async () => {
  for (const way of WAYS) {
    const [create, transport] = way;
    const client = connect({ transports: [transport] }, create);
    const row = new Row(`restart-${transport}-${create === createSmall ? 'small' : 'all'}:1`);
    const page = await show(client, row, async () => {
      const n = await row.read();
      if (row.reads > 1) return n;
      await row.change(); // for a journal that will be gone
      await broker.restart();
      return n;
    });
    await until(() => page.shown === 1, `${nameOf(way)}: ${page.log}`);
    await row.change();
    await until(() => page.shown === 2, `${nameOf(way)}: ${page.log}`);
    client.close();
  }
});

test('the cursor that a snapshot gives is of before the read: who goes on from it later misses nothing', async () => {
  for (const way of WAYS) {
    const [create, transport] = way;
    const client = connect({ transports: [transport] }, create);
    const row = new Row(`later-${transport}-${create === createSmall ? 'small' : 'all'}:1`);
    const live = await show(client, row);
    await row.change();
    await until(() => live.shown === 1);
    const page = await show(client, row, async () => {
      const n = await row.read();
      await row.change();
      await until(() => live.shown === row.n, 'the client has it before the data is there');
      return n;
    });
    const got = [];
    connect().subscribe(row.topic, (event) => got.push(event.data.payload.n), { cursor: page.cursor });
    await until(() => got.includes(2), `${nameOf(way)}: ${got}`);
    client.close();
  }
});

test('what is read again because of a gap is not followed by what was read before it', async () => {
  const fake = createFakeBroker();
  atEnd(fake.install());
  const client = createClient({ url: fake.url, getToken: () => fake.token('alice') });
  atEnd(() => client.close());
  const answers = [];
  const page = show(client, { topic: 'order:1' }, () => new Promise((done) => answers.push(done)));
  await until(() => answers.length && client.state === 'online' && fake.sessions()[0]?.topics.length, 'it reads, and is live');
  fake.gap();
  // as a server may answer: the second one first, if both were asked
  await until(() => answers.length > 1, '', 50).catch(() => {});
  answers[1]?.('new');
  answers[0]('old');
  const { log } = await page;
  await until(() => answers.length > 1, 'it reads again');
  answers[1]('new');
  await until(() => log.at(-1) === 'data new', `${log}`);
  assert.deepEqual(log, ['first old', 'data new']);
});
