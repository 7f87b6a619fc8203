"""float32 at the client's rate → float32 at 16 kHz, streaming.

Any chunking gives the samples of one chunk; a whole stream of n gives n * to_hz / from_hz, halves rounded up.
soxr works in blocks: what was pushed comes out up to 115 ms later at 8 kHz, 40 ms at 44.1 or 48 kHz
(docs/decisions/resampling.md has the table); `flush` gives the rest at once.
"""

from __future__ import annotations

import numpy as np
import soxr

SAMPLE_RATE_HZ = 16_000


class Resampler:
    """soxr at high quality, linear phase, one channel: every sample keeps its time."""

    def __init__(self, from_hz: int, to_hz: int = SAMPLE_RATE_HZ):
        self._from_hz, self._to_hz = from_hz, to_hz
        self._taken = self._given = 0  # samples, of all streams since the first
        self._stream = soxr.ResampleStream(from_hz, to_hz, num_channels=1, dtype="float32", quality="HQ")

    def push(self, samples: np.ndarray) -> np.ndarray:
        """float32 [n] → float32 [m], what is ready now; within [-1, 1]."""
        ready = self._clipped(self._stream.resample_chunk(samples))
        self._taken += len(samples)
        self._given += len(ready)
        return ready

    def flush(self) -> np.ndarray:
        """The samples still inside, float32 [m]. The next push starts a new stream, at its exact time."""
        tail = self._clipped(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
        self._stream.clear()
        # Every stream rounds its length: without this a client that flushes often would drift away from its clock.
        due = (2 * self._taken * self._to_hz + self._from_hz) // (2 * self._from_hz) - self._given
        if due > len(tail):
            tail = np.append(tail, np.zeros(due - len(tail), np.float32))
        self._given += due
        return tail[:due]

    @staticmethod
    def _clipped(samples: np.ndarray) -> np.ndarray:
        # Band limiting overshoots at full scale, and the gate counts on int16 that does not wrap.
        return np.clip(samples, -1.0, 1.0, out=samples)


class Identity:
    """The same interface for audio that is at the right rate already."""

    def push(self, samples: np.ndarray) -> np.ndarray:
        return samples

    def flush(self) -> np.ndarray:
        return np.empty(0, np.float32)


def resampler(from_hz: int, to_hz: int = SAMPLE_RATE_HZ) -> Resampler | Identity:
    """What brings `from_hz` to `to_hz`."""
    return Identity() if from_hz == to_hz else Resampler(from_hz, to_hz)
