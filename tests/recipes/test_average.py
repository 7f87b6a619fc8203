import pytest
import torch

from recipes.tiny import average
from recipes.tiny.average import Mean
from recipes.tiny.model import Model
from recipes.tiny.train import Trainer


def save(model, path):
    Trainer(model, 0.02, 2e-3).save(path)
    return {name: w.clone() for name, w in model.state_dict().items()}


def test_the_mean_is_weighted_and_can_be_gone_on_from(small_model, tmp_path):
    first = save(small_model, tmp_path / "a.pt")
    second = save(Model(small_model.p, 5), tmp_path / "b.pt")
    path = average.average(Mean("both", {"a": 0.25, "b": 0.75}), tmp_path)
    assert path == tmp_path / "both.pt"
    trainer = Trainer(Model(small_model.p, 5), 0.02, 2e-3)
    trainer.restore(path)
    for name, weight in trainer.model.state_dict().items():
        torch.testing.assert_close(weight, 0.25 * first[name] + 0.75 * second[name])


def test_layers_that_are_new_since_stay_as_they_are(small_model, small_params, tmp_path):
    small = save(small_model, tmp_path / "small.pt")
    large = save(Model(small_params(small_model.p["vocab_size"], layers=2), 5), tmp_path / "large.pt")
    average.average(Mean("both", {"small": 0.25, "large": 0.75}), tmp_path)
    both = torch.load(tmp_path / "both.pt", weights_only=True)["model"]
    assert any(name not in small for name in large)
    for name, weight in both.items():
        expected = 0.25 * small[name] + 0.75 * large[name] if name in small else large[name]
        torch.testing.assert_close(weight, expected)


@pytest.mark.parametrize("other", [{"hidden": 128}, {"window": 16}])
def test_models_of_different_widths_or_windows_are_refused(small_model, small_params, tmp_path, other):
    save(small_model, tmp_path / "a.pt")
    save(Model(small_params(small_model.p["vocab_size"], **other), 5), tmp_path / "b.pt")
    with pytest.raises(ValueError, match="different widths"):
        average.average(Mean("both", {"a": 0.5, "b": 0.5}), tmp_path)


def test_layers_are_not_lost_to_a_larger_share(small_model, small_params, tmp_path):
    save(small_model, tmp_path / "a.pt")
    save(Model(small_params(small_model.p["vocab_size"], layers=2), 5), tmp_path / "b.pt")
    with pytest.raises(ValueError, match="must have the largest share"):
        average.average(Mean("both", {"a": 0.75, "b": 0.25}), tmp_path)
