import { type End, isAuth, lost, type Message, type Result, type Timer, type Topic, type Transport } from './core.js';
import { HookwireError } from './types.js';

/** Close codes behind which another attempt ends likewise, or an operator wants none; all others are tried again. */
const CODES: Record<number, string> = {
  1002: 'bad_request',
  1003: 'bad_request',
  1007: 'bad_request',
  1008: 'forbidden_topic',
  1009: 'too_large',
  4400: 'bad_request',
  4401: 'unauthorized',
  4403: 'forbidden_topic',
  4413: 'too_large',
};
const AT_A_TIME = 50; // topics of a message
const PROBE_MS = 5000; // until an answer to a ping
const BUSY_MS = 3000; // of silence while an answer is waited for

/** WebSocket, with `hookwire.v1`. */
export const websocket: Transport = {
  transport: 'websocket',
  live: true,
  open(wire) {
    const { core } = wire;
    const asked = new Map<string, Topic>();
    const waiting = new Map<number, [resolve: (reply: any) => void, reject: (error: Error) => void]>();
    let socket: WebSocket | undefined;
    let closed = false;
    let nextId = 1;
    let pingMs = 0; // until it is authenticated, when nothing else may be said
    let maxBytes = Infinity;
    let heardMs = 0;
    let pingedMs = 0;
    let timer: Timer | undefined;
    let advice: Partial<End> = {};
    let first: Topic[] | undefined; // what is caught up, each event with those before it, until its subscribe is answered

    function send(message: Message): void {
      if (socket?.readyState !== 1) throw lost();
      const text = JSON.stringify(message);
      // the broker would end the session
      if (new TextEncoder().encode(text).length > maxBytes) throw new HookwireError('too_large', `> ${maxBytes} bytes`);
      socket.send(text);
    }

    const ask = (message: Message): Promise<any> =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        send({ ...message, id });
        waiting.set(id, [resolve, reject]);
        watch();
      });

    const tell = (message: Message) => void ask(message).catch(() => {});

    /** Whoever is silent is asked; a frame of the broker's own ping is not seen by a page. */
    function watch(): void {
      if (pingedMs > heardMs || !pingMs) return;
      const leftMs = heardMs + (waiting.size ? Math.min(BUSY_MS, pingMs) : pingMs) - Date.now();
      core.cancel(timer);
      if (leftMs > 0) timer = core.later(watch, leftMs);
      else probe();
    }

    function probe(): void {
      core.cancel(timer);
      pingedMs = Date.now();
      timer = core.later(() => {
        if (heardMs < pingedMs) return wire.ended(lost());
        watch();
      }, PROBE_MS);
      tell({ type: 'ping' });
    }

    function subscribe(topics: Topic[]): void {
      first ??= topics;
      const settle = (resultOf: (topic: string) => Result) => {
        first = [];
        for (const topic of topics) {
          if (asked.get(topic.name) !== topic) continue; // not any more
          const result = resultOf(topic.name);
          if (!result.ok) asked.delete(topic.name);
          wire.settle(topic, result);
        }
      };
      ask({
        type: 'subscribe',
        topics: topics.map(({ name, cursor, last }) => (cursor ? { topic: name, cursor } : last ? { topic: name, last: 1 } : name)),
      }).then(
        (reply) => settle((name) => reply.topics[name] ?? {}),
        (error) => settle(() => error), // the whole message was refused, or the link ends
      );
    }

    function auth(token: string): void {
      ask({ type: 'auth', token }).then(
        ({ expires_at }) => {
          if (expires_at) core.refreshAt(expires_at * 1000);
          if (pingMs) sync(); // what was refused may be allowed now
        },
        () => {}, // the broker ends the session
      );
    }

    function sync(): void {
      const fresh = new Set(core.wanted());
      const gone: string[] = [];
      for (const [name, topic] of asked)
        if (!fresh.delete(topic)) {
          asked.delete(name);
          gone.push(name);
        }
      const list = [...fresh];
      for (const topic of list) asked.set(topic.name, topic);
      if (gone.length) tell({ type: 'unsubscribe', topics: gone });
      for (let i = 0; i < list.length; i += AT_A_TIME) subscribe(list.slice(i, i + AT_A_TIME));
    }

    function onMessage(text: unknown): void {
      heardMs = Date.now();
      const message = JSON.parse(text as string) as Message;
      const { type, id } = message;
      if (type === 'welcome') {
        pingMs = message.ping_ms;
        maxBytes = message.limits.message_bytes;
        wire.opened(message);
        watch();
        sync();
      } else if (type === 'goaway') {
        advice = { retryAfterMs: message.retry_after_ms, jitterMs: message.jitter_ms };
      } else if (waiting.has(id)) {
        const [resolve, reject] = waiting.get(id)!;
        waiting.delete(id);
        if (type === 'error') reject(new HookwireError(message.code, message.message, message.retryable, message.retry_after_ms));
        else resolve(message);
      } else {
        if (type === 'unsubscribed') for (const name of message.topics) asked.delete(name);
        wire.receive(message, first);
      }
    }

    async function open(): Promise<void> {
      const ticket = await core.ticket?.();
      const token = ticket ? undefined : await core.token();
      if (closed) return;
      socket = new WebSocket(core.base.replace('http', 'ws') + '/ws' + (ticket ? '?ticket=' + ticket : ''), 'hookwire.v1');
      // in the first message no proxy writes it down, and it may be as long as it is
      if (token) socket.onopen = () => auth(token);
      socket.onmessage = ({ data }) => closed || onMessage(data);
      socket.onerror = () => {}; // a close follows
      socket.onclose = ({ code, reason }) => {
        const [, told, message = reason] = /^(\w+): (.*)/.exec(reason) ?? [];
        // a reason of an operator's may look like one of the broker's
        wire.ended({ code: (isAuth(told) ? told : CODES[code] ?? told) ?? (code < 4000 ? 'lost' : 'unavailable'), message: message || String(code), retryable: !CODES[code], ...advice });
      };
    }

    // what else is thrown, `new WebSocket` has thrown: there is none, or not for this address
    open().catch((error) => wire.ended(error instanceof HookwireError ? error : new HookwireError('unsupported', String(error))));

    return {
      sync,
      query: ask,
      probe,
      auth,
      close() {
        closed = true;
        core.cancel(timer);
        for (const [, reject] of waiting.values()) reject(lost());
        waiting.clear();
        socket?.close(1000);
      },
    };
  },
};
