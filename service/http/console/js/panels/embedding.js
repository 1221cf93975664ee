// The panel of encoders: the vector of all that was read, and how similar vectors are to one another.

import { fill, h } from "../dom.js";
import { empty } from "../notices.js";
import { renderSequence } from "./sequences/desk.js";
import { cosine, matrix, strip } from "./sequences/vectors.js";

const MOST = 12;

export function render(root, { model, signal }) {
  const slot = `unroll-vectors-${model.id}`;
  let kept = JSON.parse(sessionStorage.getItem(slot) ?? "[]"), current = null;
  const picture = h("div", {}), compared = h("div", {});
  const save = h("button", { type: "button", disabled: true, on: { click: () => keep() } }, "Keep this vector to compare");
  const clear = h("button", { type: "button", on: { click: () => { kept = []; store(); } } }, "Forget all");
  const store = () => { sessionStorage.setItem(slot, JSON.stringify(kept)); compare(); };
  const keep = () => {
    kept = [...kept.filter(({ label }) => label !== current.label), current].slice(-MOST);
    store();
  };
  const compare = () => {
    clear.hidden = !kept.length;
    const all = current && !kept.some(({ label }) => label === current.label) ? [...kept, current] : kept;
    fill(compared, all.length > 1 ? matrix(all) : empty("Keep a vector, begin a new session, and feed something else: the table shows how similar they are."));
  };
  return renderSequence(root, { model, signal }, {
    title: "Vector of all that was read",
    options: {},
    element: h("div", { class: "stack" }, picture, h("div", { class: "row" }, save, clear), h("h3", {}, "Cosine similarity"), compared),
    keep: ({ embedding }) => embedding,
    show(steps) {
      const vector = steps.at(-1)?.kept;
      const label = steps.map((step) => step.label).join(" ");
      current = vector ? { label: label.length > 60 ? `…${label.slice(-60)}` : label, vector } : null;
      save.disabled = !current;
      const before = steps.at(-2)?.kept;
      fill(picture, current ? [strip(vector), before && h("p", { class: "quiet small" }, `${vector.length} numbers. Similarity to the vector before this step: ${cosine(before, vector).toFixed(3)}`)]
        : empty("Feed something to see its vector."));
      compare();
    },
  });
}
