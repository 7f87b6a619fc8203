import assert from "node:assert/strict";
import { test } from "node:test";

import { interleave, levelDb, mixdown, toInt16 } from "../../../web/pcm.js";

test("16-bit samples survive the way through float unchanged", () => {
  const all = Float32Array.from({ length: 65536 }, (_, i) => (i - 32768) / (i < 32768 ? 32768 : 32767));
  assert.deepEqual([...toInt16(all)], Array.from({ length: 65536 }, (_, i) => i - 32768));
});

test("samples beyond full scale are clipped, not wrapped", () => {
  assert.deepEqual([...toInt16(Float32Array.of(1, 1.7, -1, -3))], [32767, 32767, -32768, -32768]);
});

test("channels alternate sample by sample", () => {
  const left = Float32Array.of(0.5, 0.25);
  const right = Float32Array.of(-0.5, -0.25);
  assert.deepEqual([...interleave([left, right])], [16384, -16384, 8192, -8192]);
});

test("mixdown is the mean", () => {
  assert.deepEqual([...mixdown([Float32Array.of(1, 0), Float32Array.of(0, 0.5)])], [0.5, 0.25]);
});

test("level: full-scale square 0 dB, half -6 dB, silence and nothing -100 dB", () => {
  assert.ok(Math.abs(levelDb(Int16Array.of(32767, -32767))) < 0.01);
  assert.ok(Math.abs(levelDb(Int16Array.of(16384, -16384)) + 6.02) < 0.01);
  assert.equal(levelDb(new Int16Array(10)), -100);
  assert.equal(levelDb(new Int16Array(0)), -100);
});
