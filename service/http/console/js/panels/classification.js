// The panel of classifiers: labels of all that was read, and their course over the steps.

import { fill, h } from "../dom.js";
import { empty } from "../notices.js";
import { bars } from "../parts/bars.js";
import { curvesElement, drawCurves } from "../parts/curves.js";
import { painter } from "../parts/painter.js";
import { renderSequence } from "./sequences/desk.js";

const SHOWN = 10;
const CURVES = 6;

export function render(root, { model, signal }) {
  const list = h("div", {}), chart = curvesElement();
  let steps = [];
  const paint = painter(() => drawCourse(chart, steps), signal);
  return renderSequence(root, { model, signal }, {
    title: "Labels of all that was read",
    options: {},
    element: h("div", { class: "two" }, list, chart),
    keep: ({ labels }) => ({ labels: labels.slice(0, SHOWN), more: Math.max(0, labels.length - SHOWN) }),
    show(all) {
      steps = all;
      const last = steps.at(-1)?.kept;
      fill(list, last ? bars(last.labels, "Labels") : empty("Feed something to see its labels."),
        last?.more > 0 && h("p", { class: "quiet small" }, `and at least ${last.more} less probable ones`));
      chart.hidden = steps.length < 2;
      if (steps.length > 1) paint();
    },
  });
}

/** The course of the labels that are now the most probable. A label that was not among the first ten then has a gap. */
function drawCourse(node, steps) {
  const names = steps.at(-1).kept.labels.slice(0, CURVES).map(({ label }) => label);
  const at = ({ kept }, name) => kept.labels.find(({ label }) => label === name)?.probability ?? null;
  return drawCurves(node, {
    x: steps.map((_, step) => step + 1), curves: names.map((name) => ({ name, y: steps.map((step) => at(step, name)) })), range: [0, 1.02],
    label: `Probabilities of ${names.join(", ")} over ${steps.length} steps`,
  });
}
