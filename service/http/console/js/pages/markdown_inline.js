// Markdown inside a line: code, emphasis, links and images.

import { h } from "../dom.js";

const ESCAPED = /[!-/:-@[-`{-~]/;
const DEEPEST = 8;

/** Return text and elements for a text of Markdown. */
export function inline(text, depth = 0) {
  const out = [];
  let plain = "", at = 0;
  const flush = () => { if (plain) { out.push(plain); plain = ""; } };
  while (at < text.length) {
    const found = depth < DEEPEST ? readAt(text, at, depth) : null;
    if (found) {
      flush();
      out.push(found.node);
      at = found.end;
    } else if (text[at] === "\\" && ESCAPED.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return out;
}

function readAt(text, at, depth) {
  switch (text[at]) {
    case "`": return readCode(text, at);
    case "*": case "_": return readEmphasis(text, at, depth);
    case "!": return text[at + 1] === "[" ? readLink(text, at + 1, depth, true) : null;
    case "[": return readLink(text, at, depth, false);
    case "<": return readAutolink(text, at);
    default: return null;
  }
}

function readCode(text, at) {
  let ticks = 1;
  while (text[at + ticks] === "`") ticks += 1;
  const mark = "`".repeat(ticks);
  const end = text.indexOf(mark, at + ticks);
  if (end < 0) return { node: mark, end: at + ticks };
  return { node: h("code", {}, text.slice(at + ticks, end).replace(/^ (.*) $/s, "$1")), end: end + ticks };
}

function readEmphasis(text, at, depth) {
  const mark = text[at];
  const size = text[at + 1] === mark ? 2 : 1;
  const opens = /\S/.test(text[at + size] ?? "") && !(mark === "_" && /\w/.test(text[at - 1] ?? ""));
  if (!opens) return { node: mark.repeat(size), end: at + size };
  const close = mark.repeat(size);
  for (let end = text.indexOf(close, at + size); end >= 0; end = text.indexOf(close, end + 1)) {
    // Of three marks at the end, the first one ends what is inside.
    if (size === 2 && text[end + 2] === mark) continue;
    const after = text[end + size] ?? "";
    if (/\s/.test(text[end - 1]) || (mark === "_" && /\w/.test(after)) || (size === 1 && (after === mark || text[end - 1] === mark))) continue;
    return { node: h(size === 2 ? "strong" : "em", {}, inline(text.slice(at + size, end), depth + 1)), end: end + size };
  }
  return { node: close, end: at + size };
}

function readLink(text, at, depth, image) {
  const middle = matching(text, at, "[", "]");
  if (middle < 0 || text[middle + 1] !== "(") return null;
  const end = matching(text, middle + 1, "(", ")");
  if (end < 0) return null;
  const label = text.slice(at + 1, middle);
  const target = text.slice(middle + 2, end).trim().split(/\s/)[0].replace(/^<|>$/g, "");
  if (image) return { node: h("span", { class: "quiet" }, `[Image: ${label || "no description"}]`), end: end + 1 };
  return { node: link(target, inline(label, depth + 1)), end: end + 1 };
}

/** The index of what closes the bracket at `at`, -1 if nothing does within a reasonable distance. */
function matching(text, at, open, close) {
  let nested = 0;
  for (let index = at; index < Math.min(text.length, at + 2000); index += 1) {
    if (text[index] === "\\") index += 1;
    else if (text[index] === open) nested += 1;
    else if (text[index] === close && (nested -= 1) === 0) return index;
  }
  return -1;
}

function readAutolink(text, at) {
  const found = /^<(https?:\/\/[^\s<>]{1,2000})>/.exec(text.slice(at, at + 2010));
  return found && { node: link(found[1], [found[1]]), end: at + found[0].length };
}

/** A link to another place by http(s), or its text alone: files beside the card are not served. */
function link(target, content) {
  let url = null;
  try { url = new URL(target); } catch { /* no address of its own */ }
  if (url === null || !["http:", "https:"].includes(url.protocol)) return h("span", {}, content);
  return h("a", { href: url.href, rel: "noreferrer noopener", target: "_blank" }, content);
}
