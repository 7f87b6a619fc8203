from __future__ import annotations

import numpy as np
import pytest

from realtime.audio.framer import Framer
from tests.audio.chunking import cuts, ways_to_cut


def ramp(n: int) -> np.ndarray:
    return np.arange(1, n + 1, dtype=np.float32)


def test_the_first_frame_is_1240_zeros_and_40_samples():
    framer = Framer()
    assert framer.push(ramp(39)) == []
    (frame,) = framer.push(np.array([40], np.float32))
    assert frame.dtype == np.float32
    assert frame.tolist() == [0.0] * 1240 + ramp(40).tolist()
    assert framer.frames == 1


def test_frame_n_covers_the_samples_from_1280_n_minus_1_plus_40():
    frames = Framer().push(ramp(1280 * 3 + 40))
    assert len(frames) == 4
    for n, frame in enumerate(frames[1:], start=1):
        first = 1280 * (n - 1) + 40
        assert frame.tolist() == (ramp(1280) + first).tolist()


@pytest.mark.parametrize("n_samples", [0, 1, 40, 41, 1320, 12345])
def test_any_chunking_equals_one_chunk(n_samples):
    whole = Framer().push(ramp(n_samples))
    for sizes in ways_to_cut(longest=2000, seed=n_samples):
        framer = Framer()
        frames = [frame for chunk in cuts(ramp(n_samples), sizes) for frame in framer.push(chunk)]
        assert len(frames) == len(whole) == framer.frames
        for got, expected in zip(frames, whole, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_pad_ends_the_frame_and_keeps_the_grid():
    framer = Framer()
    framer.push(ramp(50))
    (frame,) = framer.pad()
    assert frame.tolist() == [*range(41, 51)] + [0.0] * 1270
    assert framer.pad() == []
    (after,) = framer.push(ramp(1280))
    assert after.tolist() == ramp(1280).tolist()
    assert framer.frames == 3


def test_pad_before_any_audio_gives_the_first_frame():
    (frame,) = Framer().pad()
    assert not frame.any()


def test_silence_is_whole_frames_and_keeps_the_grid():
    framer = Framer()
    framer.push(ramp(100))
    silent = framer.silence(3)
    assert [len(frame) for frame in silent] == [1280] * 3
    assert silent[0].tolist() == [*range(41, 101)] + [0.0] * 1220
    assert not silent[1].any() and not silent[2].any()
    assert framer.frames == 4
    assert framer.silence(0) == []


def test_lease_samples_count_audio_and_silence():
    framer = Framer()
    assert framer.lease_samples == 0
    framer.push(ramp(100))
    assert framer.lease_samples == 100
    framer.pad()
    assert framer.lease_samples == 1320
    framer.silence(2)
    assert framer.lease_samples == 1320 + 2560


def test_a_remainder_does_not_keep_its_chunk_alive():
    framer = Framer()
    chunk = ramp(1280 * 100)
    framer.push(chunk)
    assert framer._rest.base is None
