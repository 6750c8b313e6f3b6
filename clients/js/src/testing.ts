/* hookwire-client/testing: a broker in memory, for the tests of a page. It speaks the wire of the real one (docs/protocol.md), with the
 * same order, cursors and replies, but over no network: `install()` puts its WebSocket, EventSource and fetch in the place of the page's.
 *
 *   journal (of a tenant) ──append──> sessions (WebSocket, SSE) and polls that wait
 *
 * What is sent arrives in a later microtask, as nothing of a network comes while the caller runs; no timer is needed for it, so that it
 * works with the fake timers of test frameworks. It leaves out what a page does not see: hooks but for `authorize`, limits, compression,
 * CloudEvents, heartbeats, and that who left is still present for a moment; and of members that repeat it sees the
 * last, as JSON.parse does, and any depth, where the broker refuses them. */
import type { HookwireEvent, PresenceUser } from './types.js';

/** Who asks, for `authorize`. */
export interface FakeRequest {
  action: 'subscribe' | 'publish' | 'presence';
  user: string;
  tenant: string;
  topic: string;
}

/** What `createFakeBroker` may be told. */
export interface FakeBrokerOptions {
  /** What the page has as the client's `url`; what goes elsewhere is not touched. `http://hookwire.test` if absent. */
  url?: string;
  /** true: allowed; false, or why not: refused as `forbidden_topic`. All is allowed if absent. */
  authorize?: (request: FakeRequest) => boolean | string;
  /** Topics, or patterns as `room:*`, of which it is known who is there; all if absent. */
  presence?: readonly string[];
  /** Topics, or patterns, whose events have no id and are not kept. */
  withoutHistory?: readonly string[];
  /** How many events are kept for who comes back; 1000 if absent. */
  retention?: number;
  /** How long what is sent is under way, in ms, by a timer. */
  latencyMs?: number;
}

/** What is published, beside topic and payload. */
export interface FakePublish {
  /** `UPDATED` if absent. */
  event?: string;
  /** `e1` if absent. */
  entity?: string;
  tenant?: string;
  user?: string;
  /** Other members of `data`, as `mutation_id`. */
  [member: string]: unknown;
}

/** What `refuse` may be about; `http` is polling and all other requests. */
export type FakeTransport = 'websocket' | 'sse' | 'http';

/** Who is connected; who polls is not. */
export interface FakeSession {
  user: string;
  tenant: string;
  transport: 'websocket' | 'sse';
  topics: string[];
}

interface Identity {
  user: string;
  tenant: string;
  token: string;
  expiresAt: number | null;
}

interface Problem {
  code: string;
  message: string;
  retryable?: boolean;
}

type Json = Record<string, any>;
type Kept = { seq: number; event: HookwireEvent };

const STATUS: Record<string, number> = { bad_request: 400, unauthorized: 401, token_expired: 401, forbidden_topic: 403, draining: 503, unavailable: 503 };
const CLOSE: Record<string, number> = { bad_request: 4400, unauthorized: 4401, token_expired: 4401, forbidden_topic: 4403, draining: 4503, unavailable: 4503 };
const TOPIC = /^[a-z][a-z0-9-]*:[a-z0-9-]+$/;
const NAME = /^[a-z][a-z0-9-]*:([a-z0-9-]+|\*)$/;
const CURSOR = /^(0|[1-9a-z][a-z0-9]{0,12})-(0|[1-9]\d{0,19})$/;
const TRACE_PARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const SEQ_MAX = 2n ** 64n - 1n;
const TOPIC_MAX = 255;
const KEY_MAX = 256;
const ID_MAX = 128;
const PAGE = 1000; // events of a poll's answer
const BATCH = 100; // messages of a frame
const WAIT_S = 25;
const WAIT_MAX_S = 60;
const PING_MS = 25000;
const TICKET_MS = 30000;
const MAX_TIMER_MS = 2 ** 31 - 1;
const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

const random = (digits: number) => Array.from({ length: digits }, () => Math.floor(Math.random() * 16).toString(16)).join('');
const isName = (name: string) => NAME.test(name) && name.length <= TOPIC_MAX;
const fits = (topic: string, name: string) => name === topic || (name.endsWith(':*') && topic.startsWith(name.slice(0, -1)));
const fitsAny = (topic: string, names: Iterable<string>) => [...names].some((name) => fits(topic, name));
const problem = (code: string, message: string, retryable = false): Problem => ({ code, message, retryable });

const TURNS = 20; // of promises, between two messages: more than anybody waits for one by one

/** A timer that does not keep a test run alive. */
function timer(run: () => void, ms: number): ReturnType<typeof setTimeout> {
  const handle = setTimeout(run, Math.min(ms, MAX_TIMER_MS));
  (handle as { unref?: () => void }).unref?.();
  return handle;
}

/** The events of a DOM object, without the DOM: test frameworks bring several kinds of `Event`, which do not mix. */
class Emitter {
  [handler: `on${string}`]: any;
  private heard = new Map<string, Set<(event: any) => void>>();
  addEventListener(type: string, listener: (event: any) => void): void {
    if (!this.heard.has(type)) this.heard.set(type, new Set());
    this.heard.get(type)!.add(listener);
  }
  removeEventListener(type: string, listener: (event: any) => void): void {
    this.heard.get(type)?.delete(listener);
  }
  /** Calls the handler and the listeners, as a browser does it. */
  protected emit(type: string, members: Json = {}): void {
    const event = { type, target: this, currentTarget: this, ...members };
    for (const listener of [this[`on${type}`], ...(this.heard.get(type) ?? [])]) listener?.call(this, event);
  }
}

const ISO = /^(?!-0{6})(?:(\d{4}|[+-]\d{6})(?:-(\d\d)(?:-(\d\d))?)?)(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/i;

/** A date as the broker takes it: `Date.parse` alone takes other forms too, and days that there are not. */
function isDate(text: unknown): boolean {
  const [, year, month = '1', day = '1'] = (typeof text === 'string' && !text.endsWith('\n') && ISO.exec(text)) || [];
  if (!year) return false;
  const last = new Date(0);
  last.setUTCFullYear(Number(year), Number(month), 0);
  return !isNaN(Date.parse(text as string)) && Number(day) <= last.getUTCDate();
}

const isNested = (value: unknown): value is Json => typeof value === 'object' && value !== null;
const isGiven = (value: unknown) => value !== undefined && value !== null;
const isHalved = (text: string) => /[\ud800-\udfff]/u.test(text);
const show = (value: unknown) => (isNested(value) ? JSON.stringify(value) : String(value));

const isLast = (query: URLSearchParams) => query.get('last') === '1';
const isCursor = (value: unknown) => typeof value === 'string' && CURSOR.test(value) && BigInt(value.split('-')[1]!) <= SEQ_MAX;

function flawOfTopic(topic: unknown): string | undefined {
  if (!topic) return 'Missing required field: topic';
  if (isNested(topic)) return 'topic must be a string';
  if (typeof topic !== 'string' || !TOPIC.test(topic)) return `Invalid topic format "${show(topic)}". Expected: "{resource}:{id}" (e.g., "gift-list:123")`;
  return topic.length > TOPIC_MAX ? `topic must not be longer than ${TOPIC_MAX} bytes` : undefined;
}

/** What is wrong with an event that is to be published. */
function flawOf({ topic, event, data, trace_id, version, key }: Json): string | undefined {
  const flaw = flawOfTopic(topic);
  if (flaw) return flaw;
  if (!event) return 'Missing required field: event';
  if (typeof event !== 'string') return 'event must be a string';
  if (isHalved(event)) return 'event must not hold half of a surrogate pair';
  if (!data) return 'Missing required field: data';
  if (!data.entity_id) return 'Missing required field: data.entity_id';
  if (isNested(data.entity_id)) return 'data.entity_id must be a string, not an array or object';
  if (data.timestamp && !isDate(data.timestamp)) return `Invalid timestamp "${show(data.timestamp)}". Use ISO 8601 format.`;
  if (trace_id && typeof trace_id !== 'string') return 'trace_id must be a string';
  if (trace_id && isHalved(trace_id)) return 'trace_id must not hold half of a surrogate pair';
  if (version !== undefined && (!Number.isInteger(version) || version < 1)) return 'version must be a positive integer';
  const bytes = typeof key === 'string' && !isHalved(key) ? new TextEncoder().encode(key).length : 0;
  return isGiven(key) && (bytes < 1 || bytes > KEY_MAX) ? `key must be a string of 1 to ${KEY_MAX} bytes` : undefined;
}

function flawOfEntry(entry: any): string | undefined {
  const { topic = entry, cursor, last } = isNested(entry) ? entry : ({} as Json);
  if (typeof topic !== 'string') return 'topics must hold strings or objects with a topic';
  if (isGiven(cursor) && typeof cursor !== 'string') return 'cursor must be a string';
  return isGiven(last) && last !== 0 && last !== 1 ? 'last must be 1, or 0' : undefined;
}

function flawOfWish(name: string, cursor?: string, last?: boolean): string | undefined {
  if (!isName(name)) return 'this is no topic: {resource}:{id} is expected';
  if (cursor !== undefined && !isCursor(cursor)) return 'cursor is no cursor';
  return last && name.endsWith('*') ? 'last is of one topic, not of a pattern' : undefined;
}

/** What is wrong with a message of a client, as far as that can be seen without knowing anything else. */
function flawOfMessage(message: any): string | undefined {
  if (!isNested(message) || Array.isArray(message)) return 'an object is expected';
  const { type, id, token, topics, topic, cursor, limit, follow } = message;
  if (id !== undefined && typeof id !== 'string' && typeof id !== 'number') return 'id must be a string or a number';
  if (id !== undefined && JSON.stringify(id).length > ID_MAX) return `id must not be longer than ${ID_MAX} bytes`;
  if (type === undefined) return 'type is missing';
  if (typeof type !== 'string') return 'type must be a string';
  if (type === 'auth') {
    if (!isGiven(token)) return 'token is missing';
    return typeof token !== 'string' || !token || isHalved(token) ? 'token must be a string that is not empty' : undefined;
  }
  if (type === 'subscribe' || type === 'unsubscribe') {
    if (topics === undefined) return 'topics is missing';
    return Array.isArray(topics) ? topics.map(flawOfEntry).find(Boolean) : 'topics must be an array';
  }
  if (type === 'publish') return flawOf(message);
  if (type !== 'history' && type !== 'presence') return undefined;
  if (id === undefined) return 'id is missing';
  const flaw = flawOfTopic(topic);
  if (flaw) return flaw;
  if (type === 'presence') return isGiven(follow) && typeof follow !== 'boolean' ? 'follow must be true or false' : undefined;
  if (isGiven(cursor) && !isCursor(cursor)) return 'cursor is no cursor';
  return isGiven(limit) && !(Number.isInteger(limit) && Number(limit) >= 1) ? 'limit must be a positive integer' : undefined;
}

/** A tenant's events, in one order. */
class Journal {
  /** Of this journal's cursors; another one: those before are of elsewhere. */
  epoch = Math.floor((1 + Math.random()) * 36 ** 6).toString(36);
  seq = 0;
  kept: Kept[] = [];
  /** Up to where events of a topic are gone. */
  private gone = new Map<string, number>();

  get head(): string {
    return `${this.epoch}-${this.seq}`;
  }
  /** An event that is not kept has its number too, but no id. */
  add(event: HookwireEvent, retention: number): void {
    this.seq++;
    if (!retention) return;
    event.id = this.head;
    this.kept.push({ seq: this.seq, event });
    if (this.kept.length > retention) this.forget(this.kept.splice(0, this.kept.length - retention));
  }
  /** Removes what is kept of these topics; all if there are none. */
  evict(names?: readonly string[]): void {
    const isOut = ({ event }: Kept) => !names || fitsAny(event.topic, names);
    this.forget(this.kept.filter(isOut));
    this.kept = this.kept.filter((one) => !isOut(one));
  }
  private forget(events: Kept[]): void {
    for (const { seq, event } of events) this.gone.set(event.topic, seq);
  }
  /** Where a cursor is: 'malformed', 'elsewhere', or behind how many events. */
  place(cursor: string): number | 'malformed' | 'elsewhere' {
    if (!isCursor(cursor)) return 'malformed';
    const [epoch, seq] = cursor.split('-');
    return epoch === this.epoch && Number(seq) <= this.seq ? Number(seq) : 'elsewhere';
  }
  /** Are events of this topic, or pattern, that are newer than this gone? */
  isLost(name: string, seq: number): boolean {
    return [...this.gone].some(([topic, upTo]) => upTo > seq && fits(topic, name));
  }
  behind(seq: number, names: readonly string[]): Kept[] {
    return this.kept.filter((one) => one.seq > seq && fitsAny(one.event.topic, names));
  }
}

/** One client, whatever its transport. */
interface Session {
  readonly transport: 'websocket' | 'sse';
  identity: Identity;
  names: Set<string>;
  /** Of each name, behind which event it is live. */
  since: Map<string, number>;
  follows: Set<string>;
  tell(message: Json): void;
  end(code: number, reason: string): void;
}

interface Poll {
  identity: Identity;
  names: string[];
  answer(live?: HookwireEvent): void;
  fail(problem: Problem): void;
  cut(): void;
}

/** A topic, or pattern, of a `subscribe`. */
interface Wish {
  name: string;
  cursor?: string;
  last?: boolean;
}

interface Refusal {
  transport: FakeTransport | undefined;
  times: number;
  status: number | undefined;
  closeCode: number | undefined;
}

/** A broker in memory. */
export interface FakeBroker {
  /** For `createClient({ url })`. */
  readonly url: string;
  readonly WebSocket: typeof WebSocket;
  readonly EventSource: typeof EventSource;
  /** What is not the fake broker's goes on to the page's own. */
  readonly fetch: typeof fetch;
  /** How many sockets and streams are open now. */
  readonly connections: number;
  /** How many were opened since the beginning. */
  readonly opened: number;
  /** Puts the three above in the place of the page's. Returns what takes them away again. */
  install(target?: any): () => void;
  /** A token that it takes. */
  token(user?: string, options?: { tenant?: string; seconds?: number; [claim: string]: unknown }): string;
  /** What a back end publishes; returns the event's id. */
  publish(topic: string, payload?: unknown, options?: FakePublish): string | undefined;
  /** Ends connections, of all or of one user: as a network does (1006), or with a close code. */
  disconnect(options?: { user?: string; code?: number; reason?: string }): void;
  /**
   * What begins from now on does not come through: with `status` HTTP says so, with `closeCode` a WebSocket does, else it is as if nothing
   * were there. Returns what ends it; `times`: so many attempts.
   */
  refuse(options?: { transport?: FakeTransport; times?: number; status?: number; closeCode?: number }): () => void;
  /** Events of these topics (of all, if absent) are lost for good: who is there is told, and who comes back from before. */
  gap(topics?: readonly string[], reason?: string): void;
  /** Begins anew without a memory: all are cut off, and their cursors are of elsewhere. */
  restart(): void;
  /** Goes away in good order: tells all, ends them, and refuses who comes until `resume()`. */
  drain(options?: { retryAfterMs?: number; jitterMs?: number }): void;
  /** Drains no longer. */
  resume(): void;
  /** The tokens that were made up to now have expired, of all or of one user. */
  expire(user?: string): void;
  /** The policy has changed: topics are asked about again, and who may not have them any more is told. */
  reauthorize(): void;
  /** Who is connected. */
  sessions(): FakeSession[];
  /** What is kept of a topic, oldest first. */
  events(topic: string, tenant?: string): HookwireEvent[];
}

/** A broker in memory, which speaks the protocol of the real one. */
export function createFakeBroker(options: FakeBrokerOptions = {}): FakeBroker {
  const base = (options.url ?? 'http://hookwire.test').replace(/\/$/, '');
  const { authorize = () => true, withoutHistory = [], presence: present = ['*'], retention = 1000, latencyMs } = options;
  const journals = new Map<string, Journal>();
  const sessions = new Set<Session>();
  const polls = new Set<Poll>();
  const answers = new Map<string, { body: string; answer: Json }>();
  const tickets = new Map<string, { identity: Identity; endsAt: number }>();
  const expired = new Set<string>();
  const numbers = new Map<string, number>();
  let minted: { user: string; token: string }[] = [];
  let refusals: Refusal[] = [];
  let advice: { retryAfterMs: number; jitterMs: number } | undefined; // it drains
  let opened = 0;

  let line: Promise<void> = Promise.resolve();
  /** One after the other, as tasks are: what somebody does by promises when he hears the one comes before the next one. */
  function after(run: () => void): void {
    if (latencyMs) return void timer(run, latencyMs);
    line = line.then(async () => {
      queueMicrotask(run);
      for (let i = 0; i < TURNS; i++) await undefined;
    });
  }

  function journalOf(tenant: string): Journal {
    if (!journals.has(tenant)) journals.set(tenant, new Journal());
    return journals.get(tenant)!;
  }

  /* ---- who ---- */

  const encode = (value: unknown) => btoa(unescape(encodeURIComponent(JSON.stringify(value)))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
  const decode = (text: string) => JSON.parse(decodeURIComponent(escape(atob(text.replace(/-/g, '+').replace(/_/g, '/')))));

  function identify(token: string): Identity | Problem {
    let claims: Json;
    try {
      const parts = token.split('.');
      if (parts.length !== 3) throw new Error();
      claims = decode(parts[1]!);
    } catch {
      return problem('unauthorized', 'not a signed token: it must have three parts with dots between');
    }
    if (expired.has(token) || (claims.exp && claims.exp * 1000 <= Date.now())) return problem('token_expired', 'the token has expired');
    return { user: claims.sub, tenant: claims.tenant_id ?? 'acme', token, expiresAt: claims.exp ?? null };
  }

  function redeem(ticket: string): Identity | Problem {
    const of = tickets.get(ticket);
    tickets.delete(ticket);
    return of && of.endsAt > Date.now() ? of.identity : problem('unauthorized', 'this ticket is not known: it is good once, for 30 seconds');
  }

  function identifyQuery(query: URLSearchParams): Identity | Problem | undefined {
    if (query.has('ticket')) return redeem(query.get('ticket')!);
    return query.has('token') ? identify(query.get('token')!) : undefined;
  }

  const isProblem = (what: object): what is Problem => 'code' in what;

  function may(action: FakeRequest['action'], { user, tenant }: Identity, topic: string): Problem | undefined {
    const verdict = authorize({ action, user, tenant, topic });
    return verdict === true ? undefined : problem('forbidden_topic', verdict || 'no policy allows it');
  }

  function watchExpiry(identity: Identity, end: () => void): void {
    if (identity.expiresAt !== null) timer(end, Math.max(0, identity.expiresAt * 1000 - Date.now()));
  }

  function refusalOf(transport: FakeTransport): Refusal | undefined {
    const refusal = refusals.find((one) => !one.transport || one.transport === transport);
    if (refusal && --refusal.times <= 0) refusals = refusals.filter((one) => one !== refusal);
    return refusal;
  }

  /* ---- events ---- */

  function append(input: Json, { user, tenant }: Identity): HookwireEvent {
    const { topic, event, data, trace_id, version } = input;
    const { previous: _, ...rest } = data;
    const stored = JSON.parse(
      JSON.stringify({
        topic,
        event,
        data: { ...rest, user_id: user, tenant_id: tenant, timestamp: data.timestamp || new Date().toISOString() },
        trace_id: trace_id || random(32),
        version,
      }),
    ) as HookwireEvent;
    journalOf(tenant).add(stored, fitsAny(topic, withoutHistory) ? 0 : retention);
    for (const session of sessions) if (session.identity.tenant === tenant && fitsAny(topic, session.names)) session.tell(stored);
    for (const poll of [...polls]) if (poll.identity.tenant === tenant && fitsAny(topic, poll.names)) poll.answer(stored);
    return stored;
  }

  function publish(input: Json, identity: Identity, key?: string): Json | Problem {
    const flaw = flawOf(input);
    if (flaw) return problem('bad_request', flaw);
    const { topic, event, data, trace_id } = input;
    const place = key && JSON.stringify([identity.tenant, identity.user, key]);
    const body = JSON.stringify([topic, event, data, trace_id]);
    const former = place ? answers.get(place) : undefined;
    if (former) return former.body === body ? { ...former.answer, duplicate: true } : problem('bad_request', 'this idempotency key was used for another event');
    const refused = may('publish', identity, topic);
    if (refused) return refused;
    const answer = { ok: true, id: append(input, identity).id };
    if (place) answers.set(place, { body, answer });
    return answer;
  }

  /** What is missed of topics that each have their cursor, told in the journal's order. Returns how it went. */
  function recover(session: Session, wanted: Wish[]): Map<string, boolean> {
    const journal = journalOf(session.identity.tenant);
    const recovered = new Map<string, boolean>();
    const missed = new Set<Kept>();
    const lost = { elsewhere: [] as string[], passed: [] as string[] };
    for (const { name, cursor, last } of wanted) {
      if (cursor === undefined) {
        const newest = last && journal.behind(0, [name]).at(-1);
        if (newest) missed.add(newest);
        continue;
      }
      const place = journal.place(cursor);
      const isLost = typeof place === 'number' && journal.isLost(name, place);
      if (typeof place !== 'number') lost.elsewhere.push(name);
      else if (isLost) lost.passed.push(name);
      recovered.set(name, typeof place === 'number' && !isLost);
      if (typeof place === 'number') for (const one of journal.behind(place, [name])) missed.add(one);
    }
    if (lost.elsewhere.length) session.tell({ type: 'gap', topics: lost.elsewhere, reason: "the cursor is none of this journal's" });
    if (lost.passed.length) session.tell({ type: 'gap', topics: lost.passed, reason: 'retention passed before the client came back' });
    // what another of its names has brought while it was live is not brought again
    const isHad = ({ seq, event }: Kept) => [...session.names].some((name) => fits(event.topic, name) && session.since.get(name)! < seq);
    for (const one of [...missed].sort((a, b) => a.seq - b.seq)) if (!isHad(one)) session.tell(one.event);
    return recovered;
  }

  /* ---- who is there ---- */

  const isPresent = (topic: string) => present.some((name) => name === '*' || fits(topic, name));

  function connectionsOf(tenant: string, topic: string): Map<string, number> {
    const users = new Map<string, number>();
    for (const { identity, names } of sessions)
      if (identity.tenant === tenant && names.has(topic)) users.set(identity.user, (users.get(identity.user) ?? 0) + 1);
    return users;
  }

  /** Does something that changes who is there, and tells of it. */
  function change(tenant: string, user: string, names: Iterable<string>, run: () => void): void {
    const topics = [...names].filter((name) => !name.endsWith('*') && isPresent(name));
    const before = topics.map((topic) => connectionsOf(tenant, topic).get(user) ?? 0);
    run();
    topics.forEach((topic, at) => {
      const now = connectionsOf(tenant, topic).get(user) ?? 0;
      if (now === before[at]) return;
      const number = (numbers.get(tenant) ?? 0) + 1;
      numbers.set(tenant, number);
      const entry = [{ user_id: user, connections: now }];
      const told = { joined: before[at] ? [] : entry, left: now ? [] : entry, updated: before[at] && now ? entry : [] };
      for (const session of sessions)
        if (session.identity.tenant === tenant && session.follows.has(topic)) session.tell({ type: 'presence', topics: { [topic]: { number } }, ...told });
    });
  }

  function presence(identity: Identity, topic: string): Json | Problem {
    const flaw = flawOfTopic(topic);
    if (flaw) return problem('bad_request', flaw);
    if (!isPresent(topic)) return problem('bad_request', 'presence is not kept for this topic');
    const refused = may('presence', identity, topic);
    if (refused) return refused;
    const users: PresenceUser[] = [...connectionsOf(identity.tenant, topic)].map(([user_id, connections]) => ({ user_id, connections }));
    return { topics: { [topic]: { users, number: numbers.get(identity.tenant) ?? 0 } } };
  }

  /** Why a stream or a poll of these topics cannot be: all of them, or none. */
  function unfit(identity: Identity, names: readonly string[], query: URLSearchParams, cursor: string | undefined): Problem | undefined {
    if (!names.length) return problem('bad_request', 'topics is missing');
    if (!/^[01]$/.test(query.get('last') ?? '0')) return problem('bad_request', 'last is 1, or 0');
    for (const name of names) {
      const flaw = flawOfWish(name, cursor, isLast(query));
      if (flaw !== undefined) return problem('bad_request', flaw);
      const refused = may('subscribe', identity, name);
      if (refused) return { ...refused, message: `${name}: ${refused.message}` };
    }
    return undefined;
  }

  /* ---- the past ---- */

  function history(identity: Identity, topic: string, cursor: string | undefined, limit: number): Json | Problem {
    if (!isName(topic)) return problem('bad_request', `Invalid topic format "${topic}"`);
    const refused = may('subscribe', identity, topic);
    if (refused) return refused;
    if (!(Number.isInteger(limit) && limit >= 1)) return problem('bad_request', 'limit is a number, 1 or more');
    const journal = journalOf(identity.tenant);
    const place = cursor === undefined ? 0 : journal.place(cursor);
    if (place === 'malformed') return problem('bad_request', 'the cursor is malformed');
    const isElsewhere = place === 'elsewhere';
    const all = isElsewhere ? [] : journal.behind(place, [topic]);
    const most = Math.min(limit, PAGE);
    const page = all.slice(0, most);
    const at = page.length === most ? page.at(-1)!.event.id : journal.head; // a full page does not look whether there is more
    const gap = cursor !== undefined && (isElsewhere || journal.isLost(topic, place as number));
    return { events: page.map(({ event }) => event), cursor: at, gap };
  }

  /* ---- WebSocket ---- */

  function enter(session: Session): void {
    sessions.add(session);
    watchExpiry(session.identity, () => {
      // it may have another token by now
      const { expiresAt } = session.identity;
      if (sessions.has(session) && expiresAt !== null && expiresAt * 1000 <= Date.now()) session.end(4401, 'token_expired: the token has expired');
    });
  }

  function leave(session: Session): void {
    const { tenant, user } = session.identity;
    if (sessions.has(session)) change(tenant, user, session.names, () => sessions.delete(session));
  }

  function join(session: Session, names: string[]): void {
    const { tenant, user } = session.identity;
    for (const name of names) if (!session.names.has(name)) session.since.set(name, journalOf(tenant).seq);
    change(tenant, user, names, () => names.forEach((name) => session.names.add(name)));
  }

  /** A topic that is named twice is one, from the earliest of its cursors on; one of elsewhere is before all, one that is none before that. */
  function merged(wanted: Wish[], journal: Journal): Wish[] {
    const rank = (cursor: string) => {
      const place = journal.place(cursor);
      return typeof place === 'number' ? place : place === 'elsewhere' ? -1 : -2;
    };
    const byName = new Map<string, Wish>();
    for (const wish of wanted) {
      const former = byName.get(wish.name);
      if (!former) byName.set(wish.name, { ...wish });
      else {
        former.last ||= wish.last;
        if (wish.cursor !== undefined && (former.cursor === undefined || rank(wish.cursor) < rank(former.cursor))) former.cursor = wish.cursor;
      }
    }
    return [...byName.values()];
  }

  /** The results of a `subscribe`, after what it recovers. */
  function subscribe(session: Session, wanted: Wish[]): Map<string, Json> {
    const journal = journalOf(session.identity.tenant);
    const results = new Map<string, Json>();
    const good = merged(wanted, journal).filter(({ name, cursor, last }) => {
      const flaw = flawOfWish(name, cursor, last);
      const refused = flaw === undefined ? may('subscribe', session.identity, name) : problem('bad_request', flaw);
      results.set(name, refused ? { ok: false, code: refused.code, message: refused.message } : { ok: true });
      return !refused;
    });
    const fresh = good.filter(({ name }) => !session.names.has(name)); // of the others it has all of it already
    const recovered = recover(session, fresh);
    join(session, good.map(({ name }) => name));
    for (const { name } of good)
      results.set(name, { ok: true, ...(recovered.has(name) && { recovered: recovered.get(name) }), cursor: journal.head });
    return results;
  }

  const refusedError = (name: string, { code, message }: Json) => ({ type: 'error', code, message: `${isName(name) ? name : JSON.stringify(name)}: ${message}`, retryable: false });

  class FakeWebSocket extends Emitter {
    static readonly CONNECTING = CONNECTING;
    static readonly OPEN = OPEN;
    static readonly CLOSING = CLOSING;
    static readonly CLOSED = CLOSED;
    readonly CONNECTING = CONNECTING;
    readonly OPEN = OPEN;
    readonly CLOSING = CLOSING;
    readonly CLOSED = CLOSED;
    readonly url: string;
    readonly bufferedAmount = 0;
    readonly extensions = '';
    binaryType = 'blob';
    protocol = '';
    readyState = CONNECTING;
    private session: Session | undefined;
    private query: URLSearchParams;

    constructor(url: string | URL, protocols: string | string[] = []) {
      super();
      this.url = String(url);
      const { host, searchParams } = new URL(this.url);
      this.query = searchParams;
      if (host !== new URL(base).host) {
        if (!elsewhere.WebSocket) throw new Error(`${this.url} is not the fake broker's, and there is no other WebSocket`);
        return new elsewhere.WebSocket(url, protocols) as any;
      }
      const offered = [protocols].flat();
      after(() => this.accept(offered));
    }

    private accept(offered: string[]): void {
      if (this.readyState !== CONNECTING) return;
      const refusal = refusalOf('websocket');
      const isV1 = offered.includes('hookwire.v1');
      const token = offered.find((name) => name.startsWith('token.'))?.slice(6);
      const who = identifyQuery(this.query) ?? (token === undefined ? undefined : identify(token));
      const fault = advice ? problem('draining', 'the server is shutting down', true) : who && isProblem(who) ? who : undefined;
      // a plain client is not upgraded; of one that knows the protocol the close code says why
      if ((refusal && !refusal.closeCode) || (fault && !isV1)) return this.drop(1006, '');
      opened++;
      this.protocol = isV1 ? 'hookwire.v1' : '';
      this.readyState = OPEN;
      this.emit('open');
      if (refusal) this.drop(refusal.closeCode!, '');
      else if (fault) this.drop(CLOSE[fault.code]!, `${fault.code}: ${fault.message}`);
      else if (who) this.begin(who as Identity);
    }

    private begin(identity: Identity): void {
      const isV1 = this.protocol !== '';
      const session: Session = {
        transport: 'websocket',
        identity,
        names: new Set(),
        since: new Map(),
        follows: new Set(),
        tell: (message) => {
          // unasked, a plain client gets events and gaps only
          if (!isV1 && /^(welcome|cursor|unsubscribed|presence|goaway)$/.test(message.type)) return;
          this.say(message);
        },
        end: (code, reason) => this.drop(code, reason),
      };
      const topics = this.query.get('topics')?.split(',') ?? [];
      const cursor = this.query.get('cursor') ?? undefined;
      if (cursor !== undefined && journalOf(identity.tenant).place(cursor) === 'malformed') return this.drop(4400, 'bad_request: the cursor is malformed');
      this.session = session;
      enter(session);
      session.tell({
        type: 'welcome',
        session: random(16),
        user_id: identity.user,
        tenant_id: identity.tenant,
        cursor: journalOf(identity.tenant).head,
        ping_ms: PING_MS,
        expires_at: identity.expiresAt,
        limits: { message_bytes: 65536, topics_per_session: 100, publish_per_s: 1000 },
      });
      for (const [name, result] of subscribe(session, topics.map((name) => ({ name, cursor, last: isLast(this.query) })))) if (!result.ok) session.tell(refusedError(name, result));
    }

    private say(message: Json): void {
      const isPlain = !this.protocol && message.type;
      const text = JSON.stringify(isPlain ? { type: message.type, topic: '', ...message } : message);
      after(() => this.readyState === OPEN && this.emit('message', { data: text, lastEventId: '', origin: base }));
    }

    /** The broker's end of it, or the network's. */
    drop(code: number, reason: string): void {
      if (this.session) leave(this.session);
      this.session = undefined;
      after(() => {
        if (this.readyState === CLOSED) return;
        this.readyState = CLOSED;
        if (code === 1006) this.emit('error');
        this.emit('close', { code, reason, wasClean: code !== 1006 });
      });
    }

    send(data: string): void {
      if (this.readyState === CONNECTING) throw new Error('the WebSocket is still connecting');
      after(() => this.readyState === OPEN && this.hear(data));
    }

    close(code = 1005, reason = ''): void {
      if (this.readyState >= CLOSING) return;
      const wasOpen = this.readyState === OPEN;
      this.readyState = CLOSING;
      this.drop(wasOpen ? code : 1006, reason);
    }

    private hear(text: string): void {
      let parsed: any;
      try {
        parsed = JSON.parse(text);
      } catch {
        parsed = undefined;
      }
      const isGood = isNested(parsed) && !(Array.isArray(parsed) && (parsed.length === 0 || parsed.length > BATCH));
      if (!isGood && this.session) return this.fail(problem('bad_request', 'byte 0: a JSON object or an array of them is expected'));
      for (const message of isGood ? [parsed].flat() : [undefined]) {
        if (this.session) this.command(this.session, message);
        else if (message?.type !== 'auth') return this.drop(4401, 'unauthorized: the first message must be auth');
        else this.authenticate(message);
      }
    }

    private fail({ code, message, retryable = false }: Problem, id?: unknown): void {
      this.say({ type: 'error', ...(id !== undefined && { id }), code, message, retryable });
    }

    private authenticate({ token, id }: Json): void {
      const who = identify(String(token));
      if (isProblem(who)) return this.drop(4401, `${who.code}: ${who.message}`);
      const { session } = this;
      const isOther = session && (session.identity.user !== who.user || session.identity.tenant !== who.tenant);
      if (isOther) return this.drop(4403, 'forbidden_topic: a refresh must be for the same user and tenant');
      if (id !== undefined) this.say({ type: 'reply', id, ok: true, expires_at: who.expiresAt });
      if (!session) return this.begin(who);
      session.identity = who;
      enter(session);
    }

    private command(session: Session, message: Json): void {
      const flaw = flawOfMessage(message);
      if (flaw !== undefined) return this.fail(problem('bad_request', flaw), flaw.startsWith('id must') ? undefined : message?.id);
      const { type, id, topic } = message;
      const withId = id === undefined ? {} : { id };
      const fail = (why: Problem) => this.fail(why, id);
      const reply = (answer: Json) => id !== undefined && this.say({ type: 'reply', id, ok: true, ...answer });
      const { identity } = session;

      if (type === 'ping') return this.say({ type: 'pong', ...withId });
      if (type === 'auth') return this.authenticate(message);
      if (type === 'subscribe' || type === 'unsubscribe') {
        const wanted = message.topics.map((one: any) => (typeof one === 'string' ? { name: one } : { name: one.topic, cursor: one.cursor ?? undefined, last: !!one.last }));
        if (type === 'unsubscribe') {
          const names = wanted.map(({ name }: Json) => name);
          change(identity.tenant, identity.user, names, () => names.forEach((name: string) => session.names.delete(name)));
          const result = { ok: true, cursor: journalOf(identity.tenant).head };
          return void reply({ topics: Object.fromEntries(names.map((name: string) => [name, result])) });
        }
        const results = subscribe(session, wanted);
        if (id === undefined) for (const [name, result] of results) if (!result.ok) this.say(refusedError(name, result));
        for (const result of results.values()) delete result.message;
        return void reply({ topics: Object.fromEntries(results) });
      }
      if (type === 'publish') {
        const answer = publish(message, identity, message.key);
        if (isProblem(answer)) return fail(answer);
        const { id: event_id, duplicate } = answer as Json;
        return void (id !== undefined && this.say({ type: 'ack', id, ...(event_id && { event_id }), ...(duplicate && { duplicate }) }));
      }
      if (type === 'history') {
        const { cursor, limit = 100 } = message;
        // patterns have a history over HTTP alone
        const answer = TOPIC.test(topic) ? history(identity, topic, cursor, limit) : problem('bad_request', 'topic is no topic');
        if (isProblem(answer)) return fail(answer);
        const { gap, ...page } = answer as Json;
        if (gap) this.say({ type: 'gap', topics: [topic], reason: 'retention has passed the cursor' });
        return void reply(page);
      }
      if (type === 'presence') {
        if (message.follow && !this.protocol) return fail(problem('bad_request', 'to follow is for clients that speak hookwire.v1: what changes comes unasked'));
        const answer = presence(identity, String(topic));
        if (isProblem(answer)) return fail(answer);
        if (message.follow === true) session.follows.add(topic);
        else if (message.follow === false) session.follows.delete(topic);
        return void reply(answer);
      }
      fail(problem('bad_request', 'unknown type; known are auth, subscribe, unsubscribe, publish, presence, history and ping'));
    }
  }

  /* ---- Server-Sent Events ---- */

  /** Begins a stream, whoever reads it; or says why there is none. `lose` ends it, with or without the broker's doing. */
  function stream(who: Identity, query: URLSearchParams, lastId: string | null, say: (message: Json) => void, lose: () => void): Session | Problem {
    const names = query.get('topics')?.split(',').filter(Boolean) ?? [];
    const cursor = lastId || (query.get('cursor') ?? undefined);
    const wrong = unfit(who, names, query, cursor);
    if (wrong) return wrong;
    const session: Session = {
      transport: 'sse',
      identity: who,
      names: new Set(),
      since: new Map(),
      follows: new Set(),
      tell: say,
      end: (code, reason) => {
        const [why, message = reason] = reason.split(': ');
        if (code !== 1006) say({ type: 'closed', code: why || 'unavailable', message, retryable: code < 4000 || code === 4503, close_code: code });
        leave(session);
        lose();
      },
    };
    opened++;
    enter(session);
    recover(session, names.map((name) => ({ name, cursor, last: isLast(query) })));
    join(session, names);
    say({ type: 'cursor', cursor: journalOf(who.tenant).head });
    return session;
  }

  class FakeEventSource extends Emitter {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSED = 2;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSED = 2;
    readonly url: string;
    readonly withCredentials: boolean;
    readyState = 0;
    private session: Session | undefined;
    private lastId = '';

    constructor(url: string | URL, init: { withCredentials?: boolean } = {}) {
      super();
      this.url = String(url);
      this.withCredentials = !!init.withCredentials;
      if (!this.url.startsWith(base + '/')) {
        if (!elsewhere.EventSource) throw new Error(`${this.url} is not the fake broker's, and there is no other EventSource`);
        return new elsewhere.EventSource(url, init) as any;
      }
      after(() => this.begin());
    }

    private begin(): void {
      if (this.readyState !== 0) return;
      const query = new URL(this.url).searchParams;
      const refusal = refusalOf('sse');
      if (refusal && !refusal.status) return this.lose();
      const who = identifyQuery(query) ?? problem('unauthorized', 'a token is needed');
      const held: Json[] = []; // until it is said that it is open
      let say: (message: Json) => void = (message) => held.push(message);
      const session = refusal || advice || isProblem(who) ? undefined : stream(who, query, this.lastId, (message) => say(message), () => this.lose());
      if (!session || isProblem(session)) return this.stop();
      this.session = session;
      this.readyState = 1;
      this.emit('open');
      say = (message) => this.say(message);
      for (const message of held) say(message);
    }

    private say(message: Json): void {
      const data = JSON.stringify(message);
      after(() => {
        if (this.readyState !== 1 && message.type !== 'closed') return;
        this.lastId = message.id ?? message.cursor ?? this.lastId;
        this.emit(message.type ?? 'message', { data, lastEventId: this.lastId, origin: base });
      });
    }

    private leave(): void {
      if (this.session) leave(this.session);
      this.session = undefined;
    }

    /** The connection is lost: it comes back by itself. */
    private lose(): void {
      this.leave();
      after(() => {
        if (this.readyState === 2) return;
        this.readyState = 0;
        this.emit('error');
        if (this.readyState === 0) timer(() => this.begin(), 1000);
      });
    }

    /** Refused: it does not come back. */
    private stop(): void {
      this.readyState = 2;
      this.emit('error');
    }

    close(): void {
      this.readyState = 2;
      this.leave();
    }
  }

  /* ---- HTTP ---- */

  const encoder = new TextEncoder();

  /** A message as lines of a stream. */
  function linesOf(message: Json): string {
    const id = message.id ?? message.cursor;
    return `${message.type ? `event: ${message.type}\n` : ''}${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(message)}\n\n`;
  }

  function streamed(who: Identity, query: URLSearchParams, lastId: string | null, signal: AbortSignal | null | undefined): Response {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    let session: Session | Problem | undefined;
    let isOver = false;
    /** Ends it behind what was said. */
    const finish = (run: () => void) => {
      if (session && !isProblem(session)) leave(session);
      after(() => {
        if (!isOver) run();
        isOver = true;
      });
    };
    const say = (message: Json) =>
      after(() => {
        if (!isOver) controller.enqueue(encoder.encode(linesOf(message)));
      });
    const body = new ReadableStream<Uint8Array>({
      start: (given) => {
        controller = given;
      },
      cancel: () => finish(() => {}),
    });
    session = stream(who, query, lastId, say, () => finish(() => controller.error(new TypeError('the connection was lost'))));
    if (isProblem(session)) return failed(session);
    signal?.addEventListener('abort', () => finish(() => controller.error(signal.reason)), { once: true });
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  }

  const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
    new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });

  function failed({ code, message, retryable = false }: Problem, status = STATUS[code] ?? 500): Response {
    const retryAfterMs = code === 'draining' ? advice?.retryAfterMs : undefined;
    const body = { code, message, retryable, ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }) };
    return json(body, status, retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) });
  }

  /** The answer to a poll, at once or when there is something. */
  function poll(identity: Identity, query: URLSearchParams, signal: AbortSignal | null | undefined): Response | Promise<Response> {
    const names = query.get('topics')?.split(',').filter(Boolean) ?? [];
    const cursor = query.get('cursor') ?? undefined;
    const wrong = unfit(identity, names, query, cursor);
    if (wrong) return failed(wrong);
    const journal = journalOf(identity.tenant);
    const place = cursor === undefined ? journal.seq : (journal.place(cursor) as number | 'elsewhere');
    const wait = Number(query.get('wait') ?? WAIT_S);
    if (!Number.isInteger(wait) || wait < 0 || wait > WAIT_MAX_S) return failed(problem('bad_request', `wait is a whole number of seconds, 0 to ${WAIT_MAX_S}`));

    const answerOf = (live?: HookwireEvent) => {
      const seq = place === 'elsewhere' ? journal.seq : place;
      const newest = cursor === undefined && isLast(query) ? names.flatMap((name) => journal.behind(0, [name]).slice(-1)) : [];
      const all = [...newest, ...journal.behind(seq, names)];
      const page = all.slice(0, PAGE);
      const events = page.map((one) => one.event);
      if (live && !live.id) events.push(live);
      const isEnd = page.length === all.length;
      return { events, cursor: isEnd ? journal.head : page.at(-1)!.event.id, gap: place === 'elsewhere' || names.some((name) => journal.isLost(name, seq)) };
    };
    const atOnce = answerOf();
    if (!wait || atOnce.events.length || atOnce.gap) return json(atOnce);

    return new Promise((resolve, reject) => {
      const end = (run: () => void) => {
        if (!polls.delete(waiting)) return;
        clearTimeout(over);
        after(run);
      };
      const waiting: Poll = {
        identity,
        names,
        // what comes in the same moment comes with it
        answer: (live) => end(() => resolve(json(answerOf(live)))),
        fail: (why) => end(() => resolve(failed(why))),
        cut: () => end(() => reject(new TypeError('the connection was lost'))),
      };
      const over = timer(() => waiting.answer(), wait * 1000);
      polls.add(waiting);
      signal?.addEventListener('abort', () => end(() => reject(signal.reason)), { once: true });
    });
  }

  async function serve(url: URL, method: string, headers: Headers, body: string | undefined, signal?: AbortSignal | null): Promise<Response> {
    const { pathname, searchParams: query } = url;
    const path = pathname.slice(new URL(base).pathname.replace(/\/$/, '').length);
    const draining = problem('draining', 'the server is shutting down', true);
    if (path === '/healthz' || path === '/readyz') return path === '/readyz' && advice ? failed(draining) : json({ ok: true });
    const bearer = headers.get('authorization')?.replace(/^Bearer /, '');
    const who = identifyQuery(query) ?? (bearer ? identify(bearer) : problem('unauthorized', 'a token is needed'));
    if (isProblem(who)) return failed(who);
    if (advice) return failed(draining);
    const [, topic, about] = /^\/topics\/([^/]+)\/(history|presence)$/.exec(decodeURIComponent(path)) ?? [];
    const needed = /^\/(publish|ticket)$/.test(path) ? 'POST' : about || /^\/(cursor|poll|sse)$/.test(path) ? 'GET' : undefined;
    if (needed && needed !== method) return failed(problem('bad_request', `this is asked for with ${needed}`), 405);

    const answered = (answer: Json | Problem) => (isProblem(answer) ? failed(answer, answer.message.includes('idempotency key') ? 422 : undefined) : json(answer));
    if (path === '/cursor') return json({ cursor: journalOf(who.tenant).head });
    if (path === '/poll') return poll(who, query, signal);
    if (path === '/sse') return streamed(who, query, headers.get('last-event-id'), signal);
    if (about === 'history') return answered(history(who, topic!, query.get('cursor') ?? undefined, Number(query.get('limit') || 100)));
    if (about === 'presence') return answered(presence(who, topic!));
    if (path === '/ticket') {
      const ticket = random(48);
      tickets.set(ticket, { identity: who, endsAt: Date.now() + TICKET_MS });
      return json({ ticket, expires_in_ms: TICKET_MS });
    }
    if (path === '/publish') {
      if (!/^application\/json *(;|$)/i.test(headers.get('content-type') ?? '')) return failed(problem('bad_request', 'the body must be application/json'), 415);
      const key = headers.get('idempotency-key');
      if (key !== null && (!key || key.length > KEY_MAX)) return failed(problem('bad_request', `Idempotency-Key must be one key of 1 to ${KEY_MAX} bytes`));
      const traceId = TRACE_PARENT.exec(headers.get('traceparent') ?? '')?.[1];
      const put = (item: any, key: string | undefined) => (isNested(item) ? publish({ ...item, trace_id: item.trace_id || traceId }, who, key) : problem('bad_request', 'an object is expected'));
      let input: any;
      try {
        input = JSON.parse(body!);
      } catch {
        input = undefined;
      }
      if (!isNested(input) || input.length === 0 || input.length > PAGE) return failed(problem('bad_request', 'byte 0: a JSON object or an array of them is expected'));
      if (!Array.isArray(input)) return answered(put(input, key ?? input.key));
      const results = input.map((item, at) => put(item, item?.key ?? (key === null ? undefined : `${key}/${at}`))).map((answer) => (isProblem(answer) ? { ok: false, ...answer } : answer));
      return json({ results }, results.every((result) => (result as Json).ok) ? 200 : 207);
    }
    return failed(problem('bad_request', 'there is nothing at this path'), 404);
  }

  async function fakeFetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
    const request = typeof input === 'object' && 'url' in input ? input : undefined;
    const address = request?.url ?? String(input);
    if (!address.startsWith(base + '/')) {
      if (!elsewhere.fetch) throw new TypeError(`${address} is not the fake broker's, and there is no other fetch`);
      return elsewhere.fetch(input, init);
    }
    const signal = init.signal ?? request?.signal;
    signal?.throwIfAborted();
    await new Promise<void>(after);
    signal?.throwIfAborted();
    const refusal = refusalOf(address.startsWith(`${base}/sse?`) ? 'sse' : 'http');
    if (refusal && !refusal.status) throw new TypeError('there is nobody at this address');
    if (refusal) return json({}, refusal.status);
    const body = init.body ?? (request ? await request.text() : undefined);
    return serve(new URL(address), init.method ?? request?.method ?? 'GET', new Headers(init.headers ?? request?.headers), body ? String(body) : undefined, signal);
  }

  /* ---- what a test does ---- */

  /** Where addresses that are not the broker's go. */
  let elsewhere: { WebSocket?: typeof WebSocket; EventSource?: typeof EventSource; fetch?: typeof fetch } = {};

  const isOf = (user: string | undefined, identity: Identity) => user === undefined || user === identity.user;
  const broker: FakeBroker = {
    url: base,
    WebSocket: FakeWebSocket as any,
    EventSource: FakeEventSource as any,
    fetch: fakeFetch as typeof fetch,
    get connections() {
      return sessions.size;
    },
    get opened() {
      return opened;
    },
    install(target: any = globalThis) {
      const names = ['WebSocket', 'EventSource', 'fetch'] as const;
      const former = names.map((name) => Object.getOwnPropertyDescriptor(target, name));
      elsewhere = { WebSocket: target.WebSocket, EventSource: target.EventSource, fetch: target.fetch?.bind(target) };
      for (const name of names) Object.defineProperty(target, name, { value: broker[name], configurable: true, writable: true });
      return () => {
        names.forEach((name, at) => {
          if (former[at]) Object.defineProperty(target, name, former[at]!);
          else delete target[name];
        });
      };
    },
    token(user = 'alice', { tenant = 'acme', seconds = 3600, ...claims } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const token = `${encode({ alg: 'none' })}.${encode({ sub: user, tenant_id: tenant, iat: now, exp: now + seconds, jti: random(16), ...claims })}.fake`;
      minted.push({ user, token });
      return token;
    },
    publish(topic, payload = {}, { event = 'UPDATED', entity = 'e1', tenant = 'acme', user = 'backend', ...data } = {}) {
      const input = { topic, event, data: { entity_id: entity, payload, ...data } };
      const flaw = flawOf(input);
      if (flaw) throw new Error(flaw);
      return append(input, { user, tenant, token: '', expiresAt: null }).id;
    },
    disconnect({ user, code = 1006, reason = '' } = {}) {
      for (const session of [...sessions]) if (isOf(user, session.identity)) session.end(code, reason);
      for (const one of [...polls]) if (isOf(user, one.identity)) one.cut();
    },
    refuse({ transport, times = Infinity, status, closeCode } = {}) {
      const refusal: Refusal = { transport, times, status, closeCode };
      refusals.push(refusal);
      return () => {
        refusals = refusals.filter((one) => one !== refusal);
      };
    },
    gap(topics, reason = 'retention has passed the cursor') {
      for (const journal of journals.values()) journal.evict(topics);
      const isMeant = (name: string) => !topics || topics.some((topic) => fits(topic, name) || fits(name, topic));
      for (const session of sessions) {
        const names = [...session.names].filter(isMeant);
        if (names.length) session.tell({ type: 'gap', topics: names, reason });
      }
      for (const one of [...polls]) if (one.names.some(isMeant)) one.answer();
    },
    restart() {
      journals.clear();
      answers.clear();
      broker.disconnect();
    },
    drain({ retryAfterMs = 1000, jitterMs = 0 } = {}) {
      advice = { retryAfterMs, jitterMs };
      for (const session of [...sessions]) {
        session.tell({ type: 'goaway', retry_after_ms: retryAfterMs, jitter_ms: jitterMs, reason: 'draining' });
        session.end(1001, 'draining');
      }
      for (const one of [...polls]) one.answer();
    },
    resume() {
      advice = undefined;
    },
    expire(user) {
      for (const one of minted) if (user === undefined || one.user === user) expired.add(one.token);
      minted = minted.filter((one) => !expired.has(one.token));
      const why = problem('token_expired', 'the token has expired');
      for (const session of [...sessions]) if (expired.has(session.identity.token)) session.end(4401, 'token_expired: the token has expired');
      for (const one of [...polls]) if (expired.has(one.identity.token)) one.fail(why);
    },
    reauthorize() {
      for (const session of [...sessions]) {
        const { identity } = session;
        const gone = [...session.names].filter((name) => may('subscribe', identity, name));
        if (!gone.length) continue;
        change(identity.tenant, identity.user, gone, () => gone.forEach((name) => session.names.delete(name)));
        session.tell({ type: 'unsubscribed', topics: gone, code: 'forbidden_topic' });
        if (session.transport === 'sse' && !session.names.size) session.end(4403, 'forbidden_topic: none of the topics is left');
      }
      for (const one of [...polls]) {
        const name = one.names.find((topic) => may('subscribe', one.identity, topic));
        if (name) one.fail(problem('forbidden_topic', `${name}: no policy allows it`));
      }
    },
    sessions: () =>
      [...sessions].map(({ identity: { user, tenant }, transport, names }) => ({ user, tenant, transport, topics: [...names] })),
    events: (topic, tenant = 'acme') => journalOf(tenant).behind(0, [topic]).map(({ event }) => event),
  };
  return broker;
}
