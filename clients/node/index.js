/* hookwire: publishes events to a broker. Needs nothing but Node. */
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const AT_A_TIME = 1000; // events of an array
const BATCH = 100; // of the queue
const AT_ONCE = 32; // requests
const TIMEOUT_MS = 10000;
const QUEUE_MS = 60000;
const PAUSE_MS = 100;
const PAUSE_MAX_MS = 5000;
const KEY_MAX = 256;
const TEXT = /^[ -~]*$/;
const SECRET_MIN = 24; // bytes of a webhook's secret
const TIMER_MAX_MS = 2 ** 31 - 1; // what a timer can hold

/**
 * @typedef {object} Event What is published.
 * @property {string} topic `resource:id`
 * @property {string} event `ADDED`, `UPDATED`, `DELETED`, `STATUS_CHANGED`, or a name of your own
 * @property {{ entity_id: string | number | boolean, payload?: unknown, mutation_id?: string, [member: string]: unknown }} data
 * @property {string} [trace_id]
 * @property {number} [version] of its form, from 1
 * @property {string} [key] its idempotency key; made up if absent
 *
 * @typedef {object} Published The broker has stored it.
 * @property {string} [id] its cursor; absent if its topic keeps no history, or a policy dropped it
 * @property {boolean} [duplicate] the key was used before: this is the first answer
 *
 * @typedef {object} PublisherOptions Where a publisher publishes to, and how patient it is.
 * @property {string} url `http://host:port` of the broker
 * @property {string | (() => string | Promise<string>)} [token] a function is asked again, once, after a 401
 * @property {number} [timeoutMs] that a publish may take in all, with what is tried again; 10000 if absent
 * @property {number} [queueSize] of `enqueue`; 10000 if absent
 * @property {number} [queueMs] that what is enqueued waits for a broker that is away or busy; 60000 if absent
 * @property {(event: Event, error: HookwireError) => void} [onError] what `enqueue` took and was given up
 *
 * @typedef {object} RequestOptions Of one call.
 * @property {string} [traceparent] of W3C's Trace Context; its trace id is the events' `trace_id`
 * @property {number} [timeoutMs] instead of the publisher's
 * @property {AbortSignal} [signal] ends it, with its own reason; what is under way then may be stored all the same
 */

/** The broker refused, or could not be reached. */
export class HookwireError extends Error {
  /**
   * @param {string} code the broker's stable code: `bad_request`, `forbidden_topic`, `rate_limited`, `unavailable` …
   * @param {string} [message]
   * @param {{ retryable?: boolean, retryAfterMs?: number, status?: number, cause?: unknown }} [more]
   */
  constructor(code, message, { retryable = false, retryAfterMs, status, cause } = {}) {
    super(message || code, { cause });
    this.name = 'HookwireError';
    this.code = code;
    /** The same request may succeed later. */
    this.retryable = retryable;
    /** When, if the broker said so. */
    this.retryAfterMs = retryAfterMs;
    /** Of HTTP; undefined where there was no answer. */
    this.status = status;
  }
}

/** @type {Record<number, string>} */
const CODES = { 401: 'unauthorized', 403: 'forbidden_topic', 408: 'unavailable', 413: 'too_large', 429: 'rate_limited' };

/**
 * Of the broker, or of what stands in between, whose answers are its own, even 200.
 * @param {number} status @param {Headers} headers @param {any} answer
 */
function errorOf(status, headers, answer) {
  const code = CODES[status] ?? (status >= 400 && status < 500 ? 'bad_request' : 'unavailable');
  return new HookwireError(answer?.code ?? code, answer?.message ?? `no answer of a broker, but HTTP ${status}`, {
    retryable: answer?.retryable ?? (status < 300 || status === 408 || status === 429 || status >= 500),
    retryAfterMs: answer?.retry_after_ms ?? retryAfterMs(headers.get('retry-after')),
    status,
  });
}

/** @param {string} what @param {any} cause */
function unavailable(what, cause) {
  return new HookwireError('unavailable', `${what}: ${cause?.cause?.message ?? cause}`, { retryable: true, cause });
}

/** @param {number} ms @param {AbortSignal} [signal] */
function untilThen(ms, signal) {
  const timeout = AbortSignal.timeout(Math.min(Math.ceil(ms), TIMER_MAX_MS));
  if (!signal) return timeout;
  // `any` holds it weakly, and until Node 22 one that nobody listens to may be collected before it fires
  timeout.addEventListener('abort', () => {}, { once: true });
  return AbortSignal.any([timeout, signal]);
}

/** @template T @param {T | Promise<T>} value @param {AbortSignal} signal @returns {Promise<T>} */
function within(value, signal) {
  return new Promise((resolve, reject) => {
    Promise.resolve(value).then(resolve, reject); // first: nobody else hears how it ends
    signal.throwIfAborted();
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** @param {string} text @returns {any} undefined: it is no JSON */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param {string | null} text */
function retryAfterMs(text) {
  if (!text) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(`${text} GMT`) - Date.now(); // one of its forms does not say so
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** @param {any} result @returns {Published | HookwireError} */
function resultOf({ ok, id, duplicate, code, message, retryable, retry_after_ms: retryAfter }) {
  if (ok) return { ...(id !== undefined && { id }), ...(duplicate && { duplicate }) };
  return new HookwireError(code, message, { retryable, retryAfterMs: retryAfter });
}

/** The time that something may take, with pauses of random length that grow. @param {number} ms @param {AbortSignal} [signal] */
function clock(ms, signal) {
  const end = performance.now() + ms;
  let tries = 0;
  return {
    leftMs: () => Math.max(1, end - performance.now()),
    /** false: there is no time left for another try. @param {number} [advisedMs] */
    async pause(advisedMs) {
      const pauseMs = Math.max(Math.random() * Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** tries++), (advisedMs ?? 0) * (1 + Math.random() / 2));
      if (performance.now() + pauseMs >= end) return false;
      await sleep(Math.min(pauseMs, TIMER_MAX_MS), undefined, { signal }).catch(() => signal?.throwIfAborted());
      return true;
    },
  };
}

/** @param {Event} event @returns {Event & { key: string }} */
function withKey(event) {
  if (event?.data?.entity_id === undefined) throw new TypeError('an event needs data.entity_id: which one of the topic’s things it is about');
  const key = event.key || randomUUID();
  if (key.length > KEY_MAX || !TEXT.test(key)) throw new TypeError(`a key is ASCII text of at most ${KEY_MAX} characters: it is a header`);
  return { ...event, key };
}

/** Publishes to one broker. Each event has an idempotency key: one whose answer was lost is tried again, and stored once. */
export class Publisher {
  /** @type {{ event: Event, endMs: number }[]} when it is given up, by `performance.now()` */
  #queue = [];
  /** @type {Promise<void> | undefined} */
  #draining;
  #underWay = 0;
  /** @type {Set<() => void>} in the order in which they came */
  #waiting = new Set();

  /** @param {PublisherOptions} options */
  constructor(options) {
    const { protocol, href } = new URL(options.url);
    if (!/^https?:$/.test(protocol)) throw new TypeError(`${options.url} is no address of a broker: http://host:port`);
    this.url = href.replace(/\/$/, '');
    this.options = options;
  }

  get #timeoutMs() {
    return this.options.timeoutMs ?? TIMEOUT_MS;
  }

  /**
   * Resolves when the broker has stored it; rejects with a HookwireError.
   * @param {Event} event
   * @param {RequestOptions} [options]
   * @returns {Promise<Published>}
   */
  async publish(event, options) {
    const { key, ...body } = withKey(event);
    return /** @type {Published} */ (resultOf(await this.#post(body, { 'idempotency-key': key }, options)));
  }

  /**
   * Publishes in order, by arrays as large as the broker takes them; a result or an error for each. Those that the broker could not
   * take just now are tried again, in their order, until the time is over, which each array has for itself. Rejects if there is no result for any;
   * else the error stands for all that were still to be published.
   * @param {Iterable<Event>} events
   * @param {RequestOptions} [options]
   * @returns {Promise<(Published | HookwireError)[]>}
   */
  async publishMany(events, options) {
    const all = Array.from(events, withKey);
    /** @type {(Published | HookwireError)[]} */
    const results = [];
    let size = AT_A_TIME;
    while (results.length < all.length) {
      const part = all.slice(results.length, results.length + size);
      try {
        const got = await this.#postArray(part, options);
        results.push(...got);
        size = Math.min(AT_A_TIME, size * 2);
        const late = got.find((one) => one instanceof HookwireError && one.retryable);
        if (late) throw late; // what stands behind it would overtake it
      } catch (error) {
        if (!(error instanceof HookwireError)) throw error;
        if (error.status === 413 && part.length > 1) {
          size = part.length >> 1;
        } else if (error.status === 413) {
          results.push(error);
        } else {
          if (!results.length) throw error;
          return [...results, ...Array(all.length - results.length).fill(error)];
        }
      }
    }
    return results;
  }

  /**
   * Takes an event as it is now, to be published in the background in the order in which they come. For what may be lost with the process,
   * or when the broker is away for longer than `queueMs`.
   * @param {Event} event
   * @returns {boolean} false: the queue is full, and it is not taken
   */
  enqueue(event) {
    const { queueSize = 10000, queueMs = QUEUE_MS } = this.options;
    if (this.#queue.length >= queueSize) return false;
    this.#queue.push({ event: JSON.parse(JSON.stringify(withKey(event))), endMs: performance.now() + queueMs });
    this.#draining ??= this.#drain();
    return true;
  }

  /** Resolves when all that was enqueued is published or given up. */
  async flush() {
    await this.#draining;
  }

  async #drain() {
    await undefined; // what is enqueued in the same turn goes together
    while (this.#queue.length) {
      const batch = this.#queue.slice(0, BATCH);
      const timeoutMs = Math.max(this.#timeoutMs, batch[batch.length - 1].endMs - performance.now());
      const results = await this.publishMany(batch.map(({ event }) => event), { timeoutMs }).catch((cause) => {
        // whatever it is, onError is told: a program's own mistake too
        const error = cause instanceof HookwireError ? cause : new HookwireError('unavailable', String(cause), { cause });
        // what cannot wait until the broker may be asked again is given up with it
        const askAgainMs = error.retryable ? performance.now() + (error.retryAfterMs ?? 0) : 0;
        return Array(Math.max(batch.length, this.#queue.filter(({ endMs }) => endMs <= askAgainMs).length)).fill(error);
      });
      this.#queue.splice(0, results.length).forEach(({ event }, i) => {
        const result = results[i];
        if (!(result instanceof HookwireError)) return;
        try {
          this.options.onError?.(event, result);
        } catch (error) {
          queueMicrotask(() => {
            throw error;
          });
        }
      });
    }
    this.#draining = undefined; // not a microtask later: what is enqueued in between would wait for the next one
  }

  /** @param {(Event & { key: string })[]} events @param {RequestOptions} [options] */
  async #postArray(events, options) {
    const time = clock(options?.timeoutMs ?? this.#timeoutMs, options?.signal);
    /** @type {any[]} */
    const results = [];
    let asked = events.map((_, i) => i);
    for (;;) {
      let answer;
      try {
        answer = await this.#post(asked.map((i) => events[i]), {}, { ...options, timeoutMs: time.leftMs() });
      } catch (error) {
        if (!results.length || !(error instanceof HookwireError)) throw error;
        for (const i of asked) results[i] = error;
        return results;
      }
      asked.forEach((i, k) => (results[i] = resultOf(answer.results[k])));
      asked = asked.filter((i) => results[i].retryable);
      const advised = Math.max(...asked.map((i) => results[i].retryAfterMs ?? 0));
      if (!asked.length || !(await time.pause(advised))) return results;
    }
  }

  /** @param {unknown} body @param {Record<string, string>} headers @param {RequestOptions} [options] @returns {Promise<any>} */
  async #post(body, headers, { traceparent, timeoutMs, signal } = {}) {
    const time = clock(timeoutMs ?? this.#timeoutMs, signal);
    const text = JSON.stringify(body);
    /** @param {any} answer */
    const isResult = (answer) => answer?.ok === true || typeof answer?.code === 'string';
    /** @param {any} answer */
    const isWhole = (answer) =>
      Array.isArray(body) ? Array.isArray(answer?.results) && answer.results.length === body.length && answer.results.every(isResult) : answer?.ok === true;
    let isRefreshed = false;
    for (;;) {
      try {
        return await this.#exchange(text, { ...headers, ...(traceparent && { traceparent }) }, untilThen(Math.min(time.leftMs(), this.#timeoutMs), signal), isWhole);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof HookwireError)) throw error;
        if (error.status === 401 && typeof this.options.token === 'function' && !isRefreshed) {
          isRefreshed = true;
          continue;
        }
        if (!error.retryable || !(await time.pause(error.retryAfterMs))) throw error;
      }
    }
  }

  /** @param {string} body @param {Record<string, string>} headers @param {AbortSignal} signal @param {(answer: any) => boolean} isWhole @returns {Promise<any>} */
  async #exchange(body, headers, signal, isWhole) {
    const bearer = await this.#bearer(signal);
    // outside: what is no request is the caller's error
    const request = new Request(`${this.url}/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers, ...(bearer && { authorization: `Bearer ${bearer}` }) },
      body,
      redirect: 'manual', // it would go on as a GET, or publish at an address that nobody gave
      signal,
    });
    let response;
    let text;
    try {
      await this.#turn(signal);
      try {
        // beside fetch's own end: that of Debian's Node.js 18 may forget whom it listens to
        response = await within(fetch(request), signal);
        text = await within(response.text(), signal);
      } finally {
        this.#next();
      }
    } catch (cause) {
      throw unavailable('the broker cannot be reached', cause);
    }
    const answer = parsed(text);
    if (response.ok && isWhole(answer)) return answer;
    throw errorOf(response.status, response.headers, answer);
  }

  /** Waits while as many are under way as there may be: each has a connection, and thousands of them would all be late. @param {AbortSignal} signal */
  async #turn(signal) {
    if (this.#underWay < AT_ONCE) {
      this.#underWay++;
      return;
    }
    /** @type {() => void} */
    let go = () => {};
    const turn = new Promise((done) => this.#waiting.add((go = () => done(undefined))));
    try {
      await within(turn, signal);
    } catch (error) {
      if (!this.#waiting.delete(go)) this.#next(); // it had its turn in the same moment
      throw error;
    }
  }

  #next() {
    const [go] = this.#waiting;
    if (!go) this.#underWay--;
    else this.#waiting.delete(go), go();
  }

  /** @param {AbortSignal} signal @returns {Promise<string | undefined>} */
  async #bearer(signal) {
    let { token } = this.options;
    try {
      if (typeof token === 'function') token = await within(token(), signal);
    } catch (cause) {
      throw unavailable('there is no token', cause);
    }
    // before it is put into a header, whose error would tell it
    if (token && !TEXT.test(token.trim())) throw new HookwireError('unauthorized', 'the token is none: it has characters that no header may have');
    return token?.trim();
  }
}

/** A request is not what the broker's webhook plugin sent: answer 400 and do nothing. */
export class WebhookError extends Error {
  name = 'WebhookError';
}

/** @param {string} secret */
function keyOf(secret) {
  const key = Buffer.from(String(secret ?? '').replace(/^whsec_/, ''), 'base64');
  if (key.length < SECRET_MIN) throw new TypeError(`a secret is whsec_ and at least ${SECRET_MIN} bytes in base64, as the broker's webhook plugin has it`);
  return key;
}

/**
 * The message of a webhook; throws a WebhookError if it is not signed by one of the secrets, or too old.
 * @param {Record<string, string | string[] | undefined> | { get(name: string): string | null | undefined }} headers of any case
 * @param {string | Uint8Array} body as it came, before it was parsed
 * @param {string | string[]} secrets `whsec_…`
 * @param {{ toleranceS?: number, nowS?: number }} [options] seconds between its clock and ours: 300
 */
export function verifyWebhook(headers, body, secrets, { toleranceS = 300, nowS = Date.now() / 1000 } = {}) {
  const entries = Object.entries(headers);
  const header = (/** @type {string} */ name) => String((typeof headers.get === 'function' ? headers.get(name) : entries.find(([one]) => one.toLowerCase() === name)?.[1]) ?? '');
  const stamp = header('webhook-timestamp');
  if (!/^\d+$/.test(stamp) || Math.abs(nowS - Number(stamp)) > toleranceS) throw new WebhookError('its time is missing or too far from ours');
  const raw = typeof body === 'string' ? Buffer.from(body) : body;
  const given = header('webhook-signature').split(' ');
  for (const key of [secrets].flat().map(keyOf)) {
    const expected = Buffer.from(`v1,${createHmac('sha256', key).update(`${header('webhook-id')}.${stamp}.`).update(raw).digest('base64')}`);
    for (const one of given) {
      const signature = Buffer.from(one);
      if (signature.length === expected.length && timingSafeEqual(signature, expected)) return JSON.parse(Buffer.from(raw).toString());
    }
  }
  throw new WebhookError('no signature of it is ours');
}
