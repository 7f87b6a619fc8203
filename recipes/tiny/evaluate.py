"""Word error rates by group: greedy streaming decoding, one token per 80 ms, pads and all."""

import collections
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from realtime.model.blanks import BlankPenalty
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
        """Group, and "all" of what has words -> (word errors, words of the reference)."""
        errors, words = collections.Counter(), collections.Counter()
        for group, reference, heard in self:
            for name in (group, "all") if reference else (group,):
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


def read_clips(folder: Path, limit: int = 0) -> list[tuple[str, str, np.ndarray]]:
    """(group, normalised text, float32 audio at 16 kHz) of every one-channel clip of a manifest that can be written, or
    has nothing to write: other languages and noises have the text "". Without a group the corpus is one; `limit` takes
    as many clips of each, spread over it.
    """
    found = collections.defaultdict(list)
    for row in read_manifest(folder):
        group = row.get("group") or row["corpus"]
        text = "" if group in NOT_ENGLISH else row["text"]
        text = text and normalise(text) if isinstance(text, str) else None
        if text is not None:
            found[group].append((row, text))
    clips = []
    for group, (row, text) in _spread(found, limit):
        audio, rate = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
        audio = audio[:, 0]
        if rate != corpus.RATE:
            audio = soxr.resample(audio, rate, corpus.RATE)
        clips.append((group, text, audio))
    return clips


def _spread(found: dict[str, list], limit: int) -> Iterator[tuple[str, tuple[dict, str]]]:
    for group, members in found.items():
        step = max(1, len(members) // limit) if limit else 1
        yield from ((group, member) for member in members[::step][: limit or None])


@torch.no_grad()
def transcribe(
    model: Model, waves: list[np.ndarray], delay: int, penalty: BlankPenalty | None = None
) -> list[tuple[list[int], list[float]]]:
    """float32 waves -> tokens and their log probabilities; every wave gets the padding in front and a server's flush
    behind.
    """
    block = block_ticks(model.p)
    counts = [LEFT_TOKENS + -(-len(w) // TICK_SAMPLES) + delay + FLUSH_TOKENS for w in waves]
    ticks = -(-max(counts) // block) * block
    audio = torch.zeros(len(waves), ticks * TICK_SAMPLES + LOOK_AHEAD_SAMPLES)
    for row, wave in zip(audio, waves, strict=True):
        row[LEFT_TOKENS * TICK_SAMPLES :][: len(wave)] = torch.from_numpy(wave)
    tokens, logprobs = model.greedy(model.adapt(model.encode(log_mel(audio))), delay, penalty)
    return [
        (row[: n + 1].tolist(), sure[: n + 1].tolist())
        for row, sure, n in zip(tokens, logprobs, counts, strict=True)
    ]


def written(
    tokenizer: Tokenizer, tokens: list[int], logprobs: list[float], unwritten_below: float = 0.0
) -> str:
    """The text of the words whose first piece was at least so probable: what a server writes of them."""
    kept, keeps = [], True
    for token, logprob in zip(tokens, logprobs, strict=True):
        if tokenizer.begins_word(token):
            keeps = math.exp(logprob) >= unwritten_below
        if keeps:
            kept.append(token)
    return tokenizer.decode(kept)


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


def evaluate(
    model: Model,
    tokenizer: Tokenizer,
    folder: Path,
    delay: int = 6,
    unwritten_below: float = 0.0,
    limit: int = 0,
    penalty: BlankPenalty | None = None,
) -> Scored:
    """Decodes the clips of folder/manifest.jsonl at a delay in tokens."""
    return thresholds(model, tokenizer, folder, [unwritten_below], delay, limit, penalty)[unwritten_below]


def thresholds(
    model: Model,
    tokenizer: Tokenizer,
    folder: Path,
    unwritten_below: list[float],
    delay: int = 6,
    limit: int = 0,
    penalty: BlankPenalty | None = None,
) -> dict[float, Scored]:
    """The same for several thresholds below which a word is not written, from one decoding."""
    scored = {below: Scored() for below in unwritten_below}
    for group in batches(read_clips(folder, limit)):
        heard = transcribe(model, [c[2] for c in group], delay, penalty)
        for (name, text, _), (tokens, logprobs) in zip(group, heard, strict=True):
            for below, one in scored.items():
                one.append((name, text, written(tokenizer, tokens, logprobs, below)))
    return scored


def table(columns: dict[str, Scored], unit: str = "words") -> str:
    """A Markdown table: a row per group; of what holds no words to hear it tells how many were written."""
    errors = [scored.errors() for scored in columns.values()]
    rows = [["group", unit, *columns], ["---", "--:", *["--:"] * len(columns)]]
    for name, (_, words) in errors[0].items():
        counts = [found[name][0] for found in errors]
        rates = [f"{100 * n / words:.1f}" if words else f"{n} {unit}" for n in counts]
        rows.append([name, str(words), *rates])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(columns: dict[str, Scored], path: Path) -> None:
    """All transcripts, for reading."""
    rows = [
        {"column": name, "group": g, "text": t, "heard": h}
        for name, scored in columns.items()
        for g, t, h in scored
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
