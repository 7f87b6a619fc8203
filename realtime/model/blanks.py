"""Pads in a row: a decoder that has written nothing for a while is made readier to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from realtime import figures
from realtime.errors import CheckpointError

PENALTY_FILE = "blank_penalty.json"
LARGEST = 1000  # of a figure: beyond is a mistake


@dataclass(frozen=True, slots=True)
class BlankPenalty:
    """Weakens the pad token after `after` pads in a row: `slope` per further pad, at most `limit` logits.

    The defaults answer the "blank rut" reported for the 4B weights: pads for minutes over clear speech while true
    silence keeps a margin of more than 8 logits. A checkpoint may bring figures of its own, as blank_penalty.json:
    {"after": 12, "slope": 1.0, "limit": 3.0, "source": "any text"}. Raises ValueError for figures that make no sense.
    """

    after: float = 200
    slope: float = 0.5
    limit: float = 7.0

    def __post_init__(self) -> None:
        if self.after < 0 or self.after % 1:
            raise ValueError(f"after must be a number of tokens, found {self.after:g}.")
        for name in ("slope", "limit"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than 0, found {getattr(self, name):g}.")

    @classmethod
    def load(cls, folder: Path) -> BlankPenalty | None:
        """What a checkpoint brings; None for one that brings none. Raises CheckpointError that names file and field."""
        path = folder / PENALTY_FILE
        found = figures.read(path, LARGEST, ("after", "slope", "limit"))
        try:
            return None if found is None else cls(**found)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from None

    def logits(self, blank_run: Tensor) -> Tensor:
        """Pads in a row so far [B] -> what the score of the next is less [B]."""
        return ((blank_run - self.after) * self.slope).clamp(0, self.limit)
