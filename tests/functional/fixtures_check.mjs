// Runs the protocol's fixtures through the validator of clients/node, and holds them against the schemas in docs/. Prints
// {"validated": [verdicts of the events], "schemas": {"checked": n, "wrong": ["…"]}}. Reads an array of messages that a broker has said.
import { readFileSync } from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import { fixtures } from '../../clients/testlib/fixtures.js';
import { validate } from '../../clients/node/validate.js';

const schemas = { event: 'event.schema.json', messages: 'messages.schema.json', openapi: 'openapi.json', asyncapi: 'asyncapi.json' };
// a number too large for JavaScript is a number all the same
const ajv = new Ajv({ strict: false, strictNumbers: false });
for (const [name, file] of Object.entries(schemas)) {
  const schema = JSON.parse(readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8'));
  ajv.addSchema(schema, file.endsWith('.schema.json') ? file : name);
}

const wrong = [];
const compiled = new Map();
let checked = 0;

/** Each of the schemas, by where it stands, is to say the same of the text. */
function hold(file, { name, text }, isGood, ...refs) {
  const value = JSON.parse(text);
  for (const $ref of refs) {
    checked++;
    if (!compiled.has($ref)) compiled.set($ref, ajv.compile({ $ref }));
    const check = compiled.get($ref);
    if (check(value) !== isGood) wrong.push(`${file}: ${name}: ${$ref} ${isGood ? `refuses it: ${ajv.errorsText(check.errors)}` : 'takes it'}`);
  }
}

const hasNoSchema = ({ json, seen_in: seenIn }) => json === false || seenIn !== undefined;
const isAccepted = ({ error, topics = [] }) => !error && topics.every((topic) => !topic.error);

for (const test of fixtures('events')) {
  if (hasNoSchema(test)) continue;
  const value = JSON.parse(test.text);
  const isGood = test.errors.length === 0;
  hold('events', test, isGood, 'event.schema.json', 'openapi#/components/schemas/EventIn');
  // the same as it is published over WebSocket, where id is the request's
  if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
  const text = `{"type":"publish",${test.text.trim().slice(1)}`.replace(/,\}$/, '}');
  hold('events as a message', { ...test, text }, isGood, 'messages.schema.json#/$defs/client', 'messages.schema.json#/$defs/publish', 'asyncapi#/components/messages/publish/payload');
}

for (const test of fixtures('client')) {
  if (hasNoSchema(test)) continue;
  const isGood = test.commands.every(isAccepted);
  const [{ type }] = test.commands;
  const one = test.commands.length === 1 && type ? [`messages.schema.json#/$defs/${type}`, `asyncapi#/components/messages/${type}/payload`] : [];
  hold('client', test, isGood, 'messages.schema.json', 'messages.schema.json#/$defs/client', ...one);
}

for (const test of fixtures('publish')) {
  if (hasNoSchema(test)) continue;
  const items = JSON.parse(test.text);
  test.commands.forEach((command, i) => {
    const item = Array.isArray(items) ? items[i] : items;
    hold('publish', { ...test, text: JSON.stringify(item) }, isAccepted(command), 'openapi#/components/schemas/EventIn', 'event.schema.json');
  });
}

for (const test of fixtures('broker')) {
  const refs = test.type ? [`messages.schema.json#/$defs/${test.type}`, `asyncapi#/components/messages/${test.type}/payload`] : [];
  hold('broker', test, !test.error, 'messages.schema.json#/$defs/broker', ...refs);
}

for (const test of fixtures('sse')) {
  const { event, data } = test;
  if (data !== undefined && event !== 'closed') hold('sse', { ...test, text: data }, true, 'messages.schema.json#/$defs/broker');
}

for (const test of fixtures('http')) hold('http', test, !test.error, `openapi#/components/schemas/${test.schema}`);

for (const message of JSON.parse(readFileSync(0, 'utf8'))) {
  const name = message.type === 'presence' ? 'present' : (message.type ?? 'event');
  const test = { name, text: JSON.stringify(message) };
  hold('heard', test, true, 'messages.schema.json', 'messages.schema.json#/$defs/broker', `messages.schema.json#/$defs/${name}`, `asyncapi#/components/messages/${name}/payload`);
}

const validated = fixtures('events').map(({ text }) => validate(text));
process.stdout.write(JSON.stringify({ validated, schemas: { checked, wrong } }));
