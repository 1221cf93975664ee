// What the newest row was, in a line, and what the marks of the chart mean.

import { fill, h } from "../../dom.js";
import { toText } from "../../parts/times.js";
import { levelOf, LEVELS } from "./scores.js";

const number = (value) => (value === null || value === undefined ? "missing" : value.toLocaleString("en", { maximumSignificantDigits: 6 }));

/** Tell the newest row of a Run: what came, what was expected, and its anomaly score. */
export function readout(node, { series, fed, marks, forecast }, { target, column }) {
  const mark = marks.at(-1);
  const when = series.times ? toText(series.times[fed - 1]).replace("T", " ").replace("Z", "") : null;
  const came = column >= 0 ? series.rows[fed - 1][column] : null;
  const expected = mark?.expected?.[target];
  fill(node, h("span", { class: "tile" }, h("small", {}, `row ${fed} of ${series.rows.length}`), h("strong", {}, when ?? `row ${fed}`)),
    column >= 0 && tile("came", number(came)),
    expected !== undefined && tile("expected", number(expected)),
    expected !== undefined && came !== null && tile("error", signed(came - expected)),
    expected === undefined && forecast.observed && tile("mean error of the history", number(forecast.observed.mean_absolute_error)),
    score(mark?.score));
}

const tile = (name, value) => h("span", { class: "tile" }, h("small", {}, name), h("strong", {}, value));
const signed = (value) => (value < 0 ? "−" : "+") + number(Math.abs(value));

function score(value) {
  if (value === null || value === undefined) return tile("anomaly score", "none");
  const level = levelOf(value);
  return h("span", { class: "tile" }, h("small", {}, "anomaly score"),
    h("strong", { style: { color: `var(${level.colour})` } }, h("span", { "aria-hidden": "true" }, `${level.mark} `), `${value.toFixed(3)} ${level.name}`));
}

/** What lines, bands and marks mean. */
export function legend({ levels }) {
  const entry = (mark, colour, text) => h("li", {}, h("span", { "aria-hidden": "true", style: { color: `var(${colour})` } }, mark), ` ${text}`);
  return h("ul", { class: "legend small" }, entry("━", "--text", "came"), entry("┅", "--quiet", "comes next, not fed yet"),
    levels && entry("━", "--series-1", "median"), levels && entry("▒", "--series-1", "between quantiles"),
    entry("┅", "--series-2", "mean"), levels && entry("━", "--series-3", "sampled paths"),
    levels && LEVELS.map(({ mark, colour, text }) => entry(mark, colour, text)));
}
