// Cuts what a microphone records into frames, on the thread of audio.

class Frames extends AudioWorkletProcessor {
  constructor({ processorOptions: { size } }) {
    super();
    Object.assign(this, { frame: new Float32Array(size), filled: 0 });
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.frame[this.filled] = sample;
      this.filled += 1;
      if (this.filled === this.frame.length) {
        this.port.postMessage(this.frame);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("frames", Frames);
