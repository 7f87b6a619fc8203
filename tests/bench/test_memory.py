"""Levels of memory from readings."""

from __future__ import annotations

import pytest

from bench.memory import levels


def test_flat_after_the_warm_up():
    readings = [(done / 100, 50.0 + 50 * min(1, done / 10)) for done in range(101)]
    assert levels(readings) == (pytest.approx(100), pytest.approx(100), pytest.approx(0, abs=1e-9))


def test_a_leak_is_a_slope_per_unit_of_work():
    warm, end, slope = levels([(hours / 10, 100 + 2 * hours / 10) for hours in range(101)])
    assert slope == pytest.approx(2)
    assert end - warm == pytest.approx(16, rel=0.01)
