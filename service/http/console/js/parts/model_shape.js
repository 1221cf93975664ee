// What a model reads and answers, as the tensors of the Open Inference Protocol tell it.

import { ApiError, get } from "../api.js";

/**
 * Return {inputs, outputs, text, width, future, levels, sessions}: lists of {name, datatype, shape}; whether it reads
 * text; how many numbers a row has, and how many of a future one; whether it forecasts quantiles; whether its sequences
 * can be cut into steps. All are null where the service does not tell.
 */
export async function shapeOf(model, signal) {
  let told;
  try {
    told = await get(`v2/models/${encodeURIComponent(model.id)}/config`, { signal, quiet: true });
  } catch (error) {
    if (!(error instanceof ApiError) || error.temporary || error.status === 401) throw error;
    return { inputs: null, outputs: null, text: null, width: null, future: null, levels: null, sessions: null };
  }
  const read = (list) => list.map(({ name, data_type: type, dims }) => ({ name, datatype: type.replace("TYPE_", ""), shape: dims }));
  const inputs = read(told.input), outputs = read(told.output);
  const sizeOf = (name) => inputs.find((one) => one.name === name)?.shape.at(-1) ?? 0;
  return {
    inputs, outputs, text: inputs.some(({ name }) => name === "TEXT" || name === "TOKEN_IDS"), width: sizeOf("VALUES"),
    future: sizeOf("FUTURE"), levels: outputs.some(({ name }) => name === "QUANTILES"), sessions: "sequence_batching" in told,
  };
}

/**
 * What the layers of a model of numbers tell: {features, known, longest, calendar}: the columns of its rows, those that are
 * known in advance, how many steps ahead it forecasts (null if unknown), and whether it reads the calendar.
 */
export async function rowsOf(model, signal) {
  const { parts } = await get(`v1/models/${encodeURIComponent(model.id)}/network`, { signal, quiet: true });
  const layers = parts.flatMap((part) => part.layers);
  const input = layers.find(({ kind }) => kind === "input");
  const output = layers.findLast(({ kind }) => kind === "output");
  return { features: input?.features ?? [], known: input?.known ?? [], longest: output?.steps ?? null, calendar: Boolean(input?.reads?.calendar) };
}
