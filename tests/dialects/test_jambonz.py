"""jambonz's custom recogniser alone."""

import json

import pytest

from realtime.dialects.base import Handshake
from realtime.dialects.jambonz import JambonzDialect
from realtime.errors import BadMessage, BadOption, OutOfOrder
from realtime.events import Audio, Configure, Done, End, Error, Final, Partial, Ready, SessionOptions, Word

START = {
    "type": "start",
    "language": "en-US",
    "format": "raw",
    "encoding": "LINEAR16",
    "interimResults": True,
    "sampleRateHz": 16000,
    "options": {"hints": ["voxwire"]},
}


def opened():
    dialect = JambonzDialect()
    dialect.open(Handshake(), SessionOptions(delay_ms=960, channels=2))
    return dialect


def decode(dialect, **message):
    return dialect.decode(json.dumps(message))


def told(dialect, event):
    return [json.loads(frame) for frame in dialect.encode(event)]


def test_start_decides_the_options():
    assert decode(opened(), **START) == [Configure(SessionOptions("pcm_s16le", 16_000, 1, 960, True))]
    assert decode(opened(), type="start") == [Configure(SessionOptions("pcm_s16le", 8000, 1, 960, False))]


@pytest.mark.parametrize(
    "wrong", [{"format": "wav"}, {"encoding": "MULAW"}, {"sampleRateHz": 7999}, {"sampleRateHz": 96000}]
)
def test_audio_that_we_do_not_take_is_refused(wrong):
    with pytest.raises(BadOption):
        decode(opened(), **START | wrong)


def test_audio_and_stop():
    dialect = opened()
    with pytest.raises(OutOfOrder):
        dialect.decode(b"\0\0")
    decode(dialect, **START)
    assert dialect.decode(b"\0\1") == [Audio(b"\0\1")]
    with pytest.raises(OutOfOrder):
        decode(dialect, **START)
    assert decode(dialect, type="stop") == [End()]
    assert decode(dialect, type="something new") == []


@pytest.mark.parametrize("message", ["", "[]", "{}", '{"type":"start","sampleRateHz":"fast"}', "[" * 100_000])
def test_nonsense_is_a_bad_message(message):
    with pytest.raises(BadMessage):
        opened().decode(message)


def test_what_jambonz_is_told():
    dialect = opened()
    decode(dialect, **START)
    words = (Word("one", 0, 100, 0.5), Word("two", 100, 200, 1.0))
    about = {"language": "en-US", "channel": 1}
    assert told(dialect, Partial(0, "one", "one", 0, 80)) == [
        {"type": "transcription", "is_final": False, "alternatives": [{"transcript": "one"}], **about}
    ]
    assert told(dialect, Final(0, "one two", words, 0, 200, "silence")) == [
        {
            "type": "transcription",
            "is_final": True,
            "alternatives": [{"transcript": "one two", "confidence": 0.75}],
            **about,
        }
    ]
    assert told(dialect, Error("at_capacity", "All slots are in use.", True)) == [
        {"type": "error", "error": "All slots are in use."}
    ]
    for event in (Ready("s", "m", 8000, 480), Final(1, "", (), 0, 0, "end"), Done(1, 1, 1)):
        assert told(dialect, event) == []
