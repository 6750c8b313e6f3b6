/* hookwire/validate: is this an event that the broker takes? The rules of the protocol, in the words of `hookwire validate`. */

const TOPIC = /^[a-z][a-z0-9-]*:[a-z0-9-]+$/;
const TOPIC_MAX = 255;
const STANDARD = ['ADDED', 'UPDATED', 'DELETED', 'STATUS_CHANGED'];
const DEPTH = 64; // arrays and objects that may be open at once
const TWICE_MAX = 8; // repeated members that are told one by one
const DAY_MS = 86400000;
const DAYS_MAX = 100000000; // from 1970 to either end of what a Date can say
const ERA = { years: 400, days: 146097 }; // the calendar repeats
const ISO_8601 =
  /^(\d{4}|[+-]\d{6})(?:-(\d\d)(?:-(\d\d))?)?(?:[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:[Zz]|([+-])(\d\d):?(\d\d))?)?$/;

/**
 * @typedef {object} Verdict What is to be said of an event.
 * @property {boolean} valid no error; warnings do not count
 * @property {string[]} errors
 * @property {string[]} warnings
 */

/** ISO 8601 as ECMA-262 profiles it, of days that exist; with lower-case t and z, and ±HHmm, which others write. @param {string} text */
function isTime(text) {
  const match = ISO_8601.exec(text);
  if (!match || match[1] === '-000000') return false;
  const [year, month = 1, day = 1, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map((part) => (part === undefined ? part : Number(part)));
  const fraction = match[7] ?? '';
  const [zoneHour, zoneMinute] = [Number(match[9] ?? 0), Number(match[10] ?? 0)];
  if (minute > 59 || second > 59 || zoneHour > 23 || zoneMinute > 59) return false;
  if (hour > 24 || (hour === 24 && (minute || second || /[1-9]/.test(fraction)))) return false;
  // a year of the same shape that Date.UTC reads as it stands: it takes 0 to 99 for 1900 to 1999
  const alike = 2000 + (((Number(year) % ERA.years) + ERA.years) % ERA.years);
  const date = new Date(Date.UTC(alike, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return false;
  const days = date.getTime() / DAY_MS + ((Number(year) - alike) / ERA.years) * ERA.days;
  const ms = ((hour * 60 + minute) * 60 + second) * 1000 + Number(`${fraction}000`.slice(0, 3));
  const zoneMs = (zoneHour * 60 + zoneMinute) * 60000 * (match[8] === '-' ? -1 : 1);
  return Math.abs(days * DAY_MS + ms - zoneMs) <= DAYS_MAX * DAY_MS;
}

/** A value as a template literal prints it, but never throws; half a surrogate pair is U+FFFD. @param {any} value @returns {string} */
function show(value) {
  if (Array.isArray(value)) return value.map((one) => (one === null ? '' : show(one))).join(',');
  return typeof value === 'object' && value !== null ? '[object Object]' : String(value).replace(/\p{Surrogate}/gu, '\ufffd');
}

/** @param {any} value */
const isNested = (value) => typeof value === 'object' && value !== null;
/** @param {string} text */
const isHalved = (text) => /\p{Surrogate}/u.test(text);

/** What JSON.parse does not tell of a text that it took: members of the envelope, or of data, that repeat. @param {string} text */
function twiceIn(text) {
  /** @type {string[]} */
  const twice = [];
  /** @type {Set<string>[]} */
  const keys = []; // of the envelope, and of data while we are in it
  let depth = 0;
  let isKeyDue = false;
  let key = '';
  let late = ''; // a member of the envelope is told once its value is through
  const tellLate = () => {
    if (late && depth === 1) twice.push(late), (late = '');
  };
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '"': {
        const from = i++;
        while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
        const seen = keys[depth - 1];
        if (!isKeyDue || !seen) break;
        isKeyDue = false;
        key = JSON.parse(text.slice(from, i + 1));
        if (seen.has(key) && depth === 1) late = `Duplicate member: ${show(key)}`;
        else if (seen.has(key)) twice.push(`Duplicate member: data.${show(key)}`);
        seen.add(key);
        break;
      }
      case '{':
      case '[':
        if (++depth > DEPTH) throw new SyntaxError(`nested too deeply: more than ${DEPTH} arrays and objects are open`);
        isKeyDue = text[i] === '{' && (depth === 1 || (depth === 2 && keys.length === 1 && key === 'data'));
        if (isKeyDue) keys.push(new Set());
        break;
      case ',':
        tellLate();
        isKeyDue = depth === keys.length;
        break;
      case '}':
      case ']':
        tellLate();
        if (keys.length === depth) keys.pop();
        depth--;
        break;
    }
  }
  return twice.slice(0, TWICE_MAX);
}

/** @param {any} event @param {string[]} errors @param {string[]} warnings */
function check(event, errors, warnings) {
  const { topic, event: name, data, trace_id: traceId, version } = event ?? {};

  if (!topic) errors.push('Missing required field: topic');
  else if (isNested(topic)) errors.push('topic must be a string');
  else if (typeof topic !== 'string' || !TOPIC.test(topic))
    errors.push(`Invalid topic format "${show(topic)}". Expected: "{resource}:{id}" (e.g., "gift-list:123")`);
  else if (topic.length > TOPIC_MAX) errors.push(`topic must not be longer than ${TOPIC_MAX} bytes`);

  if (!name) errors.push('Missing required field: event');
  else if (typeof name !== 'string') errors.push('event must be a string');
  else if (isHalved(name)) errors.push('event must not hold half of a surrogate pair');
  else if (!/^[A-Z_]+$/.test(name)) warnings.push(`Non-standard event type "${name}". Standard: ${STANDARD.join(', ')}`);

  if (!data) {
    errors.push('Missing required field: data');
  } else {
    // what is no object has no members
    if (!data.entity_id) errors.push('Missing required field: data.entity_id');
    else if (isNested(data.entity_id)) errors.push('data.entity_id must be a string, not an array or object');
    if (data.payload === undefined) warnings.push('Missing data.payload (optional but recommended)');
    if (!data.timestamp) warnings.push('Missing data.timestamp (recommended for ordering)');
    else if (typeof data.timestamp !== 'string' || !isTime(data.timestamp))
      errors.push(`Invalid timestamp "${show(data.timestamp)}". Use ISO 8601 format.`);
  }

  if (traceId && typeof traceId !== 'string') errors.push('trace_id must be a string');
  else if (traceId && isHalved(traceId)) errors.push('trace_id must not hold half of a surrogate pair');
  if (version !== undefined && (!Number.isInteger(version) || version < 1)) errors.push('version must be a positive integer');
}

/**
 * The verdict on a text, and the event that it says; throws a SyntaxError if it is no JSON.
 * @param {string} text
 * @returns {Verdict & { event: any }}
 */
export function readEvent(text) {
  const event = JSON.parse(text);
  const errors = twiceIn(text);
  /** @type {string[]} */
  const warnings = [];
  check(event, errors, warnings);
  return { valid: errors.length === 0, errors, warnings, event };
}

/**
 * Is this an event? A member that stands twice is seen in a text alone.
 * @param {unknown} event an object, as it is published; or its JSON text
 * @returns {Verdict}
 */
export function validate(event) {
  try {
    const { valid, errors, warnings } = readEvent(typeof event === 'string' ? event : (JSON.stringify(event) ?? 'null'));
    return { valid, errors, warnings };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // of JSON.stringify: a circle, a BigInt
    return { valid: false, errors: [`Invalid JSON: ${error.message}`], warnings: [] };
  }
}
