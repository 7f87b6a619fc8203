"""What every synthesiser hands over."""

from typing import NamedTuple

import numpy as np


class Speech(NamedTuple):
    """One utterance: int16 audio at its own rate, and times in seconds from its first sample."""

    audio: np.ndarray
    rate: int
    word_ends_s: list[float] | None
    """None where the synthesiser tells none: align.py finds them"""
    phones: list[tuple[str, float]] | None
    """(espeak name, start_s), None where the synthesiser tells none."""
