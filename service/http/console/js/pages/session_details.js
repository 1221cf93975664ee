// One session: where it stands, its state, and what can be done with it.

import { call, get, post, send } from "../api.js";
import { field, fill, h } from "../dom.js";
import { errorBox, showError } from "../notices.js";
import { snippets } from "../snippets.js";
import { confirm } from "./confirm.js";
import { bytes, count, moment, span } from "./format.js";
import { showState } from "./state_picture.js";

const SECOND = 1000;
/** How often the session is read again while the page is visible. */
const READ_SECONDS = 4;

export async function render(view, { id, tenant, signal }) {
  const path = `v1/sessions/${encodeURIComponent(id)}`;
  const read = (options) => get(tenant ? `${path}?tenant=${encodeURIComponent(tenant)}` : path, { signal, ...options });
  const page = { path, tenant, signal, session: await read(), facts: h("dl", { class: "facts" }), state: h("div", {}), said: h("div", { role: "status" }) };
  page.read = read;
  page.show = (session) => show(page, session);
  fill(view, h("p", { class: "small" }, h("a", { href: "#/sessions" }, "All sessions")),
    h("h1", { class: "mono id" }, id),
    h("div", { class: "halves" },
      h("div", {}, h("section", { class: "card" }, page.facts), actions(page), page.said),
      !tenant && h("section", { class: "card" }, h("h2", {}, "State"), page.state)),
    snippets(signal));
  show(page, page.session, true);
  follow(page);
}

/** Show what the service says of the session, and its state anew if it has stepped. */
function show(page, session, first = false) {
  const stepped = first || session.step !== page.session.step;
  page.session = session;
  page.left = h("span", {});
  fill(page.facts, facts(session, page.left));
  countDown(page);
  if (stepped && !page.tenant) showState(page.state, session, page.signal);
}

function facts(session, left) {
  const rows = {
    Model: [h("a", { href: `#/models/${encodeURIComponent(session.model)}`, dir: "auto" }, session.model), ` version ${session.version}`],
    Task: session.task, Step: count(session.step), Timesteps: count(session.timesteps),
    Created: moment(session.created_at), Expires: [moment(session.expires_at), " · ", left],
    "Time to live": `${span(session.ttl_seconds)}, from each step on`,
    Durability: session.durability, "Size of the state": bytes(session.state_bytes), Tenant: session.tenant,
  };
  return Object.entries(rows).filter(([, value]) => value !== undefined).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}

function countDown({ session, left }) {
  const seconds = (Date.parse(session.expires_at) - Date.now()) / SECOND;
  left.textContent = seconds > 0 ? `in ${span(seconds)}` : "expired, unless a step renews it this moment";
}

/** Keep the countdown and the session current until the user leaves. */
function follow(page) {
  let ticks = 0, ended = false;
  const timer = setInterval(async () => {
    countDown(page);
    ticks += 1;
    if (document.hidden || ended || ticks % READ_SECONDS) return;
    try {
      page.show(await page.read({ quiet: true }));
    } catch (error) {
      ended = error.status === 404 || error.status === 410;
      if (ended && !page.over) fill(page.said, errorBox(error));
    }
  }, SECOND);
  page.signal.addEventListener("abort", () => clearInterval(timer));
}

function actions(page) {
  const ttl = h("input", { type: "number", min: "1", value: page.session.ttl_seconds, required: true });
  const renew = (event) => {
    event.preventDefault();
    act(page, async () => {
      page.show(await call("PATCH", page.path, { ttl_seconds: Number(ttl.value) }, { signal: page.signal }));
      return "Renewed.";
    });
  };
  const own = [
    h("a", { class: "button", href: `#/models/${encodeURIComponent(page.session.model)}`, on: { click: () => takeOver(page.session) } }, "Continue in the panel"),
    button("Fork", () => fork(page)), button("Export the state", () => exportState(page)), button("Reset …", () => reset(page)),
  ];
  const end = h("button", { type: "button", class: "danger", on: { click: () => act(page, () => endSession(page)) } }, "End …");
  function button(label, action) { return h("button", { type: "button", on: { click: () => act(page, action) } }, label); }
  return h("section", { class: "card stack" }, h("h2", {}, "Actions"), h("div", { class: "row" }, !page.tenant && own, end),
    !page.tenant && h("form", { class: "row end", on: { submit: renew } }, field("Time to live in seconds", ttl), h("button", { type: "submit" }, "Renew")));
}

/** The panel of the model continues the session that the tab remembers under this name. */
function takeOver({ model, id }) {
  sessionStorage.setItem(`unroll-session-${model}-main`, id);
  sessionStorage.removeItem(`unroll-session-${model}-main-pending`);
}

async function act(page, action) {
  fill(page.said);
  try {
    const text = await action();
    if (text) fill(page.said, h("p", { class: "done" }, text));
  } catch (error) {
    showError(page.said, error);
  }
}

async function fork(page) {
  const copy = await post(`${page.path}/fork`, {}, { signal: page.signal });
  location.hash = `#/sessions/${encodeURIComponent(copy.id)}`;
}

async function reset(page) {
  if (!await confirm("Reset this session?", "It returns to its initial state. Its step count grows by one.", "Reset")) return null;
  page.show(await post(`${page.path}/reset`, {}, { signal: page.signal }));
  return "The session is at its initial state again.";
}

async function endSession(page) {
  if (!await confirm("End this session?", "Its state is deleted, and later requests are answered 410.", "End the session")) return null;
  await call("DELETE", page.tenant ? `${page.path}?tenant=${encodeURIComponent(page.tenant)}` : page.path, undefined, { signal: page.signal });
  page.over = true;
  location.hash = "#/sessions";
  return null;
}

async function exportState(page) {
  const response = await send("GET", `${page.path}/state`, { signal: page.signal });
  const url = URL.createObjectURL(await response.blob());
  h("a", { href: url, download: `${page.session.id}-step-${page.session.step}.safetensors` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10 * SECOND);
  return `The state of step ${count(page.session.step)} was saved as a file.`;
}
