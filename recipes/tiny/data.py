"""Training sequences: utterances packed behind one another as a server hears them, with delayed targets."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from recipes.tiny import augment, splice
from recipes.tiny.corpus import RATE, Corpus
from recipes.tiny.espeak import PAUSE
from recipes.tiny.mel import (
    LOOK_AHEAD_SAMPLES,
    MELS_PER_TICK,
    PLAIN,
    TICK_SAMPLES,
    WARPED,
    log_mel,
)
from recipes.tiny.tokenizer import BOS, PAD, WORD, Tokenizer

LEFT_TOKENS = 32
FRAMES_PER_TICK = 4
AUX_LAG_S = 0.08
"""The aux head names the phone heard this long before the end of its encoder frame."""
FLUSH_TOKENS = 11
"""A server flushes a closed gate with delay + FLUSH_TOKENS ticks of digital zeros."""
AT_ONCE_SHARE = 0.5
"""Of the sequences: speech begins at the very first sample."""
HEADLESS_SHARE, HEADLESS_AT_ONCE_SHARE = 0.1, 0.5
"""Of the utterances, and of those at the very first sample: what is before their first sound is missing, or more."""
GATED_SHARE = 0.25
"""Of the sequences: in them the gate closes between utterances, and their flushes hold no words to learn."""
IGNORE = -100


def stream_targets(words: list[tuple[str, float]], ticks: int, tokenizer: Tokenizer) -> list[int]:
    """Words (text, end_s) -> the token of each 80 ms slot, not yet delayed.

    Slot j covers audio [80 j, 80 j + 80) ms. A word that ends in slot j is ready at slot j. When nothing is being
    written and words are ready, [WORD] goes out and all ready words follow, one token a slot; words that become ready
    meanwhile wait for the next group.
    """
    waiting = sorted(words, key=lambda w: w[1])
    out, queue, i = [], [], 0
    for j in range(ticks):
        if queue:
            out.append(queue.pop(0))
            continue
        while i < len(waiting) and waiting[i][1] < (j + 1) * TICK_SAMPLES / RATE:
            queue += tokenizer.word(waiting[i][0])
            i += 1
        out.append(WORD if queue else PAD)
    return out


def written(
    words: list[tuple[str, float]], ticks: int, delay: int, tokenizer: Tokenizer
) -> tuple[torch.Tensor, torch.Tensor]:
    """Words (text, end_s) -> tokens [ticks] in and targets [ticks], which lag by `delay` tokens."""
    stream = stream_targets(words, ticks, tokenizer)
    tokens = ([BOS] + [PAD] * (LEFT_TOKENS + delay) + stream)[: ticks + 1]
    targets = torch.tensor(tokens[1:])
    targets[: LEFT_TOKENS + delay] = IGNORE
    return torch.tensor(tokens[:-1]), targets


def frame_times_s(count: int) -> np.ndarray:
    """[count] of each encoder frame, on the time line of the words: what it has heard enough of to name a phone."""
    end_s = (np.arange(count) * 2 + 1) * 0.01 + 0.0125
    return end_s - LEFT_TOKENS * TICK_SAMPLES / RATE - AUX_LAG_S


class Heard(NamedTuple):
    """A word, or a pause (""), and the encoder frames [first, end) in which it is heard."""

    word: str
    first: int
    end: int


class Batch(NamedTuple):
    """mel [B, 128, 8 T], tokens [B, T] in, targets [B, T], delay [B] in tokens, phones [B, 4 T]; IGNORE = no loss.

    heard: of each sequence its words that lie within it.
    """

    mel: torch.Tensor
    tokens: torch.Tensor
    targets: torch.Tensor
    delay: torch.Tensor
    phones: torch.Tensor
    heard: list[list[Heard]]

    def to(self, device: torch.device) -> "Batch":
        tensors = (x.to(device, non_blocking=True) for x in self[:-1])
        return Batch(*tensors, self.heard)


class Take:
    """One sequence while it is laid out: audio, words, phone labels, and where the gate is closed."""

    def __init__(self, ticks: int, phone_ids: dict[str, int]):
        self.total = (ticks - LEFT_TOKENS) * TICK_SAMPLES + LOOK_AHEAD_SAMPLES
        self.audio = np.zeros(self.total, np.float32)
        self.open = np.ones(self.total, bool)
        self.words: list[tuple[str, float]] = []
        self.at = 0
        self.frame_s = frame_times_s(ticks * FRAMES_PER_TICK)
        self.phone_ids = phone_ids
        self.phones = np.full(len(self.frame_s), phone_ids[PAUSE])
        self.heard: list[Heard] = []

    @property
    def left(self) -> int:
        return self.total - self.at

    def speak(self, item: dict, wave: np.ndarray, speed: float = 1.0) -> None:
        """Lays down an utterance that was made `speed` times faster than the times of its item say."""
        wave = wave[: self.left]
        start_s, end_s = self.at / RATE, (self.at + len(wave)) / RATE
        self.audio[self.at : self.at + len(wave)] += wave
        words = [(word, start_s + end / speed) for word, end in item["words"]]
        self.words += words
        self._hear(words, start_s, end_s)
        inside = (self.frame_s >= start_s) & (self.frame_s < end_s)
        self.phones[inside] = self._labels(item, (self.frame_s[inside] - start_s) * speed)
        self.at += len(wave)

    def _hear(self, words: list[tuple[str, float]], start_s: float, end_s: float) -> None:
        """Notes in which frames each word is heard, and the pause behind the last."""
        first = int(np.searchsorted(self.frame_s, start_s))
        for word, at_s in [*words, ("", end_s)]:
            if not words or at_s > end_s:
                break
            end = int(np.searchsorted(self.frame_s, at_s))
            self.heard.append(Heard(word, first, end))
            first = end

    def _labels(self, item: dict, times_s: np.ndarray) -> np.ndarray:
        if "phones" not in item:
            return np.full(len(times_s), IGNORE)
        starts = np.array([start for _, start in item["phones"]])
        ids = np.array([self.phone_ids.get(name, IGNORE) for name, _ in item["phones"]])
        k = np.searchsorted(starts, times_s, side="right") - 1
        return np.where(k >= 0, ids[np.maximum(k, 0)], self.phone_ids[PAUSE])

    def wait(self, seconds: float) -> None:
        self.at += int(seconds * RATE)

    def close_gate(self, ticks: int) -> None:
        """Zeros to the end of the tick and for `ticks` more: what a server feeds while its gate is closed."""
        end = (-(-self.at // TICK_SAMPLES) + ticks) * TICK_SAMPLES
        self.open[self.at : end] = False
        self.at = end


class Sequences:
    """Batches by step number: the same seed, rank and step give the same batch.

    delays: (low, high) in tokens and the probability of each range. light_share: how many sequences get
    augment.LIGHT instead of `kinds`. wordless_share: how many hold nothing but corpora without words, as when somebody
    speaks another language all the time.
    """

    def __init__(
        self,
        corpora: list[Corpus],
        tokenizer: Tokenizer,
        phones: list[str],
        noises: augment.Noises,
        batch: int = 2,
        ticks: int = 288,
        delays: dict[tuple[int, int], float] | None = None,
        kinds: tuple[str, ...] = augment.FULL,
        seed: int = 0,
        rank: int = 0,
        light_share: float = 0.0,
        wordless_share: float = 0.0,
    ):
        if unknown := set(kinds) - augment.KINDS:
            raise ValueError(f"unknown augmentation {', '.join(sorted(unknown))}")
        self.corpora, self.tokenizer, self.noises = corpora, tokenizer, noises
        self.phone_ids = {p: i for i, p in enumerate(phones)}
        self.batch, self.ticks, self.kinds, self.light_share = batch, ticks, set(kinds), light_share
        self.delays = delays or {(6, 6): 1.0}
        self.seed, self.rank = seed, rank
        weights = np.array([c.weight for c in corpora])
        self.odds = weights / weights.sum()
        wordless = weights * [c.wordless for c in corpora]
        if wordless_share and not wordless.any():
            raise ValueError("no corpus without words for wordless_share")
        self.wordless_share = wordless_share
        self.wordless_odds = wordless / wordless.sum() if wordless_share else self.odds

    def at(self, step: int, shard: int = 0) -> Batch:
        """Shard n is what rank n behind this one would get."""
        r = np.random.default_rng([self.seed, self.rank + shard, step])
        *columns, heard = zip(*(self._sequence(r) for _ in range(self.batch)), strict=True)
        return Batch(*map(torch.stack, columns), list(heard))

    def _draw(self, r: np.random.Generator, odds: np.ndarray | None = None) -> tuple[dict, np.ndarray]:
        corpus = self.corpora[r.choice(len(self.odds), p=self.odds if odds is None else odds)]
        item = corpus.items[r.integers(len(corpus.items))]
        if item["words"] and r.random() < corpus.spliced:
            return splice.sentence(r, corpus, item)
        return item, corpus.load(item)

    def delay(self, r: np.random.Generator) -> int:
        """In tokens, as often as the phase wants each."""
        ranges, odds = list(self.delays), np.array(list(self.delays.values()))
        low, high = ranges[r.choice(len(ranges), p=odds / odds.sum())]
        return int(r.integers(low, high + 1))

    def _sequence(self, r: np.random.Generator) -> tuple:
        delay = self.delay(r)
        light = r.random() < self.light_share
        kinds = self.kinds & set(augment.LIGHT) if light else self.kinds
        take = self._layout(r, delay, kinds)
        tokens, targets = written(take.words, self.ticks, delay, self.tokenizer)
        mel = self._features(r, take, kinds)
        return mel, tokens, targets, torch.tensor(delay), torch.from_numpy(take.phones), take.heard

    def _layout(self, r: np.random.Generator, delay: int, kinds: set[str]) -> Take:
        take = Take(self.ticks, self.phone_ids)
        gated = r.random() < GATED_SHARE
        odds = self.wordless_odds if r.random() < self.wordless_share else self.odds
        if r.random() > AT_ONCE_SHARE:
            take.wait(r.uniform(0, 0.8))
        while take.left > RATE // 2:
            if "noise" in kinds and r.random() < 0.04:
                self._burst(r, take, r.uniform(2, 8))
                continue
            item, wave = self._draw(r, odds)
            headless = HEADLESS_SHARE if take.at else HEADLESS_AT_ONCE_SHARE
            if "head" in kinds and r.random() < headless:
                item, wave = splice.without_head(r, item, wave)
            wave, speed = augment.speed(r, wave, kinds)
            take.speak(item, wave * augment.gain(r), speed)
            if gated and r.random() < 0.6:
                take.wait(r.uniform(0.2, 0.5))  # hangover
                whole = r.random() < 0.4
                take.close_gate(delay + FLUSH_TOKENS if whole else int(r.integers(0, delay + FLUSH_TOKENS)))
                take.wait(r.uniform(0.1, 0.3))  # pre-roll
            else:
                self._pause(r, take, kinds)
        return take

    def _pause(self, r: np.random.Generator, take: Take, kinds: set[str]) -> None:
        """Mostly short; a long one may hold a noise as loud as speech, which must give no words."""
        kind = r.random()
        seconds = (
            r.uniform(0.03, 0.5) if kind < 0.87 else r.uniform(0.5, 2) if kind < 0.96 else r.uniform(2, 5)
        )
        if "noise" in kinds and seconds > 0.5 and r.random() < 0.5:
            self._burst(r, take, seconds)
        else:
            take.wait(seconds)

    def _burst(self, r: np.random.Generator, take: Take, seconds: float) -> None:
        """A noise as loud as speech may be."""
        if take.left > 0:
            burst = self.noises.draw(r, min(int(seconds * RATE), take.left)) * 10 ** r.uniform(-3, -0.8)
            take.audio[take.at : take.at + len(burst)] += burst
        take.wait(seconds)

    def _features(self, r: np.random.Generator, take: Take, kinds: set[str]) -> torch.Tensor:
        audio = augment.waveform(r, take.audio, kinds, self.noises, lambda: self._draw(r)[1])
        audio *= take.open
        warped = "warp" in kinds and r.random() < 0.7
        bank = WARPED[r.integers(len(WARPED))] if warped else PLAIN
        left = np.zeros(LEFT_TOKENS * TICK_SAMPLES, np.float32)
        mel = log_mel(torch.from_numpy(np.concatenate([left, audio])), bank)
        augment.features(r, mel[:, LEFT_TOKENS * MELS_PER_TICK :], kinds)
        return mel


class Shards(Dataset):
    """Batches by number, for loaders: number n is shard n % shards of step n // shards."""

    def __init__(self, sequences: Sequences, shards: int):
        self.sequences, self.shards = sequences, shards

    def __getitem__(self, number: int) -> Batch:
        step, shard = divmod(number, self.shards)
        return self.sequences.at(step, shard)


def stacked(shards: list[Batch]) -> Batch:
    *columns, heard = zip(*shards, strict=True)
    return Batch(*map(torch.cat, columns), list(itertools.chain(*heard)))


def batches(sequences: Sequences, first_step: int, shards: int = 1, loaders: int = 0) -> Iterator[Batch]:
    """Batches from a step on, each of so many shards, without end; prepared ahead by `loaders` processes."""
    return iter(
        DataLoader(
            Shards(sequences, shards),
            batch_size=shards,
            sampler=itertools.count(first_step * shards),
            collate_fn=stacked,
            num_workers=loaders,
            pin_memory=torch.cuda.is_available(),
        )
    )
