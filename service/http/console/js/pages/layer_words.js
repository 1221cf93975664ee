// The layers of a network in words, for the picture and for its list.

import { count, plural } from "./format.js";

const TITLES = {
  input: "Input", embedding: "Embedding", one_hot: "Unit vectors", linear: "Linear layer", layer_norm: "Layer normalisation",
  batch_norm: "Batch normalisation", activation: "Activation", convolution: "Convolution over time", bridge: "Bridge",
  attention: "Attention", readout: "Readout", output: "Output", crf: "CRF", graph: "ONNX graph",
};
const CELLS = { lstm: "LSTM", gru: "GRU", rnn_tanh: "RNN (tanh)", rnn_relu: "RNN (ReLU)" };
const READOUTS = {
  each: "of each timestep", last: "of the last timestep", last_output: "of the last timestep", mean: "mean of all timesteps",
  max: "maximum of all timesteps", attention: "attention over all timesteps",
};
/** Tensors of a graph that are listed in its box. */
const MOST_TENSORS = 4;

/** The title of a layer: "LSTM × 2", "Attention". */
export function title(layer) {
  if (layer.kind === "recurrent") return `${CELLS[layer.cell] ?? layer.cell}${layer.depth > 1 ? ` × ${layer.depth}` : ""}`;
  if (layer.kind === "linear" && layer.name) return `${TITLES.linear} (${layer.name.replaceAll("_", " ")})`;
  return TITLES[layer.kind] ?? layer.kind;
}

/** Short lines below the title. */
export function lines(layer) {
  return [sizes(layer), ...kind(layer), ...further(layer)].filter(Boolean);
}

function sizes({ kind, inputs, outputs, vocabulary, reads }) {
  if (kind === "embedding" || kind === "one_hot") return `${count(vocabulary)} tokens → ${count(outputs)}`;
  if (kind === "input" && vocabulary) return `one of ${count(vocabulary)} tokens`;
  if (kind === "input") return reads?.vector ? plural(outputs, "number") : `${plural(outputs, "number")} at a timestep`;
  if (kind === "output" && vocabulary) return `${count(inputs)} → ${count(outputs)} tokens`;
  if (inputs && outputs) return inputs === outputs && kind !== "recurrent" ? count(outputs) : `${count(inputs)} → ${count(outputs)}`;
  return outputs ? `${plural(outputs, "number")} at a timestep` : null;
}

function kind(layer) {
  switch (layer.kind) {
    case "input": return [Object.keys(layer.reads).length > 1 && parts(layer.reads)];
    case "recurrent": return recurrent(layer);
    case "convolution": return [`kernel ${layer.kernel}${layer.dilation > 1 ? `, dilation ${layer.dilation}` : ""}, ${layer.padding}`];
    case "attention": return [layer.method, "over the encoder's outputs"];
    case "bridge": return [layer.method, "the decoder's first state"];
    case "readout": return [READOUTS[layer.method] ?? layer.method];
    case "output": return output(layer);
    case "graph": return graph(layer.tensors);
    default: return [layer.reads && `reads ${parts(layer.reads)}`];
  }
}

function recurrent(layer) {
  const start = { zeros: "starts from zeros", learned: "starts from a learned state" };
  return [
    `hidden size ${count(layer.hidden_size)}${layer.projection_size ? `, projected to ${count(layer.projection_size)}` : ""}`,
    layer.bidirectional ? "both directions" : "forward",
    layer.reads && `reads ${parts(layer.reads)}`,
    start[layer.initial_state] ?? `starts from the ${layer.initial_state}`,
  ];
}

function output(layer) {
  return [
    layer.method,
    layer.steps && (layer.steps === 1 ? "one step ahead" : `for each of ${count(layer.steps)} steps ahead`),
    layer.tied && "shares the embedding's weights",
    layer.reads && `reads ${parts(layer.reads)}`,
  ];
}

function further(layer) {
  return [
    layer.connection && `${layer.connection} connection`,
    layer.layer_norm && "layer normalisation",
    layer.activation && `${layer.activation.replaceAll("_", " ")}`,
    layer.gate_activation && `gates: ${layer.gate_activation.replaceAll("_", " ")}`,
  ];
}

function graph({ inputs, outputs, states }) {
  const named = (what, entries, name) => {
    const shown = entries.slice(0, MOST_TENSORS).map((entry) => `${name(entry)} [${entry.shape.join(", ")}]`);
    const rest = entries.length - shown.length;
    return entries.length ? [`${what}:`, ...shown, rest > 0 && `and ${rest} more`] : [];
  };
  return [
    ...named("reads", inputs, (entry) => entry.name),
    ...named("keeps", states, (entry) => `${entry.input} ← ${entry.output}`),
    ...named("returns", outputs, (entry) => entry.name),
  ];
}

const parts = (reads) => Object.entries(reads).map(([name, size]) => `${name} ${count(size)}`).join(" + ");
