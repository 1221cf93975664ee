// Predictions of models without sessions.

import { persist, post } from "../../api.js";

/** Return a function that asks for the answer to a whole input. */
export function predictor(model, options, signal) {
  const path = `v1/models/${encodeURIComponent(model.id)}/predict`;
  return (input) => persist(() => post(path, { input, options }, { signal }), { signal });
}
