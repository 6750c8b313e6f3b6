/* One connection for all tabs. */
// ctest: cost=25
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { Broker, mint, until } from '../../testlib/broker.js';
import { Locks } from '../../testlib/locks.js';
import { Proxy } from '../../testlib/proxy.js';

/** What is sent to the broker. */
const sent = [];
globalThis.WebSocket = class extends WebSocket {
  send(text) {
    sent.push(JSON.parse(text));
    super.send(text);
  }
};
const locks = new Locks();
Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true });

/* A tab that is frozen neither hears nor speaks, but keeps its locks. */
const RealChannel = globalThis.BroadcastChannel;
let channels = [];
globalThis.BroadcastChannel = class extends RealChannel {
  isFrozen = false;
  /** What is done with a message in its place. */
  keeps = undefined;
  constructor(name) {
    super(name);
    channels.push(this);
  }
  postMessage(message) {
    if (!this.isFrozen && !this.keeps?.(message)) super.postMessage(message);
  }
  set onmessage(run) {
    this.hear = run;
    super.onmessage = (event) => this.isFrozen || run(event);
  }
};

let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const tabsOfAll = [];
after(() => tabsOfAll.forEach((tab) => tab.close())); // of a test that failed, or the file would not end

let rooms = 0;
/** Tabs of one page, in the order in which they were opened. */
function open(number, options = {}) {
  const share = `page-${rooms++}`;
  channels = [];
  return Array.from({ length: number }, (_, i) => {
    const client = createClient({ url: broker.url, getToken: () => mint(share), share, lingerMs: 20, backoff: { minMs: 20, maxMs: 200 }, ...options });
    tabsOfAll.push(client);
    return Object.assign(client, { tab: i, user: share });
  });
}
function follow(client, topic, options) {
  const got = [];
  const gaps = [];
  const off = client.subscribe(topic, (event) => got.push(event.data.payload.n), { onGap: (gap) => gaps.push(gap), ...options });
  return { got, gaps, off, numbers: () => got.filter((n) => n >= 0) };
}
async function live(topic, ...readers) {
  await until(async () => {
    await broker.publish(topic, { n: -1 });
    return readers.every(({ got }) => got.length);
  }, `all follow ${topic}`);
}
const sessions = async (user) => (await broker.sessions()).filter((session) => (session.user_id ?? session.user) === user);
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

test('tabs have one connection together; each gets its own topics, once and in order', async () => {
  const tabs = open(3);
  const all = tabs.map((tab) => follow(tab, 'tabs:1'));
  const own = tabs.map((tab, i) => follow(tab, `tabs-own:${i}`));
  await live('tabs:1', ...all);
  for (const [i, one] of own.entries()) await live(`tabs-own:${i}`, one);
  assert.equal((await sessions(tabs[0].user)).length, 1);
  assert.deepEqual(tabs.map((tab) => tab.status.transport), ['websocket', 'tab', 'tab']);
  for (let n = 0; n < 30; n++) {
    await broker.publish('tabs:1', { n });
    await broker.publish(`tabs-own:${n % 3}`, { n });
  }
  for (const { numbers } of all) await until(() => numbers().length === 30);
  for (const { numbers } of all) assert.deepEqual(numbers(), range(0, 30));
  for (const [i, { numbers }] of own.entries()) await until(() => numbers().length === 10, `tab ${i}`);
  assert.deepEqual(own[1].numbers(), range(0, 30).filter((n) => n % 3 === 1));
  const ack = await tabs[2].publish({ topic: 'tabs:1', event: 'ADDED', data: { entity_id: 'x', payload: { n: 30 } } });
  assert.ok(ack.id);
  await until(() => all.every(({ numbers }) => numbers().includes(30)));
  assert.equal((await tabs[1].history('tabs:1', { limit: 1 })).events.length, 1);
  await assert.rejects(tabs[1].publish({ topic: 'sealed:1', event: 'ADDED', data: { entity_id: 'x', payload: {} } }), { code: 'forbidden_topic' });
  const errors = [];
  tabs[2].subscribe('secret:1', () => {}, { onError: ({ code }, topic) => errors.push(`${topic} ${code}`) });
  await until(() => errors.length);
  assert.deepEqual(errors, ['secret:1 forbidden_topic']);
  for (const tab of tabs) tab.close();
  await until(() => locks.names.length === 0, `locks: ${locks.names}`);
  await until(async () => (await sessions(tabs[0].user)).length === 0, 'no session is left');
});

test('the leading tab is closed again and again, while events come: nothing is lost, nothing comes twice', async () => {
  const tabs = open(5);
  const readers = tabs.map((tab) => follow(tab, 'lead:1'));
  await live('lead:1', ...readers);
  let n = 0;
  const publish = async (number) => {
    for (const end = n + number; n < end; n++) await broker.publish('lead:1', { n });
  };
  await publish(10);
  for (let i = 0; i < 4; i++) {
    await until(() => tabs[i].status.transport === 'websocket', `tab ${i} leads`);
    const before = tabs[4].publish({ topic: 'count:1', event: 'ADDED', data: { entity_id: 'x', payload: { n: i } } });
    tabs[i].close();
    await publish(10);
    assert.ok((await before).id);
  }
  await until(() => tabs[4].status.transport === 'websocket', 'the last one leads');
  await publish(5);
  await until(() => readers[4].numbers().length >= n, `${readers[4].numbers()}`);
  assert.deepEqual(readers[4].numbers(), range(0, n));
  assert.deepEqual(readers[4].gaps, []);
  assert.deepEqual((await tabs[4].history('count:1')).events.map((event) => event.data.payload.n), [0, 1, 2, 3]);
  tabs[4].close();
});

test('the connection of the leading tab is cut: the others see it, and lose nothing', async () => {
  const tabs = open(2);
  const readers = [follow(tabs[0], 'shut:1'), follow(tabs[1], 'shut:1'), follow(tabs[1], 'shut:*')];
  await live('shut:1', ...readers);
  const states = [];
  tabs[1].onStatus(({ state }) => states.push(state));
  for (let n = 0; n < 30; n++) {
    if (n % 10 === 5) await broker.ask('POST', '/api/sessions/disconnect', { user: tabs[0].user, tenant: 'acme', code: 1001 });
    await broker.publish('shut:1', { n });
  }
  for (const { numbers } of readers) await until(() => numbers().length >= 30);
  for (const { numbers } of readers) assert.deepEqual(numbers(), range(0, 30));
  assert.ok(states.includes('waiting') && states.at(-1) === 'online', `${states}`);
  for (const tab of tabs) tab.close();
});

test('the leading tab ends in the middle of what it recovers: who follows has not come further than it did', async (t) => {
  const proxy = await Proxy.start(broker.port);
  t.after(() => proxy.stop());
  const tabs = open(2, { url: proxy.url });
  // more than one message of topics: the first ones recover before the last one
  const topics = Array.from({ length: 60 }, (_, i) => `middle-${i}:1`);
  const readers = tabs.map((tab) => topics.map((topic) => follow(tab, topic)));
  const [first, last] = [topics[0], topics[59]];
  for (const i of [0, 59]) await live(topics[i], readers[0][i], readers[1][i]);
  tabs[0].subscribe(first, (event) => {
    if (event.data.payload.n !== 2) return;
    channels[0].isFrozen = true; // this one has been told, and nothing behind it is
    setTimeout(() => tabs[0].close(), 50);
  });
  proxy.mode = 'refuse';
  proxy.drop();
  await broker.publish(last, { n: 1 });
  await broker.publish(first, { n: 2 });
  proxy.mode = 'pass';
  await until(() => tabs[0].state === 'closed' && tabs[1].status.transport === 'websocket', 'the other one leads');
  await until(() => readers[1][59].numbers().length, 'what came before what was seen last');
  await until(() => readers[1][0].numbers().length);
  assert.deepEqual([readers[1][59].numbers(), readers[1][0].numbers()], [[1], [2]]);
  tabs[1].close();
});

test('a tab that opens behind a cursor gets what it missed', async () => {
  const tabs = open(2);
  const first = follow(tabs[0], 'behind:1');
  await live('behind:1', first);
  const cursor = await broker.publish('behind:1', { n: 0 });
  for (let n = 1; n < 20; n++) await broker.publish('behind:1', { n });
  const second = follow(tabs[1], 'behind:1', { cursor });
  for (let n = 20; n < 30; n++) await broker.publish('behind:1', { n });
  await until(() => second.numbers().length >= 29);
  assert.deepEqual(second.numbers(), range(1, 30));
  await until(() => first.numbers().length >= 30);
  assert.deepEqual(first.numbers(), range(0, 30));
  const { data } = await tabs[1].snapshot('behind:1', async () => 'mine');
  assert.equal(data, 'mine');
  for (const tab of tabs) tab.close();
});

test('a tab that follows and is looked at, as one that is shown again, keeps the topics that only it follows', async () => {
  const tabs = open(2);
  follow(tabs[0], 'seen:1');
  const reader = follow(tabs[1], 'seen-own:1');
  const other = follow(tabs[1], 'seen-other:1');
  await live('seen-own:1', reader);
  await live('seen-other:1', other);
  const told = new Promise((done) => channels[1].addEventListener('message', ({ data }) => data.status && data.to && done()));
  tabs[1].retry();
  await told;
  // what the leader had left for it then, it has left when it leaves this one
  other.off();
  await until(async () => (await sessions(tabs[0].user))[0].subscriptions < 3, 'the other topic is left');
  await broker.publish('seen-own:1', { n: 1 });
  await until(() => reader.numbers().length, 'it still follows it');
  for (const tab of tabs) tab.close();
});

test('one that has led, and does not know yet that another one does, answers: nobody follows it', async () => {
  const tabs = open(2);
  const readers = tabs.map((tab) => follow(tab, 'led:1'));
  await live('led:1', ...readers);
  const former = new RealChannel(`hookwire:${tabs[0].user}`);
  const answered = new Promise((done) => {
    former.onmessage = ({ data: { status, to } }) => {
      if (!status || !to) return;
      former.postMessage({ status: { state: 'online' }, from: 'one that has led', to });
      done();
    };
  });
  tabs[1].retry();
  await answered;
  for (let n = 0; n < 5; n++) await broker.publish('led:1', { n });
  await until(() => readers[1].numbers().length === 5, `${readers[1].numbers()}`);
  former.close();
  for (const tab of tabs) tab.close();
});

test('a leader that is silent, though nobody looks, is replaced, and follows when it thaws', async () => {
  const tabs = open(3);
  const readers = tabs.map((tab) => follow(tab, 'ice:1'));
  await live('ice:1', ...readers);
  assert.equal(tabs[0].status.transport, 'websocket');
  channels[0].isFrozen = true;
  for (let n = 0; n < 10; n++) await broker.publish('ice:1', { n });
  await until(() => tabs.slice(1).some((tab) => tab.status.transport === 'websocket'), 'another one leads');
  channels[0].isFrozen = false;
  await until(() => tabs[0].status.transport === 'tab', 'and the first one follows');
  for (let n = 10; n < 20; n++) await broker.publish('ice:1', { n });
  for (const { numbers } of readers) await until(() => numbers().length >= 20, `${numbers()}`);
  for (const { numbers } of readers) assert.deepEqual(numbers(), range(0, 20));
  for (const tab of tabs) tab.close();
  await until(() => locks.names.length === 0);
});

test('a tab with nothing to follow leaves the others alone; a leader that needs nothing itself goes on for them', async () => {
  const tabs = open(2);
  const readers = tabs.map((tab) => follow(tab, 'rest:1'));
  await live('rest:1', ...readers);
  readers[0].off();
  await broker.publish('rest:1', { n: 1 });
  await until(() => readers[1].numbers().includes(1));
  tabs[1].close();
  await until(() => tabs[0].state === 'idle', tabs[0].state);
  await until(() => locks.names.length === 0);
  tabs[0].close();
});

test('a tab that is shown again looks for its leader, and goes on with topics that it alone follows', async () => {
  const tabs = open(2);
  await live('look:1', ...tabs.map((tab) => follow(tab, 'look:1')));
  const own = follow(tabs[1], 'alone-in-tab:1');
  await live('alone-in-tab:1', own);
  assert.equal(tabs[1].status.transport, 'tab');
  sent.length = 0;
  for (let n = 0; n < 10; n++) {
    tabs[1].retry(); // as a page does that is shown again
    await broker.publish('alone-in-tab:1', { n });
    await new Promise((done) => setTimeout(done, 30)); // longer than a topic lingers
  }
  await until(() => own.numbers().length >= 10, `${own.numbers()}`, 5000);
  assert.deepEqual(own.numbers(), range(0, 10));
  assert.deepEqual(own.gaps, []);
  assert.deepEqual(sent.map(({ type }) => type), [], 'the broker hears nothing of it');
  for (const tab of tabs) tab.close();
});

test('what a schema makes of a payload it makes once, also of what a tab has missed', async () => {
  const lengths = { '~standard': { version: 1, vendor: 'test', validate: ({ n }) => (typeof n === 'number' ? { value: { n: { of: n } } } : { issues: [{ message: 'no number' }] }) } };
  const invalid = [];
  const tabs = open(2, { schemas: { 'once:*': lengths }, onInvalid: (event) => invalid.push(event.data.payload) });
  const got = tabs.map(() => []);
  const join = (i, options) => tabs[i].subscribe('once:1', (event) => got[i].push(event.data.payload.n.of), options);
  join(0);
  await until(async () => {
    await broker.publish('once:1', { n: -1 });
    return got[0].length;
  });
  const cursor = await broker.publish('once:1', { n: 0 });
  for (let n = 1; n < 5; n++) await broker.publish('once:1', { n });
  await until(() => got[0].includes(4));
  join(1, { cursor });
  await until(() => got[1].length >= 4, `${got[1]}`, 5000);
  assert.deepEqual([got[1], invalid], [[1, 2, 3, 4], []]);
  for (const tab of tabs) tab.close();
});

test('the leading tab ends while another one reads its data: the snapshot has no hole', async () => {
  const tabs = open(2);
  await live('read:1', ...tabs.map((tab) => follow(tab, 'read:1')));
  for (const topic of ['read:1', 'read:2']) {
    const got = [];
    const { data } = await tabs[1].snapshot(
      topic,
      async () => {
        await broker.publish(topic, { n: 1 });
        tabs[0].close();
        await broker.publish(topic, { n: 2 });
        return 0;
      },
      (event) => got.push(event.data.payload.n),
    );
    await broker.publish(topic, { n: 3 });
    await until(() => got.includes(3), `${topic}: ${got}`);
    assert.deepEqual([data, got.filter((n) => n > 0)], [0, [1, 2, 3]]);
  }
  tabs[1].close();
});

/** A broker whose policy a test changes: what is in `shut` is refused. */
function closable(t, options) {
  const shut = new Set();
  const fake = createFakeBroker({ ...options, authorize: ({ topic }) => !shut.has(topic) });
  t.after(fake.install());
  const isFollowed = (topic) => until(() => fake.sessions().some(({ topics }) => topics.includes(topic)), `${topic} is followed`, 5000);
  return { fake, shut, isFollowed, openTabs: (number, options) => open(number, { url: fake.url, getToken: () => fake.token(), ...options }) };
}

test('what a following tab was refused, or lost, it asks for again with its next subscribe', async (t) => {
  const { fake, shut, isFollowed, openTabs } = closable(t);
  const tabs = openTabs(2);
  const errors = [];
  const followDoor = () => follow(tabs[1], 'door:1', { onError: ({ code }) => errors.push(code) });
  follow(tabs[0], 'other:1');
  await isFollowed('other:1');
  shut.add('door:1');
  followDoor();
  await until(() => errors.length === 1, 'it is refused');
  shut.clear();
  followDoor();
  await isFollowed('door:1');
  shut.add('door:1');
  fake.reauthorize();
  await until(() => errors.length > 1, 'it is taken away');
  shut.clear();
  const { numbers } = followDoor();
  await isFollowed('door:1');
  fake.publish('door:1', { n: 1 });
  await until(() => numbers().length);
  assert.deepEqual(numbers(), [1]);
  for (const tab of tabs) tab.close();
});

test('a topic that is refused when the leading tab comes back: who follows it in another tab is told, once', async (t) => {
  const { fake, shut, isFollowed, openTabs } = closable(t);
  const tabs = openTabs(2);
  const errors = [];
  follow(tabs[0], 'other:1');
  await isFollowed('other:1');
  for (const topic of ['door:1', 'kept:1']) follow(tabs[1], topic, { onError: ({ code }, of) => errors.push(`${of} ${code}`) });
  await isFollowed('kept:1');
  shut.add('door:1');
  fake.disconnect();
  await isFollowed('kept:1');
  await until(() => errors.length, 'it is told', 5000);
  shut.add('kept:1');
  fake.reauthorize();
  await until(() => errors.includes('kept:1 forbidden_topic'));
  assert.deepEqual(errors, ['door:1 forbidden_topic', 'kept:1 forbidden_topic']);
  for (const tab of tabs) tab.close();
});

test('what the leading tab heard before another one followed the topic is not known there', async (t) => {
  const { fake, isFollowed, openTabs } = closable(t);
  const tabs = openTabs(2);
  const first = follow(tabs[0], 'both:1');
  const other = follow(tabs[1], 'other:1');
  await isFollowed('other:1');
  await isFollowed('both:1');
  const cursor = fake.publish('both:1', { n: 0 });
  fake.publish('both:1', { n: 1 });
  fake.publish('other:1', { n: 0 });
  await until(() => other.numbers().length && first.numbers().length === 2);
  const late = follow(tabs[1], 'both:1', { cursor });
  fake.publish('both:1', { n: 2 });
  await until(() => late.numbers().includes(2));
  assert.deepEqual(late.numbers(), [1, 2]);
  for (const tab of tabs) tab.close();
});

test('a tab follows while its next leader is in the middle of what it recovers: it gets it in order', async (t) => {
  const { fake, isFollowed, openTabs } = closable(t, { latencyMs: 30 });
  const tabs = openTabs(3);
  const readers = tabs.map((tab) => follow(tab, 'order:1'));
  await isFollowed('order:1');
  await until(async () => {
    fake.publish('order:1', { n: -1 });
    await new Promise((done) => setTimeout(done, 100));
    return readers.every(({ got }) => got.length);
  });
  fake.publish('order:1', { n: 0 });
  await until(() => readers.every(({ numbers }) => numbers().length));
  const allow = fake.refuse();
  tabs[0].close();
  for (let n = 1; n <= 4; n++) fake.publish('order:1', { n });
  let told;
  channels[2].keeps = (message) => message.sub && (told = message);
  tabs[1].subscribe('order:1', (event) => {
    if (event.data.payload.n === 1 && told) channels[1].hear({ data: told });
  });
  allow();
  await until(() => readers[2].numbers().length === 5, `${readers[2].numbers()}`, 5000);
  assert.deepEqual(readers[2].numbers(), range(0, 5));
  tabs.forEach((tab) => tab.close());
});

test('whoever presses "try again" in a tab that follows makes the leading one try', async (t) => {
  const { fake, isFollowed, openTabs } = closable(t);
  const tabs = openTabs(2, { backoff: { minMs: 1e6, maxMs: 1e6 } });
  for (const [i, tab] of tabs.entries()) follow(tab, `again:${i}`);
  await isFollowed('again:1');
  const allow = fake.refuse();
  fake.disconnect();
  await until(() => tabs[1].state === 'waiting', 'no connection');
  allow();
  tabs[1].retry();
  await until(() => tabs[1].state === 'online', 'there is one', 5000);
  for (const tab of tabs) tab.close();
});

test('a tab that asks who is there leaves nothing behind in the session of the leading one', async () => {
  const tabs = open(2);
  await live('who:1', ...tabs.map((tab) => follow(tab, 'who:1')));
  assert.equal(tabs[1].status.transport, 'tab');
  sent.length = 0;
  const seen = [];
  const off = tabs[1].onPresence('room:who', (users) => seen.push(users));
  await until(() => seen.length);
  off();
  assert.deepEqual(sent.filter(({ type }) => type === 'presence').map(({ follow }) => follow), [undefined]);
  for (const tab of tabs) tab.close();
});

test('without Web Locks each tab has a connection of its own', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  try {
    const tabs = open(2);
    const readers = tabs.map((tab) => follow(tab, 'alone:1'));
    await live('alone:1', ...readers);
    assert.deepEqual(tabs.map((tab) => tab.status.transport), ['websocket', 'websocket']);
    for (const tab of tabs) tab.close();
  } finally {
    Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true });
  }
});
