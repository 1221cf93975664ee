// The text of a session, word by word, with the surprise under each; a word can be chosen to go back to or to fork at.

import { fill, h } from "../../dom.js";
import { percent, visible } from "../text/candidates.js";

/** Surprise of a token from which a word gets each shade, in bits. */
const SHADES = [2, 5, 8, 12];
const shade = ({ bits, tokens, foreign }) => (foreign || !tokens ? 0 : SHADES.filter((bound) => bits / tokens >= bound).length);
const number = (bits) => bits.toFixed(1);

/** {root, show(branch, provisional), select(index)}; `actions` are {fork(length), goTo(length)}. */
export function wordsView(actions) {
  const list = h("div", { class: "words", role: "listbox", "aria-label": "Words that the session has read, with their surprise in bits", dir: "auto" });
  const nothing = h("p", { class: "empty" }, "The session has read nothing yet. Type below, or take an example.");
  const chosen = h("div", { class: "row chosen", hidden: true });
  const summary = h("p", { class: "small summary" });
  let shown = [], selected = null;

  const select = (index) => {
    selected = index;
    [...list.children].forEach((item) => {
      const here = item.dataset.index === String(index);
      item.setAttribute("aria-selected", String(here));
      item.tabIndex = here ? 0 : -1;
    });
    if (index === null && list.firstElementChild) list.firstElementChild.tabIndex = 0;
    chosen.hidden = index === null;
    if (index !== null) fill(chosen, describe(shown[index], index + 1, actions));
  };
  const move = (index) => {
    const item = list.querySelector(`[data-index="${Math.max(0, Math.min(index, shown.length - 1))}"]`);
    if (!item) return;
    select(Number(item.dataset.index));
    item.focus();
  };
  list.addEventListener("click", ({ target }) => {
    const item = target.closest("[data-index]");
    if (item) move(Number(item.dataset.index));
  });
  list.addEventListener("keydown", (event) => {
    const at = selected ?? 0;
    const goal = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (goal === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    move(goal ?? Number(document.activeElement.dataset.index ?? 0));
  });
  return {
    root: h("div", {}, nothing, list, summary, chosen),
    show(branch, provisional = []) {
      const { words } = branch.transcript;
      let same = 0;
      while (same < shown.length && shown[same] === words[same]) same += 1;
      if (same < words.length || same < shown.length) select(null);
      while (list.children.length > same) list.lastElementChild.remove();
      list.append(...words.slice(same).map((word, index) => wordItem(word, same + index)),
        ...branch.waiting.map(waitingItem), ...provisional.map(provisionalItem));
      shown = [...words];
      list.hidden = !list.children.length;
      nothing.hidden = !list.hidden;
      if (selected === null && list.firstElementChild) list.firstElementChild.tabIndex = 0;
      list.scrollTop = list.scrollHeight;
      fill(summary, summarise(branch.transcript));
    },
  };
}

function wordItem(word, index) {
  const { text, bits, unknown, foreign, shared } = word;
  const told = bits === null || bits === undefined ? "–" : `${shared ? "≈" : ""}${number(bits)}`;
  return h("span", { class: `word shade-${shade(word)}${glued(word)}`, role: "option", tabindex: "-1", "aria-selected": "false", data: { index } },
    lineBreak(word), h("bdi", { class: unknown && "unknown" }, foreign ? `… ${foreign} steps from elsewhere` : visible(text)),
    h("span", { class: "bits" }, told, h("span", { class: "hidden-text" }, told === "–" ? "not predicted" : " bits", unknown && ", unknown word"),
      unknown && h("span", { "aria-hidden": "true" }, " ?")));
}

const glued = ({ gap }) => (gap ? (gap.includes("\n") ? " new-line" : "") : " glued");
const lineBreak = ({ gap }) => gap.includes("\n") && h("span", { class: "hidden-text" }, "new line ");

const unread = (kind, told) => (word) => h("span", { class: `word ${kind}${glued(word)}`, role: "option", "aria-disabled": "true", "aria-selected": "false" },
  h("bdi", {}, visible(word.text)), h("span", { class: "bits" }, "…", h("span", { class: "hidden-text" }, told)));
const waitingItem = unread("waiting", "not read yet");
const provisionalItem = unread("provisional", "generated, not read yet");

function describe({ text, bits, unknown, foreign, shared }, length, { fork, goTo }) {
  const surprise = bits === null || bits === undefined ? "nothing was predicted before it"
    : `${number(bits)} bits${shared ? " on average of the words read with it" : `, probability ${percent(2 ** -bits)}`}`;
  return [
    h("span", {}, h("bdi", { class: "strong" }, visible(text)), foreign ? ": read from elsewhere" : `: ${surprise}${unknown ? "; not in the vocabulary" : ""}`),
    h("button", { type: "button", on: { click: () => fork(length) } }, "Fork after this word"),
    h("button", { type: "button", on: { click: () => goTo(length) } }, "Return to here"),
  ];
}

function summarise(transcript) {
  const { bits, tokens } = transcript.total();
  if (!tokens) return null;
  const unknown = transcript.words.filter((word) => word.unknown).length;
  return [`Surprise per token: ${number(bits / tokens)} bits on average, a perplexity of ${(2 ** (bits / tokens)).toPrecision(3)}.`,
    unknown > 0 && ` ${unknown} unknown, marked “?”.`, " The darker the word, the more surprising."];
}
