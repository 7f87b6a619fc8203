"""Training on a GPU. Skipped where torch sees none."""

from __future__ import annotations

import pytest
import torch

from recipes.tiny.data import Batch
from recipes.tiny.model import Model, params
from recipes.tiny.train import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

TICKS, VOCABULARY, PHONES = 288, 300, 5


def batch(rows: int) -> Batch:
    tokens = torch.randint(VOCABULARY, (rows, TICKS + 1))
    mel, phones = torch.randn(rows, 128, 8 * TICKS), torch.randint(PHONES, (rows, 4 * TICKS))
    return Batch(mel, tokens[:, :-1], tokens[:, 1:], torch.full((rows,), 6), phones, [[]] * rows)


def trainer(device: str) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Model(params(VOCABULARY), PHONES).to(device), 0.02, 2e-3)


def test_the_first_losses_are_those_of_the_cpu_and_they_fall():
    same = batch(4)
    expected, on_gpu = trainer("cpu").step(same), trainer("cuda")
    first = on_gpu.step(same)
    for name, loss in expected.items():
        assert first[name] == pytest.approx(loss, rel=0.02)
    for _ in range(20):
        last = on_gpu.step(same)
    assert last["text"] < first["text"]
    assert last["aux"] < first["aux"]


def test_a_cpu_goes_on_from_a_checkpoint_of_a_gpu(tmp_path):
    same, on_gpu, on_cpu = batch(2), trainer("cuda"), trainer("cpu")
    on_gpu.step(same)
    on_gpu.save(tmp_path / "a.pt")
    on_cpu.restore(tmp_path / "a.pt")
    assert on_cpu.step_number == 1
    assert on_cpu.step(same)["text"] == pytest.approx(on_gpu.step(same)["text"], rel=0.02)


def test_a_mean_on_the_way_is_gone_on_with(tmp_path):
    same, whole, resumed = batch(2), trainer("cuda"), trainer("cuda")
    whole.step(same)
    whole.add_to_mean()
    whole.save(tmp_path / "a.pt")
    resumed.restore(tmp_path / "a.pt")
    for one in (whole, resumed):
        one.step(same)
        one.add_to_mean()
    assert resumed.averaged_steps == 2
    for name, weight in whole.mean.items():
        torch.testing.assert_close(resumed.mean[name], weight)
