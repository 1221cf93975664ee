// The vector that the sequences of some models begin with; a session takes it when it is created.

import { field, fill, h } from "../../dom.js";

/** A form that asks for the vector and calls `begin(vector)`. */
export function vectorForm(size, last, begin) {
  const area = h("textarea", { rows: "3", class: "mono", spellcheck: "false", value: JSON.stringify(last ?? Array(size).fill(0)) });
  const problem = h("p", { class: "error", role: "alert", hidden: true });
  const random = () => { area.value = JSON.stringify(Array.from({ length: size }, () => Number((Math.random() * 2 - 1).toFixed(2)))); };
  const submit = (event) => {
    event.preventDefault();
    const vector = read(area.value, size);
    problem.hidden = typeof vector !== "string";
    if (problem.hidden) begin(vector); else fill(problem, vector);
  };
  return h("form", { class: "card stack", on: { submit } },
    h("h2", {}, "A vector to begin with"),
    h("p", {}, `Each sequence of this model begins with a vector of ${size} numbers, such as the features of an image or a style. A session takes it once, when it is created.`),
    field(`Vector: a JSON list of ${size} numbers`, area), problem,
    h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, "Begin with this vector"),
      h("button", { type: "button", on: { click: random } }, "Random numbers")));
}

function read(text, size) {
  try {
    const vector = JSON.parse(text);
    if (!Array.isArray(vector) || !vector.every(Number.isFinite)) return "Expected a JSON list of numbers, such as [0.5, -1, 2].";
    return vector.length === size ? vector : `The list has ${vector.length} numbers: expected ${size}.`;
  } catch (error) {
    return `This is no JSON list: ${error.message}.`;
  }
}
