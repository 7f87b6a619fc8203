"""The mean of checkpoints of one line of training: what the last phase learned and what it forgot.

Wortsman et al. 2022, robust fine-tuning.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch

from recipes.tiny.model import encoder_args


@dataclass(frozen=True)
class Mean:
    """A step of the plan: phase -> share; the shares sum to 1."""

    name: str
    shares: dict[str, float]


def average(mean: Mean, folder: Path) -> Path:
    """Writes folder/NAME.pt, which goes on as the phase with the largest share.

    Layers that a checkpoint lacks because the model was grown since (grow.py) stay as they are. Raises ValueError if
    the models differ in anything else, or if one of a smaller share has more layers.
    """
    saved = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in mean.shares}
    main = saved[max(mean.shares, key=mean.shares.get)]
    if any(_but_depth(s["params"]) != _but_depth(main["params"]) for s in saved.values()):
        raise ValueError(f"{', '.join(mean.shares)}: models of different widths or windows have no mean")
    if any(s["model"].keys() - main["model"].keys() for s in saved.values()):
        raise ValueError(f"{', '.join(mean.shares)}: the model of most layers must have the largest share")
    weights = {
        name: sum(share * saved[phase]["model"].get(name, weight) for phase, share in mean.shares.items())
        for name, weight in main["model"].items()
    }
    path = folder / f"{mean.name}.pt"
    torch.save({**main, "model": weights}, path)
    return path


def _but_depth(params: dict) -> dict:
    """The tree of params.json without its numbers of layers."""
    rest = copy.deepcopy(params)
    for part in (rest, encoder_args(rest)):
        del part["n_layers"]
    return rest
