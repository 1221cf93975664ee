// What a model reads and answers, as the description of its layers tells it.

import { get } from "../api.js";

/**
 * Return {features, known, longest, calendar, levels, sessions, inputs}:
 * the columns of its rows, none for a model of text; those that are known in advance; how many steps ahead it forecasts,
 * null if unknown; whether it reads the calendar; whether it answers distributions, not points; whether it has sessions;
 * and the inputs of a graph, {name, dtype, shape} without the axis of the batch.
 */
export async function shapeOf(model, signal) {
  const { parts, state } = await get(`v1/models/${encodeURIComponent(model.id)}/network`, { signal, quiet: true });
  const layers = parts.flatMap((part) => part.layers);
  const input = layers.find(({ kind }) => kind === "input");
  const output = layers.findLast(({ kind }) => kind === "output");
  const tensors = layers.find(({ kind }) => kind === "graph")?.tensors;
  return {
    features: input?.features ?? [], known: input?.known ?? [], longest: output?.steps ?? null,
    calendar: Boolean(input?.reads?.calendar), levels: output?.method !== "point", sessions: state.length > 0,
    inputs: tensors?.inputs.map((one) => ({ ...one, shape: one.shape.filter((size) => size !== "batch") })) ?? [],
  };
}
