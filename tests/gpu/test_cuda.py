"""The same step on a GPU. Skipped where torch sees none; nothing here has a CPU twin that would hide a fault."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realtime.engine.runner import Runner
from realtime.model import weights
from realtime.model.voxtral import Prompt
from tests import checkpoints, signals

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

PROMPT = Prompt(checkpoints.BOS, checkpoints.PAD, checkpoints.LEFT_PAD)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.backends.cuda.matmul.allow_tf32 = False
    return checkpoints.write(tmp_path_factory.mktemp("checkpoint"))


def speak(model, frames: np.ndarray, others: int) -> list[int]:
    """Tokens of slot 0 with `others` further streams in scattered slots."""
    runner = Runner(model, PROMPT, slots=2 * others + 1)
    slots = list(range(0, 2 * others + 1, 2))
    for slot in slots:
        runner.reset(slot, 6)
    return [runner.step(slots, np.repeat(frame[None], len(slots), 0))[0][0] for frame in frames]


def test_float32_tokens_equal_the_cpu(folder):
    frames = signals.frames(signals.babble(4, seed=1), silent_frames=17)
    cpu = speak(weights.load(folder), frames, others=0)
    cuda = speak(weights.load(folder, dtype=torch.float32, device="cuda"), frames, others=0)
    assert cuda == cpu


def test_scattered_slots_equal_one_slot(folder):
    model = weights.load(folder, dtype=torch.float32, device="cuda")
    frames = signals.frames(signals.babble(3, seed=2))
    assert speak(model, frames, others=5) == speak(model, frames, others=0)


def test_bfloat16_is_the_default_and_speaks(folder):
    model = weights.load(folder, device="cuda")
    assert model.dtype == torch.bfloat16
    tokens = speak(model, signals.frames(signals.babble(3, seed=3)), others=2)
    assert len(set(tokens)) > 5
