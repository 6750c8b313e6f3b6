/* Nothing is lost, nothing comes twice, nothing comes out of order: over all transports, while the network does what it can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { Broker, mint, until } from '../../testlib/broker.js';
import { Proxy } from '../../testlib/proxy.js';

globalThis.WebSocket ??= WebSocket;

const SECONDS = Number(process.env.LEDGER_SECONDS ?? 15);
const EVERY_MS = 20;
const TOPICS = ['ledger:1', 'ledger:2', 'ledger:3'];

/** Random, but the same again for the same seed. */
function dice(seed) {
  return (n) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
}

test(`a ledger of ${SECONDS} s over a hostile network: every event once and in order, on every transport`, async (t) => {
  const seed = Number(process.env.LEDGER_SEED ?? Date.now() % 1e6);
  t.diagnostic(`LEDGER_SEED=${seed}`);
  const roll = dice(seed);
  const broker = await Broker.start({ heartbeat: { interval_ms: 500, timeout_ms: 60000 }, tenants: { '*': { hooks: [{ name: 'open', lua: 'open.lua' }], limits: { connections: 10000, publish_per_s: 10000 } } } });
  const readers = [];
  for (const transports of [['websocket'], ['sse'], ['longpoll'], ['polling'], undefined]) {
    const proxy = await Proxy.start(broker.port);
    const client = createClient({ url: proxy.url, transports, getToken: () => mint('reader'), lingerMs: 20, pollMs: 40, backoff: { minMs: 20, maxMs: 300 }, reprobeMs: 1000, connectTimeoutMs: 1500 });
    const got = Object.fromEntries(TOPICS.map((topic) => [topic, []]));
    const gaps = [];
    const ups = new Set();
    client.onStatus(({ state, transport }) => (state === 'online' || state === 'degraded') && ups.add(transport));
    // by name, and one by a pattern that matches all of them too
    for (const topic of TOPICS) client.subscribe(topic, (event) => got[topic].push(event.data.payload.n), { onGap: (gap) => gaps.push(gap) });
    const all = [];
    client.subscribe('ledger:*', (event) => all.push(`${event.topic} ${event.data.payload.n}`));
    readers.push({ name: (transports ?? ['all']).join(), proxy, client, got, all, gaps, ups });
  }
  const publisherProxy = await Proxy.start(broker.port);
  const publisher = createClient({ url: publisherProxy.url, getToken: () => mint('writer'), backoff: { minMs: 20, maxMs: 300 }, connectTimeoutMs: 1500, reprobeMs: 1000 });
  const faulty = [...readers.map(({ proxy }) => proxy), publisherProxy];
  let faults = 0;
  const fault = () => {
    const proxy = faulty[roll(faulty.length)];
    const kind = roll(8);
    faults++;
    if (kind < 2) proxy.drop();
    else if (kind === 2) proxy.truncate();
    else if (kind === 3) proxy.halfOpen(1), proxy.drop(1);
    else if (kind === 4) proxy.latencyMs = roll(60);
    else if (kind === 5) proxy.handshakeMs = roll(300);
    else if (kind === 6) {
      proxy.mode = ['refuse', 'bad-gateway'][roll(2)];
      proxy.drop();
      setTimeout(() => (proxy.mode = 'pass'), 100 + roll(400));
    } else if (proxy !== publisherProxy) {
      proxy.stripsUpgrade = true;
      setTimeout(() => (proxy.stripsUpgrade = false), 500);
      proxy.drop();
    }
  };
  try {
    // live first: what comes before it is not promised
    for (const { client, got, name } of readers)
      await until(async () => {
        await Promise.all(TOPICS.map((topic) => broker.publish(topic, { n: -1 })));
        return TOPICS.every((topic) => got[topic].length);
      }, `${name} is live: ${JSON.stringify(client.status)}`);

    const sent = Object.fromEntries(TOPICS.map((topic) => [topic, []]));
    const acks = [];
    const end = Date.now() + SECONDS * 1000;
    // a busy machine takes longer to have as many faults
    for (let n = 0; Date.now() < end || faults < SECONDS; n++) {
      const topic = TOPICS[n % TOPICS.length];
      // two steady back ends, of which one is a client behind the same kind of network; each topic has one, or there were no order
      if (topic === TOPICS[0]) acks.push(publisher.publish({ topic, event: 'ADDED', data: { entity_id: `e${n}`, payload: { n } } }, { timeoutMs: 60000 }));
      else {
        await broker.publish(topic, { n });
        sent[topic].push(n);
      }
      if (n % 5 === 0) fault();
      await new Promise((done) => setTimeout(done, EVERY_MS));
    }
    for (const proxy of faulty) {
      Object.assign(proxy, { mode: 'pass', latencyMs: 0, handshakeMs: 0, stripsUpgrade: false });
      proxy.drop(); // a poll that hangs would be waited for longer than a test may last
    }
    const ids = (await Promise.all(acks)).map(({ id }) => id);
    assert.equal(new Set(ids).size, acks.length, 'each publish has been stored as one event');
    // concurrent retries may be stored in another order than they were sent: the journal's is the one that counts
    sent[TOPICS[0]] = [];
    for (let cursor, page; !page || page.events.length; cursor = page.cursor) {
      page = await publisher.history(TOPICS[0], { cursor });
      sent[TOPICS[0]].push(...page.events.map((event) => event.data.payload.n).filter((n) => n >= 0));
    }
    assert.equal(sent[TOPICS[0]].length, acks.length, 'the journal has each publish once');

    for (const { name, got, all, client, gaps, ups } of readers) {
      for (const topic of TOPICS) {
        const numbers = () => got[topic].filter((n) => n >= 0);
        await until(() => numbers().length >= sent[topic].length, `${name}, ${topic}: all of it; ${JSON.stringify(client.status)}`, 30000).catch(() => {});
        const there = numbers();
        const lost = sent[topic].filter((n) => !there.includes(n));
        const twice = there.filter((n, i) => there.indexOf(n) !== i);
        assert.deepEqual({ name, topic, lost: lost.slice(0, 5), twice: twice.slice(0, 5), number: there.length }, { name, topic, lost: [], twice: [], number: sent[topic].length });
        assert.ok(there.every((n, i) => n === sent[topic][i]), `${name}, ${topic}: in order`);
        assert.equal(all.filter((line) => line.startsWith(topic + ' ') && !line.endsWith('-1')).length, sent[topic].length, `${name}: by the pattern too`);
      }
      assert.deepEqual(gaps, []);
      t.diagnostic(`${name}: ${[...ups].join(', ')}`);
    }
  } finally {
    for (const { client, proxy } of readers) {
      client.close();
      await proxy.stop();
    }
    publisher.close();
    await publisherProxy.stop();
    await broker.stop();
  }
});
