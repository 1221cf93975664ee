// The chart of a forecast: history, fan of quantiles, sampled paths, and the anomaly score of each row.

import { draw, series as colourOf } from "../../charts.js";
import { interval } from "./series.js";
import { levelOf, LEVELS } from "./scores.js";

const WINDOW = 240;
const MOST_PATHS = 50;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const faded = (hex, share) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${share})`;

/** Where each row and each step ahead stands on the axis of time. */
function axis({ series, fed }, forecast) {
  if (!series.times) return { past: (at) => at + 1, ahead: (step) => fed + step + 1 };
  const text = (time) => new Date(time).toISOString();
  const step = interval(series) ?? 1000;
  return {
    past: (at) => text(series.times[at]),
    ahead: (at) => forecast.timestamps?.[at] ?? text(series.times[fed - 1] + (at + 1) * step),
  };
}

const pick = (rows, target) => rows.map((row) => (Array.isArray(row) ? row[target] : row));

/**
 * Draw a Run. `target` is the index of the forecast feature, `column` that of the input whose history it continues (-1 if
 * not known); `actual` shows the rows that are still to come; `imagined` is a forecast to compare with. Unless it stands
 * `still`, it shows no numbers under the pointer, which would take a third of the time.
 */
export function drawRun(node, run, { target, column, actual, imagined, still, label }) {
  const { series, fed, forecast, marks } = run;
  const x = axis(run, forecast), from = Math.max(0, fed - WINDOW);
  const traces = [];
  if (forecast) traces.push(...fan(forecast, target, x), ...paths(forecast, target, x));
  if (column >= 0) {
    const history = range(from, fed);
    traces.push(line("came", history.map(x.past), history.map((at) => series.rows[at][column]), { color: css("--text"), width: 1.5 }));
    if (actual && forecast) {
      const coming = range(fed, Math.min(fed + forecast.horizon, series.rows.length));
      const colour = css("--quiet");
      traces.push(line("comes, not fed yet", coming.map(x.past), coming.map((at) => series.rows[at][column]), { color: colour, width: 2, dash: "dot" }));
    }
  }
  if (forecast) traces.push(...middle(forecast, target, x));
  if (imagined) traces.push(line("what if", imagined.steps.map((at) => x.ahead(at)), pick(imagined.values, target), { color: colourOf(3), width: 2.5, dash: "dashdot" }));
  const shown = marks.filter(({ at, score }) => at >= from && score !== null);
  traces.push(...scores(shown, x));
  return draw(node, traces, layout(shown.length > 0, series.times, still), { label });
}

const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);
const line = (name, x, y, style) => ({ name, x, y, mode: "lines", line: style, hovertemplate: `%{y:.6~g}<extra>${name}</extra>` });

function fan({ quantiles, horizon }, target, x) {
  const levels = Object.keys(quantiles).sort((one, other) => one - other);
  const steps = range(0, horizon).map(x.ahead);
  return range(0, levels.length >> 1).map((at) => {
    const [low, high] = [levels[at], levels.at(-1 - at)];
    return {
      name: `${low} to ${high}`, x: [...steps, ...steps.toReversed()],
      y: [...pick(quantiles[high], target), ...pick(quantiles[low], target).reverse()],
      fill: "toself", fillcolor: faded(colourOf(0), 0.18), line: { width: 0 }, mode: "lines", hoverinfo: "skip",
    };
  });
}

function paths({ samples }, target, x) {
  if (!samples?.length) return [];
  const shown = samples.slice(0, MOST_PATHS);
  const steps = range(0, shown[0].length).map(x.ahead);
  return [{ ...line("sampled paths", shown.flatMap(() => [...steps, null]), shown.flatMap((path) => [...pick(path, target), null]),
    { color: faded(colourOf(2), 0.45), width: 1 }), hoverinfo: "skip", hovertemplate: undefined }];
}

function middle({ quantiles, mean, horizon }, target, x) {
  const steps = range(0, horizon).map(x.ahead);
  const lines = [line("mean", steps, pick(mean, target), { color: colourOf(1), width: 1.5, dash: "dot" })];
  if (quantiles["0.5"]) lines.push(line("median", steps, pick(quantiles["0.5"], target), { color: colourOf(0), width: 2 }));
  return lines;
}

/** A stem for each score, in one path since marks are slow to draw, and marks of a shape of their own on high ones. */
function scores(marks, x) {
  return LEVELS.map(({ name, colour, symbol, size }) => {
    const those = marks.filter(({ score }) => levelOf(score).name === name);
    const text = `%{y:.3f}<extra>${name}</extra>`;
    if (!symbol) {
      return { ...line(name, those.flatMap(({ at }) => [x.past(at), x.past(at), null]), those.flatMap(({ score }) => [0, score, null]),
        { color: css(colour), width: 1.5 }), yaxis: "y2", hovertemplate: text };
    }
    return { name, x: those.map(({ at }) => x.past(at)), y: those.map(({ score }) => score), mode: "markers", yaxis: "y2",
      marker: { color: css(colour), symbol, size }, hovertemplate: text };
  });
}

function layout(scored, times, still) {
  const room = scored ? 0.3 : 0, automargin = false;
  return {
    uirevision: "run", hovermode: still && "x", margin: { l: 56, r: 8, t: 8, b: 40 },
    xaxis: { automargin, anchor: "y2", title: { text: times ? "" : "row" }, type: times ? "date" : "linear" },
    yaxis: { automargin, domain: [room, 1] },
    yaxis2: { automargin, domain: [0, scored ? 0.2 : 0.01], range: [-0.06, 1.1], tickvals: scored ? [0, 0.5, 1] : [], title: { text: scored ? "anomaly" : "", font: { size: 11 } } },
  };
}
