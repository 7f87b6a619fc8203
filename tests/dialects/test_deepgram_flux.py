import json

import pytest

from realtime.dialects.base import Handshake, Note
from realtime.dialects.deepgram_flux import LONGEST_WORDS, FluxDialect
from realtime.errors import BadMessage, BadOption
from realtime.events import (
    Done,
    End,
    Error,
    Final,
    Flush,
    GateOptions,
    Partial,
    Ready,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Word,
)

RAW = {"encoding": "linear16", "sample_rate": "16000"}
READY = Ready("s", "tiny", 16_000, 480)


def opened(hangover_ms=500, **query):
    dialect = FluxDialect(None, "r1")
    defaults = SessionOptions(interim=False, gate=GateOptions(hangover_ms=hangover_ms))
    options = dialect.open(Handshake(tuple((RAW | query).items())), defaults)
    return dialect, options


def told(dialect, *events):
    return [json.loads(frame) for event in events for frame in dialect.encode(event)]


def turns(messages):
    return [(m["event"], m["transcript"], m.get("trigger")) for m in messages]


def silent(dialect, ms):
    return told(dialect, *[r for r in dialect.decode(bytes(ms * 32)) if isinstance(r, Note)])


def final(text, start_ms, end_ms, reason="silence"):
    words = tuple(Word(word, start_ms, end_ms, 0.9) for word in text.split())
    return Final(0, text, words, start_ms, end_ms, reason)


def said(text, start_ms, end_ms):
    """The events of speech and its final behind a pause."""
    return [SpeechStarted(start_ms), SpeechStopped(end_ms), final(text, start_ms, end_ms)]


@pytest.mark.parametrize(
    ("query", "hangover_ms"),
    [({}, 500), ({"eager_eot_threshold": "0.4"}, 250), ({"eot_threshold": "1"}, 500)],
)
def test_options_of_the_query(query, hangover_ms):
    _, options = opened(**query)
    assert options.interim and options.gate.hangover_ms == hangover_ms
    assert opened(100, eager_eot_threshold="0.5")[1].gate.hangover_ms == 100


@pytest.mark.parametrize(
    "query",
    [
        {"encoding": "flac"},
        {"sample_rate": ""},
        {"eot_threshold": "0.4"},
        {"eot_threshold": "nan"},
        {"eager_eot_threshold": "0.95"},
        {"eager_eot_threshold": "0.8", "eot_threshold": "0.7"},
        {"eot_timeout_ms": "499"},
        {"eot_timeout_ms": "5e3"},
    ],
)
def test_what_cannot_be_is_refused(query):
    with pytest.raises(BadOption):
        opened(**query)


def test_every_message_has_a_number():
    dialect, _ = opened()
    requests = dialect.decode('{"type": "Configure"}')
    events = [READY, READY, *said("a", 0, 500), *requests, Error("bad_message", "no", False)]
    messages = told(dialect, *events)
    assert [m["type"] for m in messages] == [
        "Connected",
        "TurnInfo",
        "TurnInfo",
        "ConfigureSuccess",
        "Warning",
    ]
    assert [m["sequence_id"] for m in messages] == list(range(5))
    assert {m["request_id"] for m in messages} == {"r1"}


def test_messages_of_the_client():
    dialect, _ = opened()
    assert list(dialect.decode('{"type": "ForceEndTurn"}')) == [Flush()]
    for text in ('{"type": "KeepAlive"}', "{", "3"):
        with pytest.raises(BadMessage):
            dialect.decode(text)
    assert list(dialect.decode('{"type": "CloseStream"}')) == [End()]
    assert list(dialect.decode("{")) == []


def test_a_turn_ends_with_the_silence_behind_it():
    dialect, _ = opened()
    messages = told(dialect, SpeechStarted(100), Partial(0, "one", "one", 100, 900))
    messages += told(dialect, Partial(0, "one two", " two", 100, 1100), SpeechStopped(1000))
    messages += told(dialect, final("one two.", 100, 1000), *said("three", 2000, 2500))
    assert turns(messages) == [
        ("StartOfTurn", "one", None),
        ("Update", "one two", None),
        ("EndOfTurn", "one two.", "model"),
        ("StartOfTurn", "three", None),
        ("EndOfTurn", "three", "model"),
    ]
    assert [m["turn_index"] for m in messages] == [0, 0, 0, 1, 1]
    assert [(m["audio_window_start"], m["audio_window_end"]) for m in messages] == [
        (0.0, 0.9),
        (0.0, 1.1),
        (0.0, 1.0),
        (1.0, 2.5),
        (1.0, 2.5),
    ]
    assert [m["end_of_turn_confidence"] for m in messages] == [0.0, 0.0, 0.7, 0.0, 0.7]
    assert messages[2]["words"][0] == {"word": "one", "confidence": 0.9, "start": 0.1, "end": 1.0}


def test_noise_is_no_turn():
    dialect, _ = opened(eager_eot_threshold="0.4")
    assert told(dialect, *said("", 100, 160)) == []
    assert silent(dialect, 5000) == []


def test_an_eager_end_is_taken_back_when_somebody_speaks_on():
    dialect, _ = opened(eager_eot_threshold="0.4")
    list(dialect.decode(bytes(32 * 1300)))
    messages = told(dialect, *said("one", 0, 1000))
    messages += told(dialect, SpeechStarted(1400), Partial(1, "two", "two", 1400, 1800))
    list(dialect.decode(bytes(32 * 1000)))
    messages += told(dialect, SpeechStopped(2000), final("two", 1400, 2000))
    assert turns(messages) == [
        ("StartOfTurn", "one", None),
        ("EagerEndOfTurn", "one", None),
        ("TurnResumed", "one two", None),
        ("EagerEndOfTurn", "one two", None),
    ]
    assert messages[1]["end_of_turn_confidence"] == 0.4
    assert silent(dialect, 199) == []
    assert turns(silent(dialect, 1)) == [("EndOfTurn", "one two", "model")]


def test_noise_behind_an_eager_end_puts_the_end_off():
    dialect, _ = opened(eager_eot_threshold="0.4")
    list(dialect.decode(bytes(32 * 1300)))
    told(dialect, *said("one", 0, 1000), SpeechStarted(1350))
    assert silent(dialect, 500) == []
    assert told(dialect, SpeechStopped(1400), final("", 1400, 1400)) == []
    assert turns(silent(dialect, 100)) == [("EndOfTurn", "one", "model")]


def test_the_client_ends_turns_at_a_threshold_of_one():
    dialect, _ = opened(eot_threshold="1.0", eot_timeout_ms="3000")
    list(dialect.decode(bytes(32 * 2000)))
    assert turns(told(dialect, *said("one", 0, 1000), *said("two", 1500, 1900))) == [
        ("StartOfTurn", "one", None),
        ("Update", "one", None),
        ("Update", "one two", None),
    ]
    assert turns(told(dialect, final("", 2000, 2000, "flush"))) == [("EndOfTurn", "one two", "manual")]
    told(dialect, *said("three", 2500, 3000))
    assert turns(silent(dialect, 4000)) == [("EndOfTurn", "three", "timeout")]


def test_nothing_is_forced_where_there_is_no_turn():
    dialect, _ = opened()
    assert told(dialect, final("", 0, 0, "flush")) == []


def test_the_end_of_the_stream_is_no_end_of_a_turn():
    dialect, _ = opened()
    assert turns(told(dialect, final("one", 0, 500, "end"), Done(500, 500, 1))) == [
        ("StartOfTurn", "one", None)
    ]


def test_a_turn_has_a_longest():
    dialect, _ = opened()
    told(dialect, SpeechStarted(0))
    words = tuple(Word("a", n, n + 1, 0.9) for n in range(LONGEST_WORDS))
    messages = told(dialect, Final(0, "a", words, 0, LONGEST_WORDS, "length"))
    assert [m["event"] for m in messages] == ["StartOfTurn", "EndOfTurn"]
    assert messages[1]["trigger"] == "timeout"
    assert len(json.dumps(messages[1])) < 1 << 20


@pytest.mark.parametrize(
    "fields",
    [
        {"thresholds": []},
        {"thresholds": {"eot_threshold": True}},
        {"thresholds": {"eot_timeout_ms": "5000"}},
        {"thresholds": {"eot_timeout_ms": 10**400}},
        {"thresholds": {"eager_eot_threshold": 0.9, "eot_threshold": 0.5}},
        {"keyterms": ["a"]},
    ],
)
def test_a_configuration_that_cannot_be_changes_nothing(fields):
    dialect, _ = opened()
    [failure] = told(dialect, *dialect.decode(json.dumps({"type": "Configure", **fields})))
    assert failure["type"] == "ConfigureFailure" and failure["description"]
    [success] = told(dialect, *dialect.decode('{"type": "Configure", "thresholds": {}}'))
    assert success["thresholds"] == {"eot_threshold": 0.7, "eot_timeout_ms": 5000}


def test_thresholds_change_one_by_one():
    dialect, _ = opened(eager_eot_threshold="0.5")
    text = '{"type": "Configure", "thresholds": {"eager_eot_threshold": null, "eot_timeout_ms": 900}}'
    [success] = told(dialect, *dialect.decode(text))
    assert success["thresholds"] == {"eot_threshold": 0.7, "eot_timeout_ms": 900}
    list(dialect.decode(bytes(32 * 1300)))
    assert "EagerEndOfTurn" not in [m["event"] for m in told(dialect, *said("one", 0, 1000))]
    assert turns(silent(dialect, 300)) == [("EndOfTurn", "one", "model")]


def test_fatal_errors_are_errors():
    dialect, _ = opened()
    [error] = told(dialect, Error("bad_audio", "no audio", True))
    assert error == {
        "type": "Error",
        "code": "DATA-0000",
        "description": "no audio",
        "request_id": "r1",
        "sequence_id": 0,
    }
