import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { h, hideAll, major, pass, show, StrictMode } from '../testlib/react.js';
import { setHidden } from '../testlib/dom.js';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { until } from '../../testlib/broker.js';

const { QueryClient, QueryClientProvider, useMutation, useQuery } = await import('@tanstack/react-query');
const { HookwireProvider } = await import('../dist/react.js');
const { bindQueryClient, useQuerySync } = await import('../dist/react-query.js');

const COALESCE_MS = 50;
let broker;
let uninstall;
let client;
let queryClient;
let ends;

beforeEach(() => {
  broker = createFakeBroker();
  uninstall = broker.install();
  client = createClient({ url: broker.url, getToken: () => broker.token(), lingerMs: 20, backoff: { minMs: 5, maxMs: 20 } });
  queryClient = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity, gcTime: Infinity }, mutations: { gcTime: Infinity } } }); // no timer of theirs keeps the test run alive
  ends = [];
});
afterEach(async () => {
  await hideAll();
  ends.forEach((end) => end());
  client.close();
  queryClient.clear();
  uninstall();
});

const bind = (options) => {
  const end = bindQueryClient(client, queryClient, options);
  ends.push(end);
  return end;
};
const isLive = (...topics) => until(() => topics.every((topic) => broker.sessions().some((session) => session.topics.includes(topic))), `${topics} are followed`);

/** The application's data, read by a query that is seen, and how often it was read. */
function watch(queryKey, read) {
  const of = { reads: 0, read };
  const query = queryClient.getQueryCache().build(queryClient, {
    queryKey,
    queryFn: async () => {
      of.reads++;
      return of.read();
    },
  });
  of.off = () => query.removeObserver(observer);
  const observer = { onQueryUpdate() {}, options: {}, isStale: () => false, getCurrentResult: () => ({ isStale: false }), shouldFetchOnWindowFocus: () => false, setOptions() {} };
  query.addObserver(observer);
  void query.fetch().catch(() => {});
  return of;
}
/** The beginning reads once more; what a test is about comes after it. */
async function settled(of, ...topics) {
  await isLive(...topics);
  await until(() => of.reads >= 2 && !queryClient.isFetching(), 'it was read again at the beginning');
  await pass(2 * COALESCE_MS);
  of.reads = 0;
}

describe(`React ${major}`, () => {
  test('events of a topic make its queries read again, once for all that come together', async () => {
    const data = { n: 0 };
    const gifts = watch(['gift-list', '1', 'gifts'], () => ({ ...data }));
    const others = watch(['gift-list', '2'], () => 'other');
    bind({ topics: ['gift-list:1'] });
    await settled(gifts, 'gift-list:1');
    data.n = 5;
    for (let n = 0; n < 5; n++) broker.publish('gift-list:1');
    await until(() => queryClient.getQueryData(['gift-list', '1', 'gifts']).n === 5);
    await pass(2 * COALESCE_MS);
    assert.equal(gifts.reads, 1);
    assert.equal(others.reads, 1);
  });

  test('however many bind to the same topic, it is read once', async () => {
    const gifts = watch(['gift-list', '1'], () => 'data');
    for (let n = 0; n < 10; n++) bind({ topics: ['gift-list:1'] });
    await settled(gifts, 'gift-list:1');
    broker.publish('gift-list:1');
    await until(() => gifts.reads === 1);
    await pass(3 * COALESCE_MS);
    assert.equal(gifts.reads, 1);
  });

  test('a pattern stands for all queries of its resource', async () => {
    const one = watch(['gift-list', '1'], () => 'data');
    bind({ topics: ['gift-list:*'] });
    await settled(one, 'gift-list:*');
    broker.gap();
    await until(() => one.reads === 1, 'a gap of the pattern');
    broker.publish('gift-list:1');
    await until(() => one.reads === 2, 'an event of one topic');
  });

  test('an event patches the data, and where it cannot, it is read', async () => {
    const gifts = watch(['gift-list', '1'], () => ['a']);
    bind({ topics: ['gift-list:1'], patch: (data, event) => (event.event === 'ADDED' ? [...new Set([...data, event.data.entity_id])] : undefined) });
    await settled(gifts, 'gift-list:1');
    broker.publish('gift-list:1', {}, { event: 'ADDED', entity: 'b' });
    broker.publish('gift-list:1', {}, { event: 'ADDED', entity: 'c' });
    await until(() => queryClient.getQueryData(['gift-list', '1']).length === 3);
    assert.deepEqual(queryClient.getQueryData(['gift-list', '1']), ['a', 'b', 'c']);
    assert.equal(gifts.reads, 0);
    broker.publish('gift-list:1', {}, { event: 'MOVED' });
    await until(() => gifts.reads === 1);
  });

  test('data that is null, 0 or empty is patched as any other', async () => {
    for (const [id, empty] of Object.entries([null, 0, '', false])) {
      const key = ['nothing', id];
      const gift = watch(key, () => empty);
      bind({ topics: [`nothing:${id}`], patch: (data, event) => (data === empty ? event.data.entity_id : data) });
      await settled(gift, `nothing:${id}`);
      broker.publish(`nothing:${id}`, {}, { event: 'ADDED', entity: 'b' });
      await until(() => queryClient.getQueryData(key) === 'b', `${JSON.stringify(empty)} is patched`, 2000);
    }
  });

  test('an event that comes while the query is read is applied to the answer, which may be older', async () => {
    let answer;
    const gifts = watch(['gift-list', '1'], () => ['a']);
    bind({ topics: ['gift-list:1'], patch: (data, event) => [...new Set([...data, event.data.entity_id])] });
    await settled(gifts, 'gift-list:1');
    gifts.read = () => new Promise((done) => (answer = () => done(['a'])));
    void queryClient.invalidateQueries({ queryKey: ['gift-list', '1'] });
    await until(() => answer);
    broker.publish('gift-list:1', {}, { entity: 'b' });
    await pass(3 * COALESCE_MS);
    answer();
    await until(() => !queryClient.isFetching());
    await until(() => queryClient.getQueryData(['gift-list', '1']).includes('b'), 'the event is in the data');
    assert.equal(gifts.reads, 1);
  });

  test('events that come faster than the answers do not keep the data from coming', async () => {
    let n = 0;
    const gifts = watch(['gift-list', '1'], () => 0);
    bind({ topics: ['gift-list:1'] });
    await settled(gifts, 'gift-list:1');
    gifts.read = () => new Promise((done) => setTimeout(done, 4 * COALESCE_MS, ++n));
    const timer = setInterval(() => broker.publish('gift-list:1'), COALESCE_MS / 2);
    try {
      await until(() => queryClient.getQueryData(['gift-list', '1']) >= 2, 'two answers');
    } finally {
      clearInterval(timer);
    }
    assert.ok(n <= queryClient.getQueryData(['gift-list', '1']) + 1, 'no answer was thrown away');
  });

  test('nothing is touched while a mutation runs, and it is afterwards', async () => {
    const gifts = watch(['gift-list', '1'], () => 'of the server');
    bind({ topics: ['gift-list:1'] });
    await settled(gifts, 'gift-list:1');
    let answer;
    const mutation = queryClient.getMutationCache().build(queryClient, {
      mutationFn: () => new Promise((done) => (answer = done)),
      onMutate: () => queryClient.setQueryData(['gift-list', '1'], 'optimistic'),
    });
    const ended = mutation.execute();
    await until(() => answer);
    broker.publish('gift-list:1');
    await pass(3 * COALESCE_MS);
    assert.equal(queryClient.getQueryData(['gift-list', '1']), 'optimistic');
    assert.equal(gifts.reads, 0);
    answer();
    await ended;
    await until(() => queryClient.getQueryData(['gift-list', '1']) === 'of the server');
  });

  test('mutations that are not meant hold nothing back', async () => {
    const gifts = watch(['gift-list', '1'], () => 'data');
    bind({ topics: ['gift-list:1'], mutations: { mutationKey: ['gift'] } });
    await settled(gifts, 'gift-list:1');
    const upload = queryClient.getMutationCache().build(queryClient, { mutationKey: ['upload'], mutationFn: () => new Promise(() => {}) });
    void upload.execute();
    broker.publish('gift-list:1');
    await until(() => gifts.reads === 1);
  });

  test('a gap makes it read again, also with a patch', async () => {
    const gaps = [];
    const gifts = watch(['gift-list', '1'], () => 'data');
    bind({ topics: ['gift-list:1'], patch: (data) => data, onGap: (gap) => gaps.push(gap.topics) });
    await settled(gifts, 'gift-list:1');
    broker.restart();
    await until(() => gifts.reads === 1);
    assert.deepEqual(gaps, [['gift-list:1']]);
  });

  test('what happened between the reading and the following is not missed', async () => {
    const data = { n: 1 };
    const gifts = watch(['gift-list', '1'], () => ({ ...data }));
    await until(() => queryClient.getQueryData(['gift-list', '1']));
    data.n = 2;
    broker.publish('gift-list:1'); // nobody listens yet
    bind({ topics: ['gift-list:1'] });
    await until(() => queryClient.getQueryData(['gift-list', '1']).n === 2);
    assert.equal(gifts.reads, 2);
  });

  test('who binds again goes on where it was, and does not read again', async () => {
    const seen = [];
    const gifts = watch(['gift-list', '1'], () => 'data');
    const options = { topics: ['gift-list:1'], patch: (data, event) => (seen.push(event.data.payload.n), data) };
    const end = bind(options);
    await settled(gifts, 'gift-list:1');
    end();
    await until(() => broker.connections === 0);
    broker.publish('gift-list:1', { n: 1 });
    bind(options);
    await until(() => seen.length);
    assert.deepEqual(seen, [1]);
    assert.equal(gifts.reads, 0);
  });

  test('a client that is closed before it began is no error', async () => {
    const rejected = [];
    const note = (error) => rejected.push(error);
    process.on('unhandledRejection', note);
    bind({ topics: ['gift-list:1'] });
    client.close();
    await pass(COALESCE_MS);
    process.off('unhandledRejection', note);
    assert.deepEqual(rejected, []);
  });

  test('what came before the end is still dealt with', async () => {
    const gifts = watch(['gift-list', '1'], () => 'data');
    const end = bind({ topics: ['gift-list:1'] });
    await settled(gifts, 'gift-list:1');
    broker.publish('gift-list:1');
    await pass(1); // it is there, and waits for others
    end();
    await until(() => gifts.reads === 1);
  });

  test('while there is no live connection data is read again and again, if the page is seen, and no more when it is live', async () => {
    const allow = broker.refuse({ transport: 'websocket' });
    client.close();
    client = createClient({ url: broker.url, getToken: () => broker.token(), transports: ['websocket'], backoff: { minMs: 5, maxMs: 20 } });
    const gifts = watch(['gift-list', '1'], () => 'data');
    bind({ topics: ['gift-list:1'], fallbackMs: 3 * COALESCE_MS });
    await until(() => gifts.reads >= 4);
    setHidden(true);
    await pass(2 * COALESCE_MS);
    const hidden = gifts.reads;
    await pass(8 * COALESCE_MS);
    assert.equal(gifts.reads, hidden);
    setHidden(false);
    await until(() => gifts.reads > hidden);
    allow();
    await until(() => client.state === 'online');
    await pass(3 * COALESCE_MS);
    const before = gifts.reads;
    await pass(8 * COALESCE_MS);
    assert.equal(gifts.reads, before);
  });

  test('the hook: a component is up to date, in StrictMode, with one socket, and none when it is gone', async () => {
    let server = 'first';
    let reads = 0;
    function List({ text }) {
      const { data } = useQuery({ queryKey: ['gift-list', '1'], queryFn: async () => (reads++, server) });
      useQuerySync({ topics: ['gift-list:1'] });
      return `${text} ${data}`;
    }
    const page = (text) => h(StrictMode, null, h(HookwireProvider, { client }, h(QueryClientProvider, { client: queryClient }, h(List, { text }))));
    const screen = await show(page('a'));
    await isLive('gift-list:1');
    await screen.update(page('b'));
    server = 'second';
    broker.publish('gift-list:1');
    await until(() => screen.text === 'b second');
    assert.equal(broker.opened, 1);
    await screen.hide();
    await until(() => broker.connections === 0);
    assert.ok(reads <= 4, `${reads} reads`);
  });

  test('the hook: an optimistic mutation is not overwritten by its own event', async () => {
    const server = { name: 'old' };
    const shown = new Set();
    let mutate;
    function Gift() {
      const { data } = useQuery({ queryKey: ['gift', '1'], queryFn: async () => ({ ...server }) });
      const mutation = useMutation({
        mutationFn: async (name) => {
          // the event comes while the answer is still under way, and a read would see the old name
          broker.publish('gift:1', {});
          await pass(3 * COALESCE_MS);
          server.name = name;
        },
        onMutate: (name) => queryClient.setQueryData(['gift', '1'], { name }),
      });
      useQuerySync({ topics: ['gift:1'] });
      mutate = mutation.mutate;
      shown.add(data?.name);
      return data?.name ?? '';
    }
    const screen = await show(h(HookwireProvider, { client }, h(QueryClientProvider, { client: queryClient }, h(Gift))));
    await isLive('gift:1');
    await until(() => screen.text === 'old' && !queryClient.isFetching());
    await pass(3 * COALESCE_MS);
    shown.clear();
    mutate('new');
    await until(() => screen.text === 'new');
    await pass(6 * COALESCE_MS);
    assert.deepEqual([...shown].at(-1), 'new');
    assert.ok(![...shown].slice([...shown].indexOf('new')).includes('old'), [...shown].join());
  });
});
