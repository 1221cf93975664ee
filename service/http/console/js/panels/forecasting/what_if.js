// A small table of what is known in advance, to ask what would be forecast if other values came.

import { fill, h } from "../../dom.js";
import { FieldError } from "../../parts/field_errors.js";

const MOST_ROWS = 200;

/**
 * A card with the values of `names` for the steps ahead. `onAsk(rows)` is called with changed ones, `onClear` when they
 * are no longer to be shown. Returns {element, show(rows, times)}.
 */
export function whatIf({ names, onAsk, onClear }) {
  let cells = [];
  const body = h("tbody", {});
  const error = h("p", { class: "field-error", role: "alert" });
  const ask = () => {
    fill(error);
    try {
      onAsk(cells.map((row, step) => row.map((cell, column) => {
        const value = Number(cell.value);
        if (!cell.value.trim() || !Number.isFinite(value)) throw new FieldError(`${names[column]} of step ${step + 1}: expected a number.`, "future");
        return value;
      })));
    } catch (problem) {
      fill(error, problem.message);
    }
  };
  const raise = h("input", { type: "number", step: "any", value: 0, "aria-label": "Change of all values" });
  const shift = () => {
    for (const cell of cells.flat()) cell.value = String(Number((Number(cell.value) + Number(raise.value)).toPrecision(12)));
    ask();
  };
  const element = h("details", { class: "card" }, h("summary", {}, "What if: values known in advance"),
    h("div", { class: "stack" },
      h("p", { class: "quiet small" }, "The model knows ", names.join(", "), " in advance. Change the values of the steps ahead and compare; the session stays as it is."),
      h("div", { class: "row" }, h("button", { type: "button", class: "primary", on: { click: ask } }, "Forecast with these values"),
        h("button", { type: "button", on: { click: onClear } }, "Clear"), "Add ", raise, h("button", { type: "button", on: { click: shift } }, "to all")),
      error,
      h("div", { class: "scroll future", tabindex: "0", role: "region", "aria-label": "Values known in advance" },
        h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "step"), names.map((name) => h("th", { scope: "col" }, name)))), body))));
  const show = (rows, times) => {
    cells = rows.slice(0, MOST_ROWS).map((row, step) => row.map((value, column) =>
      h("input", { type: "text", inputmode: "decimal", size: 8, value: String(value), "aria-label": `${names[column]}, step ${step + 1}` })));
    fill(body, cells.map((row, step) => h("tr", {}, h("th", { scope: "row" }, times?.[step] ?? `+${step + 1}`), row.map((cell) => h("td", {}, cell)))));
  };
  return { element, show };
}
