"""Voiced or not, frame by frame → is this speech? Four states, so that neither a click nor a pause decides.

quiet ⇄ starting ── onset ──► speaking ⇄ stopping ── hangover ──► quiet
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    QUIET = "quiet"
    STARTING = "starting"  # voiced frames, not enough of them yet
    SPEAKING = "speaking"
    STOPPING = "stopping"  # unvoiced frames, not enough of them yet


class Hysteresis:
    """Opens when `onset_frames` of the last 2 * onset_frames - 1 are voiced, closes after a hangover without.

    The window, unlike a run, forgives the weak frame between a plosive and its vowel.
    """

    def __init__(self, onset_frames: int, hangover_frames: int):
        if onset_frames < 1 or hangover_frames < 1:
            raise ValueError("Onset and hangover are at least one frame.")
        self.is_open = False
        self.window_frames = 2 * onset_frames - 1
        self.unvoiced_frames = 0  # since the last voiced one, while open and right after closing
        self._onset_frames = onset_frames
        self._hangover_frames = hangover_frames
        self._window = 0  # while closed and right after opening: a bit a frame, the latest lowest
        self._window_mask = (1 << self.window_frames) - 1

    @property
    def state(self) -> State:
        if self.is_open:
            return State.STOPPING if self.unvoiced_frames else State.SPEAKING
        return State.STARTING if self._window else State.QUIET

    @property
    def onset_age_frames(self) -> int:
        """While starting and right after opening: frames from the first voiced one of the window to now."""
        return self._window.bit_length()

    def step(self, voiced: bool) -> bool:
        """Take the next frame into account; return whether this opened or closed."""
        if self.is_open:
            self.unvoiced_frames = 0 if voiced else self.unvoiced_frames + 1
            if self.unvoiced_frames < self._hangover_frames:
                return False
            self.close()
            return True
        self._window = (self._window << 1 | voiced) & self._window_mask
        if self._window.bit_count() < self._onset_frames:
            return False
        self.is_open, self.unvoiced_frames = True, 0
        return True

    def close(self) -> None:
        """Back to quiet, whatever was heard."""
        self.is_open, self._window = False, 0
