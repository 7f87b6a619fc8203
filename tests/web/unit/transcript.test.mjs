import assert from "node:assert/strict";
import { test } from "node:test";

import { stretches, Transcript } from "../../../web/transcript.js";

const at = { run: 1, connection: 1, baseMs: 1000 };
const partial = (utterance, text, rest = {}) => ({ type: "partial", utterance, text, start_ms: 100, audio_ms: 500, channel: 0, ...rest });
const word = (text, start_ms, confidence = 0.9) => ({ text, start_ms, end_ms: start_ms + 100, confidence });
const final = (utterance, text, rest = {}) => ({
  type: "final", utterance, text, start_ms: 100, end_ms: 900, channel: 0, reason: "silence",
  words: text.split(" ").filter(Boolean).map((w, i) => word(w, 100 * i)), ...rest,
});

test("a partial grows in its line and settles there", () => {
  const transcript = new Transcript();
  const added = transcript.apply(partial(1, " one"), at);
  const grown = transcript.apply(partial(1, " one two"), at);
  const settled = transcript.apply(final(1, "one two three"), at);
  assert.deepEqual([added.change, grown.change, settled.change], ["added", "grown", "settled"]);
  assert.equal(settled.line, added.line);
  assert.equal(transcript.lines.length, 1);
  const { kind, text, startMs, endMs, words } = settled.line;
  assert.deepEqual({ kind, text, startMs, endMs }, { kind: "final", text: "one two three", startMs: 1100, endMs: 1900 });
  assert.deepEqual(words[1], { text: "two", startMs: 1100, endMs: 1200, confidence: 0.9 });
});

test("a final without a partial makes its own line, an empty one none and takes its partial away", () => {
  const transcript = new Transcript();
  assert.equal(transcript.apply(final(1, "hello"), at).line.kind, "final");
  transcript.apply(partial(2, "uh"), at);
  assert.equal(transcript.apply(final(2, ""), at).change, "removed");
  assert.equal(transcript.apply(final(3, ""), at), null);
  assert.deepEqual(transcript.lines.map(({ text }) => text), ["hello"]);
});

test("equal utterance numbers of other channels, connections and runs are other lines", () => {
  const transcript = new Transcript();
  transcript.apply(partial(1, "a"), at);
  transcript.apply(partial(1, "b", { channel: 1 }), { ...at, labels: ["Left", "Right"] });
  transcript.apply(partial(1, "c"), { ...at, connection: 2 });
  transcript.apply(partial(1, "d"), { ...at, run: 2 });
  assert.deepEqual(transcript.lines.map(({ text, label }) => text + label), ["a", "bRight", "c", "d"]);
});

test("settled lines come in order of time, whatever settled first", () => {
  const transcript = new Transcript();
  transcript.apply(final(1, "later", { start_ms: 5000, end_ms: 6000, channel: 1 }), at);
  transcript.apply(final(1, "earlier", { start_ms: 2000, end_ms: 3000 }), at);
  transcript.apply(partial(2, "open"), at);
  assert.deepEqual(transcript.settled.map(({ text }) => text), ["earlier", "later"]);
  assert.equal(transcript.wordCount, 2);
});

test("a replay removes the partials that will be heard again and keeps the others", () => {
  const transcript = new Transcript();
  transcript.apply(partial(1, "old half", { start_ms: 100 }), at);
  transcript.apply(partial(2, "new half", { start_ms: 4000 }), at);
  const changes = transcript.interrupt(4000);
  assert.deepEqual(changes.map(({ change, line }) => [change, line.kind, line.text]), [
    ["settled", "interrupted", "old half"],
    ["removed", "partial", "new half"],
  ]);
  assert.deepEqual(transcript.settled.map(({ text }) => text), ["old half"]);
  assert.deepEqual(transcript.interrupt(), [], "nothing is open any more");
});

test("clearing while somebody speaks: the utterance comes back whole", () => {
  const transcript = new Transcript();
  transcript.apply(partial(1, "one two"), at);
  transcript.clear();
  assert.ok(transcript.isEmpty);
  assert.equal(transcript.apply(partial(1, "one two three"), at).change, "added");
});

test("a gap of the server is a note, not text", () => {
  const transcript = new Transcript();
  const { line } = transcript.apply({ type: "gap", from_ms: 0, to_ms: 2000, reason: "no_slot" }, at);
  assert.deepEqual([line.kind, line.startMs, line.endMs, line.text], ["gap", 1000, 3000, "2.0 s not captioned: every place on the server was taken"]);
  assert.deepEqual(transcript.settled, []);
});

test("unsure words are found where they stand, also when the same word was sure before", () => {
  const line = { text: "no, no! no", words: [word("no,", 0), word("no!", 100, 0.2), word("no", 200)] };
  const found = stretches(line, 0.5);
  assert.deepEqual(found.map(({ text, word: w }) => [text, Boolean(w)]), [["no, ", false], ["no!", true], [" no", false]]);
  const twice = { text: "a a a", words: [word("a", 0), word("a", 100, 0.1), word("a", 200)] };
  assert.deepEqual(stretches(twice, 0.5).map(({ text }) => text), ["a ", "a", " a"]);
});

test("stretches joined are the text, whatever the words say", () => {
  for (const words of [[], [word("absent", 0, 0.1)], [word("one", 0, 0.1), word("three", 0, 0.1)]]) {
    assert.equal(stretches({ text: "one two three", words }, 0.5).map(({ text }) => text).join(""), "one two three");
  }
});
