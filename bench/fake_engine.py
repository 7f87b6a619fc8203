"""An engine that answers every frame at once, so that only the event loop's work is left; and a server around it.

python -m bench.fake_engine [settings of voxwire serve]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from realtime import config as configuration
from realtime.config import Config
from realtime.errors import AtCapacity
from realtime.events import Step
from realtime.text.confidence import IDENTITY
from realtime.text.tokenizer import Tekken

WORD_EVERY = 5  # frames: a marker, then one piece of text, which is 2.5 words a second
LOGPROB = -0.1


@dataclass
class FakeStats:
    observers: list[Callable[[float, int, int], None]] = field(default_factory=list)


class FakeStream:
    """Answers on the loop's next turn, together with all that came in this one: as a tick would."""

    def __init__(self, engine: FakeEngine, lease: int, delay_tokens: int):
        self.lease, self.delay_tokens = lease, delay_tokens
        self._engine = engine
        self._position = 0
        self._closed = False

    def feed(self, frame: np.ndarray) -> int:
        if not self._closed:
            self._engine.answer(Step(self.lease, self._position, self._engine.token(self._position), LOGPROB))
            self._position += 1
        return 0

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._engine.slots_in_use -= 1


class FakeEngine:
    """What the server asks of an engine, on the event loop itself. Says one word every WORD_EVERY frames."""

    model_name, device_name = "fake", "none"
    calibration = IDENTITY
    failure = None
    bytes_per_slot = 0

    def __init__(self, tekken: Tekken, slots: int):
        self.tekken, self.slots, self.slots_in_use = tekken, slots, 0
        self.stats = FakeStats()
        self.on_failure: Callable[[], None] | None = None
        self._leases = 0
        self._waiting: list[Step] = []
        self._deliver: Callable[[list[Step]], None] = lambda steps: None
        rank = next(i for i, piece in enumerate(tekken.pieces) if piece[:1] == b" " and piece[1:].isalpha())
        self._piece = tekken.n_special + rank

    def start(self, deliver: Callable[[list[Step]], None]) -> None:
        self._deliver = deliver

    def stop(self) -> None:
        pass

    def open(self, delay_tokens: int) -> FakeStream:
        if self.slots_in_use >= self.slots:
            raise AtCapacity()
        self.slots_in_use += 1
        self._leases += 1
        return FakeStream(self, self._leases, delay_tokens)

    def token(self, position: int) -> int:
        phase = position % WORD_EVERY
        return {0: self.tekken.word_id, 1: self._piece}.get(phase, self.tekken.pad_id)

    def answer(self, step: Step) -> None:
        """Steps of one turn of the loop are delivered together in the next, as those of a tick are."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._tick)
        self._waiting.append(step)

    def _tick(self) -> None:
        steps, self._waiting = self._waiting, []
        self._deliver(steps)


# ---------------------------------------------------------------- a server around it


def main(argv: Sequence[str] | None = None) -> int:
    """`voxwire serve` with this engine; says its address on stdout."""
    from bench.load import run_loop
    from realtime.server import app, logs

    parser = argparse.ArgumentParser(prog="python -m bench.fake_engine")
    configuration.add_flags(parser)
    config = configuration.load(vars(parser.parse_args(argv)), os.environ)
    logs.set_up(config.log)
    return run_loop(_serve(config, app))


async def _serve(config: Config, app) -> int:
    tekken = Tekken.load(Path(config.engine.model) / "tekken.json")
    listener = app.bind(config.server.host, config.server.port)
    server = app.Server(config, FakeEngine(tekken, config.engine.slots or 1024), listener)
    await server.start()
    print(f"http://127.0.0.1:{server.port}", flush=True)
    return await server.run()


if __name__ == "__main__":
    sys.exit(main())
