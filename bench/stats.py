"""Numbers of a measurement: percentiles, slopes, intervals, histograms of Prometheus. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0..1) of the values do not exceed; NaN for none.

    A value that occurred, never one between two.
    """
    if not len(values):
        return float("nan")
    ordered = np.sort(np.asarray(values, dtype=float))
    return float(ordered[max(0, int(np.ceil(share * len(ordered))) - 1)])


@dataclass(frozen=True, slots=True)
class Spread:
    count: int
    p50: float
    p95: float
    p99: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    """Count and percentiles; NaN for no values."""
    return Spread(
        len(values), *(percentile(values, s) for s in (0.5, 0.95, 0.99)), max(values, default=float("nan"))
    )


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Least-squares growth of `values` per unit of `times`; NaN with fewer than two different times."""
    t, v = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if len(t) < 2 or np.ptp(t) == 0:
        return float("nan")
    t = t - t.mean()
    return float(t @ (v - v.mean()) / (t @ t))


def bootstrap_ratio(
    errors: Sequence[int], words: Sequence[int], *, rounds: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Interval of sum(errors) / sum(words) when the clips are drawn anew, with replacement.

    Clips, not words: errors of one clip hang together. NaN for fewer than two clips, which say nothing about others.
    """
    e, w = np.asarray(errors, dtype=float), np.asarray(words, dtype=float)
    if len(e) < 2 or w.sum() == 0:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, len(e), (rounds, len(e)))
    totals = w[drawn].sum(1)
    ratios = e[drawn].sum(1)[totals > 0] / totals[totals > 0]
    tail = (1 - level) / 2
    low, high = np.quantile(ratios, (tail, 1 - tail))
    return float(low), float(high)


# ---------------------------------------------------------------- cumulative histograms


def between(before: Mapping[float, float], after: Mapping[float, float]) -> dict[float, float]:
    """Cumulative buckets (upper bound → count) of what was observed between two readings."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def histogram_percentile(buckets: Mapping[float, float], share: float) -> float:
    """Percentile of cumulative buckets, interpolated inside the bucket as Prometheus does.

    Infinity if it lies beyond the last finite bound, NaN for an empty histogram.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return float("nan")
    rank = share * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank and buckets[bound] > below:
            if np.isinf(bound):
                return float("inf")
            return lower + (bound - lower) * (rank - below) / (buckets[bound] - below)
        lower, below = bound, buckets[bound]
    return float("inf")


def share_above(buckets: Mapping[float, float], bound: float) -> float:
    """Share (0..1) of the observations beyond a bound of the histogram. Raises KeyError for another bound."""
    total = buckets[max(buckets)]
    return 1 - buckets[bound] / total if total else float("nan")
