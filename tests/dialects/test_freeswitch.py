"""FreeSWITCH's audio modules alone."""

import json

import pytest

from realtime.dialects.base import Handshake
from realtime.dialects.freeswitch import FreeswitchDialect
from realtime.errors import BadOption
from realtime.events import (
    Audio,
    Done,
    Error,
    Final,
    GateOptions,
    KeepAlive,
    Partial,
    Ready,
    SessionOptions,
    Word,
)


def opened(**query):
    return FreeswitchDialect().open(Handshake(tuple(query.items())), SessionOptions("mulaw", 48_000, 2, 960))


def told(event):
    return [json.loads(frame) for frame in FreeswitchDialect().encode(event)]


def test_the_query_decides_the_options():
    assert opened() == SessionOptions("pcm_s16le", 8000, 1, 960)
    assert opened(
        sample_rate="16000", channels="2", interim="false", vad_aggressiveness="3"
    ) == SessionOptions("pcm_s16le", 16_000, 2, 960, interim=False, gate=GateOptions(aggressiveness=3))
    with pytest.raises(BadOption, match="channels"):
        opened(channels="3")


def test_audio_is_audio_and_text_is_a_sign_of_life():
    dialect = FreeswitchDialect()
    assert dialect.decode("{no metadata of ours") == [KeepAlive()]
    assert dialect.decode(b"\0\1\2") == [Audio(b"\0\1\2")]


def test_what_freeswitch_is_told():
    words = (Word("one", 0, 100, 0.5),)
    assert told(Partial(0, "one", "one", 40, 80, 1)) == [
        {"type": "transcription", "data": {"is_final": False, "text": "one", "start": 0.04, "channel": 1}}
    ]
    assert told(Final(0, "one", words, 0, 100, "silence")) == [
        {
            "type": "transcription",
            "data": {
                "is_final": True,
                "text": "one",
                "start": 0.0,
                "end": 0.1,
                "channel": 0,
                "words": [{"text": "one", "start": 0.0, "end": 0.1, "confidence": 0.5}],
            },
        }
    ]
    assert told(Error("bad_audio", "Half a sample.", False)) == [
        {"type": "error", "data": {"code": "bad_audio", "message": "Half a sample."}}
    ]
    for event in (Ready("s", "m", 8000, 480), Final(1, "", (), 0, 0, "end"), Done(1, 1, 1)):
        assert told(event) == []
