/* The transports for where WebSocket does not get through. All topics of one of them have one cursor: what is elsewhere is read up to
 * now first. */
import { type End, type Link, lost, type Message, type Timer, type Topic, type Transport, type Wire } from './core.js';
import type { Http } from './fetch.js';
import { HookwireError, type TransportName } from './types.js';

const WAIT_S = 25;
const POLL_MS = 5000;
const SILENT_MS = 65000; // two heartbeats of the broker, and some, until its pace is known
const MIN_SILENT_MS = 5000;
const ANSWER_MS = 10000;

/** What stands in an address as it is; anything else the broker might read as something else than a WebSocket's message says. */
const NAME = /^(?=.{3,255}$)[a-z][a-z0-9-]*:([a-z0-9-]+|\*)$/;

const names = (topics: Topic[]) => topics.map(({ name }) => name).join(',');
const behind = (cursor: string) => '&cursor=' + encodeURIComponent(cursor);

/** What a WebSocket answers, over HTTP. */
export async function ask(http: Http, { type, topic, key, follow, cursor, limit, ...event }: Message, ends?: AbortSignal): Promise<any> {
  if (type === 'publish') {
    const { id, duplicate } = await http('POST', '/publish', { body: { topic, ...event }, headers: { 'idempotency-key': key }, ends });
    return { event_id: id, duplicate };
  }
  return http('GET', `/topics/${encodeURIComponent(topic)}/${type}?limit=${limit ?? 100}${cursor ? behind(cursor) : ''}`, { ends });
}

/** What there is to be done for topics that are followed together, until it `ends`. */
interface Run {
  wire: Wire;
  http: Http;
  topics: Topic[];
  /** Those that it is about now. */
  asked: Topic[];
  ends: AbortSignal;
}

async function poll({ wire, http, asked, ends }: Run, place: string, waitS: number): Promise<any> {
  const answer = await http('GET', `/poll?topics=${names(asked)}${place}&wait=${waitS}`, { ends, silentMs: waitS * 1000 + ANSWER_MS });
  if (ends.aborted) throw lost();
  if (answer.gap) wire.receive({ type: 'gap', topics: asked.map(({ name }) => name), reason: 'gone' });
  return answer;
}

/** Where all of the topics go on, for a query: who is elsewhere than others is read on to now first, each from its place. */
async function gather(run: Run): Promise<string> {
  const { wire, topics } = run;
  const places = new Map<string, Topic[]>();
  for (const topic of topics) {
    const cursor = topic.live ? wire.core.cursor() : topic.cursor;
    const place = cursor ? behind(cursor) : topic.last ? '&last=1' : '';
    places.set(place, [...(places.get(place) ?? []), topic]);
  }
  let here: string | undefined;
  for (let [place, group] of places) {
    if (places.size === 1) return place;
    run.asked = group;
    for (let events = [undefined]; events.length; ) {
      const answer = await poll(run, place, 0);
      ({ events } = answer);
      for (const event of events) wire.receive(event!, group);
      place = behind(answer.cursor);
    }
    // the earliest: what the others have from there on is known by its id
    here ??= place;
  }
  run.asked = topics;
  return here!;
}

/** A link that begins anew whenever what is followed has changed. */
function link(wire: Wire, http: Http, follow: (run: Run) => Promise<void>): Link {
  const { core } = wire;
  const requests = new AbortController();
  let stream = new AbortController();
  let followed = '';
  let timer: Timer | undefined;

  function again(): void {
    stop();
    // a newest event is one of a topic, not of a pattern
    const topics = core.wanted().filter((topic) => NAME.test(topic.name + (topic.last ? '-' : '')) || void wire.settle(topic, { code: 'bad_request' }));
    followed = names(topics);
    if (!topics.length) return wire.opened(); // requests need no stream
    stream = new AbortController();
    const ends = stream.signal;
    const run: Run = { wire, http, topics, asked: topics, ends };
    follow(run).catch((error) => {
      if (ends.aborted) return;
      // one topic's refusal refuses the whole request, and is named in the message; what is wrong with a cursor is so for all that have it
      const { code, message, retryable } = error;
      const refused = topics.filter((topic) => !retryable && (code === 'bad_request' ? run.asked.includes(topic) : message.startsWith(topic.name + ':')));
      for (const topic of refused) wire.settle(topic, error);
      if (refused.length) again();
      else wire.ended(code ? error : lost(String(error)));
    });
  }

  function stop(): void {
    core.cancel(timer);
    stream.abort();
  }

  function soon(): void {
    core.cancel(timer);
    timer = core.later(again, 0);
  }

  soon();
  return {
    sync() {
      if (names(core.wanted()) !== followed) soon();
    },
    query: (message) => ask(http, message, requests.signal),
    auth: again,
    probe: again,
    close() {
      stop();
      requests.abort();
    },
  };
}

/** Server-Sent Events, read by `fetch`: with the token in the head, and the heartbeats to be heard. */
export const sse = (http: Http): Transport => ({
  transport: 'sse',
  live: true,
  open: (wire) =>
    link(wire, http, async (run) => {
      const { topics, ends } = run;
      const place = await gather(run);
      let advice: Partial<End> = {};
      let isLive = false;

      function take(name: string, id: string, data: string): void {
        const message = data ? JSON.parse(data) : { type: 'cursor', cursor: id };
        if (name === 'cursor') {
          isLive = true;
          wire.opened();
          for (const topic of topics) wire.settle(topic, { ok: true, cursor: id });
        } else if (name === 'goaway') advice = { retryAfterMs: message.retry_after_ms, jitterMs: message.jitter_ms };
        else if (name === 'closed') throw new HookwireError(message.code, message.message, message.retryable);
        else if (data || (id && isLive)) wire.receive(message, isLive ? [] : topics);
      }

      async function consume(response: Response, heard: (silentMs: number) => void): Promise<never> {
        const reader = response.body!.getReader();
        const decoder = new TextDecoder();
        let rest = '';
        let block: Record<string, string> = {};
        let silentMs = SILENT_MS;
        const beats: number[] = [];
        /** Each kind of heartbeat has the broker's pace for itself; that of both together says nothing. */
        const beat = (kind: number) => {
          const now = Date.now();
          silentMs = Math.max(MIN_SILENT_MS, (now - beats[kind]!) * 2.5 || SILENT_MS);
          beats[kind] = now;
        };
        for (;;) {
          const { value, done } = await reader.read();
          if (done) throw lost('ended');
          const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
          rest = lines.pop()!;
          for (const line of lines) {
            const [field, text] = line.split(/: ?(.*)/s);
            if (field === 'retry') advice = { retryAfterMs: +text! };
            else if (field) block[field] = block[field] ? block[field] + '\n' + text : text!;
            else if (line) beat(0);
            else {
              if (block.id && !block.data) beat(1);
              take(block.event!, block.id!, block.data!);
              block = {};
            }
          }
          heard(silentMs);
        }
      }

      await http('GET', `/sse?topics=${names(topics)}${place}`, { ends, consume }).catch((error) => {
        throw Object.assign(error, isLive && advice);
      });
    }),
});

const polls = (http: Http, transport: TransportName, waitS: number): Transport => ({
  transport,
  live: false,
  open: (wire) =>
    link(wire, http, async (run) => {
      let place = await gather(run);
      // the first is answered at once, to say that it works
      for (let now = 0; ; now = waitS) {
        const { events, cursor } = await poll(run, place, now);
        wire.opened();
        for (const event of events) wire.receive(event);
        for (const topic of run.topics) wire.settle(topic, { ok: true, cursor });
        place = behind(cursor);
        if (!waitS) await new Promise<void>((resolve) => wire.core.later(resolve, wire.core.options.pollMs ?? POLL_MS));
      }
    }),
});

/** A request that is answered as soon as something comes. */
export const longpoll = (http: Http): Transport => polls(http, 'longpoll', WAIT_S);
/** A request again and again. */
export const polling = (http: Http): Transport => polls(http, 'polling', 0);
