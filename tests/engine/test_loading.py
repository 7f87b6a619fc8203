"""Checkpoints that load but that no session could use are refused before the first stream."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import save_file

from realtime.engine import load_engine, loading
from realtime.engine.runner import Runner
from realtime.errors import CheckpointError
from realtime.model.blanks import PENALTY_FILE, BlankPenalty
from realtime.text.confidence import CALIBRATION_FILE, IDENTITY, Calibration
from tests import checkpoints


def test_a_usable_checkpoint_is_loaded(tmp_path):
    engine = load_engine(checkpoints.write(tmp_path / "small"), slots=3, device="cpu")
    assert (engine.slots, engine.model_name, engine.device_name) == (3, "small", "cpu")


def test_frames_of_another_length_are_refused(tmp_path):
    folder = checkpoints.write(tmp_path / "small")
    tree = checkpoints.params()
    whisper = tree["multimodal"]["whisper_model_args"]
    whisper["encoder_args"]["audio_encoding_args"]["frame_rate"] = 25.0
    whisper["downsample_args"]["downsample_factor"] = 2
    (folder / "params.json").write_text(json.dumps(tree))
    save_file(checkpoints.random_tensors(folder), folder / "consolidated.safetensors")
    with pytest.raises(CheckpointError, match="small: hears 16000 Hz in frames of 640 samples"):
        load_engine(folder, slots=1, device="cpu")


def test_a_tokenizer_of_a_larger_model_is_refused(tmp_path):
    folder = checkpoints.write(tmp_path / "small")
    (folder / "tekken.json").write_text(json.dumps(checkpoints.tekken(vocab_size=500)))
    with pytest.raises(CheckpointError, match=r"tekken.json: more tokens than the model's 400"):
        load_engine(folder, slots=1, device="cpu")


def test_the_calibration_of_a_checkpoint_comes_with_it(tmp_path):
    folder = checkpoints.write(tmp_path / "small")
    assert load_engine(folder, slots=1, device="cpu").calibration == IDENTITY
    (folder / CALIBRATION_FILE).write_text(Calibration(0.8, -0.5).json("a test"))
    assert load_engine(folder, slots=1, device="cpu").calibration == Calibration(0.8, -0.5)


def test_a_broken_calibration_is_refused(tmp_path):
    folder = checkpoints.write(tmp_path / "small")
    (folder / CALIBRATION_FILE).write_text("{}")
    with pytest.raises(CheckpointError, match=r"small/confidence.json: scale must be a number"):
        load_engine(folder, slots=1, device="cpu")


def test_the_blank_penalty_of_a_checkpoint_comes_with_it_unless_it_is_switched_off(tmp_path, monkeypatch):
    folder = checkpoints.write(tmp_path / "small")
    runs = []
    monkeypatch.setattr(loading, "Runner", lambda *given: runs.append(given[-1]) or Runner(*given))

    def penalty(wanted: bool | None) -> BlankPenalty | None:
        load_engine(folder, slots=1, device="cpu", blank_penalty=wanted)
        return runs[-1].penalty

    assert (penalty(None), penalty(False), penalty(True)) == (None, None, BlankPenalty())
    (folder / PENALTY_FILE).write_text('{"after": 12, "slope": 1, "limit": 4}')
    own = BlankPenalty(12, 1.0, 4.0)
    assert (penalty(None), penalty(False), penalty(True)) == (own, None, own)


def test_a_broken_blank_penalty_is_refused(tmp_path):
    folder = checkpoints.write(tmp_path / "small")
    (folder / PENALTY_FILE).write_text("{}")
    with pytest.raises(CheckpointError, match=r"small/blank_penalty.json: after must be a number"):
        load_engine(folder, slots=1, device="cpu")
