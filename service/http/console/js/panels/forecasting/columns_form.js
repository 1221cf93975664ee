// Which columns of a table are fed.

import { field, h } from "../../dom.js";

/** Fields for the time column and for each input, by its name: {element, read()}. `onChange` is called with the columns chosen; without `timed`, times are not fed. */
export function columnsForm(table, names, { time, inputs }, onChange, timed = true) {
  const choices = (chosen, none) => h("select", {},
    h("option", { value: -1, selected: chosen < 0 }, none),
    table.names.map((name, at) => h("option", { value: at, selected: at === chosen }, name)));
  const timeSelect = choices(time, "none");
  const selects = inputs.map((at) => choices(at, "choose"));
  const read = () => ({ time: Number(timeSelect.value), inputs: selects.map((select) => Number(select.value)) });
  const element = h("div", { class: "row" }, timed && field("Times", timeSelect),
    selects.map((select, at) => field(names[at] ?? `Input ${at + 1}`, select)));
  element.addEventListener("change", () => onChange(read()));
  return { element, read };
}
