// The models: cards of all, and the page of one with its panel, its model card and its network.

import { get } from "../api.js";
import { fill, h, style } from "../dom.js";
import { empty, loading, showError } from "../notices.js";
import { snippets } from "../snippets.js";
import { facts, verified } from "./facts.js";
import { figures, figuresTable } from "./figures.js";

/** The panel of each task. */
const PANELS = {
  "next-word": () => import("../panels/next_word.js"),
  translation: () => import("../panels/translation.js"),
  forecasting: () => import("../panels/forecasting.js"),
  classification: () => import("../panels/classification.js"),
  tagging: () => import("../panels/tagging.js"),
  regression: () => import("../panels/regression.js"),
  embedding: () => import("../panels/embedding.js"),
  tensor: () => import("../panels/tensor.js"),
};
const TABS = { try: "Try it", card: "Model card", network: "Network" };

export async function render(view, { parameters, signal }) {
  style("models");
  const [name, chosen = "try", version = null] = parameters;
  if (name === undefined) return renderAll(view, signal);
  const model = await get(`v1/models/${encodeURIComponent(name)}`, { signal, quiet: true });
  const tab = Object.hasOwn(TABS, chosen) ? chosen : "try";
  const body = h("div", {}, loading());
  fill(view, h("h1", { dir: "auto" }, model.id), tabs(model, tab), body);
  if (tab === "try") await renderPanel(body, model, signal);
  else await (await import("./model_details.js")).render(body, { model, tab, version, signal });
}

function tabs(model, current) {
  return h("nav", { class: "tabs", "aria-label": "Model" }, Object.entries(TABS).map(([key, label]) =>
    h("a", { href: `#/models/${encodeURIComponent(model.id)}/${key}`, "aria-current": key === current && "page" }, label)));
}

async function renderPanel(body, model, signal) {
  const panel = PANELS[model.task];
  if (!panel) return fill(body, empty(`There is no panel for the task ${model.task}.`));
  const root = h("div", {});
  const code = snippets(signal);
  try {
    await (await panel()).render(root, { model, signal });
    fill(body, root, code);
  } catch (error) {
    showError(body, error);
  }
}

async function renderAll(view, signal) {
  const { data } = await get("v1/models", { signal, quiet: true });
  if (!data.length) {
    return fill(view, h("h1", {}, "Models"), empty("No model is served. Put a model folder into the service's folder of models; ",
      h("code", {}, "unroll import"), " makes one of a checkpoint."));
  }
  fill(view, h("h1", {}, "Models"), h("ul", { class: "grid plain" }, data.map((model) => h("li", { class: "card model" }, card(model)))));
}

/** What a model is, at a glance. */
function card(model) {
  const path = `#/models/${encodeURIComponent(model.id)}`;
  const rows = figures(model.metrics);
  const shown = rows.filter((row) => row.direction !== null).slice(0, 3);
  return [
    h("h2", { dir: "auto" }, h("a", { href: path }, model.id)),
    h("p", { class: "row tight" }, h("span", { class: "tag" }, model.task), verified(model)),
    model.description && h("p", { dir: "auto" }, model.description),
    facts(model),
    shown.length > 0 && figuresTable(model.metrics, shown),
    h("p", { class: "row tight links" }, h("a", { href: `${path}/card` }, "Model card"), h("a", { href: `${path}/network` }, "Network")),
  ];
}
