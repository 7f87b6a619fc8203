"""Raw scores of words to probabilities that the words are right, and which words are not worth writing.

The raw score is the probability that the model gave to the pieces of a word. Models are too sure of what they write,
or not sure enough; how much is measured on recordings (`python -m bench confidence`) and lies beside the weights it was
measured with, as `confidence.json`: {"scale": 0.9, "offset": -0.5, "source": "any text"}. A checkpoint without that
file gives raw scores.

`unwritten_below`, which may stand there too, is for small models that write something whatever they hear: a word whose
first piece was less likely than that is left out. The first piece decides, so that no text has to wait or be taken
back.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from realtime import figures
from realtime.errors import CheckpointError

CALIBRATION_FILE = "confidence.json"
# A probability nearer to 0 or 1 says no more: beyond, a model's figures are noise.
SUREST = 1e-4
LARGEST = 100  # of a scale or an offset: beyond is a mistake


@dataclass(frozen=True, slots=True)
class Calibration:
    """A line from log odds to log odds: p = sigmoid(scale * logit(score) + offset). It grows, because scale > 0."""

    scale: float = 1.0
    offset: float = 0.0
    unwritten_below: float = 0.0  # probability of a word's first piece; 0 writes every word

    def probability(self, score: float) -> float:
        """0..1 -> 0..1."""
        if (self.scale, self.offset) == (1.0, 0.0):
            return score
        return _sigmoid(self.scale * log_odds(score) + self.offset)

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a file; without one raw scores stay as they are. Raises CheckpointError that names file and field."""
        path = Path(path)
        fields = figures.read(path, LARGEST, ("scale", "offset"), ("unwritten_below",))
        if fields is None:
            return IDENTITY
        found = cls(**fields)
        if found.scale <= 0:
            raise CheckpointError(
                f"{path}: scale must be greater than 0, so that a higher score stays higher."
            )
        if not 0 <= found.unwritten_below < 1:
            raise CheckpointError(f"{path}: unwritten_below is a probability, from 0 to less than 1.")
        return found

    def json(self, source: str) -> str:
        """The text of such a file."""
        fields = {"scale": self.scale, "offset": self.offset, "source": source}
        if self.unwritten_below:
            fields["unwritten_below"] = self.unwritten_below
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"


IDENTITY = Calibration()


def log_odds(score: float) -> float:
    """Of a probability, cut off at SUREST from both ends."""
    score = min(max(score, SUREST), 1.0 - SUREST)
    return math.log(score) - math.log1p(-score)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
