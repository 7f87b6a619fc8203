import assert from "node:assert/strict";
import { test } from "node:test";

import { FileTape, frameToMs, LiveTape, msToFrame } from "../../../web/tape.js";

const chunk = (from, length) => Int16Array.from({ length }, (_, i) => from + i);

function readAll(tape, from) {
  const out = [];
  for (let at = from; at < tape.endFrame; ) {
    const piece = tape.read(at, 7);
    assert.ok(piece.length > 0 && piece.length <= 7);
    out.push(...piece);
    at += piece.length;
  }
  return out;
}

test("what was written is read back from any frame, whatever the chunks", () => {
  const tape = new LiveTape({ rate: 1000 });
  [5, 1, 13, 8].reduce((at, length) => (tape.write(chunk(at, length)), at + length), 0);
  for (let from = 0; from <= 27; from += 1) assert.deepEqual(readAll(tape, from), [...chunk(from, 27 - from)]);
});

test("a live tape keeps at least its limit and forgets what is older", () => {
  const tape = new LiveTape({ rate: 1000, limitMs: 100 });
  for (let at = 0; at < 1000; at += 40) tape.write(chunk(at, 40));
  assert.equal(tape.endFrame, 1000);
  assert.ok(tape.endFrame - tape.startFrame >= 100);
  assert.ok(tape.endFrame - tape.startFrame < 100 + 40);
  assert.deepEqual(readAll(tape, 950), [...chunk(950, 50)]);
});

test("transcript time counts from the origin, and never points outside the tape", () => {
  const tape = new LiveTape({ rate: 8000, originMs: 5000 });
  tape.write(chunk(0, 8000));
  assert.equal(frameToMs(tape, 4000), 5500);
  assert.equal(msToFrame(tape, 5500), 4000);
  assert.equal(msToFrame(tape, 0), 0);
  assert.equal(msToFrame(tape, 99_000), 8000);
});

test("a file is readable as far as it is released, in whole frames of both channels", () => {
  const tape = new FileTape({ samples: chunk(0, 40), rate: 1000, channels: 2 });
  assert.equal(tape.read(0, 10).length, 0);
  tape.release(6.9);
  assert.equal(tape.endFrame, 6);
  assert.deepEqual([...tape.read(4, 10)], [8, 9, 10, 11]);
  tape.release(3);
  assert.equal(tape.endFrame, 6, "a release is never taken back");
  tape.release(1e9);
  assert.equal(tape.endFrame, 20);
});
