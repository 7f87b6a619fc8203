"""Comparing transcripts, and the verdict on a level."""

from __future__ import annotations

import math

import pytest

from bench.capacity import Level, _levels, differences, until
from bench.load import Played, Seen
from bench.report import BenchError
from bench.server import Metrics, Usage

SAID = [("one two", (("one", 0, 500), ("two", 600, 900))), ("three", (("three", 2000, 2400),))]


def test_a_transcript_is_cut_between_words():
    assert until(SAID, 700) == [("one", (("one", 0, 500),))]
    assert until(SAID, 2400) == SAID
    assert until(SAID, 100) == []


def test_equal_transcripts_have_no_difference():
    assert differences(SAID, list(SAID)) == []


def test_differences_in_text_times_and_number():
    other = [("one too", (("one", 0, 500), ("too", 600, 900))), SAID[1]]
    assert differences(SAID, other) == ["final 0: alone 'one two', beside others 'one too'"]
    later = [SAID[0], ("three", (("three", 2000, 2480),))]
    assert "2400" in differences(SAID, later)[0] and "2480" in differences(SAID, later)[0]
    assert len(differences(SAID, SAID[:1])) == 1


def level(over: int = 0, lags=((0.0, 0.02), (30.0, 0.02)), **played) -> Level:
    """100 ticks, `over` of them longer than a frame."""
    empty = Metrics({}, {"tick_seconds": {0.04: 0.0, 0.08: 0.0, math.inf: 0.0}})
    full = Metrics({}, {"tick_seconds": {0.04: 50.0, 0.08: 100.0 - over, math.inf: 100.0}})
    usage = Usage(0.0, 2**20, 1, 1)
    seen = Seen([Played(0, lags=list(lags), **played)], 0.5)
    return Level(1, 30.0, seen, (empty, full), (usage, usage))


def test_a_level_holds():
    assert level().holds
    assert level(over=1).holds  # the p99 tick itself is within the frame


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (level(over=2), "p99 tick"),
        (level(lags=[(0.0, 0.02), (30.0, 0.12)]), "lag grows"),
        (level(lags=[]), "no lag"),
        (level(refused="busy"), "refused"),
        (level(dropped="lost"), "dropped"),
        (level(stalled=True), "stalled"),
        (level(warnings=1), "stalled"),
    ],
)
def test_a_level_breaks(broken, why):
    assert not broken.holds
    assert why in broken.why


def test_a_row_has_a_cell_per_column():
    from bench.capacity import COLUMNS

    assert len(level().row()) == len(COLUMNS)


def test_levels_rise_and_are_numbers():
    assert _levels("100,25,50") == [25, 50, 100]
    for words in ("", "ten", "0,5"):
        with pytest.raises(BenchError):
            _levels(words)
