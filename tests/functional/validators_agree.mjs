// Events at random, by fast-check: the validators in C, JavaScript and Python are to say the same of each, and the JSON Schema as much of it as
// a schema can say. Arguments: the hookwire binary, a Python, a seed, how many. Prints what differs, shrunk, and ends with 1; else how many were
// valid, invalid, and no JSON.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { validate } from '../../clients/node/validate.js';

const [hookwire, python, seed, numRuns] = process.argv.slice(2).map((argument, i) => (i < 2 ? argument : Number(argument)));
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const BIN = here('../../clients/node/bin/validate-ws-event.js');
const PYTHON_LOOP = `
import json, sys
sys.path.insert(0, ${JSON.stringify(here('../../clients/python'))})
import hookwire
for line in sys.stdin:
    errors, warnings = hookwire.validate(json.loads(line))
    print(json.dumps({"errors": errors, "warnings": warnings}))
`;

/* ---- events as text ---- */

const SHORT = { '"': '\\"', '\\': '\\\\', '/': '\\/', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A string of JSON, each of whose characters may be written in one of several ways. `ways` decides, over and over. */
function spell(text, ways) {
  const units = Array.from({ length: text.length }, (_, i) => {
    const code = text.charCodeAt(i);
    const hex = `\\u${code.toString(16).padStart(4, '0')}`;
    const isBare = code >= 0x20 && text[i] !== '"' && text[i] !== '\\' && (code < 0xd800 || code > 0xdfff);
    const way = ways.length ? ways[i % ways.length] : 0;
    if (way === 1 && SHORT[text[i]]) return SHORT[text[i]];
    if (way === 2 || !isBare) return hex;
    return way === 3 ? hex.toUpperCase().replace('\\U', '\\u') : text[i];
  });
  return `"${units.join('')}"`;
}

const ways = fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 7 }) });
const spelt = (strings) => fc.tuple(strings, ways).map(([text, how]) => spell(text, how));

const NASTY = ['', ' ', '\0', '\ud800', '\udc00', '\udc00\ud800', '\ud83d\ude00', 'a\ud83d', '\u2028', '\u007f', '\u0085', '\u00a0', '\ufeff', '\ufffe', 'İ', 'K', 'é', 'e\u0301', '日本', '__proto__', 'constructor', 'toString', '\n', 'ADDED\n'];
const anyString = fc.oneof(fc.constantFrom(...NASTY), fc.string({ unit: 'binary', maxLength: 8 }), fc.string({ maxLength: 12 }));

const broken = ['01', '+1', '.5', '1.', '1e', '0x1', 'NaN', 'Infinity', '1_0', '１'];
const number = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...broken) },
  { weight: 20, arbitrary: fc.integer({ min: -1, max: 99 }).map(String) },
  { weight: 20, arbitrary: fc.constantFrom('0', '-0', '0.0', '1', '1.0', '2', '10e-1', '1e400', '-1e400', '1e-400', '5e-324', '2.4703282292062327e-324', '1.7976931348623157e308', '1.7976931348623159e308', '9007199254740993', '0.99999999999999999999',
    '1.00000000000000000001', '1e21', '123456789012345680000', '1e-7', '0.000001', '1E+2') },
  { weight: 10, arbitrary: fc.double({ noDefaultInfinity: true, noNaN: true }).map(String) },
  { weight: 5, arbitrary: fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }).map(String) },
  { weight: 10, arbitrary: fc.stringMatching(/^-?(?:0|[1-9][0-9]{0,24})(?:\.[0-9]{1,24})?(?:[eE][+-]?[0-9]{1,3})?$/) },
);

/** Members as text, in their order. */
const braced = (members) => `{${members.map(([key, value]) => `${key}:${value}`).join(',')}}`;
const key = spelt(fc.oneof(anyString, fc.constantFrom('a', 'b', 'topic', 'data', 'entity_id')));

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false', '""', '0', '[]', '{}'),
    number,
    spelt(anyString),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map(braced),
  ),
}));
const deep = fc.tuple(fc.integer({ min: 58, max: 66 }), fc.boolean()).map(([n, isObject]) => (isObject ? '{"a":'.repeat(n) + '1' + '}'.repeat(n) : '['.repeat(n) + ']'.repeat(n)));

/** The usual, and now and then the odd. */
const mostly = (usual, odd, weight = 10) => fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: odd });
const two = (from, to) => mostly(fc.integer({ min: from, max: to }), fc.integer({ min: 0, max: to + 2 })).map((n) => String(n).padStart(2, '0'));
const signed = (n) => (n < 0 ? '-' : '+') + String(Math.abs(n)).padStart(6, '0');
const year = mostly(
  fc.oneof(fc.constantFrom('2026', '2024', '2000', '1900', '0000'), fc.integer({ min: 0, max: 9999 }).map((n) => String(n).padStart(4, '0')), fc.integer({ min: -200000, max: 200000 }).map(signed)),
  fc.oneof(fc.constantFrom('-000000', '+275760', '-271821', '+275761', '999999', '26'), fc.integer({ min: -999999, max: 999999 }).map(signed)),
);
const zone = mostly(fc.oneof(fc.constantFrom('', 'Z', 'z', '+00:00', '-0000'), fc.tuple(fc.constantFrom('+', '-'), two(0, 23), fc.constantFrom(':', ''), two(0, 59)).map((parts) => parts.join(''))),
  fc.constantFrom('Z ', '+1:00', '+01', ' GMT', '−01:00', 'ZZ'));
const clock = mostly(
  fc.tuple(two(0, 23), fc.constant(':'), two(0, 59), fc.oneof(fc.constant(''), fc.tuple(fc.constant(':'), two(0, 59), fc.stringMatching(/^(\.[0-9]{1,9})?$/)).map((parts) => parts.join('')))).map((parts) => parts.join('')),
  fc.oneof(fc.constantFrom('24:00', '24:00:00', '24:00:00.000', '24:00:00.0001', '24:01', '00', '00:00:00,5', '00:00:00.', '0:00')),
);
const time = fc.tuple(mostly(fc.constantFrom('T', 't'), fc.constant(' ')), clock, zone).map((parts) => parts.join(''));
const day = fc.oneof(two(1, 31), fc.constantFrom('28', '29', '30', '31'));
const date = fc.oneof(year, fc.tuple(year, two(1, 12)).map((parts) => parts.join('-')), fc.tuple(year, two(1, 12), day).map((parts) => parts.join('-')));
const timestamp = spelt(mostly(fc.tuple(date, fc.oneof(time, fc.constant(''))).map((parts) => parts.join('')), fc.constantFrom('now', '1', '2026-1-1', '20260101', '2026-W01', 'Thu Jan 01 2026', '２０２６')));

const topic = spelt(fc.oneof({ weight: 30, arbitrary: fc.stringMatching(/^[a-z][a-z0-9-]{0,6}:[a-z0-9-]{1,6}$/) }, { weight: 2, arbitrary: fc.stringMatching(/^[a-zA-Z0-9:é -]{0,6}:?[a-z0-9:*_-]{0,6}$/) },
  { weight: 1, arbitrary: fc.integer({ min: 250, max: 258 }).map((n) => `a:${'x'.repeat(n - 2)}`) }));
const name = spelt(fc.oneof({ weight: 15, arbitrary: fc.constantFrom('ADDED', 'UPDATED', 'DELETED', 'STATUS_CHANGED', '_', 'A_B') }, { weight: 1, arbitrary: fc.stringMatching(/^[A-Z_a-z0-9É -]{1,6}$/) }, { weight: 1, arbitrary: anyString }));

/** A member that is there with its usual value, or another, or twice, or not at all. */
function member(named, usual, { absent = 1 } = {}) {
  const some = (values) => fc.tuple(spelt(fc.constant(named)), values);
  return fc.oneof(
    { weight: 60, arbitrary: fc.tuple(some(usual)) },
    { weight: 4, arbitrary: fc.tuple(some(value)) },
    { weight: absent, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.tuple(some(usual), some(fc.oneof(usual, value))) },
  );
}
const others = fc.array(fc.tuple(key, value), { maxLength: 2 });
const rare = { absent: 200 };

/** An object of members in any order. */
const object = (...parts) =>
  fc.tuple(fc.tuple(...parts), fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 })).map(([lists, order]) =>
    braced(lists.flat().map((one, i) => [order[i] ?? 0, one]).sort((a, b) => a[0] - b[0]).map(([, one]) => one)));

const data = object(member('entity_id', spelt(fc.string({ minLength: 1, maxLength: 5 }))), member('payload', fc.oneof({ weight: 20, arbitrary: value }, { weight: 1, arbitrary: deep })), member('timestamp', timestamp),
  member('user_id', value, rare), member('tenant_id', value, rare), member('previous', value, rare), others);
const event = object(member('topic', topic), member('event', name), member('data', data), member('trace_id', spelt(anyString), rare), member('version', fc.oneof(fc.integer({ min: 1, max: 9 }).map(String), number), rare), member('id', value, rare), others);

/** White space between tokens would do; a character too many, or too few, mostly not. */
const nearly = fc.tuple(event, fc.nat(), fc.constantFrom('', '{', '}', '[', ']', '"', ':', ',', '\\', '0', '-', 'e', '.', ' ', '\t', '\u00a0', '\u2028', '\0')).map(([text, at, what]) => text.slice(0, at % text.length) + what + text.slice((at % text.length) + (what.length ? 0 : 1)));
const spaced = event.map((text) => ` \t${text.replace(/[{}[\]]/g, ' $& ')}\r `);

/** A line of its own, as all of them read it. */
const line = fc.oneof({ weight: 8, arbitrary: event }, { weight: 1, arbitrary: spaced }, { weight: 2, arbitrary: nearly }, { weight: 1, arbitrary: value })
  .map((text) => text.replace(/\p{Surrogate}/gu, '').replace(/\n/g, '').trim() || '?');

/* ---- the verdicts ---- */

function run(command, args, input) {
  const { stdout, stderr, status, error } = spawnSync(command, args, { input, encoding: 'utf8', maxBuffer: 1 << 30 });
  if (error || status > 1 || stderr) throw new Error(`${command}: ${error ?? stderr.slice(0, 500)}`);
  return stdout.trim().split('\n').map((one) => JSON.parse(one));
}

const NO_JSON = 'Invalid JSON: ';
/** Without the words in which each reader says that something is no JSON. */
const plain = ({ errors, warnings }) => ({ errors: errors.map((error) => (error.startsWith(NO_JSON) ? NO_JSON : error)), warnings });

const ajv = new Ajv({ strict: false, strictNumbers: false });
const matches = ajv.compile(JSON.parse(readFileSync(here('../../docs/event.schema.json'), 'utf8')));

const known = new Map();
/** What the validators in processes of their own say, of many at once. */
function learn(texts) {
  // the second line makes lines of them, whatever the first is
  const lines = [...texts, '{}'].map((text) => `${text}\n`).join('');
  const inC = run(hookwire, ['validate', '--json'], lines);
  const byBin = run(process.execPath, [BIN, '--json'], lines);
  const inPython = run(python, ['-c', PYTHON_LOOP], texts.map((text) => `${JSON.stringify(text)}\n`).join(''));
  texts.forEach((text, i) => known.set(text, { C: inC[i], bin: byBin[i], Python: inPython[i], line: i + 1 }));
}

/** What is wrong with what they say of a text. */
function difference(text) {
  if (!known.has(text)) learn([text]);
  const { line: n, ...others } = known.get(text);
  const own = plain(validate(text));
  const told = JSON.stringify(own);
  for (const [who, verdict] of Object.entries(others)) {
    if (!verdict || JSON.stringify(plain(verdict)) !== told) return `${who} says ${JSON.stringify(verdict)}, JavaScript ${told}`;
    if (who !== 'Python' && (verdict.line !== n || verdict.valid !== (own.errors.length === 0))) return `${who} says ${JSON.stringify(verdict)}, of line ${n}`;
  }
  if (own.errors[0] === NO_JSON) return undefined;
  const parsed = JSON.parse(text);
  // what a schema cannot say: what stands twice, and the very ends of time
  const said = parsed?.data?.timestamp;
  if (typeof said === 'string' && /^[+-]27/.test(said)) return undefined;
  const isGood = own.errors.every((error) => error.startsWith('Duplicate member: '));
  if (matches(parsed) !== isGood) return `the schema says ${ajv.errorsText(matches.errors)}, JavaScript ${told}`;
  return undefined;
}

const texts = fc.sample(line, { seed, numRuns });
learn(texts);
const result = fc.check(fc.property(line, (text) => difference(text) === undefined), { seed, numRuns, interruptAfterTimeLimit: 30000 });
if (result.failed) {
  const found = result.counterexample?.[0] ?? texts.find((text) => difference(text));
  process.stdout.write(`${JSON.stringify(found)}: ${difference(found)}\n`);
  process.exitCode = 1;
} else {
  const count = (is) => texts.filter((text) => is(validate(text).errors[0])).length;
  const extra = known.size - new Set(texts).size; // asked about one by one, which takes long
  const counts = { valid: count((error) => !error), invalid: count((error) => error && !error.startsWith(NO_JSON)), no_json: count((error) => error?.startsWith(NO_JSON)) };
  process.stdout.write(`${JSON.stringify({ ...counts, ran: result.numRuns, extra })}\n`);
}
