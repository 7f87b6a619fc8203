import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from realtime.errors import CheckpointError
from realtime.model import weights
from realtime.model.blanks import PENALTY_FILE, BlankPenalty
from realtime.text.confidence import CALIBRATION_FILE, Calibration
from recipes.tiny import export
from recipes.tiny.model import Model, encoder_args, params
from recipes.tiny.tokenizer import BOS, PAD
from recipes.tiny.train import Trainer


@torch.no_grad()
def test_greedy_decoding_agrees_with_the_teacher_forced_pass(small_model, sequences):
    mel, delay = sequences.at(0).mel, 2
    small_model.embedding.audio_language_projection[2].weight.mul_(50)  # tokens follow the audio
    audio = small_model.adapt(small_model.encode(mel))
    tokens, _ = small_model.greedy(audio, delay)
    logits = small_model.decode(audio, tokens[:, :-1], torch.tensor([delay]))
    first = 32 + delay
    assert tokens[0, : first + 1].tolist() == [BOS] + [PAD] * first
    assert len(tokens[0, first:].unique()) > 3
    assert torch.equal(tokens[:, first + 1 :], logits.argmax(-1)[:, first:])


@torch.no_grad()
def test_nothing_depends_on_the_future(small_model, sequences):
    mel = sequences.at(0).mel
    changed = mel.clone()
    changed[:, :, 8 * 48 :] += 1
    a, b = small_model.encode(mel), small_model.encode(changed)
    assert torch.equal(a[:, : 4 * 48], b[:, : 4 * 48])
    assert not torch.equal(a[:, 4 * 48 :], b[:, 4 * 48 :])


def test_the_delay_reaches_the_decoder(small_model, sequences):
    batch = sequences.at(0)
    for layer in small_model.layers:
        torch.nn.init.normal_(layer.ada_rms_norm_t_cond[2].weight)
    audio = small_model.adapt(small_model.encode(batch.mel))
    a, b = (small_model.decode(audio, batch.tokens, torch.tensor([d])) for d in (3, 12))
    assert not torch.allclose(a, b)


def test_the_bundled_shape_has_the_size_it_should():
    p = params(1280)
    count = sum(x.numel() for x in Model(p).parameters())
    assert 2.5e6 < count < 3.5e6
    assert (encoder_args(p)["sliding_window"], p["sliding_window"]) == (64, 96)


def test_export_and_load_give_the_weights_bit_for_bit_in_half(small_model, toy, tmp_path):
    trainer = Trainer(small_model, 0.02, 2e-3)
    trainer.save(tmp_path / "a.pt")
    export.export(tmp_path / "a.pt", toy / "tekken.json", tmp_path / "bundle")
    stored = load_file(tmp_path / "bundle" / "consolidated.safetensors")
    assert not any(name.startswith("aux") for name in stored)
    assert "mm_streams_embeddings.embedding_module.tok_embeddings.weight" in stored
    loaded = export.load(tmp_path / "bundle").state_dict()
    want = {k: v for k, v in small_model.state_dict().items() if not k.startswith("aux")}
    assert loaded.keys() == want.keys() == stored.keys()
    for name, w in want.items():
        assert stored[name].dtype == torch.float16
        assert torch.equal(loaded[name], w.half().float())
    assert json.loads((tmp_path / "bundle" / "params.json").read_text()) == small_model.p


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_export_refuses_what_float16_cannot_hold(value, small_model, toy, tmp_path):
    with torch.no_grad():
        small_model.norm.weight[0] = value
    Trainer(small_model, 0.02, 2e-3).save(tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"norm\.weight"):
        export.export(tmp_path / "a.pt", toy / "tekken.json", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_export_refuses_what_the_service_could_not_load(small_model, toy, tmp_path):
    del small_model.p["sliding_window"]
    Trainer(small_model, 0.02, 2e-3).save(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="sliding_window"):
        export.export(tmp_path / "a.pt", toy / "tekken.json", tmp_path / "bundle")


def test_export_keeps_a_calibration(small_model, toy, tmp_path, capsys):
    def exported() -> Path:
        export.export(tmp_path / "a.pt", toy / "tekken.json", tmp_path / "bundle")
        return tmp_path / "bundle" / CALIBRATION_FILE

    Trainer(small_model, 0.02, 2e-3).save(tmp_path / "a.pt")
    assert not exported().exists()
    assert CALIBRATION_FILE not in capsys.readouterr().out
    exported().write_text(Calibration(0.5, 0.0).json("in the folder"))
    assert Calibration.load(exported()) == Calibration(0.5, 0.0)
    assert "measured with" in capsys.readouterr().out
    (toy / CALIBRATION_FILE).write_text(Calibration(0.7, 0.1).json("beside the tokenizer"))
    assert Calibration.load(exported()) == Calibration(0.7, 0.1)


def test_export_takes_a_penalty_on_blanks_along(small_model, toy, tmp_path):
    Trainer(small_model, 0.02, 2e-3).save(tmp_path / "a.pt")
    (toy / PENALTY_FILE).write_text('{"after": 12, "slope": 1, "limit": 3}')
    export.export(tmp_path / "a.pt", toy / "tekken.json", tmp_path / "bundle")
    assert BlankPenalty.load(tmp_path / "bundle") == BlankPenalty(12, 1, 3)


@torch.no_grad()
def test_the_server_computes_what_was_trained(small_model, sequences, toy, tmp_path):
    for layer in small_model.layers:
        torch.nn.init.normal_(layer.ada_rms_norm_t_cond[2].weight, std=0.1)
    Trainer(small_model, 0.02, 2e-3).save(tmp_path / "a.pt")
    export.export(tmp_path / "a.pt", toy / "tekken.json", tmp_path / "bundle")
    trained, served = export.load(tmp_path / "bundle"), weights.load(tmp_path / "bundle")
    batch = sequences.at(0)
    frames = trained.encode(batch.mel)
    torch.testing.assert_close(served.encode_whole(batch.mel), frames, atol=1e-4, rtol=1e-4)
    for delay in (3, 9):
        logits = trained.decode(trained.adapt(frames), batch.tokens, torch.tensor([delay]))
        torch.testing.assert_close(served(batch.mel, batch.tokens, delay), logits, atol=1e-3, rtol=1e-3)
