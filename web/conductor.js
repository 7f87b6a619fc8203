// What happens between "start" and "settled": one run at a time, from the microphone or from a recording.

import { captureObstacle, openMicrophone } from "./capture.js";
import { fault } from "./faults.js";
import { toInt16 } from "./pcm.js";
import { decode, playOut, releaseAll, toTape } from "./recording.js";
import { Run } from "./run.js";
import { PROCESSING } from "./settings.js";
import { keyIsSendable } from "./stream.js";
import { LiveTape } from "./tape.js";

const NOTHING = { stop() {} };
const OVER_WITH_TEXT = new Set(["waiting_for_slot", "no_text"]);

/**
 * Phases: "idle", "opening" (permission, decoding, questions), "running", "finishing" (last finals under way).
 *
 * `ui`: phase(name), words(state name), fault(fault, options), calm(), change(change), ready(message), measured(),
 * sound(Int16Array), opened() (a microphone), recording(recording, tape), position(ms), choose(recording) -> choice or null,
 * ended().
 */
export class Conductor {
  phase = "idle";
  #run = null;
  #source = NOTHING;
  #live = false; // the words for a stream that runs: a microphone listens, a recording is captioned
  #elapsedMs = 0; // transcript time at which the next run begins
  #farewell = null; // a fault to tell when the last words have settled
  #worry = null; // the last warning of this run
  #again = false; // start the microphone again after the end

  constructor({ settings, transcript, latency, base, ui }) {
    Object.assign(this, { settings, transcript, latency, base, ui });
  }

  toggle() {
    if (this.phase === "idle") this.startMicrophone();
    else if (this.phase === "opening") this.#enter("idle", "idle");
    else if (this.phase === "running") this.stop();
    else this.#run?.abort();
  }

  async startMicrophone() {
    const obstacle = captureObstacle() ?? this.#keyObstacle();
    if (obstacle) return this.#fail(obstacle);
    this.#enter("opening", "permission");
    let tape = null;
    let microphone;
    try {
      microphone = await openMicrophone({
        deviceId: this.settings.values.deviceId,
        processing: PROCESSING[this.settings.values.processing],
        onChunk: (samples) => tape && this.#hear(tape, toInt16(samples)),
        onGone: () => this.#lose(),
      });
    } catch (cause) {
      return this.#fail(cause.code ? cause : fault("microphone_busy"));
    }
    if (this.phase !== "opening") return microphone.stop();
    this.ui.opened();
    tape = new LiveTape({ rate: microphone.rate, originMs: this.#elapsedMs });
    this.#begin(tape, microphone, true);
  }

  async startRecording(file) {
    if (this.phase !== "idle") return;
    const obstacle = this.#keyObstacle();
    if (obstacle) return this.#fail(obstacle);
    this.#enter("opening", "reading");
    let recording;
    try {
      recording = await decode(file);
    } catch (cause) {
      return this.#fail(cause);
    }
    if (this.phase !== "opening") return;
    this.ui.words("asking");
    const choice = await this.ui.choose(recording);
    if (choice) this.#caption(recording, choice);
    else this.#enter("idle", "idle");
  }

  /** No more audio; what was said until now is settled. */
  async stop() {
    if (this.phase !== "running") return;
    this.#enter("finishing", "finishing");
    const run = this.#run;
    await this.#source.stop();
    run.end();
  }

  /** Another microphone was chosen: go on with it. */
  changeMicrophone() {
    if (this.phase !== "running" || !this.#live) return;
    this.#again = true;
    this.stop();
  }

  retryNow() {
    this.#run?.retryNow();
  }

  /** The transcript was cleared: with nothing running, time begins anew. */
  restartClock() {
    if (!this.#run) this.#elapsedMs = 0;
  }

  #hear(tape, samples) {
    tape.write(samples);
    this.ui.sound(samples);
    this.#run?.advanced();
  }

  /** The device went away by itself: settle what was said, then say so. */
  #lose() {
    this.#farewell = fault("microphone_gone");
    this.stop();
  }

  async #caption(recording, { pace, separate }) {
    const tape = toTape(recording, { separate, originMs: this.#elapsedMs });
    this.ui.recording(recording, tape);
    this.#begin(tape, NOTHING, pace !== "fast");
    if (pace === "fast") return this.#sendAtOnce(tape, this.#run);
    const source = await playOut(recording, tape, {
      audible: pace === "play",
      onTape: (samples) => {
        this.ui.sound(samples);
        this.ui.position((tape.endFrame * 1000) / tape.rate);
        this.#run?.advanced();
      },
      onEnd: () => this.stop(),
    });
    if (this.phase === "running") this.#source = source;
    else source.stop();
  }

  /** The last sample is known from the beginning; only the reader's own stop ends it early. */
  #sendAtOnce(tape, run) {
    this.#source = { stop: () => run.abort() };
    releaseAll(tape);
    run.end();
  }

  #begin(tape, source, paced) {
    this.#live = tape.live;
    this.#source = source;
    this.#run = new Run({
      tape,
      paced,
      transcript: this.transcript,
      latency: this.latency,
      base: this.base,
      options: this.settings.streamOptions,
      key: this.settings.key,
      ui: {
        change: (change) => this.#changed(change, tape, paced),
        state: (state) => this.#onState(state),
        ready: (message) => this.ui.ready(message),
        warn: ({ code, message }) => this.#warn(fault(code, { message })),
        measured: () => this.ui.measured(),
      },
    });
    this.#enter("running", "connecting");
    this.#run.start();
  }

  #warn(cause) {
    this.#worry = cause;
    this.ui.fault(cause);
  }

  #changed(change, tape, paced) {
    if (this.#worry && OVER_WITH_TEXT.has(this.#worry.code)) {
      this.#worry = null;
      this.ui.calm();
    }
    this.ui.change(change);
    if (!tape.live && !paced) this.ui.position(change.line.endMs - tape.originMs);
  }

  #onState(state) {
    if (state.name === "ended") return this.#ended(state);
    if (state.name === "live") this.ui.calm();
    this.ui.words(this.#wordsFor(state.name));
    if (state.name === "waiting") this.ui.fault(state.fault, { retryInMs: state.retryInMs, isLive: this.#live });
  }

  #wordsFor(state) {
    if (state !== "live") return state;
    if (this.phase === "finishing") return "finishing";
    return this.#live ? "live" : "file";
  }

  #ended({ fault: cause, complete }) {
    const cutShort = complete || this.#run.endMs === this.#elapsedMs ? null : fault("cut_short");
    const trouble = cause ?? this.#farewell ?? cutShort;
    const again = this.#again && !cause;
    this.#source.stop();
    this.#source = NOTHING;
    this.#elapsedMs = this.#run.endMs;
    this.#run = null;
    this.#farewell = this.#worry = null;
    this.#again = false;
    this.ui.ended();
    if (trouble) this.#fail(trouble);
    else this.#enter("idle", "idle");
    if (again) this.startMicrophone();
  }

  #enter(phase, words) {
    this.phase = phase;
    if (phase === "opening" || (phase === "idle" && words === "idle")) this.ui.calm();
    this.ui.words(words);
    this.ui.phase(phase);
  }

  #fail(cause) {
    this.#enter("idle", "failed");
    this.ui.fault(cause);
  }

  #keyObstacle() {
    return keyIsSendable(this.settings.key) ? null : fault("bad_key");
  }
}
