/* A server renders pages with the client too: importing it, and making a client, touches nothing that only a page has. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';

const dist = new URL('../dist/', import.meta.url);

test('nothing of a page is touched by an import or by createClient', () => {
  const program = `
    const touched = [];
    const names = ['window', 'self', 'document', 'navigator', 'location', 'fetch', 'WebSocket', 'EventSource', 'BroadcastChannel', 'localStorage', 'setTimeout', 'addEventListener'];
    const real = setTimeout;
    for (const name of names) Object.defineProperty(globalThis, name, { configurable: true, get() { touched.push(name); return undefined; } });
    for (const name of ['index', 'ws', 'parts', 'tabs']) {
      const { createClient } = await import('${dist.href}' + name + '.js');
      const client = createClient?.({ url: 'https://realtime.example.com' });
      if (client && client.state !== 'idle') touched.push(client.state);
      client?.close();
    }
    process.stdout.write(JSON.stringify(touched));
  `;
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }), '[]');
});

test('the file for <script> touches no global when it is loaded, and leaves one name', () => {
  const context = createContext(Object.create(null));
  runInContext(readFileSync(new URL('hookwire.iife.js', dist), 'utf8'), context);
  assert.deepEqual(Object.keys(context), ['Hookwire']);
});
