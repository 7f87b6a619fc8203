"""Pads in a row: a decoder that has written nothing for a while is made readier to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realtime import figures
from realtime.errors import CheckpointError

PENALTY_FILE = "blank_penalty.json"


@dataclass(frozen=True, slots=True)
class BlankPenalty:
    """Weakens the pad token after `after` pads in a row: `slope` per further pad, at most `limit` logits.

    The defaults answer the "blank rut" reported for the 4B weights: pads for minutes over clear speech while true
    silence keeps a margin of more than 8 logits. A checkpoint may bring figures of its own, as blank_penalty.json:
    {"after": 12, "slope": 1.0, "limit": 3.0, "source": "any text"}.
    """

    after: int = 200
    slope: float = 0.5
    limit: float = 7.0

    @classmethod
    def load(cls, folder: Path) -> BlankPenalty | None:
        """What a checkpoint brings; None for one that brings none. Raises CheckpointError that names file and field."""
        path = folder / PENALTY_FILE
        found = figures.read(path, ("after", "slope", "limit"))
        if found is None:
            return None
        if found["after"] < 0 or found["after"] % 1:
            raise CheckpointError(f"{path}: after must be a number of tokens, found {found['after']:g}.")
        for name in ("slope", "limit"):
            if found[name] <= 0:
                raise CheckpointError(f"{path}: {name} must be greater than 0, found {found[name]:g}.")
        return cls(int(found["after"]), found["slope"], found["limit"])
