"""The equalities of the batched step: who else is in the batch, where a row lies and who had it before is invisible."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realtime.engine.runner import Runner, RunnerOptions
from realtime.engine.traced import TracedStep
from realtime.model import weights
from realtime.model.blanks import BlankPenalty
from realtime.model.mel import LogMel
from realtime.model.state import Rows
from realtime.model.voxtral import Prompt
from tests import checkpoints, signals

PROMPT = Prompt(checkpoints.BOS, checkpoints.PAD, checkpoints.LEFT_PAD)
SECONDS = 5.0  # 94 positions: both windows (30 encoder positions, 20 tokens) wrap several times


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return weights.load(checkpoints.write(tmp_path_factory.mktemp("checkpoint")))


@pytest.fixture(scope="module")
def audio():
    return [signals.frames(signals.babble(SECONDS - 0.5 * k, seed=k), silent_frames=17) for k in range(3)]


def alone(model, frames: np.ndarray, delay: int = 6) -> list[int]:
    """Tokens of a stream that has an engine to itself."""
    return [token for token, _ in heard_alone(model, frames, delay)]


def heard_alone(model, frames: np.ndarray, delay: int = 6) -> list[tuple[int, float]]:
    """The same with log probabilities."""
    runner = Runner(model, PROMPT, slots=1)
    runner.reset(0, delay)
    steps = [runner.step([0], frame[None]) for frame in frames]
    return [(tokens[0], logprobs[0]) for tokens, logprobs in steps]


def test_random_weights_speak_many_tokens(model, audio):
    assert len(set(alone(model, audio[0]))) > 10  # else the equalities below would compare constants


@pytest.mark.parametrize("traced", [False, True])
def test_batch_equals_singles_at_any_age_delay_and_slot(model, audio, traced):
    """Three streams with different delays start at different ticks, miss ticks and end apart, in scattered slots."""
    delays, slots, starts = (6, 1, 15), (4, 0, 2), (0, 7, 31)
    runner = Runner(model, PROMPT, slots=6, options=RunnerOptions(traced=traced))
    rng = np.random.default_rng(3)
    done: list[list[int]] = [[], [], []]
    tick = 0
    while any(len(tokens) < len(frames) for tokens, frames in zip(done, audio, strict=True)):
        present = [
            k
            for k in range(3)
            if tick >= starts[k] and len(done[k]) < len(audio[k]) and (rng.random() < 0.7 or tick % 9 == 0)
        ]
        present.sort(key=lambda k: slots[k])
        for k in present:
            if not done[k]:
                runner.reset(slots[k], delays[k])
        if present:
            frames = np.stack([audio[k][len(done[k])] for k in present])
            tokens, _ = runner.step([slots[k] for k in present], frames)
            for k, token in zip(present, tokens, strict=True):
                done[k].append(token)
        tick += 1
    for k in range(3):
        assert done[k] == alone(model, audio[k], delays[k])


def test_a_crowd_changes_no_bit(model, audio):
    """Log probabilities of a stream among 23 = alone, to the last bit: a transcript does not depend on load."""
    crowd = [signals.frames(signals.babble(2.0, seed=100 + k)) for k in range(22)]
    runner = Runner(model, PROMPT, slots=23)
    for slot in range(23):
        runner.reset(slot, 6)
    heard = []
    for k, frame in enumerate(audio[0]):
        others = [c[k % len(c)] for c in crowd]
        tokens, logprobs = runner.step(list(range(23)), np.stack([*others[:11], frame, *others[11:]]))
        heard.append((tokens[11], logprobs[11]))
    assert heard == heard_alone(model, audio[0])


@pytest.mark.parametrize("penalty", [None, BlankPenalty(after=2, slope=0.5, limit=3.0)])
def test_recorded_graphs_change_no_bit(model, audio, penalty):
    """Random sets of slots, contiguous, scattered and nearly full, of every size: traced = eager, state included."""
    plain = Runner(model, PROMPT, slots=24, options=RunnerOptions(penalty=penalty))
    traced = Runner(model, PROMPT, slots=24, options=RunnerOptions(penalty=penalty, traced=True))
    for runner in (plain, traced):
        for slot in range(24):
            runner.reset(slot, 1 + slot % 15)
    rng = np.random.default_rng(7)
    for count in [1, 2, 3, 4, 5, 9, 15, 16, 17, 20, 22, 23, 24] * 2:
        for slots in (range(count), np.sort(rng.choice(24, count, replace=False))):
            slots = [int(slot) for slot in slots]
            frames = np.stack([audio[slot % 3][int(rng.integers(40))] for slot in slots])
            assert traced.step(slots, frames) == plain.step(slots, frames)
    assert all(torch.equal(a, b) for a, b in zip(plain.state.tensors(), traced.state.tensors(), strict=True))


def test_a_warmed_runner_records_nothing_more_and_hears_the_same(model, audio, monkeypatch):
    """Whatever slots a tick is for; recording would hold it up for a quarter of a second."""
    plain, warmed = (Runner(model, PROMPT, slots=24, options=RunnerOptions(traced=t)) for t in (False, True))
    warmed.start()
    monkeypatch.setattr(TracedStep, "_record", lambda *_: pytest.fail("recorded during a tick"))
    for slot in range(24):
        plain.reset(slot, 6)
        warmed.reset(slot, 6)
    rng = np.random.default_rng(8)
    for highest in (0, 1, 2, 3, 4, 6, 14, 15, 17, 23):
        for missing in {0, highest // 6, highest // 2}:
            others = rng.choice(highest, highest - missing, replace=False)
            slots = [*sorted(map(int, others)), highest]
            frames = np.stack([audio[slot % 3][int(rng.integers(40))] for slot in slots])
            assert warmed.step(slots, frames) == plain.step(slots, frames)


def test_reused_slot_equals_fresh_slot(model, audio):
    runner = Runner(model, PROMPT, slots=1)
    for frames in (audio[1], audio[0]):
        runner.reset(0, 6)
        tokens = [runner.step([0], frame[None])[0][0] for frame in frames]
    assert tokens == alone(model, audio[0])


@pytest.mark.parametrize("prefix", [True, False])
def test_masked_tick_equals_no_tick(model, audio, prefix):
    """A row that is inactive keeps every bit of its state."""
    state = Runner(model, PROMPT, slots=3).state
    for slot in range(3):
        state.clear(slot, 6, checkpoints.BOS)
    everybody = Rows(torch.arange(3), prefix=True)
    for k in range(40):
        model.step(state, everybody, torch.from_numpy(audio[0][k]).expand(3, -1), PROMPT)
    before = snapshot(state, 1)
    some = Rows(torch.arange(3), active=torch.tensor([True, False, True]), prefix=prefix)
    model.step(state, some, torch.from_numpy(audio[1][:3]), PROMPT)
    after = snapshot(state, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.equal(snapshot(state, 0)[0], before[0])


def snapshot(state, slot: int) -> list[torch.Tensor]:
    rows = [getattr(state, name)[slot].clone() for name in state._ROWS]
    rings = [ring.kv[:, slot, :-1].clone() for ring in (state.encoder, state.decoder)]
    return rows + rings


def test_gathered_rows_equal_prefix_rows(model, audio):
    tokens = []
    for prefix in (True, False):
        state = model.new_state(3)
        for slot in range(3):
            state.clear(slot, 6, checkpoints.BOS)
        rows = Rows(torch.arange(3), prefix=prefix)
        frames = [torch.from_numpy(np.stack([a[k] for a in audio])) for k in range(60)]
        tokens.append([model.step(state, rows, frame, PROMPT)[0].tolist() for frame in frames])
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize("delay", [1, 6, 30])
def test_template_equals_hearing_the_padding(model, audio, delay):
    """Starting from the template = running all padding positions."""
    state = model.new_state(1)
    state.clear(0, delay, checkpoints.BOS)
    rows = Rows(torch.zeros(1, dtype=torch.int64), prefix=True)
    silence = np.zeros((checkpoints.LEFT_PAD - 1, 1280), np.float32)
    frames = np.concatenate([silence, audio[0]])
    slow = [model.step(state, rows, torch.from_numpy(frame)[None], PROMPT)[0].item() for frame in frames]
    assert slow[checkpoints.LEFT_PAD - 1 :] == alone(model, audio[0], delay)


def test_streaming_equals_offline(model, audio):
    """Encoder output and tokens of the tick loop = one offline pass over the whole recording."""
    frames = np.concatenate([np.zeros((checkpoints.LEFT_PAD - 1, 1280), np.float32), audio[0]])
    samples = torch.from_numpy(np.concatenate([np.zeros(240, np.float32), frames.ravel()]))[None]
    mel = LogMel(model.args.audio)(samples)
    streamed = alone(model, audio[0])
    fed = [checkpoints.BOS] + [checkpoints.PAD] * (checkpoints.LEFT_PAD - 1) + streamed[:-1]
    logits = model(mel, torch.tensor([fed]), delay_tokens=6)
    first = checkpoints.LEFT_PAD + 6  # the first position whose token is the model's own
    assert logits[0].argmax(-1)[first:].tolist() == streamed[7:]


def test_masked_logprobs_are_probabilities(model, audio):
    runner = Runner(model, PROMPT, slots=1)
    runner.reset(0, 6)
    logprobs = [runner.step([0], frame[None])[1][0] for frame in audio[0]]
    assert logprobs[:7] == [0.0] * 7  # the prompt overrules
    assert all(value < 0 for value in logprobs[7:])
