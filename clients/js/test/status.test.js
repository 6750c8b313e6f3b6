/* The status component of React and of Vue: the same page, whichever makes it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { act, h, hideAll, major, show } from '../testlib/react.js';
import { HookwireError } from '../dist/index.js';
import { until } from '../../testlib/broker.js';

const { renderToString } = await import('react-dom/server');
const { HookwireProvider } = await import('../dist/react.js');
const { ConnectionStatus } = await import('../dist/status.js');
const vue = await import('vue');
const { hookwire } = await import('../dist/vue.js');
const { ConnectionStatus: VueStatus } = await import('../dist/status-vue.js');

/** A client whose state the test says. */
function makeClient() {
  const listeners = new Set();
  const client = {
    status: { state: 'idle' },
    retries: 0,
    onStatus: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    retry: () => client.retries++,
    listeners,
  };
  client.be = (status) => {
    client.status = status;
    for (const listener of [...listeners]) listener(status);
  };
  return client;
}

const makers = {
  [`React ${major}`]: async (client, props) => {
    const screen = await show(h(HookwireProvider, { client }, h(ConnectionStatus, props)));
    return { root: screen.container.firstChild, be: (status) => act(async () => client.be(status)), end: screen.hide };
  },
  Vue: async (client, props) => {
    const element = document.body.appendChild(document.createElement('div'));
    const app = vue.createApp({ render: () => vue.h(VueStatus, props) }).use(hookwire(client));
    app.mount(element);
    const be = async (status) => {
      client.be(status);
      await vue.nextTick();
      await vue.nextTick();
    };
    return { root: element.firstChild, be, end: async () => (app.unmount(), element.remove()) };
  },
};

for (const [name, make] of Object.entries(makers)) {
  let client;
  let ends;
  const begin = async (props = {}) => {
    const page = await make(client, props);
    ends.push(page.end);
    const find = (what) => page.root.querySelector(what);
    return { ...page, find, text: () => find('[role=status]').textContent, button: () => find('button') };
  };
  beforeEach(() => {
    client = makeClient();
    ends = [];
  });
  afterEach(async () => {
    for (const end of ends) await end();
    await hideAll();
  });

  test(`${name}: the state stands in words in a region that is read out politely`, async () => {
    const { root, find, text, be, button } = await begin();
    const region = find('[role=status]');
    assert.equal(region.getAttribute('aria-live'), 'polite');
    assert.equal(region.getAttribute('aria-atomic'), 'true');
    for (const [status, words] of [
      [{ state: 'online', transport: 'websocket' }, 'Live'],
      [{ state: 'degraded', transport: 'polling' }, 'Connected, updates may be late'],
      [{ state: 'waiting', retryAt: Date.now() + 5000 }, 'Connection lost, trying again'],
      [{ state: 'offline' }, 'No network'],
      [{ state: 'failed', code: 'unauthorized' }, 'Cannot connect'],
      [{ state: 'closed' }, 'Not connected'],
    ]) {
      await be(status);
      assert.equal(text(), words);
      assert.equal(root.getAttribute('data-state'), status.state);
      assert.equal(root.getAttribute('data-transport'), status.transport ?? null);
      assert.equal(find('[role=status]'), region, 'the region is always the same');
      assert.equal(button().hidden, !/waiting|offline|failed/.test(status.state));
    }
  });

  test(`${name}: the countdown runs, outside of what is read out`, async () => {
    const { find, text, be } = await begin();
    await be({ state: 'waiting', retryAt: Date.now() + 2500 });
    const countdown = find('[role=timer]');
    assert.match(countdown.textContent, /^in [23] s$/);
    const before = text();
    const first = countdown.textContent;
    await until(() => find('[role=timer]').textContent !== first);
    assert.match(find('[role=timer]').textContent, /^in [12] s$/);
    assert.equal(text(), before);
    assert.ok(!find('[role=status]').contains(find('[role=timer]')));
    await be({ state: 'online' });
    assert.equal(find('[role=timer]'), null);
  });

  test(`${name}: an attempt is spoken of only if it lasts`, async () => {
    const { text, be, root } = await begin();
    await be({ state: 'waiting', retryAt: Date.now() + 5000 });
    await be({ state: 'connecting' });
    assert.equal(root.getAttribute('data-state'), 'connecting');
    assert.equal(text(), 'Connection lost, trying again');
    await until(() => text() === 'Connecting…');
  });

  test(`${name}: the button tries at once, does nothing meanwhile, and does not take the focus away`, async () => {
    const { find, be, button } = await begin();
    assert.equal(button().hidden, true);
    await be({ state: 'connecting' });
    assert.equal(button().hidden, true, 'the first attempt is none that is tried again');
    await be({ state: 'waiting', retryAt: Date.now() + 5000 });
    assert.equal(button().type, 'button');
    assert.equal(button().textContent, 'Try again now');
    button().focus();
    button().click();
    assert.equal(client.retries, 1);
    await be({ state: 'connecting' });
    assert.equal(button().getAttribute('aria-disabled'), 'true');
    assert.equal(document.activeElement, button());
    button().click();
    assert.equal(client.retries, 1);
    await be({ state: 'online' });
    assert.equal(document.activeElement, find('[role=status]'));
  });

  test(`${name}: the words may be others`, async () => {
    const strings = { waiting: ({ code }) => `Verbindung weg (${code})`, retry: 'Jetzt', countdown: (seconds) => `noch ${seconds}` };
    const { find, text, be, button } = await begin({ strings });
    await be({ state: 'waiting', retryAt: Date.now() + 500, code: new HookwireError('lost').code });
    assert.equal(text(), 'Verbindung weg (lost)');
    assert.equal(button().textContent, 'Jetzt');
    assert.equal(find('[role=timer]').textContent, 'noch 1');
    await be({ state: 'online' });
    assert.equal(text(), 'Live');
  });

  test(`${name}: nobody listens when it is gone, and attributes go to the element`, async () => {
    const { root, end } = await begin({ [name === 'Vue' ? 'class' : 'className']: 'mine', id: 'here' });
    assert.match(root.className, /hookwire-status.*mine/);
    assert.equal(root.id, 'here');
    assert.ok(client.listeners.size);
    await end();
    assert.equal(client.listeners.size, 0);
  });
}

test('a server renders it', () => {
  const html = renderToString(h(HookwireProvider, { client: makeClient() }, h(ConnectionStatus)));
  assert.match(html, /data-state="idle".*role="status".*Not connected/);
});
