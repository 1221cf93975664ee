// Generation from the session's state, streamed word by word, with its settings.

import { field, fill, h } from "../../dom.js";
import { errorBox } from "../../notices.js";
import { asWord, splitWords } from "../text/tokens.js";

const NUMBERS = {
  max_tokens: { label: "Tokens at most", value: "20", min: "1", max: "1000", step: "1" },
  temperature: { label: "Temperature", value: "0.8", min: "0", max: "10", step: "any", hint: "0 takes the most probable" },
  top_k: { label: "Top k", min: "1", step: "1", placeholder: "all" },
  top_p: { label: "Top p", min: "0", max: "1", step: "any", placeholder: "1" },
  seed: { label: "Seed", min: "0", step: "1", placeholder: "random" },
};

/**
 * The controls: {root, reset()}. `branch()` is the current branch, `prepare` feeds what is typed, `show(words)` shows
 * words that are not read, `tell` says something.
 */
export function generation({ kind, branch, prepare, show, tell, signal }) {
  const inputs = Object.fromEntries(Object.entries(NUMBERS).map(([name, { label, hint, ...attributes }]) =>
    [name, h("input", { type: "number", inputmode: "decimal", ...attributes })]));
  const stops = h("textarea", { rows: "2", class: "stops", spellcheck: "false" });
  const commit = h("input", { type: "checkbox", id: "generation-commit", checked: true });
  const start = h("button", { type: "submit", class: "primary" }, "Generate");
  const stop = h("button", { type: "button", disabled: true }, "Stop");
  const outcome = h("div", { class: "stack" });
  let controller = null, running = false;

  const run = async () => {
    if (running) return;
    running = true;
    controller = new AbortController();
    const combined = AbortSignal.any([controller.signal, signal]);
    prepare();
    const own = branch();
    start.disabled = true;
    stop.disabled = false;
    fill(outcome);
    try {
      await own.inTurn(() => generate(own, combined));
    } catch (error) {
      if (!signal.aborted) fill(outcome, errorBox(error));
      show([]);
    } finally {
      running = false;
      start.disabled = false;
      stop.disabled = true;
    }
  };

  const generate = async (own, stopped) => {
    const words = [];
    let done = null;
    await own.session.open();
    const before = own.session.info.step;
    try {
      for await (const { event, data } of own.session.generate(options(inputs, stops), { commit: commit.checked, signal: stopped })) {
        if (event === "done") done = data;
        else show(join(words, data, kind, own.transcript.length === 0));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!controller.signal.aborted) throw own.note(error);
    }
    if (done && commit.checked) {
      show([]);
      own.addGenerated(words, done.step);
      tell(`${ending(done.output)} The session has read it: step ${done.step}.`);
    } else {
      own.note(null);
      if (own.session.info?.step !== before) show([]);
      else offer(own, words, done ? `${ending(done.output)} The session has not read it.` : `Stopped. The session stays at step ${before}.`);
    }
  };

  const offer = (own, words, sentence) => {
    const finish = (action) => { fill(outcome); show([]); action(); };
    fill(outcome, h("p", { class: "small" }, sentence), words.length > 0 && h("div", { class: "row" },
      h("button", { type: "button", on: { click: () => finish(() => own.feed(words.map(({ gap, text }) => ({ gap, text })))) } }, "Feed these words"),
      h("button", { type: "button", on: { click: () => finish(() => {}) } }, "Discard")));
    tell(sentence);
  };

  stop.addEventListener("click", () => controller?.abort());
  return {
    root: h("form", { class: "stack", "aria-labelledby": "generation-title", on: { submit: (event) => { event.preventDefault(); run(); } } },
      h("h2", { id: "generation-title" }, "Generate"),
      h("div", { class: "row end" }, start, stop),
      h("div", { class: "check" }, commit, h("label", { for: commit.id }, "Keep it: commit as a step of the session")),
      outcome,
      h("div", { class: "settings" }, Object.entries(inputs).map(([name, input]) => field(NUMBERS[name].label, input, NUMBERS[name].hint))),
      field("Stop texts, one a line", stops)),
    /** Stop, and forget what was generated and not read. */
    reset() {
      controller?.abort();
      fill(outcome);
      show([]);
    },
  };
}

function ending({ tokens, finish_reason: reason }) {
  if (!tokens.length) return "The model ends the text here.";
  return `Generated ${tokens.length} token${tokens.length === 1 ? "" : "s"}, ${reason === "stop" ? "up to the end or a stop text" : "as many as asked for"}.`;
}

function options(inputs, stops) {
  const chosen = Object.entries(inputs).filter(([, input]) => input.value !== "").map(([name, input]) => [name, Number(input.value)]);
  const stop = stops.value.split("\n").filter(Boolean);
  return { ...Object.fromEntries(chosen), ...(stop.length && { stop }) };
}

/** Add a token of the stream to the words: to the last one, unless white space or a mark comes between. */
function join(words, { token, text, logprob }, kind, first) {
  const own = words.length ? splitWords(text).words : [asWord(token, kind, first)];
  const begun = words.at(-1);
  const bits = -logprob / Math.LN2;
  const [head] = own;
  if (begun && (!head || (!head.gap && kind !== "words"))) {
    Object.assign(begun, { text: begun.text + (head?.text ?? text), bits: begun.bits + bits, tokens: begun.tokens + 1 });
  } else if (head) {
    words.push({ ...head, bits, tokens: 1, unknown: false });
  }
  own.slice(1).forEach((word) => words.push({ ...word, bits: null, tokens: 0, unknown: false }));
  return words;
}
