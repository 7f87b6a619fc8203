"""What a checkpoint says about itself: every dimension, window and padding of the model.

`ModelArgs` maps one to one to Mistral's `params.json`; `from_hf_config` reads the same facts from a `config.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class AudioArgs:
    """The log-mel spectrum. Defaults are those of every published checkpoint of the family."""

    sampling_rate: int = 16000
    frame_rate: float = 12.5
    num_mel_bins: int = 128
    hop_length: int = 160
    window_size: int = 400
    global_log_mel_max: float = 1.5


@dataclass(frozen=True, slots=True)
class TowerArgs:
    """One stack of transformer layers: the encoder or the decoder."""

    dim: int
    n_layers: int
    head_dim: int
    hidden_dim: int
    n_heads: int
    n_kv_heads: int
    rope_theta: float
    norm_eps: float
    sliding_window: int
    biases: bool  # on wq, wv, wo and w2; wk, w1 and w3 never have one

    @property
    def q_dim(self) -> int:
        return self.n_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        return self.n_kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class ModelArgs:
    audio: AudioArgs
    encoder: TowerArgs
    decoder: TowerArgs
    downsample_factor: int
    vocab_size: int
    ada_dim: int

    @property
    def frame_samples(self) -> int:
        """Samples of one frame: 1280 = 80 ms at 16 kHz."""
        return round(self.audio.sampling_rate / self.audio.frame_rate)

    @property
    def mel_per_frame(self) -> int:
        return self.frame_samples // self.audio.hop_length

    @property
    def positions_per_frame(self) -> int:
        """Encoder positions of one frame; the second convolution halves the mel rate."""
        return self.mel_per_frame // 2

    @property
    def look_ahead_samples(self) -> int:
        """How far the last mel window of a frame reaches behind the frame: half a window less one hop."""
        return self.audio.window_size // 2 - self.audio.hop_length

    @property
    def memory_samples(self) -> int:
        """Samples before a frame (shifted by the look-ahead) that its first mel window needs."""
        return self.audio.window_size // 2 + self.look_ahead_samples

    def check(self, source: Path) -> ModelArgs:
        """Refuse what the streaming step cannot run, naming the file and the key."""
        if self.mel_per_frame * self.audio.hop_length != self.frame_samples:
            raise CheckpointError(
                f"{source}: frame_rate {self.audio.frame_rate} is no whole number of mel hops."
            )
        if self.positions_per_frame != self.downsample_factor or self.mel_per_frame % 2:
            raise CheckpointError(
                f"{source}: downsample_factor {self.downsample_factor} does not turn "
                f"{self.positions_per_frame} encoder positions into one token."
            )
        for name, tower in (("encoder", self.encoder), ("decoder", self.decoder)):
            if tower.n_heads % tower.n_kv_heads or tower.head_dim % 2 or tower.sliding_window < 1:
                raise CheckpointError(
                    f"{source}: the {name}'s heads or sliding_window make no sense: {tower}."
                )
        return self


class _Tree:
    """Reads a JSON tree by dotted keys; a missing key is an error that names the file and the key."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.root = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such file.") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{path}: not readable as JSON ({error}).") from None

    def get(self, dotted: str, default: Any = ...) -> Any:
        node = self.root
        for key in dotted.split("."):
            if not isinstance(node, dict) or key not in node or node[key] is None:
                if default is ...:
                    raise CheckpointError(
                        f"{self.path}: the key {dotted!r} is missing; not a Voxtral Realtime checkpoint?"
                    )
                return default
            node = node[key]
        return node

    def number(self, dotted: str, default: Any = ...) -> Any:
        value = self.get(dotted, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"{self.path}: {dotted!r} should be a number, found {value!r}.")
        return value


_TOWER_KEYS = ("dim", "n_layers", "head_dim", "hidden_dim", "n_heads", "n_kv_heads")


def from_params(path: Path) -> ModelArgs:
    """`params.json` of the native layout. Raises CheckpointError."""
    tree = _Tree(path)
    whisper = "multimodal.whisper_model_args."
    encoder = whisper + "encoder_args."
    if not tree.get(encoder + "causal"):
        raise CheckpointError(f"{path}: the encoder is not causal: an offline Voxtral, not a realtime one.")
    return ModelArgs(
        audio=_audio(tree, encoder + "audio_encoding_args."),
        encoder=TowerArgs(
            **{key: int(tree.number(encoder + key)) for key in _TOWER_KEYS},
            rope_theta=float(tree.number(encoder + "rope_theta")),
            norm_eps=float(tree.number(encoder + "norm_eps")),
            sliding_window=int(tree.number(encoder + "sliding_window")),
            biases=bool(tree.get(encoder + "use_biases", True)),
        ),
        decoder=TowerArgs(
            **{key: int(tree.number(key)) for key in _TOWER_KEYS},
            rope_theta=float(tree.number("rope_theta")),
            norm_eps=float(tree.number("norm_eps")),
            sliding_window=int(tree.number("sliding_window")),
            biases=bool(tree.get("use_biases", False)),
        ),
        downsample_factor=int(tree.number(whisper + "downsample_args.downsample_factor")),
        vocab_size=int(tree.number("vocab_size")),
        ada_dim=int(tree.number("ada_rms_norm_t_cond_dim")),
    ).check(path)


def _audio(tree: _Tree, prefix: str) -> AudioArgs:
    default = AudioArgs()
    return AudioArgs(
        sampling_rate=int(tree.number(prefix + "sampling_rate", default.sampling_rate)),
        frame_rate=float(tree.number(prefix + "frame_rate", default.frame_rate)),
        num_mel_bins=int(tree.number(prefix + "num_mel_bins", default.num_mel_bins)),
        hop_length=int(tree.number(prefix + "hop_length", default.hop_length)),
        window_size=int(tree.number(prefix + "window_size", default.window_size)),
        global_log_mel_max=float(tree.number(prefix + "global_log_mel_max", default.global_log_mel_max)),
    )


def from_hf_config(path: Path) -> ModelArgs:
    """`config.json` of the Hugging Face layout. Raises CheckpointError."""
    tree = _Tree(path)
    kind = tree.get("model_type")
    if kind != "voxtral_realtime":
        raise CheckpointError(f"{path}: model_type is {kind!r}, expected 'voxtral_realtime'.")
    audio = AudioArgs()
    frame_samples = int(tree.number("audio_length_per_tok", 8)) * audio.hop_length
    return ModelArgs(
        audio=AudioArgs(
            num_mel_bins=int(tree.number("audio_config.num_mel_bins", 128)),
            frame_rate=audio.sampling_rate / frame_samples,
        ),
        encoder=_hf_tower(tree, "audio_config.", biases=True),
        decoder=_hf_tower(tree, "text_config.", biases=False),
        downsample_factor=int(tree.number("downsample_factor")),
        vocab_size=int(tree.number("text_config.vocab_size")),
        ada_dim=_hf_ada_dim(tree),
    ).check(path)


def _hf_ada_dim(tree: _Tree) -> int:
    # The classes of transformers hard-code 32; a later config may name it.
    return int(tree.number("text_config.ada_rms_norm_t_cond_dim", 32))


def _hf_tower(tree: _Tree, prefix: str, biases: bool) -> TowerArgs:
    heads = int(tree.number(prefix + "num_attention_heads"))
    dim = int(tree.number(prefix + "hidden_size"))
    theta = tree.get(prefix + "rope_parameters.rope_theta", tree.get(prefix + "rope_theta", None))
    if theta is None:
        raise CheckpointError(f"{tree.path}: {prefix}rope_parameters.rope_theta is missing.")
    return TowerArgs(
        dim=dim,
        n_layers=int(tree.number(prefix + "num_hidden_layers")),
        head_dim=int(tree.number(prefix + "head_dim", dim // heads)),
        hidden_dim=int(tree.number(prefix + "intermediate_size")),
        n_heads=heads,
        n_kv_heads=int(tree.number(prefix + "num_key_value_heads", heads)),
        rope_theta=float(theta),
        norm_eps=float(tree.number(prefix + "rms_norm_eps", 1e-5)),
        sliding_window=int(tree.number(prefix + "sliding_window")),
        biases=biases,
    )
