/* Checked by tsc, not run: what the types promise, and what they must not let by. */
import { QueryClient } from '@tanstack/react-query';
import useSWRSubscription from 'swr/subscription';
import { computed, createApp, ref } from 'vue';
import { type Client, createClient, type HookwireEvent, type PresenceUser, type Status } from 'hookwire-client';
import { createClient as createSmallClient } from 'hookwire-client/ws';
import { useOptimistic } from 'hookwire-client/optimistic';
import { HookwireProvider, useConnectionStatus, useFallbackPolling, useHookwire, usePresence, useWebSocket } from 'hookwire-client/react';
import { bindQueryClient, useQuerySync } from 'hookwire-client/react-query';
import { ConnectionStatus } from 'hookwire-client/status';
import { ConnectionStatus as VueStatus } from 'hookwire-client/status/vue';
import { subscription, useLiveSWR } from 'hookwire-client/swr';
import { createFakeBroker, type FakeBroker } from 'hookwire-client/testing';
import * as vue from 'hookwire-client/vue';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<_T extends true>(): void {}

interface Gift {
  id: string;
  name: string;
}

const client = createClient({ url: 'http://broker.test' });
const small = createSmallClient({ url: 'http://broker.test' });

export function Page() {
  const { isConnected, status } = useWebSocket(['a:1'], { onEvent: (event) => event.data.entity_id, onGap: ({ topics }) => topics.join(), onError: (error, topic) => [error.code, topic], last: true, enabled: true });
  is<Equal<typeof isConnected, boolean>>();
  is<Equal<typeof status, Status>>();
  is<Equal<ReturnType<typeof useConnectionStatus>, Status>>();
  is<Equal<ReturnType<typeof useHookwire>, Client<any>>>();
  useWebSocket('a:1');
  useFallbackPolling(() => {}, 1000);
  is<Equal<ReturnType<typeof usePresence>, readonly PresenceUser[]>>();
  // @ts-expect-error topics are names
  useWebSocket([1]);
  // @ts-expect-error where it begins is the hook's to know
  useWebSocket(['a:1'], { cursor: 'x-1' });

  useQuerySync({ topics: ['a:1'], queryKey: (topic) => [topic, 1], patch: (data: Gift[], event, key) => (key.length ? [...data, event.data.payload as Gift] : undefined), mutations: { mutationKey: ['a'] } });
  // @ts-expect-error without topics there is nothing to follow
  useQuerySync({ patch: () => undefined });

  const { data } = useLiveSWR('/gifts', async (path: string): Promise<Gift[]> => [{ id: path, name: '' }], { topics: ['a:1'], patch: (gifts, event) => (event.event === 'DELETED' ? gifts.slice(1) : undefined), revalidateOnFocus: false });
  is<Equal<typeof data, Gift[] | undefined>>();
  // @ts-expect-error a patch gives what the fetcher gives
  useLiveSWR('/gifts', async (): Promise<Gift[]> => [], { topics: ['a:1'], patch: () => 'text' });

  const newest = useSWRSubscription('key', subscription(client, 'a:1'));
  is<Equal<typeof newest.data, HookwireEvent<any> | undefined>>();
  const sum = useSWRSubscription('sum', subscription(client, ['a:1'], (so: number | undefined, event) => (so ?? 0) + event.data.payload.n));
  is<Equal<typeof sum.data, number | undefined>>();

  const { state, update, confirm, isPending } = useOptimistic([] as Gift[], (gifts, gift: Gift) => [...gifts, gift], { confirmMs: 1000, onUnconfirmed: async () => {} });
  is<Equal<typeof state, Gift[]>>();
  is<Equal<ReturnType<typeof confirm>, boolean>>();
  const reply = update({ id: '1', name: 'Bike' }, async (mutationId) => mutationId.length);
  is<Equal<typeof reply, Promise<number>>>();
  // @ts-expect-error a change is what `apply` takes
  void update('Bike', async () => {});

  return (
    <HookwireProvider client={client}>
      <HookwireProvider client={small} />
      <ConnectionStatus className="mine" data-test="x" strings={{ online: 'Da', waiting: ({ retryAt }) => `${retryAt}`, countdown: (seconds) => seconds.toFixed(), retry: 'Los' }} />
      {/* @ts-expect-error there is no such state */}
      <ConnectionStatus strings={{ asleep: 'zzz' }} />
      {isPending}
    </HookwireProvider>
  );
}

export function bind(): () => void {
  return bindQueryClient(client, new QueryClient(), { topics: ['a:1'], fallbackMs: 1000 });
}

export function setup() {
  createApp(VueStatus, { strings: { retry: 'Los' } }).use(vue.hookwire(client));
  const id = ref(1);
  const { isConnected, status } = vue.useWebSocket(() => [`a:${id.value}`], { onEvent: (event) => event.topic });
  vue.useWebSocket(computed(() => 'a:1'), { client });
  vue.useWebSocket(ref(['a:1']));
  is<Equal<ReturnType<typeof vue.usePresence>['value'], readonly PresenceUser[]>>();
  is<Equal<typeof isConnected.value, boolean>>();
  is<Equal<typeof status.value.state, Status['state']>>();
  // @ts-expect-error topics are names
  vue.useWebSocket(ref(1));
}

export function fake(): FakeBroker {
  const broker = createFakeBroker({ authorize: ({ action, user }) => (action === 'publish' ? user === 'alice' : 'why not'), withoutHistory: ['cursor:*'] });
  const uninstall = broker.install();
  broker.publish('a:1', { n: 1 }, { event: 'ADDED', mutation_id: 'm' });
  broker.refuse({ transport: 'websocket', times: 2, closeCode: 4429 })();
  broker.disconnect({ user: 'alice' });
  // @ts-expect-error there is no such transport
  broker.refuse({ transport: 'pigeon' });
  uninstall();
  return broker;
}
