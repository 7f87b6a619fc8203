"""What was said since it was last summed up: for wire formats that know deltas and a sum, but no utterances."""

from __future__ import annotations

from collections import deque

# A sum goes out as one message, and most clients take no more than 1 MiB: beyond hours of speech it holds the latest.
MAX_CHARS = 200_000


class RunningText:
    """Utterances become one text, a space between them. Deltas since a `take` concatenate to the next `take`."""

    def __init__(self) -> None:
        self._utterances: deque[str] = deque()  # closed since the last `take`
        self._chars = 0  # in them
        self._told_chars = 0  # of the open utterance

    def grow(self, text: str) -> str:
        """`text` is the whole open utterance so far → what of it is new to the client, which may be nothing."""
        new = text[self._told_chars :]
        begins = bool(new) and not self._told_chars and bool(self._utterances)
        self._told_chars = len(text)
        return " " + new if begins else new

    def close(self, text: str) -> str:
        """Like `grow`, with the final text of the utterance."""
        new = self.grow(text)
        self._told_chars = 0
        if text:
            self._utterances.append(text)
            self._chars += len(text)
            while self._chars > MAX_CHARS:
                self._chars -= len(self._utterances.popleft())
        return new

    def take(self) -> str:
        """The utterances closed since the last call."""
        text = " ".join(self._utterances)
        self._utterances.clear()
        self._chars = 0
        return text
