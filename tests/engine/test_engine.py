"""The engine's thread with a scripted runner: no torch, no model, no sleeps."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from realtime.engine.engine import Engine
from realtime.engine.slots import Slots
from realtime.errors import AtCapacity, EngineFailed
from realtime.events import Step

WAIT_S = 20
FRAME = np.zeros(4, np.float32)


class ScriptedRunner:
    """Answers with the first sample of each frame; can be held to let a batch build up."""

    def __init__(self, slots: int):
        self.slots, self.frame_samples = slots, 4
        self.resets: list[tuple[int, int]] = []
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error: Exception | None = None
        self.thread: threading.Thread | None = None

    def start(self):
        self.thread = threading.current_thread()

    def reset(self, slot, delay_tokens):
        self.resets.append((slot, delay_tokens))

    def step(self, slots, frames):
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        if self.error:
            raise self.error
        self.batches.append(list(slots))
        return [int(frame[0]) for frame in frames], [-0.5] * len(slots)


class Desk:
    """Collects delivered steps and lets a test wait for a number of them."""

    def __init__(self):
        self.steps: list[Step] = []
        self._changed = threading.Condition()

    def deliver(self, steps):
        with self._changed:
            self.steps += steps
            self._changed.notify_all()

    def wait(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.steps) >= count, WAIT_S)
            return self.steps


@pytest.fixture
def world():
    runner, desk = ScriptedRunner(3), Desk()
    engine = Engine(runner)
    engine.start(desk.deliver)
    yield SimpleNamespace(engine=engine, runner=runner, desk=desk)
    runner.gate.set()
    engine.stop(WAIT_S)


def frame(value: int) -> np.ndarray:
    return np.full(4, value, np.float32)


def test_steps_come_in_order_with_positions(world):
    stream = world.engine.open(6)
    for value in (7, 8, 9):
        stream.feed(frame(value))
    assert world.desk.wait(3) == [Step(stream.lease, k, 7 + k, -0.5) for k in range(3)]
    assert world.runner.resets == [(0, 6)]
    assert world.runner.thread is not threading.current_thread()


def test_everything_that_waits_goes_into_one_tick(world):
    streams = [world.engine.open(6) for _ in range(3)]
    world.runner.gate.clear()
    streams[1].feed(frame(0))
    assert world.runner.entered.wait(WAIT_S)
    for stream in streams:
        assert stream.feed(frame(1)) == 1
    assert streams[2].feed(frame(2)) == 2  # the backlog
    world.runner.gate.set()
    world.desk.wait(5)
    assert world.runner.batches == [[1], [0, 1, 2], [2]]


def test_admission_and_lowest_slot_first(world):
    streams = [world.engine.open(6) for _ in range(3)]
    with pytest.raises(AtCapacity):
        world.engine.open(6)
    assert world.engine.slots_in_use == 3
    streams[1].close()
    streams[1].close()  # twice does no harm
    assert world.engine.slots_in_use == 2
    assert world.engine.open(6).slot == 1


def test_late_steps_keep_their_old_lease(world):
    """A stream that closes during its tick: the slot's next tenant never gets that step, and is reset first."""
    first = world.engine.open(6)
    world.runner.gate.clear()
    first.feed(frame(5))
    assert world.runner.entered.wait(WAIT_S)
    first.close()
    second = world.engine.open(3)
    assert second.slot == first.slot and second.lease != first.lease
    second.feed(frame(6))
    world.runner.gate.set()
    steps = world.desk.wait(2)
    assert [(step.lease, step.token) for step in steps] == [(first.lease, 5), (second.lease, 6)]
    assert world.runner.resets == [(0, 6), (0, 3)]


def test_a_closed_stream_drops_what_waited(world):
    stream, other = world.engine.open(6), world.engine.open(6)
    world.runner.gate.clear()
    other.feed(frame(1))
    assert world.runner.entered.wait(WAIT_S)
    stream.feed(frame(2))
    stream.close()
    assert stream.feed(frame(3)) == 0
    other.feed(frame(4))
    world.runner.gate.set()
    world.desk.wait(2)
    assert world.runner.batches == [[1], [1]]


def test_a_frame_of_wrong_size_is_refused(world):
    with pytest.raises(ValueError, match="4 samples"):
        world.engine.open(6).feed(np.zeros(3, np.float32))


def test_failure_is_seen_by_everybody(world):
    failed = threading.Event()
    world.engine.on_failure = failed.set
    stream = world.engine.open(6)
    world.runner.error = RuntimeError("device lost")
    stream.feed(FRAME)
    assert failed.wait(WAIT_S)
    assert str(world.engine.failure) == "device lost"
    with pytest.raises(EngineFailed):
        stream.feed(FRAME)
    with pytest.raises(EngineFailed):
        world.engine.open(6)
    stream.close()
    assert world.engine.slots_in_use == 0


def test_an_error_in_deliver_is_a_failure_too(world):
    failed = threading.Event()
    world.engine.on_failure = failed.set
    world.engine._deliver = lambda steps: 1 / 0
    world.engine.open(6).feed(FRAME)
    assert failed.wait(WAIT_S)


def test_it_has_started_when_the_runner_has():
    runner = ScriptedRunner(1)
    held, order = threading.Event(), []
    runner.start = lambda: (held.wait(WAIT_S), order.append("runner"))
    engine = Engine(runner)
    starting = threading.Thread(target=lambda: (engine.start(lambda steps: None), order.append("engine")))
    starting.start()
    starting.join(0.05)
    assert starting.is_alive()
    held.set()
    starting.join(WAIT_S)
    assert order == ["runner", "engine"]
    engine.stop(WAIT_S)


def test_a_runner_that_cannot_start_holds_nobody_up():
    runner, failed = ScriptedRunner(1), threading.Event()
    runner.start = lambda: 1 / 0
    engine = Engine(runner)
    engine.on_failure = failed.set
    engine.start(lambda steps: None)
    assert isinstance(engine.failure, ZeroDivisionError)
    assert failed.wait(WAIT_S)
    with pytest.raises(EngineFailed):
        engine.open(6)


def test_stop_ends_the_thread_and_refuses_work(world):
    stream = world.engine.open(6)
    world.engine.stop(WAIT_S)
    assert not world.engine._thread.is_alive()
    with pytest.raises(EngineFailed):
        stream.feed(FRAME)


def test_observers_see_batch_and_backlog(world):
    seen = []
    world.engine.stats.observers.append(lambda tick_s, batch, backlog: seen.append((batch, backlog)))
    streams = [world.engine.open(6) for _ in range(2)]
    world.runner.gate.clear()
    streams[0].feed(FRAME)
    assert world.runner.entered.wait(WAIT_S)
    streams[0].feed(FRAME)
    streams[1].feed(FRAME)
    world.runner.gate.set()
    world.desk.wait(3)
    world.engine.stop(WAIT_S)
    assert seen == [(1, 2), (2, 0)]
    assert (world.engine.stats.ticks, world.engine.stats.frames) == (2, 3)


def test_slots_refuse_what_nobody_holds():
    slots = Slots(2)
    assert [slots.take(), slots.take(), slots.take()] == [0, 1, None]
    slots.give_back(0)
    with pytest.raises(KeyError):
        slots.give_back(0)
    assert slots.take() == 0
