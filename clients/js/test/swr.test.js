import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { h, hideAll, major, pass, show, StrictMode } from '../testlib/react.js';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { until } from '../../testlib/broker.js';

const { default: useSWR, SWRConfig } = await import('swr');
const { default: useSWRSubscription } = await import('swr/subscription');
const { HookwireProvider } = await import('../dist/react.js');
const { subscription, useLiveSWR } = await import('../dist/swr.js');

const COALESCE_MS = 50;
let broker;
let uninstall;
let client;

beforeEach(() => {
  broker = createFakeBroker();
  uninstall = broker.install();
  client = createClient({ url: broker.url, getToken: () => broker.token(), lingerMs: 20, backoff: { minMs: 5, maxMs: 20 } });
});
afterEach(async () => {
  await hideAll();
  client.close();
  uninstall();
});

const isLive = (topic) => until(() => broker.sessions().some((session) => session.topics.includes(topic)), `${topic} is followed`);
const SETTINGS = { provider: () => new Map(), dedupingInterval: 0, revalidateOnFocus: false, revalidateOnReconnect: false };
const page = (...children) => h(StrictMode, null, h(SWRConfig, { value: SETTINGS }, h(HookwireProvider, { client }, ...children)));

/** Without a cache of its own: useSWRSubscription has none in StrictMode, it is taken away before it is given. */
const plainPage = (...children) => h(StrictMode, null, h(HookwireProvider, { client }, ...children));

/** A component that shows the data of a key, and how often it was read. */
function make(read, options = {}) {
  const of = { reads: 0, read };
  of.Data = function Data({ name = ['list', 1] }) {
    of.swr = useLiveSWR(name, async () => (of.reads++, of.read()), { topics: ['list:1'], ...options });
    return JSON.stringify(of.swr.data ?? null);
  };
  return of;
}
async function settled(of) {
  await isLive('list:1');
  await until(() => of.reads >= 2 && !of.swr.isValidating, 'it was read again at the beginning');
  await pass(3 * COALESCE_MS);
  of.reads = 0;
}

describe(`React ${major}`, () => {
  test('useSWRSubscription: the newest event, or what is made of all, is the data', async () => {
    const Newest = () => useSWRSubscription('newest', subscription(client, 'a:1')).data?.data.payload.n ?? '-';
    const Sum = () => useSWRSubscription('sum', subscription(client, ['a:1'], (sum = 0, event) => sum + event.data.payload.n)).data ?? '-';
    const screen = await show(plainPage(h(Newest, { key: 1 }), ' ', h(Sum, { key: 2 })));
    await isLive('a:1');
    broker.publish('a:1', { n: 2 });
    broker.publish('a:1', { n: 3 });
    await until(() => screen.text === '3 5', `it shows ${screen.text}`);
    assert.equal(broker.opened, 1);
    await screen.hide();
    await until(() => broker.connections === 0, 'no socket is left');
  });

  test('useSWRSubscription: a refusal is the error', async () => {
    uninstall();
    broker = createFakeBroker({ authorize: () => false });
    uninstall = broker.install();
    const Newest = () => useSWRSubscription('refused', subscription(client, 'a:1')).error?.code ?? '-';
    const screen = await show(plainPage(h(Newest)));
    await until(() => screen.text === 'forbidden_topic');
  });

  test('an event makes it read again: once for many events, and many components', async () => {
    const of = make(() => of.reads);
    const screen = await show(page(...[1, 2, 3].map((key) => h(of.Data, { key }))));
    await settled(of);
    for (let n = 0; n < 5; n++) broker.publish('list:1');
    await until(() => of.reads === 1);
    await pass(3 * COALESCE_MS);
    assert.equal(of.reads, 1);
    assert.equal(screen.text, '111');
    assert.equal(broker.opened, 1);
    await screen.hide();
    await until(() => broker.connections === 0, 'no socket is left');
  });

  test('an event patches the data, and where it cannot, it is read', async () => {
    const of = make(() => ['a'], { patch: (data, event) => (event.event === 'ADDED' ? [...new Set([...data, event.data.entity_id])] : undefined) });
    const screen = await show(page(h(of.Data)));
    await settled(of);
    broker.publish('list:1', {}, { event: 'ADDED', entity: 'b' });
    broker.publish('list:1', {}, { event: 'ADDED', entity: 'c' });
    await until(() => screen.text === '["a","b","c"]', 'patched');
    assert.equal(of.reads, 0);
    broker.publish('list:1', {}, { event: 'MOVED' });
    await until(() => of.reads === 1 && screen.text === '["a"]', 'read');
  });

  test('data that is null or 0 is patched as any other', async () => {
    for (const empty of [null, 0]) {
      const of = make(() => empty, { patch: (data, event) => (data === empty ? event.data.entity_id : data) });
      const screen = await show(page(h(of.Data)));
      await settled(of);
      broker.publish('list:1', {}, { event: 'ADDED', entity: 'b' });
      await until(() => screen.text === '"b"', `${empty} is patched`, 2000);
      await screen.hide();
    }
  });

  test('an event that comes while it is read is applied to the answer', async () => {
    let answer;
    const of = make(() => ['a'], { patch: (data, event) => [...new Set([...data, event.data.entity_id])] });
    const screen = await show(page(h(of.Data)));
    await settled(of);
    of.read = () => new Promise((done) => (answer = () => done(['a', 'x'])));
    void of.swr.mutate();
    await until(() => answer);
    broker.publish('list:1', {}, { entity: 'b' });
    await pass(3 * COALESCE_MS);
    answer();
    await until(() => screen.text === '["a","x","b"]', 'both are there');
  });

  test('an optimistic change is left alone, and can be taken back', async () => {
    const of = make(() => ['a'], { patch: (data, event) => [...new Set([...data, event.data.entity_id])] });
    const screen = await show(page(h(of.Data)));
    await settled(of);
    let refuse;
    const changed = of.swr.mutate(() => new Promise((_, fail) => (refuse = () => fail(new Error('no')))), { optimisticData: ['a', 'mine'], rollbackOnError: true, revalidate: false });
    await until(() => screen.text === '["a","mine"]', 'it is shown at once');
    broker.publish('list:1', {}, { entity: 'b' });
    await pass(3 * COALESCE_MS);
    assert.equal(screen.text, '["a","mine"]');
    refuse();
    await assert.rejects(changed);
    await until(() => screen.text === '["a","b"]', 'it is taken back, and the event is there');
  });

  test('a gap makes it read again', async () => {
    const of = make(() => 'data', { patch: (data) => data });
    await show(page(h(of.Data)));
    await settled(of);
    broker.gap();
    await until(() => of.reads === 1);
  });

  test('without a key nothing is followed', async () => {
    const of = make(() => 'data');
    await show(page(h(of.Data, { name: null })));
    await pass(3 * COALESCE_MS);
    assert.equal(broker.opened, 0);
  });

  test('who is shown again goes on where it was', async () => {
    const seen = [];
    const of = make(() => 'data', { patch: (data, event) => (seen.push(event.data.payload.n), data), revalidateIfStale: false });
    const screen = await show(page(h(of.Data, { key: 1 })));
    await settled(of);
    await screen.update(page('nothing'));
    await until(() => broker.connections === 0);
    broker.publish('list:1', { n: 1 });
    await screen.update(page(h(of.Data, { key: 1 })));
    await until(() => seen.length);
    assert.deepEqual(seen, [1]);
    assert.equal(of.reads, 0);
  });

  test('while there is no live connection it is read again and again', async () => {
    client.close();
    client = createClient({ url: broker.url, getToken: () => broker.token(), transports: ['websocket'], backoff: { minMs: 5, maxMs: 20 } });
    const allow = broker.refuse({ transport: 'websocket' });
    const of = make(() => 'data', { fallbackMs: COALESCE_MS });
    await show(page(h(of.Data)));
    await until(() => of.reads >= 5);
    allow();
    await until(() => client.state === 'online');
    await pass(4 * COALESCE_MS);
    const before = of.reads;
    await pass(6 * COALESCE_MS);
    assert.equal(of.reads, before);
  });
});
