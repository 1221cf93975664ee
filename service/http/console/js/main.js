// The frame of the console: which page the address names, the API key, the theme, and whether the service answers.

import { events, getKey, setKey } from "./api.js";
import { release, restyle } from "./charts.js";
import { fill, h } from "./dom.js";
import { empty, loading, showError } from "./notices.js";
import * as watcher from "./watcher.js";

const PAGES = {
  models: { title: "Models", load: () => import("./pages/models.js") },
  sessions: { title: "Sessions", load: () => import("./pages/sessions.js") },
  pulse: { title: "Pulse", load: () => import("./pages/pulse.js") },
  api: { title: "API", load: () => import("./pages/api.js") },
};
const main = document.getElementById("main");
let leave = new AbortController();
/** Whether the page could not be shown because the service was away. */
let unreached = false;

/** Return what the address names: #/PAGE/PARAMETER/... */
function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  const [name = "models", ...parameters] = parts;
  return { name, parameters, page: Object.hasOwn(PAGES, name) ? PAGES[name] : null };
}

/** Show the page that the address names; `signal` tells it when the user goes elsewhere. */
async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { name, parameters, page } = route();
  document.title = [...parameters.slice(0, 1), page?.title ?? "No such page", "Unroll"].join(" · ");
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  release(main);
  const view = h("div", {}, loading());
  fill(main, view);
  if (!page) return fill(view, h("h1", {}, "No such page"), empty("There is no page ", h("code", {}, location.hash), " in this console."));
  unreached = false;
  try {
    const { render } = await page.load().catch(() => { throw new Error("This page could not be loaded from the service."); });
    if (!signal.aborted) await render(view, { parameters, signal });
  } catch (error) {
    if (signal.aborted) return;
    unreached = error.status === undefined || error.unanswered;
    showError(view, error, show);
  }
}

/** Show the page of a changed address. The focus stays on the link that was followed if the new page has it, too. */
async function follow() {
  const followed = main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
  await show();
  const same = followed && [...main.querySelectorAll("a")].find((link) => link.getAttribute("href") === followed);
  if (same && document.activeElement === main) same.focus();
}

function askForKey(reason) {
  const dialog = document.getElementById("key-dialog");
  document.getElementById("key-reason").textContent = reason ?? "The service asks for an API key.";
  if (dialog.open) return;
  document.getElementById("key-input").value = "";
  dialog.showModal();
}

function followKey() {
  const button = document.getElementById("key-button");
  const input = document.getElementById("key-input");
  button.hidden = !getKey();
  events.addEventListener("key", ({ detail }) => {
    button.hidden = false;
    askForKey(getKey() ? `This key was not accepted: ${detail}` : null);
  });
  button.addEventListener("click", () => askForKey(null));
  input.addEventListener("input", () => input.setCustomValidity(""));
  document.getElementById("key-form").addEventListener("submit", (event) => {
    if (event.submitter?.value === "cancel") return;
    const key = input.value.trim();
    if (!/^[\x21-\x7e]+$/.test(key)) {
      event.preventDefault();
      input.setCustomValidity("A key has visible ASCII characters only.");
      input.reportValidity();
      return;
    }
    setKey(key);
    show();
  });
}

function followTheme() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme-button");
  const stored = sessionStorage.getItem("unroll-theme");
  if (stored) root.dataset.theme = stored;
  dark.addEventListener("change", restyle);
  button.addEventListener("click", () => {
    root.dataset.theme = (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
    sessionStorage.setItem("unroll-theme", root.dataset.theme);
    restyle();
  });
}

/** Tell while the service is away, and look for it until it is back. */
function followConnection() {
  const line = document.getElementById("connection");
  let search = null;
  let hide = null;
  const tell = (text, milliseconds) => {
    clearTimeout(hide);
    if (line.textContent !== text) line.textContent = text;
    line.hidden = false;
    if (milliseconds) hide = setTimeout(() => { line.hidden = true; line.textContent = ""; }, milliseconds);
  };
  events.addEventListener("away", () => {
    tell("The service does not answer. Trying again …");
    search ??= setInterval(watcher.probe, 1500);
  });
  events.addEventListener("waiting", ({ detail }) => { if (search === null) tell(`${detail} Trying again …`, 6000); });
  events.addEventListener("back", () => {
    clearInterval(search);
    search = null;
    tell("The service answers again.", 2500);
    if (unreached) show();
  });
}

followTheme();
followKey();
followConnection();
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // The fragment of the address names the page.
  main.focus();
});
addEventListener("hashchange", follow);
watcher.start();
show();
