// What happened between two samples of /metrics: rates, means and quantiles. Counters that a restarted worker began
// anew never give negative numbers.

/** Whether labels have all of these values; a value may be a function of the label. */
function fits(labels, wanted) {
  return Object.entries(wanted).every(([name, value]) => (typeof value === "function" ? value(labels[name]) : labels[name] === value));
}

const seriesOf = (sample, name, wanted) => (sample.metrics.get(`unroll_${name}`) ?? []).filter(({ labels }) => fits(labels, wanted));
const keyOf = (labels) => Object.entries(labels).sort().join();

/** The sum of a metric's series, null if there are none. */
export function total(sample, name, wanted = {}) {
  const series = seriesOf(sample, name, wanted);
  return series.length ? series.reduce((sum, { value }) => sum + value, 0) : null;
}

/** How much each series has grown: [{labels, value}]. */
function growth(before, after, name, wanted) {
  const earlier = new Map(seriesOf(before, name, wanted).map(({ labels, value }) => [keyOf(labels), value]));
  return seriesOf(after, name, wanted).map(({ labels, value }) => ({ labels, value: Math.max(0, value - (earlier.get(keyOf(labels)) ?? 0)) }));
}

const sum = (series) => series.reduce((all, { value }) => all + value, 0);

/** How much a counter has grown, over all its series. */
export const increase = (before, after, name, wanted = {}) => sum(growth(before, after, name, wanted));

/** The growth of a counter per second. */
export const rate = (before, after, name, wanted = {}) => (1000 * increase(before, after, name, wanted)) / (after.time - before.time);

/** The growth per second by the values of a label. */
export function rates(before, after, name, label, wanted = {}) {
  const result = {};
  for (const { labels, value } of growth(before, after, name, wanted)) {
    result[labels[label]] = (result[labels[label]] ?? 0) + (1000 * value) / (after.time - before.time);
  }
  return result;
}

/** The growth of one counter divided by that of another, null if the other has not grown. */
export function ratio(before, after, above, below, wanted = {}) {
  const count = increase(before, after, below, wanted);
  return count > 0 ? increase(before, after, above, wanted) / count : null;
}

/** Quantiles of what a histogram observed between two samples, as Prometheus estimates them; null without observations. */
export function quantiles(before, after, name, levels, wanted = {}) {
  const buckets = new Map();
  for (const { labels, value } of growth(before, after, `${name}_bucket`, wanted)) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  const bounds = [...buckets].sort(([a], [b]) => a - b);
  const count = bounds.at(-1)?.[1] ?? 0;
  return levels.map((level) => (count > 0 ? quantile(bounds, count * level) : null));
}

function quantile(bounds, rank) {
  let lower = 0, below = 0;
  for (const [bound, upTo] of bounds) {
    if (upTo >= rank) return bound === Infinity ? lower : lower + (bound - lower) * ((rank - below) / Math.max(upTo - below, 1e-12));
    lower = bound;
    below = upTo;
  }
  return lower;
}
