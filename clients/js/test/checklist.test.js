/* The tests that the checklist of clients/README.md names are there, and are run. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
const [, table] = read('../../README.md').split("## A page's checklist");
const rows = [...table.matchAll(/^\| (?!what a page|---)([^|]*)\|[^|]*\| (.*) \|$/gm)].map(([, need, shown]) => ({ need: need.trim(), shown: shown.split(/; (?=`)/) }));

test('each test that the checklist names exists, and none is left out', () => {
  let named = 0;
  for (const { need, shown } of rows)
    for (const one of shown) {
      const [, file, name] = /^`([\w-]+\.test\.js)`(?:: (.*)|, .*)$/.exec(one) ?? assert.fail(`"${need}" names no test: ${one}`);
      const source = read(file);
      if (!name) continue;
      named++;
      const [line] = source.split('\n').filter((text) => /^ *test\(/.test(text) && text.replaceAll("\\'", "'").includes(`'${name}'`));
      assert.ok(line, `${file} has no test of the name: ${name}`);
      assert.doesNotMatch(line, /skip: true|todo/);
    }
  assert.ok(named > 20, `${named} tests are named`);
});

test('what the seed asks of a page stands in the checklist', () => {
  const needs = rows.map(({ need }) => need);
  const asked = ['hook', 'reconnect', 'subscriptions', 'handlers', 'React Query', 'SWR', 'custom state', 'optimistic updates', 'status UI', 'fallback polling', 'cleanup'];
  assert.deepEqual(asked.filter((need) => !needs.includes(need)), []);
});
