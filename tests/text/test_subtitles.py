import json
import re

import pytest

from realtime.events import Final, Word
from realtime.text.subtitles import LINE_CHARS, LONGEST_CUE_MS, cues, render


def final(text, start_ms=0, word_ms=300, channel=0, gaps=None, utterance=0):
    """A final whose words follow each other, with a pause in ms in front of the words in `gaps`."""
    words, at = [], start_ms
    for n, part in enumerate(text.split()):
        at += (gaps or {}).get(n, 0)
        words.append(Word(part, at, at + word_ms, 0.9))
        at += word_ms
    end_ms = words[-1].end_ms if words else start_ms
    return Final(utterance, text, tuple(words), start_ms, end_ms, "silence", channel)


TALK = (
    "so the first thing that we have to decide is where to begin. "
    "and then how far we want to go with it today and what it may cost us in the very end of all this"
)


def test_txt_is_one_line_an_utterance():
    assert (
        render([final("hello there", 5000), final("first", 100), final("")], "txt") == "first\nhello there\n"
    )


def test_srt():
    assert render([final("hello there", 3_599_950)], "srt") == (
        "1\n00:59:59,950 --> 01:00:00,950\nhello there\n"
    )


def test_vtt_escapes_what_means_something_there():
    assert render([final("a<b & c --> d", 1000)], "vtt") == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\na&lt;b &amp; c --&gt; d\n"
    )


def test_srt_keeps_an_arrow_out_of_the_text():
    assert render([final("a --> b")], "srt").count("-->") == 1


def test_json_has_the_fields_of_the_message():
    document = json.loads(render([final("hello there", 100)], "json"))
    assert document["text"] == "hello there"
    utterance = document["utterances"][0]
    assert utterance["words"][1] == {"text": "there", "start_ms": 400, "end_ms": 700, "confidence": 0.9}
    assert utterance["reason"] == "silence"


def test_long_utterances_become_readable_cues():
    all_cues = cues([final(TALK)])
    assert len(all_cues) > 2
    assert all(len(cue.lines) <= 2 and max(map(len, cue.lines)) <= LINE_CHARS for cue in all_cues)
    assert all(cue.end_ms - cue.start_ms <= LONGEST_CUE_MS for cue in all_cues)
    assert " ".join(" ".join(cue.lines) for cue in all_cues) == TALK
    assert any(cue.lines[-1].endswith("begin.") for cue in all_cues)


def test_a_pause_ends_a_cue():
    assert [cue.lines for cue in cues([final("one two three", gaps={2: 700})])] == [("one two",), ("three",)]
    assert len(cues([final("one two three", gaps={2: 600})])) == 1


def test_cues_of_a_channel_do_not_overlap():
    spoken = [final("yes", 0, 100), final("no", 400, 100), final("yes", 900, 100)]
    times = [ms for cue in cues(spoken) for ms in (cue.start_ms, cue.end_ms)]
    assert times == sorted(times)


def test_two_channels_are_labelled_and_sorted():
    spoken = [final("late left", 2000), final("right", 1000, channel=1), final("left", 0)]
    assert render(spoken, "txt") == "Channel 1: left\nChannel 2: right\nChannel 1: late left\n"
    assert re.findall(r"<v Channel (\d)>", render(spoken, "vtt")) == ["1", "2", "1"]
    assert "[2] right" in render(spoken, "srt")


def test_words_without_spaces_stay_together():
    chinese = Final(0, "你好世界", (Word("你好", 0, 300, 1.0), Word("世界", 300, 700, 1.0)), 0, 700, "end", 0)
    assert "你好世界" in render([chinese], "srt")


def test_a_word_longer_than_a_line_is_kept():
    word = "x" * 100
    assert word in render([final(f"a {word} b")], "vtt")


def test_nothing_said():
    assert [render([], name) for name in ("txt", "srt", "vtt")] == ["", "", "WEBVTT\n"]


def test_an_unknown_format_is_refused():
    with pytest.raises(KeyError):
        render([], "docx")
