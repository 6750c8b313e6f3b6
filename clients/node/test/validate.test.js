import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { validate } from '../validate.js';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const BIN = path('../bin/validate-ws-event.js');
const REFERENCE = path('../../../tests/lib/validate-reference.js'); // runs the script that the protocol's first users have, over many cases

const bin = (args, input = '') => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], { input, encoding: 'utf8' });
  return { status, stdout, stderr };
};

const data = { entity_id: 'g-1', payload: {}, timestamp: '2026-01-01T00:00:00Z' };
const good = { topic: 'gift-list:123', event: 'UPDATED', data };
const GOOD = JSON.stringify(good);
const BAD = '{"topic":"Gift:1","event":"odd","data":{"timestamp":"soon"},"version":0}';
const WARNED = JSON.stringify({ ...good, data: { entity_id: 1 } });
const GOOD_OUTPUT = '✓ Event is valid\n\nParsed:\n Topic: gift-list:123\n Event: UPDATED\n Entity: g-1\n';

test('an argument and standard input are answered as the script of the protocol answers', () => {
  const cases = [
    [[GOOD]], [[BAD]], [[], WARNED], [['{"topic":']], [[], '[]'], [['5']], [['{}']], [[], `\ufeff \n${BAD}\u00a0\n`],
    [['{"topic":5,"event":"E","data":5,"trace_id":true}']], [[JSON.stringify({ ...good, topic: 'é:\u2028' })]],
    [[], JSON.stringify(good, null, 2)], [[], ' \n'], [[''], ''],
  ];
  const given = cases.map(([args, input = '']) => ({ args, stdin: Buffer.from(input).toString('base64') }));
  const reference = spawnSync(process.execPath, [REFERENCE], { input: JSON.stringify(given), encoding: 'utf8' });
  const now = (text) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, (time) => (text.startsWith('Usage') ? 'now' : time));
  JSON.parse(reference.stdout).forEach(({ code, stdout, stderr }, i) => {
    const said = bin(...cases[i]);
    assert.deepEqual([said.status, now(said.stdout), said.stderr], [code, now(stdout), stderr], JSON.stringify(cases[i]));
  });
});

test('what the script lets by, or ends on, is refused', () => {
  for (const [text, error] of [
    ['null', 'Missing required field: topic'],
    [`${GOOD.slice(0, -1)},"event":"ADDED"}`, 'Duplicate member: event'],
    [`${GOOD.slice(0, -1)},"t\\u006fpic":"b:2"}`, 'Duplicate member: topic'],
    [GOOD.replace('"payload"', '"m":1,"m":2,"payload"'), 'Duplicate member: data.m'],
    [JSON.stringify({ ...good, topic: ['a:1'] }), 'topic must be a string'],
    [JSON.stringify({ ...good, topic: `a:${'x'.repeat(254)}` }), 'topic must not be longer than 255 bytes'],
    [JSON.stringify({ ...good, event: 5 }), 'event must be a string'],
    [JSON.stringify({ ...good, event: '\ud800' }), 'event must not hold half of a surrogate pair'],
    [JSON.stringify({ ...good, trace_id: 'a\udc00' }), 'trace_id must not hold half of a surrogate pair'],
    [JSON.stringify({ ...good, data: { ...data, entity_id: {} } }), 'data.entity_id must be a string, not an array or object'],
    [JSON.stringify({ ...good, data: { ...data, timestamp: 5 } }), 'Invalid timestamp "5". Use ISO 8601 format.'],
    [JSON.stringify({ ...good, data: { ...data, timestamp: { toString: 1 } } }), 'Invalid timestamp "[object Object]". Use ISO 8601 format.'],
    [JSON.stringify({ ...good, data: { ...data, timestamp: '2026-02-30' } }), 'Invalid timestamp "2026-02-30". Use ISO 8601 format.'],
  ]) {
    const { valid, errors } = validate(text);
    assert.equal(valid, false, text);
    assert.ok(errors.includes(error), `${text}: ${errors}`);
  }
  const deep = bin([`${'['.repeat(65)}${']'.repeat(65)}`]);
  assert.match(deep.stderr, /^✗ Invalid JSON: nested too deeply/);
  assert.equal(deep.status, 1);
});

test('lines are events of their own, and one that is wrong does not end it', () => {
  const said = bin([], `${GOOD}\n\n{"topic":\n${GOOD}\r\n`);
  assert.equal(said.stdout, `line 1:\n${GOOD_OUTPUT}\nline 4:\n${GOOD_OUTPUT}`);
  assert.match(said.stderr, /^✗ Invalid JSON: line 3, /);
  assert.equal(said.status, 1);
  assert.equal(bin([], `${GOOD}\n${GOOD}`).status, 0);
});

test('a line that is no UTF-8 is no JSON, and the others are judged', () => {
  const said = bin(['--json'], Buffer.concat([Buffer.from(`${GOOD}\n`), Buffer.from('{"a":"\xff"}\n', 'latin1'), Buffer.from(GOOD)]));
  const lines = said.stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ line, valid }) => [line, valid]), [[1, true], [2, false], [3, true]]);
  assert.match(lines[1].errors[0], /^Invalid JSON: /);
  assert.equal(said.status, 1);
});

test('several arguments are numbered', () => {
  const said = bin([GOOD, '--', GOOD]);
  assert.equal(said.stdout, `event 1:\n${GOOD_OUTPUT}\nevent 2:\n${GOOD_OUTPUT}`);
  assert.equal(said.status, 0);
  assert.equal(bin([GOOD, BAD]).status, 1);
});

test('--json says the same for machines', () => {
  const { status, stdout, stderr } = bin(['--json', BAD, GOOD]);
  assert.equal(status, 1);
  assert.equal(stderr, '');
  const [first, second] = stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(first, { event: 1, ...validate(BAD) });
  assert.deepEqual(second, { event: 2, valid: true, errors: [], warnings: [] });
  assert.deepEqual(JSON.parse(bin(['--json', GOOD]).stdout), { valid: true, errors: [], warnings: [] });
});

test('--strict: warnings make an event invalid', () => {
  assert.equal(bin([WARNED]).status, 0);
  const said = bin(['--strict', WARNED]);
  assert.equal(said.status, 1);
  assert.match(said.stdout, /^✗ Event is invalid\n\nWarnings:\n - Missing data\.payload/);
  assert.equal(JSON.parse(bin(['--strict', '--json', WARNED]).stdout).valid, false);
  assert.equal(bin(['--strict', GOOD]).status, 0);
});

test('an object is judged as the JSON that it becomes', () => {
  assert.deepEqual(validate(good), { valid: true, errors: [], warnings: [] });
  assert.deepEqual(validate({ ...good, data: { ...data, timestamp: new Date(0) } }).errors, []);
  assert.deepEqual(validate(undefined).errors.length, 3);
  assert.deepEqual(validate({ ...good, version: Number.NaN }).errors, ['version must be a positive integer']); // it becomes null
  assert.match(validate('{').errors[0], /^Invalid JSON: /);
  assert.throws(() => validate({ a: 1n }), TypeError);
});
