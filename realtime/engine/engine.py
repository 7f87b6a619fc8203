"""The device and its one thread. It knows streams, not sessions: open, feed, close; tokens leave through `deliver`.

A tick starts when at least one frame waits and the device is free: light load gives low latency, heavy load gives
large batches, and nothing has to be tuned.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from realtime.engine.capacity import Capacity
from realtime.engine.runner import Runner
from realtime.engine.slots import Slots
from realtime.engine.stats import EngineStats
from realtime.errors import AtCapacity, EngineFailed
from realtime.events import Step
from realtime.text.confidence import IDENTITY, Calibration
from realtime.text.tokenizer import Tekken

Deliver = Callable[[list[Step]], None]


class Stream:
    """One tenant of a slot. The lease id is unique for the life of the process, so a late step is never mistaken."""

    __slots__ = ("_engine", "closed", "delay_tokens", "fresh", "lease", "position", "slot", "waiting")

    def __init__(self, engine: Engine, lease: int, slot: int, delay_tokens: int):
        self._engine = engine
        self.lease = lease
        self.slot = slot
        self.delay_tokens = delay_tokens
        self.waiting: deque[np.ndarray] = deque()
        self.position = 0  # frames done
        self.fresh = True  # the slot still holds its predecessor's state
        self.closed = False

    def feed(self, frame: np.ndarray) -> int:
        """float32[1280] -> frames of this stream that now wait. Raises EngineFailed; a closed stream ignores it."""
        return self._engine._feed(self, frame)

    def close(self) -> None:
        """Give the slot back at once; frames that wait are dropped. May be called again."""
        self._engine._close(self)


class Engine:
    """Thread-safe: streams are opened, fed and closed from any thread; the runner is touched by one alone.

    `tekken`, `calibration`, `model_name`, `device_name` and `capacity` describe what is loaded (see load_engine).
    """

    def __init__(
        self,
        runner: Runner,
        *,
        tekken: Tekken | None = None,
        calibration: Calibration = IDENTITY,
        model_name: str = "",
        device_name: str = "cpu",
        capacity: Capacity | None = None,
    ):
        self.tekken, self.calibration = tekken, calibration
        self.model_name, self.device_name, self.capacity = model_name, device_name, capacity
        self.stats = EngineStats()
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], None] | None = None
        self._runner = runner
        self._slots = Slots(runner.slots)
        self._leases = itertools.count(1)
        self._ready: dict[int, Stream] = {}  # lease -> stream with waiting frames
        self._wake = threading.Condition()
        self._stopping = False
        self._warm = threading.Event()
        self._deliver: Deliver = lambda steps: None
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    # ------------------------------------------------------------ any thread

    @property
    def slots(self) -> int:
        return self._slots.count

    @property
    def slots_in_use(self) -> int:
        return self._slots.in_use

    @property
    def bytes_per_slot(self) -> int:
        model = self._runner.model
        return type(self._runner.state).bytes_per_slot(model.args, model.dtype)

    def start(self, deliver: Deliver) -> None:
        """`deliver` is called in the engine thread, once per tick, with the steps of all streams that took part.

        Returns when the first tick will be as fast as any other, or when the thread has died of the attempt.
        """
        self._deliver = deliver
        self._thread.start()
        self._warm.wait()

    def open(self, delay_tokens: int) -> Stream:
        """Raises AtCapacity when no slot is free, EngineFailed when the thread has died."""
        with self._wake:
            self._check()
            slot = self._slots.take()
            if slot is None:
                raise AtCapacity(f"All {self._slots.count} slots are in use.")
            return Stream(self, next(self._leases), slot, delay_tokens)

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread after its current tick."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _feed(self, stream: Stream, frame: np.ndarray) -> int:
        if frame.shape != (self._runner.frame_samples,):
            raise ValueError(f"a frame has {self._runner.frame_samples} samples, got {frame.shape}")
        with self._wake:
            self._check()
            if stream.closed:
                return 0
            stream.waiting.append(frame)
            self._ready[stream.lease] = stream
            self._wake.notify()
            return len(stream.waiting)

    def _close(self, stream: Stream) -> None:
        with self._wake:
            if stream.closed:
                return
            stream.closed = True
            stream.waiting.clear()
            self._ready.pop(stream.lease, None)
            self._slots.give_back(stream.slot)

    def _check(self) -> None:
        if self.failure is not None:
            raise EngineFailed("The engine has failed; the process is about to restart.")
        if self._stopping:
            raise EngineFailed("The engine has stopped.")

    # ------------------------------------------------------------ the engine thread

    def _main(self) -> None:
        try:
            self._runner.start()
            self._warm.set()
            while batch := self._collect():
                self._tick(batch)
        except BaseException as error:
            self._fail(error)

    def _collect(self) -> list[tuple[Stream, np.ndarray]]:
        """Wait for frames; the oldest one of every stream that has any, by slot. Empty when stopping."""
        with self._wake:
            while not self._ready and not self._stopping:
                self._wake.wait()
            if self._stopping:
                return []
            streams = sorted(self._ready.values(), key=lambda stream: stream.slot)
            batch = [(stream, stream.waiting.popleft()) for stream in streams]
            self._ready = {stream.lease: stream for stream in streams if stream.waiting}
            return batch

    def _tick(self, batch: list[tuple[Stream, np.ndarray]]) -> None:
        started = time.perf_counter()
        for stream, _ in batch:
            if stream.fresh:
                self._runner.reset(stream.slot, stream.delay_tokens)
                stream.fresh = False
        frames = np.stack([frame for _, frame in batch])
        tokens, logprobs = self._runner.step([stream.slot for stream, _ in batch], frames)
        steps = []
        for (stream, _), token, logprob in zip(batch, tokens, logprobs, strict=True):
            steps.append(Step(stream.lease, stream.position, token, logprob))
            stream.position += 1
        self._deliver(steps)
        with self._wake:
            backlog = sum(len(stream.waiting) for stream in self._ready.values())
        self.stats.tick(time.perf_counter() - started, len(batch), backlog)

    def _fail(self, error: BaseException) -> None:
        with self._wake:
            self.failure = error
            self._ready.clear()
        self._warm.set()
        if self.on_failure is not None:
            self.on_failure()
