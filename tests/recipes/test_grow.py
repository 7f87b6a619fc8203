import pytest
import torch

from recipes.tiny import plan
from recipes.tiny.grow import grow
from recipes.tiny.model import Model, params


@torch.no_grad()
def outputs(model, batch):
    frames = model.encode(batch.mel)
    return model.aux(frames), model.decode(model.adapt(frames), batch.tokens, batch.delay)


@pytest.mark.parametrize(
    "larger",
    [{"layers": 3}, {"hidden": 160}, {"heads": 4}, {"enc_layers": 2}, {"enc_hidden": 128}],
    ids=lambda larger: next(iter(larger)),
)
def test_a_grown_model_begins_as_the_smaller_one(larger, small_params, small_model, sequences):
    model = Model(small_params(small_model.p["vocab_size"], **larger), small_model.aux.out_features)
    grow(small_model.state_dict(), model)
    batch = sequences.at(0)
    for new, old in zip(outputs(model, batch), outputs(small_model, batch), strict=True):
        torch.testing.assert_close(new, old)


def test_what_was_added_learns(small_params, small_model, sequences):
    model = Model(small_params(small_model.p["vocab_size"], layers=2), small_model.aux.out_features)
    grow(small_model.state_dict(), model)
    batch = sequences.at(0)
    model.decode(model.adapt(model.encode(batch.mel)), batch.tokens, batch.delay).square().mean().backward()
    assert model.layers[1].feed_forward.w2.weight.grad.abs().max() > 0


@pytest.mark.parametrize("other", [{"dim": 128}, {"enc_heads": 4}, {"layers": 1, "hidden": 64}])
def test_other_changes_are_refused(other, small_params, small_model):
    model = Model(small_params(small_model.p["vocab_size"], **other), small_model.aux.out_features)
    with pytest.raises(ValueError, match="cannot grow"):
        grow(small_model.state_dict(), model)


def test_layers_are_not_lost_unsaid(small_params, small_model):
    model = Model(small_params(small_model.p["vocab_size"], layers=2), small_model.aux.out_features)
    with pytest.raises(ValueError, match="cannot grow"):
        grow(model.state_dict(), small_model)


@pytest.mark.parametrize("name", [name for name, size in plan.SIZES.items() if size])
def test_every_size_that_is_compared_grows_from_the_last(name):
    last = next(step.size for step in reversed(plan.PHASES) if getattr(step, "size", None))
    grow(Model(params(300, **last), 5).state_dict(), Model(params(300, **plan.SIZES[name]), 5))
