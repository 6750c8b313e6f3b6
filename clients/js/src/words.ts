/* What the status components of React and Vue have in common: the words, and when they are said. */
import type { State, Status } from './types.js';

/** The words of the status component. A function is given the status. */
export type StatusStrings = Record<State, string | ((status: Status) => string)> & {
  /** Of the button. */
  retry: string;
  /** How long it is until the next attempt. */
  countdown: (seconds: number) => string;
};

/** The words if nothing else is said. */
export const WORDS: StatusStrings = {
  idle: 'Not connected',
  connecting: 'Connecting…',
  online: 'Live',
  degraded: 'Connected, updates may be late',
  waiting: 'Connection lost, trying again',
  offline: 'No network',
  closed: 'Not connected',
  failed: 'Cannot connect',
  retry: 'Try again now',
  countdown: (seconds) => `in ${seconds} s`,
};

/** An attempt that is over sooner is not spoken of: between two waits it would be read out each time. */
export const SETTLE_MS = 500;
/** How often the countdown counts. */
export const SECOND_MS = 1000;

/** Whether the button is there. It stays during an attempt that follows, or who pressed it would lose the place on the page. */
export const canRetry = ({ state }: Status): boolean => /^(waiting|offline|failed)$/.test(state);
/** An attempt is under way. */
export const isTrying = ({ state }: Status): boolean => state === 'connecting';

/** The state in words. */
export const textOf = (status: Status, strings: Partial<StatusStrings> | undefined): string => {
  const text = strings?.[status.state] ?? WORDS[status.state];
  return typeof text === 'string' ? text : text(status);
};

/** Seconds until the next attempt; undefined where none is planned. */
export const secondsTo = ({ state, retryAt }: Status, nowMs: number): number | undefined =>
  state === 'waiting' && retryAt !== undefined ? Math.max(0, Math.ceil((retryAt - nowMs) / SECOND_MS)) : undefined;
