/* Which transport: two links that end early, and the next one is tried; while a lesser one works the better ones are tried again and
 * again. */
import { type Attempt, type Core, STABLE_MS, type Timer, type Transport } from './core.js';

const EARLY = 2;
const REPROBE_MS = 60000;

export function withLadder(core: Core, transports: Transport[]): void {
  let early = 0;
  let tries = 0; // for a better one, since this one works
  let probing: Attempt | undefined;
  let timer: Timer | undefined;
  let stableTimer: Timer | undefined;

  const place = () => transports.indexOf(core.transport);

  function probe(): void {
    probing = core.attempt(transports[tries++ % place()]!, probeLater);
  }

  function probeLater(): void {
    probing = undefined;
    core.cancel(timer);
    // soon at first: maybe the broker was away, and not the transport
    if (place() > 0) timer = core.later(probe, (core.options.reprobeMs ?? REPROBE_MS) * Math.min(1, 2 ** tries / 16) * (0.75 + Math.random() / 2));
  }

  core.onUp.push(() => {
    if (probing) core.transport = probing.transport; // nothing else comes up behind one that is up
    tries = 0;
    core.cancel(stableTimer);
    stableTimer = core.later(() => (early = 0), STABLE_MS);
    probeLater();
  });
  core.onStop = () => {
    core.cancel(timer);
    core.cancel(stableTimer);
    probing?.kill();
    probing = undefined;
  };
  core.fall = ({ code }) => {
    if (code === 'unsupported') early = EARLY;
    // what the broker itself has said has nothing to do with the transport
    else if (code === 'lost') early++;
    if (early < EARLY || transports.length < 2) return false;
    early = 0;
    core.transport = transports[(place() + 1) % transports.length]!;
    return place() > 0; // all have been tried: not without a wait
  };
}
