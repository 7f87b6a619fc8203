"""A larger model that begins as the smaller one, with room to learn more (Chen et al. 2016, Net2Net)."""

import re

import torch

from recipes.tiny.model import Model

OUTWARD = (".w1.weight", ".w3.weight", ".wq.weight")
INWARD = (".w2.weight", ".wo.weight")
"""What adds to the residual stream: its new inputs, and those of new layers, begin at zero: nothing changes."""


def grow(small: dict[str, torch.Tensor], model: Model) -> None:
    """Fills a model with the weights of a smaller one: more layers on top, more hidden units, more query heads.

    Raises ValueError if the widths, the key-value heads or the head that names phones differ, or layers would be lost.
    """
    if lost := sorted(small.keys() - dict(model.named_parameters()).keys()):
        raise ValueError(f"{lost[0]}: cannot grow to a model that has no such layer")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            old = small.get(name)
            if old is None:
                _begin(name, weight, small)
            elif old.shape == weight.shape:
                weight.copy_(old)
            else:
                _widen(name, weight, old)


def _begin(name: str, weight: torch.Tensor, small: dict[str, torch.Tensor]) -> None:
    """A parameter of a layer that is new."""
    first = re.sub(r"layers\.\d+\.", "layers.0.", name)
    if first == name or first not in small:
        raise ValueError(f"{name}: the smaller model has nothing like it")
    if name.endswith(INWARD):
        weight.zero_()


def _widen(name: str, weight: torch.Tensor, old: torch.Tensor) -> None:
    """Hidden units or query heads behind those there were."""
    rows, columns = old.shape[0], old.shape[-1]
    if name.endswith(OUTWARD) and weight.shape[1:] == old.shape[1:] and len(weight) > rows:
        weight[:rows] = old
    elif name.endswith(INWARD) and len(weight) == rows and weight.shape[1] > columns:
        weight.zero_()
        weight[:, :columns] = old
    else:
        raise ValueError(f"{name}: cannot grow from {tuple(old.shape)} to {tuple(weight.shape)}")
