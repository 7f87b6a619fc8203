"""The same weights for transformers: a native checkpoint written as config.json and model.safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from transformers import VoxtralRealtimeConfig, VoxtralRealtimeForConditionalGeneration
from transformers.utils import logging

from bench.report import BenchError
from realtime.model import weights
from realtime.model.args import ModelArgs, TowerArgs

ADA_DIM = 32  # transformers hard-codes the width of the delay's bottleneck


def write(native: Path, target: Path) -> None:
    """Convert. Raises CheckpointError for a folder that is none, BenchError for one that transformers cannot hold."""
    args = weights.read_args(native)
    if not (native / weights.NATIVE_FILE).exists():
        raise BenchError(f"{native}: not in the native layout")
    if args.ada_dim > ADA_DIM:
        raise BenchError(f"{native}: ada_rms_norm_t_cond_dim {args.ada_dim}; transformers holds {ADA_DIM}")
    model = VoxtralRealtimeForConditionalGeneration(_config(args))
    with safe_open(native / weights.NATIVE_FILE, framework="pt") as file, torch.no_grad():
        for name, parameter in model.named_parameters():
            source = weights.hf_to_native(name)
            if source is None:
                raise BenchError(f"transformers has a parameter that the checkpoint has not: {name}")
            if source:  # an empty name is a tied copy
                parameter.copy_(_fitted(file.get_tensor(source).float(), source, args, parameter.shape))
    model.tie_weights()
    logging.disable_progress_bar()
    model.save_pretrained(target)


def _fitted(tensor: torch.Tensor, name: str, args: ModelArgs, shape: torch.Size) -> torch.Tensor:
    """Rotation rows half-split; a narrower bottleneck padded with zeros, which GELU keeps: the same function."""
    tower = args.encoder if name.startswith(weights.ENCODER) else args.decoder
    if ".attention.wq." in name:
        return weights.half_split(tensor, tower.n_heads)
    if ".attention.wk." in name:
        return weights.half_split(tensor, tower.n_kv_heads)
    if "ada_rms_norm_t_cond" in name:
        padded = torch.zeros(shape)
        padded[: tensor.shape[0], : tensor.shape[1]] = tensor
        return padded
    return tensor


def _config(args: ModelArgs) -> VoxtralRealtimeConfig:
    audio = _tower(args.encoder) | {"num_mel_bins": args.audio.num_mel_bins, "vocab_size": args.vocab_size}
    text = _tower(args.decoder) | {"vocab_size": args.vocab_size, "tie_word_embeddings": True}
    return VoxtralRealtimeConfig(
        audio_config=audio, text_config=text, downsample_factor=args.downsample_factor
    )


def _tower(tower: TowerArgs) -> dict:
    return {
        "hidden_size": tower.dim,
        "intermediate_size": tower.hidden_dim,
        "num_hidden_layers": tower.n_layers,
        "num_attention_heads": tower.n_heads,
        "num_key_value_heads": tower.n_kv_heads,
        "head_dim": tower.head_dim,
        "sliding_window": tower.sliding_window,
        "rope_theta": tower.rope_theta,
        "rms_norm_eps": tower.norm_eps,
    }
