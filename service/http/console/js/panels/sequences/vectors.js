// Vectors as pictures, and their similarities as a table.

import { h } from "../../dom.js";

const MOST_BARS = 512;

/** The cosine of the angle between two vectors; 0 if one of them is zero. */
export function cosine(one, other) {
  const product = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);
  const size = Math.sqrt(product(one, one) * product(other, other));
  return size ? product(one, other) / size : 0;
}

/** The numbers of a vector as bars, up for positive ones and down for negative ones. */
export function strip(vector) {
  const shown = vector.slice(0, MOST_BARS);
  const most = Math.max(...shown.map(Math.abs), 1e-12);
  const label = `Vector of ${vector.length} numbers, the first ${vector.slice(0, 3).map((value) => value.toFixed(3)).join(", ")}`;
  return h("div", { class: "strip", role: "img", "aria-label": label }, shown.map((value) =>
    h("span", { class: value < 0 ? "down" : "up", title: value.toFixed(5), style: { "block-size": `${(Math.abs(value) / most) * 50}%` } })));
}

/** A table of the cosines between all pairs of {label, vector}. */
export function matrix(entries) {
  const cell = (one, other) => {
    const value = cosine(one.vector, other.vector);
    return h("td", { class: "number", style: { background: `color-mix(in srgb, var(--accent-soft) ${Math.round(Math.max(0, value) * 100)}%, transparent)` } }, value.toFixed(3));
  };
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Cosine similarity" }, h("table", { class: "matrix" },
    h("thead", {}, h("tr", {}, h("td", {}), entries.map((_, at) => h("th", { scope: "col", class: "number" }, String(at + 1))))),
    h("tbody", {}, entries.map((one, at) => h("tr", {}, h("th", { scope: "row", dir: "auto" }, `${at + 1} ${one.label}`), entries.map((other) => cell(one, other)))))));
}
