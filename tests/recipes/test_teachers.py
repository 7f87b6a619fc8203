import torch
import torch.nn.functional as F

from recipes.tiny import train
from recipes.tiny.data import FRAMES_PER_TICK, IGNORE, LEFT_TOKENS
from recipes.tiny.model import Model
from recipes.tiny.teachers import Teachers, is_english
from recipes.tiny.train import Trainer
from tests.recipes.conftest import train_here


def logits_of(model, batch):
    return model.decode(model.adapt(model.encode(batch.mel)), batch.tokens, batch.delay)


def test_their_mean_is_of_probabilities(small_model, sequences):
    batch = sequences.at(0)
    other = Model(small_model.p)
    both = [logits_of(m, batch).softmax(-1) for m in (small_model, other)]
    told = Teachers([small_model, other], 0.5).probabilities(batch, batch.tokens)
    torch.testing.assert_close(told, (both[0] + both[1]) / 2)


def test_the_loss_is_their_share_and_what_was_said_the_rest(small_model, sequences):
    batch, teacher = sequences.at(0), Model(small_model.p)
    logits = logits_of(small_model, batch)
    said = F.cross_entropy(logits.transpose(1, 2), batch.targets, ignore_index=IGNORE, reduction="none")
    theirs = F.cross_entropy(
        logits.transpose(1, 2), logits_of(teacher, batch).softmax(-1).transpose(1, 2), reduction="none"
    )
    blended = Teachers([teacher], 0.3).blend(said, logits, batch, batch.tokens)
    first = LEFT_TOKENS + int(batch.delay)
    torch.testing.assert_close(blended[:, first:], (0.7 * said + 0.3 * theirs)[:, first:])
    assert not blended[:, :first].any()


def test_of_speech_that_is_not_to_be_written_they_say_nothing(sequences):
    batch = sequences.at(0)
    from_tick, to_tick = LEFT_TOKENS + 10, LEFT_TOKENS + 20
    batch.phones[:, from_tick * FRAMES_PER_TICK : to_tick * FRAMES_PER_TICK] = IGNORE
    where = is_english(batch)[0]
    delay = int(batch.delay)
    assert not where[: LEFT_TOKENS + delay].any()
    assert not where[from_tick + delay : to_tick + delay].any()
    assert where[LEFT_TOKENS + delay : from_tick + delay].all() and where[to_tick + delay :].all()


def test_a_step_teaches_the_model_and_not_its_teacher(small_model, sequences):
    trainer, batch, teacher = Trainer(small_model, 0.02, 2e-3), sequences.at(0), Model(small_model.p)
    trainer.teachers = Teachers([teacher], 1.0)
    before = [w.clone() for w in teacher.parameters()]

    def apart():
        with torch.no_grad():
            expected, told = logits_of(teacher, batch).softmax(-1), logits_of(small_model, batch)
        return F.kl_div(told.log_softmax(-1), expected, reduction="batchmean")

    first = apart()
    for _ in range(12):
        trainer.step(batch)
    assert apart() < 0.5 * first
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))


def test_a_phase_learns_from_phases_before_it(toy, small_params, monkeypatch):
    monkeypatch.setattr(train, "params", small_params)
    common = {"steps": 1, "ranks": 1, "batch": 1, "ticks": 96, "seed": 1}
    train_here(train.Phase("a", {"toy": 1.0}, **common), toy)
    train_here(train.Phase("alone", {"toy": 1.0}, start="a", **common), toy)
    train_here(train.Phase("taught", {"toy": 1.0}, start="a", teachers=("a",), **common), toy)
    alone, taught = (torch.load(toy / "run" / f"{n}.pt", weights_only=True) for n in ("alone", "taught"))
    assert taught["step"] == 2
    assert any(not torch.equal(w, alone["model"][n]) for n, w in taught["model"].items())
