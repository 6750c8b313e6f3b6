import { SignJWT } from 'jose';

/**
 * Stands for your back end: `GET /api/token` is the broker's token for the user who is signed in, signed with the secret that both have. It lives
 * shortly; the client asks for the next one in time.
 *
 * @param {string | undefined} secret
 * @returns {import('vite').Plugin}
 */
export function backend(secret) {
  async function token(_request, response) {
    if (!secret) {
      response.statusCode = 500;
      return response.end('HOOKWIRE_JWT_SECRET is not set: README.md says how');
    }
    response.setHeader('cache-control', 'no-store');
    response.end(
      await new SignJWT({ tenant_id: 'acme', families: ['family-123', 'family-456'] })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setSubject('alice')
        .setIssuedAt()
        .setExpirationTime('10m')
        .sign(new TextEncoder().encode(secret)),
    );
  }
  const serve = (server) => void server.middlewares.use('/api/token', token);
  return { name: 'backend', configureServer: serve, configurePreviewServer: serve };
}
