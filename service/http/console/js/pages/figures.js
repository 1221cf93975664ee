// Held-out figures of a model card beside those of its baseline.

import { h } from "../dom.js";
import { figure } from "./format.js";

const LOWER = /perplexity|error|loss|mae|mse|mase|smape|mape|crps|pinball|\bwer\b|\bcer\b/;
const HIGHER = /accuracy|bleu|chrf|\bf1\b|\bauc\b|precision|recall|score/;
const NAMES = { mae: "MAE", rmse: "RMSE", mse: "MSE", mase: "MASE", smape: "sMAPE", mape: "MAPE", crps: "CRPS", bleu: "BLEU",
  chrf: "chrF", wer: "WER", cer: "CER", f1: "F1", auc: "AUC", nll: "NLL" };

/** A name of a figure in words: test_top1_accuracy is "top-1 accuracy". */
export function label(name) {
  const words = name.replace(/^test_/, "").replace(/_/g, " ").replace(/\btop(\d+)\b/, "top-$1").split(" ");
  return words.map((word) => NAMES[word] ?? word).join(" ");
}

/** Whether lower or higher figures of this name are better; null if that is not known. */
export function direction(name) {
  const words = name.toLowerCase().replace(/[_.]/g, " ");
  if (LOWER.test(words)) return "lower";
  return HIGHER.test(words) ? "higher" : null;
}

/** The figures of a card: [{name, label, value, baseline, direction, better}], those with a baseline first. */
export function figures(metrics) {
  const baseline = isMapping(metrics.baseline) ? metrics.baseline : {};
  const rows = [...flatten(metrics)].map(([path, value]) => {
    const other = path.reduce((at, key) => (isMapping(at) ? at[key] : undefined), baseline);
    const name = path.join(".");
    const way = direction(name);
    const known = typeof other === "number" && way !== null && other !== value;
    return { name, label: path.length > 1 ? `${label(path[0])} ${path.slice(1).join(" ")}` : label(name), value,
      baseline: typeof other === "number" ? other : null, direction: way,
      better: known ? (way === "lower" ? value < other : value > other) : null };
  });
  return [...rows.filter((row) => row.baseline !== null), ...rows.filter((row) => row.baseline === null)];
}

function* flatten(metrics, path = []) {
  for (const [name, value] of Object.entries(metrics)) {
    if (path.length === 0 && name === "baseline") continue;
    if (typeof value === "number") yield [[...path, name], value];
    else if (isMapping(value)) yield* flatten(value, [...path, name]);
  }
}

const isMapping = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The name of what a card compares with, null without one. */
export const baselineName = ({ baseline }) => (isMapping(baseline) ? String(baseline.name ?? "baseline") : null);

/** A table of figures; `rows` are some of those of `figures`. */
export function figuresTable(metrics, rows) {
  const baseline = baselineName(metrics);
  return h("table", { class: "figures" },
    baseline && h("caption", { dir: "auto" }, "Baseline: ", baseline),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Held out"), h("th", { scope: "col", class: "number" }, "This model"),
      baseline && h("th", { scope: "col", class: "number" }, "Baseline"))),
    h("tbody", {}, rows.map((row) => h("tr", {},
      h("th", { scope: "row" }, row.label, row.direction && h("small", { class: "quiet" }, ` ${row.direction} is better`)),
      h("td", { class: "number" }, figure(row.value), row.better && h("span", { class: "better" }, " ✓",
        h("span", { class: "hidden-text" }, " better than the baseline"))),
      baseline && h("td", { class: "number" }, row.baseline === null ? "–" : figure(row.baseline))))));
}
