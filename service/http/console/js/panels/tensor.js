// The panel of ONNX graphs: their inputs as JSON or as audio, and their outputs as numbers and curves.

import { fill, h, style } from "../dom.js";
import { LiveSession } from "../live_session.js";
import { FieldErrors } from "../parts/field_errors.js";
import { shapeOf } from "../parts/model_shape.js";
import { sessionLine } from "../parts/session_line.js";
import { audioCard } from "./tensor/audio_card.js";
import { readInputs, tensorFields } from "./tensor/fields.js";
import { outputsView } from "./tensor/outputs.js";

const KEPT = 300;

export async function render(root, { model, signal }) {
  style("numbers");
  const shape = await shapeOf(model, signal);
  const session = new LiveSession(model.id, { signal });
  const slot = `unroll-outputs-${model.id}`;
  const outputs = outputsView(signal);
  const inputs = tensorFields(shape.inputs);
  const problem = h("div", {});
  const errors = new FieldErrors(inputs.fields, problem);
  let steps = [];
  const note = (tensors, limit = KEPT) => {
    steps = [...steps, tensors].slice(-limit);
    outputs.show(steps, session.info?.step ?? steps.length);
  };
  const store = () => sessionStorage.setItem(slot, JSON.stringify({ id: session.id, steps }));
  const audio = audioCard(shape.inputs, { session, signal, onFrame: (tensors) => note(outputs.shorten(tensors), 2000), onStop: store });
  const restart = async () => {
    errors.clear();
    await audio?.stop();
    await session.end();
    steps = [];
    store();
    outputs.show(steps, 0);
  };
  const step = async () => {
    errors.clear();
    try {
      const result = await session.step({ tensors: readInputs(shape.inputs, inputs.fields) });
      note(outputs.shorten(result.output.tensors));
      store();
    } catch (error) {
      if (error.name === "AbortError") return;
      errors.tell(error, session.lost && h("button", { type: "button", on: { click: restart } }, "Begin a new session"));
    }
  };
  const standing = sessionLine(() => restart().catch((error) => errors.tell(error)));
  standing.follow(session);
  fill(root,
    h("section", { class: "card stack", "aria-labelledby": "tensors-title" }, h("h2", { id: "tensors-title" }, "Inputs"),
      inputs.element, h("div", { class: "row" }, h("button", { type: "button", class: "primary", on: { click: step } }, "Step")), problem),
    audio?.element,
    h("section", { class: "card stack", "aria-labelledby": "outputs-title" }, h("h2", { id: "outputs-title" }, "Outputs"), outputs.element,
      standing.root));
  if (await session.resume()) {
    const kept = JSON.parse(sessionStorage.getItem(slot) ?? "null");
    if (kept?.id === session.id) steps = kept.steps;
    if (session.recovered) note(outputs.shorten(session.recovered.result.output.tensors));
  }
  outputs.show(steps, session.info?.step ?? 0);
}
