import json

import numpy as np
import pytest
import soundfile

from recipes.tiny import conditions, corpus
from recipes.tiny.human import read_manifest


@pytest.fixture
def speech(tmp_path):
    tone = (np.sin(np.arange(16000) / 9) * np.linspace(0, 0.4, 16000)).astype(np.float32)
    for name, rows in (
        ("noise", [{"path": "a.flac", "kind": "rain"}, {"path": "a.flac", "kind": "rir"}]),
        ("dev", [{"path": "a.flac", "group": g, "text": "one"} for g in ("digits8k", "read_other")]),
    ):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.flac", tone, corpus.RATE)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "manifest.jsonl").write_text(lines)
    return tmp_path


def heard(folder):
    """Condition -> (samples, rate)."""
    return {row["group"]: soundfile.read(folder / row["path"]) for row in read_manifest(folder)}


def test_every_condition_is_the_same_clip_changed(speech, tmp_path):
    count = conditions.make(speech, tmp_path / "out")
    clips = heard(tmp_path / "out")
    assert count == len(clips) == 10
    plain = clips["as recorded"][0]
    np.testing.assert_allclose(clips["20 dB quieter"][0], plain * 0.1, atol=1e-4)
    assert clips["telephone"][1] == 8000
    assert len(clips["telephone"][0]) == len(plain) // 2
    assert (np.abs(clips["clipped"][0]) > 0.999).mean() == pytest.approx(conditions.CLIPPED_SHARE, abs=0.02)
    for name, snr_db in (("noise at 20 dB", 20), ("noise at 0 dB", 0)):
        noise = clips[name][0] - plain
        assert 10 * np.log10((plain**2).mean() / (noise**2).mean()) == pytest.approx(snr_db, abs=1)
    lost = clips["3 % lost"][0]
    assert np.all((lost == plain) | (lost == 0))


def test_the_same_seed_gives_the_same_clips(speech, tmp_path):
    conditions.make(speech, tmp_path / "one", seed=3)
    conditions.make(speech, tmp_path / "two", seed=3)
    one, two = heard(tmp_path / "one"), heard(tmp_path / "two")
    assert all(np.array_equal(one[name][0], two[name][0]) for name in one)


def test_a_folder_without_such_recordings_is_named(speech, tmp_path):
    (speech / "dev" / "manifest.jsonl").write_text("")
    with pytest.raises(ValueError, match="no recordings of the groups"):
        conditions.make(speech, tmp_path / "out")
