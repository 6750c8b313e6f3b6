/* What the package promises to TypeScript: of what is built, by the names that a page imports. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('the types are right', () => {
  const { status, stdout } = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.test.json'], { encoding: 'utf8', cwd: new URL('..', import.meta.url) });
  assert.equal(status, 0, stdout);
});
