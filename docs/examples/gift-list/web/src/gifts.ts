/* The lists of a family: read once, kept up to date by events, and changed at once, before the back end has answered. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { HookwireEvent } from 'hookwire-client';
import { useOptimistic } from 'hookwire-client/optimistic';
import { useQuerySync } from 'hookwire-client/react-query';
import type { Api, Family, Gift, GiftFields, GiftStatus, User } from './api';

/** A gift as the page has it. */
export interface ShownGift extends Gift {
  /** An event changed it while the page was open: who did it, and when. */
  touched?: { by: string; at: string; event: string };
  /** The back end has not confirmed it yet. */
  isPending?: boolean;
}

export type Change =
  | { kind: 'add'; id: string; listId: string; fields: GiftFields; by: string }
  | { kind: 'edit'; id: string; fields: Partial<GiftFields> & { status?: GiftStatus; reserved_by?: string | null } }
  | { kind: 'remove'; id: string };

const onGifts = (data: Family, change: (gifts: ShownGift[], listId: string) => ShownGift[]): Family => ({
  ...data,
  lists: data.lists.map((list) => ({ ...list, gifts: change(list.gifts, list.id) })),
});

/** What the data is after an event. Applied twice it is the same: an event may tell what has been read already. */
export function withEvent(data: Family, { event, data: { payload, user_id, timestamp } }: HookwireEvent<Gift>): Family | undefined {
  if (!payload) return undefined; // the query is read again
  if (event === 'DELETED') return onGifts(data, (gifts) => gifts.filter(({ id }) => id !== payload.id));
  if (!data.lists.some(({ id }) => id === payload.list_id)) return undefined;
  const gift: ShownGift = { ...payload, touched: { by: user_id, at: timestamp, event } };
  return onGifts(data, (gifts, listId) => {
    if (listId !== payload.list_id) return gifts;
    const known = gifts.find(({ id }) => id === payload.id);
    if (!known) return [...gifts, gift];
    return known.version > payload.version ? gifts : gifts.map((one) => (one === known ? gift : one));
  });
}

/** What is shown while the back end has not confirmed the change. */
export function withChange(data: Family | undefined, change: Change): Family | undefined {
  if (!data) return data;
  switch (change.kind) {
    case 'add': {
      if (data.lists.some(({ gifts }) => gifts.some(({ id }) => id === change.id))) return data; // it was read before its event came
      const gift: ShownGift = {
        id: change.id,
        list_id: change.listId,
        ...change.fields,
        status: 'wanted',
        added_by: change.by,
        version: 0,
        updated_at: new Date().toISOString(),
        isPending: true,
      };
      return onGifts(data, (gifts, listId) => (listId === change.listId ? [...gifts, gift] : gifts));
    }
    case 'edit':
      return onGifts(data, (gifts) => gifts.map((gift) => (gift.id === change.id ? { ...gift, ...change.fields, isPending: true } : gift)));
    case 'remove':
      return onGifts(data, (gifts) => gifts.filter(({ id }) => id !== change.id));
  }
}

export interface GiftActions {
  add(listId: string, fields: GiftFields): Promise<unknown>;
  /** `version`: the one that the person saw. */
  edit(id: string, fields: GiftFields, version: number): Promise<unknown>;
  setStatus(id: string, status: GiftStatus): Promise<unknown>;
  remove(id: string): Promise<unknown>;
}

let added = 0; // gifts whose ids are not known yet have one of ours

export function useGifts(api: Api, user: User) {
  const familyId = user.family_id;
  const queryKey = ['gift-list', familyId];
  const queryClient = useQueryClient();
  const query = useQuery({ queryKey, queryFn: () => api.family(familyId) });

  const { state, update, confirm } = useOptimistic<Family | undefined, Change>(query.data, withChange, {
    onUnconfirmed: () => queryClient.invalidateQueries({ queryKey }, { throwOnError: true }), // what could not be read does not count
  });
  useQuerySync({
    topics: [`gift-list:${familyId}`],
    patch: (data: Family, event: HookwireEvent<Gift>) => {
      confirm(event);
      return withEvent(data, event);
    },
  });

  const actions: GiftActions = {
    add(listId, fields) {
      const change: Change = { kind: 'add', id: `new-${++added}`, listId, fields, by: user.id };
      return update(change, async (mutationId) => {
        change.id = (await api.addGift(listId, fields, mutationId)).id;
      });
    },
    edit: (giftId, fields, version) => update({ kind: 'edit', id: giftId, fields }, (id) => api.editGift(giftId, { ...fields, version }, id)),
    setStatus: (giftId, status) =>
      update({ kind: 'edit', id: giftId, fields: { status, reserved_by: status === 'wanted' ? null : user.id } }, (id) =>
        api.editGift(giftId, { status }, id),
      ),
    remove: (giftId) => update({ kind: 'remove', id: giftId }, (id) => api.deleteGift(giftId, id)),
  };
  return { data: state, error: query.error, refetch: query.refetch, actions };
}
