import pytest

from recipes.tiny import plan, train
from recipes.tiny.__main__ import STAGES, main
from recipes.tiny.average import Mean


def test_every_stage_explains_itself(capsys):
    for stage in STAGES:
        with pytest.raises(SystemExit) as e:
            main([stage, "--help"])
        assert e.value.code == 0
        assert STAGES[stage][1][:20] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["human", "--out", "x"], "human needs --speech"),
        (["synth", "--out", "x"], "synth needs --text"),
        (["synth", "--out", "x", "--text", "y"], "synth needs --kokoro, or --only corpora that do without"),
        (["synth", "--out", "x", "--text", "y", "--only", "cals"], "plan.py has no corpus cals"),
        (
            ["evaluate", "--out", "x", "--clips", "y", "--blank-penalty", "1", "0", "3"],
            "--blank-penalty takes after, slope and limit: slope must be greater than 0",
        ),
        (
            ["evaluate", "--out", "x", "--clips", "y", "--blank-penalty", "1", "2", "3", "4"],
            "--blank-penalty takes after, slope and limit",
        ),
        (["others", "--out", "x"], "others needs --others"),
        (["train", "--out", "x", "--speech", "y"], "train needs --text"),
        (["evaluate", "--out", "x"], "evaluate needs --speech or --clips"),
        (["phones", "--out", "x"], "phones needs --speech or --clips"),
        (["phones", "--out", "x", "--clips", "y", "--checkpoint", "."], "phones needs a .pt file"),
        (["align", "--out", "x", "--checkpoint", "."], "align needs a .pt file"),
        (["evaluate", "--out", "x", "--clips", "y", "--delays-ms", "250"], "multiples of 80"),
    ],
)
def test_missing_folders_are_named(arguments, complaint, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert complaint in capsys.readouterr().err


def test_every_step_of_the_plan_needs_steps_before_it_and_the_last_ends_with_a_mean_or_a_rate_of_zero():
    names = [phase.name for phase in plan.PHASES]
    assert len(set(names)) == len(names)
    assert plan.PHASES[0].start is None
    for number, step in enumerate(plan.PHASES[1:], 1):
        if isinstance(step, train.Phase):
            assert {step.start, *step.teachers} <= set(names[:number])
        else:
            assert names[number - 1] in step.shares and set(step.shares) <= set(names[:number])
            assert sum(step.shares.values()) == pytest.approx(1)
    assert set(plan.ALIGN_AFTER) <= set(names)
    last = next(step for step in reversed(plan.PHASES) if isinstance(step, train.Phase))
    assert last.averaged or train.lr_factor(10_000, 1.0, last.decay) == 0
    assert all(3 <= low <= high <= 12 for low, high in last.delays)


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """A plan of two phases, their mean and a last phase -> (arguments of `train`, what was run of it so far)."""
    steps = [train.Phase("a", {}), train.Phase("b", {}, start="a"), Mean("m", {"a": 0.5, "b": 0.5})]
    monkeypatch.setattr(plan, "PHASES", [*steps, train.Phase("c", {}, start="m")])
    monkeypatch.setattr(plan, "ALIGN_AFTER", {"m": {}})
    (tmp_path / "run").mkdir()
    ran = []

    def done(name):
        ran.append(name)
        path = tmp_path / "run" / f"{name}.pt"
        path.touch()
        return path

    def trained(phase, out, noise, minutes, text):
        ran.append(minutes)
        return None if minutes else done(phase.name)

    monkeypatch.setattr("recipes.tiny.__main__.train.train", trained)
    monkeypatch.setattr("recipes.tiny.__main__.average.average", lambda mean, folder: done(mean.name))
    monkeypatch.setattr(
        "recipes.tiny.__main__._align", lambda a, path, every: ran.append(f"align {path.stem}")
    )
    folder = str(tmp_path)
    return ["train", "--out", folder, "--speech", folder, "--text", folder], ran


def test_training_goes_through_the_plan_in_order(planned):
    arguments, ran = planned
    main(arguments)
    assert ran == [0, "a", 0, "b", "m", "align m", 0, "c"]


def test_training_goes_on_behind_the_last_step_that_is_done(planned, tmp_path):
    arguments, ran = planned
    (tmp_path / "run" / "m.pt").touch()
    main(arguments)
    assert ran == [0, "c"]


def test_minutes_are_what_a_phase_gets_and_then_it_says_so(planned):
    arguments, ran = planned
    with pytest.raises(SystemExit) as e:
        main([*arguments, "--minutes", "5"])
    assert "5 minutes are over within phase a" in e.value.code
    assert ran == [pytest.approx(5, abs=0.1)]


def test_sizes_go_on_from_the_last_step_although_it_is_a_mean(monkeypatch, tmp_path):
    steps = [train.Phase("a", {}), train.Phase("b", {}, start="a"), Mean("m", {"a": 0.5, "b": 0.5})]
    monkeypatch.setattr(plan, "PHASES", steps)
    asked = []
    monkeypatch.setattr(
        "recipes.tiny.__main__.sizes.compare", lambda last, start, *_: asked.append((last, start)) or []
    )
    main(["sizes", *(x for name in ("out", "speech", "text") for x in (f"--{name}", str(tmp_path)))])
    assert asked == [(steps[1], "m")]
