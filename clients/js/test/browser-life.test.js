/* What happens to a page in a real browser: no network, nobody who looks, "back", sleep, and its end. */
// ctest: cost=55
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Broker, until } from '../../testlib/broker.js';
import { needsChromium } from '../../testlib/browser.js';
import { live, range, sessionsOf, stage, Tab } from '../testlib/site.js';

const HOUR_MS = 3600000;
const BEAT_MS = 500;
const FOR_HOURS = { minMs: HOUR_MS, maxMs: HOUR_MS };
const AWAY_MS = 16000; // a beat of the client, and how late it may be

const on = stage({ heartbeat: { interval_ms: HOUR_MS - 1, timeout_ms: HOUR_MS } });
const sleepers = new Map(); // are frozen while the other tests run
let sinceMs;

/** A tab of a user of its own, who follows a topic of that name. It would wait for hours, if nothing woke it. */
async function open(user, options) {
  const tab = await Tab.open(on.context, on.site, { url: on.broker.url, user, backoff: FOR_HOURS, ...options });
  await tab.follow(`${user}:1`);
  await live(on.broker, `${user}:1`, tab);
  await tab.run(() => (globalThis.states.length = 0));
  return tab;
}
async function publish(user, from, to) {
  for (let n = from; n < to; n++) await on.broker.publish(`${user}:1`, { n });
}
const isUp = (tab) => tab.until(() => /online|degraded/.test(globalThis.client.state), 'it is connected');
/** Has had 0 to `end`, in order and once, and heard of no gap. */
async function has(tab, user, end) {
  await until(async () => (await tab.numbers(`${user}:1`)).length >= end, `${end} events of ${user}`, 60000);
  assert.deepEqual(await tab.numbers(`${user}:1`), range(0, end));
  assert.deepEqual(await tab.run(() => globalThis.gaps), []);
}

test('the browser loses its network, and has it again', needsChromium, async () => {
  const tab = await open('offline');
  await on.context.setOffline(true);
  await tab.until(() => globalThis.client.state === 'offline', 'the browser says so');
  await until(async () => (await sessionsOf(on.broker, 'offline')) === 0, 'it has left the broker');
  await publish('offline', 0, 5);
  await on.context.setOffline(false);
  await isUp(tab);
  await publish('offline', 5, 10);
  await has(tab, 'offline', 10);
  assert.deepEqual(await tab.states(), ['offline', 'connecting', 'online']);
  await tab.page.close();
});

test('pages are frozen, and their connections die: one ends, of the other nothing is heard any more', needsChromium, async () => {
  for (const [user, die, backoff] of [['ended', 'drop', FOR_HOURS], ['mute', 'halfOpen']]) {
    const proxy = await on.proxy();
    const tab = await open(user, { url: proxy.url, backoff });
    await (await on.context.newPage()).bringToFront();
    await tab.until(() => document.visibilityState === 'hidden', 'nobody looks at it');
    await (await tab.devtools()).send('Page.setWebLifecycleState', { state: 'frozen' });
    proxy[die]();
    sleepers.set(user, tab);
  }
  sinceMs = Date.now();
});

test('a tab that nobody looked at connects when somebody does', needsChromium, async () => {
  const proxy = await on.proxy();
  const tab = await open('hidden', { url: proxy.url, transports: ['websocket'] });
  const other = await on.context.newPage();
  await tab.until(() => document.visibilityState === 'hidden', 'nobody looks at it');
  proxy.mode = 'refuse';
  proxy.drop();
  await tab.until(() => globalThis.client.state === 'waiting', 'it waits for hours');
  proxy.mode = 'pass';
  await publish('hidden', 0, 5);
  await tab.page.bringToFront();
  await isUp(tab);
  await has(tab, 'hidden', 5);
  await Promise.all([tab.page.close(), other.close()]);
});

test('a connection that is dead without a word is found, also by a page that does nothing', needsChromium, async () => {
  const lively = on.add(await Broker.start({ heartbeat: { interval_ms: BEAT_MS, timeout_ms: HOUR_MS } }));
  const proxy = await on.proxy(lively);
  const tab = await Tab.open(on.context, on.site, { url: proxy.url, transports: ['websocket'] });
  await tab.follow('half:1');
  await live(lively, 'half:1', tab);
  proxy.halfOpen();
  await lively.publish('half:1', { n: 0 });
  await has(tab, 'half', 1);
  await tab.page.close();
});

test('a page that is left has left the broker, though it is kept for "back"; it goes on at once when it is shown again', needsChromium, async () => {
  const tabs = new Map();
  for (const [user, options] of Object.entries({ socket: {}, stream: { transports: ['sse'] }, shares: { share: 'back' } })) tabs.set(user, await open(user, options));
  for (const [user, tab] of tabs) {
    await tab.run(() => addEventListener('pageshow', ({ persisted }) => (globalThis.isKept = persisted)));
    await tab.page.goto(`${on.site.origin}/elsewhere.html`);
    await until(async () => (await sessionsOf(on.broker, user)) === 0, `${user} has left`);
  }
  for (const [user, tab] of tabs) {
    await publish(user, 0, 5);
    await tab.page.bringToFront();
    await tab.page.goBack({ waitUntil: 'commit' });
    await tab.until(() => globalThis.isKept, `${user}: the page itself is back`);
    await isUp(tab);
    await publish(user, 5, 10);
    await has(tab, user, 10);
    await tab.page.close();
  }
});

test('of a tab that follows another one, and is left, nothing is followed any more', needsChromium, async () => {
  const [leader, follower] = [await open('left', { share: 'left' }), await open('left', { share: 'left' })];
  await follower.follow('own:1');
  await live(on.broker, 'own:1', follower);
  const subscriptions = async () => (await on.broker.sessions()).find(({ user }) => user === 'left').subscriptions;
  assert.equal(await subscriptions(), 2);
  await follower.page.goto(`${on.site.origin}/elsewhere.html`);
  await until(async () => (await subscriptions()) === 1, 'the leader has left its topic');
  await Promise.all([leader.page.close(), follower.page.close()]);
});

test('close leaves no session, timer or listener', needsChromium, async () => {
  for (const options of [{}, { transports: ['sse'] }, { transports: ['longpoll'] }, { share: 'close' }]) {
    const user = `close-${Object.values(options).flat().join()}`;
    const tab = await open(user, { ...options, lingerMs: HOUR_MS });
    const devtools = await tab.devtools();
    const listeners = async () => {
      const all = [];
      for (const expression of ['globalThis', 'document']) {
        const { result } = await devtools.send('Runtime.evaluate', { expression });
        all.push(...(await devtools.send('DOMDebugger.getEventListeners', { objectId: result.objectId })).listeners);
      }
      return all.map(({ type }) => type);
    };
    assert.ok((await listeners()).includes('online'), 'there are some until then');
    const left = await tab.run((topic) => {
      globalThis.client.publish({ topic, event: 'ADDED', data: { entity_id: 'x', payload: {} } }).catch(() => {});
      globalThis.offs[topic]();
      const before = globalThis.timers.size;
      globalThis.client.close();
      return [before > 0, globalThis.timers.size];
    }, `${user}:1`);
    assert.deepEqual(left, [true, 0], `${user}: no timer`);
    assert.deepEqual(await listeners(), [], user);
    if (!user.includes('longpoll')) await until(async () => (await sessionsOf(on.broker, user)) === 0, `${user}: no session`); // the broker keeps it between polls
    if (options.share) assert.deepEqual(await tab.run(async () => (await navigator.locks.query()).held), []);
    await tab.page.close();
  }
});

test('they thaw, and are connected again: that its timers are late tells a page how long it was away', needsChromium, async () => {
  await until(() => Date.now() - sinceMs > AWAY_MS, 'they were away for long enough', AWAY_MS);
  for (const [user, tab] of sleepers) {
    await publish(user, 0, 5);
    await (await tab.devtools()).send('Page.setWebLifecycleState', { state: 'active' });
    await has(tab, user, 5);
  }
});

test('nothing was thrown in a page', needsChromium, () => assert.deepEqual(on.context.thrown, []));
