/* One connection for all tabs. The tab that holds the lock leads: it has the connection, and tells the others all that comes over it. For
 * a follower the leader is one more transport. Each tab keeps its own topics with their cursors, so whoever leads next, or connects alone,
 * goes on where it was. A lock ends with its tab: that is how all learn of it. */
import { type Core, guarded, type Link, type Message, type Timer, type Topic, type Transport, wildcardOf, type Wire } from './core.js';
import type { HookwireEvent, Status, SubscribeOptions } from './types.js';

/** No member may have a name that build.js shortens: tabs of a page from before an update, and behind it, speak with each other. */
type Post = Message & { from: string; to?: string };

const KNOCK_MS = 1000;
const KNOCKS = 5; // a leader that does not answer is frozen
const SILENT_MS = 5000; // of a leader, until it is asked
/** As `HookwireError`, whose class is the other bundle's. */
const fault = (error: Message) => Object.assign(new Error(error.message), { name: 'HookwireError' }, error);
const lost = () => fault({ code: 'lost', message: 'another tab leads', retryable: true });
const isUp = ({ state }: Status) => state === 'online' || state === 'degraded';

/** `core` has its own transports; from now on it has them only as long as it leads. */
export function withTabs(core: Core): void {
  const name = 'hookwire:' + core.options.share;
  const me = Math.random().toString(36).slice(2);
  const own = { transport: core.transport, fall: core.fall };
  let channel: BroadcastChannel | undefined;
  let member: AbortController | undefined; // ends when nothing is wanted any more
  let joined: Promise<void> | undefined;
  let waiting: AbortController | undefined; // for the lock
  let leading: AbortController | undefined; // ends with the leadership
  let hear: ((post: Post) => void) | undefined; // of the link to the leader

  const post = (message: Message, to?: string) => channel?.postMessage({ ...message, from: me, to });
  const until = (signal: AbortSignal) => new Promise<void>((done) => signal.addEventListener('abort', () => done()));

  /* ---- locks ---- */

  /** Has a lock of its own, by whose end the leader learns of this tab's; and waits for the leader's. Only then it may speak. */
  function join(): Promise<void> {
    return (joined ??= new Promise((done) => {
      const { signal } = (member = new AbortController());
      channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }: { data: Post }) => {
        if (data.to && data.to !== me) return;
        if (leading) serve(data);
        else hear?.(data);
      };
      const on = (type: string, run: () => void) => globalThis.document?.addEventListener(type, run, { signal });
      // a page that is frozen may still hear this channel, and nothing else
      on('freeze', () => {
        waiting?.abort();
        if (!leading) return;
        resign();
        core.restart();
      });
      on('resume', () => stand());
      void navigator.locks.request(name + me, () => {
        if (signal.aborted) return undefined;
        stand();
        done();
        return until(signal);
      });
    }));
  }

  /** Waits for the lock, or takes it from a leader that is frozen. */
  function stand(steal = false): void {
    waiting?.abort();
    const { signal } = (waiting = new AbortController());
    navigator.locks
      .request(name, steal ? { steal } : { signal }, () => {
        if (signal.aborted) return undefined;
        lead();
        return until(leading!.signal);
      })
      .catch(() => {
        if (signal.aborted) return;
        // it was taken away: this tab was frozen
        resign();
        stand();
        core.restart();
      });
  }

  function lead(): void {
    leading = new AbortController();
    Object.assign(core, own);
    core.onTold = (told) => {
      newest = told;
      // before it is heard here: a place up to which all has been told
      if (followers.size) post({ told, place: core.cursor() });
    };
    post({ leads: true });
    core.restart();
  }

  function resign(): void {
    for (const id of followers.keys()) drop(id);
    leading?.abort();
    leading = undefined;
    core.transport = toLeader;
    core.fall = core.onTold = undefined;
  }

  core.onRest.push(() => {
    waiting?.abort();
    resign();
    member?.abort();
    channel?.close();
    member = channel = joined = undefined;
  });

  /* ---- a leader, for its followers ---- */

  const followers = new Map<string, Map<string, () => void>>();
  let newest: Message | undefined; // that was told to all

  function drop(id: string): void {
    for (const off of followers.get(id)?.values() ?? []) off();
    if (followers.delete(id)) core.need(-1);
  }

  /** `looks`: it only wants to know whether this one still leads, and keeps what it follows. */
  function admit(id: string, looks?: boolean): void {
    const isNew = !followers.has(id);
    const begins = isNew || !looks;
    if (begins) {
      drop(id);
      followers.set(id, new Map());
      core.need(1);
    }
    post({ status: core.client.status, begins }, id);
    // that it can be had means that the follower is no more
    if (isNew) navigator.locks.request(name + id, { signal: leading!.signal }, () => drop(id)).catch(() => {});
  }

  /** Follows a topic for a follower: what it misses it gets alone, and then what all get. */
  function subscribe(id: string, { topic, cursor, last }: Message): void {
    const topics = followers.get(id);
    if (!topics) return;
    let isReady = false;
    // what was told to all is held there, behind what comes now; and so is what has no id
    const tell = (late: Message) => isReady || late === newest || (late.id ?? late.type ? post({ late }, id) : undefined);
    const end = (result: Message) => {
      isReady = true;
      post({ result, topic }, id);
    };
    topics.get(topic)?.();
    const options: SubscribeOptions & { onReady: () => void } = {
      cursor,
      last,
      onGap: ({ reason }) => tell({ type: 'gap', topics: [topic], reason }),
      onError: ({ code, message }) => end({ ok: false, code, message }), // also later: it was taken away, or is refused behind a cut
      onReady: () => isReady || end({ ok: true, cursor: core.cursor() }),
    };
    topics.set(topic, core.client.subscribe(topic, tell, options) as () => void);
  }

  function serve({ from, hello, looks, wake, gone, sub, off, ask, id }: Post): void {
    if (hello) admit(from, looks);
    else if (wake) isUp(core.client.status) || core.client.retry();
    else if (gone) drop(from);
    else if (sub) for (const topic of sub) subscribe(from, topic);
    else if (off) {
      followers.get(from)?.get(off)?.();
      followers.get(from)?.delete(off);
    } else if (ask)
      core.query(ask).then(
        (reply) => post({ id, reply }, from),
        ({ code, message, retryable, retryAfterMs }) => post({ id, error: { code, message, retryable, retryAfterMs } }, from),
      );
  }

  core.onUp.push(() => leading && post({ status: core.client.status }));
  core.client.onStatus((status) => leading && !isUp(status) && post({ status }));

  /* ---- the leader, for a follower ---- */

  const toLeader: Transport = {
    transport: 'tab',
    live: true,
    open(wire: Wire): Link {
      const asked = new Map<string, Topic>();
      const refused = new WeakSet<Topic>(); // of those
      const held = new Map<string, HookwireEvent[]>(); // of topics that are not live yet
      const requests = new Map<number, [resolve: (reply: any) => void, reject: (error: Error) => void]>();
      let nextId = 1;
      let knocks = 0;
      let isOver = false;
      let leader: string | undefined;
      let isAdmitted = false; // by it
      let timer: Timer | undefined;

      function knock(): void {
        core.cancel(timer);
        if (isOver) return;
        post({ hello: true, looks: isAdmitted });
        timer = core.later(() => (++knocks < KNOCKS ? knock() : stand(true)), KNOCK_MS);
      }

      function begin(): void {
        core.leave();
        isAdmitted = false;
        asked.clear();
        held.clear();
        for (const [, reject] of requests.values()) reject(lost());
        requests.clear();
      }

      function sync(): void {
        const wanted = new Set(core.wanted());
        for (const [topic, of] of asked)
          if (!wanted.has(of)) {
            asked.delete(topic);
            held.delete(topic);
            post({ off: topic });
          }
        const fresh = [...wanted].filter((topic) => refused.delete(topic) || asked.get(topic.name) !== topic);
        for (const topic of fresh) {
          asked.set(topic.name, topic);
          held.set(topic.name, []);
        }
        if (fresh.length) post({ sub: fresh.map(({ name: topic, cursor, last }) => ({ topic, cursor, last })) });
      }

      function onTold(message: Message, place?: string): void {
        const { type, topic } = message;
        if (type === 'left') {
          // the leader's link has ended; what it brings next is not in the order of what was live
          core.leave();
        } else if (type === 'live') {
          const of = asked.get(topic);
          if (!of || held.has(topic)) return;
          refused.delete(of);
          wire.settle(of, { ok: true, cursor: message.cursor });
        } else if (type === 'gap') {
          // who is not live yet is told alone
          wire.receive({ ...message, topics: message.topics.filter((one: string) => !held.has(one)) });
        } else if (type) {
          // of what is taken away the leader tells each by itself
          if (type !== 'unsubscribed') wire.receive(message);
        } else {
          const names = [message.topic, wildcardOf(message.topic)];
          const late = names.map((one) => held.get(one)).find((list) => list);
          if (late) late.push(message as HookwireEvent);
          else if (names.some((one) => asked.has(one))) wire.receive(message);
          else if (place) wire.receive({ type: 'cursor', cursor: place }); // of others: who follows it later may begin before it
        }
      }

      hear = ({ from, to, leads, status, begins, told, place, late, result, topic, id, reply, error }) => {
        const isNew = from !== leader;
        // one that thaws may answer before it learns that it has led
        if (isNew && !leads && !(status && to && (knocks || !leader))) return;
        leader = from;
        knocks = 0;
        core.cancel(timer);
        timer = core.later(knock, SILENT_MS);
        if (leads || (isNew && isAdmitted)) {
          begin();
          knock();
        } else if (status) {
          if (begins) begin();
          isAdmitted ||= !!to;
          wire.opened();
          if (status.state !== core.client.state) core.show({ ...status, transport: 'tab' });
          if (isUp(status)) sync();
        } else if (told) onTold(told, place);
        else if (late) {
          // the leader has checked it, and given what its schema makes of it
          const { isValid } = core;
          core.isValid = undefined;
          wire.receive(late);
          core.isValid = isValid;
        } else if (result) {
          const of = asked.get(topic);
          const events = held.get(topic);
          if (!of) return;
          if (!result.ok) refused.add(of);
          if (events) {
            held.delete(topic);
            wire.settle(of, result);
            for (const event of events) guarded(() => wire.receive(event));
          } else if (!result.ok) wire.receive({ type: 'unsubscribed', topics: [topic], code: result.code });
        } else if (requests.has(id)) {
          const [resolve, reject] = requests.get(id)!;
          requests.delete(id);
          if (error) reject(fault(error));
          else resolve(reply);
        }
      };
      void join().then(knock);
      return {
        sync,
        query: (ask) =>
          new Promise((resolve, reject) => {
            const id = nextId++;
            requests.set(id, [resolve, reject]);
            post({ ask, id });
          }),
        auth() {}, // the leader's token counts
        probe() {
          knock();
          post({ wake: true });
        },
        close() {
          isOver = true;
          core.cancel(timer);
          post({ gone: true }); // a page that is kept for "back" keeps its lock
          hear = undefined;
          for (const [, reject] of requests.values()) reject(lost());
        },
      };
    },
  };

  resign();
}
