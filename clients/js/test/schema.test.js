/* Payloads are checked by schemas of zod and valibot, as they are. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import WebSocket from 'ws';
import { z } from 'zod';
import { createClient } from '../dist/index.js';
import { Broker, mint, until } from '../../testlib/broker.js';

globalThis.WebSocket ??= WebSocket;
const here = fileURLToPath(new URL('..', import.meta.url));

test('what a schema does not take is not delivered, and what it makes of it is', async (t) => {
  const broker = await Broker.start();
  t.after(() => broker.stop());
  const invalid = [];
  const client = createClient({
    url: broker.url,
    getToken: () => mint('alice'),
    schemas: {
      'zod:*': z.object({ name: z.string().trim(), at: z.coerce.date() }),
      'valibot:1': v.object({ n: v.pipe(v.number(), v.minValue(1)) }),
    },
    onInvalid: (event, issues) => invalid.push(`${event.topic}: ${issues.length}`),
  });
  t.after(() => client.close());
  const got = [];
  client.subscribe(['zod:1', 'valibot:1', 'valibot:2'], ({ data }) => got.push(data.payload));
  await until(() => client.state === 'online');
  await until(async () => {
    await broker.publish('valibot:2', 'any');
    return got.length;
  });
  await broker.publish('zod:1', { name: 7 });
  await broker.publish('zod:1', { name: ' Bike ', at: '2026-01-01T00:00:00Z' });
  await broker.publish('valibot:1', { n: 0 });
  await broker.publish('valibot:1', { n: 1 });
  const taken = () => got.filter((payload) => payload !== 'any');
  await until(() => taken().length === 2);
  assert.deepEqual(taken(), [{ name: 'Bike', at: new Date('2026-01-01T00:00:00Z') }, { n: 1 }]);
  assert.deepEqual(invalid, ['zod:1: 2', 'valibot:1: 1']);
});

test('topics have the types of their schemas', () => {
  execFileSync('node_modules/.bin/tsc', ['--noEmit', '--strict', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2022,dom', '--types', 'node', '--skipLibCheck', 'test/types/topics.ts'], { cwd: here, stdio: 'inherit' });
});
