// Steps of a session over its WebSocket. A frame that has no answer when the connection breaks is sent again.

import { ApiError, delay, persist, socket } from "../../api.js";

const MOST_UNANSWERED = 8;
const MOST_WAITING = 2000;

/** Sends frames in order and calls `onAnswer(result)` for each, exactly once; `onLost(error)` if it cannot go on. */
export class FrameStream {
  constructor(session, { onAnswer, onLost, signal }) {
    Object.assign(this, { session, onAnswer, onLost, signal, waiting: [], sent: [], socket: null, closed: false, pause: null });
  }

  async open() {
    await this.session.open();
    await this.session.refresh();
    this.step = this.session.info.step;
    await this._connect();
  }

  /** Send an input, or keep it until there is room. Returns false if so many wait that it was dropped. */
  push(input) {
    if (this.waiting.length >= MOST_WAITING) return false;
    this.waiting.push(input);
    this._send();
    return true;
  }

  /** Resolve when fewer than `count` inputs wait. */
  async room(count) {
    while (!this.closed && this.waiting.length >= count) await new Promise((resolve) => { this.pause = resolve; });
  }

  /** Close the connection when all that was pushed is answered. */
  async close() {
    while (!this.closed && this.waiting.length + this.sent.length) await new Promise((resolve) => { this.pause = resolve; });
    this._end();
    if (!this.signal.aborted) await this.session.refresh().catch(() => {});
  }

  _end() {
    this.closed = true;
    this.socket?.close();
    this.pause?.();
  }

  _connect() {
    const connection = socket(`v1/sessions/${this.session.id}/stream`);
    this.socket = connection;
    this.signal.addEventListener("abort", () => this._end(), { once: true });
    connection.addEventListener("message", ({ data }) => this._note(JSON.parse(data)));
    connection.addEventListener("close", () => this._reconnect());
    return new Promise((resolve) => {
      connection.addEventListener("open", () => { this._send(); resolve(); });
      connection.addEventListener("close", resolve);
    });
  }

  _send() {
    while (this.socket.readyState === WebSocket.OPEN && this.waiting.length && this.sent.length < MOST_UNANSWERED) {
      const frame = { input: this.waiting.shift(), step: this.step + this.sent.length };
      this.sent.push(frame);
      this.socket.send(JSON.stringify(frame));
    }
  }

  _note(answer) {
    if (answer.error) {
      const error = new ApiError(answer.error.message, { ...answer.error, status: 400 });
      if (!["shutting_down", "overloaded", "store_unavailable", "deadline_exceeded", "step_conflict", "model_not_ready"].includes(error.code)) this._lose(error);
      return;
    }
    this.sent.shift();
    this.step = answer.step;
    Object.assign(this.session.info, { step: answer.step, timesteps: answer.timesteps, expires_at: answer.expires_at });
    this.session.dispatchEvent(new Event("change"));
    this.onAnswer(answer);
    this.pause?.();
    this._send();
  }

  _lose(error) {
    if (this.closed) return;
    this._end();
    this.onLost(error);
  }

  /** Look where the session is, and go on there: the frame before that was applied, and its stored answer comes again. */
  async _reconnect() {
    if (this.closed) return;
    try {
      await delay(300, this.signal);
      await persist(() => this.session.refresh(), { signal: this.signal });
      const applied = this.session.info.step - this.step;
      if (applied < 0 || applied > this.sent.length) throw new Error("Another program stepped this session. Begin a new one.");
      // The answers of all but the last applied one are gone; their steps are not taken again.
      const from = Math.max(0, applied - 1);
      this.step += from;
      this.waiting = [...this.sent.slice(from).map(({ input }) => input), ...this.waiting];
      this.sent = [];
      await this._connect();
    } catch (error) {
      if (error.name !== "AbortError") this._lose(error);
    }
  }
}
