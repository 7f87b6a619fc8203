"""What the encoder alone hears: phone error rates by group, read off the auxiliary head.

They tell which half of a model limits it: the decoder, where phones are right and words are not.
"""

from itertools import groupby
from pathlib import Path

import numpy as np

from recipes.tiny import evaluate
from recipes.tiny.align import posteriors, pronounce
from recipes.tiny.espeak import PAUSE, Espeak
from recipes.tiny.model import Model

SHORTEST_FRAMES = 2
"""A phone of one frame of 20 ms is taken for noise of the head."""


def heard(log_p: np.ndarray, names: list[str]) -> list[str]:
    """Log posteriors [frames, phones] -> the likeliest phones, each once for all its frames, without pauses."""
    runs = [(phone, len(list(frames))) for phone, frames in groupby(log_p.argmax(-1))]
    return [names[p] for p, frames in runs if frames >= SHORTEST_FRAMES and names[p] != PAUSE]


def evaluate_phones(model: Model, names: list[str], folder: Path, limit: int = 0) -> evaluate.Scored:
    """Phones instead of words, of every clip of folder/manifest.jsonl that espeak-ng says in phones the head knows."""
    espeak, scored = Espeak(), evaluate.Scored()
    for clips in evaluate.batches(evaluate.read_clips(folder, limit)):
        found = posteriors(model, [audio for _, _, audio in clips])
        for (group, text, _), log_p in zip(clips, found, strict=True):
            if said := pronounce(espeak, {"text": text}, set(names)):
                scored.append((group, " ".join(map(" ".join, said)), " ".join(heard(log_p, names))))
    return scored
