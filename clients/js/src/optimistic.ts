/* hookwire-client/optimistic: what the user did is shown at once, and is taken back if it is refused.
 *
 *   sending ──reply──> accepted ──event, or re-read──> gone: the data has it
 *      ├──event──> gone (the event was faster than the reply)
 *      └──error──> gone (taken back)
 */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { HookwireEvent } from './types.js';

/** What `useOptimistic` may be told. */
export interface UseOptimisticOptions {
  /** How long an accepted change may wait for its event, in ms; 10000 if absent. */
  confirmMs?: number;
  /**
   * An accepted change was not heard of in that time: read your data again. The change is shown until the promise resolves, then the data
   * has the last word. If it rejects, it is called again after the same time.
   */
  onUnconfirmed?: () => unknown;
}

/** What `useOptimistic` gives. */
export interface UseOptimisticResult<T, C> {
  /** `base`, and over it the changes that it does not have yet. */
  state: T;
  /** Shows the change, and calls `send`, to which it gives the id that has to be the event's `data.mutation_id`. If `send` fails the change is taken back, and its error is thrown. */
  update: <R>(change: C, send: (mutationId: string) => Promise<R>) => Promise<R>;
  /** Call it with each event of the topic. true: apply it to your data. false: it has been applied, it is a repeat of the same mutation. */
  confirm: (event: HookwireEvent<any>) => boolean;
  /** Something was not answered yet. */
  isPending: boolean;
}

interface Pending<C> {
  id: string;
  change: C;
  /** When the reply said yes. */
  acceptedMs?: number;
  /** The data is being read again for it. */
  isAsked?: boolean;
}

const SEEN = 1000; // events of mutations that are remembered

/**
 * What the user did is laid over the data until the data has it. Apply events to `base` where `confirm(event)` says so; the change
 * that an event confirms ends with it, so that nothing is shown twice, whether the event comes before the reply, again, or never.
 */
export function useOptimistic<T, C>(base: T, apply: (state: T, change: C) => T, options: UseOptimisticOptions = {}): UseOptimisticResult<T, C> {
  const [pending, setPending] = useState<readonly Pending<C>[]>([]);
  const seen = useRef(new Set<string>());
  // of `pending`. React 18 renders what a store of others has (TanStack Query's, say) before what is set here at the same time: then it is looked up
  const open = useRef(new Set<string>());
  const latest = useRef(options);
  const { confirmMs = 10000 } = options;

  const set = useCallback((id: string, members: Partial<Pending<C>>) => setPending((list) => list.map((one) => (one.id === id ? { ...one, ...members } : one))), []);
  const end = useCallback((id: string) => {
    if (open.current.delete(id)) setPending((list) => list.filter((one) => one.id !== id));
  }, []);

  const update = useCallback(
    async <R>(change: C, send: (mutationId: string) => Promise<R>): Promise<R> => {
      const id = Math.random().toString(36).slice(2);
      open.current.add(id);
      setPending((list) => [...list, { id, change }]);
      try {
        const result = await send(id);
        set(id, { acceptedMs: Date.now() });
        return result;
      } catch (error) {
        end(id);
        throw error;
      }
    },
    [end, set],
  );

  const confirm = useCallback(
    ({ topic, event, data: { mutation_id, entity_id } }: HookwireEvent<any>): boolean => {
      if (!mutation_id) return true;
      end(mutation_id);
      const of = '' + [mutation_id, topic, event, entity_id]; // a mutation may have several events, of several things
      if (seen.current.has(of)) return false;
      seen.current.add(of);
      if (seen.current.size > SEEN) seen.current.delete(seen.current.values().next().value!);
      return true;
    },
    [end],
  );

  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => {
    const timers = pending.flatMap(({ id, acceptedMs, isAsked }) =>
      acceptedMs === undefined || isAsked
        ? []
        : setTimeout(async () => {
            set(id, { isAsked: true }); // other changes set the timers anew
            try {
              await latest.current.onUnconfirmed?.();
              end(id);
            } catch {
              set(id, { isAsked: false, acceptedMs: Date.now() });
            }
          }, acceptedMs + confirmMs - Date.now()),
    );
    return () => timers.forEach(clearTimeout);
  }, [pending, confirmMs, end, set]);

  const state = useMemo(() => pending.reduce((value, { id, change }) => (open.current.has(id) ? apply(value, change) : value), base), [pending, base, apply]);
  return { state, update, confirm, isPending: pending.some(({ acceptedMs }) => acceptedMs === undefined) };
}
