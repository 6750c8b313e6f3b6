/* The transports of a real browser: its WebSocket, its fetch and its streams, and what it lets a page of another origin do. */
// ctest: cost=45
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Broker, until } from '../../testlib/broker.js';
import { needsChromium } from '../../testlib/browser.js';
import { live, range, Site, stage, Tab } from '../testlib/site.js';

const TRANSPORTS = ['websocket', 'sse', 'longpoll', 'polling'];

const on = stage();

test('each transport delivers in order and once, over cuts; a page publishes over each', needsChromium, async () => {
  const proxy = await on.proxy();
  const tabs = await Promise.all(TRANSPORTS.map((transport) => Tab.open(on.context, on.site, { url: proxy.url, transports: [transport], pollMs: 50 })));
  await Promise.all(tabs.map((tab) => tab.follow('each:1')));
  await live(on.broker, 'each:1', ...tabs);
  for (let n = 0; n < 30; n++) {
    if (n % 10 === 5) proxy.drop();
    await on.broker.publish('each:1', { n });
  }
  let end = 30;
  for (const tab of tabs) {
    const ack = await tab.run((n) => globalThis.client.publish({ topic: 'each:1', event: 'ADDED', data: { entity_id: 'x', payload: { n } } }), end++);
    assert.ok(ack.id);
  }
  for (const [i, tab] of tabs.entries()) {
    await until(async () => (await tab.numbers('each:1')).length >= end, `all over ${TRANSPORTS[i]}`);
    assert.deepEqual(await tab.numbers('each:1'), range(0, end), TRANSPORTS[i]);
    assert.deepEqual(await tab.run(() => globalThis.gaps), [], TRANSPORTS[i]);
    assert.equal((await tab.status()).transport, TRANSPORTS[i]);
    await tab.page.close();
  }
});

test('a proxy that knows no WebSocket and collects streams: long polls, until it is mended, and nothing is lost', needsChromium, async () => {
  const proxy = await on.proxy();
  proxy.stripsUpgrade = true;
  proxy.collects = /^\/sse/;
  const tab = await Tab.open(on.context, on.site, { url: proxy.url, reprobeMs: 400, connectTimeoutMs: 2000 });
  await tab.follow('fall:1');
  await tab.over('longpoll');
  assert.equal((await tab.status()).state, 'degraded');
  assert.deepEqual(TRANSPORTS.slice(0, 2).map((name, i) => proxy.seen.filter((path) => path.startsWith(['/ws', '/sse'][i])).length >= 2), [true, true], 'each was tried twice');
  await live(on.broker, 'fall:1', tab);
  let n = 0;
  const publish = async (number) => {
    for (const end = n + number; n < end; n++) await on.broker.publish('fall:1', { n });
  };
  await publish(10);
  await tab.run(() => (globalThis.states.length = 0));
  proxy.collects = undefined;
  await until(async () => (await publish(1), (await tab.status()).transport === 'sse'), 'the stream is taken again');
  proxy.stripsUpgrade = false;
  await until(async () => (await publish(1), (await tab.status()).transport === 'websocket'), 'and the WebSocket');
  await publish(10);
  await until(async () => (await tab.numbers('fall:1')).length >= n, 'all of them');
  assert.deepEqual(await tab.numbers('fall:1'), range(0, n));
  assert.deepEqual([...new Set(await tab.states())], ['online'], 'it never was without a connection');
  await tab.page.close();
});

test('a page of an origin that is not listed is refused with a word over WebSocket, and else tries again; one that is listed is served', needsChromium, async () => {
  const listed = on.add(await Site.start());
  const own = on.add(await Broker.start({ auth: { origins: [listed.origin] } }));
  // it waits long, so that what an attempt has ended with can be looked at
  const options = { url: own.url, backoff: { minMs: 1e6, maxMs: 1e6 } };
  const open = (from) => Promise.all(['websocket', 'sse'].map((transport) => Tab.open(on.context, from, { ...options, transports: [transport] })));
  const [refused, served] = await Promise.all([open(on.site), open(listed)]);
  for (const tab of [...refused, ...served]) await tab.follow('cors:1');
  await live(own, 'cors:1', ...served);

  const ends = [];
  for (const tab of refused) ends.push(await until(async () => ((await tab.status()).code ? tab.status() : undefined), 'it has ended'));
  assert.deepEqual(ends[0], { state: 'failed', code: 'forbidden_topic', message: 'this origin is not allowed here' });
  // a browser does not tell a page why it may not read an answer
  assert.deepEqual({ ...ends[1], retryAt: 0 }, { state: 'waiting', retryAt: 0, code: 'lost', message: 'Failed to fetch' });
  for (const tab of refused) assert.deepEqual(await tab.run(() => globalThis.got['cors:1']), []);
  for (const tab of [...refused, ...served]) await tab.page.close();
});

test('nothing was thrown in a page', needsChromium, () => assert.deepEqual(on.context.thrown, []));
