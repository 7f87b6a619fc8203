import assert from "node:assert/strict";
import { test } from "node:test";

import { CaptureClock, Latency } from "../../../web/latency.js";

test("the capture clock believes the chunk that came through quickest", () => {
  const clock = new CaptureClock();
  assert.ok(Number.isNaN(clock.capturedAt(0)));
  [[40, 1047], [80, 1081], [120, 1160]].forEach(([endMs, now]) => clock.note(endMs, now));
  assert.equal(clock.capturedAt(120), 1121);
});

test("the capture clock forgets: a device that paused has a new offset after 10 s", () => {
  const clock = new CaptureClock();
  for (let t = 0; t < 20_000; t += 40) clock.note(t, t);
  for (let t = 20_000; t < 31_000; t += 40) clock.note(t, t + 700);
  assert.equal(clock.capturedAt(31_000), 31_700);
});

test("the capture clock after a long pause does not believe the old offset", () => {
  const clock = new CaptureClock();
  clock.note(1000, 1000);
  clock.note(1040, 61_040);
  assert.equal(clock.capturedAt(1040), 61_040);
});

function measured(offsetMs = 0) {
  const clock = new CaptureClock();
  clock.note(0, offsetMs);
  return new Latency(clock);
}
const line = (rest = {}) => ({
  id: 1, text: "one two", endMs: 600, reason: "silence",
  words: [{ text: "one", endMs: 300 }, { text: "two", endMs: 600 }], ...rest,
});

test("a word counts from its end to the picture that first showed it whole", () => {
  const latency = measured(5000);
  latency.grown(1, "on".length, 5500);
  latency.grown(1, "one".length, 5800);
  latency.grown(1, "one two".length, 6300);
  latency.settled(line(), 7000);
  assert.equal(latency.wordMs, (500 + 700) / 2);
  assert.equal(latency.finalMs, 1400);
});

test("words that no partial showed count with the final", () => {
  const latency = measured();
  latency.grown(1, 3, 500);
  latency.settled(line(), 1600);
  assert.equal(latency.wordMs, (200 + 1000) / 2);
});

test("only pauses say how long settling takes", () => {
  const latency = measured();
  latency.settled(line({ reason: "length" }), 1000);
  assert.equal(latency.finalMs, null);
  assert.notEqual(latency.wordMs, null);
});

test("lines that changed in a hidden tab are left out, later ones are not", () => {
  const latency = measured();
  latency.unseen(1);
  latency.grown(1, 7, 60_000);
  latency.settled(line(), 60_001);
  assert.deepEqual([latency.wordMs, latency.finalMs], [null, null]);
  latency.settled(line({ id: 2 }), 1600);
  assert.equal(latency.finalMs, 1000);
});
