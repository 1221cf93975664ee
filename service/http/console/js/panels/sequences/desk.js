// The panel of models that read a sequence and answer labels, tags, numbers or a vector: input, feeding, and a view.

import { fill, h, style } from "../../dom.js";
import { LiveSession } from "../../live_session.js";
import { errorBox } from "../../notices.js";
import { shapeOf } from "../../parts/model_shape.js";
import { sessionLine } from "../../parts/session_line.js";
import { predictor } from "./predictor.js";
import { rowsInput } from "./rows_input.js";
import { textInput } from "./text_input.js";

const KEPT = 200;

/**
 * Show the panel. `view` has `title`, `options`, `keep(output)`, which returns what is worth keeping of an answer, and
 * `show(steps)`, called with all {label, kept} after each step; its `element` is below the input.
 */
export async function renderSequence(root, { model, signal }, view) {
  style("numbers");
  const shape = await shapeOf(model, signal);
  const session = new LiveSession(model.id, { signal });
  const slot = `unroll-steps-${model.id}`;
  const problem = h("div", {});
  let steps = [];
  const store = () => sessionStorage.setItem(slot, JSON.stringify({ id: session.id, steps }));
  const note = (label, output) => {
    if (!shape.sessions) steps = [];
    steps = [...steps, { label, kept: view.keep(output), timesteps: session.info?.timesteps ?? null }].slice(-KEPT);
    store();
    view.show(steps);
  };
  const predict = !shape.sessions ? predictor(model, view.options, signal) : null;
  const feed = async (label, input) => {
    fill(problem);
    const result = predict ? await predict(input) : await session.step(input, view.options);
    note(label, result.output);
  };
  const restart = async () => {
    fill(problem);
    await session.end();
    steps = [];
    store();
    view.show(steps);
  };
  const fail = (error) => {
    if (error.name === "AbortError" || signal.aborted) return;
    fill(problem, errorBox(error), session.lost && h("button", { type: "button", on: { click: restart } }, "Begin a new session"));
  };
  const standing = sessionLine(() => restart().catch(fail));
  standing.follow(session);
  const input = shape.features.length ? rowsInput : textInput;
  fill(root, h("section", { class: "card stack", "aria-labelledby": "input-title" }, h("h2", { id: "input-title" }, "Input"),
    predict && h("p", { class: "tag warn" }, "This network needs whole sequences, so it has no sessions. Each answer is that to the whole input."),
    input({ feed, fail, names: shape.features, signal, whole: predict !== null }), problem),
  h("section", { class: "card stack", "aria-labelledby": "answer-title" }, h("h2", { id: "answer-title" }, view.title), view.element,
    !predict && standing.root));
  if (!predict && await session.resume()) {
    const kept = JSON.parse(sessionStorage.getItem(slot) ?? "null");
    if (kept?.id === session.id) steps = kept.steps;
    if (session.recovered) note("…", session.recovered.result.output);
  }
  view.show(steps);
}
