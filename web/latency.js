// Latency as the reader meets it: from the sound at the microphone to the word on the screen.

const WINDOW_MS = 5000;

/**
 * When was stream time t captured, on the page's clock?
 *
 * Chunks of audio arrive a little late, never early, so the smallest distance between arrival and stream time within
 * the last 5 to 10 s is the best estimate. What the sound card and system take before that is not visible to a page.
 */
export class CaptureClock {
  #windows = [Infinity, Infinity];
  #windowEnd = -Infinity;

  /** Audio up to `endMs` of the transcript has just arrived, at `now`. */
  note(endMs, now) {
    if (now > this.#windowEnd) {
      this.#windows = [this.#windowEnd + WINDOW_MS > now ? this.#windows[1] : Infinity, Infinity];
      this.#windowEnd = now + WINDOW_MS;
    }
    this.#windows[1] = Math.min(this.#windows[1], now - endMs);
  }

  /** The page's clock when `ms` of the transcript was captured; NaN before any audio. */
  capturedAt(ms) {
    const offset = Math.min(...this.#windows);
    return Number.isFinite(offset) ? ms + offset : NaN;
  }
}

const KEEP = 50;

/** Medians over the last 50 words and finals. Times on the page's clock, durations in ms. */
export class Latency {
  #shown = new Map(); // line id -> [{length, at}] as its text grew, null for a line that nobody could see
  #words = [];
  #finals = [];

  /** `clock`: the CaptureClock of the audio that is being captioned; a new run brings its own. */
  constructor(clock = new CaptureClock()) {
    this.clock = clock;
  }

  /** `length` characters of a line are on the screen since `at`. */
  grown(id, length, at) {
    if (this.#shown.get(id) === null) return;
    if (!this.#shown.has(id)) this.#shown.set(id, []);
    this.#shown.get(id).push({ length, at });
  }

  /** The line's final was shown at `at`: every word is dated by when its last letter was first on the screen. */
  settled({ id, text, words, endMs, reason }, at) {
    const steps = this.#shown.has(id) ? this.#shown.get(id) : [];
    this.#shown.delete(id);
    if (steps === null) return;
    let cursor = 0;
    for (const word of words) {
      const begin = text.indexOf(word.text, cursor);
      if (begin < 0) continue;
      cursor = begin + word.text.length;
      const step = steps.find(({ length }) => length >= cursor);
      push(this.#words, (step?.at ?? at) - this.clock.capturedAt(word.endMs));
    }
    if (reason === "silence") push(this.#finals, at - this.clock.capturedAt(endMs));
  }

  /** The line changed in a hidden tab: when it was shown says nothing. */
  unseen(id) {
    this.#shown.set(id, null);
  }

  forget(id) {
    this.#shown.delete(id);
  }

  get wordMs() {
    return median(this.#words);
  }

  get finalMs() {
    return median(this.#finals);
  }
}

function push(samples, value) {
  if (!Number.isFinite(value)) return;
  samples.push(value);
  if (samples.length > KEEP) samples.shift();
}

function median(samples) {
  if (!samples.length) return null;
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
