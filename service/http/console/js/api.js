// Calls of the service: JSON, event streams and WebSockets, with the API key of the tab, and errors in words.

/** The root of the service, whatever path a proxy puts in front of it. */
export const ROOT = new URL("../../", import.meta.url);
const KEY = "unroll-api-key";

/** What the service answered in its error envelope, or what kept it from answering (status 0). */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "unreachable", param = null, applied = null, step = null, requestId = null,
    retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param, applied, step, requestId, retryAfter });
  }

  /** Whether the same request may succeed later: the service is away, restarts or is busy. */
  get temporary() { return this.status === 0 || this.status === 429 || this.status === 503; }
}

/**
 * Events of this module: "call" for each call that was answered (detail: {method, path, body}), "away" and "back" when
 * the service cannot be reached and again can, "key" when it asks for an API key (detail: its sentence).
 */
export const events = new EventTarget();
let away = false;

export const getKey = () => sessionStorage.getItem(KEY);
export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key); else sessionStorage.removeItem(KEY);
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
  let response;
  try {
    response = await fetch(new URL(path, ROOT), {
      method, headers: sent, signal, cache: "no-store", body: body === undefined || raw ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setAway(true);
    throw new ApiError("The service does not answer. It is tried again.");
  }
  setAway(false);
  if (!response.ok) {
    const error = await readError(response);
    if (error.status === 401) emit("key", error.message);
    throw error;
  }
  if (!quiet) emit("call", { method, path, body: raw ? undefined : body });
  return response;
}

async function readError(response) {
  const details = { status: response.status, requestId: response.headers.get("X-Request-Id"),
    retryAfter: Number(response.headers.get("Retry-After")) || null };
  try {
    const { error } = await response.json();
    return new ApiError(error.message, { ...details, code: error.code, param: error.param,
      applied: error.applied ?? null, step: error.step ?? null });
  } catch {
    return new ApiError(`The service answered ${response.status} ${response.statusText}.`, details);
  }
}

/** Send a request and return what its answer's JSON says; null for an answer without a body. */
export async function call(method, path, body, options = {}) {
  const response = await send(method, path, { ...options, body });
  return response.status === 204 ? null : response.json();
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body, options) => call("POST", path, body, options);

/**
 * Send a request that is answered by Server-Sent Events, and yield {event, data} with data parsed. Raises ApiError, for
 * an `error` event too. Stopping the loop early ends the request.
 */
export async function* stream(path, body, { signal } = {}) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  signal?.addEventListener("abort", abort);
  try {
    const response = await send("POST", path, { body, signal: controller.signal });
    for await (const { event, data } of parseEvents(response.body)) {
      if (event === "error") {
        const { error } = JSON.parse(data);
        throw new ApiError(error.message, { ...error, status: 500, requestId: response.headers.get("X-Request-Id") });
      }
      yield { event, data: JSON.parse(data) };
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    controller.abort();
  }
}

async function* parseEvents(body) {
  let buffer = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    const blocks = buffer.split(/\r?\n\r?\n/);
    buffer = blocks.pop();
    for (const block of blocks) {
      const lines = block.split(/\r?\n/);
      const find = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
      const data = find("data").join("\n");
      if (data) yield { event: find("event")[0] ?? "message", data };
    }
  }
}

/** Open a WebSocket of the service, with the tab's key as its subprotocol. */
export function socket(path) {
  const url = new URL(path, ROOT);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const key = getKey();
  return new WebSocket(url, key ? [`bearer.${key}`] : []);
}

/** Resolve after `milliseconds`, or reject with AbortError when `signal` aborts. */
export function delay(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const fail = () => { clearTimeout(timer); reject(new DOMException("aborted", "AbortError")); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", fail); resolve(); }, milliseconds);
    if (signal?.aborted) fail(); else signal?.addEventListener("abort", fail, { once: true });
  });
}

/** Repeat `action` while it fails with a temporary ApiError, with growing pauses or as Retry-After says. */
export async function persist(action, { signal, maxSeconds = 120 } = {}) {
  const end = performance.now() + maxSeconds * 1000;
  for (let pause = 300; ; pause = Math.min(pause * 1.6, 5000)) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ApiError && error.temporary) || performance.now() > end) throw error;
      await delay(Math.max(pause * (0.75 + Math.random() / 2), (error.retryAfter ?? 0) * 1000), signal);
    }
  }
}
