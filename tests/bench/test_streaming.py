"""Which clips are streamed, and what is kept of what was heard."""

from __future__ import annotations

import pytest

from bench.report import BenchError
from bench.speech import Row
from bench.streaming import Heard, Time, chosen
from client.protocol import Final, Word


def test_clips_are_chosen_by_group_and_number(tmp_path):
    rows = [Row(tmp_path / str(i), group, ("x",)) for i, group in enumerate(["a1", "a2", "a1", "b", "a1"])]
    assert [row.path.name for row in chosen(rows, "a", 2)] == ["0", "2", "1"]
    assert len(chosen(rows, None, None)) == 5
    with pytest.raises(BenchError):
        chosen(rows, "c", None)


def test_the_finals_of_a_channel_are_its_transcript():
    one, two = Word("one", 0, 100, 0.9), Word("two", 500, 600, 0.8)
    finals = (Final(0, " one", 0, 100, (one,)), Final(1, "two ", 500, 600, (two,)))
    heard = Heard((finals, ()), Time(1.0, 0.5, 0.1))
    assert heard.texts == ["one two", ""]
    assert heard.words == [[one, two], []]
