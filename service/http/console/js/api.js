// Calls of the service: JSON, event streams and WebSockets, with the API key of the tab, and errors in words.

import { parseEvents } from "./event_stream.js";

/** The root of the service, whatever path a proxy puts in front of it. */
export const ROOT = new URL("../../", import.meta.url);
const KEY = "unroll-api-key";
const TEMPORARY_STATUSES = new Set([0, 429, 502, 503, 504]);
/** Codes of errors in a stream of events, which have no status of their own. */
const TEMPORARY_CODES = new Set(["overloaded", "store_unavailable", "durability_not_reached", "shutting_down",
  "model_not_ready", "deadline_exceeded"]);

/** What the service answered in its error envelope, or what kept it from answering (status 0). */
export class ApiError extends Error {
  constructor(message, { status = 0, code = null, param = null, applied = null, step = null, requestId = null,
    retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param, applied, step, requestId, retryAfter });
  }

  /** Whether the same request may succeed later: the service is away, restarts or is busy. */
  get temporary() { return TEMPORARY_STATUSES.has(this.status) || TEMPORARY_CODES.has(this.code); }

  /** Whether the service itself did not answer: nobody did, or a proxy in front of it. */
  get unanswered() { return this.status === 0 || (this.code === null && this.status >= 502); }

  /** Whether the request may have taken effect, so that only its repetition tells. */
  get inDoubt() { return this.unanswered || (this.temporary && this.applied === "unknown"); }
}

/**
 * Events of this module: "call" for each call that was answered (detail: {method, path, body, raw}), "away" and "back"
 * when the service cannot be reached and again can, "waiting" for each repetition of a call that the service refused for
 * now (detail: its sentence), "key" when it asks for an API key (detail: its sentence), "key-changed".
 */
export const events = new EventTarget();
let away = false;

export const getKey = () => sessionStorage.getItem(KEY);

/** Keep an API key in this tab; null forgets it. */
export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key); else sessionStorage.removeItem(KEY);
  emit("key-changed");
}

function emit(name, detail) { events.dispatchEvent(new CustomEvent(name, { detail })); }

function setAway(value) {
  if (away !== value) { away = value; emit(value ? "away" : "back"); }
}

/** Send a request and return the Response. Raises ApiError; an aborted signal raises its AbortError. */
export async function send(method, path, { body, headers = {}, signal, raw = false, quiet = false } = {}) {
  const key = getKey();
  const sent = { ...headers };
  if (key) sent.Authorization = `Bearer ${key}`;
  if (body !== undefined && !raw) sent["Content-Type"] = "application/json";
  const response = await answered(signal, fetch(new URL(path, ROOT), {
    method, headers: sent, signal, cache: "no-store", body: body === undefined || raw ? body : JSON.stringify(body),
  }));
  if (!response.ok) {
    const error = await readError(response);
    setAway(error.unanswered);
    // An answer to the key before the present one says nothing of this one.
    if (error.status === 401 && key === getKey()) emit("key", error.message);
    throw error;
  }
  setAway(false);
  if (!quiet) emit("call", { method, path, body: raw ? undefined : body, raw });
  return response;
}

/** Wait for a part of an answer. Whatever keeps it from coming becomes an ApiError of status 0. */
async function answered(signal, part) {
  try {
    return await part;
  } catch (error) {
    if (signal?.aborted || error.name === "AbortError") throw new DOMException("The user left.", "AbortError");
    setAway(true);
    throw new ApiError("The service does not answer.");
  }
}

async function readError(response) {
  const details = { status: response.status, requestId: response.headers.get("X-Request-Id"),
    retryAfter: Number(response.headers.get("Retry-After")) || null };
  const { error } = await response.json().catch(() => ({}));
  if (typeof error?.message !== "string") return new ApiError(`The answer was ${response.status} ${response.statusText}.`, details);
  const { code = null, param = null, applied = null, step = null } = error;
  return new ApiError(error.message, { ...details, code, param, applied, step });
}

/** Send a request and return what its answer's JSON says; null for an answer without a body. */
export async function call(method, path, body, options = {}) {
  const response = await send(method, path, { ...options, body });
  return response.status === 204 ? null : answered(options.signal, response.json());
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body, options) => call("POST", path, body, options);

/**
 * Send a request that is answered by Server-Sent Events, and yield {event, data} with data parsed. Raises ApiError, for
 * an `error` event too, and if the stream breaks. Stopping the loop early ends the request.
 */
export async function* stream(path, body, { headers = {}, signal } = {}) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  if (signal?.aborted) abort(); else signal?.addEventListener("abort", abort);
  try {
    const response = await send("POST", path, { body, headers, signal: controller.signal });
    const found = parseEvents(response.body);
    for (;;) {
      const { value, done } = await answered(controller.signal, found.next());
      if (done) throw new ApiError("The stream of the answer broke off.");
      const data = JSON.parse(value.data);
      if (value.event === "error") {
        const { message, code, param, applied, step } = data.error;
        throw new ApiError(message, { code, param, applied, step, status: 500, requestId: response.headers.get("X-Request-Id") });
      }
      yield { event: value.event, data };
      if (value.event === "done") return;
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    controller.abort();
  }
}

/** Open a WebSocket of the service, with the tab's key as its subprotocol. Raises ApiError for a key that none can carry. */
export function socket(path) {
  const url = new URL(path, ROOT);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const key = getKey();
  if (key && !/^[\w!#$%&'*+.^`|~-]+$/.test(key)) {
    throw new ApiError("A WebSocket of a browser cannot carry this API key: it may have letters, digits and !#$%&'*+-.^_`|~ only.",
      { status: 401 });
  }
  emit("call", { method: "WEBSOCKET", path });
  return new WebSocket(url, key ? ["unroll", `bearer.${key}`] : []);
}

/** Resolve after `milliseconds`, or reject with AbortError when `signal` aborts. */
export function delay(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const fail = () => { clearTimeout(timer); reject(new DOMException("The user left.", "AbortError")); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", fail); resolve(); }, milliseconds);
    if (signal?.aborted) fail(); else signal?.addEventListener("abort", fail, { once: true });
  });
}

/**
 * Return a function that waits after each failed attempt, with growing pauses or as Retry-After says, and that throws the
 * error if no further attempt should follow: it is not temporary, or the service has refused for `maxSeconds`. A request
 * in doubt is never given up: the service may have applied it.
 */
export function patience({ signal, maxSeconds = 120 } = {}) {
  const end = performance.now() + maxSeconds * 1000;
  let pause = 300;
  return async (error) => {
    if (!(error instanceof ApiError && error.temporary) || !(error.inDoubt || performance.now() < end)) throw error;
    if (!error.unanswered) emit("waiting", error.message);
    const milliseconds = Math.max(pause * (0.75 + Math.random() / 2), (error.retryAfter ?? 0) * 1000);
    pause = Math.min(pause * 1.6, 3000);
    await delay(milliseconds, signal);
  };
}

/** Repeat `action` as `patience` says, and return what it gives. */
export async function persist(action, options = {}) {
  const wait = patience(options);
  for (;;) {
    try {
      return await action();
    } catch (error) {
      await wait(error);
    }
  }
}
