"""Samples that wait for a decision, by their position in the stream."""

from __future__ import annotations

from collections import deque

import numpy as np

SPARE_SAMPLES = 16_000
CRUMB_SAMPLES = 320  # below it an array takes much more memory than its samples


class Held:
    """A queue of float32 samples without holes: `start` is the position of the first."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self._chunks: deque[np.ndarray] = deque()

    def append(self, samples: np.ndarray) -> None:
        """float32 [n]; kept, and not copied unless it joins a crumb."""
        if self._chunks and len(self._chunks[-1]) < CRUMB_SAMPLES:
            samples = np.concatenate((self._chunks.pop(), samples))
        if len(samples):
            self._chunks.append(samples)

    def take_until(self, end: int) -> np.ndarray:
        """Remove and return the samples before position `end`, all appended before: float32 [m]."""
        if self._chunks and len(self._chunks[0]) == end - self.start:
            self.start = end
            return (
                self._chunks.popleft()
            )  # the case of every chunk in the middle of speech: nothing is copied
        parts = []
        while self.start < end:
            parts.append(self._take_from_first(end - self.start))
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def drop_before(self, position: int) -> None:
        """Forget the samples before `position`."""
        while self._chunks and self.start < position:
            self._take_from_first(position - self.start)

    def trim(self, position: int) -> None:
        """Forget about as much as `drop_before`, at less cost: at most a second stays in addition."""
        while self._chunks and self.start + len(self._chunks[0]) <= position:
            self.start += len(self._chunks.popleft())
        if self._chunks and position - self.start > SPARE_SAMPLES:
            self.drop_before(position)
            self._chunks[0] = self._chunks[0].copy()  # lets go of a chunk of any size

    def _take_from_first(self, n_samples: int) -> np.ndarray:
        first = self._chunks[0]
        if len(first) <= n_samples:
            self._chunks.popleft()
        else:
            self._chunks[0] = first[n_samples:]
            first = first[:n_samples]
        self.start += len(first)
        return first
