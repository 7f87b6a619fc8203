"""Word and phone times of recordings: Viterbi over the phone posteriors of the auxiliary head.

Phones come from espeak-ng; each lasts at least two encoder frames (40 ms), silence is optional between words.
"""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from recipes.tiny import corpus
from recipes.tiny.data import AUX_LAG_S, FRAMES_PER_TICK
from recipes.tiny.espeak import PAUSE, Espeak
from recipes.tiny.mel import LOOK_AHEAD_SAMPLES, TICK_SAMPLES, log_mel
from recipes.tiny.model import Model, block_ticks

BATCH = 16
FRAME_S = 0.02
LEFT_TICKS = 8
LAG_FRAMES = round((AUX_LAG_S - 0.0225) / FRAME_S)
FLOOR_LOG = np.log(2e-3)
WORST_SCORE = -2.5
IMPOSSIBLE = -1e30


def viterbi(scores: np.ndarray, optional: np.ndarray) -> np.ndarray:
    """Log scores [T, S] of a left-to-right chain, S >= 2 -> the state of each frame [T].

    A state may stay, go on to the next, or jump over one that is `optional` [S].
    """
    frames, states = scores.shape
    steps = np.zeros((frames, states), np.int8)
    best = np.full(states, IMPOSSIBLE, np.float32)
    best[0] = scores[0, 0]
    if optional[0]:
        best[1] = scores[0, 1]
    may_jump = np.r_[[False, False], optional[1:-1]]
    choices = np.full((3, states), IMPOSSIBLE, np.float32)
    for t in range(1, frames):
        choices[0] = best
        choices[1, 1:] = best[:-1]
        choices[2, 2:] = np.where(may_jump[2:], best[:-2], IMPOSSIBLE)
        steps[t] = choices.argmax(0)
        best = choices.max(0) + scores[t]
    state = states - 1
    if optional[-1] and best[-2] > best[-1]:
        state -= 1
    path = np.zeros(frames, np.int32)
    for t in range(frames - 1, -1, -1):
        path[t] = state
        state -= int(steps[t, state])
    return path


class Chain:
    """The states of a text: two for each phone of each word, an optional silence before, between and after words."""

    def __init__(self, pronounced: list[list[str]], phone_ids: dict[str, int]):
        phones, optional, words = [phone_ids[PAUSE]], [True], [-1]
        for i, names in enumerate(pronounced):
            for name in names:
                phones += [phone_ids[name]] * 2
                optional += [False] * 2
                words += [i] * 2
            phones, optional, words = [*phones, phone_ids[PAUSE]], [*optional, True], [*words, -1]
        self.phones, self.optional, self.words = np.array(phones), np.array(optional), np.array(words)

    def align(self, posteriors: np.ndarray) -> tuple[float, np.ndarray] | None:
        """Log posteriors [T, phones] -> (mean score, state of each frame); None if the audio is too short."""
        if np.count_nonzero(~self.optional) > len(posteriors):
            return None
        scores = np.ascontiguousarray(posteriors[:, self.phones])
        path = viterbi(scores, self.optional)
        return float(scores[np.arange(len(path)), path].mean()), path

    def word_ends_s(self, path: np.ndarray) -> list[float]:
        which = self.words[path]
        return [round((int(np.flatnonzero(which == i)[-1]) + 1) * FRAME_S, 3) for i in range(which.max() + 1)]

    def phone_starts(self, path: np.ndarray, names: list[str]) -> list[tuple[str, float]]:
        # both states of a phone are one; a new phone begins at a step of two or at an odd state (state 0 is silence)
        out, last = [], None
        for t, state in enumerate(path):
            phone, word = int(self.phones[state]), int(self.words[state])
            first = last is None or (phone, word) != last[:2] or state - last[2] > 1
            if first:
                out.append((names[phone], round(t * FRAME_S, 3)))
            last = (phone, word, state)
        return out


@torch.no_grad()
def posteriors(model: Model, waves: list[np.ndarray]) -> list[np.ndarray]:
    """float32 waves [samples] -> log posteriors [20 ms frames, phones] each, with the head's lag taken out."""
    block = block_ticks(model.p)
    ticks = LEFT_TICKS + -(-max(map(len, waves)) // TICK_SAMPLES) + 1
    ticks = -(-ticks // block) * block
    audio = torch.zeros(len(waves), ticks * TICK_SAMPLES + LOOK_AHEAD_SAMPLES)
    for row, wave in zip(audio, waves, strict=True):
        row[LEFT_TICKS * TICK_SAMPLES :][: len(wave)] = torch.from_numpy(wave)
    log_p = model.aux(model.encode(log_mel(audio))).log_softmax(-1).numpy()
    first = LEFT_TICKS * FRAMES_PER_TICK + LAG_FRAMES
    frames = [int(len(w) / corpus.RATE / FRAME_S) for w in waves]
    return [np.logaddexp(p[first : first + n], FLOOR_LOG) for p, n in zip(log_p, frames, strict=True)]


def pronounce(espeak: Espeak, item: dict, known: set[str]) -> list[list[str]] | None:
    """Phone names of each word of an utterance; None if one cannot be said in phones the head knows."""
    words, spoken = item["text"].split(), item.get("spoken", item["text"]).split()
    said = [espeak.pronounce(w) for w in (spoken if len(spoken) == len(words) else words)]
    return said if all(s and known.issuperset(s) for s in said) else None


def load_aligner(checkpoint: Path, phones: list[str]) -> Model:
    saved = torch.load(checkpoint, weights_only=True)
    model = Model(saved["params"], len(phones))
    model.load_state_dict(saved["model"])
    return model.eval()


def align(
    checkpoint: Path,
    phones: list[str],
    folder: Path,
    every: dict[str, int] | None = None,
    workers: int = 1,
) -> list[dict]:
    """Gives every utterance of a corpus that aligns well its times, takes them from the others; returns the index.

    `every` names domains of which only every n-th utterance is wanted.
    """
    espeak, items, wanted = Espeak(), corpus.read_index(folder), []
    for i, item in enumerate(items):
        for key in ("words", "phones", "score"):
            item.pop(key, None)
        if i % (every or {}).get(item["domain"], 1) == 0:
            said = pronounce(espeak, item, set(phones))
            if said:
                wanted.append((i, item, said))
    wanted.sort(key=lambda x: x[1]["samples"])
    groups = [wanted[i : i + BATCH] for i in range(0, len(wanted), BATCH)]
    for n, aligned in enumerate(_each(groups, workers, (checkpoint, phones, folder))):
        for i, item in aligned:
            items[i] = item
        if n % 100 == 0:
            print(f"{folder.name}: {n * BATCH} of {len(wanted)} aligned", flush=True)
    corpus.write_index(folder, items)
    _report(folder, items)
    return items


def _each(groups: list[list], workers: int, begin: tuple) -> Iterator[list[tuple[int, dict]]]:
    """Every group aligned, in any order: here, or by so many processes."""
    if workers == 1:
        _begin(*begin)
        yield from map(_aligned, groups)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _begin, begin) as pool:
        yield from pool.imap_unordered(_aligned, groups)


_here: tuple[Model, list[str], np.ndarray]
"""What a process keeps from group to group: the aligner, the phones, the audio."""


def _begin(checkpoint: Path, phones: list[str], folder: Path) -> None:
    global _here
    torch.set_num_threads(1)
    audio = np.memmap(folder / "audio.i16", np.int16, "r")
    _here = load_aligner(checkpoint, phones), phones, audio


def _aligned(group: list[tuple[int, dict, list[list[str]]]]) -> list[tuple[int, dict]]:
    """(number, item, phones of its words) -> (number, item with its times)."""
    model, phones, audio = _here
    phone_ids = {name: i for i, name in enumerate(phones)}
    waves = [corpus.load(audio, item) for _, item, _ in group]
    for (_, item, said), log_p in zip(group, posteriors(model, waves), strict=True):
        _annotate(item, Chain(said, phone_ids), log_p, phones)
    return [(i, item) for i, item, _ in group]


def _annotate(item: dict, chain: Chain, log_p: np.ndarray, phones: list[str]) -> None:
    result = chain.align(log_p)
    if result is None:
        return
    score, path = result
    item["score"] = round(score, 3)
    if score < WORST_SCORE:
        return
    item["words"] = list(zip(item["text"].split(), chain.word_ends_s(path), strict=True))
    item["phones"] = chain.phone_starts(path, phones)


def _report(folder: Path, items: list[dict]) -> None:
    """What fits its text worse than anything that was said: a wrong transcript, as a rule. Listed, never trained on."""
    misfits = sorted((x for x in items if "score" in x and "words" not in x), key=lambda x: x["score"])
    lines = (f"{x['score']}\t{' '.join(x.get('files', ()))}\t{x['text']}\n" for x in misfits)
    (folder / "misaligned.txt").write_text("".join(lines))
    scores = [x["score"] for x in items if "score" in x]
    spread = np.percentile(scores, [5, 25, 50, 75, 95]).round(2) if scores else []
    kept = sum("words" in x for x in items)
    print(
        f"{folder.name}: {kept} of {len(items)} utterances have times, scores at 5 to 95 %: {spread}",
        flush=True,
    )
