/* The client without its transports: what is followed and how far it has come, the state, and when to try again.
 *
 *   subscribe ──> topics (each with its cursor) ──sync──> link ──receive──> handlers
 *                       ^── the session's cursor <───────────┘
 *
 * A link is one attempt over one transport and the connection that it becomes. There is one at a time, and while a lesser transport
 * works maybe another that tries a better one; it takes over with its first message. What not every page needs (presence, schemas,
 * HTTP) is a part of its own, so that a small bundle has none of it. */
import { type Client, type HookwireEvent, HookwireError, type Options, type PublishInput, type Status, type SubscribeOptions, type TransportName, type Unsubscribe } from './types.js';

/** Why a link ended. */
export interface End {
  code: string;
  message?: string;
  retryable: boolean;
  /** What the broker advises. */
  retryAfterMs?: number;
  jitterMs?: number;
}

export type Message = Record<string, any>;
export type Timer = ReturnType<typeof setTimeout>;

export interface Topic {
  name: string;
  subs: Set<Sub>;
  /** Where it goes on while it is not live; undefined: from now on. */
  cursor?: string;
  last?: boolean;
  /** It follows the session's cursor. */
  live?: boolean;
  refused?: boolean;
  linger?: Timer;
}

export interface Sub extends SubscribeOptions {
  onEvent: (event: any) => void;
  /** All its topics are live, or refused, and it has what it missed. */
  onReady?: () => void;
}

/** A link, for the core. */
export interface Link {
  /** What is followed has changed. */
  sync(): void;
  /** A message that is answered, as of the WebSocket's. */
  query(message: Message): Promise<any>;
  /** There is another token. */
  auth(token: string): void;
  /** Is it alive? If not it ends soon. */
  probe(): void;
  close(): void;
}

/** What the broker said about a topic. */
export interface Result {
  ok?: boolean;
  code?: string;
  message?: string;
  cursor?: string;
}

/** The core, for a link; what comes from a link that is over is not heard. */
export interface Wire {
  readonly core: Core;
  /** The first message has come. */
  opened(welcome?: Message): void;
  /** `reached`: with it, what there is of these topics has come so far, though they are not live yet. */
  receive(message: Message, reached?: Topic[]): void;
  /** The topic is live from here on, or it is refused. */
  settle(topic: Topic, result: Result): void;
  ended(end: End): void;
}

export interface Transport {
  transport: TransportName;
  /** Events come when they happen. */
  live: boolean;
  open(wire: Wire): Link;
}

/** A link, from its first attempt to its end. */
export interface Attempt {
  readonly transport: Transport;
  link?: Link;
  kill(): void;
}

/** What links and parts have of the core, and the places where parts take hold of it. */
export interface Core {
  readonly options: Options<any>;
  readonly base: string;
  client: Omit<Client<any>, 'snapshot' | 'presence' | 'onPresence' | 'cursor'>;
  /** undefined once it is closed: nothing runs any more. */
  later(run: () => void, ms: number): Timer | undefined;
  cancel(timer: Timer | undefined): void;
  /** The token; another one than what was refused. */
  token(refused?: string): Promise<string | undefined>;
  /** What is followed, but for what was refused. */
  wanted(): Topic[];
  /** How far all that is live has come. */
  cursor(): string | undefined;
  /** The link that works. */
  link(): Link | undefined;
  query(message: Message, timeoutMs?: number): Promise<any>;
  /** One reason more, or one less, to be connected. */
  need(change: 1 | -1): void;
  /** The token that is used ends then, in ms since 1970: another one is asked for in time. */
  refreshAt(endsMs: number): void;
  /** All of these topics are live or refused. */
  settled(names: readonly string[]): Promise<void>;
  /** Begins anew over `transport`. */
  restart(): void;
  /** What was live is so no more, though the link goes on. */
  leave(): void;
  show(status: Status): void;
  onToken?(token: string): void;
  /** A one-time ticket for the next link. */
  ticket?(): Promise<string>;
  /** Which transport the next attempt is over. */
  transport: Transport;
  /** An attempt takes the current one's place with its first message; until then its end is `over`'s. */
  attempt(transport: Transport, over?: () => void): Attempt;
  /** A link ended early. true: there is another transport to be tried at once. */
  fall?(end: End): boolean;
  onStop?(): void;
  /** Nothing is to be connected any more, for now or for good. */
  onRest: ((isClosed: boolean) => void)[];
  /** What the session brings, for others that live from it: messages, and where topics are live or are so no more. */
  onTold?(message: Message): void;
  isValid?(event: HookwireEvent): boolean;
  /** Who begins behind a cursor where others have come further is late: it gets what is in between, or a gap. */
  catchUp?(sub: Sub, late: string[]): Promise<void>;
  /** Does it follow the topic? */
  has(topic: string, sub: Sub): boolean;
  /** What is valid is given on. */
  check(event: HookwireEvent, deliver: () => void): void;
  onMessage?(message: Message): void;
  onUp: (() => unknown)[];
}

const SEEN = 4096; // ids that are remembered: what two links may both bring
export const STABLE_MS = 5000; // after which a connection is no failure any more
const LATE_MS = 5000; // a timer that is so late: the machine slept
const TICK_MS = 10000;
const CONNECT_MS = 10000;
const REQUEST_MS = 10000;
const AGAIN_MS = 200;
const RETRYABLE = /^(lost|timeout|unavail|rate_|drain|internal)/;
const MAX_TIMER_MS = 2e9;
const REFRESH_MS = 30000; // before a token's end
const CLOCK_MS = 300000; // where it has ended by a clock that is not the broker's: that one says so in time

export const wildcardOf = (topic: string): string => topic.replace(/:.*/, ':*');
/** `unauthorized` or `token_expired`. */
export const isAuth = (code?: string): boolean => /^(unauth|token)/.test(code!);
export const IN_VAIN = 'no answer';
export const lost = (message = IN_VAIN): HookwireError => new HookwireError('lost', message, true);

/** An error of a handler is its page's matter, and no other's. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}

export function createCore(options: Options<any>, first: Transport): Core {
  const topics = new Map<string, Topic>();
  const seen = new Set<string>();
  const listeners = new Set<(status: Status) => void>();
  const timers = new Set<Timer>();
  const waiting: (() => void)[] = []; // requests, for another state

  let status: Status = { state: 'idle' };
  let cursor: string | undefined;
  let needs = 0; // reasons to be connected beside topics

  let current: Attempt | undefined; // it works, or is the one that is tried
  let working = false; // current has had its first message
  let failures = 0; // for the backoff
  let isStable = false; // current has worked for a while
  let refreshed = false; // the token, since a link was stable
  let retryTimer: Timer | undefined;
  let stableTimer: Timer | undefined;
  let refreshTimer: Timer | undefined;
  let changeTimer: Timer | undefined;
  let tickTimer: Timer | undefined;

  /* ---- timers, state ---- */

  function later(run: () => void, ms: number): Timer | undefined {
    if (status.state === 'closed') return undefined;
    const timer = setTimeout(() => {
      timers.delete(timer);
      run();
    }, ms);
    timers.add(timer);
    return timer;
  }

  function cancel(timer: Timer | undefined): void {
    clearTimeout(timer);
    timers.delete(timer!);
  }

  function set(next: Status): void {
    status = next;
    for (const listener of [...listeners]) guarded(() => listener(status));
    wakeWaiting();
  }

  function wakeWaiting(): void {
    for (const change of waiting.splice(0)) change();
  }

  /** The state, or a topic's, has changed; or the time is over. */
  const change = (ms?: number) =>
    new Promise<void>((done) => {
      waiting.push(done);
      if (ms !== undefined) later(done, ms);
    });

  function inTime<T>(what: Promise<T>, ms: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = later(() => reject(new HookwireError('timeout', IN_VAIN, true)), ms);
      what.then(resolve, reject).finally(() => cancel(timer));
    });
  }

  /* ---- the token ---- */

  let token: string | undefined;
  let isStale = true; // another one is to be asked for
  let tokenFlight: Promise<string | undefined> | undefined;

  /** One question at a time, whoever asks. */
  function getToken(refused?: string): Promise<string | undefined> {
    if (refused && refused === token) isStale = true;
    if (!options.getToken || !isStale) return Promise.resolve(token);
    return (tokenFlight ??= inTime(
      (async () => options.getToken!({ refresh: token !== undefined }))(),
      REQUEST_MS,
    )
      .then(
        (answer) => {
          const next = answer ?? undefined;
          if (token && next !== token) for (const topic of topics.values()) topic.refused = false;
          token = next;
          isStale = !next;
          if (next) core.onToken?.(next);
          return next;
        },
        (error) => {
          throw new HookwireError('no_token', String(error), true);
        },
      )
      .finally(() => {
        tokenFlight = undefined;
      }));
  }

  function refreshAt(endsMs: number): void {
    cancel(refreshTimer);
    if (!options.getToken) return;
    const left = endsMs - Date.now();
    refreshTimer = later(
      () => {
        getToken(token).then(
          (next) => {
            if (next) current?.link?.auth(next);
          },
          () => refreshAt(endsMs), // in a while; the broker ends what has expired
        );
      },
      // a clock that is wrong must not make it ask all the time
      left > LATE_MS ? Math.min(MAX_TIMER_MS, left - Math.min(REFRESH_MS, left / 10)) : CLOCK_MS,
    );
  }

  /* ---- what comes ---- */

  /** What all that follow these topics hear, each once. */
  function tell(names: string[], call: (sub: Sub, topics: string[]) => void): void {
    const heard = new Map<Sub, string[]>();
    for (const name of names) for (const sub of topics.get(name)?.subs ?? []) heard.set(sub, [...(heard.get(sub) ?? []), name]);
    for (const [sub, list] of heard) guarded(() => call(sub, list));
  }

  function onEvent(event: HookwireEvent): void {
    const { id } = event;
    const names = [event.topic, wildcardOf(event.topic)];
    if (id) {
      if (seen.has(id)) return;
      // what is read again for one topic does not take the others back
      if (!names.some(isOpen)) cursor = id;
    }
    check(event, () =>
      tell(names, (sub) => {
        // what nobody has heard may be wanted later, by who begins before it
        if (id && seen.add(id).size > SEEN) seen.delete(seen.values().next().value!);
        sub.onEvent(event);
      }),
    );
  }

  function check(event: HookwireEvent, deliver: () => void): void {
    guarded(() => (core.isValid?.(event) ?? true) && deliver());
  }

  function refuse(topic: Topic, code: string, message?: string): void {
    if (topic.live) topic.cursor = cursor; // should it be allowed again
    topic.live = false;
    topic.refused = true;
    tell([topic.name], (sub) => sub.onError?.(new HookwireError(code, message), topic.name));
  }

  function receive(message: Message): void {
    core.onTold?.(message);
    switch (message.type) {
      case undefined:
        return onEvent(message as HookwireEvent);
      case 'gap':
        return tell(message.topics, (sub, list) => sub.onGap?.({ topics: list, reason: message.reason }));
      case 'cursor':
        cursor = message.cursor;
        return;
      case 'unsubscribed':
        for (const name of message.topics) if (topics.has(name)) refuse(topics.get(name)!, message.code);
        return wakeWaiting();
      default:
        core.onMessage?.(message);
    }
  }

  /* ---- links ---- */

  /** What was live goes on from where the session is. */
  function leave(): void {
    core.onTold?.({ type: 'left' });
    for (const topic of topics.values()) {
      if (topic.live) topic.cursor = cursor;
      topic.live = false;
    }
  }

  function attempt(transport: Transport, over?: () => void): Attempt {
    let dead = false;
    let isUp = false;
    const self: Attempt = {
      transport,
      kill() {
        dead = true;
        cancel(guard);
        self.link?.close();
      },
    };
    const wire: Wire = {
      core,
      opened(welcome) {
        if (dead || isUp) return;
        isUp = true;
        cancel(guard);
        cursor ??= welcome?.cursor;
        adopt(self);
      },
      receive(message, reached) {
        // an event without an id cannot be told from what the current link brings
        if (dead || !(self === current || message.id || message.type)) return;
        // what begins where it is live, does so
        for (const topic of reached ?? []) topic.cursor &&= message.id ?? topic.cursor;
        receive(message);
      },
      settle(topic, { ok, code = 'internal', message, cursor: joinedAt }) {
        if (dead || topics.get(topic.name) !== topic) return;
        if (ok) {
          topic.live = true;
          topic.refused = topic.last = false;
          cursor = joinedAt ?? cursor;
          core.onTold?.({ type: 'live', topic: topic.name, cursor });
        } else if (RETRYABLE.test(code)) later(() => core.link()?.sync(), LATE_MS * Math.random());
        else refuse(topic, code, message);
        wakeWaiting();
      },
      ended(end) {
        if (dead) return;
        self.kill();
        if (self === current) onEnd(end, isUp);
        else over?.();
      },
    };
    const guard = later(() => wire.ended(lost()), options.connectTimeoutMs ?? CONNECT_MS);
    self.link = transport.open(wire);
    return self;
  }

  function adopt(to: Attempt): void {
    if (to !== current) {
      leave();
      current?.kill();
      current = to;
    }
    working = true;
    isStable = false;
    cancel(stableTimer);
    stableTimer = later(() => {
      failures = 0;
      isStable = true;
      refreshed = false;
    }, STABLE_MS);
    const { transport, live } = to.transport;
    set({ state: live ? 'online' : 'degraded', transport });
    for (const run of core.onUp) run();
  }

  function stop(): void {
    leave();
    working = isStable = false;
    current?.kill();
    current = undefined;
    core.onStop?.();
    cancel(retryTimer);
    cancel(stableTimer);
  }

  /** What is current has ended. */
  function onEnd(end: End, wasUp: boolean): void {
    const isEarly = !isStable;
    stop();
    if (isAuth(end.code) && options.getToken) {
      isStale = true;
      if (refreshed) return wasUp ? wait(end) : fail(end);
      refreshed = true;
      connect();
    } else if (isEarly && core.fall?.(end)) connect();
    else if (end.retryable) wait(end);
    else fail(end);
  }

  function fail({ code, message }: End): void {
    rest({ state: 'failed', code, message });
  }

  /** No timer is left, and nobody is listened to. */
  function rest(next: Status): void {
    stop();
    if (tickTimer) hear('removeEventListener');
    tickTimer = cancel(tickTimer) as undefined;
    cancel(refreshTimer);
    for (const run of core.onRest) run(next.state === 'closed');
    set(next);
  }

  function wait({ code, message, retryAfterMs = 0, jitterMs = 0 }: End): void {
    const { minMs = 500, maxMs = 30000 } = options.backoff ?? {};
    const ms = retryAfterMs + Math.random() * Math.max(jitterMs, Math.min(maxMs, minMs * 2 ** failures++));
    retryTimer = later(connect, ms);
    set({ state: 'waiting', retryAt: Date.now() + ms, code, message });
  }

  function connect(): void {
    cancel(retryTimer);
    if (current || !isWanted()) return;
    if (!tickTimer) {
      hear('addEventListener');
      tick();
    }
    if (globalThis.navigator?.onLine === false) return set({ state: 'offline' });
    set({ state: 'connecting' });
    current = attempt(core.transport);
  }

  /* ---- the page and the machine ---- */

  function onShown(): void {
    if (document.visibilityState === 'visible') wake();
  }

  /** No network, or the page is left: one that is kept for "back" would keep its socket, and its place among those who are there. */
  function onAway({ type }: Event): void {
    stop();
    set({ state: type === 'offline' ? type : 'connecting' });
  }

  /** What a page has, and Node has not. No signal ends it: a page's tests may have two kinds of them, which do not mix. */
  function hear(verb: 'addEventListener' | 'removeEventListener'): void {
    for (const [name, run] of [['online', wake], ['pageshow', wake], ['offline', onAway], ['pagehide', onAway]] as const) (globalThis as Partial<EventTarget>)[verb]?.(name, run);
    globalThis.document?.[verb]?.('visibilitychange', onShown);
  }

  /** Who slept has missed its timers: it looks at once. */
  function tick(): void {
    const due = Date.now() + TICK_MS;
    tickTimer = later(() => {
      if (Date.now() > due + LATE_MS || status.state === 'offline') wake();
      tick();
    }, TICK_MS);
  }

  function wake(): void {
    if (working) current!.link?.probe();
    else connect();
  }

  /* ---- what is wanted ---- */

  const isOver = () => status.state === 'closed' || status.state === 'failed';
  const isWanted = () => needs + topics.size > 0;
  const lingerMs = options.lingerMs ?? 1000;

  /** What changes together is told together. */
  function changed(): void {
    if (isWanted() && status.state === 'idle') connect();
    changeTimer ??= later(() => {
      changeTimer = undefined;
      if (isWanted()) core.link()?.sync();
      else if (status.state !== 'idle') rest({ state: 'idle' });
    }, 0);
  }

  function drop(topic: Topic): void {
    topics.delete(topic.name);
    changed();
  }

  /** It is followed, and neither live nor refused. */
  const isOpen = (name: string): boolean | undefined => {
    const topic = topics.get(name);
    return topic && !topic.live && !topic.refused;
  };

  async function settled(names: readonly string[]): Promise<void> {
    while (names.some(isOpen)) await change();
  }

  function subscribe(names: string | readonly string[], onEvent: (event: any) => void, opts: Partial<Sub> = {}): Unsubscribe {
    if (status.state === 'closed') throw new HookwireError('closed');
    const sub: Sub = { ...opts, onEvent };
    const list = [...new Set([names].flat() as string[])];
    // what others have had is not told again by the session
    const isLate = opts.cursor && [...topics.values()].some((had) => (had.live ? cursor : had.cursor) !== opts.cursor && list.some((name) => wildcardOf(had.name) === wildcardOf(name)));
    for (const name of list) {
      let topic = topics.get(name);
      if (!topic) topics.set(name, (topic = { name, subs: new Set(), cursor: isLate ? undefined : opts.cursor, last: opts.last }));
      cancel(topic.linger);
      topic.refused = false;
      topic.subs.add(sub);
    }
    changed();
    void ((isLate && core.catchUp!(sub, list)) || settled(sub.onReady ? list : [])).then(sub.onReady);
    return () => {
      let left: string | undefined;
      for (const name of list) {
        const topic = topics.get(name);
        if (!topic?.subs.delete(sub)) continue;
        // what is not live is behind what is
        left = topic.live ? (left ?? cursor) : (topic.cursor ?? left);
        if (!topic.subs.size) topic.linger = later(() => drop(topic), lingerMs);
      }
      return left;
    };
  }

  /* ---- requests ---- */

  /** Asked again over the next link if one ends, or if the broker says so, until the time is over. */
  async function query(message: Message, timeoutMs = REQUEST_MS): Promise<any> {
    const endMs = Date.now() + timeoutMs;
    const first = (what: Promise<any>) => inTime(what, endMs - Date.now());
    core.need(1);
    try {
      for (let pauseMs = AGAIN_MS; ; ) {
        const link = core.link();
        try {
          if (link) return await first(link.query(message));
          if (isOver()) throw new HookwireError(status.code ?? status.state, status.message);
          await first(change());
        } catch (error: any) {
          if (!error.retryable || error.code === 'timeout' || isOver()) throw error;
          await first(change(error.retryAfterMs ?? pauseMs * Math.random()));
          pauseMs = Math.min(pauseMs * 2, LATE_MS);
        }
      }
    } finally {
      // there may be another one soon
      later(() => core.need(-1), lingerMs);
    }
  }

  const client: Core['client'] = {
    get state() {
      return status.state;
    },
    get status() {
      return status;
    },
    onStatus(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    subscribe,

    async publish(event: PublishInput, { timeoutMs, key = Math.random().toString(36).slice(2) } = {}) {
      const reply = await query({ type: 'publish', ...event, key }, timeoutMs);
      return { id: reply.event_id, duplicate: reply.duplicate };
    },
    history: (topic, options) => query({ type: 'history', topic, ...options }),
    retry() {
      if (working) return wake();
      failures = 0;
      refreshed = false;
      connect();
    },
    close() {
      topics.clear();
      needs = -Infinity; // nothing is ever wanted again
      rest({ state: 'closed' });
      for (const timer of timers) clearTimeout(timer);
      listeners.clear();
    },
  };
  const core: Core = {
    options,
    transport: first,
    onUp: [],
    onRest: [],
    base: options.url.replace(/^ws/, 'http').replace(/\/$/, ''),
    client,
    later,
    cancel,
    query,
    token: getToken,
    refreshAt,
    attempt,
    check,
    leave,
    show: set,
    has: (topic, sub) => !!topics.get(topic)?.subs.has(sub),
    settled,
    restart() {
      stop();
      connect();
    },
    cursor: () => cursor,
    wanted: () => [...topics.values()].filter((topic) => !topic.refused),
    link: () => (working ? current!.link : undefined),
    need(change) {
      needs += change;
      changed();
    },
  };
  return core;
}
