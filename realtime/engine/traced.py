"""The step as recorded graphs: one call a tick, which holds no interpreter lock while it runs.

Written in Python, a tick of a small model is some six hundred tensor operations, and each gives the interpreter lock
away and asks for it again while the event loop wants it as well. docs/decisions/traced-step.md has the figures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from realtime.model.blanks import BlankPenalty
from realtime.model.state import Rows, StreamState
from realtime.model.voxtral import Prompt, Voxtral

_Key = tuple[int, bool, bool]
# A graph holds for all batches of a class: `layers.linear` pads fewer than 16 rows, and a stream has eight of them in
# the first convolution, four in the encoder and one in the decoder.
_CLASS_BOUNDS = (2, 4, 16)
_CLASS_SIZES = (1, 2, 8, 20)
_FEWEST_MASKED = 5
"""Fewer rows are gathered wherever one of them is idle (runner._GATHER_BELOW)."""


class TracedStep:
    """`Voxtral.step` for one model, prompt and penalty. Graphs are recorded on first use, or before by `warm`."""

    def __init__(self, model: Voxtral, prompt: Prompt, penalty: BlankPenalty | None):
        self._model, self._prompt, self._penalty = model, prompt, penalty
        self._scratch = model.new_state(_CLASS_SIZES[-1])
        self._graphs: dict[_Key, Callable] = {}

    def __call__(self, state: StreamState, rows: Rows, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Rows, frames [B, 1280] -> tokens [B], log probabilities [B]; the same bits as the model's own step."""
        masked = rows.active is not None
        graph = self._graph((_size_class(rows.count), rows.prefix, masked))
        inputs = (rows.index, frames, *((rows.active,) if masked else ()), *state.tensors())
        # As recorded: an optimised graph sums in another order, and would be prepared anew for every size.
        with torch.no_grad(), torch.jit.optimized_execution(False):
            return graph(*inputs)

    def warm(self, state: StreamState) -> None:
        """Record every graph that ticks will need and run it on as many rows as there may be.

        A graph prepares itself when it first runs, and the tensors of the largest batch stay with the process: what
        a server takes, it takes now. Spoils every slot: before any stream has one.
        """
        slots = state.slots
        for smallest, beyond in zip((1, *_CLASS_BOUNDS), (*_CLASS_BOUNDS, slots + 1), strict=True):
            count = min(beyond - 1, slots)
            if count < smallest:
                return
            index = torch.arange(count)
            frames = torch.zeros(count, self._model.args.frame_samples)
            self(state, Rows(index), frames)
            self(state, Rows(index, prefix=True), frames)
            if count >= _FEWEST_MASKED:
                self(state, Rows(index, torch.ones(count, dtype=torch.bool), prefix=True), frames)

    def _graph(self, key: _Key) -> Callable:
        if key not in self._graphs:
            self._graphs[key] = self._record(key)
        return self._graphs[key]

    def _record(self, key: _Key) -> Callable:
        size_class, prefix, masked = key
        count = _CLASS_SIZES[size_class]

        def run(index: Tensor, frames: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
            active, tensors = (rest[0], rest[1:]) if masked else (None, rest)
            rows = Rows(index, active, prefix)
            return self._model.tick(self._scratch.over(tensors), rows, frames, self._prompt, self._penalty)

        active = (torch.ones(count, dtype=torch.bool),) if masked else ()
        frames = torch.zeros(count, self._model.args.frame_samples)
        inputs = (torch.arange(count), frames, *active, *self._scratch.tensors())
        with torch.no_grad(), warnings.catch_warnings():
            # Of branches on sizes, which the classes take care of; and of the tracer's age: torch is pinned.
            warnings.simplefilter("ignore")
            graph = torch.jit.trace(run, inputs, check_trace=False)
        return graph


def _size_class(count: int) -> int:
    return sum(count >= bound for bound in _CLASS_BOUNDS)
