/* The adapters with the real broker: what a page does, over a connection that breaks. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { h, hideAll, show, StrictMode } from '../testlib/react.js';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { Broker, mint, until } from '../../testlib/broker.js';

const React = await import('react');
const { QueryClient, QueryClientProvider, useQuery } = await import('@tanstack/react-query');
const { HookwireProvider, useWebSocket } = await import('../dist/react.js');
const { useQuerySync } = await import('../dist/react-query.js');
const { useLiveSWR } = await import('../dist/swr.js');
const { useOptimistic } = await import('../dist/optimistic.js');
const { ConnectionStatus } = await import('../dist/status.js');
const vue = await import('vue');
const { hookwire, useWebSocket: useVueWebSocket } = await import('../dist/vue.js');

globalThis.WebSocket = WebSocket;
let broker;
const clients = [];
before(async () => (broker = await Broker.start()));
after(() => broker.stop());
afterEach(async () => {
  await hideAll();
  clients.splice(0).forEach((client) => client.close());
});

function connect() {
  const client = createClient({ url: broker.url, getToken: () => mint('alice'), transports: ['websocket'], lingerMs: 20, backoff: { minMs: 20, maxMs: 100 } });
  clients.push(client);
  return client;
}
const sessionsNow = async () => (await broker.sessions()).length;
const cutOff = () => broker.ask('POST', '/api/sessions/disconnect', { user: 'alice', tenant: 'acme', code: 1001 });

test('React: events come, also behind a cut, with one session, and none when it is gone', async () => {
  const got = [];
  const client = connect();
  const List = () => (useWebSocket(['react:1'], { onEvent: (event) => got.push(event.data.payload.n) }).isConnected ? 'connected' : '');
  const screen = await show(h(StrictMode, null, h(HookwireProvider, { client }, h(List, { key: 1 }), h(ConnectionStatus, { key: 2 }))));
  await until(() => screen.text.startsWith('connectedLive'));
  await until(async () => {
    await broker.publish('react:1', { n: 'first' });
    return got.length;
  });
  got.length = 0;
  for (let n = 0; n < 3; n++) await broker.publish('react:1', { n });
  assert.equal(await sessionsNow(), 1);
  await cutOff();
  for (let n = 3; n < 6; n++) await broker.publish('react:1', { n });
  await until(() => got.includes(5));
  assert.deepEqual(got.filter((n) => n !== 'first'), [0, 1, 2, 3, 4, 5]);
  await screen.hide();
  await until(async () => (await sessionsNow()) === 0, 'no session is left');
});

test('React Query and SWR: the data is what the server has, behind events, a cut, and a gap', async () => {
  const server = { n: 0 };
  const client = connect();
  const queryClient = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity, gcTime: Infinity } } });
  function Query() {
    useQuerySync({ topics: ['data:1'] });
    return useQuery({ queryKey: ['data', '1'], queryFn: async () => ({ ...server }) }).data?.n ?? '';
  }
  const Swr = () => useLiveSWR('data', async () => ({ ...server }), { topics: ['data:1'] }).data?.n ?? '';
  const screen = await show(h(StrictMode, null, h(HookwireProvider, { client }, h(QueryClientProvider, { client: queryClient }, h(Query, { key: 1 }), ' ', h(Swr, { key: 2 })))));
  const write = async (n) => {
    server.n = n;
    await broker.publish('data:1', { n });
  };
  await write(1);
  await until(() => screen.text === '1 1', `it shows ${screen.text}`);
  await write(2);
  await until(() => screen.text === '2 2');
  await cutOff();
  await write(3);
  await until(() => screen.text === '3 3');
  await broker.restart(); // without a store: what was is forgotten
  server.n = 4;
  await until(() => screen.text === '4 4');
  queryClient.clear();
});

test('an optimistic update is shown once, whether ack or event comes first', async () => {
  const client = connect();
  const shown = [];
  let send;
  function List() {
    const [items, setItems] = React.useState([]);
    const { state, update, confirm } = useOptimistic(items, (list, item) => [...list, item]);
    useWebSocket(['list:1', 'sealed:1'], { onEvent: (event) => confirm(event) && setItems((list) => [...list, event.data.entity_id]) });
    send = (topic, item) =>
      update(item, async (mutation_id) => {
        await until(() => screen.text.includes(item), 'it is shown'); // an answer may be faster than React
        return client.publish({ topic, event: 'ADDED', data: { entity_id: item, mutation_id } });
      });
    shown.push(state.join());
    return state.join();
  }
  const screen = await show(h(HookwireProvider, { client }, h(List)));
  await until(() => client.state === 'online');
  for (const item of ['a', 'b', 'c']) await send('list:1', item);
  await until(() => screen.text === 'a,b,c', `it shows ${screen.text}`);
  await assert.rejects(send('sealed:1', 'd'), { code: 'forbidden_topic' });
  await until(() => screen.text === 'a,b,c');
  assert.ok(shown.every((text) => new Set(text.split(',')).size === text.split(',').length), 'nothing was shown twice');
});

test('Vue: events come, also behind a cut', async () => {
  const got = [];
  const app = vue.createApp({ setup: () => (useVueWebSocket('vue:1', { onEvent: (event) => got.push(event.data.payload.n) }), () => '') }).use(hookwire(connect()));
  app.mount(document.createElement('div'));
  await until(async () => {
    await broker.publish('vue:1', { n: 0 });
    return got.length;
  });
  await cutOff();
  await broker.publish('vue:1', { n: 1 });
  await until(() => got.includes(1));
  app.unmount();
  await until(async () => (await sessionsNow()) === 0, 'no session is left');
});
