// A text, its translations, and what the network looked at.

import { ApiError, get, post } from "../../api.js";
import { field, fill, h } from "../../dom.js";
import { errorBox, loading } from "../../notices.js";
import { attentionView } from "./attention.js";

const EXAMPLES = ["Thank you very much.", "Where is the nearest station? I would like to buy a ticket to Paris.", "She told me that she had never seen the sea."];
/** The service limits the tokens of a text with attention, over all its alternatives; a word is a token or more. */
const ATTENTION_TOKENS = 512;
const TOKENS_A_WORD = 1.5;

/** Whether a model has an attention that can be shown. */
export async function readAttention(model, signal) {
  const { parts } = await get(`v1/models/${encodeURIComponent(model.id)}/network`, { signal, quiet: true });
  return parts.some(({ layers }) => layers.some(({ kind }) => kind === "attention"));
}

/** {root}: the part of the panel that translates whole texts. */
export function textTranslation(model, { hasAttention, signal, translateByWords }) {
  const area = h("textarea", { rows: "3", dir: "auto" });
  const beam = h("input", { type: "number", value: "4", min: "1", max: "16", step: "1", required: true });
  const alternatives = h("input", { type: "number", value: "2", min: "0", max: "15", step: "1", required: true });
  const button = h("button", { type: "submit", class: "primary" }, "Translate");
  const result = h("div", { class: "stack", "aria-live": "polite" });
  let turn = 0;

  const translate = async () => {
    const text = area.value;
    if (!text.trim()) return fill(result, h("p", { class: "empty" }, "Type a text to translate, or take an example."));
    const options = { beam_size: Number(beam.value), alternatives: Number(alternatives.value) };
    const short = text.split(/\s+/).length * TOKENS_A_WORD * (1 + options.alternatives) < ATTENTION_TOKENS;
    const own = ++turn;
    fill(result, loading("Translating …"));
    try {
      const output = await predict(text, options, hasAttention && short);
      if (own === turn) fill(result, shown(output.translations, hasAttention ? TOO_LONG : NO_ATTENTION));
    } catch (error) {
      if (own === turn && error.name !== "AbortError") fill(result, errorBox(error));
    }
  };
  const predict = async (text, options, attention) => {
    const path = `v1/models/${encodeURIComponent(model.id)}/predict`;
    try {
      return (await post(path, { input: { text }, options: attention ? { ...options, attention } : options }, { signal })).output;
    } catch (error) {
      if (!attention || !(error instanceof ApiError) || ![413, 422].includes(error.status)) throw error;
      return predict(text, options, false);
    }
  };
  beam.addEventListener("change", () => {
    alternatives.max = String(Math.max(0, Math.min(15, beam.value - 1)));
    if (Number(alternatives.value) > Number(alternatives.max)) alternatives.value = alternatives.max;
  });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  const take = (text) => () => { area.value = text; form.requestSubmit(); };
  const form = h("form", { class: "stack", on: { submit: (event) => { event.preventDefault(); translate(); } } },
    h("div", { class: "row", role: "group", "aria-label": "Examples" }, h("span", { class: "small", "aria-hidden": "true" }, "Try"),
      EXAMPLES.map((text) => h("button", { type: "button", class: "example", on: { click: take(text) } }, text))),
    field("Text to translate", area, "Enter translates, Shift and Enter begins a line."),
    h("div", { class: "row end" }, field("Beam size", beam), field("Alternatives", alternatives), button,
      h("button", { type: "button", on: { click: () => { if (area.value.trim()) translateByWords(area.value); else translate(); } } }, "Translate word by word")));
  return {
    root: h("section", { class: "card stack", "aria-labelledby": "whole-title" }, h("h2", { id: "whole-title" }, "Translate a text"), form, result),
  };
}

const NO_ATTENTION = "This model has no attention to show.";
const TOO_LONG = "The text is too long to show the attention. Shorten it, or ask for fewer alternatives.";

function shown([best, ...others], remark) {
  return [
    h("p", { class: "translation", dir: "auto" }, best.text),
    h("p", { class: "small" }, confidence(best), best.finish_reason === "length" && " It was cut off at the limit of tokens."),
    best.unknown.length > 0 && h("p", { class: "small" }, "Not in the vocabulary: ", best.unknown.map((word, index) => [index > 0 && ", ", h("bdi", { class: "unknown strong" }, word)]), "."),
    others.length > 0 && h("section", {}, h("h3", {}, "Alternatives"), h("ol", { class: "alternatives" }, others.map((other) =>
      h("li", {}, h("span", { dir: "auto" }, other.text), " ", h("span", { class: "small" }, confidence(other)))))),
    best.attention ? attentionView(best) : h("p", { class: "small" }, remark),
  ];
}

/** What a score means: it is the logarithm of the geometric mean of the tokens' probabilities. */
const confidence = ({ score }) => `Score ${score.toFixed(2)}, ${Math.round(Math.exp(score) * 100)} % per token.`;
