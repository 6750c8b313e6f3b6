/* hookwire-client/vue: composables of Vue 3. */
import { computed, type ComputedRef, inject, type InjectionKey, type MaybeRefOrGetter, onScopeDispose, type Plugin, readonly, shallowRef, type ShallowRef, toValue, watch } from 'vue';
import { whileDegraded } from './fallback.js';
import type { Client, HookwireEvent, PresenceUser, Status, SubscribeOptions } from './types.js';

const KEY: InjectionKey<Client<any>> = Symbol('hookwire');
const isServer = () => typeof document === 'undefined';

/** `app.use(hookwire(client))` */
export const hookwire = (client: Client<any>): Plugin => ({ install: (app) => app.provide(KEY, client) });

/** The client of the app. */
export function useHookwire(): Client<any> {
  const client = inject(KEY, undefined);
  if (!client) throw new Error('no app.use(hookwire(client))');
  return client;
}

/** The connection's state, and what belongs to it: `{ state, transport, retryAt, code, message }`. On a server it is `idle`. */
export function useConnectionStatus(client = useHookwire()): Readonly<ShallowRef<Status>> {
  const status = shallowRef(client.status);
  // a server never ends a component: what it listened to would stay
  if (!isServer()) onScopeDispose(client.onStatus((next) => (status.value = next)));
  return readonly(status) as Readonly<ShallowRef<Status>>;
}

/** What `useWebSocket` takes beside the topics. */
export interface UseWebSocketOptions extends Omit<SubscribeOptions, 'cursor'> {
  /** Called with each event of the topics. */
  onEvent?: (event: HookwireEvent<any>) => void;
  /** Another client than the app's; in a store, for instance, which has no app around. */
  client?: Client<any>;
}

/** What `useWebSocket` gives. */
export interface UseWebSocketResult {
  /** Events come, live or by polling. */
  isConnected: ComputedRef<boolean>;
  /** The connection's state, and what belongs to it. */
  status: Readonly<ShallowRef<Status>>;
  /** To publish, for instance. */
  client: Client<any>;
}

/** Follows topics, which may be reactive, as long as the component (or effect scope) lives. Nothing is followed on a server. */
export function useWebSocket(topics: MaybeRefOrGetter<string | readonly string[]>, options: UseWebSocketOptions = {}): UseWebSocketResult {
  const { onEvent = () => {}, client = useHookwire(), ...rest } = options;
  const status = useConnectionStatus(client);

  if (!isServer())
    watch(
      () => '' + toValue(topics),
      (key, _, onCleanup) => {
        if (key) onCleanup(client.subscribe(key.split(','), onEvent, rest));
      },
      { immediate: true },
    );
  return { isConnected: computed(() => /^(online|degraded)$/.test(status.value.state)), status, client };
}

/** Who follows a topic, which may be reactive, as they come and go; nobody until that is known, and where the topic is undefined. */
export function usePresence(topic: MaybeRefOrGetter<string | undefined>, client = useHookwire()): Readonly<ShallowRef<readonly PresenceUser[]>> {
  const users = shallowRef<readonly PresenceUser[]>([]);
  if (!isServer())
    watch(
      () => toValue(topic),
      (name, _, onCleanup) => {
        users.value = [];
        if (name) onCleanup(client.onPresence(name, (all) => (users.value = all)));
      },
      { immediate: true },
    );
  return users;
}

/** Calls `read` every `everyMs` (10000 if absent) while there is no live connection, and the page is to be seen. */
export function useFallbackPolling(read: () => void, everyMs?: number, client = useHookwire()): void {
  if (!isServer()) onScopeDispose(whileDegraded(client, read, everyMs));
}
