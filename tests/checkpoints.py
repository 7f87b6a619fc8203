"""Small random checkpoints in exactly the real native layout, for tests that need a model but no trained one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from realtime.model import weights
from realtime.model.args import from_params

PAD, WORD, BOS, LEFT_PAD = 32, 33, 1, 32
N_SPECIAL = 40

SMALL = {
    "dim": 48,
    "n_layers": 2,
    "head_dim": 16,
    "hidden_dim": 64,
    "n_heads": 4,
    "n_kv_heads": 2,
    "sliding_window": 20,
}
SMALL_ENCODER = {
    "dim": 32,
    "n_layers": 2,
    "head_dim": 8,
    "hidden_dim": 48,
    "n_heads": 4,
    "n_kv_heads": 4,
    "sliding_window": 30,
}


def params(
    vocab_size: int = 400, decoder: dict | None = None, encoder: dict | None = None, ada_dim: int = 8
) -> dict:
    """The tree of params.json."""
    return {
        **(decoder or SMALL),
        "use_biases": False,
        "causal": True,
        "rope_theta": 1e6,
        "norm_eps": 1e-5,
        "vocab_size": vocab_size,
        "tied_embeddings": True,
        "model_max_length": 131072,
        "ada_rms_norm_t_cond": True,
        "ada_rms_norm_t_cond_dim": ada_dim,
        "multimodal": {
            "whisper_model_args": {
                "encoder_args": {
                    "audio_encoding_args": {
                        "sampling_rate": 16000,
                        "frame_rate": 12.5,
                        "num_mel_bins": 128,
                        "hop_length": 160,
                        "window_size": 400,
                        "chunk_length_s": None,
                        "global_log_mel_max": 1.5,
                        "transcription_format": "streaming",
                    },
                    **(encoder or SMALL_ENCODER),
                    "vocab_size": vocab_size,
                    "use_biases": True,
                    "rope_theta": 1e6,
                    "causal": True,
                    "norm_eps": 1e-5,
                    "pos_embed": "rope",
                    "ffn_type": "swiglu",
                    "norm_type": "rms_norm",
                },
                "downsample_args": {"downsample_factor": 4},
            }
        },
    }


def tekken(vocab_size: int = 400, delay_ms: int = 480) -> dict:
    """A byte vocabulary with some longer pieces, and the audio block of the realtime model."""
    pieces = [bytes([i]) for i in range(256)]
    pieces += [f" w{i}".encode() for i in range(vocab_size - N_SPECIAL - 256)]
    names = {0: "<unk>", BOS: "<s>", 2: "</s>", PAD: "[STREAMING_PAD]", WORD: "[STREAMING_WORD]"}
    return {
        "config": {
            "pattern": "[^ ]+| +",
            "num_vocab_tokens": len(pieces),
            "default_vocab_size": vocab_size,
            "default_num_special_tokens": N_SPECIAL,
            "version": "v13",
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
            for rank, piece in enumerate(pieces)
        ],
        "special_tokens": [
            {"rank": i, "token_str": names.get(i, f"<SPECIAL_{i}>"), "is_control": True}
            for i in range(N_SPECIAL)
        ],
        "audio": {
            "sampling_rate": 16000,
            "frame_rate": 12.5,
            "transcription_format": "streaming",
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "transcription_delay_ms": delay_ms,
            "streaming_look_ahead_ms": 2.5,
            "streaming_look_back_ms": 52.5,
            "streaming_n_left_pad_tokens": LEFT_PAD,
        },
    }


def random_tensors(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors of every expected name, scaled so that logits depend on the audio and tokens vary."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in weights.expected_shapes(from_params(folder / "params.json")).items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 1:
            tensors[name] = 0.1 * noise if name.endswith("bias") else 1 + 0.1 * noise
        elif "tok_embeddings" in name:
            tensors[name] = 0.3 * noise
        else:
            tensors[name] = noise * 1.8 / noise[0].numel() ** 0.5
    return tensors


def write(folder: Path, seed: int = 0, vocab_size: int = 400) -> Path:
    """A complete checkpoint folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.json").write_text(json.dumps(params(vocab_size)))
    (folder / "tekken.json").write_text(json.dumps(tekken(vocab_size)))
    save_file(random_tensors(folder, seed), folder / "consolidated.safetensors")
    return folder


class Ones(torch.nn.Module):
    """In place of the last norm: logits are then the sums of the rows of the table."""

    def forward(self, x):
        return torch.ones_like(x)
