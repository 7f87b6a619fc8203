import assert from "node:assert/strict";
import { test } from "node:test";

import { fault } from "../../../web/faults.js";
import { Link } from "../../../web/link.js";
import { FileTape, LiveTape } from "../../../web/tape.js";

const samples = (from, length) => Int16Array.from({ length }, (_, i) => from + i);

/** A link with scripted sockets and a clock that the test turns. */
function stage(tape, cause = fault("server_gone")) {
  const seen = { sockets: [], states: [], events: [], resumes: [], timers: new Map() };
  let nextTimer = 1;
  const link = new Link(tape, {
    open(handlers) {
      const socket = { handlers, audio: [], ended: 0, closed: 0, bufferedBytes: 0 };
      socket.send = (piece) => socket.audio.push(...piece);
      socket.end = () => (socket.ended += 1);
      socket.close = () => (socket.closed += 1);
      seen.sockets.push(socket);
      return socket;
    },
    diagnose: async () => cause,
    onState: (state) => seen.states.push(state),
    onEvent: (message, context) => seen.events.push([message, context]),
    onResume: (resume) => seen.resumes.push(resume),
    setTimeout: (action, ms) => (seen.timers.set(nextTimer, { action, ms }), nextTimer++),
    clearTimeout: (id) => seen.timers.delete(id),
  });
  const fire = (ms) => {
    const due = [...seen.timers].filter(([, timer]) => timer.ms === ms);
    assert.equal(due.length, 1, `one timer of ${ms} ms, there are ${JSON.stringify([...seen.timers.values()])}`);
    seen.timers.delete(due[0][0]);
    due[0][1].action();
  };
  const names = () => seen.states.map(({ name }) => name);
  return { link, seen, fire, names, settle: () => new Promise(setImmediate) };
}

const final = (start_ms, end_ms, rest = {}) => ({ type: "final", utterance: 1, text: "x", words: [], start_ms, end_ms, reason: "length", channel: 0, ...rest });

test("audio before the connection is kept and sent when it opens", () => {
  const tape = new LiveTape({ rate: 1000 });
  const { link, seen, names } = stage(tape);
  link.start();
  tape.write(samples(0, 50));
  link.pump();
  assert.deepEqual(seen.sockets[0].audio, []);
  seen.sockets[0].handlers.opened();
  tape.write(samples(50, 50));
  link.pump();
  assert.deepEqual(seen.sockets[0].audio, [...samples(0, 100)]);
  seen.sockets[0].handlers.message({ type: "ready" });
  assert.deepEqual(names(), ["connecting", "live"]);
});

test("the end: rest of the audio, `end` once, and over with `done`", () => {
  const tape = new LiveTape({ rate: 1000 });
  const { link, seen } = stage(tape);
  link.start();
  tape.write(samples(0, 30));
  link.end();
  link.end();
  seen.sockets[0].handlers.opened();
  assert.deepEqual(seen.sockets[0].audio, [...samples(0, 30)]);
  assert.equal(seen.sockets[0].ended, 1);
  seen.sockets[0].handlers.message({ type: "done" });
  assert.deepEqual(seen.states.at(-1), { name: "ended", complete: true, fault: null });
  assert.equal(seen.timers.size, 0);
});

test("a server that falls silent after `end` is given up, but not while it talks", () => {
  const tape = new LiveTape({ rate: 1000 });
  const { link, seen, fire } = stage(tape);
  link.start();
  seen.sockets[0].handlers.opened();
  link.end();
  seen.sockets[0].handlers.message(final(0, 10));
  assert.equal(seen.timers.size, 1);
  fire(60_000);
  assert.deepEqual(seen.states.at(-1), { name: "ended", complete: false, fault: null });
});

test("after a loss the audio since the last final is sent again, on the new connection's clock", async () => {
  const tape = new LiveTape({ rate: 1000, originMs: 10_000 });
  const { link, seen, fire, settle } = stage(tape);
  link.start();
  seen.sockets[0].handlers.opened();
  seen.sockets[0].handlers.message({ type: "ready" });
  tape.write(samples(0, 900));
  link.pump();
  seen.sockets[0].handlers.message(final(0, 400));
  seen.sockets[0].handlers.closed(1006);
  await settle();
  assert.equal(seen.states.at(-1).name, "waiting");
  tape.write(samples(900, 100));
  link.pump();
  fire(500);
  seen.sockets[1].handlers.opened();
  assert.deepEqual(seen.sockets[1].audio, [...samples(400, 600)]);
  assert.deepEqual(seen.resumes, [{ connection: 2, fromMs: 10_400, lostFromMs: null }]);
  seen.sockets[1].handlers.message(final(20, 300));
  assert.deepEqual(seen.events.map(([, { baseMs, connection }]) => [baseMs, connection]), [[10_000, 1], [10_400, 2]]);
});

test("a final at a pause settles a little of the silence behind it too", async () => {
  const tape = new LiveTape({ rate: 1000 });
  const { link, seen, fire, settle } = stage(tape);
  link.start();
  seen.sockets[0].handlers.opened();
  tape.write(samples(0, 1000));
  link.pump();
  seen.sockets[0].handlers.message(final(0, 400, { reason: "silence" }));
  seen.sockets[0].handlers.closed(1006);
  await settle();
  fire(500);
  seen.sockets[1].handlers.opened();
  assert.equal(seen.sockets[1].audio[0], 600);
});

test("what left the tape during a long outage is reported as lost, from the last sample sent", async () => {
  const tape = new LiveTape({ rate: 1000, limitMs: 1000 });
  const { link, seen, fire, settle } = stage(tape);
  link.start();
  seen.sockets[0].handlers.opened();
  tape.write(samples(0, 500));
  link.pump();
  seen.sockets[0].handlers.closed(1006);
  await settle();
  for (let at = 500; at < 5000; at += 100) tape.write(samples(at, 100));
  fire(500);
  seen.sockets[1].handlers.opened();
  assert.deepEqual(seen.resumes, [{ connection: 2, fromMs: 4000, lostFromMs: 500 }]);
  assert.equal(seen.sockets[1].audio[0], 4000);
});

test("with two channels the replay starts at the one that lags; what the other had settled is no news", async () => {
  const tape = new FileTape({ samples: samples(0, 20_000), rate: 1000, channels: 2 });
  const { link, seen, fire, settle } = stage(tape);
  tape.release(9000);
  link.start();
  seen.sockets[0].handlers.opened();
  seen.sockets[0].handlers.message(final(0, 5000, { channel: 0 }));
  seen.sockets[0].handlers.message(final(0, 2000, { channel: 1 }));
  seen.sockets[0].handlers.closed(1006);
  await settle();
  fire(500);
  seen.sockets[1].handlers.opened();
  assert.equal(seen.sockets[1].audio[0], 4000, "frame 2000, interleaved");
  const before = seen.events.length;
  seen.sockets[1].handlers.message(final(100, 2900, { channel: 0 }));
  assert.equal(seen.events.length, before);
  seen.sockets[1].handlers.message(final(100, 900, { channel: 1 }));
  seen.sockets[1].handlers.message(final(3000, 3900, { channel: 0 }));
  assert.equal(seen.events.length, before + 2);
});

test("back-off grows, honours Retry-After, and starts anew after `ready`", async () => {
  const tape = new LiveTape({ rate: 1000 });
  const { link, seen, fire, settle } = stage(tape, fault("at_capacity", { retryAfterS: 3 }));
  link.start();
  const waits = [];
  for (let attempt = 0; attempt < 7; attempt += 1) {
    seen.sockets.at(-1).handlers.closed(1006);
    await settle();
    waits.push(seen.states.at(-1).retryInMs);
    fire(waits.at(-1));
  }
  assert.deepEqual(waits, [3000, 3000, 3000, 4000, 8000, 15_000, 15_000]);
  seen.sockets.at(-1).handlers.opened();
  seen.sockets.at(-1).handlers.message({ type: "ready" });
  seen.sockets.at(-1).handlers.closed(1006);
  await settle();
  assert.equal(seen.states.at(-1).retryInMs, 3000);
});

test("the reader need not wait for the back-off", async () => {
  const { link, seen, settle } = stage(new LiveTape({ rate: 1000 }));
  link.start();
  seen.sockets[0].handlers.closed(1006);
  await settle();
  link.retryNow();
  link.retryNow();
  assert.equal(seen.sockets.length, 2);
  assert.equal(seen.timers.size, 0);
});

test("a fatal error is told in the server's words and ends or retries by its kind", async () => {
  for (const [code, name] of [["limit_reached", "ended"], ["slow_reader", "waiting"], ["engine_failed", "waiting"]]) {
    const { link, seen, settle } = stage(new LiveTape({ rate: 1000 }));
    link.start();
    seen.sockets[0].handlers.opened();
    seen.sockets[0].handlers.message({ type: "error", code, message: `About ${code}.`, fatal: true });
    seen.sockets[0].handlers.closed(1008);
    await settle();
    assert.equal(seen.states.at(-1).name, name);
    assert.equal(seen.states.at(-1).fault.text, `About ${code}.`);
  }
});

test("an error that is not fatal is an event, and the stream goes on", () => {
  const { link, seen, names } = stage(new LiveTape({ rate: 1000 }));
  link.start();
  seen.sockets[0].handlers.opened();
  seen.sockets[0].handlers.message({ type: "error", code: "bad_message", message: "no", fatal: false });
  assert.equal(seen.events.length, 1);
  assert.deepEqual(names(), ["connecting"]);
});

test("a full socket buffer holds the tape back", () => {
  const tape = new FileTape({ samples: samples(0, 1000), rate: 1000, channels: 1 });
  const { link, seen, fire } = stage(tape);
  link.start();
  tape.release(1000);
  seen.sockets[0].bufferedBytes = 1e6;
  seen.sockets[0].handlers.opened();
  assert.equal(seen.sockets[0].audio.length, 0);
  seen.sockets[0].bufferedBytes = 0;
  fire(20);
  assert.equal(seen.sockets[0].audio.length, 1000);
});

test("a live stream whose audio no longer leaves is taken for dead and replaced", () => {
  const tape = new LiveTape({ rate: 1000, limitMs: 60_000 });
  const { link, seen, fire } = stage(tape);
  link.start();
  seen.sockets[0].handlers.opened();
  seen.sockets[0].bufferedBytes = 1e6;
  for (let at = 0; at < 10_300; at += 100) {
    tape.write(samples(at, 100));
    if (seen.states.length === 1) link.pump();
  }
  assert.equal(seen.states.at(-1).fault.code, "stalled");
  assert.equal(seen.sockets[0].closed, 1);
  fire(500);
  seen.sockets[1].handlers.opened();
  assert.equal(seen.sockets[1].audio.length, tape.endFrame, "nothing is lost, and a backlog alone is no stall");
});

test("late words of a connection that was given up are not heard", async () => {
  const { link, seen, settle } = stage(new LiveTape({ rate: 1000 }));
  link.start();
  seen.sockets[0].handlers.opened();
  seen.sockets[0].handlers.closed(1006);
  await settle();
  link.retryNow();
  seen.sockets[0].handlers.message(final(0, 10));
  seen.sockets[0].handlers.closed(1006);
  await settle();
  assert.equal(seen.events.length, 0);
  assert.equal(seen.states.at(-1).name, "connecting");
});

test("stop during an outage ends at once", async () => {
  const { link, seen, settle } = stage(new LiveTape({ rate: 1000 }));
  link.start();
  seen.sockets[0].handlers.closed(1006);
  await settle();
  link.end();
  assert.deepEqual(seen.states.at(-1), { name: "ended", complete: false, fault: null });
  assert.equal(seen.timers.size, 0);
});
