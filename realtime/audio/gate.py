"""Samples of a stream → the parts where somebody speaks.

Every 20 ms is voiced or not; four states make speech of it (hysteresis): quiet → starting → speaking ⇄ stopping → quiet.
While quiet the last `pre_roll_ms` and the onset under consideration are held; opening passes them first, so that a word is
whole although the detector was late. Positions are samples at 16 kHz from the first sample of the stream.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from realtime.audio.vad import SAMPLE_RATE_HZ, VAD_FRAME_BYTES, VAD_FRAME_SAMPLES, Vad
from realtime.events import GateOptions


@dataclass(frozen=True, slots=True)
class Opened:
    """Speech began at `at_sample`, by estimate; what is passed begins up to the pre-roll earlier."""

    at_sample: int


@dataclass(frozen=True, slots=True)
class Passed:
    """Audio for the model, float32 [n]. Within an utterance each begins where the one before ended."""

    start_sample: int
    samples: np.ndarray


@dataclass(frozen=True, slots=True)
class Closed:
    """Speech ended at `at_sample`, by estimate; what was passed ends up to the hangover later."""

    at_sample: int


GateEvent = Opened | Passed | Closed


class State(Enum):
    QUIET = "quiet"
    STARTING = "starting"  # voiced frames, not enough of them yet
    SPEAKING = "speaking"
    STOPPING = "stopping"  # unvoiced frames, not enough of them yet
