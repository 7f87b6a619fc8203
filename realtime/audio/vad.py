"""20 ms of 16-bit audio → voiced or not. The only module that knows webrtcvad."""

from __future__ import annotations

import webrtcvad

SAMPLE_RATE_HZ = 16_000
# webrtcvad takes 10, 20 or 30 ms. 20 divides the 80 ms frame, and costs two thirds of 10 a second of audio.
VAD_FRAME_SAMPLES = 320
VAD_FRAME_BYTES = 2 * VAD_FRAME_SAMPLES


class Vad:
    """One stream's detector; it adapts to its noise. `aggressiveness` 0..3: higher rejects more."""

    def __init__(self, aggressiveness: int):
        if aggressiveness not in range(4):
            raise ValueError(f"aggressiveness is 0, 1, 2 or 3; got {aggressiveness!r}.")
        self._vad = webrtcvad.Vad(aggressiveness)

    def is_voiced(self, pcm: bytes) -> bool:
        """Whether the next frame, 320 samples of native int16 as 640 bytes, sounds like speech."""
        return self._vad.is_speech(pcm, SAMPLE_RATE_HZ, VAD_FRAME_SAMPLES)
