import json

import numpy as np
import pytest
import soundfile

from recipes.tiny import corpus, phones
from recipes.tiny.espeak import Espeak
from tests.recipes.test_synth import needs_synthesisers

NAMES = ["_", "a", "b"]


def frames(*ids: int) -> np.ndarray:
    return np.log(np.eye(len(NAMES))[list(ids)] + 0.01)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ([1, 1, 1, 2, 2], ["a", "b"]),
        ([1, 1, 0, 0, 1, 1], ["a", "a"]),
        ([1, 1, 2, 1, 1], ["a", "a"]),
        ([0, 0, 0], []),
        ([], []),
    ],
)
def test_every_phone_counts_once_and_pauses_and_single_frames_do_not(ids, names):
    assert phones.heard(frames(*ids), NAMES) == names


@needs_synthesisers
def test_phones_of_a_clip_are_compared_with_those_that_espeak_says(tmp_path, monkeypatch):
    said = Espeak().pronounce("go")
    soundfile.write(tmp_path / "a.wav", np.zeros(corpus.RATE), corpus.RATE)
    rows = [{"path": "a.wav", "text": text, "corpus": "an4"} for text in ("go", "go go", "stop")]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = ["_", *said]
    once = np.log(np.eye(len(names))[np.repeat(np.arange(len(names)), 3)] + 0.01)
    monkeypatch.setattr(phones, "posteriors", lambda model, waves: [once] * len(waves))
    scored = phones.evaluate_phones(None, names, tmp_path)
    assert sorted(scored) == [("an4", " ".join(x), " ".join(said)) for x in (said, said * 2)]  # no "stop"
    assert scored.errors()["an4"] == (len(said), 3 * len(said))
