"""What streams say: clips of a folder or of the bundled demo, joined to tapes that differ from stream to stream.

A folder holds manifest.jsonl, one object a line: `path` relative to it, `text` (a list for two channels), `group`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.report import ROOT, BenchError

RATE_HZ = 16_000
DEMO_WAV = ROOT / "realtime" / "assets" / "demo.wav"
DEMO_JSON = DEMO_WAV.with_suffix(".json")
NOT_ENGLISH = "other_lang"  # the group that counts in no total
MARGIN_MS = 150  # kept around an utterance that is cut out of the demo
NOISE_RMS = 1e-4  # -80 dB below full scale: pauses are never digital zero, as with any microphone


# ---------------------------------------------------------------- folders


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest. `texts`: one a channel."""

    path: Path
    group: str
    texts: tuple[str, ...]


def folder(given: str | None) -> Path | None:
    """--speech, else VOXWIRE_SPEECH, else ../shared/speech beside the checkout; the folder itself or its `dev`.

    None if nothing was given and nothing is there. Raises BenchError for a given folder without manifest.jsonl.
    """
    asked = given or os.environ.get("VOXWIRE_SPEECH")
    place = Path(asked).expanduser() if asked else ROOT.parent / "shared" / "speech"
    for candidate in (place, place / "dev"):
        if (candidate / "manifest.jsonl").is_file():
            return candidate
    if asked:
        raise BenchError(f"{place}: no manifest.jsonl there")
    return None


def manifest(place: Path) -> list[Row]:
    """Rows of a folder. Raises BenchError naming a line that is no such object."""
    rows = []
    for number, line in enumerate((place / "manifest.jsonl").read_text(encoding="utf-8").splitlines(), 1):
        try:
            fields = json.loads(line)
            texts = fields["text"]
            rows.append(
                Row(
                    place / fields["path"],
                    fields.get("group", "all"),
                    (texts,) if isinstance(texts, str) else tuple(texts),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{place / 'manifest.jsonl'}, line {number}: {error!r}") from None
    return rows


def read(path: Path) -> tuple[np.ndarray, int]:
    """int16 [n, channels] and its rate. Raises BenchError."""
    try:
        return soundfile.read(str(path), dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise BenchError(f"{path}: {error}") from None


# ---------------------------------------------------------------- clips


def clips(place: Path | None, most_s: float = 1800.0) -> list[np.ndarray]:
    """int16 [n] at 16 kHz: every English one-channel clip of a folder, at most `most_s` in all; else the demo's four
    utterances. Raises BenchError."""
    if place is None:
        return demo_clips()
    found, total_s = [], 0.0
    for row in manifest(place):
        if row.group == NOT_ENGLISH or len(row.texts) != 1 or total_s >= most_s:
            continue
        samples, rate = read(row.path)
        found.append(at_16k(samples[:, 0], rate))
        total_s += len(found[-1]) / RATE_HZ
    if not found:
        raise BenchError(f"{place}: no English clip of one channel")
    return found


def demo_clips() -> list[np.ndarray]:
    samples, rate = read(DEMO_WAV)
    audio = at_16k(samples[:, 0], rate)
    cuts = json.loads(DEMO_JSON.read_text(encoding="utf-8"))["utterances"]
    bounds = [(max(0, cut["start_ms"] - MARGIN_MS) * 16, (cut["end_ms"] + MARGIN_MS) * 16) for cut in cuts]
    return [audio[start:end] for start, end in bounds]


def at_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """int16 [n] at any rate → int16 [m] at 16 kHz."""
    if rate == RATE_HZ:
        return np.ascontiguousarray(samples)
    moved = soxr.resample(samples.astype(np.float32), rate, RATE_HZ)
    return np.clip(moved, -32768, 32767).astype(np.int16)


# ---------------------------------------------------------------- tapes


class Tape:
    """Clips in an order of its own with pauses between them, without end: the same for the same seed.

    Memory is that of the clips, which all tapes share. Of `samples` given out so far `clip_samples` were clips, the
    rest pauses.
    """

    def __init__(self, clips: Sequence[np.ndarray], seed: int, gap_s: tuple[float, float] = (0.15, 0.35)):
        self._clips = clips
        self._random = random.Random(seed)
        self._gap_s = gap_s
        noise = np.random.default_rng(seed).normal(0, NOISE_RMS * 32768, RATE_HZ)
        self._noise = noise.round().astype(np.int16)
        self._pieces = self._endless()
        self._rest, self._is_clip = np.empty(0, np.int16), False
        self.samples = self.clip_samples = 0

    def read(self, n_samples: int) -> bytes:
        """The next `n_samples` as s16le."""
        parts, missing = [], n_samples
        while missing:
            if not len(self._rest):
                self._rest, self._is_clip = next(self._pieces)
            part, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(part)
            missing -= len(part)
            self.clip_samples += len(part) if self._is_clip else 0
        self.samples += n_samples
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return joined.astype("<i2", copy=False).tobytes()

    def _endless(self) -> Iterator[tuple[np.ndarray, bool]]:
        """A round of all clips in random order after another: neighbours differ, no clip is rare."""
        while True:
            for index in self._random.sample(range(len(self._clips)), len(self._clips)):
                yield self._clips[index], True
                yield self._pause(), False

    def _pause(self) -> np.ndarray:
        n_samples = int(self._random.uniform(*self._gap_s) * RATE_HZ)
        return np.resize(self._noise, n_samples)
