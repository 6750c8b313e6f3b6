/* What not every page uses, to be loaded when it is called. Its core is another bundle's: nothing here makes an object of a class. */
import type { Core } from './core.js';
import { withPresence } from './presence.js';
import { withSnapshot } from './snapshot.js';

const IN_VAIN = /^(waiting|offline|failed|closed)$/;

export function withParts(core: Core) {
  /** The session's cursor, as soon as there is one; none if the connection is not to be had. */
  const ask = () =>
    new Promise<string | undefined>((done) => {
      const off = core.client.onStatus(look);
      function look(): void {
        const cursor = core.link() && core.cursor();
        if (!cursor && !IN_VAIN.test(core.client.state)) return;
        off();
        done(cursor);
      }
      look();
    });
  return { ...withSnapshot(core, ask), ...withPresence(core) };
}
