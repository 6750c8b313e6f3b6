/* Tabs of a real browser that share a connection: its own locks, channels, and ways to lose a tab. */
// ctest: cost=28
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../testlib/broker.js';
import { needsChromium, atBrowser } from '../../testlib/browser.js';
import { live, range, sessionsOf, stage, Tab } from '../testlib/site.js';

const on = stage();

/** Tabs of a user, who is also the name that they share, in the order in which they will lead. */
async function open(user, number) {
  const tabs = [];
  for (let i = 0; i < number; i++) tabs.push(await Tab.open(on.context, on.site, { url: on.broker.url, share: user, user }));
  return tabs;
}
/** All of them follow the topic, one after the other: the first one leads. */
async function follow(topic, ...tabs) {
  for (const tab of tabs) {
    await tab.follow(topic);
    await live(on.broker, topic, tab);
  }
}
async function publish(topic, from, to) {
  for (let n = from; n < to; n++) await on.broker.publish(topic, { n });
}
/** Each of them has had 0 to `end`, in order and once, and heard of no gap. */
async function haveAll(tabs, topic, end) {
  for (const tab of tabs) {
    await until(async () => (await tab.numbers(topic)).length >= end, `${end} events of ${topic}`);
    assert.deepEqual(await tab.numbers(topic), range(0, end));
    assert.deepEqual(await tab.run(() => globalThis.gaps), []);
  }
}
const close = async (...tabs) => {
  for (const tab of tabs) await tab.page.close();
};

test('three tabs have one connection together; each gets its own topics, once and in order', needsChromium, async () => {
  const tabs = await open('one', 3);
  await follow('tabs:1', ...tabs);
  for (const [i, tab] of tabs.entries()) await follow(`own-${i}:1`, tab);
  assert.equal(await sessionsOf(on.broker, 'one'), 1);
  assert.deepEqual(await Promise.all(tabs.map(async (tab) => (await tab.status()).transport)), ['websocket', 'tab', 'tab']);
  await publish('tabs:1', 0, 20);
  for (const i of tabs.keys()) await publish(`own-${i}:1`, 0, 5);
  await haveAll(tabs, 'tabs:1', 20);
  for (const [i, tab] of tabs.entries()) await haveAll([tab], `own-${i}:1`, 5);

  const { id } = await tabs[2].run(() => globalThis.client.publish({ topic: 'tabs:1', event: 'ADDED', data: { entity_id: 'x', payload: { n: 20 } } }));
  assert.ok(id, 'a follower publishes');
  await haveAll(tabs, 'tabs:1', 21);

  // a follower leaves a topic, and comes back
  await tabs[1].run(() => globalThis.offs['own-1:1']());
  const subscriptions = async () => (await on.broker.sessions()).find((session) => session.user === 'one').subscriptions;
  await until(async () => (await subscriptions()) === 3, 'the broker is told that nobody follows it');
  await tabs[1].run(() => globalThis.offs['tabs:1']());
  await follow('own-1:1', tabs[1]);
  await publish('tabs:1', 21, 25);
  await haveAll([tabs[0], tabs[2]], 'tabs:1', 25);
  assert.deepEqual(await tabs[1].numbers('tabs:1'), range(0, 21), 'who left hears nothing');
  await close(...tabs);
  await until(async () => (await sessionsOf(on.broker, 'one')) === 0, 'the last tab has taken the session with it');
});

test('the tab that leads is closed, and the next one crashes, while events come: nothing is lost, nothing comes twice', needsChromium, async () => {
  const tabs = await open('lead', 3);
  await follow('lead:1', ...tabs);
  await publish('lead:1', 0, 5);
  const closing = tabs[0].page.close();
  await publish('lead:1', 5, 10);
  await closing;
  await tabs[1].over('websocket');
  await publish('lead:1', 10, 15);
  await haveAll(tabs.slice(1), 'lead:1', 15);
  const crashed = new Promise((done) => tabs[1].page.once('crash', done));
  (await tabs[1].devtools()).send('Page.crash').catch(() => {}); // nobody is there to answer
  await publish('lead:1', 15, 20);
  await crashed;
  await tabs[2].over('websocket');
  await publish('lead:1', 20, 25);
  await haveAll([tabs[2]], 'lead:1', 25);
  assert.equal(await sessionsOf(on.broker, 'lead'), 1);
  await close(...tabs.slice(1));
});

test('the tab that leads is frozen: another one leads, and it follows once it thaws', needsChromium, async () => {
  const tabs = await open('ice', 2);
  await follow('ice:1', ...tabs);
  await publish('ice:1', 0, 5);
  await haveAll(tabs, 'ice:1', 5);
  const devtools = await tabs[0].devtools();
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  await publish('ice:1', 5, 10);
  await tabs[1].over('websocket');
  await haveAll([tabs[1]], 'ice:1', 10);
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  await tabs[0].over('tab');
  await publish('ice:1', 10, 15);
  await haveAll(tabs, 'ice:1', 15);
  assert.equal(await sessionsOf(on.broker, 'ice'), 1);
  await close(...tabs);
});

test('a tab that opens later with a snapshot has no hole; two users have nothing of each other', needsChromium, async () => {
  const [first] = await open('anna', 1);
  const [other] = await open('bert', 1);
  await follow('both:1', first, other);
  assert.deepEqual([await sessionsOf(on.broker, 'anna'), await sessionsOf(on.broker, 'bert')], [1, 1]);
  assert.deepEqual([(await first.status()).transport, (await other.status()).transport], ['websocket', 'websocket'], 'neither follows the other');
  await publish('both:1', 0, 10);
  const [late] = await open('anna', 1);
  // what is published while the application reads is not in its data, and comes behind it
  const reading = late.run(async () => {
    const got = (globalThis.got['both:1'] = []);
    let read;
    globalThis.read = () => read('rows up to 9');
    const { data } = await globalThis.client.snapshot('both:1', () => new Promise((done) => (read = done)), (event) => got.push(event.data.payload.n));
    return data;
  });
  await late.over('tab');
  await late.until(() => globalThis.client.state === 'online', 'it follows');
  await publish('both:1', 10, 15);
  await until(async () => (await first.numbers('both:1')).length === 15, 'the other tab has them');
  await late.run(() => globalThis.read());
  assert.equal(await reading, 'rows up to 9');
  await until(async () => (await late.numbers('both:1')).includes(14), 'what came in between');
  assert.deepEqual((await late.numbers('both:1')).filter((n) => n > 9), range(10, 15));
  assert.equal(await sessionsOf(on.broker, 'anna'), 1);
  await close(first, late, other);
});

test('nothing was thrown in a page', needsChromium, () => assert.deepEqual(on.context.thrown, []));
