/* hookwire-client: the client with all transports. */
import { type Core, createCore, type Link, type Transport } from './core.js';
import { createHttp, type Http } from './fetch.js';
import { ask, longpoll, polling, sse } from './http.js';
import { withLadder } from './ladder.js';
import { withCatchUp } from './late.js';
import { withPresence } from './presence.js';
import { withSchemas } from './schema.js';
import { withSnapshot } from './snapshot.js';
import type { Client, Options, Schemas } from './types.js';
import { websocket } from './websocket.js';

export * from './types.js';

/** Asks for history over HTTP: that has patterns too, and tells what is gone in the answer and not to all who follow the topic. */
const withHistory = (http: Http): Transport => ({
  ...websocket,
  open(wire) {
    const link = websocket.open(wire);
    return { ...link, query: (message) => (message.type === 'history' ? ask(http, message) : link.query(message)) };
  },
});

/** The best first. */
const all = { websocket: withHistory, sse, longpoll, polling };

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
  const core = createCore(options, websocket);
  const http = createHttp(core);
  const transports = (options.transports ?? (Object.keys(all) as (keyof typeof all)[])).map((name) => all[name](http));
  core.transport = transports[0]!;
  if (options.tickets) core.ticket = async () => (await http('POST', '/ticket')).ticket;
  withLadder(core, transports);
  withSchemas(core);
  withCatchUp(core);
  if (options.share && globalThis.navigator?.locks) withShare(core);
  let asking: Promise<any> | undefined; // once for all who want to know
  const cursor = async () => {
    asking ??= http('GET', '/cursor').finally(() => {
      asking = undefined;
    });
    return (await asking).cursor;
  };
  return Object.assign(core.client, withSnapshot(core, cursor), withPresence(core), { cursor }) as Client<any>;
}
