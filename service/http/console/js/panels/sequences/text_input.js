// Text that is fed step by step.

import { field, h } from "../../dom.js";

/** An element to type text in. Each piece is a step, or each word; `whole` feeds all text at once. */
export function textInput({ feed, fail, whole }) {
  const text = h("input", { type: "text", class: "wide", dir: "auto", autocomplete: "off", placeholder: "I like the big dog" });
  const words = h("input", { type: "checkbox", checked: true });
  const button = h("button", { type: "submit", class: "primary" }, whole ? "Predict" : "Feed");
  const submit = async (event) => {
    event.preventDefault();
    const typed = text.value.trim();
    if (!typed || button.disabled) return;
    const pieces = whole || !words.checked ? [typed] : typed.split(/\s+/);
    button.disabled = true;
    try {
      while (pieces.length) {
        await feed(pieces[0], { text: pieces[0] });
        pieces.shift();
      }
      if (!whole) text.value = "";
    } catch (error) {
      // What was not fed stays in the field.
      text.value = pieces.join(" ");
      fail(error);
    }
    button.disabled = false;
    text.focus();
  };
  return h("form", { class: "stack", on: { submit } },
    field("Text", text, whole ? null : "Enter feeds it. The session remembers what came before."),
    h("div", { class: "row" }, button, !whole && h("label", { class: "small" }, words, " each word is a step")));
}
