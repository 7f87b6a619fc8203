import pytest

from realtime.dialects import running_text
from realtime.dialects.running_text import RunningText


def test_deltas_concatenate_to_the_sum():
    said = RunningText()
    deltas = [
        said.grow("one"),
        said.grow("one two"),
        said.close("one two."),
        said.grow("and"),
        said.close("and so"),
    ]
    assert deltas == ["one", " two", ".", " and", " so"]
    assert said.take() == "".join(deltas) == "one two. and so"


def test_after_a_sum_the_text_begins_anew():
    said = RunningText()
    said.close("one")
    assert said.take() == "one"
    assert said.take() == ""
    assert said.grow("two") == "two"


def test_a_final_that_no_partial_announced_is_told_whole():
    said = RunningText()
    assert [said.close("one"), said.close("two")] == ["one", " two"]


def test_an_utterance_without_text_leaves_no_trace():
    said = RunningText()
    assert [said.close(""), said.close("one"), said.close(""), said.grow("")] == ["", "one", "", ""]
    assert said.close("two") == " two"
    assert said.take() == "one two"


@pytest.mark.parametrize("chars", [10, 25])
def test_of_too_much_the_latest_is_kept(monkeypatch, chars):
    monkeypatch.setattr(running_text, "MAX_CHARS", chars)
    said = RunningText()
    for n in range(20):
        said.close(f"w{n:04}")
    assert said.take().split() == [f"w{n:04}" for n in range(20)][-(chars // 5) :]
    said.close("again")
    assert said.take() == "again"
