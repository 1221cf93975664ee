// The panel of taggers: each word, or each row, with its tag.

import { draw, series } from "../charts.js";
import { fill, h } from "../dom.js";
import { empty } from "../notices.js";
import { escape } from "../parts/curves.js";
import { painter } from "../parts/painter.js";
import { renderSequence } from "./sequences/desk.js";

const SHOWN_WORDS = 400;

export function render(root, { model, signal }) {
  const words = h("ol", { class: "tagged", "aria-label": "Tags", dir: "auto" }), chart = h("div", { class: "chart short", hidden: true });
  const note = h("p", { class: "quiet small" });
  let tags = [];
  const paint = painter(() => drawTags(chart, tags), signal);
  return renderSequence(root, { model, signal }, {
    title: "Tags",
    options: {},
    element: h("div", { class: "stack" }, note, words, chart),
    keep: ({ tags: answered }) => answered,
    show(steps) {
      tags = steps.flatMap(({ kept }) => kept);
      const text = tags.some(({ token }) => token !== undefined);
      words.hidden = !text;
      chart.hidden = text || !tags.length;
      fill(note, !tags.length ? empty("Feed something to see its tags.") : text ? null : latest(tags));
      if (text) fill(words, tags.slice(-SHOWN_WORDS).map(word));
      else if (tags.length) paint();
    },
  });
}

function word({ token, tag, probability }) {
  return h("li", { title: `${tag}: ${(probability * 100).toFixed(1)} %` }, h("span", { class: "token" }, token),
    h("span", { class: "label" }, tag), h("small", {}, `${Math.round(probability * 100)} %`));
}

const latest = (tags) => `Newest row: ${tags.at(-1).tag}, ${(tags.at(-1).probability * 100).toFixed(1)} %`;

/** Rows from left to right, each on the line of its tag; larger marks are more probable. */
function drawTags(node, tags) {
  const shown = tags.slice(-200), first = tags.length - shown.length + 1;
  const axis = { automargin: false, fixedrange: true };
  return draw(node, [{
    x: shown.map((_, at) => first + at), y: shown.map(({ tag }) => escape(tag)), mode: "lines+markers",
    line: { shape: "hvh", color: series(5), width: 1 }, marker: { color: series(0), size: shown.map(({ probability }) => 3 + 7 * probability) },
    text: shown.map(({ probability }) => `${(probability * 100).toFixed(1)} %`), hovertemplate: "%{y} %{text}<extra></extra>",
  }], { margin: { l: 96, r: 12, t: 8, b: 40 }, xaxis: { ...axis, title: { text: "row" } }, yaxis: { ...axis, type: "category", categoryorder: "category ascending" } },
  { label: `Tags of ${tags.length} rows, the newest ${tags.at(-1).tag}` });
}
