/** An event as the broker sends it: the wire's own form, nothing wrapped. */
export interface HookwireEvent<P = unknown> {
  topic: string;
  event: 'ADDED' | 'UPDATED' | 'DELETED' | 'STATUS_CHANGED' | (string & {});
  data: {
    entity_id: string | number | boolean;
    payload?: P;
    user_id: string;
    tenant_id: string;
    timestamp: string;
    /** The optimistic update that this event confirms; passes through the broker. */
    mutation_id?: string;
    [member: string]: unknown;
  };
  trace_id: string;
  version?: number;
  /** The cursor of this event; absent where the topic keeps no history. */
  id?: string;
}

/** What a client is at; the README's table says what each means. */
export type State = 'idle' | 'connecting' | 'online' | 'degraded' | 'waiting' | 'offline' | 'closed' | 'failed';

/** The state with what belongs to it. */
export interface Status {
  state: State;
  /** Of `online` and `degraded`: over what. */
  transport?: TransportName;
  /** Of `waiting`: when the next attempt begins, in ms since 1970. */
  retryAt?: number;
  /** Of `failed`: the broker's error code, and why; of `waiting`: what the last attempt ended with. */
  code?: string;
  message?: string;
}

/** What events come over; `tab`: over another tab's connection. */
export type TransportName = 'websocket' | 'sse' | 'longpoll' | 'polling' | 'tab';

/** Which topics have lost events for good, and why. */
export interface Gap {
  topics: string[];
  reason: string;
}

/** What went wrong, with the broker's stable code. */
export class HookwireError extends Error {
  constructor(
    readonly code: string,
    message?: string,
    readonly retryable = false,
    /** When to try again, where the broker said. */
    readonly retryAfterMs?: number,
  ) {
    super(message ?? code);
    this.name = 'HookwireError';
  }
}

/** Of a Standard Schema (https://standardschema.dev), as zod, valibot and others have it, what is used here. */
export interface Schema<T = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    /** It has to be synchronous: a promise is a TypeError. */
    readonly validate: (value: unknown) => SchemaResult<T> | Promise<SchemaResult<T>>;
    readonly types?: { readonly input: unknown; readonly output: T } | undefined;
  };
}
/** What a schema makes of a payload, or what is wrong with it. */
export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<{ readonly message: string; readonly path?: ReadonlyArray<unknown> | undefined }> };

/** Topic patterns (`gift-list:*`, or a topic's whole name) and the schemas of their payloads. */
export type Schemas = Record<string, Schema>;

/** What a schema's payloads are. */
type Output<S> = S extends Schema<infer T> ? T : unknown;
/** Under which of its names the schemas know a topic. */
type Pattern<S, T extends string> = T extends keyof S ? T : T extends `${infer R}:${string}` ? (`${R}:*` extends keyof S ? `${R}:*` : never) : never;
/** The payload's type of a topic, by the schemas; `unknown` where none is for it, or for one of several. */
export type PayloadOf<S, T extends string> = T extends unknown ? ([Pattern<S, T>] extends [never] ? unknown : Output<S[Pattern<S, T> & keyof S]>) : never;

/** What a client is made with. */
export interface Options<S extends Schemas = {}> {
  /** The broker's base, `https://realtime.example.com`; the paths of the transports are behind it. */
  url: string;
  /** The access token; called when one is needed and again before it ends, once at a time. `refresh`: the last one was not accepted or ends soon. */
  getToken?: (request: { refresh: boolean }) => string | null | undefined | Promise<string | null | undefined>;
  /** Which transports, the best first. All four are the default, in this order. */
  transports?: ('websocket' | 'sse' | 'longpoll' | 'polling')[];
  /** A WebSocket is opened with a one-time ticket, for brokers that take no token in the first message. No token stands in an address either way. */
  tickets?: boolean;
  /** Tabs of the same origin and `share` name have one connection together; needs Web Locks and BroadcastChannel. Name it by the user. */
  share?: string;
  /** Checks payloads and gives them types, by topic pattern. */
  schemas?: S;
  /** A payload that its schema does not take: the event is not delivered. */
  onInvalid?: (event: HookwireEvent, issues: ReadonlyArray<{ message: string }>) => void;
  /** How long a topic stays subscribed after its last subscriber left, in ms; 1000 if absent. */
  lingerMs?: number;
  /** Waits between attempts: a random part of minMs doubled each time up to maxMs; 500 and 30000 if absent. */
  backoff?: { minMs?: number; maxMs?: number };
  /** How long an attempt may take until the first message, in ms; 10000 if absent. */
  connectTimeoutMs?: number;
  /** Between two requests of plain polling, in ms; 5000 if absent. */
  pollMs?: number;
  /** How often a better transport is tried while a lesser one works, in ms; 60000 if absent. */
  reprobeMs?: number;
}

/** What a subscription is told beside events, and where it begins. */
export interface SubscribeOptions {
  /** Events of these topics were lost for good: read your data again. */
  onGap?: (gap: Gap) => void;
  /** A topic was refused or taken away. */
  onError?: (error: HookwireError, topic: string) => void;
  /** Begin behind this cursor, and not now. What others here have had already is read for this one alone; `hookwire-client/ws` tells a gap instead. */
  cursor?: string;
  /** Begin with the newest event of each topic; says nothing for a topic that is followed already. */
  last?: boolean;
}

/** Ends a subscription. Returns the cursor to go on from later, where there is one. */
export type Unsubscribe = () => string | undefined;

/** What is published; the broker adds who, when and the `id`. */
export interface PublishInput {
  topic: string;
  event: string;
  data: { entity_id: string | number | boolean; payload?: unknown; [member: string]: unknown };
  trace_id?: string;
}

/** The broker has stored it. */
export interface Ack {
  /** The event's cursor; absent if its topic keeps no history, or a policy dropped it. */
  id?: string;
  /** Its key was used before: this is the first answer. */
  duplicate?: boolean;
}

/** Somebody who is there, once, however many connections he has. */
export interface PresenceUser {
  user_id: string;
  connections: number;
  info?: Record<string, unknown>;
}

/** A page of a topic's past. */
export interface HistoryPage<P = unknown> {
  events: HookwireEvent<P>[];
  /** For the next page; one without events is the last. */
  cursor: string;
  /** Events behind the cursor that was given are gone; `hookwire-client/ws` tells it by `onGap`. */
  gap?: boolean;
}

/** Data of your own, followed. */
export interface Snapshot<D> {
  data: D;
  /** Of before the read: `data` has all that happened up to there. Absent where nothing was known of the broker yet. */
  cursor?: string;
  /** Ends it. */
  unsubscribe: () => void;
}

/** Where the data goes when it is read anew, and what ends it all. */
export interface SnapshotOptions<D> extends SubscribeOptions {
  /** The data, read anew after a gap. */
  onData?: (data: D) => void;
  signal?: AbortSignal;
}

/** A client: one connection for all that follow and publish by it. */
export interface Client<S extends Schemas = {}> {
  readonly state: State;
  readonly status: Status;
  /** Called after each change of `status`. Returns what ends it. */
  onStatus(listener: (status: Status) => void): () => void;
  /**
   * Follows topics (`resource:id`, or `resource:*`). The first one connects. Returns what ends it; a topic that several
   * follow is subscribed to once.
   */
  subscribe<const T extends string>(
    topics: T | readonly T[],
    onEvent: (event: HookwireEvent<PayloadOf<S, T>>) => void,
    options?: SubscribeOptions,
  ): Unsubscribe;
  /**
   * Data of your own, and what happened to it since: takes the broker's cursor, runs `fetcher`, and follows the topics from that cursor. What
   * comes in the meantime is given to `onEvent` behind the data, maybe for the second time. After a gap `fetcher` runs again, for `onData`.
   * Where no cursor can be had the page gets its data nevertheless, and newer data by `onData` as soon as the topics are live.
   */
  snapshot<D, const T extends string>(
    topics: T | readonly T[],
    fetcher: (signal: AbortSignal) => Promise<D>,
    onEvent?: (event: HookwireEvent<PayloadOf<S, T>>) => void,
    options?: SnapshotOptions<D>,
  ): Promise<Snapshot<D>>;
  /** Resolves when the broker has stored it. Tried again over a new connection, as the same, until `timeoutMs` (10000) is over. */
  publish(event: PublishInput, options?: { timeoutMs?: number; key?: string }): Promise<Ack>;
  /** Who is there now. */
  presence(topic: string): Promise<PresenceUser[]>;
  /** Who is there, now and whenever it changes. Returns what ends it. */
  onPresence(topic: string, listener: (users: PresenceUser[]) => void): () => void;
  /** A page of the past of a topic or pattern, oldest first. With `hookwire-client/ws` of topics alone. */
  history<T extends string>(topic: T, options?: { cursor?: string; limit?: number }): Promise<HistoryPage<PayloadOf<S, T>>>;
  /** A place in the stream that is no later than now: read your own data behind it, then subscribe from it. */
  cursor(): Promise<string>;
  /** Waits no longer: connects now, or looks at once whether the connection is alive. */
  retry(): void;
  /** Ends it for good. No timer, listener or socket is left. */
  close(): void;
}
