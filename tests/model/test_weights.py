"""Every broken checkpoint names the file and, where there is one, the tensor or key that is wrong."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from realtime.errors import CheckpointError
from realtime.model import weights
from tests import checkpoints

WQ = "layers.1.attention.wq.weight"


@pytest.fixture
def folder(tmp_path):
    return checkpoints.write(tmp_path / "checkpoint")


def change(folder, edit):
    path = folder / "consolidated.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


def change_params(folder, edit):
    path = folder / "params.json"
    tree = json.loads(path.read_text())
    edit(tree)
    path.write_text(json.dumps(tree))


def refusal(folder) -> str:
    with pytest.raises(CheckpointError) as caught:
        weights.load(folder)
    return caught.value.message


def test_loads(folder):
    model = weights.load(folder)
    assert model.args.encoder.sliding_window == 30
    assert model.dtype == torch.float32


def test_permutations_are_inverse():
    rows = torch.arange(24.0)[:, None]
    assert torch.equal(weights.half_split(weights.interleave(rows, 3), 3), rows)
    assert weights.half_split(torch.arange(8.0), 1).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


def test_missing_folder_and_empty_folder(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert "neither params.json" in refusal(tmp_path)


def test_missing_file(folder):
    (folder / "consolidated.safetensors").unlink()
    assert "consolidated.safetensors: no such file" in refusal(folder)


def test_truncated_file(folder):
    path = folder / "consolidated.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "consolidated.safetensors: truncated" in refusal(folder)


def test_file_that_is_something_else(folder):
    (folder / "consolidated.safetensors").write_bytes(b"PK\x03\x04 not safetensors at all")
    assert "consolidated.safetensors" in refusal(folder)


def test_missing_tensor(folder):
    change(folder, lambda tensors: tensors.pop(WQ))
    message = refusal(folder)
    assert WQ in message and "missing" in message and "consolidated.safetensors" in message


def test_wrong_shape(folder):
    change(folder, lambda tensors: tensors.update({WQ: torch.zeros(3, 48)}))
    message = refusal(folder)
    assert WQ in message and "[3, 48]" in message and "[64, 48]" in message


def test_foreign_tensor(folder):
    change(folder, lambda tensors: tensors.update({"vision.patch.weight": torch.zeros(3)}))
    assert "vision.patch.weight" in refusal(folder)


def test_tensor_of_a_layer_that_the_config_does_not_have(folder):
    change(folder, lambda tensors: tensors.update({"layers.7.attention_norm.weight": torch.zeros(48)}))
    assert "layers.7.attention_norm.weight" in refusal(folder)


def test_integer_tensor(folder):
    change(folder, lambda tensors: tensors.update({WQ: torch.zeros(64, 48, dtype=torch.int32)}))
    assert WQ in refusal(folder)


def test_params_that_are_no_json(folder):
    (folder / "params.json").write_text("{")
    assert "params.json" in refusal(folder)


def test_missing_key(folder):
    change_params(folder, lambda tree: tree.pop("sliding_window"))
    message = refusal(folder)
    assert "params.json" in message and "sliding_window" in message


def test_key_of_a_wrong_type(folder):
    change_params(folder, lambda tree: tree.update(n_heads="many"))
    message = refusal(folder)
    assert "n_heads" in message and "many" in message


def test_offline_voxtral_is_told_apart(folder):
    def offline(tree):
        tree["multimodal"]["whisper_model_args"]["encoder_args"]["causal"] = False

    change_params(folder, offline)
    assert "not a realtime one" in refusal(folder)


def test_other_hugging_face_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    assert "whisper" in refusal(tmp_path)


def test_half_precision_files_load_as_float32_on_the_cpu(folder):
    path = folder / "consolidated.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    assert weights.load(folder).dtype == torch.float32


def test_decoder_window_can_be_shortened(folder):
    assert weights.load(folder, decoder_window_tokens=8).new_state(1).decoder.cells == 8
    assert weights.load(folder, decoder_window_tokens=10**6).new_state(1).decoder.cells == 20
