// The microphone as chunks of about 40 ms, Float32Array, mono, at the device's own rate.

import { fault, microphoneFault } from "./faults.js";

const MAX_RATE = 48_000; // of the protocol; above it the browser resamples

/** A fault when this page cannot have a microphone at all, else null. */
export function captureObstacle(scope = globalThis) {
  if (!scope.navigator?.mediaDevices?.getUserMedia) return fault("insecure_origin");
  if (!scope.AudioWorkletNode) return fault("unsupported");
  return null;
}

/**
 * Open the microphone. `onChunk(Float32Array)` is called until `stop()` or `onGone()`.
 * Returns {rate, deviceId, stop()}; throws a fault. `stop` resolves after the last chunk has been delivered.
 */
export async function openMicrophone({ deviceId, processing, onChunk, onGone }) {
  const stream = await askFor(deviceId, processing);
  const track = stream.getAudioTracks()[0];
  const context = await openContext();
  try {
    await context.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => data && onChunk(data);
    context.createMediaStreamSource(stream).connect(node);
    // The node writes silence; a path to the output is what makes every browser run it.
    node.connect(context.destination);
    track.onended = onGone;
    let closing = null;
    const stop = () => (closing ??= close({ track, stream, context, node, onChunk }));
    return { rate: context.sampleRate, deviceId: track.getSettings().deviceId, stop };
  } catch (error) {
    release(stream, context);
    throw error;
  }
}

async function askFor(deviceId, processing) {
  const audio = { channelCount: 1, ...processing };
  try {
    if (!deviceId) return await navigator.mediaDevices.getUserMedia({ audio });
    return await navigator.mediaDevices.getUserMedia({ audio: { ...audio, deviceId: { exact: deviceId } } });
  } catch (error) {
    if (deviceId && error.name === "OverconstrainedError") return askFor("", processing);
    throw microphoneFault(error);
  }
}

/** A context at the device's rate, at 48 kHz where the device is faster. */
async function openContext() {
  let context = new AudioContext({ latencyHint: "interactive" });
  if (context.sampleRate > MAX_RATE) {
    await context.close();
    context = new AudioContext({ latencyHint: "interactive", sampleRate: MAX_RATE });
  }
  await context.resume();
  return context;
}

/** Ask the audio thread for what it has collected, then let go of the device. */
async function close({ track, stream, context, node, onChunk }) {
  track.onended = null;
  const last = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => (data ? onChunk(data) : resolve());
    setTimeout(resolve, 500); // the audio thread may be gone with its device
  });
  node.port.postMessage("stop");
  await last;
  release(stream, context);
}

function release(stream, context) {
  stream.getTracks().forEach((track) => track.stop());
  context.close();
}

/** The microphones, [{deviceId, label}]; labels are empty before the first permission. */
export async function microphones() {
  if (!globalThis.navigator?.mediaDevices?.enumerateDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "default" && deviceId !== "");
}
