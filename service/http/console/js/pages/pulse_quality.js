// How well the models foresee what clients feed them, beside the figures of their cards.

import { fill, h } from "../dom.js";
import { empty } from "../notices.js";
import { figure } from "./format.js";
import { smallChart } from "./pulse_chart.js";
import { ratio, total } from "./pulse_metrics.js";

/** What is observed of a model: the growth of one counter by that of another, and the figure of its card beside it. */
const KINDS = [
  { title: "perplexity", above: "observed_logprob_total", below: "observed_tokens_total", turn: Math.exp, card: "test_perplexity" },
  { title: "mean absolute error", above: "observed_absolute_error_total", below: "observed_values_total", turn: (mean) => mean, card: "test_mae_at.1" },
  { title: "mean anomaly score", above: "anomaly_score_sum", below: "anomaly_score_count", turn: (mean) => mean, card: null },
];
const WINDOW_SECONDS = 60;

/** Charts of all models that are observed. Returns {root, update}. */
export function qualities() {
  const grid = h("div", { class: "grid charts" });
  const none = empty("No model was observed yet. Feed a session words or numbers: each input is scored by what the model had predicted.");
  const root = h("div", {}, h("h2", {}, "Live quality of the models"), none, grid);
  const charts = new Map();

  function update(samples) {
    const last = samples.at(-1);
    for (const kind of KINDS) for (const model of models(last, kind)) {
      const key = `${kind.title} ${model}`;
      if (!charts.has(key)) {
        const chart = smallChart(`${model}: ${kind.title}`, figure);
        charts.set(key, chart);
        grid.append(chart.root);
      }
      show(charts.get(key), samples, kind, model);
    }
    none.hidden = charts.size > 0;
  }
  return { root, update };
}

function models(sample, { below }) {
  const series = sample.metrics.get(`unroll_${below}`) ?? [];
  return [...new Set(series.filter(({ value }) => value > 0).map(({ labels }) => labels.model))];
}

function show(chart, samples, kind, model) {
  const last = samples.at(-1), wanted = { model };
  const points = samples.slice(1).map((sample, index) => {
    const mean = ratio(before(samples, index + 1), sample, kind.above, kind.below, wanted);
    return { time: sample.time, values: { [kind.title]: mean === null ? null : kind.turn(mean) } };
  });
  const recent = ratio(samples[0], last, kind.above, kind.below, wanted);
  const mean = recent ?? total(last, kind.above, wanted) / total(last, kind.below, wanted);
  const card = kind.card && cardFigure(last, model, kind.card);
  chart.update(points, {
    value: figure(kind.turn(mean)),
    note: [recent === null && "since the start of the service", card !== null && card !== undefined && `model card ${figure(card)}`].filter(Boolean).join(" · "),
  });
}

function before(samples, index) {
  let at = index - 1;
  while (at > 0 && samples[index].time - samples[at].time < WINDOW_SECONDS * 1000) at -= 1;
  return samples[at];
}

/** The figure of the newest version's card. */
function cardFigure(sample, model, metric) {
  const series = (sample.metrics.get("unroll_model_card_metric") ?? []).filter(({ labels, value }) =>
    labels.model === model && labels.metric === metric && Number.isFinite(value));
  return series.sort((a, b) => a.labels.version - b.labels.version).at(-1)?.value ?? null;
}
