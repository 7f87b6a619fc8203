"""Words of one channel to utterances: partials that only grow, finals that lose and double nothing.

An utterance is what lies between two finals. It begins with its first text; without text there is no
utterance and no number, except that a `flush` is always answered. A final without text tells that speech was
expected and none was found.
"""

from __future__ import annotations

from collections.abc import Iterable

from realtime.events import Final, FinalReason, Partial, Word


class Transcript:
    """One channel's text. Times are milliseconds of stream time."""

    def __init__(self, channel: int, max_utterance_ms: int):
        self.utterance = 0  # the number of the open utterance, or of the next
        self.finals_with_text = 0
        self.max_utterance_ms = max_utterance_ms
        self._channel = channel
        self._text: list[str] = []
        self._words: list[Word] = []
        self._start_ms = 0

    def __bool__(self) -> bool:
        """Whether an utterance is open."""
        return bool(self._text)

    def is_overdue(self, heard_ms: int) -> bool:
        """Whether the open utterance has reached its longest: cut it before the next word."""
        return bool(self._text) and heard_ms - self._start_ms >= self.max_utterance_ms

    def grow(self, text: str, start_ms: int, audio_ms: int) -> Partial | None:
        """Add text as it was written, with the white space in front. `start_ms` counts if it opens the
        utterance.
        """
        if not self._text:
            text = text.lstrip()
            self._start_ms = start_ms
        if not text:
            return None
        self._text.append(text)
        return Partial(self.utterance, "".join(self._text), text, self._start_ms, audio_ms, self._channel)

    def settle(self, words: Iterable[Word]) -> None:
        """Add words whose times are settled; their text has come through `grow`."""
        self._words += words

    def forget(self) -> None:
        """Drop the open utterance. Its number was told with its partials, so the next one has another."""
        self.utterance += bool(self._text)
        self._text, self._words = [], []

    def finish(self, reason: FinalReason, at_ms: int) -> Final:
        """Close the utterance. Without text the final is empty, at `at_ms`, and has a number only if a flush asked."""
        words = tuple(self._words)
        start_ms = words[0].start_ms if words else at_ms
        end_ms = words[-1].end_ms if words else at_ms
        final = Final(self.utterance, "".join(self._text), words, start_ms, end_ms, reason, self._channel)
        self.finals_with_text += bool(words)
        self.utterance += bool(self._text) or reason == "flush"
        self._text, self._words = [], []
        return final
