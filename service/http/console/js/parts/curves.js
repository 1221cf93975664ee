// Curves over the steps of a session.

import { draw, series } from "../charts.js";
import { fill, h } from "../dom.js";

const LINES = ["━━", "━ ━", "···", "━·━", "━━ ━━", "━━·━━"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

/** A place for curves, and for a line that names them. */
export const curvesElement = () => h("div", { hidden: true }, h("div", { class: "chart short" }), h("ul", { class: "legend small" }));

/**
 * Draw a curve for each entry of `curves`, {name, y}, over `x`, into a curvesElement. Each has a colour and a dash of its
 * own. `range` bounds the axis of values, `unit` names that of steps.
 */
export function drawCurves({ firstChild: node, lastChild: names }, { x, curves, range, unit = "step", label }) {
  const few = x.length < 60;
  const traces = curves.map(({ name, y }, at) => ({
    name: escape(name), x, y, mode: few ? "lines+markers" : "lines", line: { color: series(at), width: 2, dash: DASHES[at % DASHES.length] },
    marker: { color: series(at), size: 5 }, hovertemplate: `%{y:.4~g}<extra>${escape(name)}</extra>`,
  }));
  fill(names, curves.length > 1 && curves.map(({ name }, at) => h("li", {},
    h("span", { "aria-hidden": "true", style: { color: `var(--series-${(at % 6) + 1})` } }, LINES[at % LINES.length]), ` ${name}`)));
  const axis = { automargin: false, fixedrange: true };
  return draw(node, traces, {
    uirevision: "curves", hovermode: "x", margin: { l: 56, r: 12, t: 8, b: 40 },
    xaxis: { ...axis, title: { text: unit }, ...(few ? { dtick: x.length < 12 ? 1 : undefined } : {}) }, yaxis: { ...axis, ...(range ? { range } : {}) },
  }, { label });
}

/** Names of a model come to plotly as texts, which would read tags in them. */
export const escape = (name) => name.replaceAll("<", "&lt;");
