// Sessions: the list, newest first, the search by id, and the import of a state.

import { call, get, getKey, send } from "../api.js";
import { field, fill, h, style } from "../dom.js";
import { empty, errorBox, loading } from "../notices.js";
import { bytes, count, roughly } from "./format.js";

const PAGE = 50;
/** How often the newest sessions are read again while the page is visible. */
const READ_MILLISECONDS = 4000;

export async function render(view, { parameters, signal }) {
  style("sessions");
  const [id, tenant] = parameters;
  if (id !== undefined) return (await import("./session_details.js")).render(view, { id, tenant, signal });
  const { data: models } = await get("v1/models", { signal, quiet: true });
  const list = h("div", {});
  const chosen = { model: "", tenant: "" };
  const show = () => showList(list, chosen, signal);
  fill(view, h("h1", {}, "Sessions"), tools(models, chosen, show), list);
  await show();
  const timer = setInterval(() => { if (!document.hidden) list.refresh?.().catch(() => {}); }, READ_MILLISECONDS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function tools(models, chosen, show) {
  const filter = h("select", { on: { change: () => { chosen.model = filter.value; show(); } } },
    h("option", { value: "" }, "All models"), models.map((model) => h("option", { value: model.id }, model.id)));
  const tenant = h("input", { type: "text", autocomplete: "off", on: { change: () => { chosen.tenant = tenant.value.trim(); show(); } } });
  return h("section", { class: "card tools" },
    field("Model", filter), search(),
    getKey() && field("Tenant", tenant, "For administrators; * for all."),
    importButton(), h("button", { type: "button", on: { click: show } }, "Refresh"));
}

function search() {
  const input = h("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "ses_…", required: true });
  const open = (event) => {
    event.preventDefault();
    location.hash = `#/sessions/${encodeURIComponent(input.value.trim())}`;
  };
  return h("form", { class: "row end", on: { submit: open } }, field("Session id", input), h("button", { type: "submit" }, "Open"));
}

/** A button that makes a session of an exported state. */
function importButton() {
  const said = h("div", { role: "status" });
  const input = h("input", { type: "file", accept: ".safetensors", class: "hidden-text", tabindex: "-1", "aria-label": "State file", on: { change: upload } });
  async function upload() {
    const [file] = input.files;
    if (!file) return;
    fill(said, loading("Importing …"));
    try {
      const response = await send("POST", "v1/sessions/import", { body: file, raw: true, headers: { "Content-Type": "application/octet-stream" } });
      location.hash = `#/sessions/${encodeURIComponent((await response.json()).id)}`;
    } catch (error) {
      fill(said, errorBox(error));
    } finally {
      input.value = "";
    }
  }
  return h("div", {}, h("button", { type: "button", on: { click: () => input.click() } }, "Import a state …"), input, said);
}

async function showList(list, chosen, signal) {
  if (!list.hasChildNodes()) fill(list, loading());
  const rows = h("tbody", {});
  const more = h("div", { class: "row" });
  const read = (cursor) => {
    const query = new URLSearchParams({ limit: String(PAGE) });
    for (const [name, value] of Object.entries({ ...chosen, cursor })) if (value) query.set(name, value);
    return call("GET", `v1/sessions?${query}`, undefined, { signal, quiet: true });
  };
  const load = async (cursor) => {
    const page = await read(cursor);
    const first = rows.rows.length;
    rows.append(...page.data.map((session) => row(session, chosen.tenant)));
    fill(more, page.next_cursor && button(page.next_cursor), rows.rows.length > 0 && h("span", { class: "quiet", role: "status" },
      `${count(rows.rows.length)} ${rows.rows.length === 1 ? "session" : "sessions"}${page.next_cursor ? " so far" : ""}`));
    if (cursor) rows.rows[first]?.querySelector("a")?.focus();
  };
  const button = (cursor) => h("button", { type: "button", on: { click: (event) => {
    event.target.disabled = true;
    load(cursor).catch((error) => { if (error.name !== "AbortError") fill(more, errorBox(error), button(cursor)); });
  } } }, "More");
  try {
    await load(null);
  } catch (error) {
    if (error.name !== "AbortError") fill(list, errorBox(error, () => showList(list, chosen, signal)));
    return;
  }
  fill(list, rows.rows.length ? [table(rows, chosen.tenant), more] : nothing(chosen));
  list.refresh = async () => {
    const page = await read(null);
    if (!rows.isConnected) { if (page.data.length && !list.querySelector("table")) await showList(list, chosen, signal); return; }
    update(rows, page, chosen.tenant);
  };
}

/** Change the rows of the newest sessions in place: new ones come first, those that ended are dropped. */
function update(rows, { data, next_cursor: further }, tenant) {
  const shown = new Map([...rows.rows].map((row) => [row.dataset.id, row]));
  const oldest = data.at(-1)?.created_at ?? "";
  const live = new Set(data.map(({ id }) => id));
  for (const [id, row] of shown) if (!live.has(id) && (!further || row.dataset.created > oldest)) row.remove();
  let place = null;
  for (const session of data) {
    const now = row(session, tenant), before = shown.get(session.id);
    if (before) {
      // The link stays: it may have the focus.
      [...now.cells].forEach((cell, index) => { if (index && cell.textContent !== before.cells[index].textContent) before.cells[index].replaceChildren(...cell.childNodes); });
    } else if (place) place.after(now);
    else rows.prepend(now);
    place = before ?? now;
  }
}

function table(rows, tenant) {
  const columns = ["Session", "Model", tenant && "Tenant", "Step", "Timesteps", "Created", "Expires", "State", "Durability"].filter(Boolean);
  const numbers = new Set(["Step", "Timesteps", "State"]);
  return h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Sessions, newest first" },
    h("table", { class: "sessions" }, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col", class: numbers.has(name) && "number" }, name)))), rows));
}

function row(session, tenant) {
  const path = ["#/sessions", session.id, ...(tenant ? [session.tenant] : [])].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");
  const age = (Date.now() - Date.parse(session.created_at)) / 1000, left = (Date.parse(session.expires_at) - Date.now()) / 1000;
  return h("tr", { data: { id: session.id, created: session.created_at } },
    h("th", { scope: "row" }, h("a", { href: path, class: "mono" }, session.id)),
    h("td", { dir: "auto" }, `${session.model} `, h("span", { class: "quiet" }, session.version)),
    tenant && h("td", { dir: "auto" }, session.tenant),
    h("td", { class: "number" }, count(session.step)), h("td", { class: "number" }, count(session.timesteps)),
    h("td", { title: session.created_at }, `${roughly(age)} ago`), h("td", { title: session.expires_at }, left > 0 ? `in ${roughly(left)}` : "now"),
    h("td", { class: "number" }, bytes(session.state_bytes)), h("td", {}, session.durability));
}

function nothing({ model, tenant }) {
  if (model || tenant) return empty("There are no such sessions.");
  return h("div", { class: "card" }, h("h2", {}, "No sessions yet"),
    h("p", {}, "A session keeps the state of a network between requests. Open one by trying a ", h("a", { href: "#/models" }, "model"), ", or by"),
    h("pre", { tabindex: "0", "aria-label": "Command" }, "curl -s localhost:8000/v1/sessions --json '{\"model\": \"next-word\"}'"));
}
