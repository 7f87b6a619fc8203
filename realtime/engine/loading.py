"""From a path or hub name to an engine that is ready to start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from realtime.engine.allocator import keep_large_blocks
from realtime.engine.capacity import measure
from realtime.engine.engine import Engine
from realtime.engine.runner import Runner, RunnerOptions
from realtime.errors import CheckpointError, ConfigError
from realtime.model import hub, weights
from realtime.model.blanks import BlankPenalty
from realtime.model.voxtral import Prompt
from realtime.text.confidence import CALIBRATION_FILE, Calibration
from realtime.text.tokenizer import Tekken

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_BOS = 1  # the same in every tokenizer of the family
_GRID = (16_000, 1280, 40)  # Hz, samples of a frame, look-ahead: what sessions cut audio into


def load_engine(
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    slots: int | None = None,
    threads: int | None = None,
    decoder_window: int | None = None,
    blank_penalty: bool | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Engine:
    """Find (or download), load, measure; the engine is then ready to start.

    device: auto, cpu, cuda or cuda:N. dtype: auto is float32 on the CPU and bfloat16 elsewhere. slots: None measures.
    decoder_window: tokens of decoder memory, at most the checkpoint's. blank_penalty: None is what the checkpoint
    brings, True the default figures where it brings none. Raises CheckpointError and ConfigError.
    """
    where, kind = _device(device), _dtype(dtype)
    threads = threads or _default_threads(where)
    if threads:
        torch.set_num_threads(threads)
    keep_large_blocks()
    folder = hub.locate(model, progress)
    args = weights.read_args(folder)
    tekken = Tekken.load(folder / "tekken.json")
    calibration = Calibration.load(folder / CALIBRATION_FILE)
    penalty = _penalty(folder, blank_penalty)
    if (args.audio.sampling_rate, args.frame_samples, args.look_ahead_samples) != _GRID:
        raise CheckpointError(
            f"{folder}: hears {args.audio.sampling_rate} Hz in frames of {args.frame_samples} samples; "
            "16000 Hz in frames of 1280 is what streams are cut into."
        )
    if len(tekken.pieces) + tekken.n_special > args.vocab_size:
        raise CheckpointError(f"{folder / 'tekken.json'}: more tokens than the model's {args.vocab_size}.")
    voxtral = weights.load(folder, kind, where, decoder_window)
    prompt = Prompt(_BOS, tekken.pad_id, tekken.n_left_pad)
    capacity = None if slots else measure(voxtral, prompt)
    options = RunnerOptions(threads, penalty, traced=where.type == "cpu")
    runner = Runner(voxtral, prompt, slots or capacity.slots, options)
    name = hub.display_name(model, folder)
    return Engine(
        runner,
        tekken=tekken,
        calibration=calibration,
        model_name=name,
        device_name=_name(where),
        capacity=capacity,
    )


def describe_capacity(engine: Engine) -> str:
    """One line for the terminal: how many streams fit and what bounds them."""
    memory = f"{engine.bytes_per_slot / 2**20:.2f} MiB each"
    if engine.capacity is None:
        return f"{engine.slots} streams as configured, {memory}"
    return (
        f"{engine.slots} streams, measured (memory alone would allow {engine.capacity.by_memory}, {memory})"
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device {name!r}: expected auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r}: this torch sees no CUDA device.")
    return device


def _penalty(folder: Path, wanted: bool | None) -> BlankPenalty | None:
    if wanted is False:
        return None
    return BlankPenalty.load(folder) or (BlankPenalty() if wanted else None)


def _default_threads(device: torch.device) -> int | None:
    """On the CPU half of the cores: the event loop needs one as well, and a tick whose threads wait for a core that
    somebody else has takes longer than one with fewer threads."""
    return max(1, (os.cpu_count() or 2) // 2) if device.type == "cpu" else None


def _dtype(name: str) -> torch.dtype | None:
    if name == "auto":
        return None
    if name not in _DTYPES:
        raise ConfigError(f"dtype {name!r}: expected auto, {', '.join(_DTYPES)}.")
    return _DTYPES[name]


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
