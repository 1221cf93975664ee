// The branches as chips to change between.

import { fill, h } from "../../dom.js";

/** {root, show(branches)}; shown once there are two branches. */
export function branchChips({ select, remove }) {
  const root = h("div", { class: "row branches", role: "group", "aria-label": "Branches", hidden: true });
  return {
    root,
    show({ all, current }) {
      root.hidden = all.length < 2;
      const focused = [...root.querySelectorAll("button")].indexOf(document.activeElement);
      fill(root, h("span", { class: "small", "aria-hidden": "true" }, "Branches"), all.map((branch) => chip(branch, branch === current, { select, remove })));
      if (focused >= 0) root.querySelectorAll("button")[focused]?.focus();
    },
  };
}

function chip(branch, current, { select, remove }) {
  const { words } = branch.transcript;
  const end = words.slice(-3).map(({ gap, text }) => (gap ? " " : "") + text).join("").trim();
  return h("span", { class: "chip" },
    h("button", { type: "button", class: "chip-name", "aria-pressed": String(current), on: { click: () => select(branch) } },
      `${branch.name}: `, h("bdi", {}, words.length > 3 ? `… ${end}` : end || "nothing yet")),
    h("button", { type: "button", class: "chip-end", "aria-label": `End branch ${branch.name}`, on: { click: () => remove(branch) } }, "×"));
}
