import json
import statistics

import pytest
import torch

from recipes.tiny import adopt, export
from recipes.tiny.model import Model
from recipes.tiny.train import Trainer
from tests.recipes.conftest import train_here


@pytest.fixture
def adopted(toy, small_model, monkeypatch):
    """(exported folder, the checkpoint that was made of it)"""
    Trainer(small_model, 0.02, 2e-3).save(toy / "any.pt")
    export.export(toy / "any.pt", toy / "tekken.json", toy / "bundle")
    (toy / "phones.json").unlink()
    short = adopt.replace(adopt.HEAD, steps=80, batch=1, ticks=96, ranks=1, augment=(), adam_lr=0.01)
    monkeypatch.setattr(adopt, "HEAD", short)
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


def test_the_new_head_alone_learns_to_name_phones(adopted, toy, sequences):
    phones = json.loads((toy / "phones.json").read_text())
    sequences.phone_ids = {name: n for n, name in enumerate(phones)}

    def loss(checkpoint):
        saved = torch.load(toy / "run" / checkpoint, weights_only=True)
        trainer = Trainer(Model(saved["params"], len(phones)), 0.02, 2e-3)
        trainer.restore(toy / "run" / checkpoint)
        with torch.no_grad():
            losses = [trainer._losses(sequences.at(n), 1.0, True)["aux"].item() for n in range(1000, 1020)]
        return statistics.fmean(losses)

    assert loss("last.pt") < 0.8 * loss("last.bundle.pt")
    rows = [json.loads(line) for line in (toy / "run" / "last.jsonl").open()]
    assert not any("text" in row for row in rows)
