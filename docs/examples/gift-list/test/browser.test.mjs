/* The page in Chromium, with a real broker and back end: two people, and networks and brokers that fail. */
// ctest: cost=90
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from '../../../../clients/testlib/broker.js';
import { needsChromium } from '../../../../clients/testlib/browser.js';
import { Proxy } from '../../../../clients/testlib/proxy.js';
import { Site, Window } from './browser_family.mjs';

const CONFIRM_MS = 11000; // an accepted edit waits so long for its event, and some
const TOKEN_S = 30; // short: who looks at the page for longer needs another one

describe('the gift lists', needsChromium, () => {
  /** @type {Site} */ let site;
  /** Carol has the broker behind it. @type {Proxy} */ let proxy;
  /** @type {Window} */ let alice, bob, carol, gran;
  const all = () => [alice, bob, carol, gran].filter(Boolean);

  // they stay where they are: what one test leaves, the next one begins with
  before(async () => {
    site = await Site.start('--token-ttl', String(TOKEN_S), '--backend', process.env.GIFT_BACKEND ?? 'fastapi');
    proxy = await Proxy.start(site.brokerPort);
    gran = await Window.open(site);
    await gran.page.getByTestId('login-gran').waitFor();
    await gran.shoot('login');
    await gran.logIn('gran');
    await gran.noteStates();
    alice = await Window.open(site, 'alice');
    bob = await Window.open(site, 'bob', { viewport: { width: 390, height: 780 }, colorScheme: 'dark' });
  });
  afterEach(() => Promise.all(all().map((window) => window.check())));
  after(async () => {
    await proxy?.stop();
    await site?.stop();
  });

  const giftOf = async (who, name) => {
    const { lists } = await site.ask(who, 'GET', '/families/family-123/gifts');
    return lists.flatMap(({ gifts }) => gifts).find((gift) => gift.name === name);
  };

  test('two browsers see each other’s edits, without reading again', async () => {
    await Promise.all([alice.readNoMore(), bob.readNoMore()]); // what they see from now on, events have brought
    await alice.addGift('carol-christmas', { name: 'Kite', price: '24.90', note: 'With a long tail' });
    await bob.sees('Kite');
    assert.match(await bob.gift('Kite').innerText(), /\$24\.90[^]*With a long tail[^]*Alice added this/);

    await bob.change('Kite', 'Stunt kite');
    await bob.save();
    await alice.sees('Stunt kite');
    assert.match(await alice.gift('Stunt kite').innerText(), /Bob changed this/);

    await bob.press('Stunt kite', 'reserve');
    await alice.seesTaken('Stunt kite', 'Reserved by Bob');
    await bob.seesTaken('Stunt kite', 'Reserved by you');
    assert.equal(await alice.gift('Stunt kite').getByTestId('reserve').count(), 0, 'it is Bob’s now');
    await Promise.all([alice.shoot('two-browsers-alice'), bob.shoot('two-browsers-bob')]);

    await bob.press('Stunt kite', 'buy');
    await alice.seesTaken('Stunt kite', 'Bought by Bob');
    await alice.press('Stunt kite', 'delete');
    await alice.press('Stunt kite', 'delete-yes');
    await bob.misses('Stunt kite');
    await Promise.all([alice.readAgain(), bob.readAgain()]);
  });

  test('an edit is shown before it is answered; one that is refused is taken back, and said', async () => {
    await site.add('bob', 'carol-christmas', 'Sledge');
    await alice.sees('Sledge');
    let go = await alice.hold('PATCH');
    await alice.press('Sledge', 'reserve');
    await alice.seesTaken('Sledge', 'Reserved by you');
    assert.equal((await giftOf('bob', 'Sledge')).status, 'wanted', 'the back end has not heard of it');
    await alice.shoot('optimistic');
    await go();
    await bob.seesTaken('Sledge', 'Reserved by Alice');
    await alice.seesTaken('Sledge', 'Reserved by you');

    await alice.change('Sledge', 'Wooden sledge');
    await site.ask('bob', 'PATCH', `/gifts/${(await giftOf('bob', 'Sledge')).id}`, { name: 'Steel sledge' }); // he is faster
    go = await alice.hold('PATCH');
    await alice.save();
    await alice.sees('Wooden sledge');
    await go();
    await alice.toast('was not changed: somebody else');
    await alice.sees('Steel sledge');
    await alice.misses('Wooden sledge');
    await alice.shoot('refused');
  });

  test('whose list it is sees nothing of who gives what, nor do the bytes that come', async () => {
    await site.add('carol', 'alice-birthday', 'Opera tickets');
    await bob.sees('Opera tickets');
    await bob.press('Opera tickets', 'reserve');
    await gran.seesTaken('Opera tickets', 'Reserved by Bob');
    await bob.press('Opera tickets', 'buy');
    await gran.seesTaken('Opera tickets', 'Bought by Bob');
    await bob.change('Opera tickets', 'Two opera tickets'); // Alice gets this one, behind those that she must not get
    await bob.save();
    await alice.sees('Two opera tickets');
    const list = alice.page.getByTestId('list-alice-birthday');
    assert.equal(await list.locator('[data-testid=taken], [data-testid=reserve], [data-status]').count(), 0);
    assert.ok(alice.frames.some((frame) => frame.includes('Two opera tickets')), 'her frames are looked at');
    const ofHers = alice.frames.filter((frame) => frame.includes('alice-birthday'));
    for (const frame of ofHers) assert.doesNotMatch(frame, /"status":"(reserved|bought)"|"reserved_by":"|STATUS_CHANGED/);
    await Promise.all([alice.shoot('surprise-owner'), bob.shoot('surprise-other')]);
  });

  test('who is there comes and goes; StrictMode opens one socket, and who logs out leaves none', async () => {
    assert.equal(await alice.presence('carol').count(), 0);
    carol = await Window.open(site, 'carol', { proxy });
    await alice.presence('carol').waitFor();
    await carol.presence('alice').waitFor();
    await alice.shoot('presence');
    assert.equal(await carol.gift('Coffee grinder').getByTestId('delete').count(), 0, 'children delete nothing of others');
    assert.match(await (await fetch(`${site.url}/src/main.tsx`)).text(), /StrictMode/);
    assert.deepEqual(proxy.seen.filter((path) => /^\/(ws|sse|poll)/.test(path)).length, 1);

    await carol.logOut();
    await alice.presence('carol').waitFor({ state: 'detached' });
    assert.deepEqual(carol.sockets.map((socket) => socket.isClosed()), [true]);

    await carol.logIn('dave'); // in the same tab, of another family
    await carol.sees('Headphones');
    await carol.misses('Bicycle bell');
    assert.deepEqual(carol.sockets.map((socket) => socket.isClosed()), [true, false]);
    await carol.logOut();
  });

  test('WebSocket is blocked: a stream takes its place, and is as live', async () => {
    proxy.stripsUpgrade = true;
    await carol.logIn('carol');
    await carol.is(/online/, /sse/);
    await carol.notice('online').waitFor();
    await alice.addGift('bob-birthday', { name: 'Drum' });
    await carol.sees('Drum');
    await carol.press('Drum', 'reserve');
    await alice.seesTaken('Drum', 'Reserved by Carol');
    await carol.presence('alice').waitFor();
    await alice.presence('carol').waitFor();
    await carol.shoot('fallback-sse');
  });

  test('all but plain requests are blocked: it polls, and says that it is late', async () => {
    proxy.blocks = /^\/(ws|sse)|wait=[1-9]/;
    proxy.drop();
    await carol.is(/degraded/, /^polling/);
    await carol.notice('degraded').waitFor();
    await carol.shoot('fallback-polling');
    await alice.addGift('bob-birthday', { name: 'Trumpet' });
    await carol.sees('Trumpet');
    await carol.press('Trumpet', 'reserve');
    await alice.seesTaken('Trumpet', 'Reserved by Carol');
    await carol.logOut();
  });

  test('the network goes and comes back', async () => {
    await bob.user.setOffline(true);
    await bob.is(/offline/);
    await bob.notice('offline').waitFor();
    await site.add('alice', 'carol-christmas', 'Telescope');
    await alice.sees('Telescope');
    await bob.press('Bicycle bell', 'reserve');
    await bob.toast('is as it was: you are offline');
    assert.equal(await bob.gift('Bicycle bell').getByTestId('taken').count(), 0);
    assert.equal(await bob.gift('Telescope').count(), 0);
    await bob.shoot('offline');
    await bob.user.setOffline(false);
    await bob.is(/online/);
    await bob.sees('Telescope');
    await bob.notice('offline').waitFor({ state: 'detached' });
  });

  test('a token that ends is exchanged in time, and nobody notices', async () => {
    const tokens = () => gran.requests.filter((request) => request.url().endsWith('/realtime-token'));
    const { token } = await (await tokens()[0].response()).json();
    const endMs = JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).exp * 1000;
    await until(() => Date.now() > endMs + 1000, 'her first token to have ended', TOKEN_S * 2000);
    await site.add('bob', 'carol-christmas', 'Skates');
    await gran.sees('Skates');
    assert.ok(tokens()[1]?.timing().startTime < endMs, 'she had another one in time');
    assert.deepEqual(await gran.states(), ['online']);
    assert.equal(gran.sockets.length, 1);
  });

  test('the broker is killed: edits are kept, and shown to all when it is back', async () => {
    await site.killBroker();
    await Promise.all([alice.is(/waiting/), bob.is(/waiting/)]);
    await alice.readNoMore();
    const reply = alice.page.waitForResponse((response) => response.request().method() === 'POST');
    await alice.addGift('carol-christmas', { name: 'Globe' });
    await alice.sees('Globe');
    await alice.noteCounts('Globe');
    assert.equal((await reply).status(), 201);
    await alice.page.getByRole('timer').waitFor();
    await alice.page.getByRole('button', { name: 'Try now' }).waitFor();
    await alice.shoot('broker-killed');
    for (let tries = 0; tries < 2; tries++) await alice.later(CONFIRM_MS, alice.readFails); // the lists do not come without the broker either
    await alice.readAgain();
    await alice.laterReads(); // and then they do
    await site.startBroker();
    await Promise.all([alice.comesBack(), bob.comesBack()]);
    await bob.sees('Globe');
    await bob.press('Globe', 'reserve');
    await alice.seesTaken('Globe', 'Reserved by Bob');
    assert.deepEqual(await alice.counts(), [1]);
    await alice.shoot('broker-back');
  });
});
