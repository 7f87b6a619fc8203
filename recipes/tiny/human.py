"""Recordings of people with a manifest.jsonl -> a corpus; their word times come later, from align.py."""

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from recipes.tiny import corpus
from recipes.tiny.spell import normalise
from recipes.tiny.splice import SEAM_SAMPLES, faded

WAKE_WORDS = ("picovoice_wake", "precise")
JOIN = ("fsdd", "speech_commands")
"""Corpora of single short words: several of one speaker become one utterance."""
MAX_SECONDS, MIN_SECONDS = 19.5, 0.1
FEWEST_PHONES = 6
CLIPPED_SHARE = 0.005
"""More samples than these at the very peak: cut off. Sound recordings have a tenth of that at most."""


def read_manifest(folder: Path) -> list[dict]:
    """Rows of manifest.jsonl. Raises FileNotFoundError where it is missing."""
    path = folder / "manifest.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path}: a folder of recordings needs a manifest.jsonl")
    return [json.loads(line) for line in path.open()]


def check_speakers(train: Iterable[dict], dev: Iterable[dict]) -> None:
    """Raises ValueError if anybody in dev is also in train, unnamed and declared speakers aside."""
    measured = {
        x["speaker"]
        for x in dev
        if isinstance(x.get("speaker"), str)
        and "unknown" not in x["speaker"]
        and "seen_speaker" not in x["group"]
    }
    both = measured & {x.get("speaker") for x in train}
    if both:
        raise ValueError(f"speakers in train and dev: {', '.join(sorted(both))}")


def read_clip(path: Path) -> np.ndarray:
    """int16 [samples] at 16 kHz and a common peak; ValueError says what is wrong with the file."""
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as e:
        raise ValueError(str(e)) from e
    wave = wave[:, 0]
    if not MIN_SECONDS <= len(wave) / rate <= MAX_SECONDS:
        raise ValueError(f"{len(wave) / rate:.2f} s long")
    clipped = is_clipped(wave)  # before resampling, which swings beyond the cut
    if rate != corpus.RATE:
        wave = soxr.resample(wave, rate, corpus.RATE)
    audio = corpus.to_peak(wave) if np.isfinite(wave).all() else None
    if audio is None or not np.abs(wave).max() > 1e-4:
        raise ValueError("silent")
    if clipped:
        raise ValueError("clipped")
    return audio


def is_clipped(wave: np.ndarray) -> bool:
    """Whether the peaks of float32 [samples] are cut off."""
    level = np.abs(wave)
    return float((level >= 0.995 * level.max()).mean()) > CLIPPED_SHARE


def joined(clips: list[tuple[dict, np.ndarray]], r: random.Random) -> Iterator[list[tuple[dict, np.ndarray]]]:
    """Groups one speaker's short clips, in random order, by one to six."""
    clips = r.sample(clips, len(clips))
    while clips:
        n = r.choice([1, 2, 3, 4, 5, 6])
        yield clips[:n]
        clips = clips[n:]


def convert(folder: Path, out: Path, skip: tuple[str, ...] = WAKE_WORDS, seed: int = 0) -> list[str]:
    """folder/manifest.jsonl -> a corpus in `out`; returns (and prints) the files that were left out, with reasons."""
    r, writer, bad = random.Random(seed), corpus.Writer(out), []
    rows = [x for x in read_manifest(folder) if x.get("corpus") not in skip]
    for (name, speaker), group in itertools.groupby(rows, lambda x: (x.get("corpus"), x.get("speaker"))):
        clips = []
        for row in group:
            try:
                if not normalise(row["text"]):
                    raise ValueError(f"cannot be written in letters: {row['text']!r}")
                clips.append((row, read_clip(folder / row["path"])))
            except ValueError as e:
                bad.append(f"{row['path']}: {e}")
        groups = joined(clips, r) if name in JOIN else ([clip] for clip in clips)
        for utterance in groups:
            _add(writer, utterance, name, speaker, r)
    writer.close()
    (out / "left_out.txt").write_text("".join(f"{line}\n" for line in bad))
    hours = writer.samples / corpus.RATE / 3600
    print(f"{out.name}: {hours:.2f} hours; {len(bad)} files left out, see {out / 'left_out.txt'}", flush=True)
    return bad


def backward(people: Path, out: Path, hours: float = 1.0, seed: int = 0) -> None:
    """Recordings of the corpus `people`, backwards: voices of people, and no English words in them."""
    audio, writer = np.memmap(people / "audio.i16", dtype=np.int16, mode="r"), corpus.Writer(out)
    items = [x for x in corpus.read_index(people) if x["domain"] not in JOIN]
    for item in random.Random(seed).sample(items, len(items)):
        if writer.samples >= hours * 3600 * corpus.RATE:
            break
        forward = audio[item["offset"] :][: item["samples"]]
        writer.add(forward[::-1], text="", voice=item["voice"], domain="backward", words=[])
    writer.close()


def scrambled(people: Path, out: Path, hours: float = 1.0, seed: int = 0) -> None:
    """Aligned recordings with their phones in random order: English sounds of people, and no English words in them."""
    audio, writer = np.memmap(people / "audio.i16", dtype=np.int16, mode="r"), corpus.Writer(out)
    items = [x for x in corpus.read_index(people) if len(x.get("phones", ())) >= FEWEST_PHONES]
    r = random.Random(seed)
    for item in r.sample(items, len(items)):
        if writer.samples >= hours * 3600 * corpus.RATE:
            break
        cuts = [0, *(int(start * corpus.RATE) for _, start in item["phones"] if start > 0), item["samples"]]
        wave = corpus.load(audio, item)
        phones = [wave[a:b] for a, b in itertools.pairwise(cuts) if b - a > 2 * SEAM_SAMPLES]
        r.shuffle(phones)
        mixed = corpus.to_peak(_crossfaded(phones))
        if mixed is not None:
            writer.add(mixed, text="", voice=item["voice"], domain="scrambled", words=[])
    writer.close()


def _crossfaded(parts: list[np.ndarray]) -> np.ndarray:
    """Joins waves so that no click tells where: each begins in the last SEAM_SAMPLES of the one before."""
    out = np.zeros(sum(map(len, parts)), np.float32)
    at = 0
    for part in parts:
        out[at : at + len(part)] += faded(part)
        at += len(part) - SEAM_SAMPLES
    return out[: at + SEAM_SAMPLES]


def _add(writer: corpus.Writer, utterance: list[tuple[dict, np.ndarray]], name: str, speaker: str, r) -> None:
    parts = []
    for _, audio in utterance:
        parts += [audio, np.zeros(int(r.uniform(0.08, 0.3) * corpus.RATE), np.int16)]
    writer.add(
        np.concatenate(parts[:-1]),
        text=" ".join(normalise(row["text"]) for row, _ in utterance),
        spoken=" ".join(_spoken(row) for row, _ in utterance),
        voice=speaker,
        domain=name,
        files=[row["path"] for row, _ in utterance],
    )


def _spoken(row: dict) -> str:
    """The text as it was said: only where the source marks letters by capitals does a capital mean a letter."""
    return row["text"] if row.get("text_style") == "letters" else normalise(row["text"])
