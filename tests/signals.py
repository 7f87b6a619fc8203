"""Sounds for tests that need audio but no speech."""

from __future__ import annotations

import numpy as np

RATE = 16000


def babble(seconds: float, seed: int) -> np.ndarray:
    """Speech-like bursts: gliding harmonics, band noise and pauses of 60 to 220 ms. float32 [n], on the 16-bit grid."""
    rng = np.random.default_rng(seed)
    pieces, total = [], int(seconds * RATE)
    while sum(map(len, pieces)) < total:
        count = int(rng.integers(0.06 * RATE, 0.22 * RATE))
        kind = rng.random()
        if kind < 0.5:
            piece = _voiced(rng, count)
        elif kind < 0.8:
            piece = rng.standard_normal(count) * 0.3
        else:
            piece = np.zeros(count)
        pieces.append(piece * 10 ** rng.uniform(-2.0, -0.5))
    samples = np.concatenate(pieces)[:total]
    return (np.clip(np.round(samples * 32768), -32768, 32767) / 32768).astype(np.float32)


def _voiced(rng: np.random.Generator, count: int) -> np.ndarray:
    time = np.arange(count) / RATE
    pitch = rng.uniform(80, 400) * (1 + rng.uniform(-0.5, 0.5) * time / time[-1])
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formant = rng.uniform(300, 3500)
    loudness = [np.exp(-(((k * pitch.mean() - formant) / 700) ** 2)) for k in range(1, 25)]
    return sum(a * np.sin(k * phase) for k, a in enumerate(loudness, 1))


def frames(samples: np.ndarray, silent_frames: int = 0) -> np.ndarray:
    """The engine's grid: 1240 zeros and the first 40 samples, then 1280 each; the rest padded. [n, 1280]."""
    shifted = np.concatenate([np.zeros(1240, np.float32), samples])
    padding = np.zeros(-len(shifted) % 1280 + 1280 * silent_frames, np.float32)
    return np.concatenate([shifted, padding]).reshape(-1, 1280)
