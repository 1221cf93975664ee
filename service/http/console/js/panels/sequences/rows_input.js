// Rows of numbers that are fed one after the other.

import { fill, h } from "../../dom.js";
import { feeder } from "../../parts/feeder.js";
import { readTable } from "../../parts/csv.js";
import { tableInput } from "../../parts/table_input.js";
import { columnsForm } from "../forecasting/columns_form.js";
import { guessColumns, inputOf, seriesOf } from "../forecasting/series.js";

const MOST_WHOLE = 1024;

/** An element to give rows in, and to feed them; with `whole`, all are one input. */
export function rowsInput({ feed, fail, names, signal, whole }) {
  let series = null, fed = 0;
  const told = h("div", {}), columns = h("div", {}), place = h("p", { class: "small quiet", role: "status" });
  const show = () => fill(place, series && `Row ${fed} of ${series.rows.length} is fed.`);
  const next = async () => {
    const { values } = inputOf(series, fed, fed + 1);
    await feed(series.rows[fed].map((value) => value ?? "–").join(", "), { values });
    fed += 1;
    show();
    if (fed >= series.rows.length) control.enable(false);
    return fed < series.rows.length;
  };
  const predictAll = () => feed(`${series.rows.length} rows`, { values: inputOf(series, 0, MOST_WHOLE).values }).catch(fail);
  const control = feeder({ feed: next, onError: fail, signal });
  const predict = h("button", { type: "button", class: "primary", disabled: true, on: { click: predictAll } }, "Predict");
  const ready = (value) => { control.enable(value); predict.disabled = !value; };
  const use = (table, chosen) => {
    try {
      series = seriesOf(table, { ...chosen, time: -1 });
      fed = 0;
      const notes = whole && series.rows.length > MOST_WHOLE ? [...series.notes, `Only the first ${MOST_WHOLE} rows are read.`] : series.notes;
      fill(told, h("p", {}, `${series.rows.length.toLocaleString("en")} rows of ${series.names.join(", ")}.`), notes.length > 0 && h("ul", { class: "notes small quiet" }, notes.map((note) => h("li", {}, note))));
      ready(true);
    } catch (error) {
      series = null;
      ready(false);
      fill(told, h("div", { class: "error", role: "alert" }, error.message));
    }
    show();
  };
  const read = (text) => {
    const table = readTable(text);
    const form = columnsForm(table, names, guessColumns(table, names), (chosen) => use(table, chosen), false);
    fill(columns, form.element);
    use(table, form.read());
  };
  const load = async () => ({ text: sample(names), name: "waves" });
  return h("div", { class: "stack" },
    h("p", { class: "quiet small" }, `The model reads ${names.join(", ")} in each row.`),
    tableInput({ onText: read, signal, examples: [{ label: "Take made-up rows", load }], hint: "A header and empty cells are recognised." }),
    told, columns, whole ? predict : h("div", { class: "row" }, control.element, place));
}

/** Rows to try a model with: waves around 5, since nothing is known of what its numbers mean. */
function sample(names) {
  const rows = Array.from({ length: 60 }, (_, row) =>
    names.map((_name, at) => (5 + 4 * Math.sin(row / (3 + at))).toFixed(3)).join(","));
  return [names.map((name) => `"${name.replaceAll('"', '""')}"`).join(","), ...rows].join("\n");
}
