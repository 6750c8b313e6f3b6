/* What a reader of the clients' pages has of their own, for examples that are run: a back end behind fetch, an application of Express, functions, and an event. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import express from 'express';
import { WebSocket } from 'ws';
import { z } from 'zod';

globalThis.WebSocket ??= WebSocket;

const answers = { '/api/realtime-token': () => process.env.HOOKWIRE_TOKEN, '/api/gift-lists/123': () => '{"gifts":[]}' };
const { fetch: overNetwork } = globalThis;
globalThis.fetch = async (address, options) => (answers[address] ? new Response(answers[address]()) : overNetwork(address, options));

const app = express();
app.use((req, res, next) => {
  req.user = { tenant: 'acme' };
  if (req.method === 'PUT') express.json()(req, res, next);
  else next();
});
const key = Buffer.from('a key of the tests for webhooks');
process.env.WEBHOOK_SECRET = `whsec_${key.toString('base64')}`;

Object.assign(globalThis, {
  z,
  app,
  patch() {},
  replace() {},
  report: (...what) => {
    throw new Error(`an event is not valid: ${JSON.stringify(what)}`);
  },
  event: { topic: 'gift-list:family-123', event: 'UPDATED', data: { entity_id: 'gift-456' } },
});

const lines = [];
const { log } = console;
console.log = (...what) => {
  lines.push(what.join(' '));
  log(...what);
};

/** Asks the application for what the page has given it, and resolves when what is shown of events has been shown, if anything is subscribed to. */
globalThis.done = async () => {
  const routes = app._router.stack.map(({ route }) => route?.path);
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const ask = async (method, path, body, headers, expected) => {
    const address = `http://127.0.0.1:${server.address().port}${path}`;
    const { status } = await overNetwork(address, { method, body, headers: { 'content-type': 'application/json', ...headers } });
    if (status !== expected) throw new Error(`${method} ${path} answers ${status}, and not ${expected}`);
  };
  if (routes.includes('/gifts/:id')) await ask('PUT', '/gifts/gift-456', '{"name":"Bike"}', {}, 204);
  if (routes.includes('/hooks')) {
    const body = '{"type":"connect","data":{}}';
    const head = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)) };
    const signed = createHmac('sha256', key).update(`${head['webhook-id']}.${head['webhook-timestamp']}.${body}`).digest('base64');
    await ask('POST', '/hooks', body, { ...head, 'webhook-signature': `v1,${signed}` }, 204);
    await ask('POST', '/hooks', `${body} `, { ...head, 'webhook-signature': `v1,${signed}` }, 400);
  }
  while (process.env.HOOKWIRE_SHOWS && !lines.length) await new Promise((next) => setTimeout(next, 5)); // the test has a time limit
};
