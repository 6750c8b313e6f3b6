/* The React adapter in a real browser: components that are hidden, and what a screen reader and a keyboard have of the status. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { until } from '../../testlib/broker.js';
import { needsChromium } from '../../testlib/browser.js';
import { live, range, sessionsOf, stage, Tab } from '../testlib/site.js';

const HOUR_MS = 3600000;

async function bundle({ site }) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../testlib/react-page.js', import.meta.url))],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'warning',
    define: { 'process.env.NODE_ENV': '"development"' }, // StrictMode does what it does
  });
  site.files['/react-page.js'] = { body: outputFiles[0].text, type: 'text/javascript' };
}
const on = stage({}, bundle);

const open = (user, options) => Tab.open(on.context, on.site, { url: on.broker.url, user, page: 'react.html', topic: `${user}:1`, ...options });
async function publish(user, from, to) {
  for (let n = from; n < to; n++) await on.broker.publish(`${user}:1`, { n });
}
async function has(tab, user, end) {
  await until(async () => (await tab.numbers(`${user}:1`)).length >= end, `${end} events of ${user}`);
  assert.deepEqual(await tab.numbers(`${user}:1`), range(0, end));
  assert.deepEqual(await tab.run(() => globalThis.gaps), []);
}

test('a component that is hidden follows nothing, and is told what it missed when it is shown', needsChromium, async () => {
  const tab = await open('activity');
  await live(on.broker, 'activity:1', tab);
  assert.equal(await sessionsOf(on.broker, 'activity'), 1, 'StrictMode opens one');
  await publish('activity', 0, 3);
  await has(tab, 'activity', 3);
  await tab.run(() => globalThis.setMode('hidden'));
  await until(async () => (await sessionsOf(on.broker, 'activity')) === 0, 'nothing is followed');
  await publish('activity', 3, 6);
  assert.equal((await tab.numbers('activity:1')).length, 3);
  await tab.run(() => globalThis.setMode('visible'));
  await has(tab, 'activity', 6);
  await publish('activity', 6, 9);
  await has(tab, 'activity', 9);
  assert.equal(await sessionsOf(on.broker, 'activity'), 1);
  await tab.run(() => globalThis.unmount());
  await until(async () => (await sessionsOf(on.broker, 'activity')) === 0, 'unmounting has ended it');
  assert.equal(await tab.run(() => globalThis.client.state), 'idle');
  await tab.page.close();
});

/** What assistive technology is told of the page: by role, what has a name or text. */
async function readTree(tab) {
  const { nodes } = await (await tab.devtools()).send('Accessibility.getFullAXTree');
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const textOf = (node) => (node.role?.value === 'StaticText' ? node.name.value : (node.childIds ?? []).map((id) => textOf(byId.get(id))).join(''));
  const find = (role) => nodes.find((node) => !node.ignored && node.role?.value === role);
  const isIn = (node, outer) => !!node && (node === outer || isIn(byId.get(node.parentId), outer));
  const buttons = nodes.filter((node) => !node.ignored && node.role?.value === 'button').map((node) => node.name.value);
  const region = find('status');
  return {
    text: region && textOf(region),
    live: region?.properties.find(({ name }) => name === 'live')?.value.value,
    atomic: region?.properties.find(({ name }) => name === 'atomic')?.value.value,
    timer: find('timer') && textOf(find('timer')),
    isTimerRead: isIn(find('timer'), region),
    buttons,
  };
}

test('the status is read out once: not the countdown, and not each attempt; the keyboard tries at once, and keeps its place', needsChromium, async () => {
  const proxy = await on.proxy();
  const tab = await open('status', { url: proxy.url, transports: ['websocket'], backoff: { minMs: HOUR_MS, maxMs: HOUR_MS } });
  await live(on.broker, 'status:1', tab);
  const { page } = tab;
  assert.deepEqual(await readTree(tab), { text: 'Live', live: 'polite', atomic: true, timer: undefined, isTimerRead: false, buttons: ['before'] });

  // what changes in the region is what is read
  await tab.run(() => {
    const region = document.querySelector('[role=status]');
    globalThis.read = [];
    globalThis.counted = new Set();
    new MutationObserver(() => globalThis.read.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
    new MutationObserver(() => globalThis.counted.add(document.querySelector('[role=timer]')?.textContent)).observe(document.body, { childList: true, characterData: true, subtree: true });
  });
  proxy.mode = 'refuse';
  proxy.drop();
  await tab.until(() => globalThis.client.state === 'waiting', 'the connection is lost');
  await tab.until(() => globalThis.counted.size > 2, 'it counts down');
  const tree = await readTree(tab);
  assert.match(tree.timer, /^in \d+ s$/);
  assert.deepEqual({ ...tree, timer: 0 }, { text: 'Connection lost, trying again', live: 'polite', atomic: true, timer: 0, isTimerRead: false, buttons: ['before', 'Try again now'] });

  await page.focus('#before');
  await page.keyboard.press('Tab');
  const focused = () => tab.run(() => document.activeElement.textContent);
  assert.equal(await focused(), 'Try again now');
  const states = tab.run(() => new Promise((done) => globalThis.client.onStatus(({ state }) => state === 'waiting' && done())));
  await page.keyboard.press('Enter');
  await states; // in vain
  assert.equal(await focused(), 'Try again now', 'the place on the page is kept during an attempt');
  assert.deepEqual(await tab.run(() => globalThis.read), ['Connection lost, trying again'], 'said once');

  proxy.mode = 'pass';
  await page.keyboard.press('Enter');
  await tab.until(() => globalThis.client.state === 'online', 'the button has connected');
  await tab.until(() => globalThis.read.length > 1, 'it is said');
  assert.deepEqual(await tab.run(() => globalThis.read), ['Connection lost, trying again', 'Live']);
  assert.deepEqual(await tab.run(() => document.activeElement.getAttribute('role')), 'status', 'the focus stays near');
  assert.deepEqual((await readTree(tab)).buttons, ['before']);
  await page.close();
});

test('nothing was thrown in a page', needsChromium, () => assert.deepEqual(on.context.thrown, []));
