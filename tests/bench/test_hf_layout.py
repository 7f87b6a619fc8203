"""A native checkpoint and its conversion for transformers are the same function."""

from __future__ import annotations

import pytest
import torch

from realtime.model import weights
from realtime.model.state import Rows
from realtime.model.voxtral import Prompt
from tests import checkpoints, signals

pytest.importorskip("transformers")


def tokens_and_logprobs(folder):
    model = weights.load(folder)
    state = model.new_state(1)
    state.clear(0, 6, checkpoints.BOS)
    rows = Rows(torch.zeros(1, dtype=torch.int64), prefix=True)
    prompt = Prompt(checkpoints.BOS, checkpoints.PAD, 2)
    frames = signals.frames(signals.babble(2.0, 1), silent_frames=3)
    steps = [model.step(state, rows, torch.from_numpy(frame)[None], prompt) for frame in frames]
    return [int(token) for token, _ in steps], torch.stack([logprob for _, logprob in steps])


def test_conversion_keeps_the_function(tmp_path):
    """The checkpoint's bottleneck is narrower than that of transformers: padded, not changed."""
    from bench import hf_layout

    native, converted = checkpoints.write(tmp_path / "native"), tmp_path / "hf"
    hf_layout.write(native, converted)
    assert weights.read_args(native).ada_dim < weights.read_args(converted).ada_dim
    ours, our_logprobs = tokens_and_logprobs(native)
    theirs, their_logprobs = tokens_and_logprobs(converted)
    assert len(set(ours)) > 5
    assert ours == theirs
    assert torch.allclose(our_logprobs, their_logprobs, atol=1e-5)
