"""Recordings cut at their words: beginnings that are missing, and new sentences from what one voice said.

Lam et al. 2021, On-the-fly aligned data augmentation for sequence-to-sequence ASR: a decoder that hears the few
sentences of a corpus again and again comes to know them by heart; of sentences that nobody said it cannot.
"""

import numpy as np

from recipes.tiny.corpus import RATE, Corpus
from recipes.tiny.espeak import PAUSE

RUN_WORDS = (2, 8)
"""Words behind one another that stay together, fewest and most."""
RUNS = (2, 5)
SEAM_SAMPLES = RATE // 200
"""Sound fades in and out over this much at a cut."""
HEAD_S = (-0.06, 0.1)
"""What is left before the first sound of a recording whose beginning is missing."""

Spoken = tuple[dict, np.ndarray]
"""(item with words and, where known, phones; float32 [samples])"""


def excerpt(item: dict, wave: np.ndarray, start_s: float, end_s: float) -> Spoken:
    """What is between two times. A word belongs to it that ends within (start_s, end_s], a phone that sounds in it."""
    audio = wave[int(start_s * RATE) : int(end_s * RATE)]
    cut = {"words": [(word, end - start_s) for word, end in item["words"] if start_s < end <= end_s]}
    if "phones" in item:
        # one that began before the cut goes on from there
        phones = [(name, max(0.0, at - start_s)) for name, at in item["phones"] if at < end_s]
        first = max((n for n, (_, at) in enumerate(phones) if at == 0), default=0)
        cut["phones"] = phones[first:]
    return cut, audio


def joined(pieces: list[Spoken]) -> Spoken:
    """Pieces behind one another, without a click between them; phones only if all have them."""
    item, waves, at_s = {"words": [], "phones": []}, [], 0.0
    for piece, wave in pieces:
        item["words"] += [(word, end + at_s) for word, end in piece["words"]]
        item["phones"] += [(name, start + at_s) for name, start in piece.get("phones", ())]
        waves.append(faded(wave))
        at_s += len(wave) / RATE
    if not all("phones" in piece for piece, _ in pieces):
        del item["phones"]
    return item, np.concatenate(waves)


def faded(wave: np.ndarray) -> np.ndarray:
    """A copy that begins and ends in silence, so that no click tells where it was cut."""
    size = min(SEAM_SAMPLES, len(wave) // 2)
    ramp = np.linspace(0, 1, size, dtype=np.float32)
    out = wave.copy()
    out[:size] *= ramp
    out[len(out) - size :] *= ramp[::-1]
    return out


def sentence(r: np.random.Generator, corpus: Corpus, item: dict) -> Spoken:
    """A sentence that nobody said: some words of this item and of others by the same voice."""
    others = corpus.by_voice[item["domain"], item["voice"]]
    items = [item, *(others[r.integers(len(others))] for _ in range(r.integers(RUNS[0], RUNS[1] + 1) - 1))]
    return joined([_run(r, one, corpus.load(one)) for one in items])


def _run(r: np.random.Generator, item: dict, wave: np.ndarray) -> Spoken:
    """A few words behind one another, from the end of the word before them to their own end."""
    ends = [0.0, *(end for _, end in item["words"])]
    count = min(int(r.integers(RUN_WORDS[0], RUN_WORDS[1] + 1)), len(ends) - 1)
    first = int(r.integers(len(ends) - count))
    return excerpt(item, wave, ends[first], ends[first + count])


def without_head(r: np.random.Generator, item: dict, wave: np.ndarray) -> Spoken:
    """The recording from about where its first sound begins, or from within it, as when recording began too late."""
    sounds = [start for name, start in item.get("phones", ()) if name != PAUSE]
    if not sounds:
        return item, wave
    start_s = max(0.0, sounds[0] + r.uniform(*HEAD_S))
    return excerpt(item, wave, start_s, len(wave) / RATE)
