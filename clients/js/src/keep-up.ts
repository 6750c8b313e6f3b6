/* Data that is kept elsewhere, in a cache that outlives components, follows topics without a hole. */
import { whileDegraded } from './fallback.js';
import type { Client, Gap, HookwireEvent } from './types.js';

/** What the adapters for caches have in common. */
export interface KeepUpOptions {
  /** What is followed. */
  topics: readonly string[];
  /** How often data is read while there is no live connection, in ms; 10000 if absent. */
  fallbackMs?: number;
  /** Events were lost; the data is read again without your doing. */
  onGap?: (gap: Gap) => void;
}

const HEAD_MS = 5000; // longer, and it begins without knowing from where

/**
 * `add` is called with what happened: an event of a topic, or none where it has to be read again. `left` has where `place` was left the last
 * time; without, the broker's cursor is taken first, and what was read before it has to be read again.
 */
export function keepUp(
  client: Client<any>,
  left: Map<string, string | undefined>,
  place: string,
  add: (topic: string, event?: HookwireEvent) => void,
  options: () => KeepUpOptions,
): () => void {
  const { topics, fallbackMs } = options();
  const readAgain = () => topics.forEach((topic) => add(topic));
  const cursor = left.get(place);
  let off: (() => string | undefined) | undefined;

  function begin(from?: string): void {
    if (off || client.state === 'closed') return;
    off = client.subscribe(topics, (event) => add(event.topic, event), {
      cursor: from,
      onGap(gap) {
        gap.topics.forEach((topic) => add(topic));
        options().onGap?.(gap);
      },
    });
    if (!cursor) readAgain();
  }

  const late = setTimeout(begin, HEAD_MS);
  if (cursor || !topics.length) begin(cursor);
  else client.cursor().then(begin, () => begin());
  const offFallback = whileDegraded(client, readAgain, fallbackMs);
  return () => {
    clearTimeout(late);
    left.set(place, off?.() ?? cursor);
    off = () => cursor; // nothing begins any more
    offFallback();
  };
}
