// The panel of forecasters: a series is fed into a session, and the forecast moves with each observation.

import { ApiError, post, ROOT } from "../api.js";
import { fill, h, style } from "../dom.js";
import { LiveSession } from "../live_session.js";
import { empty } from "../notices.js";
import { readTable } from "../parts/csv.js";
import { shapeOf } from "../parts/model_shape.js";
import { tableInput } from "../parts/table_input.js";
import { columnsForm } from "./forecasting/columns_form.js";
import { Desk } from "./forecasting/desk.js";
import { guessColumns, seriesOf, summary } from "./forecasting/series.js";

const MOST_KEPT = 1_500_000;

/** Show the panel. The tab keeps the table, so that a reload goes on with it and its session. */
export async function render(root, { model, signal }) {
  style("numbers");
  const session = new LiveSession(model.id, { signal });
  const shape = await shapeOf(model, signal);
  const context = { model, session, shape, signal, names: await targetsOf(model, shape, signal) };
  const slot = `unroll-table-${model.id}`;
  const facts = h("div", {}), columns = h("div", {}), desk = h("div", { class: "stack" });
  fill(root, h("section", { class: "card stack", "aria-labelledby": "series-title" },
    h("h2", { id: "series-title" }, "Series"),
    h("p", { class: "quiet small" }, describe(context)),
    tableInput({ signal, examples: examples(context), onText: (text, name) => use(text, name) }), facts, columns), desk);
  fill(desk, empty("Take the example, or give a CSV, to see a forecast."));

  async function use(text, name, resume = false) {
    const table = readTable(text);
    keep(slot, { text, name });
    const form = columnsForm(table, shape.features, guessColumns(table, shape.features), (chosen) => show(table, chosen, name, false));
    fill(columns, form.element);
    await show(table, form.read(), name, resume);
  }

  async function show(table, chosen, name, resume) {
    try {
      const series = seriesOf(table, chosen);
      fill(facts, h("p", {}, h("strong", {}, name), ": ", summary(series)), series.notes.length > 0 && h("ul", { class: "notes small quiet" }, series.notes.map((note) => h("li", {}, note))));
      await new Desk(desk, series, context).open(resume);
    } catch (error) {
      if (error instanceof ApiError || error.name === "AbortError") throw error;
      fill(desk);
      fill(facts, h("div", { class: "error", role: "alert" }, error.message));
    }
  }

  const before = JSON.parse(sessionStorage.getItem(slot) ?? "null");
  if (before) await use(before.text, before.name, true);
}

function keep(slot, table) {
  sessionStorage.removeItem(slot);
  if (table.text.length > MOST_KEPT) return;
  try {
    sessionStorage.setItem(slot, JSON.stringify(table));
  } catch {
    // The tab has no room for it: a reload begins anew.
  }
}

/** The names of what is forecast, which only an answer tells. */
async function targetsOf(model, shape, signal) {
  const input = { values: [shape.features.map(() => null)], timestamps: ["2026-01-05T00:00:00Z"] };
  if (shape.known.length) input.future = [shape.known.map(() => 0)];
  const path = `v1/models/${encodeURIComponent(model.id)}/predict`;
  try {
    return (await post(path, { input, options: { horizon: 1 } }, { signal, quiet: true })).output.features;
  } catch (error) {
    if (!(error instanceof ApiError) || error.temporary) throw error;
    return [];
  }
}

function describe({ names, shape: { features, known, longest, calendar } }) {
  const forecasts = names.length ? ` and forecasts ${names.join(", ")}${longest ? `, up to ${longest} steps ahead` : ""}` : "";
  const future = known.length ? ` ${known.join(", ")} ${known.length === 1 ? "is" : "are"} known in advance.` : "";
  return `The model reads ${features.join(", ")} in each row${forecasts}.${future} ${calendar ? "It reads the calendar, so each row needs a time." : "Rows may have times."}`;
}

function examples({ shape, model }) {
  if (shape.features.length !== 1) return [];
  const load = async () => {
    const response = await fetch(new URL("console/examples/taxi.csv", ROOT));
    if (!response.ok) throw new Error("The example could not be loaded.");
    return { text: await response.text(), name: "taxi passengers of New York, from the golden vectors of taxi-forecast (data: Numenta Anomaly Benchmark, MIT licence)" };
  };
  return [{ label: model.id === "taxi-forecast" ? "Take the example" : "Take an example (taxi passengers)", load }];
}
