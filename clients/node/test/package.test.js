/* What is packed is what the package says that it has. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const cwd = fileURLToPath(new URL('..', import.meta.url));

test('every file that is exported is in the package, and its types say how it is used', () => {
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--silent'], { cwd, encoding: 'utf8' }));
  const packed = files.map(({ path }) => `./${path}`);
  const { exports, bin } = JSON.parse(readFileSync(`${cwd}/package.json`, 'utf8'));
  const named = [...Object.values(exports).flatMap((one) => (typeof one === 'string' ? one : Object.values(one))), ...Object.values(bin).map((path) => `./${path}`)];
  assert.deepEqual(named.filter((path) => !packed.includes(path)), []);
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--types', 'node'];
  execFileSync('node_modules/.bin/tsc', [...options, 'test/types/use.ts'], { cwd, stdio: 'inherit' });
});
