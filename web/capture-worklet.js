// Runs on the audio thread: collects the 128-sample blocks into chunks of about 40 ms and hands them to the page.

const CHUNK_MS = 40;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    const blocks = Math.max(1, Math.round((sampleRate * CHUNK_MS) / 1000 / 128));
    this.size = blocks * 128;
    this.chunk = new Float32Array(this.size);
    this.filled = 0;
    this.running = true;
    this.port.onmessage = () => {
      this.emit(this.chunk.slice(0, this.filled));
      this.port.postMessage(null);
      this.running = false;
    };
  }

  process([input]) {
    if (input.length) this.append(input[0]);
    return this.running;
  }

  append(block) {
    this.chunk.set(block, this.filled);
    this.filled += block.length;
    if (this.filled < this.size) return;
    this.emit(this.chunk);
    this.chunk = new Float32Array(this.size);
    this.filled = 0;
  }

  emit(samples) {
    if (samples.length) this.port.postMessage(samples, [samples.buffer]);
  }
}

registerProcessor("capture", Capture);
