// Labels with their probabilities as bars.

import { h } from "../dom.js";

/** A list of {label, probability}, each with a bar. */
export function bars(entries, name) {
  return h("ol", { class: "bars", "aria-label": name }, entries.map(({ label, probability }) =>
    h("li", {}, h("span", { class: "name", dir: "auto" }, label), h("span", { class: "track", "aria-hidden": "true" },
      h("span", { class: "fill", style: { "inline-size": `${(probability * 100).toFixed(2)}%` } })),
    h("span", { class: "amount" }, `${(probability * 100).toFixed(1)} %`))));
}
