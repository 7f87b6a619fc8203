"""Log-mel spectrum of the family: 25 ms periodic Hann, 10 ms hop, Slaney filters, a fixed maximum.

Because the maximum is a constant, no feature depends on the future and streaming equals offline. Source: the
feature extractor of Voxtral Realtime in transformers and mistral_common (docs/decisions/mel.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realtime.model.args import AudioArgs

_LINEAR_HZ_PER_MEL = 200 / 3  # Slaney's scale: linear to 1 kHz, logarithmic above
_LOG_START_HZ = 1000.0
_LOG_START_MEL = 15.0
_MEL_PER_NEPER = 27 / torch.log(torch.tensor(6.4, dtype=torch.float64)).item()
_DYNAMIC_RANGE = 8.0  # log10 units below the maximum that are kept


def hz_to_mel(hz: Tensor) -> Tensor:
    logarithmic = _LOG_START_MEL + _MEL_PER_NEPER * (hz.clamp_min(1e-9) / _LOG_START_HZ).log()
    return torch.where(hz < _LOG_START_HZ, hz / _LINEAR_HZ_PER_MEL, logarithmic)


def mel_to_hz(mel: Tensor) -> Tensor:
    logarithmic = _LOG_START_HZ * ((mel - _LOG_START_MEL) / _MEL_PER_NEPER).exp()
    return torch.where(mel < _LOG_START_MEL, mel * _LINEAR_HZ_PER_MEL, logarithmic)


def mel_filters(args: AudioArgs) -> Tensor:
    """Triangular filters of equal area, 0 Hz to Nyquist. [window_size // 2 + 1, num_mel_bins] float32."""
    nyquist = torch.tensor(args.sampling_rate / 2, dtype=torch.float64)
    bins = args.window_size // 2 + 1
    hz = torch.linspace(0, nyquist.item(), bins, dtype=torch.float64)[:, None]
    edges = mel_to_hz(
        torch.linspace(0, hz_to_mel(nyquist).item(), args.num_mel_bins + 2, dtype=torch.float64)
    )
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = torch.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)).clamp_min(0)
    return (triangles * 2 / (high - low)).float()


class LogMel(nn.Module):
    """Waveform to log-mel, always in float32."""

    def __init__(self, args: AudioArgs):
        super().__init__()
        self.args = args
        self.floor = args.global_log_mel_max - _DYNAMIC_RANGE
        self.register_buffer("window", torch.hann_window(args.window_size, periodic=True), persistent=False)
        self.register_buffer("filters", mel_filters(args), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """samples [B, window_size + hop_length * (n - 1)] float32 -> [B, num_mel_bins, n] float32, nothing padded."""
        windows = samples.unfold(-1, self.args.window_size, self.args.hop_length) * self.window
        power = torch.view_as_real(torch.fft.rfft(windows)).square().sum(-1)
        log = (power @ self.filters).clamp_min(1e-10).log10()
        return ((log.clamp_min(self.floor) + 4.0) / 4.0).transpose(1, 2)
