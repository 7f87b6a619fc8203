import hashlib
import json
from typing import ClassVar

import pytest

from realtime.dialects.base import Handshake, Note, Reply
from realtime.dialects.deepgram import DeepgramDialect
from realtime.errors import AtCapacity, BadAudio, BadOption, Unauthorized
from realtime.events import (
    Audio,
    Done,
    End,
    Error,
    Final,
    Flush,
    Gap,
    GateOptions,
    KeepAlive,
    Partial,
    Ready,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Warning_,
    Word,
)

RAW = {"encoding": "linear16", "sample_rate": "16000"}


class Unpacker:
    """Every byte becomes 10 ms of PCM; 0xff cannot be decoded."""

    made: ClassVar = []

    def __init__(self, *what):
        self.what, self.closed, self.taken = what, False, 0
        Unpacker.made.append(self)

    def push(self, data):
        for byte in data:
            self.taken += 1
            if byte == 0xFF:
                raise BadAudio("no audio")
            yield bytes(320)

    def end(self):
        yield bytes(32)

    def close(self):
        self.closed = True


def opened(defaults=None, **query):
    Unpacker.made.clear()
    dialect = DeepgramDialect(Unpacker, "r1", "2026-01-02T03:04:05.006Z")
    pairs = [
        (name, v) for name, value in query.items() for v in (value if isinstance(value, list) else [value])
    ]
    return dialect, dialect.open(Handshake(tuple(pairs)), defaults or SessionOptions())


def told(dialect, *events):
    return [json.loads(frame) for event in events for frame in dialect.encode(event)]


def heard(dialect, ms):
    """Requests for so much linear16 at 16 kHz."""
    return list(dialect.decode(bytes(ms * 32)))


def final(text, start_ms, end_ms, reason="silence", channel=0):
    words = tuple(Word(word, start_ms, end_ms, 0.9) for word in text.split())
    return Final(0, text, words, start_ms, end_ms, reason, channel)


# ---------------------------------------------------------------- the query


def test_defaults_are_the_servers():
    defaults = SessionOptions(delay_ms=960, max_utterance_ms=9000, gate=GateOptions(hangover_ms=700))
    _, options = opened(defaults, **RAW)
    assert options == SessionOptions("pcm_s16le", 16_000, 1, 960, False, 9000, GateOptions(hangover_ms=700))


@pytest.mark.parametrize(
    ("query", "encoding", "rate", "channels", "unpacked"),
    [
        (RAW, "pcm_s16le", 16_000, 1, None),
        (RAW | {"encoding": "linear32", "sample_rate": "48000"}, "pcm_f32le", 48_000, 1, None),
        ({"encoding": "MULAW", "sample_rate": "8000"}, "mulaw", 8000, 1, None),
        ({"encoding": "alaw", "sample_rate": "8000", "multichannel": "true"}, "alaw", 8000, 1, None),
        (RAW | {"channels": "2", "multichannel": "True"}, "pcm_s16le", 16_000, 2, None),
        (RAW | {"channels": "2"}, "pcm_s16le", 16_000, 1, ("linear16", 16_000, 2, True)),
        ({}, "pcm_s16le", 16_000, 1, (None, 48_000, 1, True)),
        ({"sample_rate": "44100"}, "pcm_s16le", 16_000, 1, (None, 48_000, 1, True)),
        ({"multichannel": "1"}, "pcm_s16le", 16_000, 2, (None, 48_000, 1, False)),
        ({"encoding": "opus", "channels": "2"}, "pcm_s16le", 16_000, 1, ("opus", 48_000, 2, True)),
        ({"encoding": "amr-nb", "sample_rate": "8000"}, "pcm_s16le", 16_000, 1, ("amr-nb", 8000, 1, True)),
    ],
)
def test_audio_of_the_query(query, encoding, rate, channels, unpacked):
    dialect, options = opened(**query)
    assert (options.encoding, options.sample_rate, options.channels) == (encoding, rate, channels)
    assert not Unpacker.made  # not before there is audio
    list(dialect.decode(b"\x00"))
    assert [unpacker.what for unpacker in Unpacker.made] == ([unpacked] if unpacked else [])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"encoding": "pcm", "sample_rate": "16000"}, "encoding must be one of linear16, linear32"),
        ({"encoding": "linear16"}, "sample_rate is needed with encoding=linear16"),
        ({"encoding": "speex"}, "sample_rate is needed with encoding=speex"),
        (RAW | {"sample_rate": "96000"}, "sample_rate must be a whole number from 8000 to 48000"),
        (RAW | {"sample_rate": "１６０００"}, "sample_rate must be"),
        (RAW | {"channels": "3"}, "channels must be a whole number from 1 to 2; got '3'"),
        (RAW | {"endpointing": "soon"}, "endpointing must be a whole number"),
        (RAW | {"utterance_end_ms": "-1"}, "utterance_end_ms must be a whole number"),
        (RAW | {"utterance_end_ms": "9" * 5000}, "utterance_end_ms must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(query, message):
    with pytest.raises(BadOption) as caught:
        opened(**query)
    assert caught.value.message.startswith(message)
    assert len(caught.value.message) < 200


def test_what_is_not_known_is_ignored():
    query = {
        "model": "nova-9",
        "keyterm": ["a", "b"],
        "diarize": "true",
        "no_such": "1",
        "callback": "http://x",
    }
    assert opened(**RAW, **query)[1] == opened(**RAW)[1]


@pytest.mark.parametrize(
    ("query", "hangover_ms"),
    [
        ({}, 500),
        ({"endpointing": "true"}, 500),
        ({"endpointing": "false"}, 500),
        ({"endpointing": "10"}, 100),
        ({"endpointing": "0"}, 100),
        ({"endpointing": "300"}, 300),
        ({"endpointing": "60000"}, 5000),
        ({"endpointing": "3000", "utterance_end_ms": "1000"}, 1000),
        ({"utterance_end_ms": "1000"}, 500),
    ],
)
def test_silence_that_ends_an_utterance(query, hangover_ms):
    assert opened(**RAW, **query)[1].gate.hangover_ms == hangover_ms


@pytest.mark.parametrize(("text", "interim"), [("true", True), ("True", True), ("1", True), ("false", False)])
def test_interim_results(text, interim):
    assert opened(**RAW, interim_results=text)[1].interim is interim


# ---------------------------------------------------------------- client → session


def test_messages_of_the_client():
    dialect, _ = opened(**RAW)
    assert list(dialect.decode(b"\x01\x02")) == [Audio(b"\x01\x02")]
    assert b"".join(audio.data for audio in dialect.decode(bytes(range(256)) * 99)) == bytes(range(256)) * 99
    assert dialect.decode('{"type": "KeepAlive"}') == [KeepAlive()]
    assert dialect.decode('{"type": "Finalize", "channel": 0}') == [Flush()]
    assert list(dialect.decode('{"type": "CloseStream"}')) == [End()]
    assert list(dialect.decode(b"\x01\x02")) == list(dialect.decode('{"type": "CloseStream"}')) == []


def test_an_empty_message_closes_the_stream():
    dialect, _ = opened(**RAW)
    assert list(dialect.decode(b"")) == [End()]


def test_packed_audio_is_unpacked_as_it_is_taken():
    dialect, _ = opened()
    requests = iter(dialect.decode(b"\x00" * 100))
    assert next(requests) == Audio(bytes(320))
    assert Unpacker.made[0].taken == 1
    assert len(list(requests)) == 99
    assert list(dialect.decode('{"type":"CloseStream"}')) == [Audio(bytes(32)), End()]
    dialect.close()
    assert Unpacker.made[0].closed


def test_what_cannot_be_unpacked_is_told():
    dialect, _ = opened()
    with pytest.raises(BadAudio):
        list(dialect.decode(b"\x00\xff"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"type": 1}', '{"type": "Speak"}', "[" * 100_000])
def test_a_message_that_is_none_is_answered(text):
    dialect, _ = opened(**RAW)
    [reply] = dialect.decode(text)
    assert isinstance(reply, Reply)
    answer = json.loads(reply.frame)
    assert (answer["type"], answer["variant"]) == ("Error", "SchemaError")
    assert answer["message"] == text[:500]


# ---------------------------------------------------------------- session → client


def test_windows_follow_each_other():
    dialect, _ = opened(**RAW, interim_results="true")
    results = told(
        dialect,
        Partial(0, "one", "one", 300, 900),
        final("one two", 300, 1100, "length"),
        Partial(1, "three", "three", 1000, 2000),
        final("three", 1000, 1900),
        final("", 2500, 2500),
        final("", 4000, 4000, "flush"),
        final("late", 3900, 4100, "end"),
    )
    windows = [(m["start"], round(m["start"] + m["duration"], 3), m["is_final"]) for m in results]
    assert windows == [
        (0.0, 0.9, False),
        (0.0, 1.1, True),
        (1.1, 2.0, False),
        (1.1, 1.9, True),
        (1.9, 2.5, True),
        (2.5, 4.0, True),
        (4.0, 4.1, True),
    ]
    flags = [(m["speech_final"], m["from_finalize"]) for m in results]
    assert flags == [
        (False, False),
        (False, False),
        (False, False),
        (True, False),
        (True, False),
        (False, True),
        (True, False),
    ]
    for result in results:
        for word in result["channel"]["alternatives"][0]["words"]:
            assert result["start"] <= word["start"] <= word["end"] <= result["start"] + result["duration"]


def test_results_have_all_that_clients_index():
    dialect, _ = opened(**RAW, channels="2", multichannel="true")
    words = (Word("“Hello,", 0, 400, 0.5), Word("–", 400, 500, 0.6), Word("O'Neill.", 500, 900, 0.7))
    said = Final(0, "“Hello, – O'Neill.", words, 0, 900, "silence", 1)
    [result] = told(dialect, Ready("s", "tiny", 16_000, 480), said)
    assert result["channel_index"] == [1, 2]
    [alternative] = result["channel"]["alternatives"]
    assert (alternative["transcript"], alternative["confidence"]) == (said.text, 0.6)
    assert [(w["word"], w["punctuated_word"]) for w in alternative["words"]] == [
        ("hello", "“Hello,"),
        ("–", "–"),
        ("o'neill", "O'Neill."),
    ]
    assert result["metadata"] == {
        "request_id": "r1",
        "model_uuid": "tiny",
        "model_info": {"name": "tiny", "version": "", "arch": "voxtral-realtime"},
    }


def test_without_endpointing_no_pause_is_told():
    dialect, _ = opened(**RAW, endpointing="false")
    assert [m["speech_final"] for m in told(dialect, final("a", 0, 1), final("", 2, 2, "end"))] == [False] * 2


def test_speech_is_told_where_it_was_asked_for():
    assert told(opened(**RAW)[0], SpeechStarted(300), SpeechStopped(900)) == []
    dialect, _ = opened(**RAW, vad_events="true")
    assert told(dialect, SpeechStarted(300), SpeechStopped(900)) == [
        {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.3}
    ]


def test_nothing_foreign_is_ever_sent():
    dialect, _ = opened(**RAW)
    events = [
        Ready("s", "m", 16_000, 480),
        Gap(0, 1, "no_slot"),
        Warning_("lagging", "late"),
        Error("x", "y", False),
    ]
    assert told(dialect, *events) == []


def test_metadata_tells_what_was_received():
    dialect, _ = opened(**RAW)
    heard(dialect, 100)
    [metadata] = told(dialect, Ready("s", "tiny", 16_000, 480), Done(100, 0, 0))
    assert metadata["sha256"] == hashlib.sha256(bytes(3200)).hexdigest()
    assert (metadata["duration"], metadata["channels"], metadata["created"]) == (
        0.1,
        1,
        "2026-01-02T03:04:05.006Z",
    )
    assert metadata["models"] == list(metadata["model_info"]) == ["tiny"]


# ---------------------------------------------------------------- the end of an utterance


def ends(messages):
    return [m["last_word_end"] for m in messages if m["type"] == "UtteranceEnd"]


def silent(dialect, ms):
    """UtteranceEnds on the way through so much silence."""
    notes = [request for request in heard(dialect, ms) if isinstance(request, Note)]
    return ends(told(dialect, *notes))


def test_an_utterance_ends_when_its_gap_is_long_enough():
    dialect, _ = opened(**RAW, utterance_end_ms="1000")
    heard(dialect, 1500)
    assert ends(told(dialect, SpeechStarted(100), SpeechStopped(1000), final("a", 100, 1000))) == []
    assert silent(dialect, 499) == []
    assert silent(dialect, 1) == [1.0]
    assert silent(dialect, 5000) == []  # once


@pytest.mark.parametrize(("again_ms", "expected"), [(2200, [1.0]), (1800, [])])
def test_how_late_a_final_is_changes_nothing(again_ms, expected):
    """Somebody speaks again 1.2 or 0.8 s behind the last word; the onset is known 100 ms later."""
    in_time, _ = opened(**RAW, utterance_end_ms="1000")
    heard(in_time, 1500)
    assert told(in_time, SpeechStarted(100), SpeechStopped(1000), final("a", 100, 1000))[1:] == []
    found = silent(in_time, again_ms + 100 - 1500)
    found += ends(told(in_time, SpeechStarted(again_ms)))
    assert found == expected

    late, _ = opened(**RAW, utterance_end_ms="1000")
    heard(late, 4000)
    events = [SpeechStarted(100), SpeechStopped(1000), SpeechStarted(again_ms), final("a", 100, 1000)]
    assert ends(told(late, *events)) == expected
    assert silent(late, 5000) == []  # somebody speaks


def test_a_cut_is_no_end_and_a_flush_without_speech_ends_nothing_else():
    dialect, _ = opened(**RAW, utterance_end_ms="1000")
    heard(dialect, 9000)
    events = [SpeechStarted(100), final("a", 100, 5000, "length"), final("", 6000, 6000, "flush")]
    assert ends(told(dialect, *events)) == []
    assert ends(told(dialect, SpeechStopped(7000), final("b", 5000, 6900))) == [6.9]


def test_channels_end_on_their_own():
    dialect, _ = opened(**RAW, channels="2", multichannel="true", utterance_end_ms="1000")
    list(dialect.decode(bytes(64 * 3000)))
    messages = told(dialect, final("a", 0, 1000, channel=1), final("b", 0, 2500, channel=0))
    assert [(m["channel"], m["last_word_end"]) for m in messages if m["type"] == "UtteranceEnd"] == [
        ([1, 2], 1.0)
    ]


# ---------------------------------------------------------------- refusals and farewells


def test_refusals_have_both_shapes_and_headers():
    dialect, _ = opened(**RAW)
    error = Unauthorized("An API key is needed: “Token”.")
    body = dialect.refusal(error)
    assert body["err_code"] == body["category"] == "INVALID_AUTH"
    assert body["err_msg"] == body["message"] == body["details"] == error.message
    assert body["request_id"] == "r1"
    assert dialect.refusal(AtCapacity())["category"] == "Service Unavailable"
    assert dialect.refusal(BadOption("x"))["err_code"] == "Bad Request"
    assert dialect.headers() == {"dg-request-id": "r1"}
    assert dialect.headers(error)["dg-error"] == "An API key is needed: ?Token?."


@pytest.mark.parametrize(
    ("code", "reason", "told_as"),
    [
        (1000, "", (1000, "")),
        (1008, "bad_audio", (1008, "DATA-0000")),
        (1011, "NET-0001", (1011, "NET-0001")),
        (1013, "at_capacity", (1011, "NET-0000")),
        (1011, "engine_failed", (1011, "NET-0000")),
        (1001, "shutting_down", (1001, "shutting_down")),
    ],
)
def test_farewells(code, reason, told_as):
    assert opened(**RAW)[0].farewell(code, reason) == told_as


def test_silence_on_the_wire_has_the_vendors_code():
    dialect, _ = opened(**RAW)
    error = dialect.idled(10.0)
    assert (error.code, error.close_code, error.fatal) == ("NET-0001", 1011, True)
    assert told(dialect, Error(error.code, error.message, True))[0]["variant"] == "NET-0001"
