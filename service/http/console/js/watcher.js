// The service's metrics of the last ten minutes, read every two seconds while the console is visible.

import { events as callEvents, send } from "./api.js";

export const SECONDS = 2;
const KEEP_SECONDS = 600;

/**
 * Samples, oldest first: {time (ms), metrics: Map of name to [{labels, value}]}. "sample" is dispatched with each new one, and
 * "refused" with the error if this client may not read them.
 */
export const samples = [];
export const events = new EventTarget();

/** Parse Prometheus' text format into a Map of a metric's name to its series. */
export function parse(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
    if (!metrics.has(match[1])) metrics.set(match[1], []);
    metrics.get(match[1]).push({ labels, value: Number(match[3].replace("Inf", "Infinity")) });
  }
  return metrics;
}

/** A missing key, one that may not, and a proxy that does not pass the path on. */
const REFUSALS = new Set([401, 403, 404]);
let reading = false;
/** The error by which the service refused its metrics to this client, null if it did not. It is asked again with another key. */
export let refused = null;

/** Read the metrics once. A service that is away is told by api.js's events. */
export async function probe() {
  if (reading) return;
  reading = true;
  try {
    const response = await send("GET", "metrics", { quiet: true });
    const sample = { time: Date.now(), metrics: parse(await response.text()) };
    samples.push(sample);
    while (samples[0].time < sample.time - KEEP_SECONDS * 1000) samples.shift();
    events.dispatchEvent(new CustomEvent("sample", { detail: sample }));
  } catch (error) {
    // Told elsewhere: a lost service by the line of main.js, a missing key by its dialog.
    refused = REFUSALS.has(error.status) ? error : null;
    if (refused) events.dispatchEvent(new CustomEvent("refused", { detail: error }));
  } finally {
    reading = false;
  }
}

export function start() {
  callEvents.addEventListener("key-changed", () => { refused = null; probe(); });
  probe();
  setInterval(() => { if (!document.hidden && !refused) probe(); }, SECONDS * 1000);
}
