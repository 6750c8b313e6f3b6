'use client';

import { useMutation, useQuery } from '@tanstack/react-query';
import type { HookwireEvent } from 'hookwire-client';
import { useQuerySync } from 'hookwire-client/react-query';
import { ConnectionStatus } from 'hookwire-client/status';
import type { FormEvent } from 'react';
import { type Gift, keyOf, topicOf } from '@/lib/gifts';

async function request(listId: string, init?: RequestInit) {
  const response = await fetch(`/api/gift-lists/${listId}`, init);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

/** The list after an event; undefined: read it again. An event that the list has already changes nothing. */
function patch(gifts: Gift[], { event, data }: HookwireEvent<Gift>): Gift[] | undefined {
  const others = gifts.filter((gift) => gift.id !== data.entity_id);
  if (event === 'DELETED') return others;
  if (!data.payload) return undefined;
  const gift = { ...data.payload, id: String(data.entity_id) };
  return gifts.length === others.length ? [...gifts, gift] : gifts.map((old) => (old.id === gift.id ? gift : old));
}

export function GiftList({ listId }: { listId: string }) {
  const { data: gifts = [] } = useQuery<Gift[]>({ queryKey: keyOf(listId), queryFn: () => request(listId) });
  useQuerySync({ topics: [topicOf(listId)], patch });

  const add = useMutation({
    mutationFn: (name: string) =>
      request(listId, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name }) }),
  });

  function submit(submitted: FormEvent<HTMLFormElement>) {
    submitted.preventDefault();
    const form = submitted.currentTarget;
    add.mutate(String(new FormData(form).get('name')), { onSuccess: () => form.reset() });
  }

  return (
    <>
      <ConnectionStatus />
      <ul id="gifts">
        {gifts.map((gift) => (
          <li key={gift.id}>{gift.name}</li>
        ))}
      </ul>
      <form id="add" onSubmit={submit}>
        <input name="name" aria-label="Gift" placeholder="A gift" required maxLength={100} />
        <button disabled={add.isPending}>Add</button>
      </form>
      {add.isError && <p role="alert">Not added: {add.error.message}</p>}
    </>
  );
}
