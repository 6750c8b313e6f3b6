import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { act, h, hideAll, major, pass, refresh, show, StrictMode } from '../testlib/react.js';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { until as eventually } from '../../testlib/broker.js';

const React = await import('react');
const { renderToString } = await import('react-dom/server');
const { HookwireProvider, useConnectionStatus, useFallbackPolling, usePresence, useWebSocket } = await import('../dist/react.js');

let broker;
let uninstall;
let clients;

beforeEach(() => {
  broker = createFakeBroker();
  uninstall = broker.install();
  clients = [];
});
afterEach(async () => {
  await hideAll();
  clients.forEach((client) => client.close());
  uninstall();
});

const LINGER_MS = 30;
function newClient(options = {}) {
  const client = createClient({ url: broker.url, getToken: () => broker.token(), lingerMs: LINGER_MS, backoff: { minMs: 5, maxMs: 20 }, ...options });
  clients.push(client);
  return client;
}

const within = (client, ...children) => h(HookwireProvider, { client }, ...children);
const isLive = (...topics) => eventually(() => topics.every((topic) => broker.sessions().some((session) => session.topics.includes(topic))), `${topics} are followed`);

/** Follows topics, and shows what comes. */
function makeList() {
  const got = [];
  const gaps = [];
  function List({ topics, ...options }) {
    const [last, setLast] = React.useState('');
    const { isConnected } = useWebSocket(topics, {
      onEvent: (event) => {
        got.push(event.data.payload.n);
        setLast(event.data.payload.n);
      },
      onGap: (gap) => gaps.push(gap),
      ...options,
    });
    return `${isConnected ? 'connected' : 'not connected'} ${last}`;
  }
  return { List, got, gaps };
}

describe(`React ${major}`, () => {
  test('a component follows topics, and no socket is left when it is gone', async () => {
    const { List, got } = makeList();
    const screen = await show(within(newClient(), h(List, { topics: ['a:1', 'b:1'] })));
    await isLive('a:1', 'b:1');
    broker.publish('a:1', { n: 1 });
    broker.publish('b:1', { n: 2 });
    broker.publish('c:1', { n: 3 });
    await eventually(() => screen.text === 'connected 2');
    assert.deepEqual(got, [1, 2]);
    await screen.hide();
    await eventually(() => broker.connections === 0, 'no socket is left');
    assert.equal(clients[0].state, 'idle');
  });

  test('StrictMode opens one socket, and an event comes once', async () => {
    const { List, got } = makeList();
    await show(h(StrictMode, null, within(newClient(), h(List, { topics: ['a:1'] }))));
    await isLive('a:1');
    broker.publish('a:1', { n: 1 });
    await eventually(() => got.length);
    await pass(2 * LINGER_MS);
    assert.deepEqual(got, [1]);
    assert.equal(broker.opened, 1);
  });

  test('many components have one socket, and a topic is followed as long as one of them is there', async () => {
    const one = makeList();
    const other = makeList();
    const client = newClient();
    const screen = await show(within(client, h(one.List, { key: 1, topics: ['a:1'] }), h(other.List, { key: 2, topics: ['a:1', 'b:1'] })));
    await isLive('a:1', 'b:1');
    await screen.update(within(client, h(one.List, { key: 1, topics: ['a:1'] })));
    await eventually(() => broker.sessions()[0].topics.length === 1);
    broker.publish('a:1', { n: 1 });
    await eventually(() => one.got.length);
    assert.deepEqual([one.got, other.got], [[1], []]);
    assert.equal(broker.opened, 1);
  });

  test('an array that is new at each render changes nothing, other topics do', async () => {
    const { List, got } = makeList();
    const client = newClient();
    const screen = await show(within(client, h(List, { topics: ['a:1'] })));
    await isLive('a:1');
    await screen.update(within(client, h(List, { topics: ['a:1'] })));
    await screen.update(within(client, h(List, { topics: ['a:1', 'b:1'] })));
    await isLive('a:1', 'b:1');
    broker.publish('a:1', { n: 1 });
    await screen.update(within(client, h(List, { topics: 'b:1' })));
    await eventually(() => broker.sessions()[0].topics.length === 1);
    broker.publish('a:1', { n: 2 });
    broker.publish('b:1', { n: 3 });
    await eventually(() => got.includes(3));
    assert.deepEqual(got, [1, 3]);
    assert.equal(broker.opened, 1);
  });

  test('the handler of the last render is called', async () => {
    const calls = [];
    const client = newClient();
    const { List } = makeList();
    const screen = await show(within(client, h(List, { topics: ['a:1'], onEvent: () => calls.push('first') })));
    await isLive('a:1');
    await screen.update(within(client, h(List, { topics: ['a:1'], onEvent: () => calls.push('second') })));
    broker.publish('a:1');
    await eventually(() => calls.length);
    assert.deepEqual(calls, ['second']);
  });

  test('enabled: false follows nothing, and goes on where it was', async () => {
    const { List, got } = makeList();
    const client = newClient();
    const screen = await show(within(client, h(List, { topics: ['a:1'], enabled: false })));
    assert.equal(client.state, 'idle');
    await screen.update(within(client, h(List, { topics: ['a:1'] })));
    await isLive('a:1');
    broker.publish('a:1', { n: 1 });
    await eventually(() => got.length);
    await screen.update(within(client, h(List, { topics: ['a:1'], enabled: false })));
    await eventually(() => broker.connections === 0);
    broker.publish('a:1', { n: 2 });
    await screen.update(within(client, h(List, { topics: ['a:1'] })));
    await eventually(() => got.length === 2);
    assert.deepEqual(got, [1, 2]);
  });

  test('a gap and a refusal are told', async () => {
    uninstall();
    broker = createFakeBroker({ authorize: ({ topic }) => topic !== 'secret:1' });
    uninstall = broker.install();
    const errors = [];
    const { List, gaps } = makeList();
    await show(within(newClient(), h(List, { topics: ['a:1', 'secret:1'], onError: (error, topic) => errors.push([error.code, topic]) })));
    await isLive('a:1');
    broker.gap();
    await eventually(() => gaps.length);
    assert.deepEqual(gaps[0].topics, ['a:1']);
    assert.deepEqual(errors, [['forbidden_topic', 'secret:1']]);
  });

  test('the state is shown as it changes', async () => {
    const Status = () => JSON.stringify(useConnectionStatus());
    const client = newClient({ backoff: { minMs: 1e6, maxMs: 1e6 } });
    const { List } = makeList();
    const screen = await show(within(client, h(Status), h(List, { topics: ['a:1'] })));
    await eventually(() => screen.text.includes('"online"') && screen.text.includes('"websocket"'));
    broker.refuse();
    broker.disconnect();
    await eventually(() => screen.text.includes('"waiting"') && screen.text.includes('"retryAt"'));
  });

  test('who is there is shown as they come and go, of the topic that is asked for', async () => {
    const Room = ({ topic }) => usePresence(topic).map(({ user_id }) => user_id).sort().join() || 'nobody';
    const screen = await show(within(newClient(), h(Room, { topic: 'room:1' })));
    assert.equal(screen.text, 'nobody');
    const [bob, carol] = ['bob', 'carol'].map((user) => newClient({ getToken: () => broker.token(user) }));
    bob.subscribe('room:1', () => {});
    const leave = carol.subscribe(['room:1', 'room:2'], () => {});
    await eventually(() => screen.text === 'bob,carol');
    leave();
    await eventually(() => screen.text === 'bob');
    carol.subscribe('room:2', () => {});
    await isLive('room:2');
    await screen.update(within(clients[0], h(Room, { topic: 'room:2' })));
    await eventually(() => screen.text === 'carol');
    await screen.update(within(clients[0], h(Room, {})));
    assert.equal(screen.text, 'nobody');
    await eventually(() => clients[0].state === 'idle', 'it follows nothing any more');
  });

  test('a server renders it, and opens nothing', () => {
    const { List } = makeList();
    const Status = () => useConnectionStatus().state;
    const client = newClient();
    assert.equal(renderToString(within(client, h(List, { topics: ['a:1'] }), h(Status))).replace(/<!-- -->/g, ''), 'not connected idle');
    assert.equal(client.state, 'idle');
  });

  test('without a provider it says so', async () => {
    const { List } = makeList();
    assert.throws(() => renderToString(h(List, { topics: ['a:1'] })), /HookwireProvider/);
  });

  test('hot replacement of a component, with and without its state, opens no other socket and loses nothing', async () => {
    const { List, got } = makeList();
    const client = newClient();
    const make = (text) =>
      function Page() {
        return h('p', null, text, h(List, { topics: ['a:1'] }));
      };
    const First = make('first ');
    refresh.register(First, 'Page');
    refresh.register(List, 'List');
    const screen = await show(within(client, h(First)));
    await isLive('a:1');
    broker.publish('a:1', { n: 1 });
    await eventually(() => got.length === 1);

    const Second = make('second ');
    refresh.register(Second, 'Page');
    await act(async () => refresh.performReactRefresh());
    assert.match(screen.text, /^second/);

    const Third = make('third ');
    refresh.register(Third, 'Page');
    refresh.setSignature(Third, 'other', true);
    await act(async () => refresh.performReactRefresh());
    assert.match(screen.text, /^third/);
    broker.publish('a:1', { n: 2 });
    await eventually(() => got.length === 2);
    await pass(2 * LINGER_MS);
    assert.deepEqual(got, [1, 2]);
    assert.equal(broker.opened, 1);
  });

  test('hot replacement of the module that makes the client leaves one socket', async () => {
    const { List, got } = makeList();
    const screen = await show(within(newClient(), h(List, { topics: ['a:1'] })));
    await isLive('a:1');
    await screen.update(within(newClient(), h(List, { topics: ['a:1'] })));
    await eventually(() => broker.opened === 2 && broker.connections === 1, 'the former one has closed');
    broker.publish('a:1', { n: 1 });
    await eventually(() => got.length);
    await pass(2 * LINGER_MS);
    assert.deepEqual(got, [1]);
  });

  test('what a hidden <Activity> missed it gets when it is shown, and others go on meanwhile', { skip: !React.Activity && 'this React has none' }, async () => {
    for (const hasOther of [false, true]) {
      const { List, got } = makeList();
      const other = makeList();
      const client = newClient();
      const page = (mode) => within(client, h(React.Activity, { key: 1, mode }, h(List, { topics: ['a:1'] })), hasOther && h(other.List, { key: 2, topics: ['a:1'] }));
      const screen = await show(page('visible'));
      await isLive('a:1');
      broker.publish('a:1', { n: 1 });
      await eventually(() => got.length === 1);
      await screen.update(page('hidden'));
      if (!hasOther) await eventually(() => broker.connections === 0, 'a hidden component has no socket');
      broker.publish('a:1', { n: 2 });
      await pass(2 * LINGER_MS);
      assert.deepEqual(got, [1]);
      await screen.update(page('visible'));
      await isLive('a:1');
      broker.publish('a:1', { n: 3 });
      await eventually(() => got.length >= 3 || got.includes(3), 'the last one');
      assert.deepEqual(got, [1, 2, 3], hasOther ? 'beside another' : 'alone');
      if (hasOther) assert.deepEqual(other.got, [1, 2, 3]);
      await screen.hide();
      await eventually(() => broker.connections === 0);
    }
  });

  test('an <Activity> that is hidden from the beginning opens nothing, and one socket when it is shown', { skip: !React.Activity && 'this React has none' }, async () => {
    const { List } = makeList();
    const client = newClient();
    const page = (mode) => h(StrictMode, null, within(client, h(React.Activity, { mode }, h(List, { topics: ['a:1'] }))));
    const screen = await show(page('hidden'));
    await pass(2 * LINGER_MS);
    assert.equal(broker.opened, 0);
    await screen.update(page('visible'));
    await isLive('a:1');
    await screen.update(page('hidden'));
    await screen.update(page('visible'));
    await pass(2 * LINGER_MS);
    assert.equal(broker.opened, 1);
  });

  test('data of the page\'s own is read again and again while the connection is not live', async () => {
    let reads = 0;
    const Reader = () => (useFallbackPolling(() => reads++, 20), null);
    const { List } = makeList();
    const client = newClient({ transports: ['websocket'] });
    const allow = broker.refuse({ transport: 'websocket' });
    await show(within(client, h(Reader), h(List, { topics: ['a:1'] })));
    await eventually(() => reads >= 3);
    allow();
    await eventually(() => client.state === 'online');
    const before = reads;
    await pass(100);
    assert.equal(reads, before);
  });
});
