import json
import math

import pytest

from realtime.errors import CheckpointError
from realtime.text.confidence import IDENTITY, SUREST, Calibration

SCORES = [0.0, 1e-9, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1 - 1e-12, 1.0]


def test_identity_changes_nothing():
    assert [IDENTITY.probability(score) for score in SCORES] == SCORES


@pytest.mark.parametrize(
    "calibration",
    [Calibration(0.4, -3.0), Calibration(2.5, 1.0), Calibration(100.0, -100.0), Calibration(1e-6)],
)
def test_probabilities_grow_with_the_score_and_stay_between_0_and_1(calibration):
    found = [calibration.probability(score) for score in SCORES]
    assert found == sorted(found)
    assert all(0 <= value <= 1 for value in found)


def test_what_is_not_written_does_not_change_the_confidence_of_the_rest():
    assert Calibration(1.0, 0.0, unwritten_below=0.4).probability(1.0) == 1.0


def test_odds_are_raised_to_the_scale_and_multiplied():
    assert Calibration(2.0, math.log(3)).probability(0.25) == pytest.approx(0.25)  # odds 1/3 -> 1/9 * 3
    assert Calibration(2.0, math.log(3)).probability(0.5) == pytest.approx(0.75)
    assert Calibration(1.0, -math.log(2)).probability(0.8) == pytest.approx(2 / 3)


def test_beyond_the_surest_nothing_changes():
    calibration = Calibration(0.5, 0.0)
    assert calibration.probability(0.0) == calibration.probability(SUREST)
    assert calibration.probability(1.0) == calibration.probability(1 - SUREST) < 1


def test_without_a_file_scores_stay_as_they_are(tmp_path):
    assert Calibration.load(tmp_path / "confidence.json") is IDENTITY


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "confidence.json"
    for calibration in (Calibration(0.87, -0.93), Calibration(1.0, 0.0, 0.35)):
        path.write_text(calibration.json("measured on é"), encoding="utf-8")
        assert Calibration.load(path) == calibration
    assert json.loads(path.read_text(encoding="utf-8"))["source"] == "measured on é"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", r"confidence.json: no JSON \("),
        ("", r"confidence.json: no JSON \("),
        ("[1, 2]", "expected an object with scale and offset"),
        ('{"offset": 0}', "scale must be a number from -100 to 100, found None"),
        ('{"scale": 1}', "offset must be a number from -100 to 100, found None"),
        ('{"scale": true, "offset": 0}', "scale must be a number from -100 to 100, found True"),
        ('{"scale": "1", "offset": 0}', "scale must be a number from -100 to 100, found '1'"),
        ('{"scale": NaN, "offset": 0}', "scale must be a number from -100 to 100, found nan"),
        ('{"scale": 1, "offset": -Infinity}', "offset must be a number from -100 to 100, found -inf"),
        ('{"scale": 1, "offset": 1' + "0" * 400 + "}", "offset must be a number"),
        ('{"scale": 0, "offset": 0}', "scale must be greater than 0"),
        ('{"scale": -1, "offset": 0}', "scale must be greater than 0"),
        ('{"scale": 1, "offset": 0, "ofset": 1}', "unknown field 'ofset'"),
        ('{"scale": 1, "offset": 0, "unwritten_below": 1}', "unwritten_below is a probability"),
        ('{"scale": 1, "offset": 0, "unwritten_below": -0.1}', "unwritten_below is a probability"),
        ('{"scale": 1, "offset": 0, "unwritten_below": null}', "unwritten_below must be a number"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, text, complaint):
    path = tmp_path / "confidence.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=complaint):
        Calibration.load(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "confidence.json").mkdir()
    with pytest.raises(CheckpointError, match=r"confidence\.json"):
        Calibration.load(tmp_path / "confidence.json")
    (tmp_path / "latin").write_bytes(b'{"source": "\xe9"}')
    with pytest.raises(CheckpointError, match="latin: no JSON"):
        Calibration.load(tmp_path / "latin")
