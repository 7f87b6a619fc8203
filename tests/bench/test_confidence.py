"""Which words are right, and what is said about their confidences."""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import pytest

from bench import confidence
from bench.confidence import Judged, judge, measured
from bench.report import BenchError
from client.protocol import Word
from realtime.text.confidence import CALIBRATION_FILE, Calibration
from tests import checkpoints


def heard(text: str) -> list[Word]:
    """Words whose confidences tell their places: 0.01, 0.02, …"""
    return [Word(word, 0, 0, (n + 1) / 100) for n, word in enumerate(text.split())]


def right(reference: str, text: str) -> list[bool]:
    return [word.right for word in judge(0, reference, heard(text))]


def test_equal_words_are_right_and_all_others_wrong():
    assert right("one two three four", "one too three four five") == [True, False, True, True, False]
    assert right("one two", "two") == [True], "what was not heard counts nowhere"
    assert right("one", "one one") in ([True, False], [False, True])


def test_form_makes_no_word_wrong():
    assert right("It’s twenty one, isn't it?", "its It's 21 isn't it.") == [False, True, True, True, True]


def test_a_word_of_several_forms_is_right_only_as_a_whole():
    assert right("twenty one", "22") == [False]
    assert right("twenty two", "22") == [True]


def test_punctuation_alone_is_no_word():
    found = judge(7, "one two", heard("one – two"))
    assert found == [Judged(7, 0.01, True), Judged(7, 0.03, True)]


def test_what_is_heard_in_silence_is_wrong_and_silence_is_nothing():
    assert right("", "one two") == [False, False]
    assert right("...", "one") == [False]
    assert right("one", "") == []


def words(truth: Calibration, count: int = 3000) -> list[Judged]:
    r = np.random.default_rng(0)
    scores = r.uniform(0.01, 0.99, count)
    return [
        Judged(n // 10, float(score), bool(r.random() < truth.probability(float(score))))
        for n, score in enumerate(scores)
    ]


def test_calibration_makes_confidences_true_and_thresholds_mean_what_they_say():
    truth = Calibration(0.7, -1.5)
    report = measured(words(truth), folds=5, shipped=truth)
    error = {row[0]: row[list(report.columns).index("ECE %")] for row in report.rows}
    assert error["raw score"] > 20
    assert error["calibrated"] < 3 and error["shipped"] < 3
    thresholds, bins = report.tables
    assert [row[:2] for row in thresholds.rows[:3]] == [
        ["raw score", 0.5],
        ["raw score", 0.8],
        ["raw score", 0.9],
    ]
    calibrated = {row[1]: row for row in thresholds.rows if row[0] == "calibrated"}
    wrong, above = thresholds.columns.index("wrong %"), thresholds.columns.index("wrong % above")
    assert calibrated[0.5][wrong] > 50 > calibrated[0.5][above]
    assert sum(row[-1] for row in bins.rows) == 3000 and len(bins.rows) == 10
    assert [row[1] for row in bins.rows] == sorted(row[1] for row in bins.rows)
    assert "What a threshold buys" in report.markdown()
    assert [further["title"] for further in json.loads(report.json())["tables"]] == [
        "What a threshold buys",
        "Calibrated words by confidence",
    ]


def test_words_that_no_map_fits_are_one_sentence():
    with pytest.raises(BenchError, match="no word was heard"):
        measured([], 5)
    with pytest.raises(BenchError, match="no calibration: 5 folds of 1 clips"):
        measured([Judged(0, 0.5, True), Judged(0, 0.4, False)], 5)
    with pytest.raises(BenchError, match="no calibration: a fit needs right and wrong words"):
        measured([Judged(n, 0.5, True) for n in range(9)], 5)


@pytest.fixture
def folder(tmp_path):
    """Two clips of which one is not English."""
    place = tmp_path / "speech"
    place.mkdir()
    rows = [
        {"path": "a.wav", "text": "one", "group": "g"},
        {"path": "b.wav", "text": "eins", "group": "other_lang"},
    ]
    (place / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


@pytest.fixture
def options(tmp_path, folder):
    return Namespace(
        speech=str(folder),
        groups=None,
        limit=None,
        folds=2,
        write=tmp_path / CALIBRATION_FILE,
        delay_ms=None,
        vad="on",
        at_once=2,
        model=str(checkpoints.write(tmp_path / "small")),
        threads=None,
        server_flags="",
    )


def test_the_map_of_all_words_is_written_and_raw_scores_are_asked_for(options, monkeypatch, tmp_path):
    shipped = tmp_path / "small" / CALIBRATION_FILE
    shipped.write_text(Calibration(0.5, 0.5, unwritten_below=0.3).json("earlier"))
    asked = []

    def listen(options, rows):
        model = tmp_path / options.model
        files = sorted(path.name for path in model.iterdir())
        asked.append((files, Calibration.load(model / CALIBRATION_FILE), [row.group for row in rows]))
        return words(Calibration(0.7, -1.5)), 480

    monkeypatch.setattr(confidence, "_listen", listen)
    report = confidence.run(options)
    files = [CALIBRATION_FILE, "consolidated.safetensors", "params.json", "tekken.json"]
    assert asked == [(files, Calibration(unwritten_below=0.3), ["g"])]
    assert [row[0] for row in report.rows] == ["raw score", "calibrated", "shipped"]
    assert report.setting["model"] == "small"
    found = Calibration.load(options.write)
    assert (found.scale, found.offset) == (pytest.approx(0.7, abs=0.1), pytest.approx(-1.5, abs=0.1))
    source = json.loads(options.write.read_text())["source"]
    assert source.startswith("python -m bench confidence: small, 3000 words of speech at 480 ms, ")
    assert found.unwritten_below == 0.3
    assert Calibration.load(shipped) == Calibration(0.5, 0.5, 0.3), "the checkpoint itself is not touched"


def test_faults_are_found_before_the_work(options, monkeypatch, tmp_path):
    monkeypatch.setattr(confidence, "_listen", lambda *_: pytest.fail("nothing was to be heard"))
    options.write = tmp_path / "nowhere" / CALIBRATION_FILE
    with pytest.raises(BenchError, match=r"there is no folder .*nowhere"):
        confidence.run(options)
    options.write, options.folds = None, 1
    with pytest.raises(BenchError, match="--folds: at least 2"):
        confidence.run(options)
    options.folds, options.groups = 2, "other_lang"
    with pytest.raises(BenchError, match="no English clip"):
        confidence.run(options)
