// A session that reads words: in the order in which they come, each once.

import { ApiError } from "../../api.js";
import { textOf, Transcript } from "./transcript.js";

/** With more words than these waiting, they are fed in one step. */
const BURST = 12;
export const TOP_K = 9;

/**
 * A LiveSession and the words that it has read. Events: "change" when the words, the session or the answer have changed,
 * "failure" when words could not be read (detail: {error, words}).
 *
 * `answer` is what the last step answered, null if the session has moved since; `lost` is the error that ended the
 * session; `waiting` are the words that it has not read yet.
 */
export class TextSession extends EventTarget {
  constructor(session, { transcript, inFlight = null, waiting = [] } = {}) {
    super();
    Object.assign(this, { session, inFlight, transcript: new Transcript(transcript), lost: null, answer: null, waiting,
      feeding: null, turns: Promise.resolve() });
  }

  /** Whether words wait. */
  get busy() { return this.feeding !== null; }

  /** Whether nothing was read and nothing waits. */
  get empty() { return this.transcript.length + this.waiting.length === 0; }

  /** Continue the session that the tab remembers. Returns the words that it has not read; sets `lost` if it is gone. */
  async resume() {
    const sent = this.inFlight, waiting = this.waiting.splice(0);
    this.inFlight = null;
    if (!(await this.session.resume())) {
      this.lost = this.session.notResumed ?? (this.transcript.length ? new Error("This tab does not know its session any more.") : null);
      return [...(sent?.words ?? []), ...waiting];
    }
    const { recovered, info } = this.session;
    if (sent?.kept !== undefined && info.step > sent.step) this.transcript.cut(sent.kept, info.step);
    const read = sent?.kept === undefined && info.step === sent?.step + 1;
    if (read) await this._take(sent.words, recovered?.result.output, info.step);
    this._catchUp();
    return [...(sent && !read ? sent.words : []), ...waiting];
  }

  /** Begin a new session with these words, in place of one that is gone. */
  async renew(words) {
    this.session.forget();
    Object.assign(this, { lost: null, answer: null, transcript: new Transcript() });
    await this.session.open();
    this._tell("change");
    return this.feed(words);
  }

  /** Feed words behind those that wait already. Resolves when nothing waits any more. */
  feed(words) {
    this.waiting.push(...words);
    this.feeding ??= this.inTurn(() => this._feedAll()).finally(() => { this.feeding = null; this._tell("change"); });
    this._tell("change");
    return this.feeding;
  }

  /** Do `action` when everything before it is done; the words that come meanwhile are fed after it. */
  inTurn(action) {
    const result = this.turns.then(action);
    this.turns = result.catch(() => {});
    return result;
  }

  /** Return to the first `length` words. */
  goTo(length) { return this.inTurn(() => this._goTo(length)); }

  /** Take the last word back and return it. */
  undo() {
    return this.inTurn(async () => {
      const word = this.transcript.words.at(-1);
      if (word) await this._goTo(this.transcript.length - 1);
      return word;
    });
  }

  /** Ask for the answer at this point, if there is none. */
  async ask() {
    this.answer ??= (await this.session.peek({ top_k: TOP_K })).output;
    return this.answer;
  }

  /** Note what an error tells of the session: that it is gone, or that something else has stepped it. */
  note(error) {
    this.lost ??= this.session.lost;
    this._catchUp();
    this._tell("change");
    return error;
  }

  toJSON() { return { transcript: this.transcript, inFlight: this.inFlight, waiting: this.waiting }; }

  /** The input of a step that reads words. */
  _input(words) { return { text: textOf(words) }; }

  /** Add words that a step has read. `output` is its answer, null if that is not known. */
  async _take(words, output, step) { this.transcript.add(words, step); }

  /** The latest kept state of the first `length` words or fewer. Raises an Error if the words after it are not known. */
  _markAt(length) {
    const mark = this.transcript.nearest(length, this.session.info?.step ?? 0);
    if (this.transcript.words.slice(mark?.length ?? 0, length).some(({ foreign }) => foreign)) {
      throw new Error("The session keeps no state from here, and this page does not know all words before it.");
    }
    return mark;
  }

  async _goTo(length) {
    const { session, transcript } = this;
    if (this.lost) throw this.lost;
    await session.open();
    let mark = this._markAt(length);
    this._send({ kept: mark?.length ?? 0, words: transcript.words.slice(mark?.length ?? 0, length) });
    try {
      await session.reset(mark?.step);
    } catch (error) {
      if (error.status !== 422) throw this.note(error);
      // This state is not kept any more. The initial one always is.
      mark = null;
      await session.reset();
    }
    const again = transcript.words.slice(mark?.length ?? 0, length);
    transcript.cut(mark?.length ?? 0, session.info.step);
    Object.assign(this, { inFlight: null, answer: null });
    await this._read(again);
  }

  async _feedAll() {
    while (this.waiting.length) {
      const words = this.waiting.splice(0, this.waiting.length > BURST ? this.waiting.length : 1);
      try {
        await this._read(words);
      } catch (error) {
        if (error.name === "AbortError") return;
        this.note(error);
        this._tell("failure", { error, words: [...(error.read ? [] : words), ...this.waiting.splice(0)] });
        return;
      }
    }
  }

  /** Feed words in one step. */
  async _read(words) {
    if (!words.length) return this._tell("change");
    await this.session.open();
    this._send({ words });
    try {
      const { output, step } = await this.session.step(this._input(words), { top_k: TOP_K });
      Object.assign(this, { inFlight: null, answer: output });
      await this._take(words, output, step);
    } catch (error) {
      if (error.name !== "AbortError" && this.inFlight) await this._findOut(error);
      throw error;
    }
    this._tell("change");
  }

  /** Find out whether the words of a step that failed were read all the same. */
  async _findOut(error) {
    const { words, step } = this.inFlight;
    this.inFlight = null;
    error.read = error instanceof ApiError && error.applied !== "no" && error.code !== "step_conflict" && this.session.info?.step === step + 1;
    if (error.read) await this._take(words, null, step + 1);
  }

  /** Remember what is sent, until its answer is there. */
  _send(sent) {
    this.inFlight = { ...sent, step: this.session.info.step };
    this._tell("change");
  }

  /** Note steps of which this page does not know the words. */
  _catchUp() {
    const step = this.session.info?.step ?? 0;
    const last = this.transcript.marks.at(-1)?.[0] ?? 0;
    if (step <= last) return;
    this.answer = null;
    this.transcript.add([{ gap: " ", text: "…", bits: null, tokens: 0, foreign: step - last }], step);
  }

  _tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}
