"""The log-mel of the architecture for whole streams, and mel filters of other vocal tracts."""

import numpy as np
import torch

from recipes.tiny.corpus import RATE

TICK_SAMPLES = 1280
LOOK_AHEAD_SAMPLES = 40
MELS_PER_TICK = 8
WINDOW, HOP, BINS = 400, 160, 128
FLOOR = -0.625
"""The least value a feature can have: log10 power -6.5, then + 4, / 4."""


def filters(warp: float = 1.0) -> torch.Tensor:
    """[201, 128] Slaney filters with Slaney norm, 0 to 8 kHz; `warp` scales the frequency axis."""
    edges = _to_hz(np.linspace(0, _to_mel(np.array(RATE / 2)), BINS + 2))
    frequency = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None] * warp
    up = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(up, down)) * 2 / (edges[2:] - edges[:-2])
    return torch.from_numpy(bank.astype(np.float32))


def _to_mel(hz: np.ndarray) -> np.ndarray:
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def _to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))


PLAIN = filters()
WARPED = [filters(w) for w in np.linspace(0.86, 1.16, 13)]
HANN = torch.hann_window(WINDOW)


def log_mel(audio: torch.Tensor, bank: torch.Tensor = PLAIN) -> torch.Tensor:
    """Whole padded stream, float32 [.., 1280 T + 40] -> [.., 128, 8 T]; frame m is centred on sample 160 m."""
    audio = torch.nn.functional.pad(audio, (WINDOW // 2, HOP))
    spectrum = torch.stft(audio, WINDOW, HOP, window=HANN, center=False, return_complex=True).abs().square()
    frames = (audio.shape[-1] - WINDOW) // TICK_SAMPLES * MELS_PER_TICK
    mel = torch.einsum("...ft,fm->...mt", spectrum[..., :frames], bank)
    return (mel.clamp_min(1e-10).log10().clamp_min(-6.5) + 4) / 4
