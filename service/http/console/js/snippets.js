// The calls that a panel just made, as curl and Python.

import { events, ROOT } from "./api.js";
import { fill, h } from "./dom.js";

/** An element that shows the last call as commands that do the same. */
export function snippets(signal) {
  const code = h("pre", { tabindex: "0", "aria-label": "curl" });
  const root = h("details", { class: "card", hidden: true }, h("summary", {}, "The same by curl and Python"), code);
  const show = ({ detail: { method, path, body } }) => {
    root.hidden = false;
    const data = body === undefined ? "" : ` --json '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
    fill(code, `curl${method === "GET" || method === "POST" ? "" : ` -X ${method}`} ${new URL(path, ROOT)}${data}`);
  };
  events.addEventListener("call", show, { signal });
  return root;
}
