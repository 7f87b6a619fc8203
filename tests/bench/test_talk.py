"""One minute said over and over: its parts, its words by round, and the table."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from bench import talk
from bench.report import BenchError
from bench.speech import RATE_HZ, Row
from client.protocol import Word


def row(folder, name: str, seconds: float, *texts: str) -> Row:
    audio = np.full((int(seconds * RATE_HZ), len(texts)), 1000, np.int16)
    soundfile.write(folder / name, audio, RATE_HZ, subtype="PCM_16")
    return Row(folder / name, "g", texts)


def test_a_minute_is_whole_frames_of_whole_clips(tmp_path):
    rows = [row(tmp_path, f"{i}.wav", 25.01, f"number {i}") for i in range(3)]
    stereo, too_long = row(tmp_path, "s.wav", 1, "left", "right"), row(tmp_path, "l.wav", 61, "long")
    audio, text = talk.one_minute([*rows, stereo, too_long])
    assert len(audio) % talk.FRAME_SAMPLES == 0
    assert len(audio) == pytest.approx(2 * (25.01 + talk.PAUSE_S) * RATE_HZ, abs=talk.FRAME_SAMPLES)
    assert len(text.split()) == 4
    assert (audio == 1000).sum() == 2 * int(25.01 * RATE_HZ)
    with pytest.raises(BenchError, match="no clip of one channel"):
        talk.one_minute([stereo, too_long, row(tmp_path, "n.wav", 1, "")])


def test_words_belong_to_the_round_of_their_middle():
    words = [Word(" one", 100, 400, 1.0), Word(" two", 900, 1150, 1.0), Word(" three", 9000, 9400, 1.0)]
    assert talk.by_round(words, 1.0, 2) == ["one", "two three"]


def test_what_drifts_shows():
    rows = [list(row) for row in talk.table("One two three.", ["one two", "one two", "one to", ""]).rows]
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert [round(row[2]) for row in rows] == [33, 33, 67, 100]
    assert [row[-1] for row in rows] == [0, 0, 1, 2]
    assert [row[-1] for row in talk.table("One.", ["", "one"]).rows] == [0, 1]
