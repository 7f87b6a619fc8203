import pytest

from recipes.tiny import plan, train
from recipes.tiny.__main__ import STAGES, main


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
        (["evaluate", "--out", "x"], "evaluate needs --speech or --clips"),
        (["evaluate", "--out", "x", "--clips", "y", "--delays-ms", "250"], "multiples of 80"),
    ],
)
def test_missing_folders_are_named(arguments, complaint, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert complaint in capsys.readouterr().err


def test_the_plan_is_a_chain_of_phases_that_ends_at_a_learning_rate_of_zero():
    names = [phase.name for phase in plan.PHASES]
    assert [phase.start for phase in plan.PHASES] == [None, *names[:-1]]
    assert set(plan.ALIGN_AFTER) <= set(names)
    last = plan.PHASES[-1]
    assert train.lr_factor(10_000, 1.0, last.decay) == 0
    assert all(3 <= low <= high <= 12 for low, high in last.delays)
