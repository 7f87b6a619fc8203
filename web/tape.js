// Audio that can be read again: after a lost connection the page sends what the server has not settled yet.
// A frame is one sample of every channel; frame 0 is the first of the tape.

/** A tape that is written live and remembers the last `limitMs`. */
export class LiveTape {
  #chunks = []; // {at, samples}, gapless, in order
  endFrame = 0;

  /** `originMs` is the transcript's time at frame 0. */
  constructor({ rate, originMs = 0, limitMs = 60_000 }) {
    this.rate = rate;
    this.channels = 1;
    this.originMs = originMs;
    this.limitFrames = Math.round((limitMs * rate) / 1000);
    this.live = true;
  }

  /** The oldest frame that can still be read. */
  get startFrame() {
    return this.#chunks.length ? this.#chunks[0].at : this.endFrame;
  }

  write(samples) {
    this.#chunks.push({ at: this.endFrame, samples });
    this.endFrame += samples.length;
    while (this.#chunks.length > 1 && this.endFrame - this.#chunks[1].at >= this.limitFrames) this.#chunks.shift();
  }

  /** Up to `frames` frames from `from` on; ends with the chunk it begins in. */
  read(from, frames) {
    const chunk = this.#chunks[this.#find(from)];
    if (!chunk) return new Int16Array(0);
    return chunk.samples.subarray(from - chunk.at, from - chunk.at + frames);
  }

  #find(frame) {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const { at, samples } = this.#chunks[middle];
      if (at + samples.length <= frame) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A whole recording; `endFrame` moves on as the pace releases it. */
export class FileTape {
  startFrame = 0;
  endFrame = 0;

  /** `samples`: Int16Array, interleaved. */
  constructor({ samples, rate, channels, originMs = 0 }) {
    Object.assign(this, { samples, rate, channels, originMs });
    this.frames = samples.length / channels;
    this.live = false;
  }

  release(untilFrame) {
    this.endFrame = Math.min(this.frames, Math.max(this.endFrame, Math.floor(untilFrame)));
  }

  read(from, frames) {
    const until = Math.min(this.endFrame, from + frames);
    return this.samples.subarray(from * this.channels, until * this.channels);
  }
}

/** Transcript time of a frame. */
export const frameToMs = (tape, frame) => tape.originMs + (frame * 1000) / tape.rate;

/** The frame at a transcript time, not before the tape's oldest. */
export function msToFrame(tape, ms) {
  const frame = Math.round(((ms - tape.originMs) * tape.rate) / 1000);
  return Math.min(tape.endFrame, Math.max(tape.startFrame, frame));
}
