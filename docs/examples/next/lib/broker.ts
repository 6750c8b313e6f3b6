import 'server-only';
import { Publisher } from 'hookwire';
import { SignJWT } from 'jose';

/** Where the broker is, for this server and for pages. */
export const brokerUrl = process.env.HOOKWIRE_URL ?? 'http://127.0.0.1:8080';

/** A token that the broker takes, signed with the secret that both have. The secret never leaves the server. */
export async function signToken(user: string, claims: Record<string, unknown>, lifetime: string): Promise<string> {
  const secret = process.env.HOOKWIRE_JWT_SECRET;
  if (!secret) throw new Error('HOOKWIRE_JWT_SECRET is not set: README.md says how');
  return new SignJWT({ tenant_id: 'acme', ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime(lifetime)
    .sign(new TextEncoder().encode(secret));
}

/** What the server tells everybody. It has a token of its own, for each request a fresh one. */
export const publisher = new Publisher({
  url: brokerUrl,
  token: () => signToken('backend', { role: 'service' }, '1m'),
  onError: (event, error) => console.error(`not published, ${event.topic}: ${error.message}`),
});
