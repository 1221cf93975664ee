// A field for each input of a graph, with JSON of its shape.

import { field, h } from "../../dom.js";
import { FieldError } from "../../parts/field_errors.js";

const MOST_SHOWN = 4096;

/** Fields of `inputs`, {name, datatype, shape}, filled with zeros: {element, fields}, where fields are by the service's parameters. */
export function tensorFields(inputs) {
  const fields = {};
  const rows = inputs.map(({ name, datatype, shape }) => {
    const text = h("textarea", { class: "mono", rows: 3, spellcheck: "false" });
    text.value = JSON.stringify(zeros(shape, datatype === "BOOL"));
    fields[`input.tensors.${name}`] = text;
    return field(`${name}: ${datatype} ${written(shape)}`, text, shape.includes(-1) ? "An axis of −1 has any size." : null);
  });
  return { element: h("div", { class: "stack" }, rows), fields };
}

export const written = (shape) => `[${shape.join(", ").replaceAll("-1", "−1")}]`;

/** Nested lists of zeros; an axis of any size gets one element, and a tensor too large to be shown an empty list. */
export function zeros(shape, bool = false) {
  const sizes = shape.map((size) => Math.max(1, size));
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
