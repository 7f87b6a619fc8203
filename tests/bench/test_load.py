"""The schedule of paced streams, and the tapes they play."""

from __future__ import annotations

import numpy as np
import pytest

from bench.load import TURN_S, Pace, starts, turn_s
from bench.speech import RATE_HZ, Tape, demo_clips


def test_chunks_are_due_when_their_last_sample_is_spoken():
    pace = Pace(100.0, chunk_ms=80)
    assert pace.due_s(0) == pytest.approx(100.08)
    assert pace.due_s(3749) == pytest.approx(400.0)
    assert pace.chunk_samples == 1280


def test_samples_are_found_in_their_chunks():
    pace = Pace(0.0, chunk_ms=20)
    assert [pace.chunk_of(sample) for sample in (0, 319, 320, 6400)] == [0, 0, 1, 20]


def test_a_frame_needs_its_look_ahead():
    """A frame that ends at 80 ms ends 40 samples later for the model: the next chunk carries them."""
    assert Pace(0.0, chunk_ms=80).chunk_heard(80) == 1
    assert Pace(0.0, chunk_ms=20).chunk_heard(160) == 8


def test_a_turn_ends_no_earlier_than_what_is_due_in_it():
    dues = [1000 + i * 0.0013 for i in range(100)]
    assert all(0 <= turn_s(due) - due < TURN_S + 1e-9 for due in dues)
    assert len({turn_s(due) for due in dues}) < 40


def test_streams_start_apart_and_at_every_phase():
    begins = starts(100, ramp_s=4.0)
    assert begins[0] == 0
    assert begins == sorted(begins)
    assert 3.8 < begins[-1] < 4.0
    phases = sorted(round(begin % 0.08, 6) for begin in begins)
    assert len(set(phases)) == 100
    assert np.diff(phases).max() == pytest.approx(0.0008, abs=1e-5)


def clips() -> list[np.ndarray]:
    return [np.full(n, value, np.int16) for n, value in ((1600, 1000), (800, 2000), (2400, 3000))]


def test_a_tape_follows_its_seed_whatever_the_chunks():
    whole = Tape(clips(), seed=5).read(30_000)
    tape = Tape(clips(), seed=5)
    assert b"".join(tape.read(n) for n in (1, 1279, 1280, 7440, 20_000)) == whole
    assert Tape(clips(), seed=6).read(30_000) != whole


def test_a_tape_plays_every_clip_before_any_twice_with_pauses_between():
    tape = Tape(clips(), seed=1, gap_s=(0.1, 0.1))
    samples = np.frombuffer(tape.read(4800 + 3 * 1600), "<i2")
    assert {value: int((samples == value).sum()) for value in (1000, 2000, 3000)} == {
        1000: 1600,
        2000: 800,
        3000: 2400,
    }
    assert tape.clip_samples == 4800
    assert tape.samples == len(samples)
    pauses = samples[~np.isin(samples, (1000, 2000, 3000))]
    assert len(pauses) == 3 * 1600
    assert 0 < np.abs(pauses).max() < 30


def test_the_demo_has_four_utterances():
    found = demo_clips()
    assert len(found) == 4
    assert all(clip.dtype == np.int16 and len(clip) > RATE_HZ for clip in found)
