"""Sentences that nobody said, of words as the encoder heard them: there is far more text than speech.

The encoder is most of the work, and hears people it does not know nearly as well as those it does; it is the decoder
that comes to know by heart what the few people say. So what the encoder made of the last sequences is kept, cut at the
words, and put together anew to sentences of any text: the decoder learns what follows what, from evidence as bad as the
real one, at little cost (text beside speech: Sainath et al. 2022, JOIST; words put together: Lam et al. 2021).
"""

import itertools
import random
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from recipes.tiny import data, texts
from recipes.tiny.data import FRAMES_PER_TICK, LEFT_TOKENS, Heard, Sequences

KEPT_SEQUENCES = 4000
"""Of so many sequences, the last, a rank keeps the frames: a thousand steps of four, 1.5 GB of the bundled size."""
KEPT_OF_A_WORD = 48
LEAST_SEQUENCES = 400
"""Before there are so many, too few words are known."""
LEAST_WORDS = 3
"""Shorter is left out what remains of a sentence between words that nobody said lately."""
LONGEST_WORD_FRAMES = 50
"""A word that took longer had a pause before it, of which this much stays."""
MOST_SENTENCES = 500
"""So many are tried for a sequence: of a text whose words nobody says there would be no end."""

Place = tuple[int, int]
"""(number of the sequence, number of the word in it)"""


class Written(NamedTuple):
    """audio frames [B, 4 T, dim], tokens [B, T] in, targets [B, T], delay [B] in tokens."""

    frames: torch.Tensor
    tokens: torch.Tensor
    targets: torch.Tensor
    delay: torch.Tensor

    def to(self, device: torch.device) -> "Written":
        return Written(*(x.to(device, non_blocking=True) for x in self))


class Memory:
    """What the encoder made of the last sequences, and where each word is in it."""

    def __init__(self, sequences: int = KEPT_SEQUENCES):
        self.kept = sequences
        self.frames: dict[int, torch.Tensor] = {}
        self.heard: dict[int, list[Heard]] = {}
        self.places: dict[str, deque[Place]] = defaultdict(lambda: deque(maxlen=KEPT_OF_A_WORD))
        self._next = 0

    def __len__(self) -> int:
        return len(self.frames)

    def add(self, frames: torch.Tensor, heard: Sequence[list[Heard]]) -> None:
        """frames [B, 4 T, dim] of sequences, and the words of each."""
        for one, words in zip(frames.detach().to(torch.bfloat16), heard, strict=True):
            number, self._next = self._next, self._next + 1
            self.frames[number], self.heard[number] = one, words
            for i in range(len(words)):
                if not _is_letter(words, i):
                    self.places[words[i].word].append((number, i))
            self.frames.pop(number - self.kept, None)
            self.heard.pop(number - self.kept, None)

    def find(self, r: np.random.Generator, word: str, behind: Place | None = None) -> Place | None:
        """Where to take a word from: from behind `behind` where it was said there; None if nobody said it lately."""
        if behind:
            number, i = behind[0], behind[1] + 1
            words = self.heard[number]
            if i < len(words) and words[i].word == word and words[i].first == words[i - 1].end:
                return number, i
        places = self.places.get(word, ())
        while places and places[0][0] not in self.frames:
            places.popleft()
        return places[r.integers(len(places))] if places else None

    def cut(self, place: Place) -> torch.Tensor:
        """The frames [n, dim] of a word."""
        number, i = place
        _, first, end = self.heard[number][i]
        return self.frames[number][max(first, end - LONGEST_WORD_FRAMES) : end]

    def silence(self, r: np.random.Generator) -> torch.Tensor:
        """The frames [4 LEFT_TOKENS, dim] before the first sample of a sequence."""
        number = self._next - 1 - int(r.integers(len(self.frames)))
        return self.frames[number][: LEFT_TOKENS * FRAMES_PER_TICK]


def _is_letter(words: list[Heard], i: int) -> bool:
    """Whether "a" is the letter and not the article: both are written alike, and letters stand among letters."""
    if len(words[i].word) != 1:
        return False
    beside = [w.word for w in (*words[max(0, i - 1) : i], *words[i + 1 : i + 2]) if w.word]
    return not beside or any(len(word) == 1 for word in beside)


class Collage:
    """Batches of sentences, from a memory that every step adds to.

    The memory is in no checkpoint: a phase that is gone on with has to hear for a while again.
    """

    def __init__(self, sequences: Sequences, mix: dict[str, float], pool: Sequence[str], weight: float):
        self.sequences, self.mix, self.pool, self.weight = sequences, mix, pool, weight
        self.memory = Memory()
        self.frame_s = data.frame_times_s(sequences.ticks * FRAMES_PER_TICK + 1)

    def batch(self, step: int, count: int) -> Written | None:
        """So many sequences; None as long as too little was heard."""
        if len(self.memory) < LEAST_SEQUENCES:
            return None
        r = np.random.default_rng([self.sequences.seed, self.sequences.rank, step, 1])
        rows = [self._sequence(r) for _ in range(count)]
        return Written(*map(torch.stack, zip(*rows, strict=True)))

    def _sequence(self, r: np.random.Generator) -> tuple[torch.Tensor, ...]:
        s = self.sequences
        frames, words = self._spoken(r, s.ticks * FRAMES_PER_TICK)
        delay = s.delay(r)
        tokens, targets = data.written(words, s.ticks, delay, s.tokenizer)
        return frames, tokens, targets, torch.tensor(delay)

    def _spoken(self, r: np.random.Generator, count: int) -> tuple[torch.Tensor, list[tuple[str, float]]]:
        """Frames [count, dim] of sentences behind one another, and (word, end_s) of their words."""
        cuts = [self.memory.silence(r)]
        at, words = len(cuts[0]), []
        for word, cut in self._cuts(r):
            cuts.append(cut)
            at += len(cut)
            if at >= count:
                break
            if word:
                words.append((word, float(self.frame_s[at])))
        return torch.cat(cuts)[:count].float(), words

    def _cuts(self, r: np.random.Generator) -> Iterator[tuple[str, torch.Tensor]]:
        """Word for word, as much as is needed; "" is the pause behind a sentence, and silence is behind the last."""
        words = random.Random(int(r.integers(2**32)))
        for _ in range(MOST_SENTENCES):
            for sentence in self._known(r, texts.sample(words, self.mix, self.pool)[1].split()):
                place = None
                for word in [*sentence, ""]:
                    place = self.memory.find(r, word, place)
                    if place:
                        yield word, self.memory.cut(place)
        while True:
            yield "", self.memory.silence(r)

    def _known(self, r: np.random.Generator, sentence: list[str]) -> Iterator[list[str]]:
        """What can be said of a sentence. Letters that are spelled (capitals) cannot."""
        for known, words in itertools.groupby(sentence, lambda word: self.memory.find(r, word) is not None):
            words = list(words)
            if known and len(words) >= LEAST_WORDS:
                yield words
