import { randomUUID } from 'node:crypto';
import { publisher } from '@/lib/broker';
import { type Gift, topicOf } from '@/lib/gifts';
import { currentUser } from '@/lib/session';
import { addGift, readGifts } from '@/lib/store';

type Context = { params: Promise<{ id: string }> };

const MAX_NAME = 100;

async function isMember(listId: string): Promise<boolean> {
  return (await currentUser())?.families.includes(listId) ?? false;
}

export async function GET(_: Request, { params }: Context): Promise<Response> {
  const { id: listId } = await params;
  if (!(await isMember(listId))) return Response.json({ message: 'not your list' }, { status: 403 });
  return Response.json(await readGifts(listId));
}

/** Stores a gift, and then tells everybody who looks at the list. */
export async function POST(request: Request, { params }: Context): Promise<Response> {
  const { id: listId } = await params;
  if (!(await isMember(listId))) return Response.json({ message: 'not your list' }, { status: 403 });
  const name = (await request.json().catch(() => undefined))?.name;
  if (typeof name !== 'string' || !name || name.length > MAX_NAME) return Response.json({ message: 'a gift has a name' }, { status: 400 });

  const gift: Gift = { id: randomUUID(), name };
  await addGift(listId, gift);
  // it is stored: where the broker is not there just now, pages see it when they read again
  publisher.enqueue({ topic: topicOf(listId), event: 'ADDED', data: { entity_id: gift.id, payload: gift, user_id: (await currentUser())?.id } });
  return Response.json(gift, { status: 201 });
}
