from __future__ import annotations

import math

import numpy as np
import pytest
import soxr

from realtime.audio.resample import Identity, Resampler, resampler
from tests.audio.chunking import cuts, ways_to_cut

RATES_HZ = (8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000)


def sound(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.7, 0.7, n_samples).astype(np.float32)


def resample(samples: np.ndarray, from_hz: int, sizes: list[int]) -> np.ndarray:
    resampler_ = Resampler(from_hz)
    return np.concatenate([*(resampler_.push(chunk) for chunk in cuts(samples, sizes)), resampler_.flush()])


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_any_chunking_equals_one_chunk(from_hz):
    samples = sound(from_hz // 2 + 7)
    whole = resample(samples, from_hz, [len(samples)])
    for sizes in ways_to_cut(longest=from_hz // 10, seed=from_hz)[1:]:
        np.testing.assert_allclose(resample(samples, from_hz, sizes), whole, atol=1e-6)


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_streaming_equals_offline(from_hz):
    samples = sound(from_hz // 2)
    offline = soxr.resample(samples, from_hz, 16_000, quality="HQ")
    np.testing.assert_allclose(resample(samples, from_hz, [441]), np.clip(offline, -1, 1), atol=1e-6)


@pytest.mark.parametrize("from_hz", [*RATES_HZ, 9999, 16_000])
@pytest.mark.parametrize("n_samples", [0, 1, 2, 5, 100, 441, 12_345])
def test_the_length_is_exact(from_hz, n_samples):
    assert len(resample(sound(n_samples), from_hz, [160])) == math.floor(n_samples * 16_000 / from_hz + 0.5)


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_a_tone_stays_at_its_time(from_hz):
    n = from_hz
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(n) / from_hz)).astype(np.float32)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    got = resample(tone, from_hz, [from_hz // 50])
    np.testing.assert_allclose(got[2000:-2000], expected[2000:-2000], atol=1e-4)


@pytest.mark.parametrize("from_hz", [48_000, 44_100, 24_000])
def test_what_16_khz_cannot_carry_is_removed(from_hz):
    tone = (0.5 * np.sin(2 * np.pi * 9500 * np.arange(from_hz) / from_hz)).astype(np.float32)
    assert np.abs(resample(tone, from_hz, [1000])[2000:-2000]).max() < 1e-4


@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_the_delay_is_bounded(from_hz):
    """At most 120 ms stay inside, whatever the chunks."""
    resampler_ = Resampler(from_hz)
    out = 0
    for n, chunk in enumerate(cuts(sound(from_hz), [from_hz // 50]), start=1):
        out += len(resampler_.push(chunk))
        assert out / 16_000 >= n * (from_hz // 50) / from_hz - 0.120


def test_overshoot_is_clipped():
    square = np.sign(np.sin(2 * np.pi * 300 * np.arange(8000) / 8000) + 1e-3).astype(np.float32)
    assert np.abs(soxr.resample(square, 8000, 16_000)).max() > 1.0
    assert np.abs(resample(square, 8000, [800])).max() == 1.0


def test_after_a_flush_a_new_stream_begins():
    resampler_ = Resampler(8000)
    first = np.concatenate([resampler_.push(sound(1000)), resampler_.flush()])
    second = np.concatenate([resampler_.push(sound(1000)), resampler_.flush()])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("n_samples", [0, 1, 441, 4411])
@pytest.mark.parametrize("from_hz", [11_025, 44_100, 48_000])
def test_flushes_do_not_add_up_to_a_drift(from_hz, n_samples):
    resampler_, given = Resampler(from_hz), 0
    for n in range(1, 201):
        given += len(resampler_.push(sound(n_samples))) + len(resampler_.flush())
        assert given == math.floor(n * n_samples * 16_000 / from_hz + 0.5)


def test_16_khz_passes_untouched_and_at_once():
    samples = sound(100)
    identity = resampler(16_000)
    assert isinstance(identity, Identity)
    assert identity.push(samples) is samples
    assert len(identity.flush()) == 0
    assert isinstance(resampler(8000), Resampler)
