"""The causal audio encoder: two convolutions that remember their last inputs, then a rolling-window transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.args import ModelArgs
from realtime.model.layers import Layer, RMSNorm, Rope, linear


class CausalConv(nn.Module):
    """Kernel 3 over time; needs `3 - stride` earlier inputs and nothing else. Exact GELU behind it."""

    def __init__(self, channels: int, dim: int, stride: int):
        super().__init__()
        self.stride = stride
        self.tail = 3 - stride
        self.weight = nn.Parameter(torch.empty(dim, channels, 3), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(dim), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, channels, tail + n] -> [B, dim, n / stride]."""
        # As a product of unfolded windows: convolution kernels choose the order of their sums by the batch size.
        windows = x.unfold(-1, 3, self.stride).transpose(1, 2).flatten(2)
        return F.gelu(linear(windows, self.weight.flatten(1), self.bias)).transpose(1, 2)


class Encoder(nn.Module):
    def __init__(self, args: ModelArgs):
        super().__init__()
        tower = args.encoder
        self.args = tower
        self.conv1 = CausalConv(args.audio.num_mel_bins, tower.dim, stride=1)
        self.conv2 = CausalConv(tower.dim, tower.dim, stride=2)
        self.layers = nn.ModuleList(Layer(tower) for _ in range(tower.n_layers))
        self.norm = RMSNorm(tower.dim, tower.norm_eps)

    def stem(self, mel: Tensor, mel_tail: Tensor, conv_tail: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mel [B, mel, 2 n] behind its tails -> positions [B, n, dim] and the next tails."""
        mel = torch.cat((mel_tail, mel), -1)
        hidden = torch.cat((conv_tail, self.conv1(mel)), -1)
        return (
            self.conv2(hidden).transpose(1, 2),
            mel[..., -self.conv1.tail :],
            hidden[..., -self.conv2.tail :],
        )

    def prepare(self) -> None:
        """Once, when the weights are on their device: the frequencies of the rotation."""
        self.rope = Rope(self.args.head_dim, self.args.rope_theta, self.norm.weight.device)

    def transform(self, x: Tensor, positions: Tensor, memory) -> Tensor:
        """x [B, n, dim] at absolute positions [B, n] -> [B, n, dim]."""
        rope = self.rope(positions, x.dtype)
        for index, layer in enumerate(self.layers):
            x = layer(x, rope, memory.layer(index))
        return self.norm(x)
