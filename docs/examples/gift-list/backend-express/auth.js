/* Two kinds of tokens: sessions, which only this back end reads, and what a page, or the back end, shows to the broker. */
import { SignJWT, jwtVerify } from 'jose';

const SESSION_SECRET = bytes(process.env.GIFT_SESSION_SECRET);
const BROKER_SECRET = bytes(process.env.HOOKWIRE_JWT_SECRET); // the broker has it too
const SESSION_TTL_S = 12 * 3600;
export const TOKEN_TTL_S = Number(process.env.GIFT_TOKEN_TTL ?? 300); // short: a person who left the family is out after this
const TENANT = 'shopping';

function bytes(text) {
  return new TextEncoder().encode(text);
}

function sign(claims, ttlS, secret) {
  return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).setExpirationTime(`${ttlS}s`).sign(secret);
}

export function session(userId) {
  return sign({ sub: userId }, SESSION_TTL_S, SESSION_SECRET);
}

/** Whose session it is; undefined if it is none, or over. */
export async function userOf(session) {
  try {
    return (await jwtVerify(session, SESSION_SECRET, { algorithms: ['HS256'], requiredClaims: ['sub', 'exp'] })).payload.sub;
  } catch {
    return undefined;
  }
}

/** For a page: what the broker's policy asks about somebody. */
export function realtimeToken({ id, name, role, family_id }) {
  return sign({ sub: id, tenant_id: TENANT, families: [family_id], role, name }, TOKEN_TTL_S, BROKER_SECRET);
}

/** For this back end, which publishes. */
export function serviceToken() {
  return sign({ sub: 'gift-list', tenant_id: TENANT, role: 'service' }, TOKEN_TTL_S, BROKER_SECRET);
}
