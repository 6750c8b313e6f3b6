/* The files that are shipped, as pages load them: by script elements, under a policy that allows little, and for long. */
// ctest: cost=65
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { mint, until } from '../../testlib/broker.js';
import { needsChromium } from '../../testlib/browser.js';
import { live, range, sessionsOf, Site, stage, Tab } from '../testlib/site.js';

const EVENTS = 50000;
const WARM = 10000; // until all that is bounded is full
const AT_ONCE = 1000;
const GROWTH_BYTES = 1 << 20;

const on = stage({ tenants: { '*': { hooks: [{ name: 'open', lua: 'open.lua' }], limits: { publish_per_s: EVENTS } } } });

/** Of live.html: the import map stands in the page itself. */
function hashOfImportMap() {
  const [, map] = /<script type="importmap">([^]*?)<\/script>/.exec(readFileSync(new URL('../testlib/pages/live.html', import.meta.url), 'utf8'));
  return `'sha256-${createHash('sha256').update(map).digest('base64')}'`;
}

async function strictSite(connect) {
  const site = on.add(await Site.start());
  site.headers['content-security-policy'] = `default-src 'self'; script-src 'self' ${hashOfImportMap()}; img-src data:; connect-src ${connect}`;
  return site;
}
const openStrict = async (site, options) => {
  const tab = await Tab.open(on.context, site, options);
  await tab.run(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => globalThis.violations.push(`${effectiveDirective} ${blockedURI}`));
  });
  return tab;
};

for (const page of ['script.html', 'live.html'])
  test(`${page}: a policy without eval and inline code, and with the broker's address, is all that each transport and sharing need`, needsChromium, async () => {
    const site = await strictSite(`${on.broker.url} ${on.broker.url.replace('http', 'ws')}`);
    const user = page.split('.')[0];
    const tabs = [];
    for (const options of [{}, { transports: ['sse'] }, { transports: ['longpoll'] }, { share: user }, { share: user, tickets: true }])
      tabs.push(await openStrict(site, { url: on.broker.url, user, page, ...options }));
    await Promise.all(tabs.map((tab) => tab.follow(`${user}:1`)));
    await live(on.broker, `${user}:1`, ...tabs);
    for (let n = 0; n < 5; n++) await on.broker.publish(`${user}:1`, { n });
    for (const tab of tabs) {
      await until(async () => (await tab.numbers(`${user}:1`)).length >= 5);
      assert.deepEqual(await tab.numbers(`${user}:1`), range(0, 5));
      assert.deepEqual(await tab.run(() => globalThis.violations), []);
    }
    const transports = await Promise.all(tabs.map(async (tab) => (await tab.status()).transport));
    assert.deepEqual(transports.slice(0, 3), ['websocket', 'sse', 'longpoll']);
    assert.deepEqual(transports.slice(3).sort(), ['tab', 'websocket']);
    for (const tab of tabs) await tab.page.close();
  });

test('the policy of these tests forbids what it should', needsChromium, async () => {
  const tab = await openStrict(await strictSite(on.broker.url), { url: on.broker.url }); // not its WebSocket
  await tab.follow('none:1');
  await tab.until(() => globalThis.violations.length, 'a violation');
  const [violation] = await tab.run(() => globalThis.violations);
  assert.match(violation, /^connect-src ws:/);
  const evaluate = () => {
    try {
      return (0, eval)('1');
    } catch ({ name }) {
      return name;
    }
  };
  // not as a part of what the browser's driver runs, which may do anything
  const thrown = await tab.run(`new Promise((done) => setTimeout(() => done((${evaluate})())))`);
  assert.equal(thrown, 'EvalError');
  await tab.page.close();
});

test('a tab with the file for script elements and one with the modules share a connection', needsChromium, async () => {
  const tabs = [];
  for (const page of ['script.html', 'live.html']) {
    tabs.push(await Tab.open(on.context, on.site, { url: on.broker.url, user: 'mixed', share: 'mixed', page }));
    await tabs.at(-1).follow('mixed:1');
    await live(on.broker, 'mixed:1', tabs.at(-1));
  }
  assert.deepEqual(await Promise.all(tabs.map(async (tab) => (await tab.status()).transport)), ['websocket', 'tab']);
  assert.equal(await sessionsOf(on.broker, 'mixed'), 1);
  for (const tab of tabs) await tab.page.close();
});

test(`after ${EVENTS} events a page needs no more memory than after ${WARM}`, needsChromium, async () => {
  const tabs = [];
  for (const options of [{ share: 'heap' }, { share: 'heap' }, { transports: ['sse'] }]) {
    const tab = await Tab.open(on.context, on.site, { url: on.broker.url, ...options });
    await tab.run(() => {
      globalThis.count = 0;
      globalThis.client.subscribe('heap:1', ({ data }) => (data.payload.text ? globalThis.count++ : (globalThis.isLive = true)));
    });
    tabs.push(tab);
  }
  await until(async () => (await on.broker.publish('heap:1'), (await Promise.all(tabs.map((tab) => tab.run(() => globalThis.isLive)))).every(Boolean)), 'all follow');

  let published = 0;
  const publish = async () => {
    const event = { topic: 'heap:1', event: 'UPDATED', data: { entity_id: 'e', payload: { text: 'some words' } } };
    const response = await fetch(`${on.broker.url}/publish`, {
      method: 'POST',
      headers: { authorization: `Bearer ${mint('backend')}`, 'content-type': 'application/json' },
      body: JSON.stringify(Array(AT_ONCE).fill(event)),
    });
    const answer = await response.text();
    assert.equal(response.status, 200, answer.slice(-300));
  };
  const heapOf = async (tab) => {
    const devtools = await tab.devtools();
    await devtools.send('HeapProfiler.collectGarbage');
    return (await devtools.send('Runtime.getHeapUsage')).usedSize;
  };
  const upTo = async (end) => {
    for (; published < end; published += AT_ONCE) await publish();
    // seldom: each look costs what some events do
    await Promise.all(tabs.map((tab) => tab.page.waitForFunction((least) => globalThis.count >= least, end, { polling: 200, timeout: 60000 })));
    return Promise.all(tabs.map(heapOf));
  };
  const before = await upTo(WARM);
  const after = await upTo(EVENTS);
  for (const [i, bytes] of after.entries()) assert.ok(bytes - before[i] < GROWTH_BYTES, `tab ${i}: ${before[i]} bytes became ${bytes}`);
  for (const tab of tabs) {
    assert.equal(await tab.run(() => globalThis.count), EVENTS);
    await tab.page.close();
  }
});

test('nothing was thrown in a page', needsChromium, () => assert.deepEqual(on.context.thrown, []));
