// Charts by plotly.js, which is loaded when the first one is drawn, in the colours of the page.

import { loadScript } from "./dom.js";

/** The id under which plotly.js adds the style sheet of its maps, unless it is there. The page's policy refuses it. */
const MAP_STYLE = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";
let library = null;

/** Load plotly.js and return it. */
export function load() {
  // Without a map, nothing needs its style sheet: something else with this id keeps plotly.js from adding it.
  library ??= loadScript("console/lib/plotly.min.js", { id: MAP_STYLE })
    .then(() => window.Plotly, (error) => { library = null; throw error; });
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colours for series, by index. */
export const series = (index) => colour(`--series-${(index % 6) + 1}`);

function theme(layout) {
  const text = colour("--text"), grid = colour("--line");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true };
  const result = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: text, family: "inherit", size: 12 },
    margin: { l: 48, r: 12, t: 12, b: 40 }, autosize: true, showlegend: false, ...layout,
  };
  for (const name of ["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d+$/.test(key))]) {
    result[name] = { ...axis, ...layout[name] };
  }
  return result;
}

/**
 * Draw a chart into `node`, or draw it anew. `label` says in words what it shows, for those who do not see it.
 *
 * `traces` and `layout` are plotly's; colours and margins of the page are added. Returns `node`, for `extend`.
 */
export async function draw(node, traces, layout = {}, { label }) {
  const plotly = await load();
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", label);
  node.redraw = () => plotly.react(node, traces, theme(layout), { displayModeBar: false, responsive: true });
  await node.redraw();
  return node;
}

/** Append points to traces of a drawn chart, keeping the last `most`: extend(node, {x: [[...]], y: [[...]]}, [0], 600). */
export async function extend(node, points, traces, most) {
  return (await load()).extendTraces(node, points, traces, most);
}

/** Free what plotly keeps of the charts in an element that is about to be removed. */
export function release(root) {
  for (const node of root.querySelectorAll(".js-plotly-plot")) window.Plotly?.purge(node);
}

/** Draw all charts again in the colours of a changed theme. */
export function restyle() {
  for (const node of document.querySelectorAll(".js-plotly-plot")) node.redraw?.();
}
