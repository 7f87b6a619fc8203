"""What all dialects share."""

import sys

import pytest

from realtime.dialects.base import audio_tokens, mean_confidence, shown
from realtime.events import Word


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", "'a\\nb'"),
        (None, "None"),
        ("x" * 100, "'" + "x" * 56 + "..."),
        (nested(2 * sys.getrecursionlimit()), "a list that is nested too deeply"),
    ],
)
def test_a_value_is_shown_in_short(value, text):
    assert shown(value) == text


def test_a_token_of_audio_is_a_begun_frame():
    assert [audio_tokens(ms) for ms in (0, 1, 80, 81)] == [0, 1, 1, 2]


def test_confidence_is_the_mean_of_the_words():
    assert mean_confidence(()) == 0.0
    assert mean_confidence([Word("a", 0, 1, 1.0), Word("b", 1, 2, 0.5), Word("c", 2, 3, 0.5)]) == 0.6667
