"""The delayed-streams decoder: audio vector + embedding of the previous token in, one token out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realtime.model.args import ModelArgs
from realtime.model.layers import DelayScale, Layer, RMSNorm, Rope, delay_embedding, linear

# What the family was trained with: 80 to 1200 ms and 2400 ms.
DELAYS_TOKENS = (*range(1, 16), 30)
MAX_DELAY_TOKENS = max(DELAYS_TOKENS)


class Decoder(nn.Module):
    def __init__(self, args: ModelArgs):
        super().__init__()
        tower = args.decoder
        self.args = tower
        self.tok_embeddings = nn.Embedding(args.vocab_size, tower.dim)
        self.layers = nn.ModuleList(Layer(tower) for _ in range(tower.n_layers))
        self.delay_scales = nn.ModuleList(DelayScale(tower.dim, args.ada_dim) for _ in range(tower.n_layers))
        self.norm = RMSNorm(tower.dim, tower.norm_eps)

    def scale_table(self) -> Tensor:
        """The delay's effect for every delay: [MAX_DELAY_TOKENS + 1, layers, dim]. A row is gathered per stream."""
        weight = self.tok_embeddings.weight
        delays = torch.arange(MAX_DELAY_TOKENS + 1, device=weight.device)
        embedding = delay_embedding(delays, self.args.dim).to(weight.dtype)
        return torch.stack([scale(embedding) for scale in self.delay_scales], 1)

    def prepare(self) -> None:
        """Once, when the weights are on their device: the frequencies of the rotation."""
        self.rope = Rope(self.args.head_dim, self.args.rope_theta, self.norm.weight.device)

    def transform(self, x: Tensor, positions: Tensor, memory, scales: Tensor) -> Tensor:
        """x [B, n, dim] at absolute positions [B, n], scales [B, layers, dim] -> logits [B, n, vocab]."""
        rope = self.rope(positions, x.dtype)
        for index, layer in enumerate(self.layers):
            x = layer(x, rope, memory.layer(index), scales[:, index, None])
        return linear(self.norm(x), self.tok_embeddings.weight)
