"""Recordings above 48 kHz come into the server's range by a whole factor: low-pass, then every nth sample."""

from __future__ import annotations

import numpy as np

TAPS_PER_FACTOR = 32


class Decimator:
    """float32 [n, channels] to float32 [n / factor, channels]; any chunking gives the same samples."""

    def __init__(self, factor: int, channels: int):
        self.factor = factor
        self._taps = _low_pass(factor)
        half = len(self._taps) // 2
        self._pending = np.zeros((half, channels), np.float32)
        self._half = half

    def push(self, samples: np.ndarray) -> np.ndarray:
        self._pending = np.concatenate([self._pending, samples.astype(np.float32)])
        n_out = max(0, (len(self._pending) - len(self._taps)) // self.factor + 1)
        if n_out == 0:
            return self._pending[:0]
        windows = np.lib.stride_tricks.sliding_window_view(self._pending, len(self._taps), axis=0)
        out = windows[:: self.factor][:n_out] @ self._taps
        self._pending = self._pending[n_out * self.factor :]
        return out

    def flush(self) -> np.ndarray:
        """The samples that still wait for the filter's look-ahead."""
        return self.push(np.zeros((self._half, self._pending.shape[1]), np.float32))


def _low_pass(factor: int) -> np.ndarray:
    """Windowed sinc, cut at 0.9 of the new Nyquist, gain 1: float32 [TAPS_PER_FACTOR * factor + 1]."""
    n = TAPS_PER_FACTOR * factor
    t = (np.arange(n + 1) - n / 2) / factor
    taps = np.sinc(0.9 * t) * np.kaiser(n + 1, 8.0)
    return (taps / taps.sum()).astype(np.float32)
