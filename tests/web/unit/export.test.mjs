import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, cues, stamp, toJson, toSrt, toTxt, toVtt } from "../../../web/export.js";

const words = (text, startMs, eachMs = 300) =>
  text.split(" ").map((w, i) => ({ text: w, startMs: startMs + i * eachMs, endMs: startMs + (i + 1) * eachMs, confidence: 0.9 }));
const line = (text, startMs, rest = {}) => {
  const all = words(text, startMs);
  return { kind: "final", channel: 0, label: "", text, startMs, endMs: all.at(-1).endMs, words: all, ...rest };
};

test("time stamps", () => {
  assert.equal(stamp(3_723_004, ","), "01:02:03,004");
  assert.equal(stamp(59_999.6, "."), "00:01:00.000");
  assert.equal(stamp(-5, "."), "00:00:00.000");
  assert.deepEqual([clock(0), clock(63_400), clock(3_723_000)], ["0:00", "1:03", "1:02:03"]);
});

test("plain text: one line per utterance", () => {
  assert.equal(toTxt({ lines: [line("hello there", 0), line("bye", 2000)] }), "hello there\nbye\n");
  assert.equal(toTxt({ lines: [line("hello", 0, { label: "Left" })] }), "Left: hello\n");
});

test("srt, to the letter", () => {
  assert.equal(
    toSrt({ lines: [line("hello there", 500), line("good bye", 62_000)] }),
    "1\n00:00:00,500 --> 00:00:01,500\nhello there\n\n2\n00:01:02,000 --> 00:01:03,000\ngood bye\n",
  );
});

test("vtt, to the letter, with what would be markup escaped", () => {
  assert.equal(
    toVtt({ lines: [line("a <b> & c", 0, { label: "Left" })] }),
    "WEBVTT\n\n00:00:00.000 --> 00:00:01.200\n<v Left>a &lt;b&gt; &amp; c\n",
  );
  assert.equal(toVtt({ lines: [] }), "WEBVTT\n");
});

test("json has everything: words, gaps, model", () => {
  const gap = { startMs: 900.4, endMs: 1200, text: "lost" };
  const parsed = JSON.parse(toJson({ lines: [line("hi", 0.4), line("x", 5, { kind: "interrupted", words: [] })], gaps: [gap], model: "m" }));
  assert.equal(parsed.model, "m");
  assert.deepEqual(parsed.utterances[0].words, [{ text: "hi", start_ms: 0, end_ms: 300, confidence: 0.9 }]);
  assert.equal(parsed.utterances[1].reason, "interrupted");
  assert.equal(parsed.text, "hi x");
  assert.deepEqual(parsed.gaps, [{ from_ms: 900, to_ms: 1200, reason: "lost" }]);
});

test("long utterances become cues that fit on a screen, no word lost or doubled", () => {
  const text = Array.from({ length: 60 }, (_, i) => `word${i}`).join(" ");
  const made = cues([line(text, 0)]);
  assert.ok(made.length > 1);
  assert.equal(made.flatMap((cue) => cue.lines).join(" "), text);
  for (const cue of made) {
    assert.ok(cue.lines.length <= 2 && cue.lines.every((l) => l.length <= 42));
    assert.ok(cue.endMs - cue.startMs <= 6000);
  }
  made.slice(1).forEach((cue, i) => assert.ok(cue.startMs >= made[i].endMs));
});

test("a pause inside an utterance parts cues; a short one stays readable but never into the next", () => {
  const all = [...words("one", 0, 100), ...words("two", 4000, 100), ...words("three", 4850, 100)];
  const made = cues([line("one two three", 0, { words: all })]);
  assert.deepEqual(made.map(({ lines, startMs, endMs }) => [...lines, startMs, endMs]), [["one", 0, 1000], ["two", 4000, 4850], ["three", 4850, 5850]]);
});

test("two channels: labelled, sorted by time, and their cues may overlap each other's", () => {
  const left = line("on the left side", 0, { label: "Left" });
  const right = line("right", 300, { label: "Right", channel: 1 });
  const made = toSrt({ lines: [left, right] });
  assert.match(made, /1\n00:00:00,000 --> 00:00:01,200\n\[Left\] on the left side\n/);
  assert.match(made, /2\n00:00:00,300 --> 00:00:01,300\n\[Right\] right\n/);
});

test("what would end a cue or begin a tag is taken out of the text", () => {
  assert.match(toSrt({ lines: [line("a --> b", 0)] }), /\na -> b\n$/);
});
