// One logical stream over as many connections as it takes: sends the tape, reconnects with back-off and sends again
// what the server had not settled. No DOM, no sockets of its own: both come from outside.

import { fault } from "./faults.js";
import { frameToMs, msToFrame } from "./tape.js";

const PIECE_MS = 80;
const HIGH_WATER_BYTES = 256 * 1024; // of a socket's own buffer; beyond it the tape waits
const STALLED_MS = 10_000; // of live audio without a byte taken: a dead connection (a page cannot ping)
const DRAIN_TIMEOUT_MS = 60_000; // without any message after `end`; the reader may stop waiting before
const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15_000];
const PAUSE_MS = 200; // into the silence after a final: keeps a replay from hearing the last word's tail again

/**
 * States reported by `onState`: {name: "connecting" | "live" | "waiting" | "ended", fault, retryInMs, complete}.
 * `onEvent(message, {baseMs, connection})` gets every message but `ready`/`done`; times in it count from `baseMs`.
 * `onResume({connection, fromMs, lostFromMs})` comes before a replay: the tape goes on at `fromMs`;
 * `lostFromMs` is set when audio since then had already left the tape.
 */
export class Link {
  #io;
  #tape;
  #socket = null;
  #connection = 0; // counts connections; late callbacks of an old one are dropped by it
  #open = false;
  #head = 0; // next frame to send
  #baseMs = 0;
  #settledMs;
  #attempts = 0;
  #error = null; // the last fatal `error` of this connection
  #ending = false;
  #endSent = false;
  #fullAt = null; // the tape's end when the socket was first found full
  #done = false;
  #timers = {};

  /** `io`: open(handlers), diagnose(closeCode, wasOpen), onState, onEvent, onReady, onResume, setTimeout, clearTimeout. */
  constructor(tape, io) {
    this.#tape = tape;
    this.#io = { setTimeout: (...a) => setTimeout(...a), clearTimeout: (t) => clearTimeout(t), onResume() {}, onReady() {}, ...io };
    this.#settledMs = Array(tape.channels).fill(tape.originMs);
  }

  /** Transcript time up to which audio has been handed to the socket. */
  get sentMs() {
    return frameToMs(this.#tape, this.#head);
  }

  start() {
    this.#connect();
  }

  /** Call whenever the tape has grown. */
  pump() {
    if (!this.#open || this.#endSent) return;
    if (this.#head < this.#tape.startFrame) return this.#drop("stalled");
    const frames = Math.round((PIECE_MS * this.#tape.rate) / 1000);
    while (this.#head < this.#tape.endFrame) {
      if (this.#socket.bufferedBytes > HIGH_WATER_BYTES) return this.#wait();
      this.#fullAt = null;
      const piece = this.#tape.read(this.#head, frames);
      this.#socket.send(piece);
      this.#head += piece.length / this.#tape.channels;
    }
    if (this.#ending) this.#sendEnd();
  }

  /** The socket is full: come back soon, unless it has been full for so much live audio that it must be dead. */
  #wait() {
    this.#fullAt ??= this.#tape.endFrame;
    const waitedMs = ((this.#tape.endFrame - this.#fullAt) * 1000) / this.#tape.rate;
    if (this.#tape.live && waitedMs > STALLED_MS) this.#drop("stalled");
    else this.#later("pump", 20, () => this.pump());
  }

  /** Nothing more comes onto the tape: send the rest, ask for the last finals, end. */
  end() {
    if (this.#ending || this.#done) return;
    this.#ending = true;
    if (this.#timers.retry) return this.#finish(false);
    this.#watch();
    this.pump();
  }

  /** Do not wait for the back-off to pass. */
  retryNow() {
    if (!this.#timers.retry) return;
    this.#io.clearTimeout(this.#timers.retry);
    delete this.#timers.retry;
    this.#connect();
  }

  /** End at once; what the server has not sent yet is lost. */
  abort() {
    this.#finish(false);
  }

  #connect() {
    const connection = (this.#connection += 1);
    const mine = (handler) => (...args) => connection === this.#connection && handler(...args);
    this.#error = null;
    this.#io.onState({ name: "connecting" });
    this.#socket = this.#io.open({
      opened: mine(() => this.#opened()),
      message: mine((message) => this.#message(message)),
      closed: mine((code) => this.#closed(code)),
    });
  }

  #opened() {
    this.#rewind();
    this.#open = true;
    this.#endSent = false;
    this.#fullAt = null;
    this.pump();
  }

  /** Put the head where the server has not settled yet; the new connection's clock starts there. */
  #rewind() {
    const sentMs = this.sentMs;
    const wantedMs = Math.min(...this.#settledMs);
    this.#head = msToFrame(this.#tape, wantedMs);
    this.#baseMs = frameToMs(this.#tape, this.#head);
    if (this.#connection === 1) return;
    const lost = this.#baseMs > sentMs + 1;
    this.#io.onResume({ connection: this.#connection, fromMs: this.#baseMs, lostFromMs: lost ? sentMs : null });
  }

  #message(message) {
    this.#watch();
    if (message.type === "ready") {
      this.#attempts = 0;
      this.#io.onReady(message);
      this.#io.onState({ name: "live" });
    } else if (message.type === "done") {
      this.#finish(true);
    } else {
      if (message.type === "error" && message.fatal) this.#error = message;
      else if (this.#isNews(message)) this.#io.onEvent(message, { baseMs: this.#baseMs, connection: this.#connection });
      if (message.type === "final") this.#settle(message);
    }
  }

  /** A replay begins at the channel that lags; what the other had settled since then comes again and is no news. */
  #isNews({ type, start_ms: startMs, channel = 0 }) {
    if (type !== "partial" && type !== "final") return true;
    return this.#connection === 1 || this.#baseMs + startMs >= this.#settledMs[channel] - PAUSE_MS;
  }

  #settle({ end_ms: endMs, reason, channel = 0 }) {
    const settledMs = this.#baseMs + endMs + (reason === "silence" ? PAUSE_MS : 0);
    this.#settledMs[channel] = Math.max(this.#settledMs[channel] ?? 0, settledMs);
  }

  #sendEnd() {
    this.#endSent = true;
    this.#socket.end();
    this.#watch();
  }

  /** After `end` the server must keep talking; a fast file may take long, but never silently. */
  #watch() {
    if (this.#endSent && !this.#done) this.#later("drain", DRAIN_TIMEOUT_MS, () => this.#finish(false));
  }

  #drop(code) {
    const socket = this.#socket;
    this.#open = false;
    this.#connection += 1;
    socket.close();
    this.#lost(fault(code));
  }

  async #closed(code) {
    const wasOpen = this.#open;
    this.#open = false;
    const connection = this.#connection;
    const cause = this.#error ? fault(this.#error.code, this.#error) : await this.#io.diagnose(code, wasOpen);
    if (connection === this.#connection && !this.#done) this.#lost(cause);
  }

  #lost(cause) {
    if (!cause.retry) return this.#finish(false, cause);
    const backoffMs = BACKOFF_MS[Math.min(this.#attempts, BACKOFF_MS.length - 1)];
    const retryInMs = Math.max(backoffMs, (cause.retryAfterS ?? 0) * 1000);
    this.#attempts += 1;
    if (this.#ending && this.#attempts > 3) return this.#finish(false, cause);
    this.#io.onState({ name: "waiting", fault: cause, retryInMs });
    this.#later("retry", retryInMs, () => this.#connect());
  }

  #later(name, ms, action) {
    this.#io.clearTimeout(this.#timers[name]);
    this.#timers[name] = this.#io.setTimeout(() => {
      delete this.#timers[name];
      action();
    }, ms);
  }

  #finish(complete, cause = null) {
    if (this.#done) return;
    this.#done = true;
    this.#open = false;
    this.#connection += 1;
    Object.values(this.#timers).forEach((timer) => this.#io.clearTimeout(timer));
    this.#socket?.close();
    this.#io.onState({ name: "ended", complete, fault: cause });
  }
}
