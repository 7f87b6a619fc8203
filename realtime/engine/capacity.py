"""How many streams fit: memory is asked, tick time is measured. Nothing is configured but the two fractions."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from realtime.model.state import Rows, StreamState
from realtime.model.voxtral import Prompt, Voxtral

MAX_SLOTS = 1024
_MEMORY_SHARE = {"cpu": 0.5, "cuda": 0.9}  # of what is free after the weights
_TICK_BUDGET_S = 0.7 * 0.08  # the part of a frame's time that a full batch may take
_REPEATS = 4


@dataclass(frozen=True, slots=True)
class Capacity:
    """`slots` is the smaller of both bounds."""

    by_memory: int
    by_time: int

    @property
    def slots(self) -> int:
        return min(self.by_memory, self.by_time)


def measure(model: Voxtral, prompt: Prompt) -> Capacity:
    """Ask memory, then time ticks of doubling batches up to it. Takes about a second for a small model."""
    by_memory = memory_slots(model)
    return Capacity(by_memory, _time_slots(model, prompt, min(by_memory, MAX_SLOTS)))


def _time_slots(model: Voxtral, prompt: Prompt, ceiling: int) -> int:
    """The largest batch up to `ceiling` whose tick stays within its budget, interpolated between doublings."""
    batch = min(8, ceiling)
    tick_s = tick_seconds(model, prompt, batch)
    while batch < ceiling and tick_s < _TICK_BUDGET_S:
        wider = min(2 * batch, ceiling)
        wider_s = tick_seconds(model, prompt, wider)
        if wider_s >= _TICK_BUDGET_S:
            return batch + int((_TICK_BUDGET_S - tick_s) / (wider_s - tick_s) * (wider - batch))
        batch, tick_s = wider, wider_s
    return batch


def tick_seconds(model: Voxtral, prompt: Prompt, batch: int) -> float:
    """Best of a few ticks with `batch` rows."""
    state = model.new_state(batch)
    rows = Rows(torch.arange(batch, device=model.device), prefix=True)
    frames = torch.zeros(batch, model.args.frame_samples, device=model.device)
    # On the CPU the thread's own time: what else runs on the machine at start-up says little about later.
    clock = time.thread_time if model.device.type == "cpu" else time.perf_counter
    best = float("inf")
    for _ in range(_REPEATS):
        started = clock()
        tokens, _ = model.step(state, rows, frames, prompt)
        tokens.tolist()  # wait for the device
        best = min(best, clock() - started)
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
