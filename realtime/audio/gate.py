"""Samples of a stream → the parts in which somebody speaks.

Every 20 ms is voiced or not (the detector's opinion, if it stands out from the noise); hysteresis makes
speech of it. While the gate is closed it holds the pre-roll and the onset under consideration, and
passes them first when it opens: a word is whole although the detector was late. Positions are samples at
16 kHz from the first sample of the stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realtime.audio.held import Held
from realtime.audio.hysteresis import Hysteresis, State
from realtime.audio.loudness import Loudness
from realtime.audio.vad import SAMPLE_RATE_HZ, VAD_FRAME_BYTES, VAD_FRAME_SAMPLES, Vad
from realtime.events import GateOptions

SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
VAD_FRAME_MS = VAD_FRAME_SAMPLES // SAMPLES_PER_MS
FULL_SCALE = np.float32(32767)


@dataclass(frozen=True, slots=True)
class Opened:
    """Speech began at `at_sample`, by estimate. What is passed begins earlier, by the pre-roll at most."""

    at_sample: int


@dataclass(frozen=True, slots=True)
class Passed:
    """Audio for the model, float32 [n]. Between Opened and Closed each begins where the one before ended."""

    start_sample: int
    samples: np.ndarray


@dataclass(frozen=True, slots=True)
class Closed:
    """Speech ended at `at_sample`, by estimate. What was passed ends later, by the hangover at most."""

    at_sample: int


GateEvent = Opened | Passed | Closed


class Gate:
    """Passes speech. One per channel."""

    def __init__(self, options: GateOptions, start_sample: int = 0):
        self.heard_samples = start_sample
        self._vad = Vad(options.aggressiveness)
        self._loudness = Loudness()
        self._hysteresis = Hysteresis(_vad_frames(options.onset_ms), _vad_frames(options.hangover_ms))
        self._pre_roll_samples = options.pre_roll_ms * SAMPLES_PER_MS
        self._keep_samples = self._pre_roll_samples + (self._hysteresis.window_frames + 1) * VAD_FRAME_SAMPLES
        self._held = Held(start_sample)  # heard, neither passed nor given up
        self._rest = np.empty(0, np.float32)  # the beginning of a VAD frame
        self._judged_samples = start_sample  # heard_samples less _rest

    @property
    def is_open(self) -> bool:
        return self._hysteresis.is_open

    @property
    def state(self) -> State:
        return self._hysteresis.state

    def push(self, samples: np.ndarray) -> list[GateEvent]:
        """float32 [n] at 16 kHz within [-1, 1], kept and not copied → what follows from it, in order."""
        events: list[GateEvent] = []
        self.heard_samples += len(samples)
        self._held.append(samples)
        for voiced in self._judge(samples):
            self._judged_samples += VAD_FRAME_SAMPLES
            if self._hysteresis.step(voiced):
                (self._opened if self.is_open else self._closed)(events)
        if self.is_open:
            self._pass_until(self.heard_samples, events)
        else:
            self._held.trim(self.heard_samples - self._keep_samples)
        return events

    def flush(self) -> list[GateEvent]:
        """Pass what is under consideration and close. A later push goes on at the next sample."""
        events: list[GateEvent] = []
        if self.state is State.STARTING:
            self._opened(events)
            self._pass_until(self.heard_samples, events)
            events.append(Closed(self.heard_samples))
        elif self.is_open:
            self._pass_until(self.heard_samples, events)
            events.append(Closed(self.heard_samples if self.state is State.SPEAKING else self._speech_end))
        self._hysteresis.close()
        return events

    def forget(self) -> None:
        """Close, and pass nothing of what was heard so far."""
        self._held.drop_before(self.heard_samples)
        self._hysteresis.close()

    def hand_over(self) -> Passed:
        """After `flush`: the pre-roll, which a successor that starts there is to hear again."""
        self._held.drop_before(self.heard_samples - self._pre_roll_samples)
        return Passed(self._held.start, self._held.take_until(self.heard_samples))

    @property
    def _speech_end(self) -> int:
        return self._judged_samples - self._hysteresis.unvoiced_frames * VAD_FRAME_SAMPLES

    def _judge(self, samples: np.ndarray) -> list[bool]:
        """float32 [n] → one opinion for every VAD frame completed."""
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        n_frames = len(samples) // VAD_FRAME_SAMPLES
        whole = n_frames * VAD_FRAME_SAMPLES
        self._rest = samples[whole:].copy()
        frames = samples[:whole].reshape(n_frames, VAD_FRAME_SAMPLES)
        loud, gains = [], []
        for energy in np.vecdot(frames, frames).tolist():
            loud.append(self._loudness.stands_out(energy / VAD_FRAME_SAMPLES))
            gains.append(self._loudness.gain)
        pcm = _to_int16(frames, gains)
        # Every frame, loud or not: the detector adapts to what it hears.
        starts = range(0, len(pcm), VAD_FRAME_BYTES)
        voiced = [self._vad.is_voiced(pcm[at : at + VAD_FRAME_BYTES]) for at in starts]
        return [a and b for a, b in zip(loud, voiced, strict=True)]

    def _closed(self, events: list[GateEvent]) -> None:
        self._pass_until(self._judged_samples, events)
        events.append(Closed(self._speech_end))

    def _opened(self, events: list[GateEvent]) -> None:
        onset = self._judged_samples - self._hysteresis.onset_age_frames * VAD_FRAME_SAMPLES
        # Not before the end of what was passed last: nothing is heard twice.
        self._held.drop_before(onset - self._pre_roll_samples)
        events.append(Opened(max(onset, self._held.start)))

    def _pass_until(self, end: int, events: list[GateEvent]) -> None:
        start = self._held.start
        if start < end:
            events.append(Passed(start, self._held.take_until(end)))


class OpenGate:
    """The same interface for `vad=off`: everything is passed at once."""

    def __init__(self, start_sample: int = 0) -> None:
        self.heard_samples = start_sample
        self.is_open = False

    def push(self, samples: np.ndarray) -> list[GateEvent]:
        """float32 [n] → Passed; before it Opened, at the beginning of the stream and after a flush."""
        if not len(samples):
            return []
        start = self.heard_samples
        self.heard_samples += len(samples)
        opened = [] if self.is_open else [Opened(start)]
        self.is_open = True
        return [*opened, Passed(start, samples)]

    def flush(self) -> list[GateEvent]:
        """Closed, if anything was passed since the last flush."""
        was_open, self.is_open = self.is_open, False
        return [Closed(self.heard_samples)] if was_open else []

    def forget(self) -> None:
        """Close."""
        self.is_open = False

    def hand_over(self) -> Passed:
        """Nothing is held: a successor starts behind what was heard."""
        return Passed(self.heard_samples, np.empty(0, np.float32))


def gate(options: GateOptions, start_sample: int = 0) -> Gate | OpenGate:
    """The gate that `options` ask for; its first sample is `start_sample` of the stream."""
    return Gate(options, start_sample) if options.enabled else OpenGate(start_sample)


def _to_int16(frames: np.ndarray, gains: list[float]) -> bytes:
    """float32 [k, 320] and k gains of at least 1 → native int16."""
    if max(gains, default=1.0) == 1.0:
        return (frames * FULL_SCALE).astype(np.int16).tobytes()
    louder = frames * (np.array(gains, np.float32)[:, np.newaxis] * FULL_SCALE)
    np.minimum(louder, FULL_SCALE, out=louder)
    np.maximum(louder, -FULL_SCALE, out=louder)
    return louder.astype(np.int16).tobytes()


def _vad_frames(duration_ms: int) -> int:
    """Whole VAD frames that last at least `duration_ms`; at least one."""
    return max(1, -(-duration_ms // VAD_FRAME_MS))
