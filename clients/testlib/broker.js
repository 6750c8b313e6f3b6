/* A real broker, for the tests of the clients. */
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const SECRET = 'a secret of the tests, and long enough for HS256';

/** A policy's time, where a busy machine takes of it: more than the 2 ms that it has where it is shipped. For entries of a test's own too. */
export const CALM = { cpu_ms: 200 };

const OPEN = `
return policy {
  api = 1,
  authorize = {
    subscribe = function(s, topic)
      if topic.resource == "secret" then return deny("forbidden_topic", "not yours") end
      return allow()
    end,
    wildcard = function() return allow() end,
    publish = function(s, topic)
      if topic.resource == "sealed" then return deny("forbidden_topic", "read only") end
      return allow { act_as = true }
    end,
    presence = function() return allow() end,
  },
}
`;

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token that the broker takes. */
export function mint(user = 'alice', { tenant = 'acme', seconds = 3600, ...claims } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const body = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64({ sub: user, tenant_id: tenant, iat: now, exp: now + seconds, ...claims })}`;
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`;
}

export async function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Waits until `look` gives something that is true, and returns that. */
export async function until(look, what = String(look), ms = 15000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

export class Broker {
  /** @param {object} config laid over what every test has; members of its own objects are replaced whole */
  static async start(config = {}, { port, policy = OPEN } = {}) {
    const broker = new Broker();
    broker.dir = mkdtempSync(join(tmpdir(), 'hookwire-js-'));
    broker.port = port ?? (await freePort());
    writeFileSync(join(broker.dir, 'open.lua'), policy);
    broker.configure(config);
    await broker.run();
    return broker;
  }

  configure(config) {
    const whole = {
      listen: [`127.0.0.1:${this.port}`],
      admin: { listen: '127.0.0.1:0', token: '${HOOKWIRE_ADMIN_TOKEN}' },
      workers: 1,
      log: { level: 'debug', format: 'text' },
      auth: { origins: ['*'] },
      presence: { topics: ['room:*'] },
      hooks: [
        {
          name: 'jwt',
          plugin: 'jwt',
          config: { keys: [{ alg: 'HS256', secret: '${HOOKWIRE_JWT_SECRET}' }], claims: { user_id: 'sub', tenant_id: 'tenant_id' } },
        },
      ],
      tenants: { '*': { hooks: [{ name: 'open', lua: 'open.lua', budget: CALM }] } },
      drain_ms: 100,
      ...config,
    };
    writeFileSync(join(this.dir, 'hookwire.json'), JSON.stringify(whole));
  }

  async run() {
    const binary = process.env.HOOKWIRE_BIN ?? join(root, 'build/hookwire');
    this.log = '';
    this.process = spawn(binary, ['serve', '-c', join(this.dir, 'hookwire.json')], {
      cwd: this.dir,
      env: { ...process.env, HOOKWIRE_JWT_SECRET: SECRET, HOOKWIRE_ADMIN_TOKEN: 'admin-token-of-the-tests' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    this.process.stdout.on('data', (text) => (out += text));
    this.process.stderr.on('data', (text) => (this.log += text));
    this.ended = new Promise((done) => this.process.once('exit', done));
    await until(() => {
      if (this.process.exitCode !== null) throw new Error(`the broker ended: ${this.log.slice(-2000)}`);
      return out.includes('hookwire: ready');
    }, 'the broker is ready').catch((error) => {
      this.process.kill('SIGKILL'); // nobody has it, to stop it
      throw error;
    });
    this.admin = /admin on (\S+)/.exec(out)[1];
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Ends without a word, and starts again on the same port. */
  async restart() {
    this.process.kill('SIGKILL');
    await this.ended;
    await this.run();
  }

  async kill(signal = 'SIGKILL') {
    this.process.kill(signal);
    await this.ended;
  }

  async stop() {
    await this.kill('SIGTERM');
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** POST /publish of a back end; returns the id. */
  async publish(topic, payload = {}, { event = 'UPDATED', entity = 'e1', tenant = 'acme', ...data } = {}) {
    const response = await fetch(`${this.url}/publish`, {
      method: 'POST',
      headers: { authorization: `Bearer ${mint('backend', { tenant })}`, 'content-type': 'application/json' },
      body: JSON.stringify({ topic, event, data: { entity_id: entity, payload, ...data } }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(answer));
    return answer.id;
  }

  /** A question to the admin listener. */
  async ask(method, path, body) {
    const response = await fetch(`http://${this.admin}${path}`, {
      method,
      headers: { authorization: 'Bearer admin-token-of-the-tests', 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    return response.json();
  }

  async sessions() {
    return (await this.ask('GET', '/api/sessions')).sessions;
  }
}
