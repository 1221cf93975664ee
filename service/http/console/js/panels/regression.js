// The panel of regressions: the newest numbers, and their curves.

import { fill, h } from "../dom.js";
import { empty } from "../notices.js";
import { curvesElement, drawCurves } from "../parts/curves.js";
import { painter } from "../parts/painter.js";
import { renderSequence } from "./sequences/desk.js";

export function render(root, { model, signal }) {
  const tiles = h("div", { class: "readout" }), chart = curvesElement();
  let steps = [];
  const paint = painter(() => drawValues(chart, steps), signal);
  return renderSequence(root, { model, signal }, {
    title: "Values",
    options: {},
    element: h("div", { class: "stack" }, tiles, chart),
    keep: ({ names, values }) => ({ names, values }),
    show(all) {
      steps = all;
      const last = steps.at(-1)?.kept;
      fill(tiles, last ? last.names.map((name, at) => h("span", { class: "tile" }, h("small", {}, name),
        h("strong", {}, last.values.at(-1)[at].toLocaleString("en", { maximumSignificantDigits: 6 })))) : empty("Feed something to see its values."));
      chart.hidden = !last;
      if (last) paint();
    },
  });
}

/** Each row of the answers: of each timestep, or of each step if only its last one is answered. */
function drawValues(node, steps) {
  const rows = steps.flatMap(({ kept }) => kept.values);
  const { names } = steps.at(-1).kept;
  return drawCurves(node, {
    x: rows.map((_, at) => at + 1), curves: names.map((name, at) => ({ name, y: rows.map((row) => row[at]) })), unit: "answer",
    label: `${names.join(", ")}: ${rows.length} answers`,
  });
}
