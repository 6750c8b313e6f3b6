/* Who begins behind a cursor where others have come further: what is in between is read for it alone. */
import { type Core, guarded } from './core.js';
import type { HookwireEvent } from './types.js';

export function withCatchUp(core: Core): void {
  core.catchUp = async (sub, late) => {
    const { onEvent } = sub;
    const had = new Set<string>();
    const held: HookwireEvent[] = []; // what comes in the meantime
    const give = (event: HookwireEvent) => {
      if (event.id && had.has(event.id)) return;
      had.add(event.id!);
      onEvent(event);
    };
    sub.onEvent = (event) => held.push(event);
    for (const name of late) {
      await core.settled([name]); // what comes from here on is held
      try {
        for (let page: any = sub; core.has(name, sub) && (page === sub || page.events.length); ) {
          page = await core.query({ type: 'history', topic: name, cursor: page.cursor });
          if (page.gap) throw page;
          for (const event of page.events) core.check(event, () => give(event));
        }
      } catch {
        if (core.has(name, sub)) guarded(() => sub.onGap?.({ topics: [name], reason: 'gone' }));
      }
    }
    sub.onEvent = onEvent;
    for (const event of held) guarded(() => give(event));
  };
}
