// The pulse of the service: what all workers did in the last ten minutes, since this console was opened.

import { fill, h, style } from "../dom.js";
import { empty, errorBox, loading } from "../notices.js";
import { events, refused, samples } from "../watcher.js";
import { bytes, count, duration, figure, span } from "./format.js";
import { smallChart } from "./pulse_chart.js";
import { increase, quantiles, rate, rates, ratio, total } from "./pulse_metrics.js";
import { qualities } from "./pulse_quality.js";

/** A point of a chart tells what happened in this time before it. */
const WINDOW_SECONDS = 10;
/** Requests of the console itself and of probes are not those of clients. */
const OF_CLIENTS = { route: (route) => !/^\/(?:metrics|health|console|$)/.test(route) };
/** What the service asks of the store by itself. */
const OF_REQUESTS = { operation: (operation) => !["secret", "active", "ping"].includes(operation) };

const perSecond = (number) => `${figure(number)}/s`;
const percent = (share) => `${figure(100 * share)} %`;
const halves = ([p50, p99]) => ({ p50, p99 });

/** The charts: what each shows of two samples, and how its present value is told. */
const CHARTS = [
  { title: "Session steps", format: perSecond, read: (a, b) => ({ applied: 0, ...rates(a, b, "session_steps_total", "outcome") }) },
  { title: "Requests", format: perSecond, read: (a, b) => ({ all: rate(a, b, "requests_total", OF_CLIENTS),
    errors: rate(a, b, "requests_total", { ...OF_CLIENTS, code: (code) => code >= "500" }) }) },
  { title: "Time of requests", format: duration, read: (a, b) => halves(quantiles(a, b, "request_duration_seconds", [0.5, 0.99], OF_CLIENTS)) },
  { title: "Timesteps", format: perSecond, read: (a, b) => ({ timesteps: rate(a, b, "timesteps_total") }) },
  { title: "Batch size", format: figure, read: (a, b) => ({ mean: ratio(a, b, "batch_size_sum", "batch_size_count") }) },
  { title: "Operations in the engine", format: count, read: (a, b) => ({ waiting: total(b, "queue_depth") }) },
  { title: "Wait for the engine", format: duration, read: (a, b) => halves(quantiles(a, b, "queue_wait_seconds", [0.5, 0.99])) },
  { title: "Time of the store", format: duration, read: (a, b) => halves(quantiles(a, b, "store_duration_seconds", [0.5, 0.99], OF_REQUESTS)) },
  { title: "Store", format: perSecond, read: (a, b) => ({ errors: rate(a, b, "store_errors_total") }),
    say: (sample) => ({ value: { 1: "reachable", 0: "away" }[total(sample, "store_up")] ?? "–", note: "drawn: errors per second" }) },
  { title: "Live sessions", format: count, read: (a, b) => ({ live: total(b, "sessions_active") }) },
  { title: "Sessions created and ended", format: perSecond, read: (a, b) => ({ created: rate(a, b, "sessions_created_total"), ended: rate(a, b, "sessions_ended_total") }) },
  { title: "Records found in the cache", format: percent, read: (a, b) => ({ share: share(a, b) }) },
  { title: "Lag of event loops", format: duration, read: (a, b) => halves(quantiles(a, b, "event_loop_lag_seconds", [0.5, 0.99])) },
  { title: "Memory of the largest worker", format: bytes, read: (a, b) => ({ memory: total(b, "worker_memory_bytes") }),
    say: (sample) => ({ note: `renewed above ${bytes(total(sample, "worker_memory_limit_bytes") ?? NaN)}` }) },
];

function share(before, after) {
  const all = increase(before, after, "session_cache_total");
  return all > 0 ? increase(before, after, "session_cache_total", { outcome: "hit" }) / all : null;
}

export async function render(view, { signal }) {
  style("pulse");
  const since = h("p", { class: "quiet" }), body = h("div", {}, loading("Waiting for the first samples …"));
  fill(view, h("h1", {}, "Pulse"), since, body);
  const charts = CHARTS.map((chart) => ({ ...chart, ...smallChart(chart.title, chart.format), points: [] }));
  const quality = qualities();
  let shown = false;
  const refuse = (error) => {
    shown = false;
    fill(body, errorBox(error), empty(error.status === 404 ? "The proxy in front of the service does not pass /metrics on."
      : "The metrics tell of all models, so the key has to be one that may use all."));
  };
  const show = () => {
    if (signal.aborted || document.hidden || refused || samples.length < 2) return;
    if (!shown) fill(body, h("h2", {}, "All workers"), h("div", { class: "grid charts" }, charts.map(({ root }) => root)), quality.root);
    shown = true;
    const seconds = (samples.at(-1).time - samples[0].time) / 1000;
    since.textContent = `The last ${span(seconds)}, ten minutes at most. Each point is the mean of ${WINDOW_SECONDS} s.`;
    for (const chart of charts) {
      advance(chart);
      chart.update(chart.points, chart.say?.(samples.at(-1)));
    }
    quality.update(samples);
  };
  events.addEventListener("sample", show, { signal });
  events.addEventListener("refused", ({ detail }) => refuse(detail), { signal });
  document.addEventListener("visibilitychange", show, { signal });
  if (refused) refuse(refused); else show();
}

/** Add the points of new samples to a chart, and drop those that are too old. */
function advance(chart) {
  const last = chart.points.at(-1)?.time ?? -Infinity;
  for (const [index, sample] of samples.entries()) {
    if (index === 0 || sample.time <= last) continue;
    chart.points.push({ time: sample.time, values: chart.read(windowBefore(index), sample) });
  }
  chart.points = chart.points.filter(({ time }) => time >= samples[0].time);
}

/** The newest sample that is older than the window before the sample at `index`, else the oldest one. */
function windowBefore(index) {
  let at = index - 1;
  while (at > 0 && samples[index].time - samples[at].time < WINDOW_SECONDS * 1000) at -= 1;
  return samples[at];
}
