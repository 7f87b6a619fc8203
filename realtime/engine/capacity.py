"""How many streams fit: memory is asked, tick time is measured. Nothing is configured but the two fractions."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from realtime.model.state import Rows, StreamState
from realtime.model.voxtral import Prompt, Voxtral

FRAME_S = 0.08
MAX_SLOTS = 1024
_MEMORY_SHARE = {"cpu": 0.5, "cuda": 0.9}  # of what is free after the weights
_TICK_SHARE = 0.7  # of a frame's time that a full batch may take
_REPEATS = 4


@dataclass(frozen=True, slots=True)
class Capacity:
    """`slots` is the smaller of both bounds; `full_tick_ms` is the measured time of the largest batch tried."""

    slots: int
    by_memory: int
    by_time: int
    full_tick_ms: float


def measure(model: Voxtral, prompt: Prompt) -> Capacity:
    """Run ticks of doubling batches until one takes too long or memory ends. Takes about a second for a small model."""
    by_memory = memory_slots(model)
    ceiling = min(by_memory, MAX_SLOTS)
    batch, tick_s = min(8, ceiling), tick_seconds(model, prompt, min(8, ceiling))
    while batch < ceiling and tick_s < FRAME_S * _TICK_SHARE:
        wider = min(2 * batch, ceiling)
        wider_s = tick_seconds(model, prompt, wider)
        if wider_s >= FRAME_S * _TICK_SHARE:
            per_row = (wider_s - tick_s) / (wider - batch)
            batch += int((FRAME_S * _TICK_SHARE - tick_s) / per_row)
            tick_s = FRAME_S * _TICK_SHARE
            break
        batch, tick_s = wider, wider_s
    return Capacity(max(1, batch), by_memory, max(1, batch), tick_s * 1e3)


def tick_seconds(model: Voxtral, prompt: Prompt, batch: int) -> float:
    """Best of a few ticks with `batch` rows."""
    state = model.new_state(batch)
    rows = Rows(torch.arange(batch, device=model.device), prefix=True)
    frames = torch.zeros(batch, model.args.frame_samples, device=model.device)
    best = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        tokens, _ = model.step(state, rows, frames, prompt)
        tokens.tolist()  # wait for the device
        best = min(best, time.perf_counter() - started)
    return best


def memory_slots(model: Voxtral) -> int:
    """Slots whose rings fit into the share of free memory."""
    per_slot = StreamState.bytes_per_slot(model.args, model.dtype)
    share = _MEMORY_SHARE.get(model.device.type, 0.5)
    return max(1, int(free_bytes(model.device) * share / per_slot))


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(free, _cgroup_free_bytes())


def _cgroup_free_bytes() -> int:
    """What a container may still take; a very large number where nothing limits it."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        return int(limit) - used if limit != "max" else 1 << 62
    except (OSError, ValueError):
        return 1 << 62
