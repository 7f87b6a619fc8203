// The dialogs, each as one question with one answer.

import { clock } from "./export.js";

/** Resolves with the button's value when the dialog closes; "" for Escape. */
function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

/** {pace: "fast" | "play" | "mute", separate, fresh}, or null for no. */
export async function askRecording(dialog, { name, seconds, channels }, transcriptIsEmpty) {
  const form = dialog.querySelector("form");
  const sides = channels === 2 ? "stereo" : "mono";
  dialog.querySelector("#recording-facts").textContent = `${name} · ${clock(seconds * 1000)} · ${sides}`;
  dialog.querySelector("#separate-row").hidden = channels !== 2;
  dialog.querySelector("#fresh-row").hidden = transcriptIsEmpty;
  if ((await ask(dialog)) !== "start") return null;
  const { pace, separate, fresh } = form.elements;
  return { pace: pace.value, separate: channels === 2 && separate.checked, fresh: !transcriptIsEmpty && fresh.checked };
}

export async function askClear(dialog, { wordCount }) {
  const words = wordCount === 1 ? "1 word" : `${wordCount} words`;
  dialog.querySelector("#confirm-facts").textContent = `${words} will be gone. Download or copy them first if they matter.`;
  return (await ask(dialog)) === "clear";
}

/** Bind the drawer's fields to the settings; they are kept as they change. */
export function bindSettings(dialog, settings, onChange) {
  for (const field of dialog.querySelectorAll("select[name]")) {
    field.value = settings.values[field.name];
    field.addEventListener("change", () => {
      settings.set(field.name, field.value);
      onChange(field.name, field.value);
    });
  }
  const key = dialog.querySelector("#key");
  key.value = settings.key;
  key.addEventListener("change", () => settings.setKey(key.value));
}

/** The server has told its defaults: name them where they are the choice. */
export function nameDefaults(dialog, ready, chosen) {
  for (const [name, unit] of [["delay_ms", " ms"], ["hangover_ms", " ms"]]) {
    if (chosen[name] !== undefined || ready[name] === undefined) continue;
    const option = dialog.querySelector(`select[name="${name}"] option[value=""]`);
    option.textContent = `Default (${ready[name]}${unit})`;
  }
}
