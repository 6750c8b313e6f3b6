/* Data of the application's own, and what happened to it since.
 *
 *   cursor ──┬──> fetcher ─────────────────> data, then what was held, then what comes
 *            └──> subscribed from it, held ──┘
 *
 * The cursor is of before the read: what the data lacks is behind it, whatever happens in between. If it is not there any more, as after a
 * restart of a broker without a store, the broker says so (a gap), and the data is read again. */
import { type Core, guarded } from './core.js';
import type { Client, HookwireEvent } from './types.js';

const READ_AGAIN_MS = 2000;
const PATIENCE_MS = 3000; // until there is a cursor; then the page gets its data without

/** `ask` finds a cursor that is no later than now. */
export function withSnapshot(core: Core, ask: () => Promise<string | undefined>): Pick<Client<any>, 'snapshot'> {
  return {
    async snapshot(topics, fetcher, onEvent, options = {}) {
      const { onGap, onData, signal } = options;
      const abort = new AbortController();
      const ended = abort.signal;
      let off: (() => void) | undefined;
      let held: HookwireEvent[] | undefined = []; // what comes while the data is read
      let reads = 0; // behind the first
      let isThere = false; // the page has the first data, and the topics are live
      let isStale = false; // it may lack something

      function end(): void {
        off?.();
        signal?.removeEventListener('abort', end);
        abort.abort(signal?.reason);
      }

      function give(): void {
        if (ended.aborted) return;
        const events = held ?? [];
        held = undefined;
        for (const event of events) guarded(() => onEvent?.(event as any));
      }

      async function readAgain(): Promise<void> {
        const mine = ++reads;
        held ??= [];
        try {
          const data = await fetcher(ended);
          if (ended.aborted || mine !== reads) return; // who reads later has newer data
          guarded(() => onData?.(data));
          give();
        } catch {
          core.later(() => void (mine !== reads || ended.aborted || readAgain()), READ_AGAIN_MS);
        }
      }

      signal?.throwIfAborted();
      signal?.addEventListener('abort', end);
      core.need(1); // to connect takes as long as to ask
      try {
        // a session that lives is nowhere later than now
        const cursor = (core.link() && core.cursor()) || (await Promise.race([ask().catch(() => undefined), new Promise<undefined>((done) => core.later(done as () => void, PATIENCE_MS))]));
        ended.throwIfAborted();
        isStale = !cursor;
        off = core.client.subscribe(topics, (event: any) => (held ? held.push(event) : onEvent?.(event)), {
          ...options,
          cursor,
          onGap(gap) {
            guarded(() => onGap?.(gap));
            isStale = true;
            if (isThere) void readAgain();
          },
        });
        const data = await fetcher(ended);
        ended.throwIfAborted();
        const go = () => {
          isThere = true;
          if (!ended.aborted) void (isStale ? readAgain() : give());
        };
        // behind who waits for this promise; what was read without a cursor may be from before the topics were live
        void core.settled(cursor ? [] : ([topics].flat() as string[])).then(() => core.later(go, 0));
        return { data, cursor, unsubscribe: end };
      } catch (error) {
        end();
        throw error;
      } finally {
        core.need(-1);
      }
    },
  };
}
