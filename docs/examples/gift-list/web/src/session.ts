/* Who is logged in, in this tab: sessionStorage is a tab's own, so two tabs may be two people. With the session comes the one client
 * of the broker that the page has; it is closed with it. */
import { type Client, createClient } from 'hookwire-client';
import { useSyncExternalStore } from 'react';
import { type Api, createApi, login, type User } from './api';

export interface Session {
  user: User;
  api: Api;
  realtime: Client;
}

export type SessionState =
  | { name: 'out'; message?: string }
  | { name: 'opening' }
  | { name: 'unreachable'; message: string }
  | ({ name: 'in' } & Session);

const KEY = 'gift-list-session';
const listeners = new Set<() => void>();
let state: SessionState = { name: 'out' };

function set(next: SessionState): void {
  if (state.name === 'in') state.realtime.close();
  state = next;
  for (const listener of listeners) listener();
}

/** Goes on with what this tab has stored. */
export async function openSession(): Promise<void> {
  const stored = sessionStorage.getItem(KEY);
  if (!stored) return set({ name: 'out' });
  const { session: token, user }: { session: string; user: User } = JSON.parse(stored);
  const api = createApi({ token, onUnauthorized: () => logOut('your session has ended, choose again') });
  set({ name: 'opening' });
  try {
    const { broker_url: url } = await api.config();
    if (sessionStorage.getItem(KEY) !== stored) return; // logged out meanwhile
    const realtime = createClient({ url, getToken: async () => (await api.realtimeToken()).token });
    set({ name: 'in', user, api, realtime });
  } catch (error) {
    if (sessionStorage.getItem(KEY) === stored) set({ name: 'unreachable', message: (error as Error).message });
  }
}

export async function logIn(userId: string): Promise<void> {
  sessionStorage.setItem(KEY, JSON.stringify(await login(userId)));
  await openSession();
}

export function logOut(message?: string): void {
  sessionStorage.removeItem(KEY);
  set({ name: 'out', message });
}

export const useSessionState = (): SessionState =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );

// in development: a new version of this file would leave the client of the former one open
import.meta.hot?.accept(() => location.reload());
