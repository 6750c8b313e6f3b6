/* Data of the application's own, and what happened to it since. */
import { type Core, guarded } from './core.js';
import type { Client, HookwireEvent } from './types.js';

const READ_AGAIN_MS = 2000;
const PATIENCE_MS = 3000; // until the topics are live; then the page gets its data without
const IN_VAIN = /^(waiting|offline|failed|closed)$/;

export function withSnapshot(core: Core): Pick<Client<any>, 'snapshot'> {
  return {
    async snapshot(topics, fetcher, onEvent, options = {}) {
      const { onGap, onData, signal } = options;
      const names = typeof topics === 'string' ? [topics] : topics;
      const abort = new AbortController();
      const ended = abort.signal;
      let held: HookwireEvent[] | undefined = []; // what came while the data is read
      let reads = 0;

      signal?.throwIfAborted();
      const off = core.client.subscribe(topics, (event: any) => (held ? held.push(event) : onEvent?.(event)), {
        ...options,
        onGap(gap) {
          guarded(() => onGap?.(gap));
          void readAgain();
        },
      });
      const end = () => {
        off();
        abort.abort(signal?.reason);
      };
      signal?.addEventListener('abort', end, { signal: ended });

      const give = () => {
        if (ended.aborted) return;
        const events = held ?? [];
        held = undefined;
        for (const event of events) guarded(() => onEvent?.(event as any));
      };

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

      try {
        // data that is read behind the moment at which the topics are live has all that came before it
        const live = core.settled(names);
        let isLate = true;
        let offStatus: (() => void) | undefined;
        await Promise.race([
          live.then(() => {
            isLate = false;
          }),
          new Promise<void>((done) => {
            const look = () => IN_VAIN.test(core.client.state) && done();
            core.later(done, PATIENCE_MS);
            offStatus = core.client.onStatus(look);
            look();
          }),
        ]);
        offStatus?.();
        ended.throwIfAborted();
        const mine = ++reads;
        const data = await fetcher(ended);
        ended.throwIfAborted();
        const cursor = core.cursor();
        if (isLate) void live.then(() => void (ended.aborted || readAgain()));
        else if (mine === reads) core.later(give, 0); // behind who waits for this promise
        return { data, cursor, unsubscribe: end };
      } catch (error) {
        end();
        throw error;
      }
    },
  };
}
