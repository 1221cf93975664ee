// The words that a session has read, how surprising each was, and the steps after which the session had read them.

/** States that a session keeps beside its own, if its tenant may. */
const KEPT = 64;
const BITS = Math.LN2;

/**
 * A word is {gap, text, bits, tokens, unknown}: `gap` is the white space before it, `bits` its surprise, the negative
 * binary logarithm of its probability, or null where the model had predicted nothing. A word with `foreign` stands for
 * timesteps of which this page does not know the text.
 */
export class Transcript {
  constructor({ words = [], marks = [[0, 0]] } = {}) {
    Object.assign(this, { words: [...words], marks: [...marks] });
  }

  get length() { return this.words.length; }
  get text() { return textOf(this.words); }
  get known() { return !this.words.some(({ foreign }) => foreign); }

  /** Append words that the session has read by its step number `step`. */
  add(words, step) {
    this.words.push(...words);
    this.marks.push([step, this.length]);
  }

  /** Put words in the place of the last ones. */
  replaceLast(words) { this.words.splice(-words.length, words.length, ...words); }

  /** Keep the first `length` words; the session, now at `step`, has read just these. */
  cut(length, step) {
    this.words.length = length;
    this.marks = [...this.marks.filter(([, words]) => words <= length), [step, length]];
  }

  /** The latest state that the session at `step` keeps of the first `length` words or fewer: {step, length}. */
  nearest(length, step) {
    const kept = this.marks.filter(([mark, words]) => words <= length && mark >= step - KEPT && mark <= step);
    kept.sort((one, other) => one[1] - other[1] || one[0] - other[0]);
    const found = kept.at(-1);
    return found ? { step: found[0], length: found[1] } : null;
  }

  /** A transcript of the first `length` words, with the marks up to `step`. */
  copy(length, step) {
    return new Transcript({ words: this.words.slice(0, length),
      marks: this.marks.filter(([mark, words]) => words <= length && mark <= step) });
  }

  /** {bits, tokens} of all words whose surprise is known. */
  total() {
    const known = this.words.filter(({ bits }) => bits !== null && bits !== undefined);
    return { bits: known.reduce((sum, word) => sum + word.bits, 0), tokens: known.reduce((sum, word) => sum + word.tokens, 0) };
  }

  toJSON() { return { words: this.words, marks: this.marks.slice(-KEPT - 8) }; }
}

/** The text of words, as it was typed. */
export const textOf = (words) => words.map(({ gap, text }) => gap + text).join("");

/** Give a word, or words that were read together, the surprise that `observed` of a StepResult tells. */
export function withObserved(words, observed) {
  const unknown = new Set(observed?.unknown ?? []);
  const bits = observed ? (-observed.mean_logprob * observed.tokens) / BITS / words.length : null;
  return words.map((word) => ({ ...word, bits, tokens: (observed?.tokens ?? 0) / words.length, shared: words.length > 1,
    unknown: words.length === 1 ? unknown.size > 0 : unknown.has(word.text) }));
}

/** Give words the surprise of their own tokens, from the last of the `tokens` that `score` lists; null if they do not fit. */
export function withScores(words, { tokens, logprobs, unknown }) {
  const missing = new Set(unknown);
  for (const [sizeOfToken, sizeOfWord] of SIZES) {
    const aligned = align(words.map(({ text }) => sizeOfWord(text)), tokens.map(sizeOfToken));
    if (aligned) {
      return words.map((word, index) => {
        const own = aligned[index].map((place) => logprobs[place]).filter((logprob) => logprob !== null);
        return { ...word, shared: false, tokens: own.length, bits: own.length ? -own.reduce((sum, one) => sum + one, 0) / BITS : null,
          unknown: aligned[index].some((place) => missing.has(tokens[place])) };
      });
    }
  }
  return null;
}

/** How much of a word a token covers, in characters or, for byte-level tokens, in bytes; and the size of a word. */
const SIZES = [
  [(token) => token.replace(/[\s▁]|^##/gu, "").length, (word) => word.length],
  [(token) => token.replace(/[ĠĊĉ]/gu, "").length, (word) => new TextEncoder().encode(word).length],
];

/** The places of each word's tokens, where the last words of a text end with its last token; null if they do not fit. */
function align(words, tokens) {
  const places = [];
  let at = tokens.length;
  for (let missing of words.toReversed()) {
    const own = [];
    // White space has no size. It belongs to the word behind it.
    while (at > 0 && (missing > 0 || tokens[at - 1] === 0)) {
      at -= 1;
      missing -= tokens[at];
      own.unshift(at);
    }
    if (missing !== 0) return null;
    places.unshift(own);
  }
  return places;
}
