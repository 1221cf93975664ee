// Where a user gives a table: by a file, by dropping one, by pasting, or by taking an example.

import { fill, h } from "../dom.js";

const MOST_BYTES = 8 * 1024 * 1024;
const MOST_SHOWN = 100_000;

/**
 * An element to give a table in. `onText(text, name)` is called with what was given; what it throws is told here.
 * `examples` are [{label, load}], whose `load` returns {text, name}.
 */
export function tableInput({ onText, examples = [], signal, hint = "A header, times and empty cells are recognised." }) {
  const status = h("div", { role: "status" });
  const paste = h("textarea", { "aria-label": "Rows to paste", spellcheck: "false", placeholder: "time,value\n2026-01-01T00:00Z,12.5\n…" });
  const file = h("input", { type: "file", accept: ".csv,.tsv,.txt,.json,text/csv", "aria-label": "CSV file", class: "visually-hidden" });
  const take = async (load) => {
    fill(status);
    try {
      const { text, name } = await load();
      await onText(text, name);
    } catch (error) {
      if (error.name !== "AbortError" && !signal?.aborted) fill(status, h("div", { class: "error", role: "alert" }, error.message));
    }
  };
  paste.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (text.length <= MOST_SHOWN) return;
    // A text field takes seconds to show so much.
    event.preventDefault();
    take(async () => ({ text: text.slice(0, MOST_BYTES), name: "pasted rows" }));
  });
  const read = (one) => take(async () => ({ text: await one.slice(0, MOST_BYTES).text(), name: one.name }));
  file.addEventListener("change", () => { if (file.files[0]) read(file.files[0]); file.value = ""; });
  const root = h("div", { class: "drop stack" },
    h("div", { class: "row" },
      examples.map(({ label, load }) => h("button", { type: "button", class: "primary", on: { click: () => take(load) } }, label)),
      h("label", { class: "button file" }, "Choose a CSV file", file),
      h("span", { class: "quiet small" }, "or drop one here. ", hint)),
    h("details", {}, h("summary", {}, "Paste rows"),
      h("div", { class: "stack" }, paste,
        h("button", { type: "button", on: { click: () => take(() => ({ text: paste.value, name: "pasted rows" })) } }, "Use these rows"))),
    status);
  const mark = (event) => { event.preventDefault(); root.classList.toggle("over", event.type === "dragover"); };
  root.addEventListener("dragover", mark);
  root.addEventListener("dragleave", mark);
  root.addEventListener("drop", (event) => { mark(event); if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0]); });
  return root;
}
