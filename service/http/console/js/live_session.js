// A session of the service that a panel steps. The tab remembers it, so that a reload continues where it was.

import { ApiError, call, get, persist, post, stream } from "./api.js";

/**
 * A session whose steps are applied exactly once: each carries the step count and a key, and is sent again until it is
 * answered, whatever happens to the service meanwhile.
 */
export class LiveSession extends EventTarget {
  /**
   * @param {string} model   The name of the model.
   * @param {Object} options `name` keeps several sessions of a model apart; `settings` are further fields of
   *   POST /v1/sessions, such as kept_steps, or input for translations.
   */
  constructor(model, { name = "main", settings = {}, signal } = {}) {
    super();
    Object.assign(this, { model, settings, signal, id: null, info: null });
    this.slot = `unroll-session-${model}-${name}`;
    this.queue = Promise.resolve();
  }

  /** Continue the session that the tab remembers, if the service still has it. Returns whether it does. */
  async resume() {
    const id = sessionStorage.getItem(this.slot);
    if (!id) return false;
    try {
      this._set(await persist(() => get(`v1/sessions/${id}`, { signal: this.signal }), { signal: this.signal }));
      return this.info.model === this.model;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.forget();
      return false;
    }
  }

  /** Create the session if there is none, and return what the service says of it. */
  async open() {
    if (!this.info) {
      const body = { model: this.model, kept_steps: 64, ...this.settings };
      this._set(await persist(() => post("v1/sessions", body, { signal: this.signal }), { signal: this.signal }));
    }
    return this.info;
  }

  /** Feed `input` and return the StepResult. Steps run one after the other, in the order of these calls. */
  step(input, options = {}) {
    return this._inTurn(async () => {
      await this.open();
      const body = { input, options, step: this.info.step };
      const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) };
      const path = `v1/sessions/${this.id}/steps`;
      const result = await persist(() => post(path, body, { headers, signal: this.signal }), { signal: this.signal });
      this._set({ ...this.info, step: result.step, timesteps: result.timesteps, expires_at: result.expires_at });
      return result;
    });
  }

  /** Ask what a step would answer; without `input`, what comes next. The session stays as it is. */
  peek(options = {}, input = undefined) {
    return this._inTurn(async () => {
      await this.open();
      const body = input === undefined ? { options } : { input, options };
      return persist(() => post(`v1/sessions/${this.id}/predict`, body, { signal: this.signal }), { signal: this.signal });
    });
  }

  /** Generate from the session's state and yield {event, data}; see POST /v1/sessions/{id}/generate. */
  async *generate(options, { commit = true, signal = this.signal } = {}) {
    await this._inTurn(() => this.open());
    try {
      yield* stream(`v1/sessions/${this.id}/generate`, { options: { ...options, stream: true }, commit }, { signal });
    } finally {
      // Stopped midway or not: the service knows at which step the session is.
      if (!this.signal?.aborted) await this.refresh().catch(() => {});
    }
  }

  /** Go on with an independent copy, of this step or of a kept earlier one. The session before stays as it is. */
  fork(step = undefined) {
    return this._inTurn(async () => {
      const body = step === undefined ? {} : { step };
      this._set(await persist(() => post(`v1/sessions/${this.id}/fork`, body, { signal: this.signal }), { signal: this.signal }));
      return this;
    });
  }

  /** Return to the initial state, or to a kept earlier step. */
  reset(step = undefined) {
    return this._inTurn(async () => {
      if (!this.info) return;
      const body = step === undefined ? {} : { step };
      this._set(await persist(() => post(`v1/sessions/${this.id}/reset`, body, { signal: this.signal }), { signal: this.signal }));
    });
  }

  /** Read the session again. */
  async refresh() {
    this._set(await get(`v1/sessions/${this.id}`, { signal: this.signal, quiet: true }));
  }

  /** End the session; the next step begins a new one. */
  end() {
    return this._inTurn(async () => {
      const id = this.id;
      this.forget();
      if (id) await call("DELETE", `v1/sessions/${id}`, undefined, { quiet: true }).catch(() => {});
    });
  }

  /** Forget the session without ending it. */
  forget() {
    sessionStorage.removeItem(this.slot);
    Object.assign(this, { id: null, info: null });
    this.dispatchEvent(new Event("change"));
  }

  _set(info) {
    Object.assign(this, { id: info.id ?? this.id, info });
    sessionStorage.setItem(this.slot, this.id);
    this.dispatchEvent(new Event("change"));
  }

  _inTurn(action) {
    const result = this.queue.then(action);
    this.queue = result.catch(() => {});
    return result;
  }
}
