"""Where recordings are looked for, and what a manifest must hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from bench import speech
from bench.report import BenchError


def write(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_folder_or_its_dev_is_taken(tmp_path, monkeypatch):
    dev = write(tmp_path / "speech" / "dev", [])
    monkeypatch.setenv("VOXWIRE_SPEECH", str(tmp_path / "speech"))
    assert speech.folder(None) == dev
    assert speech.folder(str(dev)) == dev
    with pytest.raises(BenchError, match="no manifest"):
        speech.folder(str(tmp_path / "elsewhere"))


def test_without_recordings_there_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("VOXWIRE_SPEECH", raising=False)
    monkeypatch.setattr(speech, "ROOT", tmp_path / "checkout")
    assert speech.folder(None) is None


def test_rows_have_a_text_per_channel(tmp_path):
    rows = [{"path": "a.wav", "text": "one", "group": "g"}, {"path": "b.wav", "text": ["one", "two"]}]
    found = speech.manifest(write(tmp_path, rows))
    assert [row.texts for row in found] == [("one",), ("one", "two")]
    assert [row.group for row in found] == ["g", "all"]


def test_a_broken_line_is_named(tmp_path):
    with pytest.raises(BenchError, match="line 2"):
        speech.manifest(write(tmp_path, [{"path": "a", "text": "x"}, {"path": "b"}]))


def test_clips_are_english_mono_and_16k(tmp_path):
    tone = (8000 * np.sin(np.arange(8000) / 5)).astype(np.int16)
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", tone, 8000)
    rows = [
        {"path": "a.wav", "text": "one", "group": "digits"},
        {"path": "b.wav", "text": "eins", "group": "other_lang"},
        {"path": "c.wav", "text": ["one", "two"], "group": "two"},
    ]
    (clip,) = speech.clips(write(tmp_path, rows))
    assert abs(len(clip) - 16_000) <= 1 and clip.dtype == np.int16
    with pytest.raises(BenchError, match="no English clip"):
        speech.clips(write(tmp_path, rows[1:]))
