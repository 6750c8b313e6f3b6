/* hookwire-client/ws: the client with WebSocket alone. */
import { createCore, guarded } from './core.js';
import type { Client, Options } from './types.js';
import { websocket } from './websocket.js';

export * from './types.js';

type Parts = ReturnType<(typeof import('./parts.js'))['withParts']>;

/** A client of the broker at `options.url`. Connects with the first subscription; loads what it has of snapshots and presence with the first call. */
export function createClient(options: Omit<Options, 'transports' | 'share' | 'tickets' | 'schemas' | 'onInvalid'>): Client {
  const core = createCore(options, websocket);
  core.catchUp = async (sub, topics) => guarded(() => sub.onGap?.({ topics, reason: 'followed already' })); // there is no HTTP to read it
  let loaded: Promise<Parts> | undefined;
  const parts = () => (loaded ??= import('./parts.js').then(({ withParts }) => withParts(core)));
  return Object.assign(core.client, {
    snapshot: async (...request) => (await parts()).snapshot(...request),
    presence: async (topic) => (await parts()).presence(topic),
    onPresence(...request) {
      const following = parts().then((all) => all.onPresence(...request));
      return () => void following.then((end) => end());
    },
    async cursor() {
      await core.query({ type: 'ping' }); // it is connected: the session has a cursor
      return core.cursor()!;
    },
  } satisfies Pick<Client<any>, 'snapshot' | 'presence' | 'onPresence' | 'cursor'>);
}
