// The options of a forecast.

import { field, h } from "../../dom.js";
import { FieldError, wholeNumber } from "../../parts/field_errors.js";

/** Fields of the options: {element, fields, read(), start}; those of a model of this shape. */
export function optionsForm({ levels, longest, known }) {
  const horizon = h("input", { type: "number", min: 1, max: longest, step: 1, value: longest ? Math.min(longest, 48) : 1 });
  const quantiles = h("input", { type: "text", value: "0.1, 0.25, 0.5, 0.75, 0.9", size: 22, autocomplete: "off" });
  const samples = h("input", { type: "number", min: 0, max: 1000, step: 1, value: 0 });
  const seed = h("input", { type: "number", min: 0, step: 1, value: 1 });
  const start = h("input", { type: "number", min: 1, step: 1, value: 1 });
  const drawn = !levels ? [] : [field("Quantiles", quantiles), field("Sampled paths", samples), field("Seed", seed)];
  const read = () => {
    const options = { horizon: wholeNumber(horizon, "Horizon", 1, longest ?? 100_000, "options.horizon") };
    if (options.horizon === null && known.length) throw new FieldError("Horizon: expected a number, since what is known in advance is sent for so many steps.", "options.horizon");
    if (options.horizon === null) delete options.horizon;
    if (!levels) return options;
    options.quantiles = readLevels(quantiles.value);
    const count = wholeNumber(samples, "Sampled paths", 0, 1000, "options.samples") ?? 0;
    return count ? { ...options, samples: count, seed: wholeNumber(seed, "Seed", 0, Number.MAX_SAFE_INTEGER, "options.seed") ?? 0 } : options;
  };
  const element = h("div", { class: "row top" },
    field("History", start, "rows fed before the forecast"),
    field("Horizon", horizon, longest ? `steps ahead, at most ${longest}` : "steps ahead"), drawn);
  const fields = { "options.horizon": horizon, "input.future": horizon, "options.quantiles": quantiles, "options.samples": samples, "options.seed": seed, start };
  if (!levels) for (const name of ["options.quantiles", "options.samples", "options.seed"]) delete fields[name];
  return { element, fields, read, start };
}

function readLevels(text) {
  const levels = text.split(/[\s,;]+/).filter(Boolean).map(Number);
  const wrong = levels.find((level) => !(level > 0 && level < 1));
  if (!levels.length || wrong !== undefined || new Set(levels).size < levels.length || levels.length > 99) {
    throw new FieldError("Quantiles: expected up to 99 distinct levels between 0 and 1, such as 0.1, 0.5, 0.9.", "options.quantiles");
  }
  return levels;
}
