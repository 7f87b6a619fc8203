"""The messages that stand for each dialect's clients carry the audio that the native ones carry."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from bench import dialects
from bench.ingress import mulaw
from realtime.text.tokenizer import Tekken
from tests import checkpoints

MESSAGES = 12


@pytest.fixture
def tekken(tmp_path) -> Tekken:
    tree = checkpoints.tekken()
    tree["vocab"][-1]["token_bytes"] = "IHdvcmQ="  # " word"
    (tmp_path / "tekken.json").write_text(json.dumps(tree))
    return Tekken.load(tmp_path / "tekken.json")


@pytest.mark.parametrize("wire", dialects.WIRES, ids=lambda wire: wire.name)
def test_a_dialects_messages_are_heard_as_audio(wire, tekken):
    asyncio.run(hear(wire, tekken))


async def hear(wire, tekken):
    talk = dialects.Talk(wire.new(), tekken, wire.query)
    talk.send(wire.before)
    sound = np.sin(np.arange(MESSAGES * wire.rate_hz * wire.message_ms // 1000) / 9).astype(np.float32) / 2
    data = mulaw(sound) if wire.encoding == "mulaw" else (sound * 32767).astype("<i2").tobytes()
    size = wire.message_bytes
    talk.send(wire.wrap(n, data[n * size : (n + 1) * size]) for n in range(MESSAGES))
    options = talk.session.options
    assert (options.encoding, options.sample_rate) == (wire.encoding, wire.rate_hz)
    assert talk.session._audio_samples == len(sound)
