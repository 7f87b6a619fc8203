"""Counters of the engine. Written by its thread alone, read by anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

TickObserver = Callable[[float, int, int], None]


@dataclass
class EngineStats:
    """`observers` are called in the engine thread after every tick with tick_s, batch rows and frames still waiting."""

    ticks: int = 0
    frames: int = 0
    observers: list[TickObserver] = field(default_factory=list)

    def tick(self, tick_s: float, batch: int, backlog_frames: int) -> None:
        self.ticks += 1
        self.frames += batch
        for observe in self.observers:
            observe(tick_s, batch, backlog_frames)
