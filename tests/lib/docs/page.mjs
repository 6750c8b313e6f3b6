/* What a reader of the clients' pages has of their own, for examples that are run: a back end behind fetch, functions, and an event. */
import { WebSocket } from 'ws';
import { z } from 'zod';

globalThis.WebSocket ??= WebSocket;

const answers = { '/api/realtime-token': () => process.env.HOOKWIRE_TOKEN, '/api/gift-lists/123': () => '{"gifts":[]}' };
const { fetch: overNetwork } = globalThis;
globalThis.fetch = async (address, options) => (answers[address] ? new Response(answers[address]()) : overNetwork(address, options));

Object.assign(globalThis, {
  z,
  patch() {},
  replace() {},
  report: (...what) => {
    throw new Error(`an event is not valid: ${JSON.stringify(what)}`);
  },
  event: { topic: 'gift-list:family-123', event: 'UPDATED', data: { entity_id: 'gift-456' } },
});

const lines = [];
const { log } = console;
console.log = (...what) => {
  lines.push(what.join(' '));
  log(...what);
};

/** Resolves when what is shown of events has been shown, if anything is subscribed to at all. */
globalThis.done = async () => {
  const isOver = () => !process.env.HOOKWIRE_SHOWS || lines.length > 0;
  while (!isOver()) await new Promise((next) => setTimeout(next, 5)); // the test has a time limit
};
