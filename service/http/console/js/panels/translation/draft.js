// A translation in the making: a session on its source, whose steps are the words that the translator has accepted.

import { LiveSession } from "../../live_session.js";
import { TextSession, TOP_K } from "../text/text_session.js";
import { asWord } from "../text/tokens.js";

/** Candidates to look through for one that begins with what the translator is typing. */
const MANY = 60;

/** `source` is the sentence; the answers are {predictions, completion}. */
export class Draft extends TextSession {
  constructor(model, source, { stored, signal }) {
    super(new LiveSession(model, { name: "draft", settings: { input: { text: source } }, signal }), stored);
    this.source = source;
  }

  /** The next words that begin with `start`. */
  async matching(start) {
    const begins = ({ token }) => token.trim().toLowerCase().startsWith(start.toLowerCase());
    const { predictions } = await this.ask();
    const near = predictions.filter(begins);
    if (near.length || !start) return near;
    const { output } = await this.session.peek({ top_k: MANY }, undefined, { quiet: true });
    return output.predictions.filter(begins).slice(0, TOP_K);
  }

  /** A step begins a new word, and a mark attaches to the one before unless a space precedes it. */
  _input(words) {
    return { text: words.map(({ gap, text }, index) => (gap || (index ? asWord(text, "words", false).gap : "")) + text).join("") };
  }
}
