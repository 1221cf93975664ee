// The state of a session as a small picture: the norm of each tensor by layer, and its values as a strip of colours.

import { send } from "../api.js";
import { fill, h } from "../dom.js";
import { empty, errorBox, loading } from "../notices.js";
import { bytes, count, figure } from "./format.js";
import { readTensors } from "./safetensors.js";

/** States larger than this are not read by themselves. */
const MOST_BYTES = 8 * 2 ** 20;
/** Cells of a strip. */
const CELLS = 256;

/** Read the state of a session and show it in `root`. */
export async function showState(root, session, signal) {
  if (session.state_bytes > MOST_BYTES) {
    fill(root, empty(`The state has ${bytes(session.state_bytes)}, too much to draw here. Export it to look at it.`));
    return;
  }
  if (!root.hasChildNodes()) fill(root, loading());
  try {
    const response = await send("GET", `v1/sessions/${encodeURIComponent(session.id)}/state`, { signal, quiet: true });
    const { tensors } = readTensors(await response.arrayBuffer());
    fill(root, tensors.length ? layers(tensors) : empty("The state has no tensors."));
  } catch (error) {
    if (error.name !== "AbortError") fill(root, errorBox(error));
  }
}

function layers(tensors) {
  const rows = tensors.map((tensor) => ({ ...tensor, ...measures(tensor.values) }));
  const most = Math.max(...rows.filter((row) => layerOf(row.name) !== null).map((row) => row.norm), 0);
  const groups = grouped(rows);
  const order = [...groups.keys()].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
  // Norms of the layers have one scale: their bars can be compared.
  return order.map((layer) => h("section", { class: "layer" }, h("h3", {}, layer === null ? "Beside the layers" : `Layer ${layer}`),
    groups.get(layer).map((row) => tensorRow(row, layer === null ? null : most))));
}

function grouped(rows) {
  const groups = new Map();
  for (const row of rows) {
    const layer = layerOf(row.name);
    groups.set(layer, [...(groups.get(layer) ?? []), row]);
  }
  return groups;
}

/** The number of the layer that a tensor belongs to, such as 1 for h_l1_reverse; null if none. */
function layerOf(name) {
  const found = /^[hc]_l(\d+)(?:_reverse)?$/.exec(name);
  return found && Number(found[1]);
}

/** The norm of numbers, and the largest of their absolute values. */
export function measures(values) {
  let squares = 0, largest = 0;
  for (const value of values) {
    squares += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  return { norm: Math.sqrt(squares), largest };
}

/** A tensor; `most` is the norm that fills its bar, null for none. */
function tensorRow({ name, dtype, shape, values, norm, largest }, most) {
  const size = shape.map(count).join(" × ") || "1";
  const words = values.length === 1 ? figure(values[0]) : `norm ${figure(norm)} · largest ${figure(largest)} · ${size}`;
  const width = most > 0 ? Math.min(100, (100 * norm) / most) : 0;
  return h("div", { class: "tensor" },
    h("div", { class: "row spread" }, h("code", { title: `${dtype}, ${size}` }, name), h("span", { class: "quiet small" }, words)),
    most !== null && h("div", { class: "meter", "aria-hidden": "true" }, h("div", { style: { width: `${width}%` } })),
    values.length > 1 && strip(values, largest));
}

/** Values as cells, blue above zero and orange below, in the order of the tensor. */
function strip(values, largest) {
  const cells = Math.min(CELLS, values.length);
  const canvas = h("canvas", { class: "strip", width: cells, height: 1, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const colours = getComputedStyle(document.documentElement);
  const [above, below] = ["--series-1", "--series-2"].map((name) => colours.getPropertyValue(name).trim());
  for (let cell = 0; cell < cells; cell += 1) {
    const value = values[Math.floor((cell * values.length) / cells)];
    context.globalAlpha = largest > 0 ? Math.min(1, Math.abs(value) / largest) : 0;
    context.fillStyle = value >= 0 ? above : below;
    context.fillRect(cell, 0, 1, 1);
  }
  return canvas;
}
