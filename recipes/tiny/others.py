"""Recordings of people who speak other languages -> a corpus of which nothing is to be written."""

import random
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from recipes.tiny import corpus
from recipes.tiny.synth import FOREIGN

SUFFIXES = {".g722": "g722", ".wav": None, ".flac": None, ".opus": None, ".ogg": None, ".mp3": None}
"""Files that are read; G.722 has no header and has to be named."""
MIN_SECONDS, MAX_SECONDS = 1.0, 15.0
LONGEST_JOINED_S = 8.0


def convert(folder: Path, out: Path, seed: int = 0) -> None:
    """Every recording below `folder`; one folder is one voice, and its short prompts are joined at random.

    Raises FileNotFoundError if there is none.
    """
    r, writer = random.Random(seed), corpus.Writer(out)
    for voice in sorted({path.parent for path in folder.rglob("*") if path.suffix in SUFFIXES}):
        for audio in _joined(list(_waves(voice)), r):
            writer.add(audio, text="", voice=f"{voice.parent.name}/{voice.name}", domain=FOREIGN, words=[])
    writer.close()
    if not writer.samples:
        raise FileNotFoundError(f"no recording below {folder}")
    print(f"{out.name}: {writer.samples / corpus.RATE / 3600:.2f} hours", flush=True)


def _waves(folder: Path) -> Iterator[np.ndarray]:
    """int16 [samples] of every file; silent ones and long ones are left out, broken ones too, and named."""
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES:
            continue
        try:
            audio = corpus.to_peak(_decode(path).astype(np.float32))
        except (av.FFmpegError, IndexError) as e:  # IndexError: a container without sound
            print(f"left out {path}: {e}", flush=True)
            continue
        if audio is not None and len(audio) <= MAX_SECONDS * corpus.RATE:
            yield audio


def _decode(path: Path) -> np.ndarray:
    """int16 [samples] at 16 kHz."""
    resampler = av.AudioResampler("s16", "mono", corpus.RATE)
    with av.open(str(path), format=SUFFIXES[path.suffix], metadata_errors="replace") as file:
        frames = [*file.decode(audio=0), None]
        parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _joined(waves: list[np.ndarray], r: random.Random) -> Iterator[np.ndarray]:
    """Prompts in random order, several behind one another until they are some seconds long."""
    r.shuffle(waves)
    parts: list[np.ndarray] = []
    goal = 0.0
    for wave in waves:
        if not parts:
            goal = r.uniform(MIN_SECONDS, LONGEST_JOINED_S) * corpus.RATE
        parts += [wave, np.zeros(int(r.uniform(0, 0.3) * corpus.RATE), np.int16)]
        if sum(map(len, parts)) >= goal:
            yield np.concatenate(parts[:-1])
            parts = []
    if parts:
        yield np.concatenate(parts[:-1])
