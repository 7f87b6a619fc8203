"""What must hold beyond float32: angles of week-old streams, and bfloat16 as on a GPU."""

from __future__ import annotations

import numpy as np
import torch

from realtime.model import weights
from realtime.model.blanks import BlankPenalty
from realtime.model.layers import Rope
from realtime.model.state import Rows
from realtime.model.voxtral import Prompt
from tests import checkpoints, signals

PROMPT = Prompt(checkpoints.BOS, checkpoints.PAD, checkpoints.LEFT_PAD)
ONE = Rows(torch.zeros(1, dtype=torch.int64), prefix=True)


def test_rotation_after_a_week_depends_on_distance_alone():
    rope = Rope(64, 1e6, torch.device("cpu"))
    week = 7 * 24 * 3600 * 50
    young = rope(torch.tensor([[10, 400]]), torch.float32)
    old = rope(torch.tensor([[week + 10, week + 400]]), torch.float32)

    def relative(cos, sin):  # cosine of the difference of the two angles
        return cos[0, 0] * cos[0, 1] + sin[0, 0] * sin[0, 1]

    assert (relative(*young) - relative(*old)).abs().max() < 1e-5


def test_an_old_stream_speaks_like_a_young_one(tmp_path):
    """The same sound, heard a week later, gives the same tokens once both windows hold nothing else."""
    model = weights.load(checkpoints.write(tmp_path))
    frames = [torch.from_numpy(frame)[None] for frame in signals.frames(signals.babble(3, seed=1))]
    spoken = []
    for start in (100, 100 + 7 * 24 * 3600 * 25 // 2):
        state = model.new_state(1)
        state.clear(0, 6, checkpoints.PAD)
        state.position[0] = start
        for ring in (state.encoder, state.decoder):  # never-written cells count as old enough to be seen
            ring.kv.zero_()
        spoken.append([model.step(state, ONE, frame, PROMPT)[0].item() for frame in frames])
    assert len(set(spoken[0])) > 5
    assert spoken[0] == spoken[1]


def test_bfloat16_runs_and_stays_close(tmp_path):
    folder = checkpoints.write(tmp_path)
    exact = weights.load(folder)
    rough = weights.load(folder, dtype=torch.bfloat16)
    mel = exact.mel(torch.from_numpy(np.pad(signals.babble(2, seed=2), (240, 0)))[None])[..., :192]
    a, b = exact.encode_whole(mel), rough.encode_whole(mel)
    assert b.dtype == torch.bfloat16
    assert ((a - b.float()).norm() / a.norm()) < 0.05
    state = rough.new_state(1)
    state.clear(0, 6, checkpoints.BOS)
    token, logprob = rough.step(state, ONE, torch.zeros(1, 1280), PROMPT)
    assert token.tolist() == [checkpoints.PAD] and logprob.dtype == torch.float32


def test_blank_penalty_ends_a_rut(tmp_path):
    """A model that always prefers the pad by 0.96 logits: the penalty lets the runner-up through, and not earlier."""
    model = weights.load(checkpoints.write(tmp_path))
    model.decoder.tok_embeddings.weight.zero_()
    model.decoder.tok_embeddings.weight[checkpoints.PAD] = 0.1
    model.decoder.tok_embeddings.weight[77] = 0.08
    model.decoder.norm = checkpoints.Ones()  # logits are then 48 times these numbers

    def speak(penalty: BlankPenalty | None) -> list[int]:
        state = model.new_state(1)
        state.clear(0, 1, checkpoints.BOS)
        frames = torch.zeros(90, 1, 1280)
        return [model.step(state, ONE, frame, PROMPT, penalty)[0].item() for frame in frames]

    assert set(speak(None)) == {checkpoints.PAD}
    first_free = checkpoints.LEFT_PAD + 1
    spoken = speak(BlankPenalty(after=20, slope=0.5, limit=7.0))
    assert spoken.index(77) == first_free + 22  # 22 pads in a row: 2 over, 1.0 logit weaker
    assert spoken[first_free + 23] == checkpoints.PAD  # a word ends the run
    assert set(speak(BlankPenalty(after=20, slope=0.5, limit=0.5))) == {checkpoints.PAD}
