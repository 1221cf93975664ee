// Feeding one thing after another: Play at a chosen rate, Pause and Step.

import { delay } from "../api.js";
import { fill, h } from "../dom.js";

const RATES = [1, 2, 5, 10];

/**
 * Controls that call `feed` again and again; it returns whether there is more. `onError` gets what it throws, which
 * pauses; `onPause` is called when it stands. Returns {element, playing(), pause(), enable(boolean)}.
 */
export function feeder({ feed, onError, onPause = () => {}, signal, what = "row" }) {
  let playing = false, busy = false, enabled = false;
  const rate = h("select", { "aria-label": `Speed in ${what}s per second` },
    RATES.map((one) => h("option", { value: one, selected: one === 5 }, `${one} per second`)));
  const play = h("button", { type: "button", class: "primary" });
  const step = h("button", { type: "button" }, "Step");
  const show = () => {
    fill(play, playing ? "Pause" : "Play");
    play.disabled = !enabled && !playing;
    step.disabled = !enabled || playing;
  };
  const one = async () => {
    busy = true;
    try {
      return await feed();
    } catch (error) {
      if (!signal.aborted && error.name !== "AbortError") onError(error);
      return false;
    } finally {
      busy = false;
    }
  };
  const run = async () => {
    let due = performance.now();
    while (playing && !signal.aborted && await one()) {
      // Behind schedule, the next answer is not caught up with.
      due = Math.max(due + 1000 / Number(rate.value), performance.now());
      await delay(due - performance.now(), signal).catch(() => {});
    }
    playing = false;
    if (signal.aborted) return;
    show();
    onPause();
  };
  play.addEventListener("click", () => {
    playing = !playing;
    show();
    if (playing && !busy) run();
  });
  step.addEventListener("click", async () => { if (!busy) await one(); });
  show();
  return {
    element: h("div", { class: "row", role: "group", "aria-label": `Feed ${what}s` }, play, step, rate),
    playing: () => playing,
    pause() { playing = false; show(); },
    enable(value) { enabled = value; if (!value) playing = false; show(); },
  };
}
