"""Any chunking = one chunk: ways to cut the same input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def cuts(data, sizes) -> Iterator:
    """Slices of `data` whose lengths cycle through `sizes`; some may be 0."""
    at = n = 0
    while at < len(data):
        size = int(sizes[n % len(sizes)])
        yield data[at : at + size]
        at, n = at + size, n + 1


def ways_to_cut(longest: int, seed: int) -> list[list[int]]:
    """One by one, oddly, and at random (with empty chunks) up to `longest`."""
    rng = np.random.default_rng(seed)
    random = [[0, *rng.integers(0, longest + 1, 50).tolist(), longest] for _ in range(3)]
    return [[1], [7], [longest - 1, 3], [longest], *random]
