// The outputs of a graph: the newest numbers, and the first ones as curves over the steps.

import { fill, h } from "../../dom.js";
import { empty } from "../../notices.js";
import { curvesElement, drawCurves } from "../../parts/curves.js";
import { painter } from "../../parts/painter.js";

const CURVES = 6;
const NUMBERS = 64;

/** An element for outputs: {element, shorten(tensors), show(steps, last)}; `last` is the step of the newest of `steps`. */
export function outputsView(signal) {
  const numbers = h("div", { class: "stack" }), chart = curvesElement();
  let steps = [], last = 0;
  const paint = painter(() => drawSteps(chart, steps, last), signal);
  return {
    element: h("div", { class: "stack" }, numbers, chart),
    shorten: (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, value]) => {
      const flat = [value].flat(Infinity);
      return [name, { count: flat.length, numbers: flat.slice(0, NUMBERS).map(Number) }];
    })),
    show(all, newest) {
      [steps, last] = [all, newest];
      const tensors = steps.at(-1);
      fill(numbers, tensors ? Object.entries(tensors).map(([name, tensor]) => list(name, tensor)) : empty("Step to see the outputs."));
      chart.hidden = steps.length < 2;
      if (steps.length > 1) paint();
    },
  };
}

function list(name, { count, numbers }) {
  const text = numbers.map((number) => Number(number.toPrecision(6))).join(", ");
  return h("div", {}, h("h3", { dir: "auto" }, name, h("span", { class: "quiet small" }, ` ${count} ${count === 1 ? "number" : "numbers"}`)),
    h("p", { class: "mono" }, text, count > numbers.length && " …"));
}

function drawSteps(node, steps, last) {
  const x = steps.map((_, at) => last - steps.length + at + 1);
  const curves = Object.entries(steps.at(-1)).flatMap(([name, { numbers }]) =>
    numbers.map((_, at) => ({ name: numbers.length > 1 ? `${name}[${at}]` : name, y: steps.map((step) => step[name]?.numbers[at] ?? null) })));
  const shown = curves.slice(0, CURVES);
  const within = shown.every(({ y }) => y.every((value) => value === null || (value >= 0 && value <= 1)));
  return drawCurves(node, { x, curves: shown, range: within ? [-0.02, 1.02] : null, label: `${shown.map(({ name }) => name).join(", ")} over ${steps.length} steps` });
}
