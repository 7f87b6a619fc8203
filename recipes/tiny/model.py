"""The architecture of Voxtral Realtime at any size with native tensor names, for training.

The forward pass uses block-local attention that equals the sliding window; a sequence must be a multiple of
both windows long. `greedy` decodes token by token with a cache.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from realtime.model.blanks import BlankPenalty

AUDIO_ARGS = {
    "sampling_rate": 16000,
    "frame_rate": 12.5,
    "num_mel_bins": 128,
    "hop_length": 160,
    "window_size": 400,
    "chunk_length_s": None,
    "global_log_mel_max": 1.5,
    "transcription_format": "streaming",
}


def params(
    vocab: int,
    dim: int = 192,
    layers: int = 2,
    heads: int = 3,
    kv_heads: int = 1,
    head_dim: int = 64,
    hidden: int = 512,
    window: int = 96,
    enc_dim: int = 160,
    enc_layers: int = 4,
    enc_heads: int = 2,
    enc_head_dim: int = 64,
    enc_hidden: int = 480,
    enc_window: int = 64,
    ada: int = 16,
) -> dict:
    """The tree of params.json."""
    common = {"rope_theta": 1e6, "norm_eps": 1e-5, "causal": True, "vocab_size": vocab}
    encoder = {
        **common,
        "audio_encoding_args": AUDIO_ARGS,
        "dim": enc_dim,
        "n_layers": enc_layers,
        "head_dim": enc_head_dim,
        "hidden_dim": enc_hidden,
        "n_heads": enc_heads,
        "n_kv_heads": enc_heads,
        "use_biases": True,
        "use_cache": False,
        "pos_embed": "rope",
        "max_source_positions": None,
        "ffn_type": "swiglu",
        "norm_type": "rms_norm",
        "sliding_window": enc_window,
    }
    return {
        **common,
        "dim": dim,
        "n_layers": layers,
        "head_dim": head_dim,
        "hidden_dim": hidden,
        "n_heads": heads,
        "n_kv_heads": kv_heads,
        "use_biases": False,
        "model_parallel": 1,
        "tied_embeddings": True,
        "sliding_window": window,
        "model_max_length": 131072,
        "ada_rms_norm_t_cond": True,
        "ada_rms_norm_t_cond_dim": ada,
        "multimodal": {
            "whisper_model_args": {"encoder_args": encoder, "downsample_args": {"downsample_factor": 4}}
        },
    }


def encoder_args(p: dict) -> dict:
    return p["multimodal"]["whisper_model_args"]["encoder_args"]


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotation(positions: torch.Tensor, head_dim: int, theta: float) -> torch.Tensor:
    """[T] -> complex [T, head_dim / 2] of length 1."""
    exponents = torch.arange(0, head_dim, 2, device=positions.device).double() / head_dim
    angle = positions.double()[:, None] * theta**-exponents
    return torch.complex(angle.cos().float(), angle.sin().float())


def rotate(x, rope):
    """[B, T, H, hd] with interleaved pairs; complex products take a third of the time of spelling them out."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rope[:, None]).flatten(-2).to(x.dtype)


def local_mask(length: int, window: int, device) -> torch.Tensor:
    """[blocks, W, 2 W]: the queries of block n against the keys of blocks n - 1 and n."""
    i = torch.arange(window, device=device)
    distance = i[:, None] + window - torch.arange(2 * window, device=device)[None]
    mask = ((distance >= 0) & (distance < window)).repeat(length // window, 1, 1)
    mask[0, :, :window] = False
    return mask


def local_attention(q, k, v, window: int, mask):
    """[B, T, H, hd] with T a multiple of the window -> [B, T, H * hd].

    Spelled out, because that is faster on a CPU than `scaled_dot_product_attention` for so many small blocks.
    """
    b, t, h, d = q.shape
    n = t // window

    def blocks(x):
        return x.reshape(b, n, window, h, d).permute(0, 3, 1, 2, 4)

    def with_previous(x):
        previous = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, :-1]], 2)
        return torch.cat([previous, x], 3).reshape(b * h * n, 2 * window, d)

    q = blocks(q).reshape(b * h * n, window, d)
    k, v = with_previous(blocks(k)), with_previous(blocks(v))
    scores = torch.bmm(q, k.transpose(1, 2)).float().view(b * h, n, window, 2 * window) * d**-0.5
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1).view(b * h * n, window, 2 * window)
    out = torch.bmm(weights, v)
    return out.view(b, h, n, window, d).permute(0, 2, 3, 1, 4).reshape(b, t, h * d)


class Attention(nn.Module):
    def __init__(self, dim, heads, kv_heads, head_dim, biases):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, head_dim
        self.wq = nn.Linear(dim, heads * head_dim, bias=biases)
        self.wk = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.wv = nn.Linear(dim, kv_heads * head_dim, bias=biases)
        self.wo = nn.Linear(heads * head_dim, dim, bias=biases)

    def _qkv(self, x, rope):
        b, t, _ = x.shape
        q, k, v = (w(x).view(b, t, -1, self.head_dim) for w in (self.wq, self.wk, self.wv))
        return rotate(q, rope), rotate(k, rope), v

    def forward(self, x, rope, window, mask):
        q, k, v = self._qkv(x, rope)
        if self.kv_heads < self.heads:
            k, v = (y.repeat_interleave(self.heads // self.kv_heads, 2) for y in (k, v))
        return self.wo(local_attention(q, k, v, window, mask))

    def step(self, x, rope, cache, position, window):
        """One position [B, 1, dim] with a cache [2, B, kv, T, hd] that it extends."""
        q, k, v = self._qkv(x, rope)
        cache[0, :, :, position], cache[1, :, :, position] = k[:, 0], v[:, 0]
        k, v = cache[:, :, :, max(0, position - window + 1) : position + 1]
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, enable_gqa=self.kv_heads < self.heads)
        return self.wo(out.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, dim, hidden, biases):
        super().__init__()
        self.w1, self.w3 = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=biases)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
    """Pre-norm layer; with `ada` the delay scales the input of the feed-forward part."""

    def __init__(self, a: dict, ada: int = 0):
        super().__init__()
        dim, eps, biases = a["dim"], a["norm_eps"], a["use_biases"]
        self.attention = Attention(dim, a["n_heads"], a["n_kv_heads"], a["head_dim"], biases)
        self.feed_forward = FeedForward(dim, a["hidden_dim"], biases)
        self.attention_norm, self.ffn_norm = RMSNorm(dim, eps), RMSNorm(dim, eps)
        if ada:
            down, up = nn.Linear(dim, ada, bias=False), nn.Linear(ada, dim, bias=False)
            self.ada_rms_norm_t_cond = nn.Sequential(down, nn.GELU(), up)

    def forward(self, x, attend, condition=None):
        x = x + attend(self.attention, self.attention_norm(x))
        n = self.ffn_norm(x)
        if condition is not None:
            n = n * (1 + self.ada_rms_norm_t_cond(condition))[:, None]
        return x + self.feed_forward(n)


class Conv(nn.Module):
    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv, self.pad = nn.Conv1d(channels_in, channels_out, 3, stride), 3 - stride

    def forward(self, x):
        return F.gelu(self.conv(F.pad(x, (self.pad, 0))))


class Transformer(nn.Module):
    def __init__(self, a: dict):
        super().__init__()
        self.layers = nn.ModuleList(Layer(a) for _ in range(a["n_layers"]))
        self.norm = RMSNorm(a["dim"], a["norm_eps"])


class Encoder(nn.Module):
    def __init__(self, a: dict):
        super().__init__()
        self.a = a
        bins = a["audio_encoding_args"]["num_mel_bins"]
        self.conv_layers = nn.ModuleList([Conv(bins, a["dim"], 1), Conv(a["dim"], a["dim"], 2)])
        self.transformer = Transformer(a)

    def forward(self, mel):
        """[B, 128, 8 T] -> [B, 4 T, dim]."""
        for conv in self.conv_layers:
            mel = conv(mel)
        x, window = mel.transpose(1, 2).contiguous(), self.a["sliding_window"]
        length = x.shape[1]
        rope = rotation(torch.arange(length, device=x.device), self.a["head_dim"], self.a["rope_theta"])
        mask = local_mask(length, window, x.device)
        for layer in self.transformer.layers:
            x = layer(x, lambda m, n: m(n, rope, window, mask))
        return self.transformer.norm(x)


class Embedding(nn.Module):
    def __init__(self, p: dict):
        super().__init__()
        e = encoder_args(p)
        factor = p["multimodal"]["whisper_model_args"]["downsample_args"]["downsample_factor"]
        self.tok_embeddings = nn.Embedding(p["vocab_size"], p["dim"])
        self.whisper_encoder = Encoder(e)
        wide, out = (
            nn.Linear(e["dim"] * factor, p["dim"], bias=False),
            nn.Linear(p["dim"], p["dim"], bias=False),
        )
        self.audio_language_projection = nn.Sequential(wide, nn.GELU(), out)
        self.factor = factor


class Model(nn.Module):
    """With `phones` > 0 the encoder has an auxiliary head that names the phone of each frame; it is never exported."""

    def __init__(self, p: dict, phones: int = 0):
        super().__init__()
        self.p = p
        self.mm_streams_embeddings = nn.ModuleDict({"embedding_module": Embedding(p)})
        self.layers = nn.ModuleList(Layer(p, p["ada_rms_norm_t_cond_dim"]) for _ in range(p["n_layers"]))
        self.norm = RMSNorm(p["dim"], p["norm_eps"])
        self.aux = nn.Linear(encoder_args(p)["dim"], phones) if phones else None
        self._initialise()

    def _initialise(self):
        for name, m in self.named_modules():
            if not isinstance(m, nn.Linear):
                continue
            nn.init.normal_(m.weight, std=m.in_features**-0.5)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
            if name.endswith((".wo", ".w2")):
                m.weight.data.mul_(0.3)
            if name.endswith("t_cond.2"):  # every delay begins as the same model
                nn.init.zeros_(m.weight)
        nn.init.normal_(self.embedding.tok_embeddings.weight, std=0.05)

    @property
    def embedding(self) -> Embedding:
        return self.mm_streams_embeddings["embedding_module"]

    def encode(self, mel):
        """[B, 128, 8 T] -> encoder frames [B, 4 T, dim of the encoder]."""
        return self.embedding.whisper_encoder(mel)

    def adapt(self, frames):
        """[B, 4 T, dim of the encoder] -> audio vectors [B, T, dim]."""
        stacked = frames.reshape(frames.shape[0], frames.shape[1] // self.embedding.factor, -1)
        return self.embedding.audio_language_projection(stacked)

    def condition(self, delay):
        """Delay [B] in tokens -> [B, dim]."""
        half = self.p["dim"] // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, device=delay.device) / half)
        angle = delay.float()[:, None] * rates
        return torch.cat([angle.cos(), angle.sin()], -1)

    def decode(self, audio, tokens, delay):
        """Teacher-forced logits [B, T, V] from audio vectors [B, T, dim], tokens [B, T] and delay [B]."""
        window, length = self.p["sliding_window"], tokens.shape[1]
        x, condition = audio + self.embedding.tok_embeddings(tokens), self.condition(delay)
        rope = rotation(torch.arange(length, device=x.device), self.p["head_dim"], self.p["rope_theta"])
        mask = local_mask(length, window, x.device)
        for layer in self.layers:
            x = layer(x, lambda m, n: m(n, rope, window, mask), condition)
        return self._logits(x)

    def _logits(self, x):
        return self.norm(x) @ self.embedding.tok_embeddings.weight.T

    @torch.no_grad()
    def greedy(
        self,
        audio,
        delay: int,
        penalty: BlankPenalty | None = None,
        bos: int = 1,
        pad: int = 32,
        left: int = 32,
    ):
        """Streaming decoding, one token a position: audio vectors [B, T, dim] -> tokens [B, T + 1] with the prompt,
        and the log probability of each [B, T + 1], 0 in the prompt.
        """
        b, t, _ = audio.shape
        p, window = self.p, self.p["sliding_window"]
        condition = self.condition(torch.full((b,), delay, device=audio.device))
        shape = (len(self.layers), 2, b, p["n_kv_heads"], t, p["head_dim"])
        cache = torch.zeros(shape, device=audio.device)
        tokens = torch.full((b, t + 1), pad, dtype=torch.long, device=audio.device)
        tokens[:, 0] = bos
        logprobs = torch.zeros(b, t + 1, device=audio.device)
        blanks = torch.zeros(b, device=audio.device)
        ropes = rotation(torch.arange(t, device=audio.device), p["head_dim"], p["rope_theta"])
        for i in range(t):
            rope = ropes[i : i + 1]
            x = (audio[:, i] + self.embedding.tok_embeddings(tokens[:, i]))[:, None]
            for layer, memory in zip(self.layers, cache, strict=True):
                attend = lambda m, n, memory=memory: m.step(n, rope, memory, i, window)  # noqa: E731, B023
                x = layer(x, attend, condition)
            if i >= left + delay:
                logits = self._logits(x[:, 0])
                if penalty:
                    logits[:, pad] -= penalty.logits(blanks)
                logprobs[:, i + 1], tokens[:, i + 1] = logits.log_softmax(-1).max(-1)
                blanks = torch.where(tokens[:, i + 1] == pad, blanks + 1, 0)
        return tokens, logprobs


def block_ticks(p: dict) -> int:
    """Sequences must be a multiple of so many ticks for the encoder alone."""
    window = encoder_args(p)["sliding_window"]
    return window // math.gcd(window, 4)
