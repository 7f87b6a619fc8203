// One run: from the start button to the last final. Joins a source of audio, a tape, a link and the transcript.

import { diagnose } from "./diagnose.js";
import { CaptureClock } from "./latency.js";
import { Link } from "./link.js";
import { frameToMs } from "./tape.js";
import { openStream, streamUrl } from "./stream.js";

export class Run {
  #id;
  #labels;

  /**
   * `paced`: audio reaches the tape at the pace of its sound, so that latency means something.
   * `ui`: change({change, line}), state(state), ready(message), warn(message), measured(latency).
   */
  constructor({ tape, transcript, options, key, base, paced, latency, ui }) {
    Object.assign(this, { tape, transcript, paced, ui });
    this.#id = transcript.newRun();
    this.#labels = tape.channels === 2 ? ["Left", "Right"] : [];
    this.clock = new CaptureClock();
    this.latency = latency;
    latency.clock = this.clock;
    const url = streamUrl(base, { ...options, encoding: "pcm_s16le", sample_rate: tape.rate, channels: tape.channels });
    this.link = new Link(tape, {
      open: (handlers) => openStream({ url, key, handlers }),
      diagnose: (code, wasOpen) => diagnose({ code, wasOpen, url, base, key }),
      onEvent: (message, context) => this.#event(message, context),
      onReady: (message) => ui.ready(message),
      onState: (state) => this.#state(state),
      onResume: (resume) => this.#resume(resume),
    });
  }

  start() {
    this.link.start();
  }

  /** The tape has grown. */
  advanced() {
    this.clock.note(this.endMs, performance.now());
    this.link.pump();
  }

  end() {
    this.link.end();
  }

  abort() {
    this.link.abort();
  }

  retryNow() {
    this.link.retryNow();
  }

  /** Transcript time at the end of what this run has recorded. */
  get endMs() {
    return frameToMs(this.tape, this.tape.endFrame);
  }

  #event(message, context) {
    if (message.type === "error" || message.type === "warning") return this.ui.warn(message);
    const change = this.transcript.apply(message, { run: this.#id, labels: this.#labels, ...context });
    if (change) this.#show(change);
  }

  #show(change) {
    this.ui.change(change);
    if (this.paced) this.#measure(change);
  }

  /** The text is on the screen with the browser's next picture; that is the moment that counts. */
  #measure({ change, line }) {
    const { id, text, words, endMs, reason, kind } = line;
    if (document.hidden) return kind === "partial" ? this.latency.unseen(id) : this.latency.forget(id);
    requestAnimationFrame(() => {
      const at = performance.now();
      if (change === "removed") this.latency.forget(id);
      else if (kind === "partial") this.latency.grown(id, text.length, at);
      else if (kind === "final") this.latency.settled({ id, text, words, endMs, reason }, at);
      this.ui.measured(this.latency);
    });
  }

  #resume({ fromMs, lostFromMs }) {
    this.transcript.interrupt(fromMs).forEach((change) => this.#show(change));
    if (lostFromMs === null) return;
    this.#show(this.transcript.gap(lostFromMs, fromMs, "the connection was lost for too long"));
  }

  #state(state) {
    if (state.name === "ended") this.transcript.interrupt().forEach((change) => this.#show(change));
    this.ui.state(state);
  }
}
