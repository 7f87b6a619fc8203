"""Checkpoints to models. Mistral's native layout is the reference; Hugging Face files are a table of renames.

Both layouts are first read as native names with half-split rotation rows, then fused (q, k, v and the two gates) into
the modules of this package. Every fault names the file and the tensor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from realtime.errors import CheckpointError
from realtime.model.args import ModelArgs, TowerArgs, from_hf_config, from_params
from realtime.model.voxtral import Voxtral

EMBEDDING = "mm_streams_embeddings.embedding_module."
ENCODER = EMBEDDING + "whisper_encoder."
NATIVE_FILE = "consolidated.safetensors"
HF_FILE = "model.safetensors"
HF_INDEX = "model.safetensors.index.json"

Read = Callable[[str], Tensor]


def load(
    folder: str | Path,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    decoder_window_tokens: int | None = None,
) -> Voxtral:
    """A checkpoint folder in either layout -> a model ready to step.

    dtype: None means float32 on the CPU and bfloat16 elsewhere. decoder_window_tokens shortens the decoder's memory.
    Raises CheckpointError naming file and tensor.
    """
    folder, device = Path(folder), torch.device(device)
    if dtype is None:
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    args = read_args(folder)
    files = (
        NativeFiles([folder / NATIVE_FILE])
        if _is_native(folder)
        else HuggingFaceFiles(_hf_shards(folder), args)
    )
    if decoder_window_tokens:
        window = min(decoder_window_tokens, args.decoder.sliding_window)
        args = replace(args, decoder=replace(args.decoder, sliding_window=window))
    with torch.device("meta"):
        model = Voxtral(args)
    files.check(expected_shapes(args))
    state = {name: tensor.to(dtype) for name, tensor in _fuse(args, lambda name: files.read(name, device))}
    model.load_state_dict(state, assign=True)
    return model.prepare()


def read_args(folder: str | Path) -> ModelArgs:
    """The dimensions alone, without opening the weights. Raises CheckpointError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder.")
    if _is_native(folder):
        return from_params(folder / "params.json")
    if (folder / "config.json").exists():
        return from_hf_config(folder / "config.json")
    raise CheckpointError(
        f"{folder}: neither params.json (native layout) nor config.json (Hugging Face layout) is there."
    )


def _is_native(folder: Path) -> bool:
    return (folder / "params.json").exists()


def _hf_shards(folder: Path) -> list[Path]:
    index = folder / HF_INDEX
    if not index.exists():
        return [folder / HF_FILE]
    try:
        names = json.loads(index.read_text())["weight_map"].values()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{index}: not a shard index ({error}).") from None
    return [folder / name for name in sorted(set(names))]


# ---------------------------------------------------------------- which tensors there are


def expected_shapes(args: ModelArgs) -> dict[str, tuple[int, ...]]:
    """Native name -> shape of every tensor of a checkpoint."""
    encoder, decoder = args.encoder, args.decoder
    shapes = {
        EMBEDDING + "tok_embeddings.weight": (args.vocab_size, decoder.dim),
        ENCODER + "conv_layers.0.conv.weight": (encoder.dim, args.audio.num_mel_bins, 3),
        ENCODER + "conv_layers.0.conv.bias": (encoder.dim,),
        ENCODER + "conv_layers.1.conv.weight": (encoder.dim, encoder.dim, 3),
        ENCODER + "conv_layers.1.conv.bias": (encoder.dim,),
        ENCODER + "transformer.norm.weight": (encoder.dim,),
        EMBEDDING + "audio_language_projection.0.weight": (decoder.dim, encoder.dim * args.downsample_factor),
        EMBEDDING + "audio_language_projection.2.weight": (decoder.dim, decoder.dim),
        "norm.weight": (decoder.dim,),
    }
    for i in range(encoder.n_layers):
        shapes |= _layer_shapes(f"{ENCODER}transformer.layers.{i}.", encoder)
    for i in range(decoder.n_layers):
        shapes |= _layer_shapes(f"layers.{i}.", decoder)
        shapes[f"layers.{i}.ada_rms_norm_t_cond.0.weight"] = (args.ada_dim, decoder.dim)
        shapes[f"layers.{i}.ada_rms_norm_t_cond.2.weight"] = (decoder.dim, args.ada_dim)
    return shapes


def _layer_shapes(prefix: str, tower: TowerArgs) -> dict[str, tuple[int, ...]]:
    shapes = {
        "attention_norm.weight": (tower.dim,),
        "ffn_norm.weight": (tower.dim,),
        "attention.wq.weight": (tower.q_dim, tower.dim),
        "attention.wk.weight": (tower.kv_dim, tower.dim),
        "attention.wv.weight": (tower.kv_dim, tower.dim),
        "attention.wo.weight": (tower.dim, tower.q_dim),
        "feed_forward.w1.weight": (tower.hidden_dim, tower.dim),
        "feed_forward.w2.weight": (tower.dim, tower.hidden_dim),
        "feed_forward.w3.weight": (tower.hidden_dim, tower.dim),
    }
    if tower.biases:
        shapes |= {
            "attention.wq.bias": (tower.q_dim,),
            "attention.wv.bias": (tower.kv_dim,),
            "attention.wo.bias": (tower.dim,),
            "feed_forward.w2.bias": (tower.dim,),
        }
    return {prefix + name: shape for name, shape in shapes.items()}


# ---------------------------------------------------------------- reading files


class Files:
    """Safetensors files read by native tensor name; memory-mapped, one tensor at a time."""

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self._where: dict[str, tuple[Path, str]] = {}
        self._handles = {path: self._handle(path) for path in paths}
        for path, handle in self._handles.items():
            for name in handle.keys():  # noqa: SIM118 - safe_open is no mapping
                native = self.native_name(name)
                if native is None:
                    raise CheckpointError(
                        f"{path}: unknown tensor {name!r}; not a Voxtral Realtime checkpoint?"
                    )
                if native:
                    self._where[native] = (path, name)

    @staticmethod
    def _handle(path: Path):
        try:
            return safe_open(path, framework="pt")
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such file.") from None
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: truncated or not a safetensors file ({error}).") from None

    def native_name(self, name: str) -> str | None:
        """Native name of a tensor of the file; '' for one that is not needed, None for a foreign one."""
        raise NotImplementedError

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            if name not in self._where:
                raise CheckpointError(f"{self.paths[0]}: tensor {name!r} is missing.")
            path, own_name = self._where[name]
            found = tuple(self._handles[path].get_slice(own_name).get_shape())
            if found != shape:
                raise CheckpointError(
                    f"{path}: tensor {own_name!r} has shape {list(found)}, expected {list(shape)}."
                )
        for name in self._where.keys() - shapes.keys():
            path, own_name = self._where[name]
            raise CheckpointError(
                f"{path}: tensor {own_name!r} belongs to no part of the model that its config describes."
            )

    def read(self, name: str, device: torch.device) -> Tensor:
        path, own_name = self._where[name]
        tensor = self._handles[path].get_tensor(own_name)
        if not tensor.is_floating_point():
            raise CheckpointError(f"{path}: tensor {own_name!r} is {tensor.dtype}, expected floating point.")
        return tensor.to(device)


class NativeFiles(Files):
    """`consolidated.safetensors`. Rotation pairs are interleaved there: rows 2 j and 2 j + 1 of a head."""

    def native_name(self, name: str) -> str | None:
        return name if name.startswith(("layers.", "norm.", EMBEDDING)) else None


class HuggingFaceFiles(Files):
    """`model.safetensors`, as on the hub or as saved by transformers 5. Rows come half-split, so they are interleaved
    here to let one path lead from native names to the model."""

    def __init__(self, paths: list[Path], args: ModelArgs):
        self.args = args
        super().__init__(paths)

    def native_name(self, name: str) -> str | None:
        return hf_to_native(name)

    def read(self, name: str, device: torch.device) -> Tensor:
        tensor = super().read(name, device)
        if heads := _rotated_heads(name, self.args):
            return interleave(tensor, heads)
        return tensor


_HF_LAYER = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "ada_rms_norm.linear1": "ada_rms_norm_t_cond.0",
    "ada_rms_norm.linear2": "ada_rms_norm_t_cond.2",
    "self_attn_layer_norm": "attention_norm",
    "final_layer_norm": "ffn_norm",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
_HF_TOP = {
    "language_model.embed_tokens.weight": EMBEDDING + "tok_embeddings.weight",
    "language_model.norm.weight": "norm.weight",
    "audio_tower.norm.weight": ENCODER + "transformer.norm.weight",
    "multi_modal_projector.linear_1.weight": EMBEDDING + "audio_language_projection.0.weight",
    "multi_modal_projector.linear_2.weight": EMBEDDING + "audio_language_projection.2.weight",
    "lm_head.weight": "",  # the same storage as the embedding
    "language_model.lm_head.weight": "",
}
_HF_LAYER_NAME = re.compile(r"(audio_tower|language_model)\.layers\.(\d+)\.(.+)\.(weight|bias)")
_HF_CONV_NAME = re.compile(r"audio_tower\.embedder\.conv([12])\.(weight|bias)")


def hf_to_native(name: str) -> str | None:
    """Hub name or transformers 5 name -> native name; None for a foreign tensor, '' for a tied copy."""
    name = name.removeprefix("model.").replace("language_model.model.", "language_model.")
    if name in _HF_TOP:
        return _HF_TOP[name]
    if match := _HF_CONV_NAME.fullmatch(name):
        return f"{ENCODER}conv_layers.{int(match[1]) - 1}.conv.{match[2]}"
    if (match := _HF_LAYER_NAME.fullmatch(name)) and match[3] in _HF_LAYER:
        prefix = ENCODER + "transformer." if match[1] == "audio_tower" else ""
        return f"{prefix}layers.{match[2]}.{_HF_LAYER[match[3]]}.{match[4]}"
    return None


# ---------------------------------------------------------------- rotation rows


def _rotated_heads(name: str, args: ModelArgs) -> int:
    """Number of heads of a q or k projection, 0 for every other tensor."""
    tower = args.encoder if name.startswith(ENCODER) else args.decoder
    if ".attention.wq." in name:
        return tower.n_heads
    return tower.n_kv_heads if ".attention.wk." in name else 0


def interleave(rows: Tensor, heads: int) -> Tensor:
    """Half-split rotation rows (pair j in rows j and j + d/2 of a head) -> interleaved (rows 2 j and 2 j + 1)."""
    return rows.view(heads, 2, -1, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def half_split(rows: Tensor, heads: int) -> Tensor:
    """The inverse of `interleave`."""
    return rows.view(heads, -1, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


# ---------------------------------------------------------------- native names -> modules


def _fuse(args: ModelArgs, read: Read) -> Iterator[tuple[str, Tensor]]:
    """Parameters of `Voxtral` by module name."""
    yield "decoder.tok_embeddings.weight", read(EMBEDDING + "tok_embeddings.weight")
    yield "decoder.norm.weight", read("norm.weight")
    yield "encoder.norm.weight", read(ENCODER + "transformer.norm.weight")
    yield "adapter.linear1.weight", read(EMBEDDING + "audio_language_projection.0.weight")
    yield "adapter.linear2.weight", read(EMBEDDING + "audio_language_projection.2.weight")
    for i in (0, 1):
        for leaf in ("weight", "bias"):
            yield f"encoder.conv{i + 1}.{leaf}", read(f"{ENCODER}conv_layers.{i}.conv.{leaf}")
    for i in range(args.encoder.n_layers):
        yield from _fuse_layer(
            f"encoder.layers.{i}.", f"{ENCODER}transformer.layers.{i}.", args.encoder, read
        )
    for i in range(args.decoder.n_layers):
        yield from _fuse_layer(f"decoder.layers.{i}.", f"layers.{i}.", args.decoder, read)
        yield f"decoder.delay_scales.{i}.down.weight", read(f"layers.{i}.ada_rms_norm_t_cond.0.weight")
        yield f"decoder.delay_scales.{i}.up.weight", read(f"layers.{i}.ada_rms_norm_t_cond.2.weight")


def _fuse_layer(to: str, source: str, tower: TowerArgs, read: Read) -> Iterator[tuple[str, Tensor]]:
    q = half_split(read(source + "attention.wq.weight"), tower.n_heads)
    k = half_split(read(source + "attention.wk.weight"), tower.n_kv_heads)
    yield to + "attention.wqkv.weight", torch.cat((q, k, read(source + "attention.wv.weight")))
    if tower.biases:
        q_bias = half_split(read(source + "attention.wq.bias"), tower.n_heads)
        yield (
            to + "attention.wqkv.bias",
            torch.cat((q_bias, q_bias.new_zeros(tower.kv_dim), read(source + "attention.wv.bias"))),
        )
        yield to + "attention.wo.bias", read(source + "attention.wo.bias")
        yield to + "feed_forward.w2.bias", read(source + "feed_forward.w2.bias")
    gates = read(source + "feed_forward.w1.weight"), read(source + "feed_forward.w3.weight")
    yield to + "feed_forward.w13.weight", torch.cat(gates)
    for leaf in ("attention.wo.weight", "feed_forward.w2.weight", "attention_norm.weight", "ffn_norm.weight"):
        yield to + leaf, read(source + leaf)
