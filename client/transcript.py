"""Finals become files: .txt to read, .srt and .vtt as subtitles, .json with every word.

Pure: finals in, text out; `write` alone touches the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from client.errors import BadInput
from client.protocol import Final, Word

FORMATS = ("txt", "srt", "vtt", "json")
# The measures of a readable subtitle.
LINE_CHARACTERS = 42
LINES = 2
LONGEST_CUE_MS = 6_000
SHORTEST_CUE_MS = 1_000  # only as far as the next cue leaves room
PAUSE_MS = 700  # inside an utterance: ends a cue
SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！", "।")


@dataclass(slots=True)
class Transcript:
    """The finals of one source, kept in the order of their starts."""

    channels: int = 1
    model: str = ""
    audio_ms: int = 0
    finals: list[Final] = field(default_factory=list)

    def add(self, final: Final) -> None:
        if final.text.strip():
            self.finals.append(final)
            self.finals.sort(key=lambda f: (f.start_ms, f.channel))

    def text(self) -> str:
        return " ".join(final.text.strip() for final in self.finals)


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: at most LINES lines, unless a single word is longer than a line."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    channel: int


def render(transcript: Transcript, name: str) -> str:
    """The transcript as one of FORMATS."""
    return {"txt": to_txt, "srt": to_srt, "vtt": to_vtt, "json": to_json}[name](transcript)


def to_txt(transcript: Transcript) -> str:
    """One line an utterance; of two channels each line names its own."""
    label = _label(transcript, "Channel {}: ")
    return "".join(f"{label(final.channel)}{final.text.strip()}\n" for final in transcript.finals)


def to_srt(transcript: Transcript) -> str:
    """SubRip."""
    label = _label(transcript, "[{}] ")
    blocks = []
    for number, cue in enumerate(cues(transcript.finals), 1):
        text = label(cue.channel) + "\n".join(cue.lines).replace("-->", "->")
        blocks.append(f"{number}\n{_stamp(cue.start_ms, ',')} --> {_stamp(cue.end_ms, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(transcript: Transcript) -> str:
    """WebVTT; channels as voices."""
    label = _label(transcript, "<v Channel {}>")
    blocks = ["WEBVTT\n"]
    for cue in cues(transcript.finals):
        text = label(cue.channel) + "\n".join(map(_escaped, cue.lines))
        blocks.append(f"{_stamp(cue.start_ms, '.')} --> {_stamp(cue.end_ms, '.')}\n{text}\n")
    return "\n".join(blocks)


def to_json(transcript: Transcript) -> str:
    """Everything: the model, the whole text, and the utterances as the `final` messages have them."""
    document = {
        "model": transcript.model,
        "audio_ms": transcript.audio_ms,
        "channels": transcript.channels,
        "text": transcript.text(),
        "utterances": [asdict(final) for final in transcript.finals],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _label(transcript: Transcript, pattern: str) -> Callable[[int], str]:
    """What stands before the text of a channel: nothing if there is only one."""
    if transcript.channels == 1:
        return lambda channel: ""
    return lambda channel: pattern.format(channel + 1)


# ---------------------------------------------------------------- cues


def cues(finals: Iterable[Final]) -> list[Cue]:
    """Subtitles, cut between words at pauses, sentences and full lines; none overlaps its own channel."""
    by_channel: dict[int, list[Cue]] = {}
    for final in finals:
        by_channel.setdefault(final.channel, []).extend(_cues_of(final))
    stretched = [cue for channel in by_channel.values() for cue in _stretched(channel)]
    return sorted(stretched, key=lambda cue: (cue.start_ms, cue.channel))


def _cues_of(final: Final) -> list[Cue]:
    # The final of a lost connection has no word times: it stays in one piece.
    pending: list[tuple[str, Word]] = []
    found: list[Cue] = []
    for text, word in _spaced(final) or [(final.text.strip(), Word("", final.start_ms, final.end_ms))]:
        if pending and (_ends_cue(pending[-1][1], word) or not _fits([*pending, (text, word)])):
            found.append(_cue(pending, final.channel))
            pending = []
        pending.append((text, word))
    found.append(_cue(pending, final.channel))
    return found


def _spaced(final: Final) -> list[tuple[str, Word]]:
    """Every word with the white space that stands before it in the text: some languages have none."""
    at, spaced = 0, []
    for word in final.words:
        found = final.text.find(word.text, at)
        gap = " " if found > at else ""
        spaced.append((gap + word.text, word))
        at = max(found, at) + len(word.text)
    return spaced


def _ends_cue(before: Word, word: Word) -> bool:
    return word.start_ms - before.end_ms >= PAUSE_MS or before.text.endswith(SENTENCE_ENDS)


def _fits(words: Sequence[tuple[str, Word]]) -> bool:
    duration_ms = words[-1][1].end_ms - words[0][1].start_ms
    return duration_ms <= LONGEST_CUE_MS and len(_lines(words)) <= LINES


def _cue(words: Sequence[tuple[str, Word]], channel: int) -> Cue:
    return Cue(words[0][1].start_ms, words[-1][1].end_ms, _lines(words), channel)


def _lines(words: Sequence[tuple[str, Word]]) -> tuple[str, ...]:
    lines = [""]
    for text, _word in words:
        if lines[-1] and len(lines[-1]) + len(text) > LINE_CHARACTERS:
            lines.append("")
        lines[-1] += text if lines[-1] else text.lstrip()
    return tuple(lines)


def _stretched(cues: Sequence[Cue]) -> list[Cue]:
    """Short cues stay a little longer, none runs into the next."""
    stretched = []
    for n, cue in enumerate(cues):
        end_ms = max(cue.end_ms, cue.start_ms + SHORTEST_CUE_MS)
        if n + 1 < len(cues):
            end_ms = max(cue.start_ms + 1, min(end_ms, cues[n + 1].start_ms))
        stretched.append(replace(cue, end_ms=end_ms))
    return stretched


def _stamp(ms: int, point: str) -> str:
    seconds, ms = divmod(max(0, ms), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# ---------------------------------------------------------------- files


def output_format(path: Path) -> str:
    """The format that the extension names. Raises BadInput if there is none such."""
    name = path.suffix.lower().lstrip(".")
    if name not in FORMATS:
        raise BadInput(f"{path}: the extension must be one of {', '.join('.' + f for f in FORMATS)}.")
    return name


def check_outputs(paths: Iterable[Path]) -> None:
    """Find out before the streaming, not after it, that a result could not be written. Raises BadInput."""
    for path in paths:
        output_format(path)
        if path.is_dir():
            raise BadInput(f"{path} cannot be written: it is a folder.")
        if not path.parent.is_dir():
            raise BadInput(f"{path} cannot be written: there is no folder {path.parent}.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise BadInput(f"{path} cannot be written: permission denied.")


def write(transcript: Transcript, path: Path) -> None:
    """Write the file whole or not at all. Raises BadInput if it cannot be written."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(render(transcript, output_format(path)), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from None
