// The small readings around the captions: button, tools, model, latency, progress, microphones.

import { clock, FORMATS } from "./export.js";

const TOGGLE_WORDS = { idle: "Start captions", opening: "Cancel", running: "Stop", finishing: "Stop waiting" };
const DEMONSTRATION = /tiny|demo/i;

export const byId = (id) => document.getElementById(id);

export function showPhase(phase) {
  byId("toggle").dataset.running = String(phase !== "idle");
  byId("toggle-label").textContent = TOGGLE_WORDS[phase];
  byId("file").disabled = phase !== "idle";
}

export function showTools(transcript) {
  byId("copy").disabled = !transcript.hasSettled;
  byId("clear").disabled = transcript.isEmpty;
  byId("download").querySelector("summary").setAttribute("aria-disabled", String(!transcript.hasSettled));
}

export function showModel(name) {
  byId("model").hidden = !name;
  byId("model").textContent = DEMONSTRATION.test(name)
    ? `${name}: a small demonstration model, expect mistakes`
    : `Model: ${name}`;
}

export function showDelay(delayMs) {
  byId("tip-delay").textContent = `${delayMs} ms of it is the time the model listens ahead before it commits to a word.`;
}

export function showLatency({ wordMs, finalMs }) {
  byId("word-latency").textContent = duration(wordMs);
  byId("final-latency").textContent = duration(finalMs);
}

function duration(ms) {
  if (ms === null) return "–";
  return ms < 10_000 ? `${(ms / 1000).toFixed(2)} s` : `${Math.round(ms / 1000)} s`;
}

/** How far a recording is captioned, in ms. */
export const progress = {
  begin(name, totalMs) {
    byId("progress-row").hidden = false;
    byId("progress-name").textContent = name;
    Object.assign(byId("progress"), { max: totalMs, value: 0 });
    this.reach(0);
  },
  reach(ms) {
    const bar = byId("progress");
    bar.value = Math.max(bar.value, Math.min(bar.max, ms));
    byId("progress-time").textContent = `${clock(bar.value)} of ${clock(bar.max)}`;
  },
  end() {
    byId("progress-row").hidden = true;
  },
};

export function showMicrophones(devices, chosen) {
  const options = devices.map(({ deviceId, label }, i) => new Option(label || `Microphone ${i + 1}`, deviceId));
  byId("device").replaceChildren(new Option("System microphone", ""), ...options);
  byId("device").value = devices.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
}

/** One button per format; `onChoice(format)`. */
export function fillDownloads(onChoice) {
  for (const [format, { label }] of Object.entries(FORMATS)) {
    const button = document.createElement("button");
    const extension = document.createElement("small");
    Object.assign(button, { type: "button", className: "quiet" });
    button.dataset.format = format;
    extension.textContent = `.${format}`;
    button.append(label, extension);
    button.addEventListener("click", () => onChoice(format));
    byId("download-list").append(button);
  }
}

/** A word on a button for a moment. */
export function acknowledge(button, words) {
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  button.textContent = words;
  setTimeout(() => (button.textContent = label), 1600);
}
