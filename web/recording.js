// A file as a tape: decoded by the browser at 16 kHz, released at the pace of its sound or all at once.

import { fault } from "./faults.js";
import { interleave, mixdown } from "./pcm.js";
import { FileTape } from "./tape.js";

const RATE = 16_000;
const TICK_MS = 40;

/** Decode a File: {name, buffer (AudioBuffer at 16 kHz), seconds, channels}; throws a fault. */
export async function decode(file) {
  try {
    // A context at 16 kHz makes the browser resample while it decodes: no second copy at the file's own rate.
    const buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
    return { name: file.name, buffer, seconds: buffer.duration, channels: Math.min(2, buffer.numberOfChannels) };
  } catch {
    throw fault("file_unreadable");
  }
}

/** `separate`: keep left and right apart as two channels, else mix them. */
export function toTape({ buffer }, { separate, originMs }) {
  const planes = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
  const apart = separate && planes.length >= 2;
  const samples = interleave(apart ? planes.slice(0, 2) : [mixdown(planes)]);
  return new FileTape({ samples, rate: RATE, channels: apart ? 2 : 1, originMs });
}

/** Release everything at once; the link sends as fast as the server takes it. */
export const releaseAll = (tape) => tape.release(tape.frames);

/**
 * Release the tape at the pace of its sound, from now on; `audible` plays it as well. `onTape(Int16Array)` with what
 * was released, `onEnd()` when all is out. Returns {stop()}.
 */
export async function playOut({ buffer }, tape, { audible, onTape, onEnd }) {
  const context = new AudioContext();
  await context.resume();
  const source = new AudioBufferSourceNode(context, { buffer });
  if (audible) source.connect(context.destination);
  const beganAt = context.currentTime;
  source.start(beganAt);
  const timer = setInterval(advance, TICK_MS);

  function advance() {
    const from = tape.endFrame;
    tape.release((context.currentTime - beganAt) * RATE);
    if (tape.endFrame > from) onTape(tape.read(from, tape.endFrame - from));
    if (tape.endFrame < tape.frames) return;
    stop();
    onEnd();
  }

  function stop() {
    clearInterval(timer);
    if (context.state !== "closed") context.close();
  }
  return { stop };
}
