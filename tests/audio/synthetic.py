"""Speech-like sound that webrtcvad takes for speech, and noises that it should not: all computed, float32 at 16 kHz."""

from __future__ import annotations

import numpy as np

RATE_HZ = 16_000
# (F1, F2, F3) in Hz of ah, ee, oh, eh: textbook averages of a male voice
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480))
BANDWIDTHS_HZ = (80, 100, 140)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    """White noise with `level` as its standard deviation."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ)) * level
    return np.clip(samples, -1, 1).astype(np.float32)


def click(seconds: float, at_s: float) -> np.ndarray:
    """Silence with one click of 4 ms."""
    samples = silence(seconds)
    at = round(at_s * RATE_HZ)
    samples[at : at + 64] = noise(64 / RATE_HZ, 0.3)
    return samples


def speech(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Syllables of 0.16 s with 0.04 s between them: a gliding pulse train through three formants."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    syllables = [
        _syllable(0.16, VOWELS[rng.integers(len(VOWELS))], rng.uniform(95, 130)) for _ in range(n // 3200 + 1)
    ]
    samples = np.concatenate([np.concatenate((s, silence(0.04))) for s in syllables])[:n]
    return (samples * level / np.abs(samples).max()).astype(np.float32)


def _syllable(seconds: float, formants_hz: tuple[int, ...], pitch_hz: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.15 * t / seconds)) / RATE_HZ
    harmonics = np.arange(1, int(4000 / (pitch_hz * 1.15)))
    gains = [_gain(k * pitch_hz, formants_hz) for k in harmonics]
    voice = sum(g * np.cos(k * phase) for k, g in zip(harmonics, gains, strict=True))
    edge = np.minimum(1, np.minimum(np.arange(len(t)), np.arange(len(t))[::-1]) / (0.015 * RATE_HZ))
    return (voice * edge).astype(np.float32)


def _gain(hz: float, formants_hz: tuple[int, ...]) -> float:
    s = 2j * np.pi * hz
    poles = [2 * np.pi * complex(-b / 2, f) for f, b in zip(formants_hz, BANDWIDTHS_HZ, strict=True)]
    return float(np.prod([abs(p) ** 2 / abs((s - p) * (s - p.conjugate())) for p in poles]))
