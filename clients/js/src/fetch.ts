/* The broker's HTTP, with the client's token. */
import { type Core, isAuth, lost } from './core.js';
import { HookwireError } from './types.js';

/** Of what is not the broker's own answer; any other is one of something in between, which may have gone the next time. */
const CODES: Record<number, string> = { 401: 'unauthorized', 429: 'rate_limited' };
const ANSWER_MS = 10000;

export interface Request {
  body?: object;
  headers?: Record<string, string>;
  /** What ends it early. */
  ends?: AbortSignal;
  /** How long it may be silent. */
  silentMs?: number;
  /** Reads an answer that is no JSON; calls `heard` with how long it may be silent from then on. */
  consume?: (response: Response, heard: (silentMs: number) => void) => Promise<any>;
}
export type Http = (method: string, path: string, request?: Request) => Promise<any>;

/** When a JWT ends, in ms since 1970; what is none does not say. The two letters that base64 has otherwise stand for no digit. */
function endOf(token: string): number | undefined {
  try {
    return JSON.parse(atob(token.split('.')[1]!.replace(/[-_]/g, '+'))).exp * 1000 || undefined;
  } catch {
    return undefined;
  }
}

export function createHttp(core: Core): Http {
  const all = new AbortController();
  let endsMs: number | undefined;
  core.onToken = (token) => {
    endsMs = endOf(token);
    watch();
  };
  const watch = () => endsMs && core.refreshAt(endsMs);
  core.onUp.push(watch); // who rests has no timer
  core.onRest.push((isClosed) => isClosed && all.abort());

  return async function http(method, path, request = {}, isAgain = false): Promise<any> {
    const { body, headers, ends = all.signal, silentMs = ANSWER_MS, consume = (response) => response.json() } = request;
    const token = await core.token();
    const flight = new AbortController();
    const abort = () => flight.abort();
    // beside fetch's own end: that of Debian's Node.js 18 may forget whom it listens to
    const over = new Promise<never>((_, reject) => (flight.signal.onabort = reject));
    over.catch(() => {});
    let timer = core.later(abort, silentMs);
    let response: Response;
    let answer: any = {};
    ends.addEventListener('abort', abort);
    try {
      if (ends.aborted) throw lost();
      response = await Promise.race([
        over,
        fetch(core.base + path, {
          method,
          headers: { ...(token && { authorization: 'Bearer ' + token }), ...(body && { 'content-type': 'application/json' }), ...headers },
          body: JSON.stringify(body),
          credentials: token ? 'same-origin' : 'include',
          signal: flight.signal,
        }),
      ]);
      if (response.ok)
        return await Promise.race([
          over,
          consume(response, (ms) => {
            core.cancel(timer);
            timer = core.later(abort, ms);
          }),
        ]);
      // of a proxy in between; or there are too many topics for an address (431): that is no matter of the broker's but of the transport
      if (response.status !== 431) answer = await response.json().catch(() => answer);
    } catch (error: any) {
      abort(); // what is not understood goes on
      // what is no JSON, or not all of it, is no answer of the broker
      throw error instanceof HookwireError ? error : lost(error.message);
    } finally {
      core.cancel(timer);
      ends.removeEventListener('abort', abort);
    }
    const { status } = response;
    const { code = CODES[status] ?? 'lost', message = 'HTTP ' + status, retryable = status !== 401 } = answer;
    if (!isAgain && isAuth(code) && core.options.getToken) {
      await core.token(token);
      return http(method, path, request, true);
    }
    throw new HookwireError(code, message, retryable, answer.retry_after_ms ?? (Number(response.headers.get('retry-after')) * 1000 || undefined));
  } satisfies Http;
}
