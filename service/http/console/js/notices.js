// What a page shows while it loads, when there is nothing to show, and when something failed.

import { h, fill } from "./dom.js";

/** Show an error in words, with its request id and, if `retry` is given, a button that calls it. */
export function showError(root, error, retry = null) {
  if (error.name === "AbortError") return;
  fill(root, errorBox(error, retry));
}

/** An element that tells an error. */
export function errorBox(error, retry = null) {
  return h("div", { class: "error", role: "alert" },
    h("p", {}, error.message || String(error)),
    error.requestId && h("p", { class: "small" }, "Request ", h("code", {}, error.requestId), error.code && ` · ${error.code}`),
    retry && h("button", { type: "button", on: { click: retry } }, "Try again"));
}

export const loading = (what = "Loading …") => h("p", { class: "loading", role: "status" }, what);
export const empty = (...what) => h("p", { class: "empty" }, ...what);
