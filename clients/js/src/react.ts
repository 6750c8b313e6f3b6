/* hookwire-client/react: topics and the connection's state in components. */
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { useHookwire } from './context.js';
import { whileDegraded } from './fallback.js';
import type { Client, HookwireEvent, PresenceUser, Status, SubscribeOptions } from './types.js';

export { HookwireProvider, type HookwireProviderProps, useHookwire } from './context.js';

const IDLE: Status = { state: 'idle' };
const NOBODY: readonly PresenceUser[] = [];

/** The connection's state, and what belongs to it: `{ state, transport, retryAt, code, message }`. On a server it is `idle`. */
export function useConnectionStatus(): Status {
  const client = useHookwire();
  return useSyncExternalStore(
    client.onStatus,
    () => client.status,
    () => IDLE,
  );
}

/** What `useWebSocket` takes beside the topics. */
export interface UseWebSocketOptions extends Omit<SubscribeOptions, 'cursor'> {
  /** Called with each event of the topics. */
  onEvent?: (event: HookwireEvent<any>) => void;
  /** false: nothing is followed. Once it is true again it goes on where it was. */
  enabled?: boolean;
}

/** What `useWebSocket` gives. */
export interface UseWebSocketResult {
  /** Events come, live or by polling. */
  isConnected: boolean;
  /** The connection's state, and what belongs to it. */
  status: Status;
  /** To publish, for instance. */
  client: Client<any>;
}

/**
 * Follows topics as long as the component is mounted and visible. Handlers may be new functions at each render, and so may the array. A
 * component that was hidden (`<Activity>`), or whose effects ran again (StrictMode, hot replacement), goes on where it was: it hears what
 * it missed, or `onGap`. All components of a page have one connection together.
 */
export function useWebSocket(topics: string | readonly string[], options: UseWebSocketOptions = {}): UseWebSocketResult {
  const client = useHookwire();
  const status = useConnectionStatus();
  const latest = useRef(options);
  const left = useRef<{ key?: string; cursor?: string }>({});
  const { enabled = true, last } = options;
  const key = '' + topics;

  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => {
    if (!enabled || !key) return;
    const off = client.subscribe(key.split(','), (event) => latest.current.onEvent?.(event), {
      last,
      cursor: left.current.key === key ? left.current.cursor : undefined,
      onGap: (gap) => latest.current.onGap?.(gap),
      onError: (error, topic) => latest.current.onError?.(error, topic),
    });
    return () => {
      left.current = { key, cursor: off() };
    };
  }, [client, key, enabled, last]);

  return { isConnected: /^(online|degraded)$/.test(status.state), status, client };
}

/** Who follows a topic, as they come and go; nobody until that is known, and where the topic is undefined. */
export function usePresence(topic?: string): readonly PresenceUser[] {
  const client = useHookwire();
  const [told, setTold] = useState<{ topic?: string; users: readonly PresenceUser[] }>({ users: NOBODY });
  useEffect(() => (topic ? client.onPresence(topic, (users) => setTold({ topic, users })) : undefined), [client, topic]);
  return told.topic === topic ? told.users : NOBODY;
}

/**
 * For data that neither React Query nor SWR keeps: calls `read` every `everyMs` (10000 if absent) while there is no live connection, and
 * the page is to be seen.
 */
export function useFallbackPolling(read: () => void, everyMs?: number): void {
  const client = useHookwire();
  const latest = useRef(read);
  useEffect(() => {
    latest.current = read;
  });
  useEffect(() => whileDegraded(client, () => latest.current(), everyMs), [client, everyMs]);
}
