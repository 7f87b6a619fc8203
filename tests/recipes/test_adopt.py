import json
import statistics

import pytest
import torch

from recipes.tiny import adopt, export
from recipes.tiny.train import Trainer
from tests.recipes.conftest import train_here


@pytest.fixture
def adopted(toy, small_model, monkeypatch):
    """(exported folder, the checkpoint that was made of it)"""
    Trainer(small_model, 0.02, 2e-3).save(toy / "any.pt")
    export.export(toy / "any.pt", toy / "tekken.json", toy / "bundle")
    (toy / "phones.json").unlink()
    for name, value in {"steps": 80, "batch": 1, "ticks": 96, "ranks": 1}.items():
        monkeypatch.setattr(adopt, "HEAD", adopt.replace(adopt.HEAD, **{name: value}))
    monkeypatch.setattr("recipes.tiny.train.params", lambda size, **_: small_model.p)
    monkeypatch.setattr(adopt, "train", train_here)
    monkeypatch.setattr("recipes.tiny.train.LOG_EVERY_S", 0)
    return toy / "bundle", adopt.adopt(toy / "bundle", "last", toy, {"toy": 1.0})


def test_an_adopted_folder_has_its_weights_and_exports_to_itself(adopted, toy):
    bundle, checkpoint = adopted
    assert checkpoint == toy / "run" / "last.pt"
    for name, weight in export.load(bundle).state_dict().items():
        assert torch.equal(weight, export.load(checkpoint).state_dict()[name]), name
    export.export(checkpoint, toy / "tekken.json", toy / "again")
    for file in ("consolidated.safetensors", "params.json", "tekken.json"):
        assert (toy / "again" / file).read_bytes() == (bundle / file).read_bytes()


def test_the_new_head_learns_to_name_phones(adopted, toy):
    rows = [json.loads(line) for line in (toy / "run" / "last.jsonl").open()]
    losses = [row["aux"] for row in rows if "aux" in row]
    assert statistics.fmean(losses[-20:]) < 0.8 * statistics.fmean(losses[:20])
    assert not any("text" in row for row in rows)
