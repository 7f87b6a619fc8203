"""vLLM's dialect alone; how it is recognised is in test_realtime_path.py."""

import json

import numpy as np
import pytest

from realtime.dialects.base import Handshake
from realtime.dialects.vllm_realtime import Refused, VllmRealtimeDialect
from realtime.events import (
    Audio,
    Done,
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
from tests.conversations.stage import Echo, Stage, silence, voice
from tests.conversations.test_equalities import talk
from tests.conversations.vllm.form import append, messages

UPDATE = {"type": "session.update", "model": "voxtral"}
START, FINAL = {"type": "input_audio_buffer.commit"}, {"type": "input_audio_buffer.commit", "final": True}


@pytest.fixture
def dialect():
    return VllmRealtimeDialect()


def decode(dialect, message):
    return dialect.decode(json.dumps(message))


def told(dialect, *events):
    return [json.loads(frame) for event in events for frame in dialect.encode(event)]


def stage(tekken, **options):
    return Stage(Echo(tekken), dialect=VllmRealtimeDialect(), **options)


def dones(stage):
    return [message["text"] for message in stage.of("transcription.done")]


def deltas(stage):
    return "".join(message["delta"] for message in stage.of("transcription.delta"))


def test_the_format_is_fixed_and_the_rest_is_the_servers(dialect):
    gate = GateOptions(hangover_ms=900)
    defaults = SessionOptions("mulaw", 8000, 2, 960, False, 5000, gate)
    assert dialect.open(Handshake(), defaults) == SessionOptions("pcm_s16le", 16000, 1, 960, True, 5000, gate)


def test_messages_are_commands(dialect):
    assert decode(dialect, UPDATE) == []
    assert decode(dialect, START) == decode(dialect, START | {"final": False}) == []
    assert decode(dialect, append(b"\1\2\3")) == [Audio(b"\1\2\3")]
    assert decode(dialect, FINAL | {"event_id": "unknown fields are ignored"}) == [Flush()]


@pytest.mark.parametrize("model", ["", "voxtral", "mistralai/Voxtral-Mini-4B-Realtime-2602", "gpt-9"])
def test_any_model_is_taken(dialect, model):
    assert decode(dialect, {"type": "session.update", "model": model}) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("null", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("{}", "unknown_event"),
        ('{"type": 1}', "unknown_event"),
        ('{"type": "input_audio.append", "audio": "AAAA"}', "unknown_event"),
        ('{"type": "' + "x" * 100_000 + '"}', "unknown_event"),
        ('{"type": "session.update"}', "invalid_event"),
        ('{"type": "session.update", "model": 7}', "invalid_event"),
        ('{"type": "input_audio_buffer.commit", "final": 1}', "invalid_event"),
        ('{"type": "input_audio_buffer.append"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": ""}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "A"}', "invalid_audio"),
        (b"\0\0", "invalid_event"),
    ],
    ids=lambda text: str(text[:50]) or "empty",
)
def test_messages_at_fault_have_the_vendors_codes(dialect, text, code):
    with pytest.raises(Refused) as caught:
        dialect.decode(text)
    error = caught.value
    assert (error.code, error.fatal, len(error.message) < 200) == (code, False, True)
    assert told(dialect, Error(error.code, error.message, False)) == [
        {"type": "error", "error": error.message, "code": code}
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("internal_error", "processing_error"),
        ("engine_failed", "processing_error"),
        ("bad_audio", "invalid_audio"),
        ("shutting_down", "shutting_down"),
    ],
)
def test_other_errors_are_flat_as_well(dialect, ours, theirs):
    assert told(dialect, Error(ours, "A sentence.", True)) == [
        {"type": "error", "error": "A sentence.", "code": theirs}
    ]


def test_only_deltas_and_dones_are_said(dialect):
    events = [
        Ready("s1", "tiny", 16000, 480),
        SpeechStarted(0),
        SpeechStopped(1),
        Gap(0, 5, "no_slot"),
        Warning_("no_text", "Hm."),
        Final(0, "", (), 0, 0, "silence"),
        Done(0, 0, 0),
    ]
    assert told(dialect, *events) == []


def test_no_delta_is_empty_and_none_is_missing(dialect):
    decode(dialect, FINAL)
    events = [
        Partial(0, "one", "one", 0, 80),
        Final(0, "one", (), 0, 900, "silence"),
        Final(1, "", (), 1000, 1000, "silence"),
        Final(1, "two three", (), 1000, 1500, "flush"),
    ]
    answers = told(dialect, *events)
    assert [answer.get("delta") for answer in answers] == ["one", " two three", None]
    assert answers[-1]["text"] == "one two three"


def test_done_is_the_whole_utterance_over_all_pauses(tekken):
    audio = talk(7)
    native = Stage(Echo(tekken))
    native.send((audio * 32767).astype("<i2").tobytes(), {"type": "end"})
    assert len(native.of("final")) > 3
    whole = stage(tekken)
    whole.send(UPDATE, START, *messages([audio]), FINAL)
    assert dones(whole) == [deltas(whole)] == [native.text]


@pytest.mark.parametrize("lazy", [False, True])
def test_every_final_commit_has_one_done(tekken, lazy):
    """Also of an engine that answers only when everything was sent."""
    stage_ = stage(tekken, lazy=lazy)
    said = np.concatenate([silence(160), voice(960)])
    for _ in range(3):
        stage_.send(START, *messages([said]), FINAL)
    stage_.send(FINAL)
    stage_.run()
    assert [bool(text) for text in dones(stage_)] == [True, True, True, False]
    assert [done["usage"]["prompt_tokens"] for done in stage_.of("transcription.done")] == [14, 14, 14, 0]


def test_audio_is_heard_whenever_it_comes(tekken):
    """Before the first commit, and between utterances."""
    said = messages([voice(960)])
    before, after = stage(tekken), stage(tekken)
    before.send(UPDATE, *said, START, FINAL, *said, FINAL)
    after.send(UPDATE, START, *said, FINAL, START, *said, FINAL)
    assert dones(before) == dones(after)
    assert all(dones(before))


def test_a_message_may_end_inside_a_sample(tekken):
    data = (voice(960) * 32767).astype("<i2").tobytes()
    odd, even = stage(tekken), stage(tekken)
    odd.send(*(append(data[at : at + 777]) for at in range(0, len(data), 777)), FINAL)
    even.send(append(data), FINAL)
    assert dones(odd) == dones(even)
