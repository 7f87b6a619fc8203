from __future__ import annotations

import math

import numpy as np

from realtime.audio.loudness import LEAST_POWER, MAX_GAIN, Loudness


def opinions(powers) -> list[bool]:
    loudness = Loudness()
    return [loudness.stands_out(float(power)) for power in powers]


def test_the_first_frame_can_stand_out():
    assert opinions([1e-4]) == [True]


def test_nothing_and_the_last_bit_do_not():
    assert not any(opinions([0.0] * 500))
    assert not any(opinions([LEAST_POWER] * 500))


def test_steady_noise_is_followed_upwards_in_four_seconds():
    loud = opinions(1e-4 * np.random.default_rng(0).uniform(0.9, 1.1, 3000))
    assert all(loud[:190])
    assert not any(loud[200:])


def test_noise_that_sets_in_later_is_followed_too():
    loud = opinions([1e-8] * 1000 + [1e-4] * 1000)
    assert not any(loud[200:1000])
    assert loud[1000]
    assert not any(loud[1200:])


def test_speech_keeps_standing_out_of_noise_because_it_pauses():
    syllable = [1e-3] * 8 + [2e-5] * 4
    loud = opinions(([1e-5] * 400) + syllable * 200)
    for at in range(400, len(loud), len(syllable)):
        assert all(loud[at : at + 8])


def test_noise_that_falls_is_followed_at_once():
    loud = opinions([1e-3] * 400 + [1e-6] * 10 + [1e-5] * 10)
    assert not any(loud[400:410])
    assert all(loud[410:])


def test_a_click_is_too_short():
    assert sum(opinions([1e-8] * 400 + [1e-3] + [1e-8] * 100)[400:]) == 1


def test_quiet_sound_is_raised_and_loud_sound_is_not():
    loudness = Loudness()
    loudness.stands_out(1e-2)
    assert loudness.gain == 1
    for _ in range(300):
        loudness.stands_out(25e-6)
    assert math.isclose(loudness.gain, 10)
    loudness.stands_out(0.04)  # the loudest moment counts at once
    assert loudness.gain == 1


def test_the_gain_is_bounded():
    loudness = Loudness()
    for _ in range(1000):
        loudness.stands_out(0.0)
    assert loudness.gain == MAX_GAIN
