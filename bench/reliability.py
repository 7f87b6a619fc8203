"""How far confidences can be believed, and the calibration that makes them so. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime.text.confidence import Calibration, log_odds

BINS = 10
FIT_ROUNDS = 100
FIT_STEP = 1e-10  # a smaller step changes nothing
SURE = 1e-9  # keeps the logarithm of a confidence of 0 or 1 finite


# ---------------------------------------------------------------- measures


@dataclass(frozen=True, slots=True)
class Bin:
    """Words of about the same confidence."""

    lowest: float
    highest: float
    mean: float
    right: float  # share of right words
    words: int


def bins(confidences: Sequence[float], right: Sequence[bool], count: int = BINS) -> list[Bin]:
    """Words in order of confidence, cut into `count` bins of equally many words, up to one; empty bins are left out."""
    p, y = np.asarray(confidences, float), np.asarray(right, float)
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, count) if len(part)]
    return [
        Bin(*map(float, (p[part[0]], p[part[-1]], p[part].mean(), y[part].mean())), len(part))
        for part in parts
    ]


def calibration_error(confidences: Sequence[float], right: Sequence[bool], count: int = BINS) -> float:
    """Expected calibration error: |mean confidence - share right| of every bin, weighted by its words. NaN for none."""
    found = bins(confidences, right, count)
    if not found:
        return math.nan
    return sum(one.words * abs(one.mean - one.right) for one in found) / len(confidences)


def ranking(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Area under the ROC curve: how often a right word has the higher confidence than a wrong one, ties counting half.
    NaN without words of both kinds."""
    y = np.asarray(right, bool)
    n_right, n_wrong = int(y.sum()), int((~y).sum())
    if not n_right or not n_wrong:
        return math.nan
    _, which, counts = np.unique(np.asarray(confidences, float), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]  # from 1; those alike share the middle
    return float((ranks[y].sum() - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def surprise(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Mean negative log-likelihood of right and wrong, in nats a word: lower where confidences are true and telling."""
    p = np.clip(np.asarray(confidences, float), SURE, 1 - SURE)
    return float(-np.log(np.where(np.asarray(right, bool), p, 1 - p)).mean()) if len(p) else math.nan


# ---------------------------------------------------------------- fitting


def fit(scores: Sequence[float], right: Sequence[bool]) -> Calibration:
    """The most likely line from the log odds of raw scores to those of being right, by Newton's method.

    As Platt did it, the goals are a little inside 0 and 1, so that words without any overlap do not make it infinitely
    steep. Raises ValueError if there are no words of both kinds, or if higher scores are not right more often.
    """
    y = np.asarray(right, float)
    n_right, n_wrong = y.sum(), (1 - y).sum()
    if not n_right or not n_wrong:
        raise ValueError("a fit needs right and wrong words")
    goals = np.where(y > 0, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    odds = np.array([[log_odds(score), 1.0] for score in scores])
    line = _newton(odds, goals)
    if line is None or line[0] <= 0:
        raise ValueError("higher scores are not right more often")
    return Calibration(*map(float, line.round(6)))


def _newton(inputs: np.ndarray, goals: np.ndarray) -> np.ndarray | None:
    """Weights [k] of a logistic regression of goals [n] on inputs [n, k]; None if it has no single best."""
    weights = np.zeros(inputs.shape[1])
    loss = _loss(inputs @ weights, goals)
    for _ in range(FIT_ROUNDS):
        p = 1 / (1 + np.exp(-(inputs @ weights)))
        curvature = (inputs * (p * (1 - p))[:, None]).T @ inputs
        try:
            step = np.linalg.solve(curvature, inputs.T @ (goals - p))
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(step).all():
            return None
        while (shorter := _loss(inputs @ (weights + step), goals)) > loss and np.abs(step).max() > FIT_STEP:
            step /= 2
        if np.abs(step).max() <= FIT_STEP:
            break
        weights, loss = weights + step, shorter
    return weights


def _loss(odds: np.ndarray, goals: np.ndarray) -> float:
    return float((np.logaddexp(0, odds) - goals * odds).sum())


def on_folds(
    scores: Sequence[float], right: Sequence[bool], clips: Sequence[int], folds: int = 5, seed: int = 0
) -> list[float]:
    """The confidence of every word by a fit on the words of the other folds; a clip lies in one fold as a whole.

    Raises ValueError as `fit` does, and if there are fewer clips than folds.
    """
    s, y, c = np.asarray(scores, float), np.asarray(right, bool), np.asarray(clips)
    names = np.unique(c)
    if not 2 <= folds <= len(names):
        raise ValueError(f"{folds} folds of {len(names)} clips: expected 2 to as many as clips")
    shuffled = np.random.default_rng(seed).permutation(names)
    confidences = np.empty(len(s))
    for part in np.array_split(shuffled, folds):
        held = np.isin(c, part)
        calibration = fit(s[~held], y[~held])
        confidences[held] = [calibration.probability(float(score)) for score in s[held]]
    return confidences.tolist()
