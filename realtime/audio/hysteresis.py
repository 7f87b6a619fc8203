"""Voiced or not, frame by frame → is this speech? Four states, so that neither a click nor a pause decides."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    QUIET = "quiet"
    STARTING = "starting"  # voiced frames, not enough of them yet
    SPEAKING = "speaking"
    STOPPING = "stopping"  # unvoiced frames, not enough of them yet


class Hysteresis:
    """Opens when `onset_frames` of the last 2 * onset_frames - 1 are voiced, closes after `hangover_frames` without.

    The window, unlike a run, forgives the weak frame between a plosive and its vowel.
    """

    def __init__(self, onset_frames: int, hangover_frames: int):
        if onset_frames < 1 or hangover_frames < 1:
            raise ValueError("Onset and hangover are at least one frame.")
        self.state = State.QUIET
        self.window_frames = 2 * onset_frames - 1
        self._onset_frames = onset_frames
        self._hangover_frames = hangover_frames
        self._window = 0  # while closed: a bit a frame, the latest lowest
        self.unvoiced_frames = 0  # since the last voiced frame, while open and right after closing

    @property
    def is_open(self) -> bool:
        return self.state is State.SPEAKING or self.state is State.STOPPING

    @property
    def onset_age_frames(self) -> int:
        """While starting, and right after opening: frames from the first voiced one of the window to now."""
        return self._window.bit_length()

    def step(self, voiced: bool) -> State:
        """Take the next frame into account."""
        if self.is_open:
            self._step_open(voiced)
        else:
            self._step_closed(voiced)
        return self.state

    def close(self) -> None:
        """Back to quiet, whatever was heard."""
        self.state = State.QUIET
        self._window = 0

    def _step_closed(self, voiced: bool) -> None:
        self._window = (self._window << 1 | voiced) & ((1 << self.window_frames) - 1)
        if self._window.bit_count() >= self._onset_frames:
            self.state = State.SPEAKING
            self.unvoiced_frames = 0
        else:
            self.state = State.STARTING if self._window else State.QUIET

    def _step_open(self, voiced: bool) -> None:
        self.unvoiced_frames = 0 if voiced else self.unvoiced_frames + 1
        if self.unvoiced_frames >= self._hangover_frames:
            self.close()
        else:
            self.state = State.SPEAKING if voiced else State.STOPPING
