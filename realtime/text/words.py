"""Tokens of one lease, step by step, to text and words with times and confidences.

A word begins at white space, or at the first text behind a [WORD] marker (languages without spaces).
Several words may follow one marker; text behind a blank without a marker goes on with the word before it,
as late punctuation does.

Times are lease time, from 0 at the first sample of the lease. Only ends can be observed: a marker at step n
says that the last word of its group ended in [(n-D-1)*80, (n-D)*80) ms; the middle of that frame is taken.
Text without a marker says the same one frame earlier. Starts, and the ends of the other words of a group,
are estimates: the words of a group share the time since the group before, each at most as much as
`spoken_ms` thinks it takes.

The score of a word is the product of the probabilities of its pieces: how likely the model found it, whole. Neither the
marker counts nor a piece of nothing but punctuation, of which no word is wrong. The checkpoint's calibration makes a
confidence of it, and says which words are not written at all. Those take their share of the time all the same.
"""

from __future__ import annotations

import codecs
import math
import re
import unicodedata
from dataclasses import dataclass, field

from realtime.events import FRAME_MS
from realtime.text.confidence import IDENTITY, Calibration
from realtime.text.tokenizer import Tekken

LONGEST_WORD_CHARS = 200  # a model that writes on without a border gets one: nothing grows without bound
LONGEST_GROUP_STEPS = 12  # words further from their marker than this cannot have ended in its frame
RUNS = re.compile(r"\s+|\S+")


@dataclass(frozen=True, slots=True)
class LeaseWord:
    """One word; times in milliseconds of lease time."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float  # 0..1


@dataclass(slots=True)
class _Open:
    """A word of the group that is being written."""

    is_written: bool = True
    text: str = ""
    spoken_ms: float = 0.0
    logprobs: list[float] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)  # log probabilities of punctuation

    def extend(self, text: str, logprobs: list[float]) -> None:
        self.text += text
        (self.marks if _is_punctuation(text) else self.logprobs).extend(logprobs)
        self.spoken_ms = spoken_ms(self.text)

    @property
    def score(self) -> float:
        return math.exp(min(0.0, math.fsum(self.logprobs or self.marks)))


class WordDecoder:
    """Decodes one lease. The first `delay_tokens + 1` steps are prompt and say nothing."""

    def __init__(self, tekken: Tekken, delay_tokens: int, calibration: Calibration = IDENTITY):
        self._tekken = tekken
        self._delay = delay_tokens
        self._calibration = calibration
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._logprobs: list[float] = []  # of tokens whose characters are not complete yet
        self._first_step = 0  # the step of the first of them
        self._continues = False  # whether the step before that wrote text, too
        self._group: list[_Open] = []  # written words whose times are not settled; the last may still grow
        self._group_end_ms = 0.0
        self._group_step = 0  # where the group began
        self._settled_ms = 0.0  # the end of the last word given out
        self._space = False  # white space waits for the word behind it
        self._marked = False  # a marker waits for the text behind it
        self._marked_step: int | None = None  # its step, while nothing but the marker lies between
        self._writing = False  # the last step wrote text
        doubt = calibration.unwritten_below
        self._least_logprob = math.log(doubt) if doubt else -math.inf  # of the first piece of a word

    def push(self, step: int, token: int, logprob: float) -> tuple[str, list[LeaseWord]]:
        """Take the token of step `step`. Returns the text it adds, white space in front included, and
        settled words.
        """
        if step <= self._delay:
            return "", []
        if token == self._tekken.word_id:
            self._marked, self._marked_step, self._writing = True, step, False
            return "", []
        piece = self._tekken.piece(token)
        if not piece:
            self._marked_step, self._writing = None, False
            return "", []
        if not self._logprobs:
            self._first_step, self._continues = step, self._writing
        self._logprobs.append(logprob)
        written = self._write(self._utf8.decode(piece))
        self._writing = True
        return written

    def at_border(self, token: int) -> bool:
        """Whether what was written so far is whole words if `token` comes next: here an utterance may be
        cut.
        """
        if self._logprobs:
            return False
        piece = self._tekken.piece(token)
        if not piece or self._marked or not self._group:
            return True
        return piece[:1].isspace() or len(self._group[-1].text) >= LONGEST_WORD_CHARS

    def cut(self) -> list[LeaseWord]:
        """Settle all words written so far. Only at a border; the group goes on behind it with the same end."""
        return self._settle()

    def finish(self) -> tuple[str, list[LeaseWord]]:
        """Nothing follows that belongs to what was written: the text of a character left incomplete, and all
        words.
        """
        text, words = self._write(self._utf8.decode(b"", final=True))
        self._utf8.reset()
        self._logprobs.clear()
        self._space = self._marked = self._writing = False
        self._marked_step = None
        return text, words + self._settle()

    @property
    def is_written(self) -> bool:
        """Whether the word of the last piece is one that is written."""
        return not self._group or self._group[-1].is_written

    @property
    def unsettled_ms(self) -> float:
        """The start of the first word whose times are not settled, by what is known now; infinity without any."""
        if not self._group:
            return math.inf
        spoken = sum(word.spoken_ms for word in self._group)
        return max(self._settled_ms, self._group_end_ms - spoken)

    def _write(self, text: str) -> tuple[str, list[LeaseWord]]:
        added, words = "", []
        for run in RUNS.findall(text):
            if run.isspace():
                self._space = True
                continue
            if self._begins_word(run):
                words += self._begin()
                self._group[-1].is_written = math.fsum(self._logprobs) >= self._least_logprob
                added += " " if self._space and self.is_written else ""
            added += run if self.is_written else ""
            self._group[-1].extend(run, self._logprobs)
            self._space = self._marked = False
            self._marked_step, self._continues = None, True
        if text:
            self._logprobs.clear()
        return added, words

    def _begins_word(self, run: str) -> bool:
        if self._space or not self._group or len(self._group[-1].text) >= LONGEST_WORD_CHARS:
            return True
        return self._marked and not _clings(run)

    def _begin(self) -> list[LeaseWord]:
        """Open a word; settle the group before it if it opens a new one."""
        words = []
        if self._marked or not self._continues or self._first_step - self._group_step > LONGEST_GROUP_STEPS:
            words = self._settle()
            step = self._first_step - 1 if self._marked_step is None else self._marked_step
            self._group_step = step
            self._group_end_ms = max(self._settled_ms, (step - self._delay - 0.5) * FRAME_MS)
        self._group.append(_Open())
        return words

    def _settle(self) -> list[LeaseWord]:
        """Share the time between the group before and the end of this one among its words."""
        spoken = [word.spoken_ms for word in self._group]
        total = sum(spoken) or 1.0
        share = min(1.0, (self._group_end_ms - self._settled_ms) / total)
        words, end = [], self._group_end_ms - share * sum(spoken)
        for word, duration in zip(self._group, spoken, strict=True):
            start, end = end, end + share * duration
            if not word.is_written:
                continue
            confidence = round(self._calibration.probability(word.score), 4)
            words.append(LeaseWord(word.text, round(start), round(end), confidence))
        if self._group:
            self._settled_ms = self._group_end_ms
            self._group = []
        return words


def spoken_ms(text: str) -> float:
    """About how long a word takes to say: for the start, which the model does not tell."""
    return min(1500.0, 120.0 + sum(map(_character_ms, text)))


def _character_ms(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF" or character.isdigit():
        return 200.0  # a syllable or more
    return 70.0 if character.isalpha() else 0.0


def _is_punctuation(text: str) -> bool:
    return all(unicodedata.category(character)[0] == "P" for character in text)


def _clings(run: str) -> bool:
    """Whether text right behind a marker belongs to the word before it: punctuation that does not open
    anything.
    """
    if run[0] in "'’":
        return True
    opens = unicodedata.category(run[0]) in ("Ps", "Pi") or run[0] in "¿¡"
    return not opens and not any(map(str.isalnum, run))
