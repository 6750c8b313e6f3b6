import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import express from 'express';
import { hookwire } from '../express.js';
import { HookwireError, Publisher, verifyWebhook, WebhookError } from '../index.js';
import { Broker, mint, until } from '../../testlib/broker.js';

const secret = `whsec_${Buffer.from('the key of a webhook, 32 bytes..').toString('base64')}`;
const otherSecret = `whsec_${Buffer.from('not this one, but of 32 bytes too').toString('base64')}`;
let broker;
before(async () => (broker = await Broker.start()));
after(() => broker.stop());

const publisher = (options = {}) => new Publisher({ url: broker.url, token: mint('backend'), ...options });
const event = (topic, n = 0, more = {}) => ({ topic, event: 'UPDATED', data: { entity_id: 'e', payload: { n } }, ...more });

async function stored(topic) {
  const response = await fetch(`${broker.url}/topics/${topic}/history?limit=1000`, { headers: { authorization: `Bearer ${mint('reader')}` } });
  return (await response.json()).events;
}

/** Also what a fetch forgot would keep the file from ending. `close` returns nothing in Node.js 18. */
function endWith(t, server) {
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
}

/** A service that answers with what `answer` gives; undefined: it hangs up; 'silence': it never does. */
async function service(t, answer) {
  const server = createServer((req, res) => {
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => {
      const told = answer(req, Buffer.concat(chunks));
      if (!told) return req.socket.destroy();
      if (told === 'silence') return;
      res.writeHead(told[0], told[1]).end(told[2]);
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  endWith(t, server);
  return `http://127.0.0.1:${server.address().port}`;
}

test('it is stored with what was given', async () => {
  const { id } = await publisher().publish(event('plain:1', 1), { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` });
  const [one] = await stored('plain:1');
  assert.equal(one.id, id);
  assert.equal(one.trace_id, 'a'.repeat(32));
  assert.deepEqual(one.data.payload, { n: 1 });
});

test('a key that was used is no second event', async () => {
  const first = await publisher().publish(event('key:1', 1, { key: 'k' }));
  assert.deepEqual(await publisher().publish(event('key:1', 1, { key: 'k' })), { id: first.id, duplicate: true });
  await assert.rejects(publisher().publish(event('key:1', 2, { key: 'k' })), { code: 'bad_request', status: 422, retryable: false });
});

test('many are in order and each has its result', async () => {
  const results = await publisher().publishMany(Array.from({ length: 1200 }, (_, n) => event(n === 5 ? 'sealed:1' : 'many:1', n)));
  assert.deepEqual(results.flatMap((one, n) => (one instanceof HookwireError ? [[n, one.code]] : [])), [[5, 'forbidden_topic']]);
  assert.deepEqual((await stored('many:1')).slice(0, 7).map((one) => one.data.payload.n), [0, 1, 2, 3, 4, 6, 7]);
});

test('refusals have their code', async () => {
  await assert.rejects(publisher().publish(event('sealed:1')), { code: 'forbidden_topic', status: 403 });
  await assert.rejects(publisher({ token: 'nonsense' }).publish(event('a:1')), { code: 'unauthorized' });
  await assert.rejects(publisher().publish({ topic: 'a:1', event: 'ADDED', data: {} }), /entity_id/);
  const tokens = ['nonsense', mint('backend')];
  assert.ok((await publisher({ token: () => tokens.shift() }).publish(event('a:1'))).id);
});

test('a broker that is busy or away is tried again with the same key', async (t) => {
  const keys = [];
  const answers = [
    undefined,
    [503, { 'retry-after': '0' }, '{"code":"draining","message":"","retryable":true,"retry_after_ms":1}'],
    [429, {}, '{"code":"rate_limited","message":"","retryable":true,"retry_after_ms":20}'],
    [502, { 'content-type': 'text/html' }, '<html>a page of a proxy</html>'],
    [200, {}, '{"ok":true,"id":"k-1","duplicate":true}'],
  ];
  const url = await service(t, (req) => answers[keys.push(req.headers['idempotency-key']) - 1]);
  assert.deepEqual(await publisher({ url }).publish(event('a:1')), { id: 'k-1', duplicate: true });
  assert.equal(keys.length, 5);
  assert.equal(new Set(keys).size, 1);
});

test('what is no answer of a broker says nothing of what is stored, and is tried again', async (t) => {
  const ok = '{"ok":true,"id":"k-1"}';
  for (const strange of [
    [200, { 'content-length': '22', connection: 'close' }, ok.slice(0, 7)], // cut off
    [200, { 'content-type': 'text/html' }, '<html>a page of a proxy</html>'],
    [200, {}, '{}'],
    [200, {}, 'null'],
    [200, {}, '{"results":[null]}'],
    [207, {}, '{"results":[{"ok":false}]}'],
    [200, {}, '{"results":"x"}'],
    [408, {}, ''],
  ]) {
    const told = [strange, [200, {}, ok], strange, [200, {}, `{"results":[${ok}]}`]];
    const url = await service(t, () => told.shift());
    assert.deepEqual(await publisher({ url }).publish(event('a:1')), { id: 'k-1' }, strange[2]);
    assert.deepEqual(await publisher({ url }).publishMany([event('a:1')]), [{ id: 'k-1' }], strange[2]);
  }
});

test('it is sent to no other address than the one that it was given', async (t) => {
  const asked = [];
  const elsewhere = await service(t, (req) => asked.push(req.method) && [200, {}, '{"ok":true}']);
  for (const status of [301, 302, 307]) {
    const url = await service(t, () => [status, { location: `${elsewhere}/publish` }, '']);
    await assert.rejects(publisher({ url }).publish(event('a:1')), { code: 'unavailable', status, retryable: false });
  }
  assert.deepEqual(asked, []);
});

test('it gives up in time, and says when to come back', async (t) => {
  const url = await service(t, () => [503, { 'retry-after': '3600' }, '{}']);
  await assert.rejects(publisher({ url }).publish(event('a:1')), { code: 'unavailable', retryAfterMs: 3600000 });
  const silent = await service(t, () => undefined);
  await assert.rejects(publisher({ url: silent, timeoutMs: 300 }).publish(event('a:1')), { code: 'unavailable', retryable: true });
});

test('when to come back may be a date of any form that HTTP has, which is GMT', async (t) => {
  const zone = process.env.TZ;
  process.env.TZ = 'Asia/Tokyo';
  t.after(() => (zone === undefined ? delete process.env.TZ : (process.env.TZ = zone)));
  const inTwoHours = new Date(Date.now() + 7200000);
  const [day, date, month, year, time] = inTwoHours.toUTCString().split(/,? /);
  for (const text of [inTwoHours.toUTCString(), `${day} ${month} ${date} ${time} ${year}`]) {
    const url = await service(t, () => [503, { 'retry-after': text }, '']);
    const error = await publisher({ url }).publish(event('a:1')).catch((one) => one);
    assert.equal(Math.round(error.retryAfterMs / 3600000), 2, text);
  }
});

test('an array of which some were refused for now is tried again', async (t) => {
  const bodies = [];
  const url = await service(t, (_, body) => {
    const second = bodies.push(String(body)) === 1 ? '{"ok":false,"code":"rate_limited","message":"","retryable":true,"retry_after_ms":1}' : '{"ok":true,"id":"k-2"}';
    return [207, {}, `{"results":[${bodies.length === 1 ? '{"ok":true,"id":"k-1"},' : ''}${second}]}`];
  });
  assert.deepEqual(await publisher({ url }).publishMany([event('a:1', 1), event('a:1', 2)]), [{ id: 'k-1' }, { id: 'k-2' }]);
  assert.deepEqual(JSON.parse(bodies[1]), JSON.parse(bodies[0]).slice(1), 'only what was refused, with its key');
});

test('what is stored keeps its result when the broker then refuses, and arrays behind one that failed are not asked for', async (t) => {
  const no = [403, {}, '{"code":"forbidden_topic","message":"not any more","retryable":false}'];
  let asked = 0;
  const some = '{"results":[{"ok":true,"id":"k-1"},{"ok":false,"code":"rate_limited","message":"","retryable":true,"retry_after_ms":1}]}';
  const busy = await service(t, () => (++asked === 1 ? [207, {}, some] : no));
  const [stored, refused] = await publisher({ url: busy }).publishMany([event('a:1', 1), event('a:1', 2)]);
  assert.deepEqual([stored, refused.code, asked], [{ id: 'k-1' }, 'forbidden_topic', 2]);

  const sizes = [];
  const url = await service(t, (_, body) => {
    const all = JSON.parse(String(body));
    return sizes.push(all.length) === 1 ? [207, {}, JSON.stringify({ results: all.map((_, n) => ({ ok: true, id: `k-${n}` })) })] : no;
  });
  const results = await publisher({ url }).publishMany(Array.from({ length: 2500 }, (_, n) => event('a:1', n)));
  assert.deepEqual(sizes, [1000, 1000]);
  assert.equal(results.slice(0, 1000).every(({ id }, n) => id === `k-${n}`), true);
  assert.deepEqual([results.length, new Set(results.slice(1000).map(({ code }) => code))], [2500, new Set(['forbidden_topic'])]);
});

test('what is refused for now until the time is over is not overtaken by the arrays behind it', async (t) => {
  const sizes = [];
  const refused = { ok: false, code: 'rate_limited', message: '', retryable: true, retry_after_ms: 60000 };
  const url = await service(t, (_, body) => {
    const results = JSON.parse(String(body)).map((_one, n) => (n < 999 ? { ok: true, id: `k-${n}` } : refused));
    sizes.push(results.length);
    return [207, {}, JSON.stringify({ results })];
  });
  const results = await publisher({ url }).publishMany(Array.from({ length: 1500 }, (_, n) => event('a:1', n)));
  assert.deepEqual(sizes, [1000]);
  assert.deepEqual([results[998].id, results.length, new Set(results.slice(999).map(({ code }) => code))], ['k-998', 1500, new Set(['rate_limited'])]);
});

test('the queue publishes in order, is bounded, and says what it gives up', async () => {
  const given = [];
  const own = publisher({ queueSize: 300, onError: (one, error) => given.push([one.topic, error.code]) });
  for (let n = 0; n < 300; n++) assert.ok(own.enqueue(event(n === 7 ? 'sealed:1' : 'queue:1', n)));
  assert.equal(own.enqueue(event('queue:1')), false);
  await own.flush();
  assert.deepEqual((await stored('queue:1')).slice(5, 9).map((one) => one.data.payload.n), [5, 6, 8, 9]);
  assert.deepEqual(given, [['sealed:1', 'forbidden_topic']]);
  assert.ok(own.enqueue(event('queue:1')));
  await own.flush();
});

/** Answers as a broker does that stores everything; `bodies` are what it was asked. */
async function willing(t, bodies) {
  return service(t, (_, body) => [200, {}, JSON.stringify({ results: bodies[bodies.push(JSON.parse(String(body))) - 1].map((_, n) => ({ ok: true, id: `k-${n}` })) })]);
}

test('the queue takes an event as it is now, and none that is no JSON', async (t) => {
  const bodies = [];
  const own = publisher({ url: await willing(t, bodies) });
  const gift = event('a:1', 1);
  own.enqueue(gift);
  gift.data.payload.n = 2;
  assert.throws(() => own.enqueue(event('a:1', 1n)), TypeError);
  own.enqueue(event('a:1', 3));
  await own.flush();
  assert.deepEqual(bodies.flat().map(({ data }) => data.payload.n), [1, 3]);
});

test('the queue gives up nothing without a word, whatever its program has made wrong', async (t) => {
  const bodies = [];
  const url = await willing(t, bodies);
  const given = [];
  const own = publisher({ url, token: () => tokens.shift(), onError: (one, error) => given.push([one.data.payload.n, error instanceof HookwireError, error.code]) });
  const tokens = [42, mint('backend')];
  for (const n of [1, 2]) {
    own.enqueue(event('a:1', n));
    await own.flush();
  }
  assert.deepEqual(given, [[1, true, 'unavailable']]);
  assert.deepEqual(bodies.flat().map(({ data }) => data.payload.n), [2]);
});

test('the queue waits as long as the broker says, and through a silence', async (t) => {
  const bodies = [];
  const url = await service(t, (_, body) => {
    const all = JSON.parse(String(body));
    if (bodies.push(all) === 1) return [503, { 'retry-after': '1' }, ''];
    if (bodies.length === 2) return 'silence';
    return [200, {}, JSON.stringify({ results: all.map((_, n) => ({ ok: true, id: `k-${n}` })) })];
  });
  const given = [];
  const own = publisher({ url, timeoutMs: 700, onError: (one) => given.push(one) });
  own.enqueue(event('a:1', 1));
  await own.flush();
  assert.deepEqual(given, []);
  assert.deepEqual(bodies[2], bodies[0]);
});

test('of a broker that stays away too long nothing more is asked, and the queue is given up', async (t) => {
  let asked = 0;
  const url = await service(t, () => ++asked && [503, { 'retry-after': '3600' }, '']);
  const given = [];
  const own = publisher({ url, onError: (one, error) => given.push([one.data.payload.n, error.code]) });
  for (let n = 0; n < 250; n++) own.enqueue(event('a:1', n));
  await own.flush();
  assert.deepEqual(given, Array.from({ length: 250 }, (_, n) => [n, 'unavailable']));
  assert.equal(asked, 1);
});

test('what is enqueued while the queue comes to its end is published', async (t) => {
  // between the last look at the queue and the end of it there are some microtasks
  for (let depth = 0; depth < 8; depth++) {
    const url = await service(t, () => [403, {}, '']);
    const given = [];
    const own = publisher({
      url,
      onError: async ({ data }) => {
        if (given.push(data.payload.n) > 1) return;
        for (let i = 0; i < depth; i++) await undefined;
        own.enqueue(event('a:1', 2));
      },
    });
    own.enqueue(event('a:1', 1));
    await until(() => given.length === 2, `the second event, ${depth} microtasks behind the first`, 3000);
  }
});

test('what makes a token may fail, or hang, for a while', async () => {
  const hangs = new Promise(() => {});
  const answers = [Promise.reject(new Error('no token now')), hangs];
  const own = publisher({ token: () => answers.shift() ?? mint('backend'), timeoutMs: 1000 });
  assert.ok((await own.publish(event('a:1'), { timeoutMs: 20000 })).id);
  const failing = publisher({ token: () => Promise.reject(new Error('no token at all')), timeoutMs: 300 });
  await assert.rejects(failing.publish(event('a:1')), (error) => error instanceof HookwireError && error.code === 'unavailable' && error.cause.message === 'no token at all');
});

test('what no header may hold is the caller’s error, and no try', async (t) => {
  let asked = 0;
  const url = await service(t, () => ++asked && [200, {}, '{"ok":true}']);
  for (const key of ['ключ', 'a\nb', 'é', 'x'.repeat(257)]) await assert.rejects(publisher({ url }).publish(event('a:1', 1, { key })), TypeError, key);
  await assert.rejects(publisher({ url, token: 'sec\nret' }).publish(event('a:1')), (error) => error.code === 'unauthorized' && !/ret/.test(error.message));
  await assert.rejects(publisher({ url }).publish(event('a:1'), { traceparent: 'ab\ncd' }), TypeError);
  assert.equal(asked, 0);
  await publisher({ url, token: 'of a file\n' }).publish(event('a:1', 1, { key: '' }));
});

test('arrays that are too large for the broker go in parts, in their order', async () => {
  const given = [];
  const large = (n) => ({ topic: 'large:1', event: 'UPDATED', data: { entity_id: `e${n}`, payload: 'x'.repeat(n === 7 ? 70000 : 50000) } });
  const own = publisher({ onError: ({ data }, error) => given.push([data.entity_id, error.code]) });
  for (let n = 0; n < 60; n++) own.enqueue(large(n));
  await own.flush();
  assert.deepEqual(given, [['e7', 'too_large']]);
  const ids = (await stored('large:1')).map(({ data }) => data.entity_id); // of the first page
  assert.ok(ids.length > 10);
  assert.deepEqual(ids, Array.from({ length: ids.length + 1 }, (_, n) => `e${n}`).filter((id) => id !== 'e7'));
});

test('a process ends when its queue is empty, and not before', async () => {
  const program = `
    import { Publisher } from ${JSON.stringify(new URL('../index.js', import.meta.url))};
    const publisher = new Publisher(${JSON.stringify({ url: broker.url, token: mint('backend') })});
    for (let n = 0; n < 250; n++) publisher.enqueue({ topic: 'exit:1', event: 'ADDED', data: { entity_id: 'e', payload: { n } } });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.deepEqual((await stored('exit:1')).map(({ data }) => data.payload.n), Array.from({ length: 250 }, (_, n) => n));
});

test('connections carry what comes one after the other, and one that was closed while idle is no error', async (t) => {
  const sockets = new Set();
  const url = await service(t, (req) => sockets.add(req.socket) && [200, {}, '{"ok":true,"id":"k-1"}']);
  const own = publisher({ url });
  for (let n = 0; n < 20; n++) await own.publish(event('a:1', n));
  const before = sockets.size;
  assert.ok(before < 4, `${before} connections`); // one that has just answered may still be busy
  for (const socket of sockets) socket.destroy(); // as a server does whose idle time is over
  await own.publish(event('a:1'));
  assert.ok(sockets.size > before);
});

test('however many are published at once, the broker has a few connections', async (t) => {
  let open = 0;
  let most = 0;
  const sockets = new Set();
  const server = createServer((req, res) => {
    sockets.add(req.socket);
    most = Math.max(most, ++open);
    req.resume().on('end', () => setImmediate(() => (open--, res.end('{"ok":true,"id":"k-1"}'))));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  endWith(t, server);
  const own = publisher({ url: `http://127.0.0.1:${server.address().port}`, timeoutMs: 60000 });
  const ender = new AbortController();
  const gone = own.publish(event('a:1'), { signal: ender.signal }).catch((error) => error.name);
  const all = Array.from({ length: 150 }, (_, n) => own.publish(event('a:1', n)));
  const waits = own.publish(event('a:1'), { signal: ender.signal }).catch((error) => error.name);
  ender.abort();
  assert.deepEqual([await gone, await waits], ['AbortError', 'AbortError']);
  assert.equal((await Promise.all(all)).length, 150);
  assert.ok(most <= 32 && sockets.size <= 100, `${most} at once, ${sockets.size} connections`);
  assert.ok((await own.publish(event('a:1'))).id, 'and what ended while it waited has left its place');
});

test('a signal ends it: before it begins, while it is asked, while it waits', async (t) => {
  const gone = new Error('the page is gone');
  let asked = 0;
  const url = await service(t, () => (++asked === 1 ? 'silence' : [503, { 'retry-after': '5' }, '']));
  const own = publisher({ url });
  await assert.rejects(own.publish(event('a:1'), { signal: AbortSignal.abort(gone) }), gone);
  assert.equal(asked, 0);
  for (const count of [1, 2]) {
    const ender = new AbortController();
    const rejected = assert.rejects(own.publish(event('a:1'), { signal: ender.signal }), gone);
    await until(() => asked === count, `try ${count}`);
    ender.abort(gone);
    await rejected;
  }
  await assert.rejects(own.publishMany([event('a:1')], { signal: AbortSignal.abort(gone) }), gone);
});

test('what has a signal ends in time too, whatever is collected meanwhile', { timeout: 30000 }, async (t) => {
  setFlagsFromString('--expose-gc');
  const collecting = setInterval(runInNewContext('gc'), 20);
  t.after(() => clearInterval(collecting));
  const url = await service(t, () => 'silence');
  const { signal } = new AbortController();
  await assert.rejects(publisher({ url, timeoutMs: 500 }).publish(event('a:1'), { signal }), { code: 'unavailable', retryable: true });
});

test('in Express a request publishes with its trace and its tenant', async (t) => {
  const { hooks } = JSON.parse(readFileSync(`${broker.dir}/hookwire.json`, 'utf8'));
  hooks[0].config.tenants_claim = 'may_publish_to';
  const own = await Broker.start({ hooks });
  t.after(() => own.stop());
  const app = express();
  const token = mint('backend', { tenant: 'acme', may_publish_to: ['beta', 'gamma'] });
  app.use(express.json(), hookwire({ url: own.url, token }, { tenant: (req) => req.headers['x-tenant'] }));
  app.post('/edit', async (req, res) => res.json(await req.publish({ topic: 'express:1', event: 'UPDATED', data: { entity_id: 'e', ...req.body } })));
  const server = await new Promise((done) => {
    const one = app.listen(0, '127.0.0.1', () => done(one));
  });
  t.after(() => server.close());
  const edit = async (tenant, body = {}) => {
    const headers = { 'content-type': 'application/json', traceparent: `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`, ...(tenant && { 'x-tenant': tenant }) };
    const response = await fetch(`http://127.0.0.1:${server.address().port}/edit`, { method: 'POST', headers, body: JSON.stringify(body) });
    return (await response.json()).id;
  };
  // what a request says of itself does not take it into another tenant
  const ids = { acme: [await edit()], beta: [await edit('beta'), await edit('beta', { tenant_id: 'gamma' })], gamma: [] };
  for (const [tenant, expected] of Object.entries(ids)) {
    const response = await fetch(`${own.url}/topics/express:1/history`, { headers: { authorization: `Bearer ${mint('reader', { tenant })}` } });
    const { events } = await response.json();
    assert.deepEqual(events.map(({ id }) => id), expected, tenant);
    for (const one of events) assert.deepEqual([one.trace_id, one.data.tenant_id], ['c'.repeat(32), tenant]);
  }
});

test('webhooks of the broker are verified', async (t) => {
  const got = [];
  const url = await service(t, (req, body) => {
    got.push({ headers: req.headers, body });
    return [204, {}, ''];
  });
  const hooks = JSON.parse(readFileSync(`${broker.dir}/hookwire.json`, 'utf8')).hooks;
  const own = await Broker.start({ hooks: [...hooks, { name: 'tell', plugin: 'webhook', config: { url, secret, events: ['publish'] } }] });
  t.after(() => own.stop());
  await own.publish('hook:1', { n: 1 });
  const { headers, body } = await until(() => got[0], 'a webhook');
  assert.equal(verifyWebhook(headers, body, [otherSecret, secret]).data.event.topic, 'hook:1');
  // as functions in a cloud, and others, have headers
  const capital = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.replace(/(^|-)[a-z]/g, (one) => one.toUpperCase()), value]));
  for (const form of [capital, new Headers(headers), new Map(Object.entries(headers))]) assert.ok(verifyWebhook(form, String(body), secret));
  const nowS = Number(headers['webhook-timestamp']);
  for (const args of [
    [headers, `${body} `, secret],
    [headers, body, otherSecret],
    [headers, body, []],
    [{}, body, secret],
    [headers, body, secret, { nowS: nowS + 301 }],
    [headers, body, secret, { nowS: nowS - 301 }],
    [{ ...headers, 'webhook-id': 'another' }, body, secret],
    [{ ...headers, 'webhook-timestamp': String(nowS + 1) }, body, secret],
  ])
    assert.throws(() => verifyWebhook(...args), WebhookError);
  // with a key that everybody knows everything would be signed
  for (const none of ['', 'whsec_', 'whsec_!!!!', 'whsec_c2hvcnQ=', undefined]) {
    const signature = `v1,${createHmac('sha256', Buffer.from(String(none ?? '').slice(6), 'base64')).update(`a.${nowS}.{}`).digest('base64')}`;
    const forged = { 'webhook-id': 'a', 'webhook-timestamp': String(nowS), 'webhook-signature': signature };
    assert.throws(() => verifyWebhook(forged, '{}', [none]), TypeError, `the secret ${none}`);
  }
});
