// The models: cards of all, and the page of one with its panel, its model card and its network.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { empty, loading, showError } from "../notices.js";
import { snippets } from "../snippets.js";

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
  const [name, tab = "try"] = parameters;
  if (name === undefined) return renderAll(view, signal);
  const model = await get(`v1/models/${encodeURIComponent(name)}`, { signal, quiet: true });
  const body = h("div", {}, loading());
  fill(view, h("h1", {}, model.id), tabs(model, tab), body);
  if (tab === "try") await renderPanel(body, model, signal);
  else await (await import("./model_details.js")).render(body, { model, tab, signal });
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
  if (!data.length) return fill(view, h("h1", {}, "Models"), empty("No model is served. Put a model folder into the service's model directory; unroll pack makes one."));
  fill(view, h("h1", {}, "Models"), h("div", { class: "grid" }, data.map(card)));
}

function card(model) {
  return h("article", { class: "card" }, h("h2", {}, h("a", { href: `#/models/${encodeURIComponent(model.id)}` }, model.id)),
    h("p", {}, model.description));
}
