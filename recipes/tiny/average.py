"""The mean of checkpoints of one line of training: what the last phase learned and what it forgot.

Wortsman et al. 2022, robust fine-tuning.
"""

from pathlib import Path

import torch

NAME = "average"


def average(shares: dict[str, float], folder: Path) -> Path:
    """Phase -> share; the shares sum to 1. Writes folder/average.pt, which goes on as the phase with the largest share.

    Raises ValueError if the checkpoints are of different sizes.
    """
    saved = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in shares}
    main = saved[max(shares, key=shares.get)]
    if any(s["params"] != main["params"] for s in saved.values()):
        raise ValueError(f"{', '.join(shares)}: models of different sizes have no mean")
    mean = {
        name: sum(share * saved[phase]["model"][name] for phase, share in shares.items())
        for name in main["model"]
    }
    torch.save({**main, "model": mean}, folder / f"{NAME}.pt")
    return folder / f"{NAME}.pt"
