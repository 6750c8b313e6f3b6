/* What requests may hold. */
import { Refused } from './gifts.js';

// a half of a surrogate pair is no text: JSON may hold one, UTF-8 cannot
const isText = (min, max) => (value) =>
  typeof value === 'string' && [...value].length >= min && [...value].length <= max && !/\p{Surrogate}/u.test(value);
const isWhole = (min, max) => (value) => Number.isInteger(value) && value >= min && value <= max;

const RULES = {
  user_id: [isText(1, 100), 'a text'],
  name: [(value) => typeof value === 'string' && isText(1, 200)(value.trim()), '1 to 200 characters'],
  note: [isText(0, 2000), 'up to 2000 characters'],
  price: [(value) => value === null || isWhole(0, 100_000_000)(value), 'cents, up to a million, or null'],
  status: [(value) => ['wanted', 'reserved', 'bought'].includes(value), 'wanted, reserved or bought'],
  version: [isWhole(1, Number.MAX_SAFE_INTEGER), 'a number'],
  mutation_id: [isText(1, 100), '1 to 100 characters'],
};

/** The body, which has nothing but these members; Refused if one is not as it should be. */
export function read(body, members, needed = []) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('an object, please');
  for (const [name, value] of Object.entries(body)) {
    if (!members.includes(name)) throw invalid(`${name}: unknown`);
    const [isRight, wanted] = RULES[name];
    if (!isRight(value)) throw invalid(`${name}: ${wanted}`);
  }
  for (const name of needed) if (!(name in body)) throw invalid(`${name}: missing`);
  return 'name' in body ? { ...body, name: body.name.trim() } : body;
}

export function invalid(message) {
  return new Refused(422, 'invalid', message);
}
