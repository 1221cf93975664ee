// A session of the service that a panel steps. The tab remembers it, so that a reload continues where it was.

import { ApiError, call, get, patience, persist, post, stream } from "./api.js";

/** Codes of errors after which a session cannot be continued. */
const LOST = new Set(["session_expired", "session_ended", "session_not_found", "model_version_gone"]);

/**
 * A session whose steps are applied exactly once: each carries the step count and a key, and is sent again until it is
 * answered, whatever happens to the service meanwhile. "change" is dispatched whenever `info` has changed.
 *
 * `info` is what the service says of it; null before it is created. `lost` is the error that ended it: every call fails
 * with it until `forget()`, `reset()` or `end()` clears the way for a new session.
 */
export class LiveSession extends EventTarget {
  /**
   * @param {string} model   The name of the model.
   * @param {Object} options `name` keeps several sessions of a model apart; `settings` are further fields of
   *   POST /v1/sessions, such as kept_steps, or input for translations.
   */
  constructor(model, { name = "main", settings = {}, signal } = {}) {
    super();
    Object.assign(this, { model, settings, signal, id: null, info: null, lost: null, notResumed: null, recovered: null, opening: null });
    this.slot = `unroll-session-${model}-${name}`;
    this.pendingSlot = `${this.slot}-pending`;
    this.queue = Promise.resolve();
  }

  /**
   * Continue the session that the tab remembers, if the service still has it. Returns whether it does; otherwise
   * `notResumed` is the error that says why. A step that had no answer when the page was left is completed: `recovered`
   * is then {input, options, result}.
   */
  resume() {
    return this._inTurn(async () => {
      const id = sessionStorage.getItem(this.slot);
      if (!id) return false;
      try {
        this._set(await persist(() => get(`v1/sessions/${id}`, { signal: this.signal }), { signal: this.signal }));
        await this._recover(JSON.parse(sessionStorage.getItem(this.pendingSlot) ?? "null"));
        return true;
      } catch (error) {
        if (!LOST.has(error.code)) throw error;
        this.forget();
        this.notResumed = error;
        return false;
      }
    });
  }

  async _recover(pending) {
    if (pending?.id !== this.id) return;
    try {
      this.recovered = { ...pending.body, result: await this._complete(pending) };
    } catch (error) {
      if (error.name === "AbortError" || LOST.has(error.code)) throw error;
      await this.refresh();
    }
  }

  /** Create the session if there is none, and return what the service says of it. */
  async open() {
    if (this.lost) throw this.lost;
    if (!this.info) {
      // Whoever asks meanwhile waits for the same session.
      this.opening ??= this._create().finally(() => { this.opening = null; });
      const created = await this.opening;
      if (this.id !== created.id) this._set(created);
    }
    return this.info;
  }

  /** Feed `input` and return the StepResult. Steps run one after the other, in the order of these calls. */
  step(input, options = {}) {
    return this._inTurn(async () => {
      await this.open();
      return this._advance("steps", { input, options, step: this.info.step });
    });
  }

  /** Ask what a step would answer; without `input`, what comes next. The session stays as it is. */
  peek(options = {}, input = undefined, { quiet = false } = {}) {
    return this._inTurn(async () => {
      await this.open();
      const body = input === undefined ? { options } : { input, options };
      const path = `v1/sessions/${this.id}/predict`;
      return persist(() => post(path, body, { signal: this.signal, quiet }), { signal: this.signal });
    });
  }

  /**
   * Generate from the session's state and yield {event, data}; see POST /v1/sessions/{id}/generate. A stream that breaks
   * is sent again with the same key and seed, and no token comes twice. Stopping it leaves the session where it was.
   */
  async *generate(options, { commit = true, signal = this.signal } = {}) {
    const release = await this._takeTurn();
    try {
      await this.open();
      const drawn = { seed: newSeed(), ...options, stream: true };
      const body = commit ? { options: drawn, commit, step: this.info.step } : { options: drawn, commit };
      yield* this._streamOnce(body, commit, signal);
    } catch (error) {
      await this._noteFailure(error);
      throw error;
    } finally {
      // Stopped midway or not: the service knows at which step the session is.
      if (this.info && !this.signal?.aborted) await this.refresh().catch(() => {});
      release();
    }
  }

  async *_streamOnce(body, commit, signal) {
    const headers = commit ? { "Idempotency-Key": newKey() } : {};
    const wait = patience({ signal });
    for (let taken = 0; ;) {
      let position = 0;
      try {
        for await (const item of stream(`v1/sessions/${this.id}/generate`, body, { headers, signal })) {
          if (item.event === "token" && ++position <= taken) continue;
          taken = Math.max(taken, position);
          yield item;
        }
        return;
      } catch (error) {
        await wait(error);
      }
    }
  }

  /** Go on with an independent copy, of this step or of a kept earlier one. The session before stays as it is. */
  fork(step = undefined) {
    return this._inTurn(async () => {
      await this.open();
      this._set(await this._postOnce(`v1/sessions/${this.id}/fork`, step === undefined ? {} : { step }));
      return this;
    });
  }

  /** Return a LiveSession of its own, `name`, on an independent copy of this step or of a kept earlier one. */
  copy(name, step = undefined) {
    return this._inTurn(async () => {
      await this.open();
      const other = new LiveSession(this.model, { name, settings: this.settings, signal: this.signal });
      other._set(await this._postOnce(`v1/sessions/${this.id}/fork`, step === undefined ? {} : { step }));
      return other;
    });
  }

  /** Return to the initial state, or to a kept earlier step. */
  reset(step = undefined) {
    return this._inTurn(async () => {
      if (this.lost) this.forget();
      if (this.info) await this._advance("reset", step === undefined ? {} : { step });
    });
  }

  /** Read the session again. */
  async refresh() {
    const path = `v1/sessions/${this.id}`;
    this._set(await persist(() => get(path, { signal: this.signal, quiet: true }), { signal: this.signal }));
  }

  /** End the session; the next step begins a new one. */
  end() {
    return this._inTurn(async () => {
      const id = this.id;
      this.forget();
      if (id) await call("DELETE", `v1/sessions/${id}`, undefined, { quiet: true }).catch(() => {});
    });
  }

  /** Forget the session without ending it; the next step begins a new one. */
  forget() {
    sessionStorage.removeItem(this.slot);
    sessionStorage.removeItem(this.pendingSlot);
    Object.assign(this, { id: null, info: null, lost: null });
    this.dispatchEvent(new Event("change"));
  }

  /** Create a session that keeps as many earlier states as its tenant may have. */
  async _create() {
    const { data } = await persist(() => get("v1/usage", { signal: this.signal, quiet: true }), { signal: this.signal });
    const most = Math.min(64, data[0]?.limits.kept_steps ?? 64);
    return this._postOnce("v1/sessions", { model: this.model, kept_steps: most, ...this.settings });
  }

  /** Send a request that creates a session until it is answered. Its key lets repetitions find the same one. */
  _postOnce(path, body) {
    const headers = { "Idempotency-Key": newKey() };
    return persist(() => post(path, body, { headers, signal: this.signal }), { signal: this.signal });
  }

  /** Send a request that advances the session until its outcome is known. */
  _advance(action, body) {
    const pending = { id: this.id, action, body, key: newKey() };
    sessionStorage.setItem(this.pendingSlot, JSON.stringify(pending));
    return this._complete(pending);
  }

  async _complete({ id, action, body, key }) {
    const options = { headers: { "Idempotency-Key": key }, signal: this.signal };
    try {
      const result = await persist(() => post(`v1/sessions/${id}/${action}`, body, options), { signal: this.signal });
      sessionStorage.removeItem(this.pendingSlot);
      this._set({ ...this.info, step: result.step, timesteps: result.timesteps, expires_at: result.expires_at });
      return result;
    } catch (error) {
      // Left midway, the request is still in doubt: resume() completes it.
      if (error.name !== "AbortError") sessionStorage.removeItem(this.pendingSlot);
      throw error;
    }
  }

  _set(info) {
    Object.assign(this, { id: info.id ?? this.id, info });
    sessionStorage.setItem(this.slot, this.id);
    this.dispatchEvent(new Event("change"));
  }

  /** Run `action` when those before it have ended. */
  async _inTurn(action) {
    const release = await this._takeTurn();
    try {
      return await action();
    } catch (error) {
      await this._noteFailure(error);
      throw error;
    } finally {
      release();
    }
  }

  /** Wait for those before; returns the function that lets the next one in. */
  async _takeTurn() {
    const before = this.queue;
    let release;
    this.queue = new Promise((resolve) => { release = resolve; });
    await before;
    return release;
  }

  /** Learn from an error where the session is. */
  async _noteFailure(error) {
    if (!(error instanceof ApiError) || !this.id) return;
    if (LOST.has(error.code)) {
      this.forget();
      this.lost = error;
      this.dispatchEvent(new Event("change"));
    } else if (error.code === "step_conflict" || (error.applied && error.applied !== "no")) {
      await this.refresh().catch(() => {});
      if (error.code === "step_conflict") error.message += " (the session has moved on elsewhere; the page has read it again).";
    }
  }
}

/** A new key. crypto.randomUUID exists on secure origins only, and a service may be reached by plain HTTP. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const newSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
