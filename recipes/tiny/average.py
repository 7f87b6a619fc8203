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

    Raises ValueError if the checkpoints are of different sizes.
    """
    shares = mean.shares
    saved = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in shares}
    main = saved[max(shares, key=shares.get)]
    if any(s["params"] != main["params"] for s in saved.values()):
        raise ValueError(f"{', '.join(shares)}: models of different sizes have no mean")
    weights = {
        name: sum(share * saved[phase]["model"][name] for phase, share in shares.items())
        for name in main["model"]
    }
    path = folder / f"{mean.name}.pt"
    torch.save({**main, "model": weights}, path)
    return path
