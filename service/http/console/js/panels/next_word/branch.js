// A branch of the text: a session of a next-word model, and the words that it has read, with their surprise.

import { ApiError, post } from "../../api.js";
import { LiveSession } from "../../live_session.js";
import { TextSession, TOP_K } from "../text/text_session.js";
import { textOf, withObserved, withScores } from "../text/transcript.js";

/** A longer text is not scored again for the surprise of each word of a burst. */
const SCORED_CHARACTERS = 20_000;

export class Branch extends TextSession {
  constructor(name, session, { kind, vector = null, stored = {} }) {
    super(session, stored);
    Object.assign(this, { name, kind, vector });
  }

  /** A branch of which the tab remembers the session, and what `stored` has. */
  static stored(model, stored, { kind, vector, settings, signal }) {
    return new Branch(stored.name, new LiveSession(model, { name: stored.name, settings, signal }), { kind, vector, stored });
  }

  /** Return another branch, with a session of its own, that begins with the first `length` words of this one. */
  fork(length, name) {
    return this.inTurn(async () => {
      await this.session.open();
      let mark = this._markAt(length);
      const session = await this.session.copy(name, mark?.step).catch((error) => {
        if (error.status !== 422) throw error;
        // This state is not kept any more.
        mark = null;
        return this.session.copy(name);
      });
      const stored = { transcript: this.transcript.copy(mark?.length ?? 0, mark?.step ?? 0) };
      const other = new Branch(name, session, { kind: this.kind, vector: this.vector, stored });
      if (!mark) {
        await session.reset();
        other.transcript.cut(0, session.info.step);
      }
      await other._read(this.transcript.words.slice(other.transcript.length, length));
      return other;
    });
  }

  /** Take the words that the session generated in one step. */
  addGenerated(words, step) {
    this.answer = null;
    this.transcript.add(words, step);
    this._tell("change");
  }

  /** Ask for what comes next, after `input` if there is one. */
  async peek(input, options = {}) {
    return (await this.session.peek({ top_k: TOP_K, ...options }, input, { quiet: true })).output.predictions;
  }

  toJSON() { return { name: this.name, ...super.toJSON() }; }

  _input(words) {
    if (words.length === 1 && words[0].token) return { tokens: [words[0].token] };
    const text = textOf(words);
    return { text: this.kind === "words" ? text.trim() : text };
  }

  async _take(words, output, step) {
    const known = words.every(({ bits }) => bits !== undefined);
    const taken = known ? words : withObserved(words, output?.observed);
    this.transcript.add(taken, step);
    this._tell("change");
    if (!known && (words.length > 1 || !output)) this.transcript.replaceLast(await this._scored(taken));
  }

  /** The last words with the surprise of each. */
  async _scored(words) {
    const { text, known } = this.transcript;
    if (!known || text.length > SCORED_CHARACTERS) return words;
    try {
      const input = this.vector ? { text, vector: this.vector } : { text };
      const path = `v1/models/${encodeURIComponent(this.session.model)}/score`;
      const { output } = await post(path, { input }, { signal: this.session.signal, quiet: true });
      return withScores(words, output) ?? words;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return words;
    }
  }
}
