// A small chart of the last minutes with its present value. It is made once and then changed in place.

import { fill, h } from "../dom.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 300, HEIGHT = 64;
const LINES = 6;

/**
 * Make a chart. `format` turns numbers into words. Returns {root, update}: `update(points, {value, note})` shows points
 * {time, values: {name: number|null}}, oldest first; `value` is the number to show in words, by default the sum of the
 * last values.
 */
export function smallChart(title, format) {
  const value = h("p", { class: "now" }, "–"), note = h("p", { class: "quiet small note" }), legend = h("ul", { class: "legend" });
  const svg = document.createElementNS(NAMESPACE, "svg");
  for (const [name, text] of Object.entries({ viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title })) svg.setAttribute(name, text);
  const paths = new Map();
  const root = h("div", { class: "card pulse", role: "group", "aria-label": title }, h("h3", {}, title), value, svg, legend, note);

  function update(points, { value: present = null, note: said = "" } = {}) {
    const names = [...new Set(points.flatMap(({ values }) => Object.keys(values)))].slice(0, LINES);
    const last = points.at(-1)?.values ?? {};
    const numbers = points.flatMap(({ values }) => names.map((name) => values[name])).filter((number) => number !== null && number !== undefined);
    const most = Math.max(...numbers, 0);
    setText(value, present ?? words(last[names[0]]));
    setText(note, [most > 0 && `highest ${format(most)}`, said].filter(Boolean).join(" · "));
    svg.setAttribute("aria-label", `${title}: now ${names.map((name) => `${name} ${words(last[name])}`).join(", ") || "unknown"}, highest ${format(most)}`);
    drawLines(svg, paths, names, points, most);
    drawLegend(legend, names, last, words);
  }

  const words = (number) => (number === null || number === undefined ? "–" : format(number));
  return { root, update };
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function drawLines(svg, paths, names, points, most) {
  const end = points.at(-1)?.time ?? 0;
  const length = Math.max(60_000, end - (points[0]?.time ?? 0));
  for (const [name, path] of paths) if (!names.includes(name)) { path.remove(); paths.delete(name); }
  names.forEach((name, index) => {
    if (!paths.has(name)) {
      const path = document.createElementNS(NAMESPACE, "path");
      svg.append(path);
      paths.set(name, path);
    }
    const path = paths.get(name);
    path.setAttribute("class", `line-${index + 1}`);
    path.setAttribute("d", line(points.map(({ time, values }) => [WIDTH * (1 - (end - time) / length), values[name]]), most));
  });
}

/** The path through [x, value]; it is interrupted where a value is missing. */
function line(points, most) {
  let path = "", down = false;
  for (const [x, value] of points) {
    if (value === null || value === undefined) { down = false; continue; }
    const y = HEIGHT - 2 - (most > 0 ? (value / most) * (HEIGHT - 4) : 0);
    path += `${down ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    down = true;
  }
  return path;
}

function drawLegend(legend, names, last, words) {
  const shown = names.length > 1 ? names : [];
  if (legend.dataset.names !== shown.join()) {
    legend.dataset.names = shown.join();
    fill(legend, shown.map((name, index) => h("li", {}, h("span", { class: `mark mark-${index + 1}` }), `${name} `, h("b", {}))));
  }
  shown.forEach((name, index) => setText(legend.children[index].querySelector("b"), words(last[name])));
}
