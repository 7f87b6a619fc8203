"""Tokens of one channel to its partials and finals, in stream time.

Decides what the text alone can decide: the longest utterance, the pause when there is no gate, and the warning when
there is speech without text. Everything else (silence, flush, end) is `conclude`, called from outside.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TypeVar

from realtime.events import (
    FRAME_MS,
    Event,
    Final,
    FinalReason,
    Partial,
    Piece,
    SessionOptions,
    Warning_,
    Word,
)
from realtime.text.confidence import Calibration
from realtime.text.tokenizer import Tekken
from realtime.text.transcript import Transcript
from realtime.text.words import LeaseWord, WordDecoder
from realtime.timeline import Timeline

# Without a gate a pause is known from the text alone, which comes at the end of a word: a long word is no pause.
LONGEST_WORD_MS = 800
# No word is estimated to begin longer than this before its text.
LOOK_BACK_MS = 30_000
ROUNDING_MS = 2

Caption = TypeVar("Caption", Partial, Final)


class Captions:
    """Appends to `events`. `timeline` is told by its owner what the leases hear."""

    def __init__(
        self,
        channel: int,
        options: SessionOptions,
        tekken: Tekken,
        calibration: Calibration,
        timeline: Timeline,
        no_text_frames: int,
        events: list[Event],
    ):
        """After `no_text_frames` steps of speech without text the client is warned."""
        self._channel = channel
        self._tekken, self._calibration, self._timeline = tekken, calibration, timeline
        self._events = events
        self._no_text_frames = no_text_frames
        self._transcript = Transcript(channel, options.max_utterance_ms)
        self._pieces: list[Piece] = []  # of the open utterance, if they are asked for
        self.configure(options)
        self.begin_lease()

    def configure(self, options: SessionOptions) -> None:
        """Only between two leases, and between two utterances."""
        self._interim = options.interim
        self._gated = options.gate.enabled
        self._logprobs = options.logprobs
        self._delay_tokens = options.delay_ms // FRAME_MS
        self._pause_frames = -(-(options.gate.hangover_ms + LONGEST_WORD_MS) // FRAME_MS)
        self._transcript.max_utterance_ms = options.max_utterance_ms

    @property
    def finals_with_text(self) -> int:
        return self._transcript.finals_with_text

    def begin_lease(self) -> None:
        """Steps count from 0 again."""
        self._words = WordDecoder(self._tekken, self._delay_tokens, self._calibration)
        self._step = -1  # the last that was read
        self._blanks = 0  # steps without text since the last text or the last closed utterance
        self.pads = 0  # steps without text or marker in a row

    def read(self, step: int, token: int, logprob: float, *, draining: bool) -> None:
        """The token of the next step. `draining`: its frame is silence that brings text out; nobody paused there."""
        self._step = step
        if self._transcript.is_overdue(self._stream_ms(self._written_ms)) and self._words.at_border(token):
            self._settle(self._words.cut())
            self._finish("length", 0)
        text, settled = self._words.push(step, token, logprob)
        if self._logprobs and step > self._delay_tokens and self._words.is_written:
            self._note_piece(token, logprob)
        self._settle(settled)
        self._grow(text)
        writes = bool(self._tekken.piece(token)) or token == self._tekken.word_id
        self.pads = 0 if writes else self.pads + 1
        if text or token == self._tekken.word_id or step <= self._delay_tokens:
            self._blanks = 0
        elif not draining:
            self._count_blank()
        if len(self._timeline) > 1:
            self._timeline.forget(min(self._words.unsettled_ms, self._written_ms) - LOOK_BACK_MS)

    def conclude(self, reason: FinalReason, at_ms: int, *, only_text: bool = False) -> None:
        """All text of the utterance was read. If there was none the final says so, of stream time `at_ms`; with
        `only_text` there is no final then.
        """
        text, settled = self._words.finish()
        self._grow(text)
        self._settle(settled)
        if self._transcript or not only_text:
            self._finish(reason, at_ms)
        self._blanks = 0

    def forget(self) -> None:
        """Drop the open utterance, what is written of its next word included. A new lease must follow."""
        self._words.finish()
        self._transcript.forget()
        self._pieces.clear()
        self._blanks = 0

    @property
    def _written_ms(self) -> int:
        """The lease time that the last step wrote about."""
        return (self._step - self._delay_tokens) * FRAME_MS

    def _count_blank(self) -> None:
        self._blanks += 1
        if self._gated and self._blanks == self._no_text_frames:
            self._warn_no_text()
        elif not self._gated and self._transcript and self._blanks == self._pause_frames:
            self.conclude("silence", 0)

    def _grow(self, text: str) -> None:
        if text:
            written_ms = self._written_ms
            start_ms, _ = self._word_ms(min(self._words.unsettled_ms, written_ms), written_ms)
            partial = self._transcript.grow(text, start_ms, self._stream_ms(self._step * FRAME_MS))
            if partial and self._interim:
                self._events.append(self._with_pieces(partial))

    def _settle(self, words: list[LeaseWord]) -> None:
        self._transcript.settle(
            Word(word.text, *self._word_ms(word.start_ms, word.end_ms), word.confidence) for word in words
        )

    def _finish(self, reason: FinalReason, at_ms: int) -> None:
        self._events.append(self._with_pieces(self._transcript.finish(reason, at_ms)))
        self._pieces.clear()

    def _note_piece(self, token: int, logprob: float) -> None:
        text = self._tekken.piece(token)
        if not self._pieces:
            text = text.lstrip()  # as the text of an utterance
        if text:
            self._pieces.append(Piece(text, logprob))

    def _with_pieces(self, caption: Caption) -> Caption:
        return replace(caption, pieces=tuple(self._pieces)) if self._logprobs else caption

    def _warn_no_text(self) -> None:
        from_ms = self._stream_ms(self._written_ms - self._blanks * FRAME_MS)
        to_ms = self._stream_ms(self._written_ms)
        message = "Somebody seems to speak, but the model has written nothing for some time."
        self._events.append(Warning_("no_text", message, from_ms, to_ms, self._channel))

    def _stream_ms(self, lease_ms: float) -> int:
        return self._timeline.lease_to_stream_ms(lease_ms)

    def _word_ms(self, start_ms: float, end_ms: float) -> tuple[int, int]:
        """Stream time of a word. Its start, an estimate, must not reach back over audio that was left out."""
        end = self._stream_ms(end_ms)

        def alike(ms: float) -> bool:
            """Whether lease and stream run alike from here to the end: nothing was left out."""
            return end - self._stream_ms(ms) <= end_ms - ms + ROUNDING_MS

        if not alike(start_ms):
            moments = range(round(start_ms), round(end_ms))
            start_ms = round(start_ms) + bisect_left(moments, True, key=alike)
        return self._stream_ms(start_ms), end
