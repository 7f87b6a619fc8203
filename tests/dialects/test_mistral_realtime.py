"""Mistral's dialect: what it makes of a client's words, and that the vendor's own SDK reads every answer."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mistralai.extra.realtime import UnknownRealtimeEvent
from mistralai.extra.realtime.connection import parse_realtime_event

from realtime.dialects import mistral_realtime
from realtime.dialects.base import Handshake
from realtime.dialects.mistral_realtime import ENCODINGS, MistralRealtimeDialect, nearest_delay_ms
from realtime.errors import SHARED_ERRORS, AtCapacity, BadMessage, BadOption, OutOfOrder
from realtime.events import (
    DELAYS_MS,
    Audio,
    Configure,
    Done,
    End,
    Error,
    Final,
    Flush,
    Gap,
    GateOptions,
    Partial,
    Ready,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Warning_,
)
from tests.conversations.mistral.form import append, messages
from tests.conversations.play import read
from tests.conversations.stage import Echo, Stage, silence, voice
from tests.conversations.test_equalities import mulaw, talk

GOLDEN = sorted((Path(__file__).parents[1] / "conversations" / "mistral").glob("*.jsonl"))
FLUSH, END = {"type": "input_audio.flush"}, {"type": "input_audio.end"}


@pytest.fixture
def dialect():
    return opened()


def opened(defaults=None):
    dialect = MistralRealtimeDialect()
    dialect.open(Handshake((("model", "voxtral"),)), defaults or SessionOptions())
    return dialect


def decode(dialect, message):
    return dialect.decode(json.dumps(message))


def told(dialect, *events):
    return [json.loads(frame) for event in events for frame in dialect.encode(event)]


def update(dialect, **session):
    """The options that a session.update asks for."""
    [configure] = decode(dialect, {"type": "session.update", "session": session})
    return configure.options


def stage(tekken, defaults=None, lazy=False):
    return Stage(Echo(tekken), defaults=defaults, lazy=lazy, dialect=MistralRealtimeDialect())


def sums(stage):
    return [message["text"] for message in stage.of("transcription.done")]


def deltas(stage):
    return "".join(message["text"] for message in stage.of("transcription.text.delta"))


# ---------------------------------------------------------------- in


def test_a_session_begins_in_the_vendors_format_with_the_servers_defaults():
    defaults = SessionOptions("mulaw", 8000, 2, 960, False, 5000, GateOptions(hangover_ms=900))
    expected = SessionOptions("pcm_s16le", 16000, 1, 960, True, 5000, GateOptions(hangover_ms=900))
    assert MistralRealtimeDialect().open(Handshake(), defaults) == expected


def test_messages_are_commands(dialect):
    assert decode(dialect, {"type": "input_audio.append", "audio": "AQID"}) == [Audio(b"\x01\x02\x03")]
    assert decode(dialect, FLUSH | {"event_id": "unknown fields are ignored"}) == [Flush()]
    assert decode(dialect, END) == [End()]
    assert decode(opened(), {"type": "session.update", "session": {}}) == [Configure(SessionOptions())]


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_audio_format(encoding, rate_hz):
    options = update(opened(), audio_format={"encoding": encoding, "sample_rate": rate_hz})
    assert (options.encoding, options.sample_rate) == (ENCODINGS[encoding], rate_hz)


def test_a_field_that_is_absent_keeps_its_value_and_null_is_the_default(dialect):
    update(dialect, audio_format={"encoding": "pcm_alaw", "sample_rate": 8000})
    options = update(dialect, target_streaming_delay_ms=960)
    assert (options.encoding, options.sample_rate, options.delay_ms) == ("alaw", 8000, 960)
    options = update(dialect, audio_format={"sample_rate": 11025})
    assert (options.encoding, options.sample_rate) == ("alaw", 11025)
    assert update(dialect, audio_format=None, target_streaming_delay_ms=None) == SessionOptions()


def test_the_nearest_delay():
    asked = [0, 80, 119, 120, 240, 500, 1000, 1200, 1799, 1800, 2400, 10**6]
    nearest = [80, 80, 80, 160, 240, 480, 1040, 1200, 1200, 2400, 2400, 2400]
    assert [nearest_delay_ms(ms) for ms in asked] == nearest
    assert [nearest_delay_ms(ms) for ms in DELAYS_MS] == list(DELAYS_MS)


@pytest.mark.parametrize(("asked_ms", "hangover_ms"), [(0, 100), (400, 400), (9000, 5000)])
def test_turn_detection_is_the_gates_hangover(asked_ms, hangover_ms):
    defaults = SessionOptions(gate=GateOptions(enabled=False, hangover_ms=700))
    dialect = opened(defaults)
    options = update(dialect, turn_detection={"min_silence_ms": asked_ms, "start_threshold": 1})
    assert options.gate == GateOptions(enabled=True, hangover_ms=hangover_ms)
    assert update(dialect, turn_detection=None) == defaults


def test_settings_are_frozen_by_audio_or_a_flush():
    for message, frozen in [(append(b""), False), (append(b"\0"), True), (FLUSH, True), (END, True)]:
        dialect = opened()
        decode(dialect, message)
        for session in ({"language": "en"}, {"audio_format": 7}):
            if frozen:
                with pytest.raises(OutOfOrder):
                    decode(dialect, {"type": "session.update", "session": session})
        assert frozen or update(dialect) == SessionOptions()


@pytest.mark.parametrize(
    "session",
    [
        {"audio_format": {"encoding": "opus", "sample_rate": 16000}},
        {"audio_format": {"encoding": "mulaw", "sample_rate": 16000}},
        {"audio_format": {"encoding": 1}},
        {"audio_format": {"encoding": None}},
        {"audio_format": {"sample_rate": 7999}},
        {"audio_format": {"sample_rate": 48001}},
        {"audio_format": {"sample_rate": "16000"}},
        {"audio_format": {"sample_rate": True}},
        {"audio_format": "pcm_s16le"},
        {"target_streaming_delay_ms": -1},
        {"target_streaming_delay_ms": "480"},
        {"target_streaming_delay_ms": 1e300},
        {"language": 1},
        {"context_bias": "one"},
        {"context_bias": [1]},
        {"diarize": "yes"},
        {"diarize": True},
        {"speaker_references": {"Ann": "AAAA"}},
        {"turn_detection": {"min_silence_ms": -1}},
        {"turn_detection": {"start_threshold": 2}},
        {"turn_detection": True},
        None,
        [],
    ],
    ids=str,
)
def test_wrong_settings_are_bad_options(dialect, session):
    with pytest.raises(BadOption) as caught:
        decode(dialect, {"type": "session.update", "session": session})
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"type": 1}',
        '{"type": ["input_audio.end"]}',
        '{"type": "input_audio_buffer.append", "audio": "AAAA"}',
        '{"type": "' + "x" * 100_000 + '"}',
        '{"type": "input_audio.append"}',
        '{"type": "input_audio.append", "audio": null}',
        '{"type": "input_audio.append", "audio": [0, 0]}',
        '{"type": "input_audio.append", "audio": "AAA"}',
        '{"type": "input_audio.append", "audio": "????"}',
        '{"type": "\\ud800"}',
        "[" * 100_000,
        '{"type":' * 50_000,
        b"\x00\x00",
    ],
    ids=lambda text: str(text[:40]) or "empty",
)
def test_bad_messages_get_a_short_answer(dialect, text):
    with pytest.raises(BadMessage) as caught:
        dialect.decode(text)
    assert len(caught.value.message) < 200
    assert not caught.value.fatal


# ---------------------------------------------------------------- out


def test_the_hello_and_what_holds_after_each_update(dialect):
    update(dialect, audio_format={"encoding": "pcm_f16le", "sample_rate": 44100}, context_bias=["Voxtral"])
    update(dialect, language="fr", turn_detection={"min_silence_ms": 50})
    # All three come late: each tells of its own moment.
    ready = Ready("abc", "tiny", 16000, 480)
    created, first, second = told(dialect, ready, ready, ready)
    format_ = {"encoding": "pcm_s16le", "sample_rate": 16000}
    session = {
        "request_id": "abc",
        "model": "tiny",
        "audio_format": format_,
        "target_streaming_delay_ms": 480,
    }
    assert created == {"type": "session.created", "session": session}
    session["audio_format"] = {"encoding": "pcm_f16le", "sample_rate": 44100}
    assert first == {"type": "session.updated", "session": session}
    assert second["type"] == "session.updated"
    assert second["session"]["language"] == "fr"
    assert second["session"]["turn_detection"]["min_silence_ms"] == 100


def test_gaps_and_warnings_have_no_words(dialect):
    assert (
        told(dialect, Gap(0, 500, "no_slot"), Warning_("no_text", "Hm."), SpeechStarted(0), SpeechStopped(9))
        == []
    )


@pytest.mark.parametrize("error", SHARED_ERRORS, ids=lambda cls: cls.code)
def test_errors_have_numbers(dialect, error):
    [message] = told(dialect, Error(error.code, "A sentence.", error.fatal))
    assert message["error"] == {"message": "A sentence.", "code": error.http_status, "type": error.code}
    assert parse_realtime_event(message).error.code == error.http_status


def test_an_idle_client_gets_the_vendors_number(dialect):
    error = dialect.idled(30.0)
    [message] = told(dialect, Error(error.code, error.message, error.fatal))
    assert (message["error"]["code"], message["error"]["message"]) == (3804, "No message for 30 s.")


def test_a_refusal_before_the_upgrade(dialect):
    body = dialect.refusal(AtCapacity())
    assert (body["object"], body["type"], body["code"]) == ("error", "at_capacity", 503)
    assert body["message"]


def test_what_no_partial_told_comes_with_the_final(dialect):
    messages = told(
        dialect,
        Partial(0, "one", "one", 0, 80),
        Final(0, "one two", (), 0, 900, "silence"),
        Final(1, "three", (), 1000, 1500, "silence"),
        Done(2000, 1400, 2),
    )
    texts = [message["text"] for message in messages if message["type"] == "transcription.text.delta"]
    assert texts == ["one", " two", " three"]
    assert messages[-1]["text"] == "one two three"


def test_a_turn_ends_behind_its_last_words_and_before_the_next_one_starts(dialect):
    update(dialect, turn_detection={})
    messages = told(
        dialect,
        SpeechStarted(0),
        SpeechStopped(1000),
        SpeechStarted(1500),
        SpeechStopped(2000),
        Final(0, "one", (), 0, 900, "length"),
        Final(1, "two", (), 900, 1000, "silence"),
        Final(2, "three", (), 1500, 2000, "silence"),
        Final(2, "", (), 2500, 2500, "silence"),
    )
    heard = [message.get("text", message.get("time_s")) for message in messages]
    assert heard == [0, "one", "one", " two", "two", 1, 1.5, " three", "three", 2]


def test_a_turn_that_waits_is_told_before_the_last_sum(dialect):
    update(dialect, turn_detection={})
    messages = told(dialect, SpeechStarted(0), SpeechStopped(1000), Done(1000, 1000, 0))
    assert [message["type"] for message in messages] == ["turn.start", "turn.end", "transcription.done"]


def test_a_sum_lists_the_latest_segments(dialect, monkeypatch):
    monkeypatch.setattr(mistral_realtime, "MAX_SEGMENTS", 2)
    dialect = opened()
    finals = [Final(n, f"w{n}", (), n, n, "silence") for n in range(4)]
    last = told(dialect, *finals, Done(2000, 1400, 2))[-1]
    assert last["text"] == "w0 w1 w2 w3"
    assert [segment["text"] for segment in last["segments"]] == ["w2", "w3"]


# ---------------------------------------------------------------- conversations


@pytest.mark.parametrize("path", GOLDEN, ids=[path.stem for path in GOLDEN])
def test_the_sdk_reads_every_answer(path):
    answers = [line["told"] for line in read(path) if "told" in line]
    for answer in answers:
        event = parse_realtime_event(answer)
        assert not isinstance(event, UnknownRealtimeEvent), (answer, event.error)


def test_sums_are_the_finals_of_the_native_protocol(tekken):
    audio = talk(7)
    native = Stage(Echo(tekken))
    native.send((audio * 32767).astype("<i2").tobytes(), {"type": "end"})
    assert len(native.of("final")) > 3
    whole = stage(tekken)
    whole.send(*messages([audio]), END)
    assert sums(whole) == [deltas(whole)] == [native.text]
    segments = [message["text"] for message in whole.of("transcription.segment")]
    assert segments == [final["text"] for final in native.of("final") if final["text"]]


def test_every_flush_has_its_sum_and_the_sums_are_the_deltas(tekken):
    cut = stage(tekken)
    for n, message in enumerate(messages([talk(8)])):
        cut.send(message)
        if n % 9 == 8:
            cut.send(FLUSH)
    cut.send(END)
    assert len(sums(cut)) == 200 // 9 + 1
    assert "".join(sums(cut)).replace(" ", "") == deltas(cut).replace(" ", "")
    usages = [message["usage"] for message in cut.of("transcription.done")]
    assert [usage["prompt_audio_seconds"] for usage in usages] == [1] * 22 + [1]
    assert sum(usage["prompt_tokens"] for usage in usages) == 22 * 12 + 3


def test_an_engine_far_behind_makes_the_same_sums(tekken):
    said = [
        *messages([voice(900)]),
        FLUSH,
        *messages([voice(700)]),
        FLUSH,
        FLUSH,
        *messages([voice(500)]),
        END,
    ]
    quick = stage(tekken)
    quick.send(*said)
    slow = Stage(Echo(tekken), dialect=MistralRealtimeDialect(), lazy=True)
    slow.send(*said)
    slow.run()
    assert sums(slow) == sums(quick)
    assert slow.of("transcription.done") == quick.of("transcription.done")
    assert [bool(text) for text in sums(quick)] == [True, True, False, True]


def s16(audio):
    return (audio * 32767).astype("<i2").tobytes()


IN = {
    "pcm_s16le": s16,
    "pcm_s32le": lambda audio: (audio.astype(np.float64) * (2**31 - 1)).astype("<i4").tobytes(),
    "pcm_f16le": lambda audio: audio.astype("<f2").tobytes(),
    "pcm_f32le": lambda audio: audio.astype("<f4").tobytes(),
    "pcm_mulaw": mulaw,
}


@pytest.mark.parametrize("encoding", IN)
@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_same_words_in_every_format(tekken, encoding, rate_hz):
    audio = np.concatenate([silence(300), voice(1500), silence(1000)])[:: 16000 // rate_hz]
    data = IN[encoding](audio)
    stage_ = stage(tekken)
    stage_.send(
        {
            "type": "session.update",
            "session": {"audio_format": {"encoding": encoding, "sample_rate": rate_hz}},
        }
    )
    # Cut inside samples: borders of messages mean nothing.
    stage_.send(*(append(data[at : at + 997]) for at in range(0, len(data), 997)), END)
    assert sums(stage_) == ["one two wonderful three. hello"]
    assert stage_.of("transcription.done")[0]["usage"]["prompt_audio_seconds"] == 3
    assert not stage_.of("error")


def test_a_long_utterance_is_one_turn_of_several_segments(tekken):
    stage_ = stage(tekken, replace(SessionOptions(), max_utterance_ms=1000))
    stage_.send({"type": "session.update", "session": {"turn_detection": {}}})
    stage_.send(*messages([np.concatenate([voice(4000), silence(1000)])]), END)
    kinds = [message["type"] for message in stage_.told if "delta" not in message["type"]]
    assert kinds[:3] == ["session.created", "session.updated", "turn.start"]
    assert kinds[-2:] == ["turn.end", "transcription.done"]
    assert set(kinds[3:-2]) == {"transcription.segment"} and len(kinds) > 7
    assert sums(stage_) == [deltas(stage_)]


def test_the_largest_message_of_the_vendor_is_taken():
    audio = bytes(mistral_realtime.LARGEST_AUDIO_BYTES)
    text = json.dumps({"type": "input_audio.append", "audio": base64.b64encode(audio).decode()})
    assert len(text) <= MistralRealtimeDialect.largest_message_bytes
    assert opened().decode(text) == [Audio(audio)]


def test_flushes_behind_the_end_are_refused_and_forgotten(tekken):
    stage_ = stage(tekken, lazy=True)
    stage_.send(*messages([voice(500)]), END, *[FLUSH] * 20)
    assert len(stage_.of("error")) == 20
    assert not stage_.dialect._flushed_ms
    stage_.run()
    assert sums(stage_) == ["one two"]
