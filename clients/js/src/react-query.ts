/* hookwire-client/react-query: TanStack Query v5 kept up to date.
 *
 *   event, gap ──> jobs (each once) ──flush──> patched, or read again
 *                    └── held while a mutation runs, or the query is being read
 *
 * There is one such list for a query client, however many bind to it: fifty rows of a table that follow the same topic make one request.
 * A query that is being read is left alone: to begin anew with each event would never end where they come faster than the answers, and
 * data that was patched would be overwritten by an answer from before the event. */
import { hashKey, type MutationFilters, type QueryClient, type QueryKey, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { useHookwire } from './context.js';
import { keepUp, type KeepUpOptions } from './keep-up.js';
import type { Client, HookwireEvent } from './types.js';

/** What is followed, and what becomes of it. */
export interface BindOptions extends KeepUpOptions {
  /**
   * The queries that show a topic, or pattern; the start of a key is enough. If absent `["gift-list", "123"]` of `gift-list:123`, and
   * `["gift-list"]` of `gift-list:*`.
   */
  queryKey?: (topic: string) => QueryKey;
  /**
   * What the data of a query is after the event; undefined: read it again. It may be given an event that the data has already: applied
   * twice it must be the same. Without `patch` each event makes the queries read again.
   */
  patch?: (data: any, event: HookwireEvent<any>, queryKey: QueryKey) => any;
  /** Which mutations hold back what comes while they run; all if absent. */
  mutations?: MutationFilters;
}

/** Something to be done for a query: apply an event, or read it again. */
interface Job {
  queryKey: QueryKey;
  event?: HookwireEvent;
  options: () => BindOptions;
}

interface Work {
  add(job: Job): void;
  /** Where a binding has left its topics. */
  left: Map<string, string | undefined>;
}

const SOON_MS = 50; // what comes in this time is dealt with together
const MAX = 1000; // events that are held; with more it is less work to read again
const works = new WeakMap<QueryClient, Work>();
const keyOf = (topic: string): QueryKey => topic.split(':').filter((part) => part !== '*');

function createWork(queryClient: QueryClient): Work {
  const jobs = new Map<unknown, Job>();
  let timer: ReturnType<typeof setTimeout> | undefined;

  function flush(): void {
    timer = undefined;
    for (const [id, { queryKey, event, options }] of jobs) {
      const filters = { queryKey };
      if (queryClient.isMutating(options().mutations) || queryClient.isFetching(filters)) continue; // its end brings us back
      jobs.delete(id);
      if (!event) void queryClient.invalidateQueries(filters);
      else
        for (const [key, data] of queryClient.getQueriesData(filters)) {
          let next: unknown;
          try {
            next = data === undefined ? data : options().patch?.(data, event, key);
          } finally {
            // an error of the page's is the page's matter, but its data is read
            if (next === undefined) add({ queryKey, options });
            else queryClient.setQueryData(key, next);
          }
        }
    }
  }

  function soon(): void {
    if (jobs.size) timer ??= setTimeout(flush, SOON_MS);
  }

  function add(job: Job): void {
    if (!job.options().patch || jobs.size > MAX) job.event = undefined;
    jobs.set(job.event ? job : hashKey(job.queryKey), job);
    soon();
  }

  // these live as long as the caches do
  for (const cache of [queryClient.getMutationCache(), queryClient.getQueryCache()]) cache.subscribe(soon);
  return { left: new Map(), add };
}

function bind(client: Client<any>, queryClient: QueryClient, options: () => BindOptions): () => void {
  const { topics } = options();
  const queryKey = (topic: string) => (options().queryKey ?? keyOf)(topic);
  const work = works.get(queryClient) ?? createWork(queryClient);
  works.set(queryClient, work);

  return keepUp(
    client,
    work.left,
    hashKey([topics, topics.map(queryKey)]),
    (topic, event) => work.add({ queryKey: queryKey(topic), event, options }),
    options,
  );
}

/**
 * Follows topics, and patches the data of their queries or makes them read again: together for events that come together, and not
 * while a mutation runs, whose optimistic data they would overwrite. A gap makes the topic's queries read again, and so does the
 * beginning: what happened between their reading and that would be missing. Who binds the same again goes on where it was.
 * Returns what ends it; what came until then is still dealt with.
 */
export const bindQueryClient = (client: Client<any>, queryClient: QueryClient, options: BindOptions): (() => void) =>
  bind(client, queryClient, () => options);

/** `bindQueryClient` as long as the component is mounted and visible, with the client and the query client of the providers around. */
export function useQuerySync(options: BindOptions): void {
  const client = useHookwire();
  const queryClient = useQueryClient();
  const latest = useRef(options);

  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => bind(client, queryClient, () => latest.current), [client, queryClient, '' + options.topics]);
}
