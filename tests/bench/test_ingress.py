"""The fake engine, the messages, and what they cost at all."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from bench import ingress
from bench.fake_engine import FakeEngine
from realtime.audio.codecs import decoder
from realtime.errors import AtCapacity
from realtime.text.tokenizer import Tekken
from tests import checkpoints


@pytest.fixture
def tekken(tmp_path) -> Tekken:
    # Letters only: the pieces of the test vocabulary carry numbers.
    tree = checkpoints.tekken()
    tree["vocab"][-1]["token_bytes"] = "IHdvcmQ="  # " word"
    (tmp_path / "tekken.json").write_text(json.dumps(tree))
    return Tekken.load(tmp_path / "tekken.json")


def test_mulaw_is_what_the_server_decodes():
    samples = np.sin(np.arange(4000) / 9).astype(np.float32) * np.linspace(-1, 1, 4000, dtype=np.float32)
    (heard,) = decoder("mulaw", 1).push(ingress.mulaw(samples))
    assert np.abs(heard - samples).max() < 0.03
    quiet = np.abs(samples) < 0.02
    assert np.abs(heard - samples)[quiet].max() < 0.0006


def test_every_format_is_cut_into_messages_of_80_ms():
    cases = ingress.cases(np.zeros(16_000, np.int16))
    sizes = {(case.name, case.options.sample_rate): {len(m) for m in case.messages} for case in cases[:-1]}
    assert sizes == {
        ("pcm_s16le", 8000): {1280},
        ("pcm_s16le", 16_000): {2560},
        ("pcm_s16le", 48_000): {7680},
        ("mulaw", 8000): {640},
    }
    assert len(cases) == 2 * len(sizes) + 1


def test_the_fake_engine_answers_frames_of_a_turn_together(tekken):
    async def feed():
        engine, delivered = FakeEngine(tekken, slots=2), []
        engine.start(delivered.append)
        streams = [engine.open(6), engine.open(6)]
        with pytest.raises(AtCapacity):
            engine.open(6)
        for stream in streams:
            stream.feed(np.zeros(1280, np.float32))
        streams[0].feed(np.zeros(1280, np.float32))
        await asyncio.sleep(0)
        streams[0].close()
        streams[0].close()
        return engine, delivered

    engine, delivered = asyncio.run(feed())
    assert [[(step.lease, step.position) for step in steps] for steps in delivered] == [
        [(1, 0), (2, 0), (1, 1)]
    ]
    assert engine.slots_in_use == 1
    assert engine.tekken.piece(delivered[0][2].token) == b" word"


@pytest.mark.parametrize("vad", [True, False])
def test_a_session_alone_costs_something(tekken, vad):
    case = next(case for case in ingress.cases(np.zeros(16_000, np.int16)) if case.vad is vad)
    assert ingress.session_us(case, tekken, messages=20) > 0
