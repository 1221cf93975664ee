// Markdown as elements: headings, paragraphs, lists, tables, code, quotes, emphasis and links. All text becomes text
// nodes, HTML in it is shown as it is written, images as their descriptions, and only links to http(s) are links.

import { h } from "../dom.js";
import { inline } from "./markdown_inline.js";

const FENCE = /^ {0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const RULE = /^ {0,3}(?:[-*_]\s*){3,}$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])\s+/;
const DIVIDER = /^ {0,3}\|?[\s:|-]*-[\s:|-]*$/;
/** Longer texts are cut: what a reader scrolls through. */
const MOST = 300_000;
const DEEPEST = 8;

/** The front matter of a card is not part of what is read. */
export function body(text) {
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
  if (lines[0]?.trimEnd() !== "---") return lines.join("\n");
  const end = lines.findIndex((line, index) => index > 0 && line.trimEnd() === "---");
  return end < 0 ? lines.join("\n") : lines.slice(end + 1).join("\n");
}

/** Return elements for a Markdown text. Its headings begin at level 2: the page has one of level 1. */
export function render(text) {
  const blocks = parse(text.slice(0, MOST).split("\n"), 0);
  if (text.length > MOST) blocks.push(h("p", { class: "quiet" }, "The rest of this text is not shown."));
  return blocks;
}

function parse(lines, depth) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) { at += 1; continue; }
    const [block, next] = readBlock(lines, at, depth);
    blocks.push(block);
    at = next;
  }
  return blocks;
}

function readBlock(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return readFence(lines, at);
  const heading = HEADING.exec(line);
  if (heading) {
    const title = heading[2].replace(/\s+#+\s*$/, "");
    return [h(`h${Math.min(heading[1].length + 1, 6)}`, { dir: "auto" }, inline(title)), at + 1];
  }
  if (RULE.test(line)) return [h("hr"), at + 1];
  if (/^ {0,3}>/.test(line) && depth < DEEPEST) return readQuote(lines, at, depth);
  if (ITEM.test(line) && depth < DEEPEST) return readList(lines, at, depth);
  if (/^(?: {4}|\t)/.test(line)) return readIndented(lines, at);
  if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "")) return readTable(lines, at);
  return readParagraph(lines, at);
}

function readWhile(lines, at, test) {
  let end = at;
  while (end < lines.length && test(lines[end])) end += 1;
  return end;
}

function readFence(lines, at) {
  const mark = FENCE.exec(lines[at])[1];
  const end = readWhile(lines, at + 1, (line) => !line.trimStart().startsWith(mark));
  return [code(lines.slice(at + 1, end)), end + 1];
}

function readIndented(lines, at) {
  const end = readWhile(lines, at, (line) => /^(?: {4}|\t)/.test(line) || !line.trim());
  return [code(lines.slice(at, end).map((line) => line.replace(/^(?: {4}|\t)/, ""))), end];
}

const code = (lines) => h("pre", { tabindex: "0", "aria-label": "Code" }, h("code", {}, lines.join("\n").trimEnd()));

function readQuote(lines, at, depth) {
  const end = readWhile(lines, at, (line) => /^ {0,3}>/.test(line));
  return [h("blockquote", {}, parse(lines.slice(at, end).map((line) => line.replace(/^ {0,3}> ?/, "")), depth + 1)), end];
}

function readList(lines, at, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (item && item[1].length <= indent.length && /\d/.test(item[2]) === ordered) {
      items.push([lines[end].slice(item[0].length)]);
    } else if (belongs(lines, end, indent.length)) {
      items.at(-1).push(lines[end].replace(new RegExp(`^ {0,${indent.length + mark.length + 1}}`), ""));
    } else break;
    end += 1;
  }
  const start = ordered && Number.parseInt(mark, 10) !== 1 ? { start: Number.parseInt(mark, 10) } : {};
  return [h(ordered ? "ol" : "ul", start, items.map((item) => h("li", { dir: "auto" }, itemContent(item, depth)))), end];
}

/** Whether a line that begins no item of this list continues the last one. */
function belongs(lines, at, indent) {
  const line = lines[at];
  if (!line.trim()) return (lines[at + 1] ?? "").startsWith(" ".repeat(indent + 2)) || ITEM.test(lines[at + 1] ?? "");
  if (line.startsWith(" ".repeat(indent + 2))) return true;
  return Boolean(lines[at - 1]?.trim()) && !HEADING.test(line) && !FENCE.test(line) && !ITEM.test(line);
}

function itemContent(lines, depth) {
  const end = lines.findIndex((line, index) => index > 0 && (!line.trim() || ITEM.test(line) || FENCE.test(line)));
  const first = inline((end < 0 ? lines : lines.slice(0, end)).map((line) => line.trim()).join(" "));
  return end < 0 ? first : [first, parse(lines.slice(end), depth + 1)];
}

function readTable(lines, at) {
  const end = readWhile(lines, at + 2, (line) => line.trim() && line.includes("|"));
  const sides = cells(lines[at + 1]).map((cell) => (/^:?-+:$/.test(cell) ? "number" : null));
  const head = cells(lines[at]);
  const rows = lines.slice(at + 2, end).map(cells);
  const cell = (tag, text, column) => h(tag, { class: sides[column], dir: "auto", scope: tag === "th" && "col" }, inline(text));
  const table = h("table", {},
    h("thead", {}, h("tr", {}, head.map((text, column) => cell(text ? "th" : "td", text, column)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, head.map((_, column) => cell("td", row[column] ?? "", column))))));
  return [h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, table), end];
}

function cells(line) {
  const text = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return text.split(/(?<!\\)\|/).map((part) => part.replaceAll("\\|", "|").trim());
}

function readParagraph(lines, at) {
  const ends = (line) => !line.trim() || HEADING.test(line) || FENCE.test(line) || RULE.test(line) || /^ {0,3}>/.test(line) || ITEM.test(line);
  const end = Math.max(at + 1, readWhile(lines, at, (line) => line === lines[at] || !ends(line)));
  return [h("p", { dir: "auto" }, inline(lines.slice(at, end).map((line) => line.trim()).join("\n"))), end];
}
