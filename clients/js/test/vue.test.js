import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setHidden } from '../testlib/dom.js';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { until } from '../../testlib/broker.js';

const { createApp, createSSRApp, defineComponent, effectScope, h, nextTick, ref, shallowRef } = await import('vue');
const { renderToString } = await import('@vue/server-renderer');
const { hookwire, useConnectionStatus, useFallbackPolling, usePresence, useWebSocket } = await import('../dist/vue.js');

let broker;
let uninstall;
let client;
let apps;

beforeEach(() => {
  broker = createFakeBroker();
  uninstall = broker.install();
  client = createClient({ url: broker.url, getToken: () => broker.token(), lingerMs: 20, backoff: { minMs: 5, maxMs: 20 } });
  apps = [];
});
afterEach(() => {
  apps.forEach((app) => app.unmount());
  client.close();
  uninstall();
});

function show(setup) {
  const element = document.body.appendChild(document.createElement('div'));
  const app = createApp(defineComponent({ setup })).use(hookwire(client));
  apps.push(app);
  app.mount(element);
  return { app, element, unmount: () => apps.splice(apps.indexOf(app), 1)[0].unmount() };
}
const isFollowed = (...topics) => until(() => broker.sessions()[0]?.topics.join() === topics.join(), `${topics} are followed`);

test('a component follows topics, and no socket is left when it is gone', async () => {
  const last = ref('');
  const { element, unmount } = show(() => {
    const { isConnected } = useWebSocket(['a:1', 'b:1'], { onEvent: (event) => (last.value = event.data.payload.n) });
    return () => `${isConnected.value ? 'connected' : 'not connected'} ${last.value}`;
  });
  assert.equal(element.textContent, 'not connected ');
  await isFollowed('a:1', 'b:1');
  broker.publish('b:1', { n: 1 });
  await until(() => element.textContent === 'connected 1');
  unmount();
  await until(() => broker.connections === 0, 'no socket is left');
  assert.equal(client.state, 'idle');
  assert.equal(broker.opened, 1);
});

test('topics may be reactive: a ref, a getter, or none for a while', async () => {
  const id = ref(1);
  const names = shallowRef(['x:1']);
  const got = [];
  show(() => {
    useWebSocket(() => (id.value ? `a:${id.value}` : []), { onEvent: (event) => got.push(event.topic) });
    useWebSocket(names, { onEvent: (event) => got.push(event.topic) });
    return () => '';
  });
  await isFollowed('a:1', 'x:1');
  id.value = 2;
  names.value = [];
  await isFollowed('a:2');
  broker.publish('a:1');
  broker.publish('a:2');
  await until(() => got.length);
  assert.deepEqual(got, ['a:2']);
  id.value = 0;
  await until(() => broker.connections === 0);
  assert.equal(broker.opened, 1);
});

test('who is there is shown as they come and go, of a topic that may be reactive', async () => {
  const topic = ref('room:1');
  const { element } = show(() => {
    const users = usePresence(topic);
    return () => users.value.map(({ user_id }) => user_id).sort().join() || 'nobody';
  });
  const others = ['bob', 'carol'].map((user) => createClient({ url: broker.url, getToken: () => broker.token(user), lingerMs: 20 }));
  const leave = others[0].subscribe('room:1', () => {});
  others[1].subscribe(['room:1', 'room:2'], () => {});
  await until(() => element.textContent === 'bob,carol');
  leave();
  await until(() => element.textContent === 'carol');
  topic.value = 'room:2';
  await nextTick();
  assert.equal(element.textContent, 'nobody', 'those of the other topic are not shown');
  await until(() => element.textContent === 'carol');
  topic.value = undefined;
  await until(() => client.state === 'idle', 'it follows nothing any more');
  assert.equal(element.textContent, 'nobody');
  for (const other of others) other.close();
});

test('a gap and a refusal are told', async () => {
  uninstall();
  broker = createFakeBroker({ authorize: ({ topic }) => topic !== 'secret:1' });
  uninstall = broker.install();
  const told = [];
  show(() => {
    useWebSocket(['a:1', 'secret:1'], { onGap: ({ topics }) => told.push(['gap', ...topics]), onError: ({ code }, topic) => told.push([code, topic]) });
    return () => '';
  });
  await isFollowed('a:1');
  broker.gap();
  await until(() => told.length === 2);
  assert.deepEqual(told, [['forbidden_topic', 'secret:1'], ['gap', 'a:1']]);
});

test('the state changes with the connection, and nobody listens when the component is gone', async () => {
  let listeners = 0;
  const counted = { ...client, get status() { return client.status; }, onStatus: (listener) => { listeners++; const off = client.onStatus(listener); return () => (listeners--, off()); } };
  let status;
  const scope = effectScope();
  scope.run(() => (status = useConnectionStatus(counted)));
  client.subscribe('a:1', () => {});
  await until(() => status.value.state === 'online');
  assert.equal(status.value.transport, 'websocket');
  assert.equal(listeners, 1);
  scope.stop();
  assert.equal(listeners, 0);
});

test('outside of a component a client is given', async () => {
  const got = [];
  const scope = effectScope();
  scope.run(() => useWebSocket('a:1', { client, onEvent: () => got.push(1) }));
  await isFollowed('a:1');
  broker.publish('a:1');
  await until(() => got.length);
  scope.stop();
  await until(() => broker.connections === 0);
});

test('without the plugin it says so', () => {
  const element = document.createElement('div');
  const app = createApp(defineComponent({ setup: () => (useWebSocket('a:1'), () => '') }));
  app.config.errorHandler = (error) => {
    throw error;
  };
  app.config.warnHandler = () => {};
  assert.throws(() => app.mount(element), /app\.use\(hookwire/);
});

test('a server renders it, opens nothing, and leaves nobody who listens', async () => {
  let listeners = 0;
  const { document } = globalThis;
  const counted = { ...client, status: client.status, onStatus: () => (listeners++, () => {}), subscribe: () => assert.fail('a server follows nothing') };
  delete globalThis.document;
  try {
    const app = createSSRApp(
      defineComponent({
        setup() {
          const { isConnected, status } = useWebSocket('a:1');
          useFallbackPolling(() => assert.fail('a server reads nothing again'), 1);
          return () => h('p', `${isConnected.value} ${status.value.state}`);
        },
      }),
    ).use(hookwire(counted));
    assert.equal(await renderToString(app), '<p>false idle</p>');
  } finally {
    globalThis.document = document;
  }
  assert.equal(listeners, 0);
});

test('data is read again and again while the connection is not live', async () => {
  let reads = 0;
  client.close();
  client = createClient({ url: broker.url, getToken: () => broker.token(), transports: ['websocket'], backoff: { minMs: 5, maxMs: 20 } });
  const allow = broker.refuse({ transport: 'websocket' });
  const { unmount } = show(() => {
    useWebSocket('a:1');
    useFallbackPolling(() => reads++, 20);
    return () => '';
  });
  await until(() => reads >= 3);
  setHidden(true);
  const hidden = reads;
  await new Promise((done) => setTimeout(done, 100));
  assert.equal(reads, hidden);
  setHidden(false);
  await until(() => reads > hidden);
  allow();
  await until(() => client.state === 'online');
  await nextTick();
  const before = reads;
  await new Promise((done) => setTimeout(done, 100));
  assert.equal(reads, before);
  unmount();
});
