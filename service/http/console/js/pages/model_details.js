// Of one model: its card with the held-out figures, and its network.

import { ApiError, get, send } from "../api.js";
import { fill, h } from "../dom.js";
import { empty, showError } from "../notices.js";
import { facts, verified } from "./facts.js";
import { figures, figuresTable } from "./figures.js";
import { bytes, count, plural } from "./format.js";
import { lines, title } from "./layer_words.js";
import { body, render as renderMarkdown } from "./markdown.js";
import { picture } from "./network_picture.js";

/** Show the tab `card` or `network` of a version of a model, of the default one if `version` is null. */
export async function render(root, { model, tab, version, signal }) {
  const query = version === null ? "" : `?version=${encodeURIComponent(version)}`;
  const show = async () => {
    try {
      fill(root, versions(model, tab, version), await (tab === "network" ? networkPage : cardPage)(model, query, signal));
    } catch (error) {
      showError(root, error, show);
    }
  };
  await show();
}

/** Links to the same of other versions, if there are any. */
function versions(model, tab, shown) {
  const all = [...(model.retiring_versions ?? []), ...model.versions];
  if (all.length < 2) return null;
  return h("nav", { class: "row", "aria-label": "Version" }, h("span", { class: "quiet" }, "Version"), all.map((version) =>
    h("a", { href: `#/models/${encodeURIComponent(model.id)}/${tab}/${encodeURIComponent(version)}`,
      "aria-current": version === (shown ?? model.default_version) && "true" }, version)));
}

async function cardPage(model, query, signal) {
  const rows = figures(model.metrics);
  return h("div", { class: "two" },
    h("article", { class: "card prose" }, await readCard(model, query, signal)),
    h("aside", { "aria-label": "Facts" },
      h("section", { class: "card" }, query && h("p", { class: "quiet" }, `Of the version ${model.default_version}:`), h("p", { class: "row tight" }, h("span", { class: "tag" }, model.task), verified(model)), facts(model)),
      rows.length > 0 && h("section", { class: "card" }, h("h2", {}, "Held-out figures"), figuresTable(model.metrics, rows))));
}

async function readCard(model, query, signal) {
  try {
    const response = await send("GET", `v1/models/${encodeURIComponent(model.id)}/card${query}`, { signal, quiet: true });
    const text = body(await response.text());
    return text.trim() ? renderMarkdown(text) : empty("This model card says no more than its front matter.");
  } catch (error) {
    if (error instanceof ApiError && error.code === "not_found") {
      return empty("This version has no model card. A README.md in its folder is shown here.");
    }
    throw error;
  }
}

async function networkPage(model, query, signal) {
  const network = await get(`v1/models/${encodeURIComponent(model.id)}/network${query}`, { signal, quiet: true });
  return [
    network.window && h("p", {}, `Each answer is computed from the last ${count(network.window)} inputs, which the session keeps.`),
    h("section", { class: "card" },
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Picture of the network" }, picture(network, model.id)),
      h("details", {}, h("summary", {}, "The layers as a list"), network.parts.map((part) => listOf(part, network.parts.length > 1)))),
    stateTable(network.state, model),
  ];
}

function listOf(part, named) {
  const layers = h("ol", {}, part.layers.map((layer) => h("li", {}, h("strong", {}, title(layer)), ` – ${lines(layer).join("; ")}`)));
  return named ? [h("h3", {}, part.name), layers] : layers;
}

function stateTable(state, model) {
  if (!state.length) return h("section", { class: "card" }, h("h2", {}, "State"), empty("The network answers whole sequences and has no sessions."));
  return h("section", { class: "card" }, h("h2", {}, "What a session stores"),
    h("p", { class: "quiet" }, `${plural(state.length, "tensor")}, ${bytes(model.state_bytes)}.`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Tensors of the state" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Tensor", "Shape", "dtype"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, state.map((tensor) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, tensor.name)),
        h("td", {}, tensor.shape.map(count).join(" × ") || "1"), h("td", {}, tensor.dtype)))))));
}
