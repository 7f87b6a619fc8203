"""Slots are the smaller of what memory holds and what fits into a frame's time."""

from __future__ import annotations

import pytest

from realtime.engine import capacity
from realtime.model import weights
from realtime.model.state import StreamState
from realtime.model.voxtral import Prompt
from tests import checkpoints

PROMPT = Prompt(checkpoints.BOS, checkpoints.PAD, checkpoints.LEFT_PAD)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return weights.load(checkpoints.write(tmp_path_factory.mktemp("checkpoint")))


def scripted(monkeypatch, ms_per_row: float, fixed_ms: float, memory: int = 10_000):
    monkeypatch.setattr(capacity, "memory_slots", lambda model: memory)
    monkeypatch.setattr(
        capacity, "tick_seconds", lambda model, prompt, batch: (fixed_ms + ms_per_row * batch) / 1e3
    )


def test_time_binds(model, monkeypatch):
    scripted(monkeypatch, ms_per_row=0.5, fixed_ms=5.9)
    found = capacity.measure(model, PROMPT)
    assert found.slots == found.by_time == 100  # 5.9 + 0.5 * 100 is just below 70 % of 80 ms


def test_memory_binds(model, monkeypatch):
    scripted(monkeypatch, ms_per_row=0.01, fixed_ms=1, memory=37)
    found = capacity.measure(model, PROMPT)
    assert (found.slots, found.by_memory) == (37, 37)


def test_a_slow_machine_still_serves_somebody(model, monkeypatch):
    scripted(monkeypatch, ms_per_row=50, fixed_ms=500)
    assert capacity.measure(model, PROMPT).slots >= 1


def test_a_fast_machine_is_capped(model, monkeypatch):
    scripted(monkeypatch, ms_per_row=0.001, fixed_ms=0.1)
    assert capacity.measure(model, PROMPT).slots == capacity.MAX_SLOTS


def test_really_measures(model):
    assert 0 < capacity.tick_seconds(model, PROMPT, 4) < 10


def test_memory_slots_follow_the_state_that_is_allocated(model, monkeypatch):
    per_slot = StreamState.bytes_per_slot(model.args, model.dtype)
    state = model.new_state(5)
    allocated = sum(
        tensor.numel() * tensor.element_size()
        for tensor in [state.encoder.kv, state.decoder.kv, *(getattr(state, name) for name in state._ROWS)]
    )
    assert allocated == 5 * per_slot
    monkeypatch.setattr(capacity, "free_bytes", lambda device: 20 * per_slot)
    assert capacity.memory_slots(model) == 10
