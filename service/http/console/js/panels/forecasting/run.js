// A series that is fed into a session: how far it is, what was forecast, and how each row compared with its forecast.

import { futureOf, inputOf } from "./series.js";

const CHUNK = 2000;
const KEPT_MARKS = 400;

export class Run {
  /** `known` are the inputs that are known in advance, `slot` is where the tab keeps the progress. */
  constructor(session, series, { known, slot }) {
    Object.assign(this, { session, series, known, slot, fed: 0, forecast: null, marks: [] });
  }

  get more() { return this.fed < this.series.rows.length; }

  /** Feed the first `count` rows to a new session. */
  async start(count, options) {
    await this.session.end();
    Object.assign(this, { fed: 0, forecast: null, marks: [] });
    while (this.fed < count) await this.feed(Math.min(CHUNK, count - this.fed), options);
  }

  /** Feed the next `count` rows. */
  async feed(count, options) {
    const from = this.fed, to = Math.min(from + count, this.series.rows.length);
    await this.session.open();
    this._keep(to);
    const result = await this.session.step(this._input(from, to, options), options);
    this._note(from, to, result.output);
    this.forecast = result.output;
    this.fed = to;
    this._keep(to);
  }

  /** Forecast again from where the session is, as other options want it. */
  async look(options) {
    const future = this.known.length ? { future: futureOf(this.series, this.known, this.fed, options.horizon ?? 1) } : undefined;
    const { output } = await this.session.peek(options, future);
    this.forecast = { ...output, observed: this.forecast?.observed ?? null };
  }

  /** Return what would be forecast if `future` came; the session stays as it is. */
  async imagine(future, options) {
    return (await this.session.peek({ ...options, horizon: future.length }, { future })).output;
  }

  /** Go on where the tab left off: true if the session and its place in the series are known. */
  async resume() {
    const kept = JSON.parse(sessionStorage.getItem(this.slot) ?? "null");
    if (!kept || !(await this.session.resume()) || kept.id !== this.session.id) return false;
    const ahead = this.session.info.step - kept.step;
    // One step further: it was applied, but the page was left before its answer came.
    if (ahead !== 0 && ahead !== 1) return false;
    Object.assign(this, { fed: ahead ? kept.to : kept.fed, marks: kept.marks });
    return this.fed > 0 && this.fed <= this.series.rows.length;
  }

  _input(from, to, { horizon }) {
    const input = inputOf(this.series, from, to);
    if (this.known.length) input.future = futureOf(this.series, this.known, to, horizon ?? 1);
    return input;
  }

  _note(from, to, output) {
    const scores = output.observed?.anomaly_scores ?? [];
    const expected = to === from + 1 && this.forecast ? firstStep(this.forecast) : null;
    // Rows that the times leave out are scored, too: the scores of the rows that were sent are the last ones.
    const skipped = scores.length - (to - from);
    for (let at = from; at < to; at += 1) this.marks.push({ at, score: scores[at - from + Math.max(skipped, 0)] ?? null, expected });
    this.marks = this.marks.slice(-KEPT_MARKS);
  }

  _keep(to) {
    const kept = { id: this.session.id, step: this.session.info.step, fed: this.fed, to, marks: this.marks };
    sessionStorage.setItem(this.slot, JSON.stringify(kept));
  }
}

/** What a forecast expects of the next row, a number for each target: its median, or else its mean. */
export function firstStep({ quantiles, mean }) {
  return [(quantiles["0.5"] ?? mean)[0]].flat();
}
