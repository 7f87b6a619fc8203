import json

import soundfile

from recipes.tiny import sizes, train
from recipes.tiny.corpus import RATE
from recipes.tiny.sizes import Trained
from tests.recipes.conftest import tone, train_here


def test_every_size_is_trained_on_exported_and_scored(toy, small_params, monkeypatch):
    monkeypatch.setattr(train, "params", small_params)
    monkeypatch.setattr(train, "train", train_here)
    for folder in ("heldout", "noise"):
        (toy / folder).mkdir()
    (toy / "noise" / "manifest.jsonl").write_text("")
    soundfile.write(toy / "heldout" / "a.wav", tone("one"), RATE)
    row = {"path": "a.wav", "text": "one", "group": "digits"}
    (toy / "heldout" / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    last = train.Phase("last", {"toy": 1.0}, steps=1, ranks=1, batch=1, ticks=96)
    train_here(last, toy, None)
    same, deeper = sizes.compare(last, "last", {"same": {}, "deeper": {"layers": 2}}, 2, toy, toy, toy)
    assert deeper.parameters_m > same.parameters_m
    assert same.loss > 0
    again = sizes.compare(last, "last", {"same": {}}, 2, toy, toy, toy)
    assert again == [same]  # what is done is not trained again
    for name, layers in (("same", 1), ("deeper", 2)):
        assert json.loads((toy / "sizes" / name / "params.json").read_text())["n_layers"] == layers


def test_the_table_has_a_row_for_each_size():
    text = sizes.table([Trained("a", 2.6, 90.4, 0.5, 9.66), Trained("b", 4.6, 60.0, 0.4, 9.0)])
    assert "| a | 2.6 | 90 | 0.500 | 9.7 |" in text.splitlines()
    assert len(text.splitlines()) == 4
