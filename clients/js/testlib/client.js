/* Clients, quick to give up and to come back, and what else a test begins: it ends with the test's file, also when a test fails (what is left alive
 * would keep the file from ending), or when `clean` is called. */
import { after } from 'node:test';
import { createClient } from '../dist/index.js';
import { mint, until } from '../../testlib/broker.js';
import { Proxy } from '../../testlib/proxy.js';

export const TRANSPORTS = ['websocket', 'sse', 'longpoll', 'polling'];
const QUICK = { lingerMs: 20, backoff: { minMs: 20, maxMs: 200 }, pollMs: 50 };
const ends = [];

/** `end` is called at the end. */
export const atEnd = (end) => ends.push(end);

/** Ends all that has begun so far. */
export async function clean() {
  for (const end of ends.splice(0)) await end();
}
after(clean);

/** A client of the broker, alice's if no option says otherwise. */
export function clientOf(broker, options, create = createClient) {
  const client = create({ url: broker.url, getToken: () => mint('alice'), ...QUICK, ...options });
  atEnd(() => client.close());
  return client;
}

/** A proxy before the broker, to be switched by the test. */
export async function proxyBefore(broker) {
  const proxy = await Proxy.start(broker.port);
  atEnd(() => proxy.stop());
  return proxy;
}

export const isUp = (client) => client.state === 'online' || client.state === 'degraded';

/** Follows the topic, and waits until it is live; then it tells the numbers, 0 and up, of what has come. */
export async function followOf(broker, client, topic, options) {
  const got = [];
  client.subscribe(topic, (event) => got.push(event.data.payload.n), options);
  await until(async () => {
    await broker.publish(topic, { n: -1 });
    return got.length;
  }, `${topic} is live: ${JSON.stringify(client.status)}`);
  return { numbers: () => got.filter((n) => n >= 0) };
}
