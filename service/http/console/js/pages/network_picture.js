// A picture of a network: the layers of each part below each other, the parts side by side.

import { lines, title } from "./layer_words.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 220, GAP = 56, ROW_GAP = 28, LINE = 16, TOP = 34, MARGIN = 14;
/** Characters of a line in a box. */
const MOST = 34;

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** An SVG element that shows a network, as GET /v1/models/{model}/network describes it. */
export function picture(network, name) {
  const top = network.parts.length > 1 ? TOP : MARGIN;
  const columns = network.parts.map((part, column) => layOut(part, column, top));
  align(columns);
  const width = 2 * MARGIN + columns.length * WIDTH + (columns.length - 1) * GAP + 20;
  const height = Math.max(...columns.flatMap((boxes) => boxes.map((box) => box.y + box.height))) + MARGIN;
  const words = network.parts.map((part) => `${part.name}: ${part.layers.map(title).join(", then ")}`).join(". ");
  const root = svg("svg", { class: "network", role: "img", width, height, viewBox: `0 0 ${width} ${height}`, "aria-label": `Layers of ${name}` },
    svg("desc", {}, `${words}.`));
  if (columns.length > 1) {
    network.parts.forEach((part, column) => root.append(text(part.name, left(column) + WIDTH / 2, MARGIN + 8 + (columns[column][0].y - TOP), "part")));
  }
  columns.forEach((boxes) => boxes.forEach((box, row) => root.append(draw(box), ...(row ? [down(boxes[row - 1], box)].flat() : []))));
  root.append(...sideArrows(network, columns));
  return root;
}

const left = (column) => MARGIN + column * (WIDTH + GAP);

function layOut(part, column, top) {
  let y = top;
  return part.layers.map((layer) => {
    const content = lines(layer).map((line) => (line.length > MOST ? `${line.slice(0, MOST - 1)}…` : line));
    const box = { layer, content, x: left(column), y, height: 34 + content.length * LINE };
    y += box.height + ROW_GAP;
    return box;
  });
}

const sourcesOf = ({ reads, initial_state: state }) => [...Object.keys(reads ?? {}), ...(state ? [state] : [])];

/** Move parts of one layer, such as a bridge, to the height of the layer that reads from them. */
function align(columns) {
  columns.forEach((boxes, column) => {
    if (boxes.length !== 1 || column === 0 || column === columns.length - 1) return;
    const reader = columns[column + 1].find((box) => sourcesOf(box.layer).includes(boxes[0].layer.kind));
    if (reader) boxes[0].y = reader.y;
  });
}

function draw(box) {
  const { layer, x, y, height } = box;
  const group = svg("g", { class: layer.kind }, svg("rect", { x, y, width: WIDTH, height, rx: 8 }), text(title(layer), x + WIDTH / 2, y + 21, "title"),
    ...box.content.map((line, index) => text(line, x + WIDTH / 2, y + 40 + index * LINE)));
  if (layer.kind === "recurrent" || layer.tensors?.states.length) group.append(...loop(box));
  return group;
}

/** The arrow from a layer to itself: its state in the next timestep. */
function loop({ x, y, height }) {
  const edge = x + WIDTH, from = y + height * 0.65, to = y + height * 0.3;
  return [svg("path", { d: `M ${edge} ${from} h 8 q 6 0 6 -6 V ${to + 6} q 0 -6 -6 -6 h -2` }), head(edge, to, "left", "head")];
}

/** The arrow to the next layer; none between layers that read the same. */
function down(above, below) {
  if (!below.layer.reads && below.layer.inputs && below.layer.inputs !== above.layer.outputs) return [];
  const x = above.x + WIDTH / 2, from = above.y + above.height, to = below.y;
  return [svg("path", { d: `M ${x} ${from} V ${to - 5}` }), head(x, to, "down", "head")];
}

/** The arrows from a part to the layers of others that read from it. */
function sideArrows(network, columns) {
  const arrows = [];
  columns.forEach((boxes, column) => boxes.forEach((box) => {
    for (const name of new Set(sourcesOf(box.layer))) {
      const source = network.parts.findIndex((part) => part.name === name);
      if (source < 0 || source >= column) continue;
      const from = columns[source].findLast((other) => other.layer.kind === "recurrent") ?? columns[source].at(-1);
      const start = from.x + WIDTH, bend = left(source + 1) - GAP / 3 - (column - source > 1 ? 9 : 0);
      const startY = from.y + from.height * (column - source > 1 ? 0.9 : 0.8), endY = box.y + box.height * 0.5;
      arrows.push(svg("path", { class: "side", d: `M ${start} ${startY} H ${bend} V ${endY} H ${box.x - 5}` }), head(box.x, endY, "right", "side-head"));
    }
  }));
  return arrows;
}

function head(x, y, direction, kind) {
  const points = { down: `${x},${y} ${x - 4},${y - 7} ${x + 4},${y - 7}`, right: `${x},${y} ${x - 7},${y - 4} ${x - 7},${y + 4}`,
    left: `${x},${y} ${x + 7},${y - 4} ${x + 7},${y + 4}` };
  return svg("polygon", { class: kind, points: points[direction] });
}

function text(content, x, y, kind = "") {
  return svg("text", { x, y, class: kind, "text-anchor": "middle" }, content);
}
