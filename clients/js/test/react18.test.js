/* The same tests with React 18: whoever asks for React in them is given that. */
// ctest: cost=35
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

for (const name of ['react', 'react-query', 'swr', 'optimistic', 'status'])
  test(`React 18: ${name}`, () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env; // it is a run of its own
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', './testlib/react18.js', `test/${name}.test.js`], { env, encoding: 'utf8', cwd: new URL('..', import.meta.url) });
    assert.equal(status, 0, `${stdout}${stderr}`.split('\n').filter((line) => /not ok|error:/.test(line)).slice(0, 20).join('\n') || stderr.slice(-500));
    assert.match(stdout, /React 18/);
  });
