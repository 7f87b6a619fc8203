"""The mean of checkpoints of one line of training: what the last phase learned and what it forgot.

Wortsman et al. 2022, robust fine-tuning.
"""

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Mean:
    """A step of the plan: phase -> share; the shares sum to 1."""

    name: str
    shares: dict[str, float]


def average(mean: Mean, folder: Path) -> Path:
    """Writes folder/NAME.pt, which goes on as the phase with the largest share.

    What a smaller checkpoint lacks because the model was grown since (grow.py), new layers, stays as it is. Raises
    ValueError if the checkpoints differ in anything else.
    """
    saved = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in mean.shares}
    main = saved[max(mean.shares, key=mean.shares.get)]
    weights = {}
    for name, weight in main["model"].items():
        parts = [(saved[phase]["model"].get(name, weight), share) for phase, share in mean.shares.items()]
        if any(part.shape != weight.shape for part, _ in parts):
            raise ValueError(f"{', '.join(mean.shares)}: models of different widths have no mean")
        weights[name] = sum(share * part for part, share in parts)
    path = folder / f"{mean.name}.pt"
    torch.save({**main, "model": weights}, path)
    return path
