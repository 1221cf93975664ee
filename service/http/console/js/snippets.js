// The calls that a panel just made, as commands that can be pasted into a shell and into Python.

import { events, getKey, ROOT } from "./api.js";
import { fill, h } from "./dom.js";
import { curlCommand } from "./snippets/curl.js";
import { pythonProgram } from "./snippets/python.js";

const LANGUAGES = [{ name: "curl", write: curlCommand }, { name: "Python", write: pythonProgram }];

/**
 * An element that shows the last call of this page as commands that do the same, until `signal` aborts. It is hidden
 * before the first call. Calls that are sent with `quiet` are left out.
 */
export function snippets(signal) {
  let shown = null;
  const tabs = LANGUAGES.map((language, index) => makeTab(language, () => select(index)));
  const root = h("details", { class: "card snippets", hidden: true },
    h("summary", {}, "The same by curl and Python"),
    h("div", { class: "row snippet-tabs", role: "tablist", "aria-label": "Language", on: { keydown: turn } }, tabs.map(({ tab }) => tab)),
    tabs.map(({ panel }) => panel));

  function select(chosen) {
    for (const [index, { tab, panel }] of tabs.entries()) {
      tab.setAttribute("aria-selected", String(index === chosen));
      tab.tabIndex = index === chosen ? 0 : -1;
      panel.hidden = index !== chosen;
    }
  }

  function turn(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (tabs.findIndex(({ tab }) => tab === document.activeElement) + step + tabs.length) % tabs.length;
    select(next);
    tabs[next].tab.focus();
  }

  /** Write the commands only when they can be seen: a panel may make ten calls in a second. */
  function write() {
    if (!shown || !root.open) return;
    for (const { language, code } of tabs) fill(code, language.write({ ...shown, root: ROOT, withKey: getKey() !== null }));
  }

  events.addEventListener("call", ({ detail }) => { shown = detail; root.hidden = false; write(); }, { signal });
  root.addEventListener("toggle", write, { signal });
  select(0);
  return root;
}

let made = 0;

function makeTab(language, choose) {
  const id = `snippet-${++made}`;
  const code = h("code", {});
  const tab = h("button", { type: "button", role: "tab", id: `${id}-tab`, "aria-controls": id, on: { click: choose } }, language.name);
  const told = h("span", { class: "small", role: "status" });
  const copy = h("button", { type: "button", "aria-label": `Copy ${language.name}`, on: { click: () => copyText(code, told) } }, "Copy");
  const panel = h("div", { role: "tabpanel", id, "aria-labelledby": `${id}-tab` },
    h("pre", { tabindex: "0", "aria-label": language.name, class: "snippet" }, code), h("div", { class: "row" }, copy, told));
  return { language, tab, panel, code };
}

/** Copy what an element shows. Without a secure origin a page has no clipboard: then the text is selected instead. */
async function copyText(code, told) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    told.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(code);
    told.textContent = "Selected: copy it with your keyboard.";
  }
  setTimeout(() => { told.textContent = ""; }, 3000);
}
