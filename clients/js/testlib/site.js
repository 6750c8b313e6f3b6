/* Pages for a real browser: an origin of its own that serves the package as it was built, and a tab that follows topics. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { after, before } from 'node:test';
import { Broker, mint, until } from '../../testlib/broker.js';
import { atBrowser, needsChromium } from '../../testlib/browser.js';
import { Proxy } from '../../testlib/proxy.js';

const dist = new URL('../dist/', import.meta.url);
const pages = new URL('./pages/', import.meta.url);
const TYPES = { html: 'text/html', js: 'text/javascript' };

export const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

export class Site {
  /** Answers to paths, laid over what every site has: `{ body, type, headers }`, or a function that gives it. */
  files = {};
  /** Headers of all answers. */
  headers = {};

  static async start() {
    const site = new Site();
    site.server = createServer((request, response) => site.#answer(request, response));
    await new Promise((done) => site.server.listen(0, '127.0.0.1', done));
    site.origin = `http://127.0.0.1:${site.server.address().port}`;
    return site;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  #answer({ url }, response) {
    const { pathname } = new URL(url, this.origin);
    const { body, type, headers } = this.files[pathname] ?? this.#standing(pathname);
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': type ?? 'text/plain', ...this.headers, ...headers });
    response.end(body);
  }

  /** `/dist/…` is the package, everything else a page of this folder. */
  #standing(pathname) {
    const [, folder, name] = /^\/(dist\/)?([\w.-]+)$/.exec(pathname) ?? [];
    try {
      return { body: readFileSync(fileURLToPath(new URL(name, folder ? dist : pages))), type: TYPES[name.split('.').at(-1)] };
    } catch {
      return {};
    }
  }
}

/** A tab with a client in it (pages/live.js). */
export class Tab {
  /** @param {object} options the client's; `user`: whose token it has; `page`: the one that it is in */
  static async open(context, site, { user = 'alice', page = 'live.html', ...options }) {
    const tab = new Tab();
    tab.page = await context.newPage();
    await tab.page.goto(`${site.origin}/${page}`);
    await tab.call('connect', { token: mint(user), lingerMs: 20, backoff: { minMs: 20, maxMs: 200 }, ...options });
    return tab;
  }

  /** Runs a function in the page. */
  run(task, argument) {
    return this.page.evaluate(task, argument);
  }

  /** Calls a function of the page's own, as the page does: a policy of the page does not hold for what `run` runs. */
  call(name, ...given) {
    return this.run(
      ([called, list]) =>
        new Promise((done, fail) => {
          setTimeout(() => {
            try {
              done(void globalThis[called](...list));
            } catch (error) {
              fail(error);
            }
          });
        }),
      [name, given],
    );
  }

  /** Waits for a function that is run in the page. */
  until(look, what, argument) {
    return until(() => this.run(look, argument), what);
  }

  follow(topics, options) {
    return this.call('follow', topics, options);
  }

  /** What the events of a topic had as `n`, without those of `live`. */
  numbers(topic) {
    return this.run((name) => globalThis.got[name].filter((n) => n >= 0), topic);
  }

  status() {
    return this.run(() => globalThis.client.status);
  }

  /** What the state has been, each time it changed. */
  states() {
    return this.run(() => globalThis.states);
  }

  /** Until it is online (or degraded) over that transport. */
  over(transport) {
    return until(async () => (await this.status()).transport === transport, `it is connected over ${transport}`);
  }

  /** A session of the browser's own protocol with this page. */
  async devtools() {
    return (this.session ??= await this.page.context().newCDPSession(this.page));
  }
}

/** Waits until the tabs follow the topic. */
export async function live(broker, topic, ...tabs) {
  await until(async () => {
    await broker.publish(topic, { n: -1 });
    return (await Promise.all(tabs.map((tab) => tab.run((name) => globalThis.got[name].length, topic)))).every(Boolean);
  }, `all follow ${topic}`);
}

/** How many sessions the broker has of a user. */
export const sessionsOf = async (broker, user) => (await broker.sessions()).filter((session) => session.user === user).length;

/** What the tests of a file have until it ends, whatever fails: `broker`, `site`, `context` (the browser's), and what they add. `prepare` runs before them. */
export function stage(config, prepare) {
  const ends = [];
  const all = {
    /** Stops it behind the last test; returns it. */
    add(what) {
      ends.unshift(() => what.stop());
      return what;
    },
    /** A proxy before a broker. */
    proxy: async ({ port } = all.broker) => all.add(await Proxy.start(port)),
  };
  before(async () => {
    if (needsChromium.skip) return;
    all.broker = all.add(await Broker.start(config));
    all.site = all.add(await Site.start());
    all.context = await atBrowser();
    await prepare?.(all);
  });
  after(async () => {
    for (const end of ends) await end();
  });
  return all;
}
