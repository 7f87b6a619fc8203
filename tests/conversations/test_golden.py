"""Every golden conversation, as it was recorded and in every other shape that must make no difference."""

from pathlib import Path

import pytest

from tests.conversations.play import form_of, play, read, told

GOLDEN = sorted(Path(__file__).parent.glob("*.jsonl"))
DIALECTS = sorted(Path(__file__).parent.glob("*/*.jsonl"))
# Without a slot, how much is dropped at once depends on how the audio came.
ANY_SHAPE = [path for path in GOLDEN if path.stem != "no_slot"]


def golden(paths):
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def plain(message):
    """Codes are the protocol; the sentences beside them may change."""
    return {k: v for k, v in message.items() if not (k == "message" and message["type"] == "error")}


def by_subject(messages):
    """What is ordered whatever the shape of the audio: the text of a channel, its speech, all the rest."""
    subjects = {}
    for message in map(plain, messages):
        kind = {"partial": "text", "final": "text"}.get(message["type"], message["type"].split("_")[0])
        subjects.setdefault((kind, message.get("channel")), []).append(message)
    return subjects


@golden(GOLDEN)
def test_as_recorded(path, tekken):
    lines = read(path)
    expected = [line["told"] for line in lines if "told" in line]
    assert expected, "a golden conversation without answers"
    played = [
        part for line, messages in play(lines, tekken) for part in (line, *({"told": m} for m in messages))
    ]
    flat = [{"told": plain(line["told"])} if "told" in line else line for line in lines]
    assert [{"told": plain(line["told"])} if "told" in line else line for line in played] == flat


@pytest.mark.parametrize("path", DIALECTS, ids=[f"{path.parent.name}/{path.stem}" for path in DIALECTS])
def test_as_recorded_in_a_dialect(path, tekken):
    lines = read(path)
    played = play(lines, tekken, form=form_of(path))
    assert told(played) == [line["told"] for line in lines if "told" in line]
    assert told(played), "a golden conversation without answers"


@pytest.mark.parametrize("chunk_bytes", [333, 640, 20_000])
@golden(ANY_SHAPE)
def test_any_chunking_is_one_chunk(path, chunk_bytes, tekken):
    lines = read(path)
    assert by_subject(told(play(lines, tekken, chunk_bytes))) == by_subject(told(play(lines, tekken)))


@pytest.mark.parametrize("batch", [3, 10_000])
@golden(GOLDEN)
def test_a_batch_of_steps_is_single_steps(path, batch, tekken):
    lines = read(path)
    assert told(play(lines, tekken, batch=batch)) == told(play(lines, tekken))


@golden(GOLDEN)
def test_what_every_conversation_promises(path, tekken):
    messages = told(play(read(path), tekken))
    assert messages[0]["type"] == "ready"
    assert all(message["type"] != "done" for message in messages[:-1])
    for channel in (0, 1):
        check_text([m for m in messages if m.get("channel") == channel and m["type"] in ("partial", "final")])
    for message in messages:
        assert all(isinstance(v, int) for k, v in message.items() if k.endswith("_ms"))


def check_text(messages):
    """Partials only grow into their final, numbers rise by one, words are the text and do not go back in time."""
    number, text, end_ms = 0, "", 0
    for message in messages:
        assert message["utterance"] == number
        assert message["text"].startswith(text)
        if message["type"] == "partial":
            assert message["text"] == text + message["delta"]
            assert message["delta"]
            text = message["text"]
            continue
        words = message["words"]
        assert message["text"] == " ".join(word["text"] for word in words)
        times = [end_ms, *(ms for word in words for ms in (word["start_ms"], word["end_ms"]))]
        assert times == sorted(times)
        number, text, end_ms = number + 1, "", times[-1]
