from __future__ import annotations

import numpy as np
import pytest

from realtime.audio.vad import VAD_FRAME_BYTES, Vad
from tests.audio.synthetic import silence, speech


def share_voiced(samples: np.ndarray, aggressiveness: int) -> float:
    vad = Vad(aggressiveness)
    pcm = (samples * 32767).astype(np.int16).tobytes()
    frames = [pcm[at : at + VAD_FRAME_BYTES] for at in range(0, len(pcm), VAD_FRAME_BYTES)]
    return sum(vad.is_voiced(frame) for frame in frames) / len(frames)


@pytest.mark.parametrize("aggressiveness", range(4))
def test_tells_speech_from_silence(aggressiveness):
    """Syllables fill four fifths. Also shows that the computed speech of these tests is speech to the detector."""
    assert share_voiced(speech(2.0), aggressiveness) > 0.7
    assert share_voiced(silence(2.0), aggressiveness) == 0.0


@pytest.mark.parametrize("aggressiveness", [-1, 4])
def test_there_are_four_degrees(aggressiveness):
    with pytest.raises(ValueError, match="0, 1, 2 or 3"):
        Vad(aggressiveness)
