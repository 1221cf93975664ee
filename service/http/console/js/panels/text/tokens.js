// How a model's tokens make up a text: whole words, single characters, pieces of words, or pieces of its bytes.

import { post } from "../../api.js";

const PROBE = "the other";
const PUNCTUATION = /^[^\p{L}\p{N}\s]+$/u;
const OPENING = /^[\p{Ps}\p{Pi}"'¿¡$€£#@]/u;

/** Return "words", "characters", "pieces" or "bytes", as the tokens of a short text tell. */
export async function readKind(model, vector, signal) {
  const input = vector ? { text: PROBE, vector } : { text: PROBE };
  try {
    const { output } = await post(`v1/models/${encodeURIComponent(model)}/score`, { input }, { signal, quiet: true });
    if (output.tokens.join("") === PROBE) return "characters";
    if (output.tokens.join(" ").toLowerCase() === PROBE) return "words";
    return output.tokens.some((token) => token.includes("Ġ")) ? "bytes" : "pieces";
  } catch (error) {
    // A vocabulary without an unknown token and without these words, such as one of the events of a melody.
    if (error.status === 422) return "words";
    throw error;
  }
}

/** Return {gap, text} of a token that follows a text: what separates it, and what it adds. */
export function asWord(token, kind, first) {
  if (kind === "characters") return { gap: "", text: token };
  if (token.startsWith("##")) return { gap: "", text: token.slice(2) };
  if (kind === "words") {
    const attaches = PUNCTUATION.test(token) && !OPENING.test(token);
    return { gap: first || attaches ? "" : " ", text: token };
  }
  const text = kind === "bytes" ? readBytes(token) : token.replaceAll("▁", " ");
  return { gap: /^\s*/.exec(text)[0], text: text.trimStart() };
}

let bytes = null;

/** Byte-level vocabularies write each byte as a character of its own: "Ġ" is a space, "Ã©" is "é". */
function readBytes(token) {
  bytes ??= byteTable();
  return new TextDecoder().decode(Uint8Array.from([...token].map((character) => bytes.get(character) ?? 63)));
}

function byteTable() {
  const table = new Map();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table.set(String.fromCodePoint(plain ? byte : next++), byte);
  }
  return table;
}

/** Cut a text into words, each with the white space before it; what follows the last word is `rest`. */
export function splitWords(text) {
  const words = [...text.matchAll(/(\s*)(\S+)/gu)].map(([, gap, word]) => ({ gap, text: word }));
  return { words, rest: /\s*$/u.exec(text)[0] };
}
