"""Word error rate by group of a folder of recordings, streamed through a real server.

Every clip is a connection of its own, sent at its own sample rate as fast as the server takes it, several at a
time; the concatenated finals are its transcript. Two-channel clips are streamed as two channels and scored channel
by channel. WER is substitutions + deletions + insertions over the words of the reference, both sides in the form of
bench/normalise.py, aligned by jiwer. The interval is a bootstrap over clips (2,000 rounds, fixed seed), 95 %; a
group of one clip has none. `empty` counts clips with words but without any transcript. Two channels count as two
clips. Other languages are listed and count in no total.

`words/min` is how fast they speak, by the reference. Of clips in which nothing is said (`text` "") every word that was
heard is an insertion; over the minutes that is how often noise becomes text. `real time` is the audio of a group over
the time from the first byte of a clip to its `done`, clips in flight beside it included. With --live clips are sent as
they were spoken, and `final ms` is what a speaker waits for: from the last byte of a clip to `done`, which comes with
its last final; median and 95th percentile.
--peer adds what somebody could install instead, on the same files in the same run, offline.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jiwer

from bench import load, server, speech, sphinx, stats, streaming
from bench.normalise import normalise
from bench.report import BenchError, Report, progress
from bench.server import Server
from bench.speech import Row
from bench.streaming import Streaming, Time
from client.protocol import Options

ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--delay-ms", metavar="MS,...", help="one or several (default: the checkpoint's), e.g. 240,480,960"
    )
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="print N transcripts a group to stderr"
    )
    parser.add_argument("--live", action="store_true", help="send clips as fast as they were spoken")
    parser.add_argument("--peer", choices=("pocketsphinx",), help="transcribe the clips with it as well")
    streaming.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    place, clips = streaming.recordings(options)
    delays = _delays(options.delay_ms)
    peer = sphinx.name() if options.peer else None  # before the work is done
    by_name: dict[str, list[Scored]] = {}
    with Server(server.flags(options, slots=2 * options.at_once)) as served:
        for delay_ms in delays:
            asked = Options(delay_ms=delay_ms, vad=options.vad == "on", interim=False)
            run_ = Streaming(served.url, asked, options.at_once, options.live)
            scored = _stream(run_, clips)
            by_name[f"{run_.delay_ms} ms"] = scored
            _show(scored, options.show)
        if peer:
            by_name[peer] = _peer(clips)
        report = table(by_name, options.live)
        report.setting = {
            "model": served.ready()["model"],
            "recordings": place.name,
            "clips": len(clips),
            "vad": options.vad,
            "pace": "live" if options.live else "as fast as the server reads",
            "at once": options.at_once,
            "normalisation": "lower case, no punctuation, numbers spelled out",
        }
    return report


def _delays(words: str | None) -> list[int | None]:
    try:
        return [int(word) for word in words.split(",")] if words else [None]
    except ValueError:
        raise BenchError(f"--delay-ms {words}: expected numbers like 240,480") from None


def _show(scored: Sequence[Scored], count: int) -> None:
    shown: dict[str, int] = {}
    for item in scored:
        shown[item.group] = shown.get(item.group, 0) + 1
        if shown[item.group] <= count:
            progress(f"{item.group} | {item.reference} | {item.heard}")


# ---------------------------------------------------------------- hearing


def _stream(run_: Streaming, clips: Sequence[Row]) -> list[Scored]:
    """A score per channel."""
    return [
        replace(score(row.group, text, words), time=heard.time)
        for row, heard in zip(clips, load.run_loop(run_.all(clips)), strict=True)
        for text, words in zip(row.texts, heard.texts, strict=True)
    ]


def _peer(clips: Sequence[Row]) -> list[Scored]:
    said = [(row.group, text) for row in clips for text in row.texts]
    return [score(*one, heard) for one, heard in zip(said, sphinx.transcripts(clips), strict=True)]


# ---------------------------------------------------------------- scoring


@dataclass(frozen=True, slots=True)
class Scored:
    """One channel of one clip, both texts normalised."""

    group: str
    reference: str
    heard: str
    words: int
    substitutions: int
    deletions: int
    insertions: int
    time: Time | None = None  # unknown of a peer

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def score(group: str, reference: str, heard: str) -> Scored:
    """Normalise and align. A reference without words counts what was heard as insertions."""
    reference, heard = normalise(reference), normalise(heard)
    if not reference:
        return Scored(group, reference, heard, 0, 0, 0, len(heard.split()))
    found = jiwer.process_words(reference, heard)
    return Scored(
        group,
        reference,
        heard,
        len(reference.split()),
        found.substitutions,
        found.deletions,
        found.insertions,
    )


def table(by_name: dict[str, list[Scored]], live: bool = False) -> Report:
    """A row per group and one for all; for every delay and peer the rate with its interval and the kinds of errors."""
    columns = ["group", "clips", "minutes", "words", "words/min"]
    for name, scored in by_name.items():
        columns += [
            f"WER % at {name}" if scored[0].time else f"WER % {name}",
            "95 %",
            "sub",
            "del",
            "ins",
            "empty",
        ]
        if scored[0].time:
            columns += ["final ms", "p95"] if live else ["real time"]
    first = next(iter(by_name.values()))
    groups = sorted({item.group for item in first})
    counted = [group for group in groups if group != speech.NOT_ENGLISH]
    rows = [_row(group, [group], by_name, live) for group in groups]
    if len(counted) > 1:
        rows.append(_row(ALL, counted, by_name, live))
    report = Report("Word error rate", columns, rows)
    if speech.NOT_ENGLISH in groups:
        report.notes.append(f"{speech.NOT_ENGLISH} counts in no total.")
    return report


def _row(name: str, groups: Sequence[str], by_name: dict[str, list[Scored]], live: bool) -> list:
    chosen_ = [[item for item in scored if item.group in groups] for scored in by_name.values()]
    words = sum(item.words for item in chosen_[0])
    minutes = sum(item.time.audio_s for item in chosen_[0] if item.time) / 60
    row: list = [name, len(chosen_[0]), minutes, words, words / minutes if minutes else None]
    for items in chosen_:
        row += _errors(items)
        times = [item.time for item in items if item.time]
        if times and live:
            waits = stats.spread([1000 * time.final_s for time in times])
            row += [waits.p50, waits.p95]
        elif times:
            row.append(sum(time.audio_s for time in times) / sum(time.wall_s for time in times))
    return row


def _errors(items: Sequence[Scored]) -> list:
    errors, words = [item.errors for item in items], [item.words for item in items]
    low, high = stats.bootstrap_ratio(errors, words)
    return [
        100 * sum(errors) / sum(words) if sum(words) else None,
        f"{100 * low:.1f}-{100 * high:.1f}" if low == low else "–",
        sum(item.substitutions for item in items),
        sum(item.deletions for item in items),
        sum(item.insertions for item in items),
        sum(1 for item in items if item.words and not item.heard),
    ]
