"""How far word confidences can be believed: on raw scores, and calibrated on folds of the recordings.

Every English clip is streamed through a real server as by `bench wer`; the words of its finals are aligned with the
reference by jiwer, both in the form of bench/normalise.py. A heard word is right if all of it is equal to what was said
there; substituted and inserted words are wrong. Words that were not heard have no confidence and count nowhere.

The server runs on the checkpoint with a confidence.json that tells raw scores, and leaves out the words that the
shipped one leaves out (`unwritten_below`, which --write keeps). `calibrated` is the confidence of each word by a fit on
the other folds: clips are dealt into --folds parts by a fixed seed, and the words of each part get the map that was
fitted on the words of the others. `shipped` is what the checkpoint's own
confidence.json makes of the scores; if it was fitted on these recordings, that flatters.

ECE % is the expected calibration error: words in order of confidence, cut into 10 bins of equally many words;
|mean confidence - share right| of every bin, weighted by its words. ROC is the area under the curve: how often a right
word has a higher confidence than a wrong one. `nats` is the mean negative log-likelihood of right and wrong a word.
Below them is what a threshold buys: of the words below it the share that is wrong, and of all wrong words the share
that it finds.

--write FILE fits on all words and writes the map: as confidence.json beside the weights it is used from then on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import jiwer

from bench import load, reliability, server, speech, streaming
from bench.normalise import normalise
from bench.report import BenchError, Report, Table, progress
from bench.server import Server
from bench.speech import Row
from bench.streaming import Streaming
from client.protocol import Options, Word
from realtime.config import BUNDLED_MODEL
from realtime.model import hub
from realtime.text.confidence import CALIBRATION_FILE, Calibration

SEED = 0
THRESHOLDS = (0.5, 0.8, 0.9)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--delay-ms", type=int, metavar="MS", help="default: the checkpoint's")
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fit on all words and write the map there")
    streaming.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    place, rows = streaming.recordings(options)
    rows = [row for row in rows if row.group != speech.NOT_ENGLISH]
    if not rows:
        raise BenchError("no English clip of these groups")
    if options.folds < 2:
        raise BenchError("--folds: at least 2")
    if options.write and not options.write.parent.is_dir():
        raise BenchError(f"--write {options.write}: there is no folder {options.write.parent}")
    folder = hub.locate(options.model or BUNDLED_MODEL, progress)
    shipped = Calibration.load(folder / CALIBRATION_FILE)
    with tempfile.TemporaryDirectory(prefix="voxwire-raw-") as raw:
        bare = _without_calibration(folder, Path(raw) / folder.resolve().name, shipped.unwritten_below)
        words, delay_ms = _listen(argparse.Namespace(**vars(options) | {"model": bare}), rows)
    report = measured(words, options.folds, shipped if (folder / CALIBRATION_FILE).exists() else None)
    fitted = replace(_fit(words), unwritten_below=shipped.unwritten_below)
    model = hub.display_name(folder, folder)
    report.setting = {
        "model": model,
        "recordings": place.name,
        "clips": len(rows),
        "delay": f"{delay_ms} ms",
        "vad": options.vad,
        "folds": options.folds,
    }
    report.notes.append(f"Fitted on all words: scale {fitted.scale:.4f}, offset {fitted.offset:.4f}.")
    if options.write:
        _write(options.write, fitted, f"{model}, {len(words)} words of {place.name} at {delay_ms} ms")
        report.notes.append(f"Written to {options.write.name}.")
    return report


def _without_calibration(folder: Path, beside: Path, unwritten_below: float) -> str:
    """A folder of links to everything in a checkpoint, with raw scores for the words that it writes."""
    beside.mkdir()
    for file in folder.resolve().iterdir():
        if file.name != CALIBRATION_FILE:
            (beside / file.name).symlink_to(file)
    raw = Calibration(unwritten_below=unwritten_below)
    (beside / CALIBRATION_FILE).write_text(raw.json("raw scores"), "utf-8")
    return str(beside)


def _listen(options: argparse.Namespace, rows: Sequence[Row]) -> tuple[list[Judged], int]:
    with Server(server.flags(options, slots=2 * options.at_once)) as served:
        asked = Options(delay_ms=options.delay_ms, vad=options.vad == "on", interim=False)
        stream = Streaming(served.url, asked, options.at_once)
        heard = load.run_loop(stream.all(rows))
    words = [
        word
        for clip, (row, one) in enumerate(zip(rows, heard, strict=True))
        for text, spoken in zip(row.texts, one.words, strict=True)
        for word in judge(clip, text, spoken)
    ]
    return words, stream.delay_ms


def _fit(words: Sequence[Judged]) -> Calibration:
    try:
        return reliability.fit([word.score for word in words], [word.right for word in words])
    except ValueError as error:
        raise BenchError(f"no calibration: {error}") from None


def _write(path: Path, calibration: Calibration, measured_on: str) -> None:
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    try:
        path.write_text(calibration.json(f"python -m bench confidence: {measured_on}, {date}"), "utf-8")
    except OSError as error:
        raise BenchError(f"--write {path}: {error}") from None
    progress(f"wrote {path}")


# ---------------------------------------------------------------- judging


@dataclass(frozen=True, slots=True)
class Judged:
    """One heard word."""

    clip: int
    score: float
    right: bool


def judge(clip: int, reference: str, heard: Sequence[Word]) -> list[Judged]:
    """Which words of a channel are right. Words of nothing but punctuation are left out."""
    forms = [(form, n) for n, word in enumerate(heard) for form in normalise(word.text).split()]
    reference = normalise(reference)
    if not forms:
        return []
    wrong = set(range(len(heard))) if not reference else _not_equal(reference, forms)
    return [
        Judged(clip, heard[n].confidence or 0.0, n not in wrong) for n in dict.fromkeys(n for _, n in forms)
    ]


def _not_equal(reference: str, forms: Sequence[tuple[str, int]]) -> set[int]:
    """The numbers of words with a form that the alignment does not find equal."""
    found = jiwer.process_words(reference, " ".join(form for form, _ in forms))
    return {
        forms[at][1]
        for chunk in found.alignments[0]
        if chunk.type != "equal"
        for at in range(chunk.hyp_start_idx, chunk.hyp_end_idx)
    }


# ---------------------------------------------------------------- tables


def measured(words: Sequence[Judged], folds: int, shipped: Calibration | None = None) -> Report:
    """The table of measures, those of thresholds and of the bins. Raises BenchError for words that no map fits."""
    if not words:
        raise BenchError("no word was heard")
    scores, right = [word.score for word in words], [word.right for word in words]
    try:
        calibrated = reliability.on_folds(scores, right, [word.clip for word in words], folds, SEED)
    except ValueError as error:
        raise BenchError(f"no calibration: {error}") from None
    kinds = {"raw score": scores, "calibrated": calibrated}
    if shipped:
        kinds["shipped"] = [shipped.probability(score) for score in scores]
    report = Report(
        "Word confidence", ["confidence", "words", "right %", "mean %", "ECE %", "ROC", "nats"], []
    )
    for name, confidences in kinds.items():
        report.rows.append(
            [
                name,
                len(words),
                100 * sum(right) / len(right),
                100 * sum(confidences) / len(confidences),
                100 * reliability.calibration_error(confidences, right),
                reliability.ranking(confidences, right),
                reliability.surprise(confidences, right),
            ]
        )
    report.tables.append(thresholds(kinds, right))
    report.tables.append(_bins(calibrated, right))
    return report


def thresholds(kinds: dict[str, Sequence[float]], right: Sequence[bool]) -> Table:
    """What somebody gets who distrusts words below a threshold."""
    columns = ["confidence", "below", "words", "of all %", "wrong %", "finds % of wrong", "wrong % above"]
    rows = []
    for name, confidences in kinds.items():
        for threshold in THRESHOLDS:
            below = [ok for p, ok in zip(confidences, right, strict=True) if p < threshold]
            above = [ok for p, ok in zip(confidences, right, strict=True) if p >= threshold]
            rows.append(
                [
                    name,
                    threshold,
                    len(below),
                    _percent(len(below), len(right)),
                    _percent(below.count(False), len(below)),
                    _percent(below.count(False), list(right).count(False)),
                    _percent(above.count(False), len(above)),
                ]
            )
    return Table("What a threshold buys", columns, rows)


def _bins(confidences: Sequence[float], right: Sequence[bool]) -> Table:
    rows = [
        [f"{one.lowest:.2f}-{one.highest:.2f}", 100 * one.mean, 100 * one.right, one.words]
        for one in reliability.bins(confidences, right)
    ]
    return Table("Calibrated words by confidence", ["confidence", "mean %", "right %", "words"], rows)


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
