import 'server-only';
import type { Gift } from './gifts';

/** Stands for your database. It is kept outside of the module, which is loaded anew when you edit it. */
const kept = globalThis as typeof globalThis & { gifts?: Map<string, Gift[]> };
const lists = (kept.gifts ??= new Map([['family-123', [{ id: 'gift-1', name: 'Book' }]]]));

export async function readGifts(listId: string): Promise<Gift[]> {
  return lists.get(listId) ?? [];
}

export async function addGift(listId: string, gift: Gift): Promise<void> {
  lists.set(listId, [...(await readGifts(listId)), gift]);
}
