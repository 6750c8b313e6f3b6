/* A page's tests run in jsdom: its window is the page's, and whether AbortController is jsdom's or Node's is up to who sets it up. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { createClient } from '../dist/index.js';
import { createFakeBroker } from '../dist/testing.js';
import { until } from '../../testlib/broker.js';

const { window } = new JSDOM('<!doctype html>', { url: 'http://localhost/' });
const page = { window, document: window.document, navigator: window.navigator, addEventListener: window.addEventListener.bind(window), removeEventListener: window.removeEventListener.bind(window) };
for (const [name, value] of Object.entries(page)) Object.defineProperty(globalThis, name, { value, configurable: true });
const [ofNode, ofJsdom] = [globalThis, window].map(({ AbortController, AbortSignal }) => ({ AbortController, AbortSignal }));

const broker = createFakeBroker();
const uninstall = broker.install();
after(() => uninstall());

for (const [name, kind] of Object.entries({ Node: ofNode, jsdom: ofJsdom }))
  test(`jsdom, with the AbortController of ${name}: it connects, hears the page, and leaves`, async () => {
    Object.assign(globalThis, kind);
    const client = createClient({ url: broker.url, getToken: () => broker.token('alice'), lingerMs: 5 });
    try {
      const got = [];
      // whoever gives a signal may have made it with the other kind
      const other = new (kind === ofNode ? ofJsdom : ofNode).AbortController();
      const { data, unsubscribe } = await client.snapshot('a:1', async () => 'mine', (event) => got.push(event), { signal: other.signal });
      assert.equal(data, 'mine');
      await until(() => client.state === 'online');
      window.dispatchEvent(new window.Event('offline'));
      assert.equal(client.state, 'offline');
      window.dispatchEvent(new window.Event('online'));
      await until(() => client.state === 'online');
      broker.publish('a:1', 1);
      await until(() => got.length);
      unsubscribe();
      await until(() => client.state === 'idle');
    } finally {
      client.close();
      Object.assign(globalThis, ofNode);
    }
  });
