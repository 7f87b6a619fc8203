"""Measures by hand, and fits that must find what made the words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.reliability import bins, calibration_error, fit, on_folds, ranking, surprise
from realtime.text.confidence import Calibration


def drawn(calibration: Calibration, count: int, seed: int = 0):
    """Scores, and words that are right as often as the calibration says."""
    r = np.random.default_rng(seed)
    scores = r.uniform(0.02, 0.98, count)
    p = [calibration.probability(float(score)) for score in scores]
    return scores.tolist(), (r.random(count) < p).tolist(), p


def test_bins_hold_equally_many_words_in_order():
    found = bins([0.9, 0.1, 0.3, 0.7, 0.5], [True, False, False, True, False], 2)
    assert [one.words for one in found] == [3, 2]
    assert [(one.lowest, one.highest) for one in found] == [(0.1, 0.5), (0.7, 0.9)]
    assert [one.mean for one in found] == [pytest.approx(0.3), pytest.approx(0.8)]
    assert [one.right for one in found] == [0.0, 1.0]
    assert [one.words for one in bins([0.5], [True])] == [1]
    assert bins([], []) == []


def test_calibration_error_by_hand():
    confidences, right = [0.1, 0.3, 0.6, 1.0], [False, True, True, True]
    assert calibration_error(confidences, right, 2) == pytest.approx((2 * abs(0.2 - 0.5) + 2 * (1 - 0.8)) / 4)
    assert calibration_error(confidences, right, 1) == pytest.approx(abs(0.5 - 0.75))
    assert calibration_error([0.0, 1.0], [False, True]) == 0
    assert math.isnan(calibration_error([], []))


def test_ranking_counts_pairs():
    assert ranking([0.1, 0.2, 0.3], [False, False, True]) == 1
    assert ranking([0.3, 0.2, 0.1], [False, False, True]) == 0
    assert ranking([0.5, 0.5, 0.5], [False, True, True]) == 0.5
    assert ranking([0.1, 0.4, 0.4, 0.9], [False, True, False, True]) == pytest.approx(3.5 / 4)
    assert math.isnan(ranking([0.5], [True]))


def test_surprise_is_the_log_likelihood():
    assert surprise([0.5, 0.25], [True, False]) == pytest.approx((math.log(2) - math.log(0.75)) / 2)
    assert 15 < surprise([0.0], [True]) < math.inf


@pytest.mark.parametrize("truth", [Calibration(), Calibration(0.6, -1.2), Calibration(2.0, 0.8)])
def test_a_fit_finds_the_map_that_made_the_words(truth):
    scores, right, p = drawn(truth, 20_000)
    found = fit(scores, right)
    assert found.scale == pytest.approx(truth.scale, rel=0.06)
    assert found.offset == pytest.approx(truth.offset, abs=0.06)
    assert calibration_error(p, right) < 0.02
    again = on_folds(scores, right, np.arange(len(scores)) // 20, folds=4)
    assert calibration_error(again, right) < 0.02
    assert max(abs(a - b) for a, b in zip(again, p, strict=True)) < 0.05


def test_words_that_never_overlap_are_fitted_too():
    found = fit([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert 0 < found.scale < 100
    assert found.probability(0.1) < 0.5 < found.probability(0.9)


@pytest.mark.parametrize(
    ("scores", "right", "complaint"),
    [
        ([0.1, 0.9], [True, True], "right and wrong words"),
        ([], [], "right and wrong words"),
        ([0.1, 0.2, 0.8, 0.9], [True, True, False, False], "not right more often"),
        ([0.5, 0.5, 0.5, 0.5], [True, True, False, False], "not right more often"),
    ],
)
def test_words_that_say_nothing_about_confidence_are_refused(scores, right, complaint):
    with pytest.raises(ValueError, match=complaint):
        fit(scores, right)


def test_a_clip_is_never_fitted_on_itself():
    """Each of three clips has a world of its own: on the others alone its words get what they say."""
    scores = [0.2, 0.4, 0.6, 0.8] * 30
    right = [False, False, True, True] * 20 + [False, True, False, True] * 10
    clips = [0] * 40 + [1] * 40 + [2] * 40
    found = on_folds(scores, right, clips, folds=3)
    for clip in range(3):
        others = [n for n, at in enumerate(clips) if at != clip]
        own = fit([scores[n] for n in others], [right[n] for n in others])
        assert found[40 * clip : 40 * clip + 4] == [own.probability(score) for score in scores[:4]]


def test_folds_are_the_same_again_and_not_more_than_clips():
    scores, right, _ = drawn(Calibration(), 400)
    clips = [n // 10 for n in range(400)]
    assert on_folds(scores, right, clips) == on_folds(scores, right, clips)
    assert on_folds(scores, right, clips) != on_folds(scores, right, clips, seed=1)
    for folds in (1, 41):
        with pytest.raises(ValueError, match=f"{folds} folds of 40 clips"):
            on_folds(scores, right, clips, folds=folds)
