/* hookwire-client: the client with all transports. */
import { type Core, createCore, type Link } from './core.js';
import { createHttp, type Http } from './fetch.js';
import { longpoll, polling, sse } from './http.js';
import { withLadder } from './ladder.js';
import { withCatchUp } from './late.js';
import { withPresence } from './presence.js';
import { withSchemas } from './schema.js';
import { withSnapshot } from './snapshot.js';
import type { Client, Options, Schemas } from './types.js';
import { websocket } from './websocket.js';

export * from './types.js';

const all = { websocket: () => websocket, sse, longpoll, polling };

/** The code for tabs is loaded by the first connection, where it is asked for. */
function withShare(core: Core): void {
  const own = core.transport;
  core.transport = {
    transport: 'tab',
    live: true,
    open() {
      import('./tabs.js')
        .catch(() => undefined) // then each tab has a connection of its own
        .then((tabs) => {
          core.transport = own;
          tabs?.withTabs(core);
          core.restart();
        });
      return { close() {} } as Link; // nobody has it before it is up
    },
  };
}

/** A client of the broker at `options.url`. Connects with the first subscription. */
export function createClient<S extends Schemas = {}>(options: Options<S>): Client<S> {
  const later: Http = (...request) => http(...request);
  const transports = (options.transports ?? ['websocket', 'sse', 'longpoll', 'polling']).map((name) => all[name](later));
  const core = createCore(options, transports[0]!);
  const http = createHttp(core);
  if (options.tickets) core.ticket = async () => (await http('POST', '/ticket')).ticket;
  withLadder(core, transports);
  withSchemas(core);
  withCatchUp(core, http);
  if (options.share && globalThis.navigator?.locks) withShare(core);
  return Object.assign(core.client, withSnapshot(core), withPresence(core), {
    cursor: async () => (await http('GET', '/cursor')).cursor,
  }) as Client<any>;
}
