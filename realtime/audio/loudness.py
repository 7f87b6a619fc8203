"""Power of 20 ms frames → does it stand out from the noise?

webrtcvad calls steady noise speech for minutes on end: a gate that listens to it alone never closes
beside a fan. The noise is taken to be the quietest moment of the last seconds. Speech has one between
its words; a fan has nothing else.
"""

from __future__ import annotations

from collections import deque

MARGIN = 2.5  # times the power of the noise: 4 dB
SMOOTH_FRAMES = 4  # 80 ms: the power of noise varies less over longer times, and a syllable lasts longer
BLOCK_FRAMES = 16
BLOCKS = 12  # 16 * 12 * 20 ms: the noise is followed upwards within 3.8 s
LEAST_POWER = 1e-9  # -90 dBFS, the noise before anything was heard: speech that opens the stream stands out


class Loudness:
    """Follows one stream. Powers are mean squares, full scale is 1."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=SMOOTH_FRAMES)
        self._minima: deque[float] = deque([LEAST_POWER], maxlen=BLOCKS)
        self._block_frames = 0
        self._block_minimum = float("inf")
        self._floor = LEAST_POWER  # the least of _minima and of the block so far

    def stands_out(self, power: float) -> bool:
        """Whether the 80 ms that end with this frame are louder than the noise."""
        self._recent.append(power)
        smooth = sum(self._recent) / len(self._recent)
        if smooth < self._block_minimum:
            self._block_minimum = smooth
            self._floor = max(LEAST_POWER, min(self._floor, smooth))
        self._block_frames += 1
        if self._block_frames == BLOCK_FRAMES:
            self._end_block()
        return smooth > MARGIN * self._floor

    def _end_block(self) -> None:
        self._minima.append(self._block_minimum)
        self._floor = max(LEAST_POWER, min(self._minima))
        self._block_frames = 0
        self._block_minimum = float("inf")
