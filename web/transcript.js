// The transcript: lines in order of appearance. A line is one utterance of one channel, or a note about lost audio.
// Times are transcript time in ms: all audio of this page in a row, across stops and reconnects.

const GAP_REASONS = { no_slot: "every place on the server was taken" };

const isSettled = ({ kind }) => kind === "final" || kind === "interrupted";

/**
 * Line: {id, kind, channel, label, startMs, endMs, text, words}, `label` names the channel where there are two, kind one of
 *   "partial"      still growing
 *   "final"        settled; words: [{text, startMs, endMs, confidence}]
 *   "interrupted"  was a partial when its connection was lost for good: text as far as it got, no words
 *   "gap"          text says what was lost between startMs and endMs
 */
export class Transcript {
  lines = [];
  #open = new Map(); // key of an utterance -> its line
  #nextId = 1;
  #nextRun = 1;

  /** A number for a new run (a recording or a file): utterance numbers start anew in each of its connections. */
  newRun() {
    this.#nextRun += 1;
    return this.#nextRun;
  }

  /** Apply a `partial`, `final` or `gap`; returns {change: "added" | "grown" | "settled" | "removed", line} or null. */
  apply(message, { run, connection, baseMs, labels = [] }) {
    const channel = message.channel ?? 0;
    const place = { channel, label: labels[channel] ?? "" };
    const key = `${run}.${connection}.${channel}.${message.utterance}`;
    if (message.type === "partial") return this.#partial(key, message, baseMs, place);
    if (message.type === "final") return this.#final(key, message, baseMs, place);
    if (message.type === "gap") return this.#lost(message, baseMs, place);
    return null;
  }

  #partial(key, message, baseMs, place) {
    const text = message.text.trimStart();
    if (!text) return null;
    const startMs = baseMs + message.start_ms;
    let line = this.#open.get(key);
    const change = line ? "grown" : "added";
    if (!line) {
      line = this.#add({ kind: "partial", ...place, words: [] });
      this.#open.set(key, line);
    }
    // What the partial reached is known only roughly; it keeps the line's end after its start.
    const endMs = Math.max(startMs, baseMs + (message.audio_ms ?? message.start_ms));
    Object.assign(line, { text, startMs, endMs });
    return { change, line };
  }

  #final(key, message, baseMs, place) {
    const open = this.#open.get(key);
    this.#open.delete(key);
    const text = message.text.trim();
    if (!text) return open ? this.#remove(open) : null;
    const line = open ?? this.#add(place);
    Object.assign(line, {
      kind: "final",
      text,
      startMs: baseMs + message.start_ms,
      endMs: baseMs + message.end_ms,
      reason: message.reason,
      words: message.words.map((word) => ({
        text: word.text,
        startMs: baseMs + word.start_ms,
        endMs: baseMs + word.end_ms,
        confidence: word.confidence,
      })),
    });
    return { change: "settled", line };
  }

  #lost({ from_ms: fromMs, to_ms: toMs, reason }, baseMs, place) {
    const why = GAP_REASONS[reason] ?? reason;
    return this.gap(baseMs + fromMs, baseMs + toMs, why, place);
  }

  /** Audio that nobody captioned; `why` completes "was not captioned: ...". */
  gap(startMs, endMs, why, place = { channel: 0, label: "" }) {
    const seconds = ((endMs - startMs) / 1000).toFixed(1);
    const text = `${seconds} s not captioned: ${why}`;
    return { change: "added", line: this.#add({ kind: "gap", ...place, startMs, endMs, text, words: [] }) };
  }

  /**
   * The connection of the open partials is gone. Those that begin at or after `replayFromMs` will be heard again and
   * disappear; the others keep what they have. Returns the changes.
   */
  interrupt(replayFromMs = Infinity) {
    const lines = [...this.#open.values()];
    this.#open.clear();
    return lines.map((line) => (line.startMs >= replayFromMs ? this.#remove(line) : this.#keep(line)));
  }

  #keep(line) {
    line.kind = "interrupted";
    return { change: "settled", line };
  }

  clear() {
    this.lines = [];
    this.#open.clear();
  }

  get isEmpty() {
    return this.lines.length === 0;
  }

  get hasSettled() {
    return this.lines.some(isSettled);
  }

  /** Lines that are text and will not change any more, in order of time. */
  get settled() {
    return this.lines.filter(isSettled).sort((a, b) => a.startMs - b.startMs || a.channel - b.channel);
  }

  get wordCount() {
    return this.settled.reduce((count, { text }) => count + text.split(/\s+/).length, 0);
  }

  #add(fields) {
    const line = { id: this.#nextId, ...fields };
    this.#nextId += 1;
    this.lines.push(line);
    return line;
  }

  #remove(line) {
    this.lines = this.lines.filter((other) => other !== line);
    return { change: "removed", line };
  }
}

/**
 * The text of a settled line cut into plain stretches and unsure words: [{text, word}], word null for plain ones.
 * Joined, the texts are the line's text.
 */
export function stretches({ text, words }, unsureBelow) {
  const out = [];
  let plainFrom = 0;
  let cursor = 0; // behind every word so far, so that the right one of two equal words is found
  for (const word of words) {
    const begin = text.indexOf(word.text, cursor);
    if (begin < 0) continue;
    cursor = begin + word.text.length;
    if (word.confidence >= unsureBelow) continue;
    if (begin > plainFrom) out.push({ text: text.slice(plainFrom, begin), word: null });
    out.push({ text: word.text, word });
    plainFrom = cursor;
  }
  if (plainFrom < text.length) out.push({ text: text.slice(plainFrom), word: null });
  return out;
}
