from __future__ import annotations

import random

import pytest

from realtime.timeline import Timeline

MS = 16  # samples


def test_without_gate_lease_time_is_stream_time():
    timeline = Timeline()
    for n in range(10):
        timeline.add(n * 1280, 1280)
    assert [timeline.lease_to_stream_ms(ms) for ms in (0, 1, 400, 800)] == [0, 1, 400, 800]
    assert len(timeline) == 1


def test_gated_silence_reappears():
    timeline = Timeline()
    timeline.add(1000 * MS, 500 * MS)  # an utterance at 1.0 s
    timeline.add_silence(1360 * MS)  # drains the delay
    timeline.add(60_000 * MS, 700 * MS)  # another one at 60 s
    expected = {0: 1000, 250: 1250, 499: 1499, 1860: 60_000, 1861: 60_001, 2560: 60_700}
    assert {ms: timeline.lease_to_stream_ms(ms) for ms in expected} == expected


def test_silence_maps_to_the_end_of_the_audio_before_it():
    timeline = Timeline()
    timeline.add(1000 * MS, 500 * MS)
    timeline.add_silence(1000 * MS)
    timeline.add(9000 * MS, 500 * MS)
    timeline.add_silence(1000 * MS)
    assert {timeline.lease_to_stream_ms(ms) for ms in (500, 501, 1000, 1499)} == {1500}
    assert {timeline.lease_to_stream_ms(ms) for ms in (2000, 2500, 10**6)} == {9500}


def test_a_moment_before_the_lease_is_its_first_sample():
    timeline = Timeline()
    timeline.add(1000 * MS, 500 * MS)
    assert timeline.lease_to_stream_ms(-80) == 1000


def test_audio_that_continues_after_padding_is_apart_in_the_lease():
    """`flush` in the middle of speech: no stream time is missing, lease time is longer by the silence."""
    timeline = Timeline()
    timeline.add(0, 100 * MS)
    timeline.add_silence(300 * MS)
    timeline.add(100 * MS, 100 * MS)
    assert [timeline.lease_to_stream_ms(ms) for ms in (99, 100, 399, 400, 450)] == [99, 100, 100, 100, 150]


def test_silence_before_any_audio_is_the_end_of_what_was_heard():
    timeline = Timeline()
    assert timeline.lease_to_stream_ms(80) == 0
    timeline.add(500 * MS, 100 * MS)
    timeline.reset()
    timeline.add_silence(100 * MS)
    assert timeline.lease_to_stream_ms(50) == 600
    timeline.add(5000 * MS, 100 * MS)
    assert timeline.lease_to_stream_ms(50) == 5000
    assert timeline.lease_to_stream_ms(150) == 5050


def test_a_new_lease_starts_at_zero():
    timeline = Timeline()
    timeline.add(1000 * MS, 500 * MS)
    timeline.reset()
    timeline.add(7000 * MS, 500 * MS)
    assert timeline.lease_to_stream_ms(0) == 7000
    assert timeline.lease_to_stream_ms(500) == 7500


def test_a_new_lease_may_hear_audio_again_but_one_lease_may_not():
    timeline = Timeline()
    timeline.add(1000 * MS, 500 * MS)
    with pytest.raises(ValueError, match="16000"):
        timeline.add(1000 * MS, 500 * MS)
    timeline.reset()
    timeline.add(1000 * MS, 500 * MS)
    assert timeline.lease_to_stream_ms(1) == 1001


def test_nothing_added_changes_nothing():
    timeline = Timeline()
    timeline.add(100 * MS, 0)
    timeline.add_silence(0)
    assert len(timeline) == 0
    assert timeline.lease_to_stream_ms(0) == 100


def test_rounds_to_the_nearest_millisecond():
    timeline = Timeline()
    timeline.add(9, 160)
    assert timeline.lease_to_stream_ms(0) == 1
    assert timeline.lease_to_stream_ms(0.5) == 1
    assert timeline.lease_to_stream_ms(1.5) == 2


def test_days_of_conversation_stay_small():
    """Four days in utterances of 2 s every 10 s: what is forgotten is gone, what is asked stays exact."""
    timeline = Timeline()
    lease_ms = 0
    for n in range(4 * 24 * 360):
        timeline.add(n * 10_000 * MS, 2000 * MS)
        timeline.add_silence(1360 * MS)
        assert timeline.lease_to_stream_ms(lease_ms + 700) == n * 10_000 + 700
        lease_ms += 3360
        timeline.forget(lease_ms - 5000)
        assert len(timeline) <= 3
    assert timeline.lease_to_stream_ms(lease_ms - 5000) == (n - 1) * 10_000 + 1720


def test_forgetting_changes_no_later_answer():
    rng = random.Random(5)
    whole, forgetful = Timeline(), Timeline()
    stream = lease = 0
    for _ in range(200):
        stream += rng.choice([0, rng.randrange(100_000)])
        n_samples, silent = rng.randrange(50_000), rng.choice([0, rng.randrange(20_000)])
        for timeline in (whole, forgetful):
            timeline.add(stream, n_samples)
            timeline.add_silence(silent)
        stream, lease = stream + n_samples, lease + n_samples + silent
        oldest_ms = max(0, lease / MS - 4000)
        forgetful.forget(oldest_ms)
        for _ in range(20):
            ms = rng.uniform(oldest_ms, lease / MS)
            assert forgetful.lease_to_stream_ms(ms) == whole.lease_to_stream_ms(ms)


def test_equals_a_list_of_every_sample():
    rng = random.Random(6)
    for _ in range(20):
        timeline, by_sample, stream = Timeline(), [], 0
        for _ in range(rng.randrange(1, 12)):
            stream += rng.choice([0, rng.randrange(3000)])
            n_samples, silent = rng.randrange(1, 2000), rng.choice([0, rng.randrange(500)])
            timeline.add(stream, n_samples)
            timeline.add_silence(silent)
            by_sample += range(stream, stream + n_samples)
            stream += n_samples
            by_sample += [stream] * silent
        for at in range(0, len(by_sample), 16):
            assert timeline.lease_to_stream_ms(at / MS) == round(by_sample[at] / MS)
