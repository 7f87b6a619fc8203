from __future__ import annotations

import pytest

from realtime.audio.hysteresis import Hysteresis, State

LETTERS = {State.QUIET: "q", State.STARTING: "s", State.SPEAKING: "S", State.STOPPING: "p"}


def states(voiced: str, onset_frames: int = 3, hangover_frames: int = 4) -> str:
    hysteresis = Hysteresis(onset_frames, hangover_frames)
    letters = ""
    for v in voiced:
        hysteresis.step(v == "v")
        letters += LETTERS[hysteresis.state]
    return letters


@pytest.mark.parametrize(
    ("voiced", "expected"),
    [
        ("......", "qqqqqq"),
        ("vvvvv", "ssSSS"),
        (".vv.....v", "qssssssqs"),  # two voiced frames of five are no onset, and leave the window again
        ("v.v.v", "ssssS"),
        ("v..v..v..v", "ssssssssss"),
        ("vvv...v...v", "ssSpppSpppS"),  # pauses shorter than the hangover
        ("vvv....", "ssSpppq"),
        ("vvv....vv.v", "ssSpppqsssS"),  # what closed it does not count for the next onset
        ("vvv....v", "ssSpppqs"),
    ],
)
def test_dialogues(voiced, expected):
    assert states(voiced) == expected


def test_one_frame_can_be_enough():
    assert states(".v.v..", onset_frames=1, hangover_frames=1) == "qSqSqq"


def test_step_tells_changes():
    hysteresis = Hysteresis(1, 2)
    assert [hysteresis.step(v) for v in (False, True, True, False, False, False)] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]


def test_the_age_of_the_onset_reaches_to_the_first_voiced_frame_of_the_window():
    hysteresis = Hysteresis(3, 4)
    for voiced in (True, False, False, True, False, True, True):
        changed = hysteresis.step(voiced)
    assert changed and hysteresis.onset_age_frames == 4


def test_unvoiced_frames_survive_the_closing():
    hysteresis = Hysteresis(1, 3)
    for voiced in (True, False, False, False):
        hysteresis.step(voiced)
    assert not hysteresis.is_open and hysteresis.unvoiced_frames == 3


@pytest.mark.parametrize("frames", [(0, 1), (1, 0), (-1, 1)])
def test_needs_a_frame_of_each(frames):
    with pytest.raises(ValueError, match="at least one"):
        Hysteresis(*frames)
