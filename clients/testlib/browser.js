/* Debian's Chromium without a window, for files of node:test: started when it is first asked for, ended behind the file's last test. */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from './broker.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

function find(...names) {
  for (const directory of process.env.PATH.split(delimiter))
    for (const name of names)
      try {
        accessSync(join(directory, name), constants.X_OK);
        return join(directory, name);
      } catch {}
}

const executablePath = find('chromium', 'chromium-browser');
const why = executablePath ? undefined : 'there is no Chromium; scripts/dev/setup installs it';
if (why) console.error(`NOT RUN: ${why}`);

/* ctest, which runs one file by itself, shows a file with something that was not run as skipped, and not as passed. */
const SKIPPED = 77;
if (why && !process.env.CI && !process.env.NODE_TEST_CONTEXT)
  process.on('exit', (code) => {
    if (!code && !process.exitCode) process.exitCode = SKIPPED;
  });

/**
 * The options of a test or suite that needs the browser: `test('…', needsChromium, async () => …)`. Where there is none it is skipped, which has been
 * said loudly; in CI it has failed, since `launch` fails.
 */
export const needsChromium = why && !process.env.CI ? { skip: `NOT RUN: ${why}` } : {};

const browsers = [];
let browser;
let person;
const users = new Set();

// one playwright-core for the tests of all languages
const playwright = () => createRequire(join(root, 'tests/functional/package.json'))('playwright-core').chromium;

function start({ args = [], ...options } = {}) {
  if (why) throw new Error(why);
  const started = playwright().launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', ...args], ...options });
  browsers.push(started);
  return started;
}

/** The browser: one for the file. @returns {Promise<import('playwright-core').Browser>} */
export function launch() {
  return (browser ??= start());
}

/**
 * Somebody with cookies, storage and tabs of his own: a context of Playwright. `thrown` has what his pages threw and nobody caught; the test is to
 * look that it is empty. @returns {Promise<import('playwright-core').BrowserContext & { thrown: string[] }>}
 */
export async function newUser(options) {
  return watched(await (await launch()).newContext({ ignoreHTTPSErrors: true, ...options }));
}

/**
 * The one who sits at a browser of the file's own, with tabs as they are for people: who looks at one does not see the others, which are `hidden` and can be
 * frozen, and a page that was left is kept for "back". In a context of `newUser` each page believes that it is looked at.
 * @returns {Promise<import('playwright-core').BrowserContext & { thrown: string[] }>}
 */
export function atBrowser() {
  return (person ??= sitDown());
}

async function sitDown() {
  const port = await freePort();
  await start({ args: [`--remote-debugging-port=${port}`], ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  // only from the outside it leaves the pages of a browser as they are
  const seen = playwright().connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true });
  browsers.unshift(seen);
  return watched((await seen).contexts()[0]);
}

function watched(context) {
  context.thrown = [];
  context.on('weberror', (error) => context.thrown.push(String(error.error()?.stack ?? error.error())));
  users.add(context);
  context.on('close', () => users.delete(context));
  return context;
}

/** Keeps what the page shows as `build/screenshots/NAME.png`, an artifact of the test run. @returns {Promise<string>} where it is */
export async function screenshot(page, name) {
  const directory = process.env.HOOKWIRE_SCREENSHOTS ?? join(root, 'build/screenshots');
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name}.png`);
  await page.screenshot({ path, animations: 'disabled' });
  return path;
}

after(async () => {
  // a browser that is ended with tabs open takes longer than one without
  await Promise.allSettled([...users].map((user) => user.close()));
  for (const each of browsers) await (await each).close();
});
