#!/usr/bin/env node
/* Says whether JSON texts are events that the broker takes, and what is wrong or unusual about each. */
import { readEvent } from '../validate.js';

const HELP = `Usage: validate-ws-event [--json] [--strict] [EVENT...]

Says whether JSON texts are events that the broker accepts, and what is wrong or unusual about
each. Without arguments it reads standard input: one JSON document is one event, else every
line is one (NDJSON).

  --json       one JSON object a line: valid, errors, warnings, and its line or event number
  --strict     warnings make an event invalid too
  -h, --help   show this

Exit code: 0 if every event is valid, else 1.
`;

/** @typedef {{ json: boolean, strict: boolean, printed: boolean }} Options printed: something stands on standard output already */
/** @typedef {{ what: 'line' | 'event', n: number } | undefined} Source where a text stands, when there is more than one */

/** @param {import('../validate.js').Verdict} verdict @param {any} event */
function format({ valid, errors, warnings }, event) {
  const lines = [valid ? '✓ Event is valid' : '✗ Event is invalid'];
  if (errors.length) lines.push('\nErrors:', ...errors.map((error) => ` - ${error}`));
  if (warnings.length) lines.push('\nWarnings:', ...warnings.map((warning) => ` - ${warning}`));
  if (valid) lines.push('\nParsed:', ` Topic: ${event.topic}`, ` Event: ${event.event}`, ` Entity: ${event.data.entity_id}`);
  return `${lines.join('\n')}\n`;
}

/** One text; returns whether it is valid. @param {string} text @param {Source} source @param {Options} options */
function judge(text, source, options) {
  let verdict;
  try {
    verdict = readEvent(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    if (!options.json) {
      process.stderr.write(`✗ Invalid JSON: ${source ? `${source.what} ${source.n}, ` : ''}${error.message}\n`);
      return false;
    }
    verdict = { valid: false, errors: [`Invalid JSON: ${error.message}`], warnings: [], event: undefined };
  }
  if (options.strict && verdict.warnings.length) verdict.valid = false;
  const { event, ...said } = verdict;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...(source && { [source.what]: source.n }), ...said })}\n`);
  } else {
    process.stdout.write(`${source ? `${options.printed ? '\n' : ''}${source.what} ${source.n}:\n` : ''}${format(said, event)}`);
    options.printed = true;
  }
  return verdict.valid;
}

/** What the bytes say, without the white space around; what is no UTF-8 is no JSON either. @param {Uint8Array} bytes */
function textOf(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    return '"\u0000'; // no text of JSON: a control character in a string
  }
}

/** @param {string} text */
function isJson(text) {
  try {
    readEvent(text);
    return true;
  } catch {
    return false;
  }
}

/** @param {Buffer} input @param {Options} options */
function judgeInput(input, options) {
  const whole = textOf(input);
  if (!whole) return usage();
  const lines = [];
  for (let from = 0; from <= input.length; ) {
    const end = input.indexOf('\n', from);
    lines.push(textOf(input.subarray(from, end < 0 ? undefined : end)));
    from = end < 0 ? input.length + 1 : end + 1;
  }
  // if none is an object by itself, what is no JSON is one broken document and not many broken lines
  if (isJson(whole) || !lines.some((line) => line.startsWith('{') && isJson(line))) return judge(whole, undefined, options);
  // every line is judged, also behind one that is wrong
  return lines.map((line, i) => !line || judge(line, { what: 'line', n: i + 1 }, options)).every(Boolean);
}

function usage() {
  const example = { entity_id: 'gift-456', payload: { name: 'Updated Gift' }, user_id: 'user-789', timestamp: new Date().toISOString() };
  const event = JSON.stringify({ topic: 'gift-list:123', event: 'UPDATED', data: example }, null, 2);
  process.stdout.write(`Usage: node validate-ws-event.js '{"topic":"...","event":"...","data":{...}}'\n\nExample valid event:\n${event}\n`);
  return false;
}

async function main() {
  const options = { json: false, strict: false, printed: false };
  const texts = [];
  const args = process.argv.slice(2);
  for (const arg of args.splice(0, args.includes('--') ? args.indexOf('--') : args.length)) {
    if (arg === '--json') options.json = true;
    else if (arg === '--strict') options.strict = true;
    else if (arg === '--help' || arg === '-h') return process.stdout.write(HELP);
    else texts.push(arg); // whatever else there is: JSON, or not
  }
  texts.push(...args.slice(1));
  if (texts.length === 0 || (texts.length === 1 && texts[0] === '')) {
    const chunks = [];
    for await (const chunk of process.stdin) chunks.push(chunk);
    return judgeInput(Buffer.concat(chunks), options);
  }
  return texts.map((text, i) => judge(text, texts.length > 1 ? { what: 'event', n: i + 1 } : undefined, options)).every(Boolean);
}

process.stdout.on('error', () => process.exit(1)); // who read us has gone
process.exitCode = (await main()) ? 0 : 1;
