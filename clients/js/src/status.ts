/* hookwire-client/status: the connection's state, for everyone. Unstyled; `data-state` and the class names are for your CSS.
 *
 * What is read out is the state in words and nothing else: the countdown is beside it, since a live region that changes each second would
 * never be quiet. The region is always there, because one that appears together with its text is often not read. */
import { createElement, type HTMLAttributes, type ReactElement, useEffect, useLayoutEffect, useReducer, useRef, useState } from 'react';
import { useHookwire } from './context.js';
import { useConnectionStatus } from './react.js';
import type { Status } from './types.js';
import { canRetry, isTrying, SECOND_MS, secondsTo, SETTLE_MS, type StatusStrings, textOf, WORDS } from './words.js';

export type { StatusStrings } from './words.js';

/** What `<ConnectionStatus>` takes; the rest goes to the element around. */
export interface ConnectionStatusProps extends Omit<HTMLAttributes<HTMLDivElement>, 'children'> {
  /** Other words, or of another language; those that are absent stay. */
  strings?: Partial<StatusStrings>;
}

/** On a server there is no layout, and React 18 warns of it. */
const useAfterLayout = typeof document === 'undefined' ? useEffect : useLayoutEffect;

/** The status that is spoken of, without attempts that are over at once; and the last one that was no attempt. */
function useSettled(status: Status): { settled: Status; resting: Status } {
  const [settled, setSettled] = useState(status);
  const [resting, setResting] = useState(status);
  useEffect(() => {
    if (!isTrying(status)) {
      setSettled(status);
      setResting(status);
      return;
    }
    const timer = setTimeout(setSettled, SETTLE_MS, status);
    return () => clearTimeout(timer);
  }, [status]);
  return isTrying(status) ? { settled, resting } : { settled: status, resting: status };
}

function useSeconds(status: Status): number | undefined {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    if (status.state !== 'waiting') return;
    const timer = setInterval(tick, SECOND_MS);
    return () => clearInterval(timer);
  }, [status]);
  return secondsTo(status, Date.now());
}

/** The connection's state in words, how long it is until the next attempt, and a button that does not wait for it. */
export function ConnectionStatus({ strings, className = '', ...rest }: ConnectionStatusProps): ReactElement {
  const client = useHookwire();
  const status = useConnectionStatus();
  const { settled, resting } = useSettled(status);
  const seconds = useSeconds(status);
  const text = useRef<HTMLSpanElement>(null);
  const isFocused = useRef(false); // of the button
  const { state, transport } = status;
  const isRetry = canRetry(resting);

  // a button that goes away must not take the focus with it: browsers have taken it away by now, and React tells nobody what happens during its own changes
  useAfterLayout(() => {
    if (!isRetry && isFocused.current) text.current?.focus();
  }, [isRetry]);

  return createElement(
    'div',
    { ...rest, className: ('hookwire-status ' + className).trim(), 'data-state': state, 'data-transport': transport },
    createElement('span', { ref: text, role: 'status', 'aria-live': 'polite', 'aria-atomic': true, tabIndex: -1, className: 'hookwire-status-text' }, textOf(settled, strings)),
    seconds !== undefined && createElement('span', { role: 'timer', className: 'hookwire-status-countdown' }, (strings?.countdown ?? WORDS.countdown)(seconds)),
    createElement(
      'button',
      {
        type: 'button',
        hidden: !isRetry,
        'aria-disabled': isTrying(status),
        className: 'hookwire-status-retry',
        onFocus: () => (isFocused.current = true),
        onBlur: () => (isFocused.current = false),
        onClick: () => isTrying(status) || client.retry(),
      },
      strings?.retry ?? WORDS.retry,
    ),
  );
}
