"""Which clips are streamed, and what is kept of what was heard."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import soundfile

from bench import load
from bench.report import BenchError
from bench.server import Server
from bench.speech import Row
from bench.streaming import Heard, Streaming, Time, chosen
from client.protocol import Final, Options, Word
from tests import checkpoints


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


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The real server with an engine that says a word now and then."""
    folder = tmp_path_factory.mktemp("model")
    tree = checkpoints.tekken()
    tree["vocab"][-1]["token_bytes"] = "IHdvcmQ="  # " word"
    (folder / "tekken.json").write_text(json.dumps(tree))
    with Server([f"--model={folder}", "--slots=4"], (sys.executable, "-m", "bench.fake_engine")) as server:
        yield server


def test_every_clip_is_heard_in_order_at_its_rate_and_with_its_channels(served, tmp_path):
    rows = []
    for name, rate_hz, seconds, channels in (("a", 16000, 4, 1), ("b", 8000, 2, 1), ("c", 16000, 3, 2)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros((rate_hz * seconds, channels), np.int16), rate_hz)
        rows.append(Row(tmp_path / f"{name}.wav", "g", ("word",) * channels))
    streaming = Streaming(served.url, Options(delay_ms=240, vad=False, interim=False), at_once=2)
    heard = load.run_loop(streaming.all(rows))
    assert streaming.delay_ms == 240
    assert [one.time.audio_s for one in heard] == [4, 2, 3]
    assert [len(one.texts) for one in heard] == [1, 1, 2]
    counts = [[len(words) for words in one.words] for one in heard]
    assert counts[0][0] > counts[2][0] == counts[2][1] > counts[1][0] > 0
    said = [word for one in heard for words in one.words for word in words]
    assert {word.confidence for word in said} == {0.9048}  # exp(-0.1)
    assert [text.split() for text in heard[1].texts] == [["word"] * counts[1][0]]


def test_a_clip_that_cannot_be_read_ends_the_run(served, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    streaming = Streaming(served.url, Options(), at_once=1)
    with pytest.raises(BenchError, match=r"broken\.wav"):
        load.run_loop(streaming.all([Row(tmp_path / "broken.wav", "g", ("one",))]))
