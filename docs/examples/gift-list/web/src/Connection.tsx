/* How live the page is: in a few words in the head, and in a sentence where it matters. */
import type { Status } from 'hookwire-client';
import { useConnectionStatus } from 'hookwire-client/react';
import { ConnectionStatus } from 'hookwire-client/status';
import { Icon, type IconName } from './Icon';

const STRINGS = {
  online: ({ transport }: Status) => (transport === 'websocket' ? 'Live' : 'Live, by a detour'),
  degraded: 'Every few seconds',
  waiting: 'Connection lost',
  offline: 'Offline',
  retry: 'Try now',
  countdown: (seconds: number) => `next try in ${seconds} s`,
};

export const Connection = () => <ConnectionStatus strings={STRINGS} data-testid="connection" />;

function wordsFor({ state, transport }: Status): { icon: IconName; text: string } | undefined {
  if (state === 'offline') return { icon: 'cloud', text: 'You are offline. These are the lists as they were; nothing can be changed until the network is back.' };
  if (state === 'failed') return { icon: 'cloud', text: 'There are no live updates. The lists are read again every ten seconds.' };
  if (state === 'degraded') return { icon: 'route', text: 'No live connection gets through here. What others do shows up a few seconds later.' };
  if (state === 'online' && transport === 'sse')
    return { icon: 'route', text: 'No WebSocket gets through at the moment, so updates come as a stream. They are just as quick.' };
  return undefined;
}

/** What is not as it should be. */
export function Notice() {
  const status = useConnectionStatus();
  const words = wordsFor(status);
  return words ? (
    <p className="notice" data-testid="notice" data-state={status.state}>
      <Icon name={words.icon} />
      <span>{words.text}</span>
    </p>
  ) : null;
}
