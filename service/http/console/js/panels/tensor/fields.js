// A field for each input of a graph, with JSON of its shape.

import { field, h } from "../../dom.js";
import { FieldError } from "../../parts/field_errors.js";

const MOST_SHOWN = 4096;

/** Fields of `inputs`, {name, dtype, shape}, filled with zeros: {element, fields}, where fields are by the service's parameters. */
export function tensorFields(inputs) {
  const fields = {};
  const rows = inputs.map(({ name, dtype, shape }) => {
    const text = h("textarea", { class: "mono", rows: 3, spellcheck: "false" });
    text.value = JSON.stringify(zeros(shape, dtype === "bool"));
    fields[`input.tensors.${name}`] = text;
    return field(`${name}: ${dtype} [${shape.join(", ")}]`, text, shape.some((size) => typeof size === "string") ? "Axes with a name have any size, the same one wherever the name stands." : null);
  });
  return { element: h("div", { class: "stack" }, rows), fields };
}

/** Nested lists of zeros; an axis of any size gets one element, and a tensor too large to be shown an empty list. */
export function zeros(shape, bool = false) {
  const sizes = shape.map((size) => (typeof size === "number" ? size : 1));
  if (sizes.reduce((product, size) => product * size, 1) > MOST_SHOWN) return [];
  return sizes.reduceRight((inner, size) => Array.from({ length: size }, () => structuredClone(inner)), bool ? false : 0);
}

/** The tensors that the fields have. Raises a FieldError for one that is no JSON. */
export function readInputs(inputs, fields) {
  return Object.fromEntries(inputs.map(({ name }) => {
    const param = `input.tensors.${name}`;
    try {
      return [name, JSON.parse(fields[param].value)];
    } catch (error) {
      throw new FieldError(`${name}: expected nested lists of numbers as JSON (${error.message}).`, param);
    }
  }));
}
