import json

import pytest

from realtime.dialects.base import Handshake
from realtime.dialects.native import OPTIONS, NativeDialect
from realtime.errors import BadMessage, BadOption
from realtime.events import (
    ENCODINGS,
    Audio,
    Configure,
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


def parsed(**query):
    return NativeDialect().open(Handshake(tuple(query.items())), SessionOptions())


def test_no_query_is_the_servers_defaults():
    defaults = SessionOptions(delay_ms=960, gate=GateOptions(hangover_ms=900))
    assert NativeDialect().open(Handshake(), defaults) == defaults


def test_every_option_of_the_query():
    query = {
        "encoding": "alaw",
        "sample_rate": "44100",
        "channels": "2",
        "delay_ms": "2400",
        "interim": "false",
        "max_utterance_ms": "5000",
        "vad": "off",
        "vad_aggressiveness": "3",
        "pre_roll_ms": "0",
        "onset_ms": "10",
        "hangover_ms": "5000",
    }
    assert query.keys() == OPTIONS.keys()
    gate = GateOptions(False, 3, 0, 10, 5000)
    assert parsed(**query) == SessionOptions("alaw", 44100, 2, 2400, False, 5000, gate)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("encoding", list(ENCODINGS), ["opus", "PCM_S16LE", ""]),
        (
            "sample_rate",
            ["8000", "48000", "11025"],
            ["7999", "48001", "16000.0", "16k", "", "1e4", "-8000", "１６０００"],
        ),
        ("channels", ["1", "2"], ["0", "3", "two"]),
        ("delay_ms", ["80", "480", "1200", "2400"], ["0", "500", "1280", "2401", "480ms"]),
        ("vad", ["on", "off"], ["true", "1", "ON", ""]),
        ("interim", ["true", "false"], ["on", "1", "True"]),
        ("max_utterance_ms", ["1000", "600000"], ["999", "600001"]),
        ("vad_aggressiveness", ["0", "3"], ["4", "-1"]),
        ("pre_roll_ms", ["0", "2000"], ["2001"]),
        ("onset_ms", ["10", "1000"], ["9", "1001"]),
        ("hangover_ms", ["100", "5000"], ["99", "9" * 10_000]),
    ],
)
def test_ranges_of_the_query(name, good, bad):
    for text in good:
        parsed(**{name: text})
    for text in bad:
        with pytest.raises(BadOption) as caught:
            parsed(**{name: text})
        assert caught.value.message.startswith(f"{name} must be ")
        assert len(caught.value.message) < 300


def test_a_refusal_names_what_is_allowed():
    with pytest.raises(BadOption, match=r"one of pcm_s16le, pcm_s32le, .*, alaw; got 'opus'"):
        parsed(encoding="opus")
    with pytest.raises(BadOption, match=r"a whole number from 8000 to 48000; got 96000\."):
        parsed(sample_rate="96000")
    with pytest.raises(BadOption, match=r"no option 'rate'\. Options are encoding, sample_rate"):
        parsed(rate="16000")


def test_binary_is_audio_and_text_is_commands():
    dialect = NativeDialect()
    assert dialect.decode(b"\x01\x02") == [Audio(b"\x01\x02")]
    assert dialect.decode(bytearray(b"{}")) == [Audio(b"{}")]
    assert dialect.decode('{"type": "flush"}') == [Flush()]
    assert dialect.decode('{"type": "end"}') == [End()]
    assert dialect.decode('{"type": "keepalive"}') == [KeepAlive()]


def test_configure_gives_some_options_over_those_before():
    dialect = NativeDialect()
    dialect.open(Handshake((("channels", "2"), ("delay_ms", "240"))), SessionOptions())
    [first] = dialect.decode('{"type": "configure", "delay_ms": 960, "vad": "off"}')
    assert first == Configure(SessionOptions(channels=2, delay_ms=960, gate=GateOptions(enabled=False)))
    [second] = dialect.decode('{"type": "configure", "interim": false}')
    assert second.options.delay_ms == 960
    assert not second.options.interim
    assert dialect.decode('{"type": "configure"}') == [Configure(second.options)]


@pytest.mark.parametrize(
    "fields",
    [
        {"sample_rate": "16000"},
        {"sample_rate": 16000.0},
        {"sample_rate": 16000.5},
        {"sample_rate": True},
        {"sample_rate": None},
        {"channels": True},
        {"channels": 3},
        {"delay_ms": 100},
        {"delay_ms": 80.0},
        {"interim": 1},
        {"interim": "true"},
        {"vad": True},
        {"vad": ["on"]},
        {"encoding": {"name": "mulaw"}},
        {"unknown": 1},
        {"Type": "configure"},
        {"gate": {"enabled": False}},
        {"hangover_ms": 10**30},
    ],
    ids=str,
)
def test_configure_with_wrong_options(fields):
    with pytest.raises(BadOption):
        NativeDialect().decode(json.dumps({"type": "configure", **fields}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "{",
        '{"type": "flush"',
        '{"type": "flush"} x',
        "[]",
        "null",
        "7",
        '"flush"',
        "{}",
        '{"type": null}',
        '{"type": 1}',
        '{"type": ["flush"]}',
        '{"type": {"a": 1}}',
        '{"type": "FLUSH"}',
        '{"type": "audio", "data": "AAAA"}',
        '{"type": "flush", "x": 1}',
        '{"type": "end", "reason": "x"}',
        '{"type": "\\ud800"}',
        '{"type": NaN}',
        "[" * 100_000,
        '{"type":' * 50_000,
        '{"type": ' + "9" * 10_000 + "}",
        '{"type": "' + "x" * 100_000 + '"}',
    ],
    ids=lambda text: text[:24] or "empty",
)
def test_bad_messages_get_a_short_answer(text):
    with pytest.raises(BadMessage) as caught:
        NativeDialect().decode(text)
    assert len(caught.value.message) < 200
    assert not caught.value.fatal


WORDS = (Word("hé", 10, 20, 0.5), Word("there", 20, 40, 1.0))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            Ready("s1", "tiny", 8000, 480),
            {
                "type": "ready",
                "session_id": "s1",
                "model": "tiny",
                "sample_rate": 8000,
                "delay_ms": 480,
                "protocol": 1,
            },
        ),
        (SpeechStarted(120, 1), {"type": "speech_started", "at_ms": 120, "channel": 1}),
        (SpeechStopped(900), {"type": "speech_stopped", "at_ms": 900, "channel": 0}),
        (
            Partial(2, "hé there", " there", 10, 80),
            {
                "type": "partial",
                "utterance": 2,
                "text": "hé there",
                "delta": " there",
                "start_ms": 10,
                "audio_ms": 80,
                "channel": 0,
            },
        ),
        (
            Final(2, "hé there", WORDS, 10, 40, "length", 1),
            {
                "type": "final",
                "utterance": 2,
                "text": "hé there",
                "words": [
                    {"text": "hé", "start_ms": 10, "end_ms": 20, "confidence": 0.5},
                    {"text": "there", "start_ms": 20, "end_ms": 40, "confidence": 1.0},
                ],
                "start_ms": 10,
                "end_ms": 40,
                "reason": "length",
                "channel": 1,
            },
        ),
        (
            Gap(0, 500, "no_slot"),
            {"type": "gap", "from_ms": 0, "to_ms": 500, "reason": "no_slot", "channel": 0},
        ),
        (Warning_("lagging", "Slow."), {"type": "warning", "code": "lagging", "message": "Slow."}),
        (
            Warning_("no_text", "Hm.", 5, 9, 0),
            {"type": "warning", "code": "no_text", "message": "Hm.", "from_ms": 5, "to_ms": 9, "channel": 0},
        ),
        (
            Error("bad_audio", "Half a sample.", False),
            {"type": "error", "code": "bad_audio", "message": "Half a sample.", "fatal": False},
        ),
        (Done(1000, 500, 2), {"type": "done", "audio_ms": 1000, "speech_ms": 500, "utterances": 2}),
    ],
    ids=lambda part: type(part).__name__ if not isinstance(part, dict) else "",
)
def test_messages_of_the_server(event, message):
    [text] = NativeDialect().encode(event)
    assert json.loads(text) == message
    assert list(json.loads(text)) == list(message), "fields in the order of the documentation"
