// The attention of a translation: a heat map of source words by target words, and the same as a table.

import { draw } from "../../charts.js";
import { field, fill, h } from "../../dom.js";
import { errorBox } from "../../notices.js";

const BLUE = "84, 132, 240";
const COLOURS = [[0, `rgba(${BLUE}, 0)`], [1, `rgba(${BLUE}, 1)`]];

/** An element with the attention of a translation, a sentence at a time. */
export function attentionView({ tokens, source_tokens: source, attention }) {
  const sentences = blocks(tokens, source, attention).map(byWords);
  const picture = h("div", { class: "attention" });
  const table = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Attention as a table" });
  const show = (index) => {
    drawPicture(picture, sentences[index]).catch((error) => fill(picture, errorBox(error)));
    fill(table, tableOf(sentences[index]));
  };
  const choice = h("select", { on: { change: () => show(choice.selectedIndex) } }, sentences.map(({ targets }, index) =>
    h("option", {}, `${index + 1}: ${shorten(targets.join(" "))}`)));
  queueMicrotask(() => show(0));
  return h("section", { class: "stack" }, h("h3", {}, "Attention"),
    h("p", { class: "small" }, "Which words of the source (columns) the network read to write each word of the translation (rows)."),
    sentences.length > 1 && field("Sentence", choice), picture,
    h("details", {}, h("summary", {}, "Attention as a table"), table));
}

const shorten = (text) => (text.length > 60 ? `${text.slice(0, 57)}…` : text);

/** The sentences of a text: each attends to its own source only, and all but one have zeros elsewhere. */
function blocks(targets, sources, weights) {
  const found = [];
  let row = 0, column = 0;
  while (row < targets.length) {
    let end = row, right = column + 1;
    // A sentence goes on while its rows have weight in the columns that the rows before them have.
    while (end < targets.length && (end === row || weights[end].slice(column, right).some((weight) => weight > 0))) {
      right = Math.max(right, weights[end].findLastIndex((weight) => weight > 0) + 1);
      end += 1;
    }
    found.push({ targets: targets.slice(row, end), sources: sources.slice(column, right), weights: weights.slice(row, end).map((one) => one.slice(column, right)) });
    [row, column] = [end, right];
  }
  return found;
}

/** Join the pieces of each word: a target word's attention is the mean of its pieces', a source word's the sum. */
function byWords({ targets, sources, weights }) {
  const rows = words(targets), columns = words(sources);
  return {
    targets: rows.map(({ text }) => text), sources: columns.map(({ text }) => text),
    weights: rows.map(({ places }) => columns.map((column) =>
      places.reduce((sum, row) => sum + column.places.reduce((part, place) => part + weights[row][place], 0), 0) / places.length)),
  };
}

const MARK = /^(<.*>|\[[A-Z]+\])$/;
const nameOfMark = (token, last) => (last ? "(end)" : /unk/i.test(token) ? "(unknown)" : token);

function words(tokens) {
  const marked = tokens.some((token) => /^[▁Ġ]/.test(token));
  const found = [];
  tokens.forEach((token, place) => {
    const before = found.at(-1);
    const text = token.replace(/^##|^[▁Ġ]/, "");
    const continues = marked ? !/^[▁Ġ]/.test(token) : token.startsWith("##");
    if (before && continues && !MARK.test(token) && !MARK.test(tokens[before.places[0]])) {
      before.text += text;
      before.places.push(place);
    } else {
      found.push({ text: MARK.test(token) ? nameOfMark(token, place === tokens.length - 1) : text, places: [place] });
    }
  });
  return found;
}

const percent = (weight) => `${Math.round(weight * 100)} %`;

function drawPicture(node, { targets, sources, weights }) {
  const strongest = targets.map((target, row) => `${target} from ${sources[weights[row].indexOf(Math.max(...weights[row]))]}`);
  const trace = { type: "heatmap", z: weights, zmin: 0, zmax: 1, colorscale: COLOURS, xgap: 1, ygap: 1, hoverinfo: "text",
    text: weights.map((row, target) => row.map((weight, source) => `${targets[target]} ← ${sources[source]}: ${percent(weight)}`)),
    showscale: node.clientWidth > 480, colorbar: { title: { text: "weight", side: "right" }, thickness: 10, tickformat: ".0%" } };
  const ticks = (labels) => ({ tickvals: labels.map((_, index) => index), ticktext: labels, showgrid: false, zeroline: false });
  const layout = { height: 110 + 28 * targets.length, margin: { l: 60, r: 10, t: 60, b: 10 },
    xaxis: { ...ticks(sources), side: "top", tickangle: -40 }, yaxis: { ...ticks(targets), autorange: "reversed" } };
  return draw(node, [trace], layout, { label: `Heat map of the attention. Strongest: ${strongest.join(", ")}.` });
}

function tableOf({ targets, sources, weights }) {
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Translation"), sources.map((word) => h("th", { scope: "col", class: "number" }, h("bdi", {}, word))))),
    h("tbody", {}, targets.map((word, row) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, word)), weights[row].map((weight) => h("td", { class: "number" }, percent(weight)))))));
}
