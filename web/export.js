// Settled lines to txt, srt, vtt and json. Pure: text in, text out.

// The measures of a readable subtitle, the same as the server's and the client's.
const LINE_CHARACTERS = 42;
const LINES = 2;
const LONGEST_CUE_MS = 6000;
const SHORTEST_CUE_MS = 1000; // only as far as the next cue leaves room
const PAUSE_MS = 700;
const SENTENCE_ENDS = [".", "?", "!", "…", "。", "？", "！", "।"];

export const FORMATS = {
  txt: { label: "Plain text", type: "text/plain", render: toTxt },
  srt: { label: "SubRip subtitles", type: "application/x-subrip", render: toSrt },
  vtt: { label: "WebVTT subtitles", type: "text/vtt", render: toVtt },
  json: { label: "JSON with words and times", type: "application/json", render: toJson },
};

/** One line per utterance, with its channel's name where it has one. */
export function toTxt({ lines }) {
  return lines.map(({ label, text }) => `${label ? `${label}: ` : ""}${text}\n`).join("");
}

export function toSrt({ lines }) {
  const blocks = cues(lines).map((cue, i) => {
    const label = cue.label ? `[${cue.label}] ` : "";
    const text = label + cue.lines.join("\n").replaceAll("-->", "->");
    return `${i + 1}\n${stamp(cue.startMs, ",")} --> ${stamp(cue.endMs, ",")}\n${text}\n`;
  });
  return blocks.join("\n");
}

export function toVtt({ lines }) {
  const blocks = cues(lines).map((cue) => {
    const voice = cue.label ? `<v ${escapeVtt(cue.label)}>` : "";
    return `${stamp(cue.startMs, ".")} --> ${stamp(cue.endMs, ".")}\n${voice}${cue.lines.map(escapeVtt).join("\n")}\n`;
  });
  return ["WEBVTT\n", ...blocks].join("\n");
}

/** Utterances with the fields of the `final` message, and what was lost. */
export function toJson({ lines, gaps = [], model = null }) {
  const document = {
    model,
    text: lines.map(({ text }) => text).join(" "),
    utterances: lines.map(utterance),
    gaps: gaps.map(({ startMs, endMs, text }) => ({ from_ms: Math.round(startMs), to_ms: Math.round(endMs), reason: text })),
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

function utterance({ kind, text, words, startMs, endMs, channel, label, reason }) {
  return {
    text,
    start_ms: Math.round(startMs),
    end_ms: Math.round(endMs),
    channel,
    ...(label && { channel_label: label }),
    reason: kind === "interrupted" ? "interrupted" : reason,
    words: words.map((word) => ({
      text: word.text,
      start_ms: Math.round(word.startMs),
      end_ms: Math.round(word.endMs),
      confidence: word.confidence,
    })),
  };
}

/** Subtitles of all channels in order of time: [{startMs, endMs, lines, channel, label}]; none overlaps its own channel. */
export function cues(lines) {
  const channels = [...new Set(lines.map(({ channel }) => channel))];
  const all = channels.flatMap((channel) => stretched(lines.filter((line) => line.channel === channel).flatMap(cuesOf)));
  return all.sort((a, b) => a.startMs - b.startMs || a.channel - b.channel);
}

function cuesOf(line) {
  const found = [];
  let pending = [];
  for (const word of spaced(line)) {
    if (pending.length && (endsCue(pending.at(-1), word) || !fits([...pending, word]))) {
      found.push(cue(pending, line));
      pending = [];
    }
    pending.push(word);
  }
  found.push(cue(pending, line));
  return found;
}

/** Every word with the white space before it in the text: none in some languages. A line without words is one. */
function spaced({ text, words, startMs, endMs }) {
  if (!words.length) return [{ piece: text, text, startMs, endMs }];
  let at = 0;
  return words.map((word) => {
    const found = text.indexOf(word.text, at);
    const piece = (found > at ? " " : "") + word.text;
    at = Math.max(found, at) + word.text.length;
    return { piece, ...word };
  });
}

const endsCue = (before, word) =>
  word.startMs - before.endMs >= PAUSE_MS || SENTENCE_ENDS.some((mark) => before.text.endsWith(mark));

const fits = (words) => words.at(-1).endMs - words[0].startMs <= LONGEST_CUE_MS && filled(words).length <= LINES;

const cue = (words, { channel, label }) => ({
  startMs: words[0].startMs,
  endMs: words.at(-1).endMs,
  lines: filled(words),
  channel,
  label,
});

function filled(words) {
  const lines = [""];
  for (const { piece } of words) {
    if (lines.at(-1) && lines.at(-1).length + piece.length > LINE_CHARACTERS) lines.push("");
    lines[lines.length - 1] += lines.at(-1) ? piece : piece.trimStart();
  }
  return lines;
}

/** Short cues stay a little longer, none runs into the next. */
function stretched(own) {
  return own.map((current, i) => {
    const readable = Math.max(current.endMs, current.startMs + SHORTEST_CUE_MS);
    const limit = i + 1 < own.length ? own[i + 1].startMs : Infinity;
    return { ...current, endMs: Math.max(current.startMs + 1, Math.min(readable, limit)) };
  });
}

const escapeVtt = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** 3723004 ms -> 01:02:03,004 */
export function stamp(ms, decimal) {
  const total = Math.max(0, Math.round(ms));
  const pad = (value, width = 2) => String(value).padStart(width, "0");
  const [h, m, s] = [Math.floor(total / 3_600_000), Math.floor(total / 60_000) % 60, Math.floor(total / 1000) % 60];
  return `${pad(h)}:${pad(m)}:${pad(s)}${decimal}${pad(total % 1000, 3)}`;
}

/** 63400 ms -> 1:03; with hours 1:02:03. For people, not for files. */
export function clock(ms) {
  const total = Math.floor(Math.max(0, ms) / 1000);
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const pad = (value) => String(value).padStart(2, "0");
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}
