// Settled lines to txt, srt, vtt and json. Pure: text in, text out.

const MAX_LINE_CHARACTERS = 42; // two lines of it are what subtitle guides allow on a screen
const MAX_CUE_CHARACTERS = 2 * MAX_LINE_CHARACTERS;
const MAX_CUE_MS = 7000;
const PAUSE_MS = 1500;
const MIN_CUE_MS = 500;

export const FORMATS = {
  txt: { label: "Plain text", type: "text/plain", render: toTxt },
  srt: { label: "SubRip subtitles", type: "application/x-subrip", render: toSrt },
  vtt: { label: "WebVTT subtitles", type: "text/vtt", render: toVtt },
  json: { label: "JSON with words and times", type: "application/json", render: toJson },
};

/** One line per utterance, with its channel's name where it has one. */
export function toTxt({ lines }) {
  return lines.map((line) => `${prefix(line)}${line.text}\n`).join("");
}

export function toSrt({ lines }) {
  return cues(lines)
    .map((cue, i) => `${i + 1}\n${stamp(cue.startMs, ",")} --> ${stamp(cue.endMs, ",")}\n${wrap(prefix(cue) + cue.text)}\n`)
    .join("\n");
}

export function toVtt({ lines }) {
  const blocks = cues(lines).map((cue) => {
    const voice = cue.label ? `<v ${escapeVtt(cue.label)}>` : "";
    return `${stamp(cue.startMs, ".")} --> ${stamp(cue.endMs, ".")}\n${voice}${wrap(escapeVtt(cue.text))}\n`;
  });
  return ["WEBVTT\n", ...blocks].join("\n");
}

export function toJson({ lines, gaps = [], model = null }) {
  const utterances = lines.map((line) => ({
    text: line.text,
    start_ms: Math.round(line.startMs),
    end_ms: Math.round(line.endMs),
    channel: line.channel,
    ...(line.label && { channel_label: line.label }),
    ...(line.kind === "interrupted" && { interrupted: true }),
    words: line.words.map((word) => ({
      text: word.text,
      start_ms: Math.round(word.startMs),
      end_ms: Math.round(word.endMs),
      confidence: word.confidence,
    })),
  }));
  const lost = gaps.map((gap) => ({ from_ms: Math.round(gap.startMs), to_ms: Math.round(gap.endMs), reason: gap.text }));
  return `${JSON.stringify({ model, utterances, gaps: lost }, null, 2)}\n`;
}

const prefix = ({ label }) => (label ? `${label}: ` : "");

/** Utterances cut between words into cues that fit on a screen: [{label, startMs, endMs, text}]. */
export function cues(lines) {
  return lines.flatMap((line) => (line.words.length ? cutByWords(line) : [whole(line)]));
}

const whole = ({ label, startMs, endMs, text }) => ({ label, text, startMs, endMs: Math.max(endMs, startMs + MIN_CUE_MS) });

function cutByWords(line) {
  const out = [];
  let cue = null;
  for (const word of line.words) {
    if (cue && fits(cue, word)) {
      cue.text += ` ${word.text}`;
      cue.endMs = word.endMs;
    } else {
      cue = { label: line.label, text: word.text, startMs: word.startMs, endMs: word.endMs };
      out.push(cue);
    }
  }
  out.forEach((current, i) => lengthen(current, out[i + 1]));
  return out;
}

function fits(cue, word) {
  return (
    cue.text.length + 1 + word.text.length <= MAX_CUE_CHARACTERS &&
    word.endMs - cue.startMs <= MAX_CUE_MS &&
    word.startMs - cue.endMs <= PAUSE_MS
  );
}

/** A cue of a few milliseconds cannot be read; it stays until the next begins at the latest. */
function lengthen(cue, next) {
  const readable = Math.max(cue.endMs, cue.startMs + MIN_CUE_MS);
  cue.endMs = next ? Math.max(cue.endMs, Math.min(readable, next.startMs)) : readable;
}

/** Two lines of about equal length when one would be too long. */
export function wrap(text) {
  if (text.length <= MAX_LINE_CHARACTERS) return text;
  const middle = text.length / 2;
  const spaces = [...text.matchAll(/ /g)].map(({ index }) => index);
  if (!spaces.length) return text;
  const cut = spaces.reduce((best, at) => (Math.abs(at - middle) < Math.abs(best - middle) ? at : best));
  return `${text.slice(0, cut)}\n${text.slice(cut + 1)}`;
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
