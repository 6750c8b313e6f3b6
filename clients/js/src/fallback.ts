/* While events do not come as they happen, data is read again and again. */
import type { Client } from './types.js';

/**
 * Calls `read` every `everyMs` while the connection is not a live one: it polls, tries, waits, or has failed. Not while nobody wants one,
 * the machine has no network, or nobody sees the page. Returns what ends it.
 */
export function whileDegraded(client: Client<any>, read: () => void, everyMs = 10000): () => void {
  // one beat for all states: with a new one at each change, a connection that comes and goes would never let it be read
  const timer = setInterval(() => {
    // connecting, waiting
    if (/ing|degraded|failed/.test(client.state) && !globalThis.document?.hidden) read();
  }, everyMs);
  return () => clearInterval(timer);
}
