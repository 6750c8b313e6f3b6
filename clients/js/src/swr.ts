/* hookwire-client/swr: SWR v2 kept up to date. As with React Query there is one list of what is to be done for a cache, and what is being
 * read or changed optimistically is left alone: a `mutate` in between would make SWR throw away the answer, or the way back. */
import { useEffect, useRef } from 'react';
import useSWR, { type BareFetcher, type Cache, type Key, type SWRConfiguration, type SWRResponse, unstable_serialize, useSWRConfig } from 'swr';
import type { SWRSubscriptionOptions } from 'swr/subscription';
import { useHookwire } from './context.js';
import { keepUp, type KeepUpOptions } from './keep-up.js';
import type { Client, HookwireEvent } from './types.js';

/**
 * For `useSWRSubscription(key, subscription(client, topics))`: its data is the newest event, or what `reduce` makes of the
 * data so far and the event. A topic that is refused, and a gap, are its `error`.
 */
export function subscription<D = HookwireEvent<any>>(
  client: Client<any>,
  topics: string | readonly string[],
  reduce: (data: D | undefined, event: HookwireEvent<any>) => D = (_, event) => event as D,
) {
  return (_: unknown, { next }: SWRSubscriptionOptions<D, Error>): (() => void) =>
    client.subscribe(topics, (event) => next(null, (data?: D) => reduce(data, event)), {
      onError: (error) => next(error),
      onGap: ({ reason }) => next(new Error(reason)),
    });
}

/** What `useLiveSWR` takes: SWR's own options, and these. */
export interface UseLiveSWROptions<D> extends SWRConfiguration<D>, KeepUpOptions {
  /**
   * What the data is after the event; undefined: read it again. It may be given an event that the data has already: applied twice it
   * must be the same. Without `patch` each event makes it read again.
   */
  patch?: (data: D, event: HookwireEvent<any>) => D | undefined;
}

/** Something to be done for the data of a key: apply an event, or read it again. */
interface Job {
  key: string;
  event?: HookwireEvent;
  patch?: (data: any, event: HookwireEvent<any>) => any;
}

interface Work {
  jobs: Map<unknown, Job>;
  timer?: ReturnType<typeof setTimeout>;
  /** Where a component has left its topics. */
  left: Map<string, string | undefined>;
}

const SOON_MS = 50; // what comes in this time is dealt with together
const MAX = 1000; // events that are held; with more it is less work to read again
const works = new WeakMap<Cache, Work>();

/** `useSWR` whose data follows topics: an event patches it or makes it read again, and a gap makes it read again. */
export function useLiveSWR<D>(key: Key, fetcher: BareFetcher<D>, options: UseLiveSWROptions<D>): SWRResponse<D> {
  const { topics, patch, fallbackMs, onGap, ...config } = options;
  const client = useHookwire();
  const swr = useSWR<D>(key, fetcher, config);
  const { cache, mutate } = useSWRConfig();
  const latest = useRef(options);
  const hash = unstable_serialize(key);
  const names = '' + topics;

  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => {
    if (!hash || !names) return;
    const work: Work = works.get(cache) ?? { jobs: new Map(), left: new Map() };
    const { jobs } = work;
    works.set(cache, work);

    function flush(): void {
      work.timer = undefined;
      for (const [id, { key, event, patch }] of jobs) {
        const { data, isValidating, _c: committed } = (cache.get(key) ?? {}) as any; // _c: what an optimistic change would go back to
        if (isValidating || committed !== undefined) continue;
        jobs.delete(id);
        if (!event) void mutate(key);
        else {
          let next: unknown;
          try {
            next = data === undefined ? data : patch!(data, event);
          } finally {
            // an error of the page's is the page's matter, but its data is read
            if (next === undefined) jobs.set(key, { key });
            else void mutate(key, next, false);
          }
        }
      }
      soon();
    }
    // SWR does not tell when something has ended: it is looked at again
    function soon(): void {
      if (jobs.size) work.timer ??= setTimeout(flush, SOON_MS);
    }
    function add(_?: string, event?: HookwireEvent): void {
      const { patch } = latest.current;
      const job: Job = event && patch && jobs.size < MAX ? { key: hash, event, patch } : { key: hash };
      jobs.set(job.event ? job : hash, job);
      soon();
    }

    return keepUp(client, work.left, hash + names, add, () => latest.current);
  }, [client, cache, mutate, hash, names]);
  return swr;
}
