"""Scores and the table of word error rates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.streaming import Time
from bench.wer import score, table


def column(report, name: str) -> list:
    at = list(report.columns).index(name)
    return [row[at] for row in report.rows]


def test_kinds_of_errors_are_told_apart():
    found = score("g", "One two three four", "one too three four five")
    assert (found.words, found.substitutions, found.deletions, found.insertions) == (4, 1, 0, 1)
    assert score("g", "one two three", "one three").deletions == 1


def test_form_does_not_count():
    assert score("g", "It’s 21, isn't it?", "it's twenty one isn't it").errors == 0


def test_silence_is_all_deletions_and_noise_all_insertions():
    assert score("g", "one two", "").deletions == 2
    nothing = score("g", "...", "one two")
    assert (nothing.words, nothing.insertions) == (0, 2)


def test_other_languages_are_listed_but_not_counted():
    scored = [
        score("digits", "one two three four", "one two three"),
        score("digits", "five six", "five six"),
        score("names", "anna", ""),
        score("other_lang", "guten morgen", "good night more gain"),
    ]
    report = table({"480 ms": [replace(item, time=Time(1.0, 1.0, 0.1)) for item in scored]})
    assert column(report, "group") == ["digits", "names", "other_lang", "all"]
    assert column(report, "words") == [6, 1, 2, 7]
    assert column(report, "WER % at 480 ms") == [
        pytest.approx(100 / 6),
        pytest.approx(100),
        pytest.approx(200),
        pytest.approx(200 / 7),
    ]
    assert column(report, "empty") == [0, 1, 0, 1]
    assert column(report, "95 %")[1] == "–"


def test_a_column_group_per_delay():
    timed = [replace(score("g", "one", heard), time=Time(3.0, 1.5, 0.25)) for heard in ("two", "one")]
    report = table({"240 ms": timed[:1], "960 ms": timed[1:], "somebody 1.0": [score("g", "one", "")]})
    assert column(report, "WER % at 240 ms") == [100]
    assert column(report, "WER % at 960 ms") == [0]
    assert column(report, "WER % somebody 1.0") == [100]
    assert column(report, "group") == ["g"]
    assert column(report, "words/min") == [20]
    assert column(report, "real time") == [2]
    assert list(report.columns).count("real time") == 2, "of a peer nothing is timed"


def test_live_clips_tell_what_a_speaker_waits_for():
    scored = [replace(score("g", "one", "one"), time=Time(1.0, 1.2, wait_s)) for wait_s in (0.1, 0.2, 0.9)]
    report = table({"480 ms": scored}, live=True)
    assert column(report, "final ms") == [200]
    assert "real time" not in report.columns
