// Frames of audio, from the microphone or from a file, at the rate that a model reads.

const WORKLET = new URL("../../worklets/frames.js", import.meta.url);
const REFUSED = {
  NotAllowedError: "The microphone was refused. Allow it for this page in the browser, or drop an audio file.",
  NotFoundError: "There is no microphone. Drop an audio file instead.",
  NotReadableError: "Another program uses the microphone.",
};

/** Record the microphone, and call `onFrame` with each frame of `size` samples. Returns a function that stops it. */
export async function record({ rate, size, onFrame }) {
  if (!navigator.mediaDevices) throw new Error("Browsers give pages a microphone over HTTPS or on localhost only. Drop an audio file instead.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  } catch (error) {
    throw new Error(REFUSED[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
  const context = new AudioContext({ sampleRate: rate });
  const stop = () => {
    for (const track of stream.getTracks()) track.stop();
    if (context.state !== "closed") context.close();
  };
  try {
    await context.audioWorklet.addModule(WORKLET);
    const frames = new AudioWorkletNode(context, "frames", { processorOptions: { size }, numberOfOutputs: 0 });
    frames.port.onmessage = ({ data }) => onFrame(data);
    // The context has the rate of the model, so the browser resamples.
    context.createMediaStreamSource(stream).connect(frames);
    await context.resume();
  } catch (error) {
    stop();
    throw new Error(`This browser does not give the microphone at ${rate} samples per second (${error.message}). Drop an audio file instead.`);
  }
  return stop;
}

/** The samples of an audio file, its first channel at `rate` samples per second. */
export async function decode(file, rate) {
  const context = new OfflineAudioContext(1, 1, rate);
  try {
    return (await context.decodeAudioData(await file.arrayBuffer())).getChannelData(0);
  } catch {
    throw new Error(`${file.name} is no audio that this browser reads.`);
  }
}
