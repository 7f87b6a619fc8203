"""The pieces both towers are made of. Names follow the native checkpoint; q, k, v and the two gates are fused at load.

Rotation is half-split: rows of wq and wk are permuted at load (weights.py), so that a rotation is two products of
contiguous halves.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realtime.model.args import TowerArgs

# From this many rows on, CPU matrix kernels sum a row in the same order however many rows there are.
_EQUAL_SUMS_ROWS = 16


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., in] -> [..., out]. On the CPU a row's result is the same to the last bit whoever else is in the batch, so
    that a transcript does not depend on load."""
    rows = x.reshape(-1, x.shape[-1])
    missing = _EQUAL_SUMS_ROWS - rows.shape[0]
    if missing > 0 and x.device.type == "cpu":
        rows = F.linear(F.pad(rows, (0, 0, 0, missing)), weight, bias)[:-missing]
    else:
        rows = F.linear(rows, weight, bias)
    return rows.view(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """nn.Linear through `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class RMSNorm(nn.Module):
    """Root mean square norm: statistics in float32, the weight multiplied after the cast back."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim), requires_grad=False)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        # Written out in few kernels: on the CPU, F.rms_norm takes four times as long for the few rows of a tick.
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = length.square_().mul_(1 / x.shape[-1]).add_(self.eps).rsqrt_()
        return (wide * scale).to(x.dtype) * self.weight


class Rope:
    """Rotary angles of a few absolute positions. Float64 angles: a stream may run for days."""

    def __init__(self, head_dim: int, theta: float, device: torch.device):
        exponent = torch.arange(0, head_dim, 2, dtype=torch.float64, device=device) / head_dim
        self.inverse_frequency = theta**-exponent

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """positions [B, T] int64 -> cos, sin, each [B, T, 1, head_dim]: (c, c) and (-s, s)."""
        angle = positions.double()[..., None, None] * self.inverse_frequency
        cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
        return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


def rotate_(x: Tensor, rope: tuple[Tensor, Tensor]) -> None:
    """Rotate x [B, T, heads, head_dim] in place, pairs (j, j + head_dim / 2)."""
    cos, sin = rope
    swapped = torch.cat(x.chunk(2, -1)[::-1], -1)
    x.mul_(cos).addcmul_(swapped, sin)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Grouped attention. q [B, T, heads, d]; k, v [B, N, kv_heads, d]; mask [B or 1, T, N] -> [B, T, heads * d].

    The query heads that share a key head are laid out as further queries of it: each key is read once.
    """
    batch, steps, heads, dim = q.shape
    kv_heads = k.shape[2]
    groups = heads // kv_heads
    q = (
        q.view(batch, steps, kv_heads, groups, dim)
        .permute(0, 2, 3, 1, 4)
        .reshape(batch, kv_heads, groups * steps, dim)
    )
    if groups > 1:
        mask = mask.repeat(1, groups, 1)
    out = F.scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask[:, None])
    return (
        out.view(batch, kv_heads, groups, steps, dim)
        .permute(0, 3, 1, 2, 4)
        .reshape(batch, steps, heads * dim)
    )


class Attention(nn.Module):
    def __init__(self, args: TowerArgs):
        super().__init__()
        self.args = args
        self.wqkv = Linear(args.dim, args.q_dim + 2 * args.kv_dim, bias=args.biases)
        self.wo = Linear(args.q_dim, args.dim, bias=args.biases)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], memory) -> Tensor:
        """x [B, T, dim]; memory keeps earlier keys and values (state.RingLayer or state.WholeMemory)."""
        args = self.args
        qkv = self.wqkv(x).view(*x.shape[:2], -1, args.head_dim)
        rotate_(qkv[:, :, : args.n_heads + args.n_kv_heads], rope)
        k, v = memory.append(qkv[:, :, args.n_heads :]).split(args.n_kv_heads, 2)
        return self.wo(attend(qkv[:, :, : args.n_heads], k, v, memory.mask))


class FeedForward(nn.Module):
    """SwiGLU; w13 holds the gate w1 and the value w3 behind one another."""

    def __init__(self, args: TowerArgs):
        super().__init__()
        self.w13 = Linear(args.dim, 2 * args.hidden_dim, bias=False)
        self.w2 = Linear(args.hidden_dim, args.dim, bias=args.biases)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w13(x).chunk(2, -1)
        return self.w2(F.silu(gate) * value)


class Layer(nn.Module):
    """Pre-norm layer. `scale` [B, 1, dim] conditions the feed-forward half on the delay (decoder only)."""

    def __init__(self, args: TowerArgs):
        super().__init__()
        self.attention_norm = RMSNorm(args.dim, args.norm_eps)
        self.attention = Attention(args)
        self.ffn_norm = RMSNorm(args.dim, args.norm_eps)
        self.feed_forward = FeedForward(args)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], memory, scale: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rope, memory)
        normed = self.ffn_norm(x)
        if scale is not None:
            normed = normed * scale
        return x + self.feed_forward(normed)


class DelayScale(nn.Module):
    """`ada_rms_norm_t_cond` of one decoder layer: delay embedding -> 1 + scale of the feed-forward input."""

    def __init__(self, dim: int, ada_dim: int):
        super().__init__()
        self.down = Linear(dim, ada_dim, bias=False)
        self.up = Linear(ada_dim, dim, bias=False)

    def forward(self, embedding: Tensor) -> Tensor:
        return 1 + self.up(F.gelu(self.down(embedding)))


def delay_embedding(delay_tokens: Tensor, dim: int) -> Tensor:
    """Sinusoids of the delay in tokens. [n] -> [n, dim] float32."""
    half = dim // 2
    frequency = torch.exp(-math.log(10000.0) * torch.arange(half, device=delay_tokens.device) / half)
    angle = delay_tokens.float()[:, None] * frequency
    return torch.cat((angle.cos(), angle.sin()), -1)
