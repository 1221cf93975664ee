// Where a series is forecast and fed: options, chart, feeding, and what if.

import { fill, field, h } from "../../dom.js";
import { FieldError, FieldErrors, wholeNumber } from "../../parts/field_errors.js";
import { feeder } from "../../parts/feeder.js";
import { painter } from "../../parts/painter.js";
import { sessionLine } from "../../parts/session_line.js";
import { drawRun } from "./chart.js";
import { optionsForm } from "./options_form.js";
import { legend, readout } from "./readout.js";
import { Run } from "./run.js";
import { futureOf } from "./series.js";
import { whatIf } from "./what_if.js";

export class Desk {
  /** `context` has what the panel knows of the model: {model, session, shape, signal, names}. */
  constructor(root, series, context) {
    Object.assign(this, { root, series, context, imagined: null });
    const { session, shape, model } = context;
    this.known = shape.known.map((name) => shape.features.indexOf(name));
    this.run = new Run(session, series, { known: this.known, slot: `unroll-run-${model.id}` });
    this.form = optionsForm(shape);
    this.form.start.value = String(Math.max(1, Math.min(series.rows.length >> 1, 4000)));
  }

  /** Show it. With `resume`, go on where the tab left off. */
  async open(resume) {
    this._build();
    if (resume && await this.run.resume().catch(() => false)) {
      this.form.start.value = String(this.run.fed);
      await this._look();
    } else {
      await this._start();
    }
  }

  _build() {
    this.paint = painter(() => this._draw(), this.context.signal);
    const { session, signal, names } = this.context;
    this.chart = h("div", { class: "chart forecast" });
    this.line = h("div", { class: "readout" });
    this.announcement = h("p", { class: "visually-hidden", role: "status" });
    this.problem = h("div", {});
    this.errors = new FieldErrors(this.form.fields, this.problem);
    this.actual = h("input", { type: "checkbox", checked: true, on: { change: () => this.paint() } });
    this.target = h("select", { on: { change: () => this.paint() } }, names.map((name, at) => h("option", { value: at }, name)));
    this.feeder = feeder({ signal, feed: () => this._feed(), onPause: () => this.paint(), onError: (error) => this._fail(error) });
    this.what = this.known.length ? whatIf({ names: this.context.shape.known,
      onAsk: (rows) => this._imagine(rows), onClear: () => { this.imagined = null; this.paint(); } }) : null;
    const again = () => this._try(() => this._start());
    const standing = sessionLine(again);
    standing.follow(session);
    this.form.element.addEventListener("change", ({ target }) => { if (target !== this.form.start) this._try(() => this._look()); });
    this.form.element.addEventListener("keydown", ({ key }) => { if (key === "Enter") again(); });
    fill(this.root,
      h("section", { class: "card stack", "aria-labelledby": "forecast-title" }, h("h2", { id: "forecast-title" }, "Forecast"),
        h("div", { class: "row end" }, this.form.element,
          h("button", { type: "button", class: "primary", on: { click: again } }, "Forecast")),
        this.problem,
        h("div", { class: "row spread" }, this.feeder.element, h("div", { class: "row" },
          names.length > 1 && field("Show", this.target),
          h("label", { class: "small" }, this.actual, " Show what comes next"))),
        this.line, this.announcement, this.chart, legend(this.context.shape), standing.root),
      this.what?.element);
  }

  async _try(action) {
    try {
      await action();
    } catch (error) {
      this._fail(error);
    }
  }

  _options() {
    this.errors.clear();
    return this.form.read();
  }

  async _start() {
    this.feeder.enable(false);
    this.imagined = null;
    const rows = this.series.rows.length;
    try {
      const options = this._options();
      const count = wholeNumber(this.form.start, "History", 1, rows, "start") ?? rows;
      fill(this.line, `Feeding ${count} rows …`);
      await this.run.start(count, options);
      this._show();
    } catch (error) {
      this._fail(error);
    }
    this.feeder.enable(this.run.forecast !== null && this.run.more);
  }

  async _look() {
    if (!this.run.fed) return;
    this.imagined = null;
    await this.run.look(this._options());
    this.feeder.enable(this.run.more);
    this._show();
  }

  async _feed() {
    this.imagined = null;
    await this.run.feed(1, this._options());
    this._show();
    if (!this.run.more) {
      this.feeder.enable(false);
      fill(this.announcement, "All rows are fed.");
    }
    return this.run.more;
  }

  async _imagine(rows) {
    await this._try(async () => {
      const options = this._options();
      delete options.samples;
      delete options.seed;
      const output = await this.run.imagine(rows, options);
      this.imagined = { steps: rows.map((_, at) => at), values: output.quantiles["0.5"] ?? output.mean };
      await this.paint();
    });
  }

  _fail(error) {
    if (error.name === "AbortError") return;
    this.feeder.pause();
    fill(this.line);
    const ended = ["session_expired", "session_ended", "session_not_found", "model_version_gone"].includes(error.code);
    this.errors.tell(error, ended && h("button", { type: "button", on: { click: () => this._try(() => this._start()) } }, "Begin a new session"));
    if (!(error instanceof FieldError)) this.feeder.enable(this.run.forecast !== null && this.run.more && !ended);
  }

  /** The input whose history a target continues; -1 if it is not known. */
  _column(target) {
    const { names, shape: { features } } = this.context;
    return features.length === 1 ? 0 : features.indexOf(names[target]);
  }

  _show() {
    const { run } = this;
    const target = Number(this.target.value || 0);
    readout(this.line, run, { target, column: this._column(target) });
    if (this.what) this.what.show(futureOf(this.series, this.known, run.fed, run.forecast.horizon), run.forecast.timestamps);
    this.paint();
  }

  async _draw() {
    const target = Number(this.target.value || 0);
    const { run, imagined, context } = this;
    const label = `${context.names[target] ?? "Values"}: ${run.fed} rows fed, a forecast of ${run.forecast?.horizon ?? 0} steps, and anomaly scores`;
    await drawRun(this.chart, run, { target, column: this._column(target), actual: this.actual.checked, imagined, still: !this.feeder.playing(), label });
  }
}
