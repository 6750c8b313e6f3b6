/* What the browser tests have: the gift lists as `start` starts them, and people who look at them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from '../../../../clients/testlib/broker.js';
import { newUser, screenshot } from '../../../../clients/testlib/browser.js';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const PATIENCE_MS = 30000; // a busy machine is slow
const START_MS = 120000;
const STEP_MS = 1000;
const LISTS = '**/api/families/*/gifts';

/** A broker, a back end and the page's server. */
export class Site {
  static async start(...options) {
    const site = new Site();
    site.data = mkdtempSync(join(tmpdir(), 'gift-list-'));
    const command = ['--broker', '0', '--api', '0', '--web', '0', '--data', site.data, ...options];
    site.process = spawn(fileURLToPath(new URL('../start', import.meta.url)), command, {
      env: { HOOKWIRE_BIN: join(root, 'build/hookwire'), ...process.env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    site.ended = new Promise((done) => site.process.once('exit', done));
    site.lines = [];
    createInterface({ input: site.process.stdout }).on('line', (line) => site.lines.push(line));
    try {
      site.url = (await site.says(/^gift-list: ready on (\S+)/, START_MS))[1];
      const config = await site.ask('bob', 'GET', '/config');
      site.brokerPort = Number(new URL(config.broker_url).port);
      return site;
    } catch (error) {
      await site.stop();
      throw error;
    }
  }

  /** Waits for a line of its output, behind those that were waited for. */
  says(pattern, ms = PATIENCE_MS) {
    return until(() => {
      if (this.process.exitCode !== null) throw new Error(`it has ended: ${this.lines.slice(-10).join('\n')}`);
      const at = this.lines.findIndex((line) => pattern.test(line));
      return at >= 0 && pattern.exec(this.lines.splice(0, at + 1).pop());
    }, `a line ${pattern}`, ms);
  }

  /** Ends it as a crash would. */
  async killBroker() {
    this.process.stdin.write('broker\n');
    await this.says(/broker is killed/);
  }

  async startBroker() {
    this.process.stdin.write('broker\n');
    await this.says(/broker is back/);
  }

  /** A request of that person, without a page. */
  async ask(who, method, path, body) {
    const call = (path, token, method, body) =>
      fetch(`${this.url}/api${path}`, { method, body: body && JSON.stringify(body), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } });
    const { session } = await (await call('/login', '', 'POST', { user_id: who })).json();
    const response = await call(path, session, method, body);
    assert.ok(response.ok, `${who} ${method} ${path}: ${response.status}`);
    return response.status === 204 ? undefined : response.json();
  }

  /** A new gift, which `by` has added. */
  add = (by, list, name) => this.ask(by, 'POST', `/lists/${list}/gifts`, { name });

  async stop() {
    this.process.kill('SIGTERM');
    await this.ended;
    rmSync(this.data, { recursive: true, force: true });
  }
}

async function fillIn(form, fields) {
  for (const [name, text] of Object.entries(fields)) await form.getByRole('textbox', { name }).fill(text);
}

/** A window, in which somebody looks at the page. Each is a browser of its own: nothing is shared. */
export class Window {
  /** @param who logs in; nobody: the page is shown as it begins. `proxy`: the broker is behind it */
  static async open(site, who, { proxy, ...options } = {}) {
    const window = new Window();
    window.site = site;
    window.user = await newUser({ viewport: { width: 1180, height: 720 }, ...options });
    if (proxy) await window.user.route('**/api/config', (route) => route.fulfill({ json: { broker_url: proxy.url } }));
    window.page = await window.user.newPage();
    window.page.setDefaultTimeout(PATIENCE_MS);
    /** WebSockets to the broker; the page's server has one too, in development. */
    window.sockets = [];
    window.frames = [];
    window.page.on('websocket', (socket) => {
      if (new URL(socket.url()).pathname !== '/ws') return;
      window.sockets.push(socket);
      socket.on('framereceived', ({ payload }) => window.frames.push(String(payload)));
    });
    /** Requests to the back end. */
    window.requests = [];
    window.page.on('request', (request) => request.url().startsWith(`${site.url}/api/`) && window.requests.push(request));
    await window.page.clock.install(); // it goes on as ever, but for `later`
    await window.page.goto(site.url);
    await window.page.evaluate(() => (globalThis.isSame = true));
    if (who) await window.logIn(who);
    return window;
  }

  async logIn(who) {
    await this.page.getByTestId(`login-${who}`).click();
    await this.page.getByTestId('gift').first().waitFor();
    await this.is(/online|degraded/);
  }

  async logOut() {
    await this.page.getByTestId('logout').click();
    await this.page.getByTestId('login-alice').waitFor();
  }

  /** The connection is in that state. */
  is(state, transport = /./) {
    return until(async () => {
      const status = await this.status();
      return state.test(status.state) && transport.test(status.transport ?? '-');
    }, `the connection to be ${state.source} over ${transport.source}`, PATIENCE_MS);
  }

  /** The connection comes back; the page need not wait for its next attempt. */
  comesBack() {
    const retry = this.page.getByRole('button', { name: 'Try now', includeHidden: true });
    return until(async () => {
      const { state } = await this.status();
      if (state === 'waiting') await retry.evaluate((button) => button.hidden || button.click()); // it may be back by itself in between
      return /online|degraded/.test(state);
    }, 'the connection to be back', PATIENCE_MS);
  }

  status = () => this.page.getByTestId('connection').evaluate(({ dataset: { state, transport } }) => ({ state, transport }));

  /** What the connection's states are from now on. */
  async noteStates() {
    await this.page.getByTestId('connection').evaluate((element) => {
      globalThis.states = [element.dataset.state];
      new MutationObserver(() => globalThis.states.push(element.dataset.state)).observe(element, { attributeFilter: ['data-state'] });
    });
  }

  states = () => this.page.evaluate(() => globalThis.states);

  gift = (name) => this.page.getByTestId('gift').filter({ has: this.page.getByTestId('gift-name').getByText(name, { exact: true }) });

  /** The gift is there. */
  sees = (name) => this.gift(name).waitFor();

  /** Notes how often the gift, which is there, is shown from now on, be it for a moment; `counts` tells. */
  noteCounts(name) {
    return this.page.evaluate((name) => {
      globalThis.counts = [];
      const look = () => {
        const count = [...document.querySelectorAll('[data-testid=gift-name]')].filter(({ textContent }) => textContent === name).length;
        if (counts.at(-1) !== count) counts.push(count);
      };
      look();
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    }, name);
  }

  counts = () => this.page.evaluate(() => globalThis.counts);

  /** The gift is not there, or no more. */
  misses = (name) => this.gift(name).waitFor({ state: 'detached' });

  /** The gift is in that state, for who may know: `Reserved by Bob`. */
  seesTaken = (name, text) => this.gift(name).getByTestId('taken').getByText(text).waitFor();

  press = (name, button) => this.gift(name).getByTestId(button).click();

  async addGift(list, { name, price = '', note = '' }) {
    const card = this.page.getByTestId(`list-${list}`);
    await card.getByTestId('add').click();
    await fillIn(card, { Gift: name, Price: price, Note: note });
    await card.getByRole('button', { name: 'Add', exact: true }).click();
  }

  /** Opens the form of a gift and fills it in; `save` sends it. */
  async change(name, to) {
    await this.press(name, 'edit');
    await fillIn(this.page, { Gift: to });
  }

  save = () => this.page.getByRole('button', { name: 'Save' }).click();

  /** The lists cannot be read any more: what comes, comes by events. */
  readNoMore = () => this.page.route(LISTS, (route) => route.abort());
  readFails = () => this.page.waitForEvent('requestfailed', (request) => request.url().endsWith('/gifts'));

  /** Time passes in the page until the lists are read, as they are again and again without a live connection. */
  async laterReads() {
    const count = () => this.requests.filter((request) => request.url().endsWith('/gifts')).length;
    const before = count();
    const isRead = this.page.waitForEvent('requestfinished', (request) => request.url().endsWith('/gifts'));
    await until(async () => count() > before || this.page.clock.fastForward(STEP_MS), 'the lists to be read', PATIENCE_MS);
    await isRead;
  }

  /** Time passes in the page: what waits for that so long is done. */
  async later(ms, until) {
    const done = until();
    await this.page.clock.fastForward(ms);
    await done;
  }
  readAgain = () => this.page.unroute(LISTS);

  toast = (text) => this.page.getByTestId('toast').getByText(text).waitFor();
  notice = (state) => this.page.locator(`[data-testid=notice][data-state=${state}]`);
  presence = (who) => this.page.getByTestId(`presence-${who}`);

  /** Holds the next request of this method to the back end until the function that is returned is called. */
  async hold(method) {
    const held = {};
    held.come = new Promise((done) => (held.done = done));
    await this.page.route('**/api/**', (route) => (route.request().method() === method ? held.done(route) : route.fallback()), { times: 1 });
    return async () => (await held.come).continue();
  }

  shoot = (name) => screenshot(this.page, `gift-list/${name}`);

  /** The page was never loaded anew, and nothing was thrown in it. */
  async check() {
    assert.equal(await this.page.evaluate(() => globalThis.isSame), true, 'the page was loaded anew');
    assert.deepEqual(this.user.thrown, [], 'errors in the page');
  }
}
