import functools
from dataclasses import replace

import pytest
import torch

from recipes.tiny import train
from recipes.tiny.optim import joined, orthogonal
from recipes.tiny.tokenizer import PAD, SPECIALS
from recipes.tiny.train import Trainer
from tests.recipes.conftest import train_here


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def fresh(model_class, p, phones):
    torch.manual_seed(0)
    return Trainer(model_class(p, phones), 0.02, 2e-3)


def test_a_few_steps_on_one_batch_lower_both_losses(small_model, sequences):
    trainer, batch = Trainer(small_model, 0.02, 2e-3), sequences.at(0)
    first = trainer.step(batch)
    for _ in range(12):
        last = trainer.step(batch)
    assert last["text"] < 0.5 * first["text"]
    assert last["aux"] < first["aux"]


def test_aux_only_steps_leave_the_decoder_alone(small_model, sequences):
    trainer = Trainer(small_model, 0.02, 2e-3)
    before = small_model.embedding.tok_embeddings.weight.detach().clone()
    losses = trainer.step(sequences.at(0), aux_only=True)
    assert set(losses) == {"aux"}
    assert torch.equal(before, small_model.embedding.tok_embeddings.weight)


def test_its_own_pieces_stand_in_for_the_true_ones_and_nothing_else_does(small_model, sequences, monkeypatch):
    trainer, batch = Trainer(small_model, 0.02, 2e-3), sequences.at(0)
    piece = torch.tensor([SPECIALS + 7])
    written = torch.nn.functional.one_hot(piece, small_model.p["vocab_size"]).float()
    monkeypatch.setattr(small_model, "decode", lambda *_: written.expand(*batch.tokens.shape, -1))
    assert torch.equal(trainer._own(None, batch, 0.0), batch.tokens)
    true = batch.tokens >= SPECIALS
    assert true.any()
    assert torch.equal(trainer._own(None, batch, 1.0), torch.where(true, piece, batch.tokens))
    half = trainer._own(None, batch, 0.5)
    assert torch.equal(half, trainer._own(None, batch, 0.5))
    assert 0 < (half != batch.tokens).sum() < true.sum()


def test_where_it_would_write_no_piece_the_true_one_stays(small_model, sequences, monkeypatch):
    trainer, batch = Trainer(small_model, 0.02, 2e-3), sequences.at(0)
    pads = torch.zeros(*batch.tokens.shape, small_model.p["vocab_size"])
    pads[..., PAD] = 1
    monkeypatch.setattr(small_model, "decode", lambda *_: pads)
    assert torch.equal(trainer._own(None, batch, 1.0), batch.tokens)


def test_a_step_behind_its_own_pieces_trains_every_part(small_model, sequences):
    trainer, batch = Trainer(small_model, 0.02, 2e-3), sequences.at(0)
    first = trainer.step(batch, own_share=0.5)
    for _ in range(12):
        last = trainer.step(batch, own_share=0.5)
    assert last["text"] < 0.5 * first["text"]
    assert last["aux"] < first["aux"]


def test_resuming_gives_the_same_state_as_going_on(small_model, sequences, tmp_path):
    whole = fresh(type(small_model), small_model.p, 5)
    for _ in range(2):
        whole.step(sequences.at(whole.step_number))
    whole.save(tmp_path / "half.pt")
    resumed = Trainer(type(small_model)(small_model.p, 5), 0.02, 2e-3)
    resumed.restore(tmp_path / "half.pt")
    assert resumed.step_number == 2
    for trainer in (whole, resumed):
        for _ in range(2):
            trainer.step(sequences.at(trainer.step_number))
    assert torch.equal(weights(whole), weights(resumed))


def test_a_phase_runs_to_its_end_and_the_next_goes_on_from_it(toy, small_params, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY_S", 0)
    monkeypatch.setattr(train, "params", small_params)
    common = {"ranks": 1, "batch": 1, "ticks": 96}
    train_here(train.Phase("a", {"toy": 1.0}, steps=2, aux_only_steps=1, **common), toy)
    train_here(train.Phase("b", {"toy": 1.0}, steps=2, start="a", decay=1.0, **common), toy)
    assert torch.load(toy / "run" / "b.pt", weights_only=True)["step"] == 4
    assert "text" in (toy / "run" / "b.jsonl").read_text()


def test_a_phase_without_a_size_has_that_of_its_start(toy, small_params, monkeypatch):
    monkeypatch.setattr(train, "params", small_params)
    common = {"steps": 1, "ranks": 1, "batch": 1, "ticks": 96}
    train_here(train.Phase("a", {"toy": 1.0}, size={"hidden": 128}, **common), toy)
    train_here(train.Phase("b", {"toy": 1.0}, start="a", **common), toy)
    assert torch.load(toy / "run" / "b.pt", weights_only=True)["params"]["hidden_dim"] == 128


@pytest.fixture
def short(toy, small_params, monkeypatch):
    """Steps -> a phase over the toy corpus that saves after every step."""
    monkeypatch.setattr(train, "params", small_params)
    monkeypatch.setattr(train, "SAVE_EVERY_S", 1e-6)
    return lambda name, steps, **more: train.Phase(
        name, {"toy": 1.0}, steps=steps, decay=1.0, ranks=1, batch=1, ticks=96, **more
    )


def test_a_phase_ends_with_the_mean_of_its_last_weights(toy, short, monkeypatch):
    step, after = Trainer.step, []

    def watched(trainer, *arguments):
        losses = step(trainer, *arguments)
        after.append({name: weight.clone() for name, weight in trainer.model.state_dict().items()})
        return losses

    monkeypatch.setattr(Trainer, "step", watched)
    train_here(short("meant", 4, averaged=0.5), toy)
    ended = torch.load(toy / "run" / "meant.pt", weights_only=True)
    assert len(after) == 4 and not ended["mean"]
    for name, weight in ended["model"].items():
        torch.testing.assert_close(weight, (after[2][name] + after[3][name]) / 2)


@pytest.mark.parametrize("averaged", [0.0, 0.75])
def test_an_interrupted_phase_ends_as_one_that_was_not(toy, short, averaged, monkeypatch):
    train_here(short("whole", 4, averaged=averaged), toy)
    step = Trainer.step

    def interrupted(trainer, *arguments):
        if trainer.step_number == 2:
            raise KeyboardInterrupt
        return step(trainer, *arguments)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Trainer, "step", interrupted)
        train_here(short("halves", 4, averaged=averaged), toy)
    assert [p.name for p in (toy / "run").glob("halves*.pt")] == ["halves.part.pt"]
    train_here(short("halves", 4, averaged=averaged), toy)
    assert [p.name for p in (toy / "run").glob("halves*.pt")] == ["halves.pt"]
    whole, halves = (torch.load(toy / "run" / f"{n}.pt", weights_only=True) for n in ("whole", "halves"))
    assert whole["step"] == halves["step"] == 4
    for name, weight in whole["model"].items():
        assert torch.equal(weight, halves["model"][name]), name


def test_a_compiled_phase_ends_as_one_that_was_not(toy, short, monkeypatch):
    compiled = []
    trace = functools.partial(torch.compile, backend="aot_eager")  # all but the C++ compiler
    monkeypatch.setattr(torch, "compile", lambda f: compiled.append(f) or trace(f))
    plain = torch.load(train_here(short("plain", 3), toy), weights_only=True)["model"]
    assert not compiled
    phase = replace(short("joined", 3), compiled=True)
    joined = torch.load(train_here(phase, toy), weights_only=True)["model"]
    assert len(compiled) == 2
    assert plain.keys() == joined.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(joined[name], weight, rtol=1e-3, atol=1e-3)


def test_a_phase_that_splices_what_it_does_not_draw_from_is_refused(toy, short):
    phase = replace(short("a", 1), spliced={"human:librispeech": 0.5})
    with pytest.raises(ValueError, match="splices human:librispeech, which it does not draw from"):
        train.train(phase, toy)


def test_when_its_minutes_are_over_a_phase_leaves_its_part(toy, short):
    train_here(short("a", 100_000), toy, minutes=0.01)
    assert [p.name for p in (toy / "run").glob("*.pt")] == ["a.part.pt"]
    assert torch.load(toy / "run" / "a.part.pt", weights_only=True)["step"] > 0


def test_a_phase_that_is_over_is_not_trained_again(toy, short):
    train_here(short("a", 1), toy)
    with pytest.raises(FileExistsError, match="remove it"):
        train.train(short("a", 1), toy)


def test_every_rank_gives_the_momentum_that_it_kept():
    ranks = [
        {"state": {0: "a", 1: "stale", 2: "c"}, "param_groups": []},
        {"state": {1: "b"}, "param_groups": []},
    ]
    assert joined(ranks) == {"state": {0: "a", 1: "b", 2: "c"}, "param_groups": []}
    assert joined(ranks[:1]) == ranks[0]


def test_half_precision_gives_nearly_the_same_losses(small_model, sequences):
    trainer, batch = Trainer(small_model, 0.02, 2e-3), sequences.at(0)
    with torch.no_grad():
        exact = trainer._losses(batch, 0.3, False)
        with torch.autocast("cpu", torch.bfloat16):
            rough = trainer._losses(batch, 0.3, False)
    for name, loss in exact.items():
        torch.testing.assert_close(rough[name], loss, rtol=0.02, atol=0.02)


def test_a_gpu_takes_one_process_and_large_batches(monkeypatch):
    phase = train.Phase("a", {}, batch=2, gpu_batch=64, ranks=2)
    assert train.Machine.here(phase) == train.Machine("cpu", 2, 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    machine = train.Machine.here(phase)
    assert machine == train.Machine("cuda", 1, 32)
    assert machine.loaders >= 1


def test_a_phase_without_an_end_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs steps or minutes"):
        train.train(train.Phase("a", {}), tmp_path)


def test_the_learning_rate_warms_up_and_falls_to_zero():
    assert train.lr_factor(0, 0.0, 0.5) < 0.05
    assert train.lr_factor(100, 0.4, 0.5) == 1
    assert train.lr_factor(100, 0.75, 0.5) == 0.5
    assert train.lr_factor(100, 1.0, 0.5) == 0


def test_muon_makes_updates_nearly_orthogonal():
    torch.manual_seed(0)
    for shape in ((2, 20, 50), (2, 50, 20)):
        singular = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert singular.min() > 0.4
        assert singular.max() < 1.4


def test_a_phase_grows_the_model_it_starts_from(toy, small_params, monkeypatch):
    monkeypatch.setattr(train, "params", lambda vocab, layers=1: small_params(vocab, layers=layers))
    common = {"ranks": 1, "batch": 1, "ticks": 96}
    train_here(train.Phase("a", {"toy": 1.0}, steps=2, **common), toy)
    larger = train.Phase("b", {"toy": 1.0}, steps=1, start="a", size={"layers": 3}, **common)
    train_here(larger, toy)
    saved = torch.load(toy / "run" / "b.pt", weights_only=True)
    assert saved["params"]["n_layers"] == 3
    assert saved["step"] == 1
