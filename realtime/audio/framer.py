"""float32 samples at 16 kHz → exact frames of 80 ms on the grid of the model.

The mel windows of a step look 40 samples ahead, so the grid is shifted by 40: the first frame of a lease
is 1240 zeros and the first 40 samples, frame n covers lease samples [1280 (n - 1) + 40, 1280 n + 40).
"""

from __future__ import annotations

import numpy as np

FRAME_SAMPLES = 1280
LOOK_AHEAD_SAMPLES = 40
HEAD_SAMPLES = FRAME_SAMPLES - LOOK_AHEAD_SAMPLES  # zeros before the first sample


class Framer:
    """Cuts the audio of one lease. Make a new one for every lease."""

    def __init__(self) -> None:
        self.frames = 0  # given out
        self._rest = np.zeros(HEAD_SAMPLES, np.float32)  # always shorter than a frame

    def push(self, samples: np.ndarray) -> list[np.ndarray]:
        """float32 [n] → the frames that became complete, each float32 [1280], read-only by agreement."""
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        whole = len(samples) // FRAME_SAMPLES
        end = whole * FRAME_SAMPLES
        # A copy, so that a remainder of a few samples does not keep the whole chunk alive.
        self._rest = samples[end:].copy() if whole else samples
        self.frames += whole
        return list(samples[:end].reshape(whole, FRAME_SAMPLES))

    @property
    def lease_samples(self) -> int:
        """Samples that entered so far, audio and silence: where the next one stands in the lease."""
        return self.frames * FRAME_SAMPLES + len(self._rest) - HEAD_SAMPLES

    def pad(self) -> list[np.ndarray]:
        """Zeros up to the end of the frame that has begun: that frame, or nothing at the end of one."""
        missing = -len(self._rest) % FRAME_SAMPLES
        return self.push(np.zeros(missing, np.float32)) if missing else []

    def silence(self, n_frames: int) -> list[np.ndarray]:
        """`n_frames` more frames of zeros; the grid is kept."""
        return self.push(np.zeros(n_frames * FRAME_SAMPLES, np.float32))
