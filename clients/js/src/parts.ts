/* What not every page uses, to be loaded when it is called. Its core is another bundle's: nothing here makes an object of a class. */
import type { Core } from './core.js';
import { withPresence } from './presence.js';
import { withSnapshot } from './snapshot.js';

export const withParts = (core: Core) => ({ ...withSnapshot(core), ...withPresence(core) });
