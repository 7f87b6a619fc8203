// Out of the page: clipboard and downloads.

import { FORMATS } from "./export.js";

/** `voxwire-2026-11-21-1532.srt` */
export function fileName(format, now = new Date()) {
  const pad = (value) => String(value).padStart(2, "0");
  const day = [now.getFullYear(), pad(now.getMonth() + 1), pad(now.getDate())].join("-");
  return `voxwire-${day}-${pad(now.getHours())}${pad(now.getMinutes())}.${format}`;
}

export function download(format, content) {
  const { type, render } = FORMATS[format];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([render(content)], { type: `${type};charset=utf-8` }));
  link.download = fileName(format);
  link.click();
  // The browser has taken the blob by its next turn; keeping it would keep the memory.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Whether the text is on the clipboard now. Plain http pages have no clipboard API, only the old command. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "vh";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
