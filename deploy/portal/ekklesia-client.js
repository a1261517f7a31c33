/*
 * ekklesia-client.js - how a portal calls elections and events, without losing or doubling anything
 *
 *   import { createClient, newAct } from './ekklesia-client.js';
 *   const elections = createClient({ baseUrl: ELECTIONS_URL, headers: async () => ({
 *     Authorization: `Bearer ${await user.getIdToken()}` }) });
 *   const act = newAct();                        // once for each press of a button
 *   await elections.post(`/api/elections/${id}/vote`, { answer_ids: ['yes'] }, { act });
 *
 * No dependency; any browser or runtime with fetch(), crypto.getRandomValues() and AbortController.
 *
 * What it does for every call: at most 2 repeats, all of them begun within 3 s of the first attempt, with random pauses
 * (full jitter), and only after 503 or when no answer came. Retry-After is honoured; when it asks for more than is left of
 * the 3 s, the call ends at once and the error says how long to wait. Every other answer is final, 429 too.
 *
 * Why a repeat is safe: each write carries X-Idempotency-Key, the same in all attempts of one act, and the services answer
 * a repeated act with the reply of the first. When the error says `unknown`, the act may have happened: call again with
 * the same act (a person who presses the button again means the same vote) and the true answer comes.
 */

export const RETRIES_MAX = 2;
export const RETRY_WITHIN_MS = 3000;
const PAUSE_FIRST_MS = 250; // the most before the first repeat; doubles
const ATTEMPT_TIMEOUT_MS = 15000; // longer than any answer of the services may take

export class ServiceError extends Error {
  constructor(message, { status = 0, body = null, retryAfterS = null, unknown = false, attempts = 1, act = null }) {
    super(message);
    this.name = 'ServiceError';
    this.status = status; // 0: no answer came
    this.body = body; // the parsed JSON of the answer, or null
    this.retryAfterS = retryAfterS; // seconds, when the service said so
    this.unknown = unknown; // true: a write may have happened; ask again with the same act
    this.attempts = attempts;
    this.act = act;
  }
}

/** The name of one act, for all its attempts: 128 random bits as 32 hex digits. */
export function newAct() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Seconds of a Retry-After header in either form (RFC 9110 §10.2.3), or null. */
export function retryAfterSeconds(value, nowMs) {
  if (!value) return null;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value);
  const at = /^[A-Z][a-z]{2}, .* GMT$/.test(value.trim()) ? Date.parse(value) : NaN; // Date.parse() alone takes "-1"
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - nowMs) / 1000));
}

/*
 * options: baseUrl; headers, an object or an (async) function that gives one, asked before every attempt so that a token
 * refreshed meanwhile is used. fetch, sleep, now (ms) and random (0..1) are for tests.
 */
export function createClient(options) {
  const baseUrl = String(options.baseUrl).replace(/\/+$/, '');
  const doFetch = options.fetch ?? ((...call) => globalThis.fetch(...call));
  const sleep = options.sleep ?? ((ms) => new Promise((done) => setTimeout(done, ms)));
  const now = options.now ?? (() => Date.now());
  const random = options.random ?? Math.random;
  const attemptTimeoutMs = options.attemptTimeoutMs ?? ATTEMPT_TIMEOUT_MS;

  async function attempt(method, path, body, act, signal) {
    const given = typeof options.headers === 'function' ? await options.headers() : options.headers;
    const headers = { Accept: 'application/json', ...given };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (act) headers['X-Idempotency-Key'] = act;
    const timer = new AbortController();
    const giveUp = () => timer.abort();
    const timeout = setTimeout(giveUp, attemptTimeoutMs);
    signal?.addEventListener('abort', giveUp);
    try {
      const reply = await doFetch(baseUrl + path, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: timer.signal,
        cache: 'no-store', credentials: 'omit', redirect: 'error',
      });
      const text = await reply.text(); // an answer that breaks off is no answer
      return { status: reply.status, retryAfter: reply.headers.get('Retry-After'), body: parsed(text) };
    } catch {
      return null;
    } finally {
      clearTimeout(timeout);
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** The parsed JSON of a 2xx answer; everything else is a ServiceError. `act`: see newAct(); made when left out. */
  async function request(method, path, body, { act, signal } = {}) {
    const writes = method !== 'GET' && method !== 'HEAD';
    const key = writes ? act ?? newAct() : null;
    const began = now();
    let lost = false; // an attempt of a write got no answer: what came of it is not known
    for (let attempts = 1; ; attempts++) {
      const reply = await attempt(method, path, body, key, signal);
      lost ||= writes && reply === null;
      if (reply && reply.status >= 200 && reply.status < 300) return reply.body;

      const retryAfterS = waitOf(reply, now());
      const pauseMs = pause(attempts, retryAfterS, random);
      const mayRepeat = (reply === null || reply.status === 503) && attempts <= RETRIES_MAX && !signal?.aborted;
      if (!mayRepeat || now() - began + pauseMs > RETRY_WITHIN_MS) {
        throw new ServiceError(messageOf(reply), {
          status: reply?.status ?? 0, body: reply?.body ?? null, retryAfterS, attempts, act: key,
          // Only a definite answer of the service, and not its "busy", tells what came of the earlier attempts.
          unknown: lost && (reply === null || reply.status === 503),
        });
      }
      await sleep(pauseMs);
    }
  }

  return {
    request,
    get: (path, more) => request('GET', path, undefined, more),
    post: (path, body, more) => request('POST', path, body ?? {}, more),
    patch: (path, body, more) => request('PATCH', path, body ?? {}, more),
    delete: (path, more) => request('DELETE', path, undefined, more),
  };
}

/* The header, or the same number in the body: a browser shows a page of another origin the body only. */
function waitOf(reply, nowMs) {
  const told = reply?.body?.retryAfter;
  return retryAfterSeconds(reply?.retryAfter, nowMs) ?? (Number.isFinite(told) && told >= 0 ? told : null);
}

/* Full jitter over a doubling range; never before the service wants to be asked. */
function pause(attempts, retryAfterS, random) {
  const jitter = random() * PAUSE_FIRST_MS * 2 ** (attempts - 1);
  return Math.round((retryAfterS ?? 0) * 1000 + jitter);
}

function parsed(text) {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function messageOf(reply) {
  if (reply === null) return 'The service could not be reached.';
  return typeof reply.body?.message === 'string' ? reply.body.message : `The service answered ${reply.status}.`;
}
