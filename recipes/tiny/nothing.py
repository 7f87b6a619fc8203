"""Ten minutes of what is no English speech: music, noises, hiss, silence, foreign talk. Nothing should be written."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from recipes.tiny import corpus
from recipes.tiny.human import read_manifest

QUIET_GAIN = 0.1
MADE_SECONDS = 15
HISS_RMS = (1e-4, 1e-3, 1e-2)
NOT_ENGLISH = "other_lang"


def make(speech: Path, folder: Path, seed: int = 0) -> int:
    """Writes FLAC files and manifest.jsonl (path, text "", group, seconds); returns the number of clips.

    `speech` holds noise/ and dev/. Each noise comes as loud as it was recorded and 20 dB below.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for group, audio in (*_noises(speech / "noise"), *_made(seed), *_foreign(speech / "dev")):
        path = f"{len(rows):03d}_{group.replace(' ', '_')}.flac"
        soundfile.write(folder / path, audio, corpus.RATE, subtype="PCM_16")
        seconds = round(len(audio) / corpus.RATE, 3)
        rows.append({"path": path, "text": "", "group": group, "seconds": seconds})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(x) + "\n" for x in rows))
    return len(rows)


def _noises(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for row in read_manifest(folder):
        if row["kind"] == "rir":
            continue
        audio, _ = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
        yield row["kind"], audio[:, 0]
        yield f"{row['kind']} quiet", audio[:, 0] * QUIET_GAIN


def _made(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    r, samples = np.random.default_rng(seed), MADE_SECONDS * corpus.RATE
    yield "digital silence", np.zeros(samples, np.float32)
    for rms in HISS_RMS:
        yield "hiss", (r.standard_normal(samples) * rms).astype(np.float32)


def _foreign(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for row in read_manifest(folder):
        if row["group"] == NOT_ENGLISH:
            audio, rate = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
            if rate == corpus.RATE:
                yield "foreign speech", audio[:, 0]
