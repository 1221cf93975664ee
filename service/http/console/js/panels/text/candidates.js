// The next words as buttons with bars. A click accepts one, or its number while the focus is in the list.

import { h, fill } from "../../dom.js";

/** What a token looks like where it would be hard to see. */
export const visible = (token) => (/^\s+$/.test(token) ? token.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥") : token);

/** A probability; those that a list shows beside larger ones need no more digits. */
export const percent = (share) => (share < 0.00005 ? "< 0.01 %" : `${share >= 0.0995 ? Math.round(share * 100) : (share * 100).toPrecision(share < 0.00095 ? 1 : 2)} %`);

/** The bars are drawn in relation to the largest probability, or to this one. */
const FULL_BAR = 0.1;

/**
 * A list of candidates: {root, show(predictions, sentence), focus()}. `predictions` are {token, probability};
 * `sentence` is what to say if there are none.
 */
export function candidateList({ label, accept }) {
  const list = h("ol", { class: "candidates", "aria-label": label });
  const none = h("p", { class: "empty", hidden: true });
  const root = h("div", {}, list, none);
  let shown = [];
  // The buttons stay when the candidates change, and so does the focus.
  const buttonAt = (index) => {
    while (list.children.length <= index) {
      const place = list.children.length;
      list.append(h("li", {}, h("button", { type: "button", class: "candidate", on: { click: () => accept(shown[place]) } })));
    }
    return list.children[index].firstChild;
  };
  list.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    const buttons = [...list.querySelectorAll("li:not([hidden]) button")];
    if (event.key in moves) {
      event.preventDefault();
      buttons[buttons.indexOf(document.activeElement) + moves[event.key]]?.focus();
    } else if (/^[1-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && shown[event.key - 1]) {
      event.preventDefault();
      accept(shown[event.key - 1]);
    }
  });
  return {
    root,
    focus: () => list.querySelector("li:not([hidden]) button")?.focus(),
    at: (index) => shown[index],
    show(predictions, sentence = "") {
      shown = predictions;
      const most = Math.max(...predictions.map(({ probability }) => probability), FULL_BAR);
      predictions.forEach(({ token, probability }, index) => fill(buttonAt(index),
        h("kbd", { "aria-hidden": "true" }, index < 9 ? index + 1 : ""),
        h("bdi", { class: "candidate-word" }, visible(token)),
        h("span", { class: "candidate-bar", "aria-hidden": "true", style: { "--share": probability / most } }),
        h("span", { class: "candidate-share" }, percent(probability))));
      [...list.children].forEach((item, index) => { item.hidden = index >= predictions.length; });
      list.hidden = !predictions.length;
      none.hidden = Boolean(predictions.length) || !sentence;
      fill(none, sentence);
    },
  };
}
