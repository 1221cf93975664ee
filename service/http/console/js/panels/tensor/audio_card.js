// Audio as the input of a graph: the microphone, or a file, frame after frame over a WebSocket.

import { fill, field, h } from "../../dom.js";
import { errorBox } from "../../notices.js";
import { decode, record } from "./audio_source.js";
import { FrameStream } from "./frame_stream.js";

const FRAME = { least: 64, most: 65_536 };
const NAMES = /^(input|x|audio|pcm|wave|waveform|samples|speech|sound|frame)$/i;

const sizeOf = ({ shape }) => shape.at(-1);
const fits = ({ dtype, shape }) => dtype.startsWith("float") && sizeOf({ shape }) >= FRAME.least && sizeOf({ shape }) <= FRAME.most
  && shape.slice(0, -1).every((size) => size === 1);

/** A card to listen with, {element, stop()}, if the graph has one input, of a frame's shape; null otherwise. */
export function audioCard(inputs, { session, signal, onFrame, onStop }) {
  if (inputs.length !== 1 || !fits(inputs[0])) return null;
  const [input] = inputs, size = sizeOf(input);
  const rate = h("input", { type: "number", min: 3000, max: 192_000, value: 16_000 });
  const status = h("p", { class: "small", role: "status" }), problem = h("div", {});
  const start = h("button", { type: "button", class: "primary" }, "Start");
  const file = h("input", { type: "file", accept: "audio/*,.wav", class: "visually-hidden", "aria-label": "Audio file" });
  let listening = null;

  const tensor = (samples) => ({ tensors: { [input.name]: input.shape.slice(0, -1).reduceRight((inner) => [inner], Array.from(samples)) } });
  const fail = (error) => {
    if (!signal.aborted && error.name !== "AbortError") fill(problem, errorBox(error));
  };
  const stop = async (words) => {
    const { stream, release } = listening;
    listening = null;
    release();
    start.disabled = true;
    await stream.close();
    fill(start, "Start");
    start.disabled = false;
    fill(status, words);
    onStop();
  };
  const open = async () => {
    fill(problem);
    const stream = new FrameStream(session, { signal,
      onAnswer: ({ output }) => onFrame(output.tensors),
      onLost: (error) => { fail(error); if (listening) stop("Stopped."); } });
    await stream.open();
    fill(start, "Stop");
    return stream;
  };
  const listen = async () => {
    start.disabled = true;
    try {
      let stream = null;
      const release = await record({ rate: Number(rate.value), size, onFrame: (samples) => stream?.push(tensor(samples)) });
      signal.addEventListener("abort", release, { once: true });
      try {
        stream = await open();
      } catch (error) {
        release();
        throw error;
      }
      listening = { stream, release };
      fill(status, "Listening to the microphone.");
    } catch (error) {
      fail(error);
    }
    start.disabled = false;
  };
  const play = async (one) => {
    if (listening) await stop("");
    try {
      const samples = await decode(one, Number(rate.value));
      const stream = await open();
      const mine = { stream, release: () => {} };
      listening = mine;
      fill(status, `Feeding ${one.name}, ${(samples.length / Number(rate.value)).toFixed(1)} seconds.`);
      for (let at = 0; at + size <= samples.length && listening === mine; at += size) {
        await stream.room(16);
        stream.push(tensor(samples.subarray(at, at + size)));
      }
      if (listening === mine) await stop(`${one.name} was heard to its end.`);
    } catch (error) {
      fail(error);
    }
  };
  start.addEventListener("click", () => (listening ? stop("Stopped.").catch(fail) : listen()));
  file.addEventListener("change", () => { if (file.files[0]) play(file.files[0]); file.value = ""; });
  const card = h("section", { class: "card stack", "aria-labelledby": "audio-title" }, h("h2", { id: "audio-title" }, "Audio"),
    h("p", { class: "quiet small" }, `If ${input.name} is audio, it can be fed from the microphone or a file, in frames of ${size} samples over a WebSocket. `
      + "Nothing is stored but the session's state."),
    h("div", { class: "row end drop" }, start, h("label", { class: "button file" }, "Choose an audio file", file),
      field("Samples per second", rate)), status, problem);
  const mark = (event) => { event.preventDefault(); card.classList.toggle("over", event.type === "dragover"); };
  card.addEventListener("dragover", mark);
  card.addEventListener("dragleave", mark);
  card.addEventListener("drop", (event) => { mark(event); if (event.dataTransfer.files[0]) play(event.dataTransfer.files[0]); });
  const element = NAMES.test(input.name) ? card : h("details", {}, h("summary", {}, `${input.name} is audio`), card);
  return { element, stop: async () => { if (listening) await stop("Stopped."); } };
}
