"""Percentiles, slopes, intervals and histograms of the benches."""

from __future__ import annotations

import math

import pytest

from bench import stats


def test_a_percentile_is_a_value_that_occurred():
    values = [5, 1, 4, 2, 3, 10, 9, 8, 7, 6]
    assert [stats.percentile(values, share) for share in (0.1, 0.5, 0.95, 0.99, 1)] == [1, 5, 10, 10, 10]
    assert stats.percentile([7], 0.01) == 7


def test_percentiles_of_a_hundred_values():
    found = stats.spread(list(range(1, 101)))
    assert (found.count, found.p50, found.p95, found.p99, found.max) == (100, 50, 95, 99, 100)


def test_no_values_have_no_percentile():
    found = stats.spread([])
    assert found.count == 0
    assert all(math.isnan(value) for value in (found.p50, found.p95, found.p99, found.max))


def test_slope_of_a_line_in_noise_that_cancels():
    times = [10, 20, 30, 40]
    assert stats.slope(times, [1, 3, 5, 7]) == pytest.approx(0.2)
    assert stats.slope(times, [1 + 0.5, 3 - 0.5, 5 - 0.5, 7 + 0.5]) == pytest.approx(0.2)
    assert stats.slope([1e9, 1e9 + 60], [0, 6]) == pytest.approx(0.1)


@pytest.mark.parametrize("times", [[], [3], [3, 3, 3]])
def test_slope_needs_two_moments(times):
    assert math.isnan(stats.slope(times, [1.0] * len(times)))


def test_the_bootstrap_follows_its_seed():
    errors, words = [0, 3, 1, 7, 2, 0], [10, 12, 9, 14, 11, 10]
    first = stats.bootstrap_ratio(errors, words, seed=3)
    assert first == stats.bootstrap_ratio(errors, words, seed=3)
    assert first != stats.bootstrap_ratio(errors, words, seed=4)


def test_the_interval_holds_the_rate_and_narrows_with_more_clips():
    errors, words = [0, 3, 1, 7, 2, 0], [10, 12, 9, 14, 11, 10]
    low, high = stats.bootstrap_ratio(errors, words)
    assert 0 <= low < sum(errors) / sum(words) < high
    more_low, more_high = stats.bootstrap_ratio(errors * 20, words * 20)
    assert more_high - more_low < (high - low) / 3


def test_equal_clips_have_no_width_and_one_clip_no_interval():
    assert stats.bootstrap_ratio([1, 1, 1], [10, 10, 10]) == (pytest.approx(0.1), pytest.approx(0.1))
    assert all(math.isnan(bound) for bound in stats.bootstrap_ratio([1], [10]))


def test_clips_without_words_count_their_insertions():
    _, high = stats.bootstrap_ratio([1, 1, 1, 1], [10, 10, 10, 0])
    assert high > 0.1


BUCKETS = {0.01: 10.0, 0.02: 60.0, 0.08: 99.0, math.inf: 100.0}


def test_percentiles_of_a_histogram_are_interpolated():
    assert stats.histogram_percentile(BUCKETS, 0.1) == pytest.approx(0.01)
    assert stats.histogram_percentile(BUCKETS, 0.35) == pytest.approx(0.015)
    assert stats.histogram_percentile(BUCKETS, 0.99) == pytest.approx(0.08)
    assert math.isinf(stats.histogram_percentile(BUCKETS, 0.999))
    assert math.isnan(stats.histogram_percentile({0.01: 0.0, math.inf: 0.0}, 0.5))


def test_between_two_readings_and_above_a_bound():
    before = {0.01: 4.0, 0.02: 10.0, 0.08: 10.0, math.inf: 10.0}
    grown = stats.between(before, BUCKETS)
    assert grown == {0.01: 6.0, 0.02: 50.0, 0.08: 89.0, math.inf: 90.0}
    assert stats.share_above(grown, 0.08) == pytest.approx(1 / 90)
    with pytest.raises(KeyError):
        stats.share_above(grown, 0.05)
