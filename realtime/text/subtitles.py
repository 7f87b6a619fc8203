"""Finals to a transcript file: txt, srt, vtt or json.

A cue holds one or two lines, ends at pauses and sentences, and lasts a few seconds. Two channels are
labelled and sorted by time. Text is kept as it is, apart from what would end a cue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from realtime.events import Final, Word

LINE_CHARS = 42
LINES = 2
LONGEST_CUE_MS = 6000
SHORTEST_CUE_MS = 1000  # readable; only as far as the next cue leaves room
PAUSE_MS = 700
SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！", "।")


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: at most `LINES` lines, unless a single word is longer than a line."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    channel: int


def txt(finals: Iterable[Final]) -> str:
    """One line per utterance."""
    spoken = _spoken(finals)
    label = _labels(spoken, "Channel {}: ")
    return "".join(f"{label(final.channel)}{final.text}\n" for final in spoken)


def srt(finals: Iterable[Final]) -> str:
    """SubRip."""
    spoken = _spoken(finals)
    label = _labels(spoken, "[{}] ")
    blocks = []
    for number, cue in enumerate(cues(spoken), 1):
        text = label(cue.channel) + "\n".join(cue.lines).replace("-->", "->")
        blocks.append(f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{text}\n")
    return "\n".join(blocks)


def vtt(finals: Iterable[Final]) -> str:
    """WebVTT; channels as voices."""
    spoken = _spoken(finals)
    label = _labels(spoken, "<v Channel {}>")
    blocks = ["WEBVTT\n"]
    for cue in cues(spoken):
        text = label(cue.channel) + "\n".join(map(_escaped, cue.lines))
        blocks.append(f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n{text}\n")
    return "\n".join(blocks)


def json_(finals: Iterable[Final]) -> str:
    """{"text", "utterances": [the fields of the `final` message]}."""
    spoken = _spoken(finals)
    document = {
        "text": " ".join(final.text for final in spoken),
        "utterances": [asdict(final) for final in spoken],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


FORMATS: dict[str, Callable[[Iterable[Final]], str]] = {"txt": txt, "srt": srt, "vtt": vtt, "json": json_}


def render(finals: Iterable[Final], format: str) -> str:
    """A whole file in one of `FORMATS`. Raises KeyError for another."""
    return FORMATS[format](finals)


def cues(finals: Iterable[Final]) -> list[Cue]:
    """Cues of all channels, sorted by time. Those of one channel do not overlap."""
    by_channel: dict[int, list[Cue]] = {}
    for final in _spoken(finals):
        by_channel.setdefault(final.channel, []).extend(_cues_of(final))
    stretched = [cue for cues in by_channel.values() for cue in _stretched(cues)]
    return sorted(stretched, key=lambda cue: (cue.start_ms, cue.channel))


def _spoken(finals: Iterable[Final]) -> list[Final]:
    return sorted(
        (final for final in finals if final.words), key=lambda final: (final.start_ms, final.channel)
    )


def _labels(finals: Sequence[Final], pattern: str) -> Callable[[int], str]:
    """What stands before the text of a channel: nothing if there is only one."""
    if len({final.channel for final in finals}) < 2:
        return lambda channel: ""
    return lambda channel: pattern.format(channel + 1)


def _cues_of(final: Final) -> list[Cue]:
    cues: list[Cue] = []
    pending: list[tuple[str, Word]] = []
    for text, word in _spaced(final):
        if pending and (_ends_cue(pending[-1][1], word) or not _fits([*pending, (text, word)])):
            cues.append(_cue(pending, final.channel))
            pending = []
        pending.append((text, word))
    cues.append(_cue(pending, final.channel))
    return cues


def _spaced(final: Final) -> list[tuple[str, Word]]:
    """Every word with the white space that stands before it in the text: none in some languages."""
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
    if words[-1][1].end_ms - words[0][1].start_ms > LONGEST_CUE_MS:
        return False
    return len(_lines(words)) <= LINES


def _cue(words: Sequence[tuple[str, Word]], channel: int) -> Cue:
    return Cue(words[0][1].start_ms, words[-1][1].end_ms, _lines(words), channel)


def _lines(words: Sequence[tuple[str, Word]]) -> tuple[str, ...]:
    lines = [""]
    for text, _word in words:
        if lines[-1] and len(lines[-1]) + len(text) > LINE_CHARS:
            lines.append("")
        lines[-1] += text if lines[-1] else text.lstrip()
    return tuple(lines)


def _stretched(cues: Sequence[Cue]) -> list[Cue]:
    """Short cues stay a little longer, none runs into the next."""
    stretched = []
    for n, cue in enumerate(cues):
        end = max(cue.end_ms, cue.start_ms + SHORTEST_CUE_MS)
        if n + 1 < len(cues):
            end = max(cue.start_ms + 1, min(end, cues[n + 1].start_ms))
        stretched.append(Cue(cue.start_ms, end, cue.lines, cue.channel))
    return stretched


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
