/* What people may do with gifts. What changes something is called in a transaction and leaves its event in the outbox. */
import { randomUUID } from 'node:crypto';
import { rows, run } from './database.js';
import * as outbox from './outbox.js';

const GIFTS = 'SELECT gifts.*, owner_id, family_id FROM gifts JOIN lists ON lists.id = list_id';

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export function person(userId) {
  return rows('SELECT * FROM people WHERE id = ?', userId)[0];
}

export function people() {
  return rows(
    'SELECT people.id, people.name, role, family_id, families.name AS family FROM people JOIN families ON families.id = family_id ORDER BY family_id, people.rowid',
  );
}

export function listsOf(who, familyId) {
  if (who.family_id !== familyId) throw new Refused(404, 'not_found', 'there is no such family, or it is not yours');
  const [family] = rows('SELECT id, name FROM families WHERE id = ?', familyId);
  const gifts = rows(`${GIFTS} WHERE family_id = ? ORDER BY gifts.rowid`, familyId);
  const lists = rows('SELECT id, title, owner_id FROM lists WHERE family_id = ? ORDER BY rowid', familyId);
  return {
    family,
    lists: lists.map((list) => ({ ...list, gifts: gifts.filter((gift) => gift.list_id === list.id).map((gift) => seenBy(who, gift)) })),
  };
}

export function add(who, listId, { name, note = '', price = null, mutation_id }) {
  if (!rows('SELECT id FROM lists WHERE id = ? AND family_id = ?', listId, who.family_id).length) {
    throw new Refused(404, 'not_found', 'there is no such list');
  }
  if (who.role === 'guest') throw new Refused(403, 'forbidden', 'guests look and reserve');
  const id = `gift-${randomUUID()}`;
  run(
    'INSERT INTO gifts (id, list_id, name, note, price, added_by, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ...[id, listId, name, note, price, who.id, now()],
  );
  const gift = giftOf(who, id);
  tell('ADDED', who, gift, plain(gift), mutation_id);
  return seenBy(who, gift);
}

/** change: what is to be other: name, note, price, status; and maybe the version that was seen. */
export function edit(who, giftId, { version, status, mutation_id, ...content }) {
  let gift = giftOf(who, giftId);
  const isContent = Object.keys(content).length > 0;
  if (isContent) checkMayEdit(who, gift, 'change');
  if (version !== undefined && version !== gift.version) throw new Refused(409, 'conflict', 'somebody else has changed it meanwhile');
  if (status !== undefined) setStatus(who, gift, status);
  if (isContent) {
    const { name, note, price } = { ...gift, ...content };
    run('UPDATE gifts SET name = ?, note = ?, price = ?, version = version + 1, updated_at = ? WHERE id = ?', name, note, price, now(), giftId);
  }
  gift = giftOf(who, giftId);
  tell(isContent ? 'UPDATED' : 'STATUS_CHANGED', who, gift, plain(gift), mutation_id);
  return seenBy(who, gift);
}

export function remove(who, giftId, mutationId) {
  const gift = giftOf(who, giftId);
  checkMayEdit(who, gift, 'delete');
  run('DELETE FROM gifts WHERE id = ?', giftId);
  tell('DELETED', who, gift, { id: giftId, list_id: gift.list_id }, mutationId);
}

/** The gift as REST gives it. A surprise is kept here as the broker's policy keeps it in events. */
function seenBy(who, gift) {
  const { reserved_by, ...others } = plain(gift);
  return gift.owner_id === who.id ? { ...others, status: 'wanted' } : { ...others, reserved_by };
}

function giftOf(who, giftId) {
  const [gift] = rows(`${GIFTS} WHERE gifts.id = ? AND family_id = ?`, giftId, who.family_id);
  if (!gift) throw new Refused(404, 'not_found', 'there is no such gift');
  return gift;
}

function plain({ owner_id, family_id, ...gift }) {
  return gift;
}

function checkMayEdit(who, gift, verb) {
  if (who.role === 'guest') throw new Refused(403, 'forbidden', 'guests look and reserve');
  if (who.role === 'child' && gift.added_by !== who.id) throw new Refused(403, 'forbidden', `children ${verb} what they have added themselves`);
}

function setStatus(who, gift, status) {
  if (gift.owner_id === who.id) throw new Refused(403, 'forbidden', 'it is for you: let yourself be surprised');
  const holder = gift.reserved_by;
  if (holder !== null && holder !== who.id) {
    if (status === 'reserved') throw new Refused(409, 'conflict', 'somebody else was faster');
    if (who.role !== 'parent') throw new Refused(403, 'forbidden', 'somebody else has reserved it');
  }
  run('UPDATE gifts SET status = ?, reserved_by = ? WHERE id = ?', status, status === 'wanted' ? null : holder ?? who.id, gift.id);
}

function tell(event, who, gift, payload, mutation_id) {
  outbox.add({
    topic: `gift-list:${gift.family_id}`,
    event,
    data: { entity_id: gift.id, payload, user_id: who.id, timestamp: now(), owner_id: gift.owner_id, mutation_id },
  });
}

function now() {
  return new Date().toISOString();
}
