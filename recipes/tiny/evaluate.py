"""Word error rates by group: greedy streaming decoding, one token per 80 ms, pads and all."""

import collections
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from recipes.tiny import corpus
from recipes.tiny.data import FLUSH_TOKENS, LEFT_TOKENS
from recipes.tiny.human import read_manifest
from recipes.tiny.mel import LOOK_AHEAD_SAMPLES, TICK_SAMPLES, log_mel
from recipes.tiny.model import Model, block_ticks
from recipes.tiny.spell import normalise
from recipes.tiny.tokenizer import Tokenizer

BATCH_TICKS = 12000
NOT_ENGLISH = ("other_lang",)


class Scored(list):
    """[(group, reference, heard)] of a run."""

    def errors(self) -> dict[str, tuple[int, int]]:
        """Group, and "all" -> (word errors, words of the reference)."""
        errors, words = collections.Counter(), collections.Counter()
        for group, reference, heard in self:
            for name in (group, "all"):
                errors[name] += distance(reference.split(), heard.split())
                words[name] += len(reference.split())
        return {name: (errors[name], words[name]) for name in sorted(words)}


def distance(reference: list[str], heard: list[str]) -> int:
    """Substitutions, deletions and insertions from reference to heard."""
    row = list(range(len(heard) + 1))
    for i, x in enumerate(reference):
        new = [i + 1]
        for j, y in enumerate(heard):
            new.append(min(row[j + 1] + 1, new[j] + 1, row[j] + (x != y)))
        row = new
    return row[-1]


def read_clips(folder: Path) -> list[tuple[str, str, np.ndarray]]:
    """(group, normalised text, float32 audio at 16 kHz) of every English one-channel clip of a manifest."""
    clips = []
    for row in read_manifest(folder):
        text = normalise(row["text"]) if isinstance(row["text"], str) else None
        if not text or row["group"] in NOT_ENGLISH:
            continue
        audio, rate = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
        audio = audio[:, 0]
        if rate != corpus.RATE:
            audio = soxr.resample(audio, rate, corpus.RATE)
        clips.append((row["group"], text, audio))
    return clips


@torch.no_grad()
def transcribe(model: Model, waves: list[np.ndarray], delay: int) -> list[list[int]]:
    """float32 waves -> tokens each; every wave gets the padding in front and a server's flush behind."""
    block = block_ticks(model.p)
    counts = [LEFT_TOKENS + -(-len(w) // TICK_SAMPLES) + delay + FLUSH_TOKENS for w in waves]
    ticks = -(-max(counts) // block) * block
    audio = torch.zeros(len(waves), ticks * TICK_SAMPLES + LOOK_AHEAD_SAMPLES)
    for row, wave in zip(audio, waves, strict=True):
        row[LEFT_TOKENS * TICK_SAMPLES :][: len(wave)] = torch.from_numpy(wave)
    tokens = model.greedy(model.adapt(model.encode(log_mel(audio))), delay)
    return [row[: n + 1].tolist() for row, n in zip(tokens, counts, strict=True)]


def batches(clips: list[tuple[str, str, np.ndarray]]) -> Iterator[list[tuple[str, str, np.ndarray]]]:
    """Clips of like length together, so many that a batch holds about BATCH_TICKS."""
    group: list = []
    for clip in sorted(clips, key=lambda c: len(c[2])):
        ticks = len(clip[2]) // TICK_SAMPLES + 60
        if group and ticks * (len(group) + 1) > BATCH_TICKS:
            yield group
            group = []
        group.append(clip)
    if group:
        yield group


def evaluate(model: Model, tokenizer: Tokenizer, folder: Path, delay: int = 6) -> Scored:
    """Decodes the clips of folder/manifest.jsonl at a delay in tokens."""
    scored = Scored()
    for group in batches(read_clips(folder)):
        for (name, text, _), tokens in zip(
            group, transcribe(model, [c[2] for c in group], delay), strict=True
        ):
            scored.append((name, text, tokenizer.decode(tokens)))
    return scored


def table(by_delay: dict[int, Scored]) -> str:
    """A Markdown table: a row per group, a column per delay in tokens."""
    delays = list(by_delay)
    errors = {d: by_delay[d].errors() for d in delays}
    head = ["group", "words", *(f"{d * 80} ms" for d in delays)]
    rows = [head, ["---", "--:", *["--:"] * len(delays)]]
    for name in errors[delays[0]]:
        rates = [f"{100 * errors[d][name][0] / errors[d][name][1]:.1f}" for d in delays]
        rows.append([name, str(errors[delays[0]][name][1]), *rates])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(by_delay: dict[int, Scored], path: Path) -> None:
    """All transcripts, for reading."""
    rows = [
        {"delay": d, "group": g, "text": t, "heard": h}
        for d, scored in by_delay.items()
        for g, t, h in scored
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
