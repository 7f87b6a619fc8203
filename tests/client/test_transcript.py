import json
from itertools import pairwise
from pathlib import Path

import pytest

from client import transcript
from client.errors import BadInput
from client.protocol import Final, Word
from client.transcript import Transcript, render


def final(*words, channel=0, utterance=0, text=None):
    said = tuple(Word(text, start, end, 0.9) for text, start, end in words)
    text = text or " ".join(word.text for word in said)
    return Final(utterance, text, said[0].start_ms, said[-1].end_ms, said, "silence", channel)


HELLO = final(("hello", 1000, 1400), ("there", 1400, 2100))
BYE = final(("good", 3_600_000, 3_600_300), ("bye", 3_600_300, 3_601_250), utterance=1)


def of(*finals, channels=1):
    result = Transcript(channels=channels, model="tiny", audio_ms=5000)
    for each in finals:
        result.add(each)
    return result


def test_txt():
    assert render(of(HELLO, BYE), "txt") == "hello there\ngood bye\n"


def test_srt():
    assert render(of(HELLO, BYE), "srt") == (
        "1\n00:00:01,000 --> 00:00:02,100\nhello there\n\n2\n01:00:00,000 --> 01:00:01,250\ngood bye\n"
    )


def test_vtt():
    assert render(of(HELLO, BYE), "vtt") == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.100\nhello there\n\n01:00:00.000 --> 01:00:01.250\ngood bye\n"
    )


def test_json():
    document = json.loads(render(of(HELLO), "json"))
    assert document == {
        "model": "tiny",
        "audio_ms": 5000,
        "channels": 1,
        "text": "hello there",
        "utterances": [
            {
                "utterance": 0,
                "text": "hello there",
                "start_ms": 1000,
                "end_ms": 2100,
                "words": [
                    {"text": "hello", "start_ms": 1000, "end_ms": 1400, "confidence": 0.9},
                    {"text": "there", "start_ms": 1400, "end_ms": 2100, "confidence": 0.9},
                ],
                "reason": "silence",
                "channel": 0,
            }
        ],
    }


def test_nothing_said_makes_valid_files():
    assert render(of(), "txt") == ""
    assert render(of(), "srt") == ""
    assert render(of(), "vtt") == "WEBVTT\n"
    assert json.loads(render(of(), "json"))["text"] == ""


def test_two_channels_are_labelled_and_in_order():
    second = final(("yes", 1100, 2300), channel=1)
    result = of(second, HELLO, channels=2)
    assert render(result, "txt") == "Channel 1: hello there\nChannel 2: yes\n"
    assert "2\n00:00:01,100 --> 00:00:02,300\n[2] yes\n" in render(result, "srt")
    assert "<v Channel 2>yes" in render(result, "vtt")


def test_a_long_utterance_becomes_several_subtitles_of_two_lines():
    words = [(f"word{n:02}", 400 * n, 400 * n + 350) for n in range(40)]
    cues = transcript.cues(of(final(*words)).finals)
    assert len(cues) > 2
    assert all(len(cue.lines) <= 2 and max(map(len, cue.lines)) <= 42 for cue in cues)
    assert all(cue.end_ms - cue.start_ms <= 6000 for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    assert " ".join(line for cue in cues for line in cue.lines) == " ".join(word[0] for word in words)


def test_subtitles_break_at_pauses_and_sentences():
    cues = transcript.cues([final(("One.", 0, 300), ("two", 300, 600), ("three", 1400, 1700))])
    assert [cue.lines for cue in cues] == [("One.",), ("two",), ("three",)]


def test_text_without_spaces_stays_without():
    cues = transcript.cues([final(("你", 0, 300), ("好", 300, 600), text="你好")])
    assert cues[0].lines == ("你好",)


def test_the_final_of_a_lost_connection_has_no_words_and_is_one_subtitle():
    lost = Final(0, " cut off ", 500, 3000, (), "lost")
    assert render(of(lost), "srt") == "1\n00:00:00,500 --> 00:00:03,000\ncut off\n"


def test_markup_in_the_text_stays_text():
    odd = final(("a<b", 0, 900), ("-->", 900, 1800))
    assert "a&lt;b --&gt;" in render(of(odd), "vtt")
    assert "a<b ->" in render(of(odd), "srt")


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "talk.srt"
    path.write_text("old")
    transcript.write(of(HELLO), path)
    assert path.read_text() == render(of(HELLO), "srt")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("talk.doc", "must be one of .txt, .srt, .vtt, .json"), ("no/where.srt", "there is no folder")],
)
def test_outputs_are_checked_before_the_stream(tmp_path, name, complaint):
    with pytest.raises(BadInput, match=complaint):
        transcript.check_outputs([tmp_path / Path(name)])


def test_the_server_cuts_subtitles_the_same_way():
    """The page, the HTTP endpoints and this client must give one recording one set of subtitles."""
    from realtime import events
    from realtime.text import subtitles

    words = [(f"word{n:02}" + "." * (n % 9 == 0), 420 * n, 420 * n + 380) for n in range(60)]
    ours = of(final(*words[:35]), final(*words[35:], utterance=1))
    theirs = [
        events.Final(
            utterance=f.utterance,
            text=f.text,
            words=tuple(events.Word(w.text, w.start_ms, w.end_ms, w.confidence) for w in f.words),
            start_ms=f.start_ms,
            end_ms=f.end_ms,
            reason="silence",
        )
        for f in ours.finals
    ]
    for name in ("txt", "srt", "vtt"):
        assert render(ours, name) == subtitles.render(theirs, name)
