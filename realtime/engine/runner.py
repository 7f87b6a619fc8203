"""The model on its device: turns host frames into a tick and tokens back into host numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from realtime.engine.traced import TracedStep
from realtime.model.args import ModelArgs
from realtime.model.blanks import BlankPenalty
from realtime.model.decoder import DELAYS_TOKENS
from realtime.model.state import Rows, StreamState
from realtime.model.voxtral import Prompt, Voxtral

# Below this share of active rows, gathering them is cheaper than computing the whole prefix.
_GATHER_BELOW = 0.8


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    threads: int | None = None  # torch threads of a tick; None keeps torch's own choice
    penalty: BlankPenalty | None = None
    traced: bool = False  # run recorded graphs (engine/traced.py); for the CPU


class Runner:
    """Owns the state of all slots. After `start` every method belongs to the engine thread."""

    def __init__(self, model: Voxtral, prompt: Prompt, slots: int, options: RunnerOptions | None = None):
        self.model, self.prompt, self.slots = model, prompt, slots
        self.options = options or RunnerOptions()
        self.frame_samples = model.args.frame_samples
        self.state = model.new_state(slots)
        self._traced = TracedStep(model, prompt, self.options.penalty) if self.options.traced else None
        self._templates = make_templates(model, prompt, self.options.penalty)

    def start(self) -> None:
        """Once, in the thread that will tick."""
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        if self._traced:
            self._traced.warm(self.state)

    def reset(self, slot: int, delay_tokens: int) -> None:
        """Give a slot to a new stream: a copy of the template that has heard the left padding."""
        self.state.copy_slot(slot, self._templates, DELAYS_TOKENS.index(delay_tokens))

    def step(self, slots: list[int], frames: np.ndarray) -> tuple[list[int], list[float]]:
        """One tick for the given slots (ascending, distinct), frames [B, 1280] float32 -> tokens, log probabilities."""
        high = slots[-1] + 1
        if len(slots) == high:
            tokens, logprobs = self._run(Rows(self._index(slots), prefix=True), frames)
        elif len(slots) < high * _GATHER_BELOW:
            tokens, logprobs = self._run(Rows(self._index(slots)), frames)
        else:
            spread = np.zeros((high, self.frame_samples), np.float32)
            spread[slots] = frames
            active = torch.zeros(high, dtype=torch.bool)
            active[slots] = True
            rows = Rows(self._index(range(high)), active.to(self.model.device), prefix=True)
            tokens, logprobs = self._run(rows, spread)
            tokens, logprobs = [tokens[s] for s in slots], [logprobs[s] for s in slots]
        return tokens, logprobs

    def _index(self, slots) -> torch.Tensor:
        return torch.tensor(list(slots), dtype=torch.int64, device=self.model.device)

    def _run(self, rows: Rows, frames: np.ndarray) -> tuple[list[int], list[float]]:
        batch = torch.from_numpy(frames).to(self.model.device, non_blocking=True)
        if self._traced:
            tokens, logprobs = self._traced(self.state, rows, batch)
        else:
            tokens, logprobs = self.model.step(self.state, rows, batch, self.prompt, self.options.penalty)
        both = torch.stack((tokens.double(), logprobs.double())).tolist()  # one copy to the host
        return [int(token) for token in both[0]], both[1]


def make_templates(model: Voxtral, prompt: Prompt, penalty: BlankPenalty | None = None) -> StreamState:
    """A state with one slot per delay of DELAYS_TOKENS, each having heard the left padding less one position.

    Those positions depend on the delay alone. The last one is left to the stream: its mel look-ahead hears the first
    40 samples. Rings are only as long as the padding needs.
    """
    ticks = prompt.left_pad_tokens - 1
    state = StreamState(_short_windows(model.args, ticks), len(DELAYS_TOKENS), model.dtype, model.device)
    for slot, delay_tokens in enumerate(DELAYS_TOKENS):
        state.clear(slot, delay_tokens, prompt.bos)
    rows = Rows(torch.arange(len(DELAYS_TOKENS), device=model.device), prefix=True)
    silence = torch.zeros(rows.count, model.args.frame_samples, device=model.device)
    for _ in range(ticks):
        model.step(state, rows, silence, prompt, penalty)
    return state


def _short_windows(args: ModelArgs, ticks: int) -> ModelArgs:
    encoder_window = min(args.encoder.sliding_window, ticks * args.positions_per_frame)
    decoder_window = min(args.decoder.sliding_window, ticks)
    return replace(
        args,
        encoder=replace(args.encoder, sliding_window=encoder_window),
        decoder=replace(args.decoder, sliding_window=decoder_window),
    )
