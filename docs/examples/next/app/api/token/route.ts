import { signToken } from '@/lib/broker';
import { currentUser } from '@/lib/session';

/** The broker's token for the user who is signed in. It lives shortly: the client asks for the next one in time. */
export async function GET(): Promise<Response> {
  const user = await currentUser();
  if (!user) return new Response('sign in first', { status: 401 });
  const token = await signToken(user.id, { families: user.families }, '10m');
  return new Response(token, { headers: { 'cache-control': 'no-store' } });
}
