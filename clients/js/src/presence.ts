/* Who is there. */
import { type Core, guarded, type Message, type Timer } from './core.js';
import type { Client, PresenceUser } from './types.js';

const ASK_MS = 10000; // again where changes are not told

interface Followed {
  listeners: Set<(users: PresenceUser[]) => void>;
  users: Map<string, PresenceUser>;
  timer?: Timer;
}

export function withPresence(core: Core): Pick<Client<any>, 'presence' | 'onPresence'> {
  const followed = new Map<string, Followed>();
  const isTold = () => core.client.status.transport === 'websocket';
  /** What another tab's session follows is not told here, and would never be left. */
  const ask = (topic: string, follow: boolean) => core.link()?.query({ type: 'presence', topic, follow: isTold() ? follow : undefined });

  /** `all` of them, or none where that is not to be known; and who has come, changed or left. */
  function take(topic: string, { code, users: all = code && [] }: Message, { joined = [], updated = [], left = [] }: Message = {}): void {
    const of = followed.get(topic);
    if (!of) return;
    if (all) of.users.clear();
    for (const user of [...(all ?? []), ...joined, ...updated]) of.users.set(user.user_id, user);
    for (const user of left) of.users.delete(user.user_id);
    for (const listener of [...of.listeners]) guarded(() => listener([...of.users.values()]));
  }

  function follow(topic: string): void {
    const of = followed.get(topic);
    if (!of) return;
    core.cancel(of.timer);
    const again = () => {
      of.timer = core.later(() => follow(topic), ASK_MS);
    };
    ask(topic, true)?.then(
      ({ topics }) => {
        take(topic, topics[topic]);
        if (!isTold()) again();
      },
      (error) => (error.retryable ? again() : take(topic, error)),
    );
  }

  core.onUp.push(() => {
    for (const topic of followed.keys()) follow(topic);
  });
  core.onMessage = (message) => {
    for (const topic in message.topics) take(topic, message.topics[topic], message);
  };

  return {
    async presence(topic) {
      return (await core.query({ type: 'presence', topic })).topics[topic].users;
    },
    onPresence(topic, listener) {
      const of: Followed = followed.get(topic) ?? { listeners: new Set(), users: new Map() };
      followed.set(topic, of);
      of.listeners.add(listener);
      core.need(1);
      follow(topic);
      return () => {
        if (!of.listeners.delete(listener)) return;
        if (!of.listeners.size) {
          followed.delete(topic);
          core.cancel(of.timer);
          if (isTold()) ask(topic, false)?.catch(() => {});
        }
        core.need(-1);
      };
    },
  };
}
