// The frame of the console: which page the address names, the API key, the theme, and whether the service answers.

import { events, getKey, ROOT, setKey } from "./api.js";
import { restyle } from "./charts.js";
import { fill } from "./dom.js";
import { loading, showError } from "./notices.js";
import * as watcher from "./watcher.js";

const PAGES = {
  models: () => import("./pages/models.js"),
  sessions: () => import("./pages/sessions.js"),
  pulse: () => import("./pages/pulse.js"),
};
const main = document.getElementById("main");
let leave = new AbortController();

/** Show the page that the address names, #/PAGE/PARAMETER/...; `signal` tells it when the user goes elsewhere. */
async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [name = "models", ...parameters] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const view = document.createElement("div");
  fill(view, loading());
  fill(main, view);
  try {
    const page = await (PAGES[name] ?? PAGES.models)();
    if (!signal.aborted) await page.render(view, { parameters, signal });
  } catch (error) {
    if (!signal.aborted) showError(view, error, show);
  }
}

function askForKey(reason) {
  const dialog = document.getElementById("key-dialog");
  if (dialog.open) return;
  if (reason) fill(document.getElementById("key-reason"), reason, " This tab keeps the key until you close it.");
  document.getElementById("key-input").value = "";
  dialog.showModal();
}

function followKey() {
  const button = document.getElementById("key-button");
  button.hidden = !getKey();
  events.addEventListener("key", ({ detail }) => { button.hidden = false; askForKey(detail); });
  button.addEventListener("click", () => askForKey(null));
  document.getElementById("key-form").addEventListener("submit", () => {
    setKey(document.getElementById("key-input").value.trim());
    button.hidden = false;
    show();
  });
}

function followTheme() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = sessionStorage.getItem("unroll-theme");
  if (stored) root.dataset.theme = stored;
  dark.addEventListener("change", restyle);
  document.getElementById("theme-button").addEventListener("click", () => {
    root.dataset.theme = (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
    sessionStorage.setItem("unroll-theme", root.dataset.theme);
    restyle();
  });
}

/** Tell while the service is away, and look for it until it is back. */
function followConnection() {
  const line = document.getElementById("connection");
  let timer = null;
  events.addEventListener("away", () => {
    fill(line, "The service does not answer. Trying again …");
    line.hidden = false;
    timer ??= setInterval(() => watcher.probe(), 1500);
  });
  events.addEventListener("back", () => {
    clearInterval(timer);
    timer = null;
    fill(line, "The service answers again.");
    setTimeout(() => { line.hidden = timer === null; }, 2500);
  });
}

followTheme();
followKey();
followConnection();
watcher.start();
addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); });
document.querySelector("a[href='docs']").href = new URL("docs", ROOT).href;
show();
