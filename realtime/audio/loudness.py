"""Power of 20 ms frames → does it stand out from the noise, and how much louder should the detector hear it?

webrtcvad calls steady noise speech for minutes on end: a gate that listens to it alone never closes beside
a fan. The noise is taken to be the quietest moment of the last seconds. Speech has one between its words;
a fan has nothing else. And webrtcvad has absolute levels built in: it misses words of a quiet microphone,
so quiet sound is raised by the loudest moment of the same seconds. docs/decisions/gate.md has the figures.
"""

from __future__ import annotations

import math
from collections import deque

MARGIN = 2.5  # times the power of the noise, smoothed: 4 dB
FRAME_MARGIN = 1.6  # the same for a single frame: 2 dB
SMOOTH_FRAMES = 4  # 80 ms: the power of noise varies less over longer times, and a syllable lasts longer
BLOCK_FRAMES = 16
BLOCKS = 12  # 16 * 12 * 20 ms: changes are followed within 3.8 s
LEAST_POWER = 1e-9  # -90 dBFS, the noise before anything was heard: speech that opens the stream stands out
LOUD_RMS = 0.05  # -26 dBFS, what quiet sound is raised to
MAX_GAIN = 32.0


class Loudness:
    """Follows one stream. Powers are mean squares, full scale is 1."""

    def __init__(self) -> None:
        self.gain = 1.0  # for the detector, 1..MAX_GAIN
        self._recent: deque[float] = deque(maxlen=SMOOTH_FRAMES)
        self._minima: deque[float] = deque([LEAST_POWER], maxlen=BLOCKS)
        self._maxima: deque[float] = deque([LEAST_POWER], maxlen=BLOCKS)
        self._floor = LEAST_POWER  # the least of _minima and of the block so far
        self._peak = LEAST_POWER  # the greatest of _maxima and of the block so far
        self._begin_block()

    def stands_out(self, power: float) -> bool:
        """Whether this frame, and the 80 ms that end with it, are louder than the noise. Updates `gain`."""
        self._recent.append(power)
        smooth = sum(self._recent) / len(self._recent)
        if smooth < self._block_minimum:
            self._block_minimum = smooth
            self._floor = max(LEAST_POWER, min(self._floor, smooth))
        if smooth > self._block_maximum:
            self._block_maximum = smooth
            self._set_peak(max(self._peak, smooth))
        self._block_frames += 1
        if self._block_frames == BLOCK_FRAMES:
            self._end_block()
        # Smoothing alone would make 80 ms of a click.
        return smooth > MARGIN * self._floor and power > FRAME_MARGIN * self._floor

    def _begin_block(self) -> None:
        self._block_frames = 0
        self._block_minimum = math.inf
        self._block_maximum = 0.0

    def _end_block(self) -> None:
        self._minima.append(self._block_minimum)
        self._maxima.append(self._block_maximum)
        self._floor = max(LEAST_POWER, min(self._minima))
        self._set_peak(max(LEAST_POWER, max(self._maxima)))
        self._begin_block()

    def _set_peak(self, peak: float) -> None:
        self._peak = peak
        self.gain = min(MAX_GAIN, max(1.0, LOUD_RMS / math.sqrt(peak)))
