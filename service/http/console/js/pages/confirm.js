// A dialog that asks before something is done that cannot be undone.

import { h } from "../dom.js";

/** Ask, and resolve to whether the user agreed. */
export function confirm(question, detail, action) {
  const title = `confirm-${Date.now()}`;
  const dialog = h("dialog", { "aria-labelledby": title },
    h("form", { method: "dialog" }, h("h2", { id: title }, question), h("p", {}, detail),
      h("div", { class: "row" }, h("button", { type: "submit", value: "yes", class: "danger" }, action),
        h("button", { type: "submit", value: "no", autofocus: true }, "Cancel"))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
  });
}
