"""Which protocol a client of /v1/realtime speaks, and that the choice is complete."""

import json

import pytest

from realtime.dialects.base import Dialect, Handshake
from realtime.dialects.openai_realtime import OpenAIRealtimeDialect
from realtime.dialects.realtime_path import RealtimePathDialect
from realtime.dialects.vllm_realtime import Refused, VllmRealtimeDialect
from realtime.errors import AtCapacity
from realtime.events import Audio, Configure, Ready, SessionOptions
from tests.conversations.stage import Echo, Stage, voice
from tests.conversations.vllm.form import append, messages

APPEND = append(b"\0\0")
START, FINAL = {"type": "input_audio_buffer.commit"}, {"type": "input_audio_buffer.commit", "final": True}
VLLM_UPDATE = {"type": "session.update", "model": "voxtral"}
GA_UPDATE = {"type": "session.update", "session": {"type": "transcription"}}
BETA_UPDATE = {"type": "transcription_session.update", "session": {"input_audio_format": "pcm16"}}
VLLM_OPTIONS = SessionOptions("pcm_s16le", 16000)


def opened(query=(), headers=None):
    dialect = RealtimePathDialect(lambda: 1_800_000_000.5)
    dialect.open(Handshake(tuple(query), headers or {}), SessionOptions())
    return dialect


def decode(dialect, message):
    text = message if isinstance(message, str | bytes) else json.dumps(message)
    return list(dialect.decode(text))


def spoken(dialect):
    """The protocol that answers now, told by what only one of them does."""
    return "vllm" if isinstance(dialect._dialect, VllmRealtimeDialect) else "openai"


@pytest.mark.parametrize(
    ("first", "protocol"),
    [
        (VLLM_UPDATE, "vllm"),
        (VLLM_UPDATE | {"session": None}, "vllm"),
        (START, "vllm"),
        (FINAL, "vllm"),
        (APPEND, "openai"),
        (GA_UPDATE, "openai"),
        (GA_UPDATE | {"model": "voxtral"}, "openai"),
        (BETA_UPDATE, "openai"),
        ({"type": "session.update", "session": {"input_audio_format": "pcm16"}}, "openai"),
        ({"type": "session.update"}, "openai"),
        ({"type": "input_audio_buffer.clear"}, "openai"),
        ({"type": "response.create"}, "openai"),
    ],
    ids=str,
)
def test_the_first_message_decides_for_good(first, protocol):
    dialect = opened()
    decode(dialect, first)
    assert spoken(dialect) == protocol
    for later in (APPEND, START, FINAL):
        decode(dialect, later)
        assert spoken(dialect) == protocol


@pytest.mark.parametrize("text", ["{", "[]", "", "7", "{}", '{"type": null}', b"\0\0"], ids=str)
def test_what_is_no_message_decides_nothing(text):
    dialect = opened()
    decode(dialect, text)
    assert spoken(dialect) == "openai"
    assert decode(dialect, VLLM_UPDATE) == [Configure(VLLM_OPTIONS)]
    assert spoken(dialect) == "vllm"


@pytest.mark.parametrize(
    ("query", "headers"),
    [([("intent", "transcription")], {}), ([], {"openai-beta": "realtime=v1"})],
)
def test_a_handshake_may_decide(query, headers):
    dialect = opened(query, headers)
    decode(dialect, START)
    assert spoken(dialect) == "openai"


def test_a_model_in_the_query_decides_nothing():
    dialect = opened([("model", "voxtral")])
    decode(dialect, START)
    assert spoken(dialect) == "vllm"


def test_the_choice_of_vllm_sets_its_format_before_anything_is_heard():
    assert decode(opened(), START) == [Configure(VLLM_OPTIONS)]
    dialect = opened()
    assert decode(dialect, VLLM_UPDATE) == [Configure(VLLM_OPTIONS)]
    assert decode(dialect, APPEND) == [Audio(b"\0\0")]


def test_a_first_message_at_fault_loses_no_format():
    dialect = opened()
    with pytest.raises(Refused):
        decode(dialect, {"type": "session.update", "model": 7})
    assert decode(dialect, APPEND) == [Configure(VLLM_OPTIONS), Audio(b"\0\0")]


def test_the_hello_is_for_all_and_said_once():
    dialect = opened()
    # Also when it goes out late: the client may have spoken already.
    decode(dialect, START)
    ready = Ready("s1", "tiny", 24000, 480)
    [hello] = map(json.loads, dialect.encode(ready))
    assert hello["type"] == "session.created"
    assert (hello["id"], hello["created"]) == ("sess-s1", 1_800_000_000)
    assert hello["session"]["type"] == "transcription"
    assert dialect.encode(ready) == []


def test_faults_before_the_decision_are_answered_whatever_is_decided(tekken):
    stage = Stage(Echo(tekken), dialect=RealtimePathDialect(), lazy=True)
    requests = decode(stage.dialect, "{")
    decode(stage.dialect, VLLM_UPDATE)
    [answer] = [json.loads(frame) for request in requests for frame in stage.dialect.encode(request)]
    assert answer["error"]["code"] == "invalid_json"


def test_a_conversation_with_vllms_client(tekken):
    native = Stage(Echo(tekken))
    native.send((voice(960) * 32767).astype("<i2").tobytes(), {"type": "end"})
    stage = Stage(Echo(tekken), dialect=RealtimePathDialect())
    stage.send(START, *messages([voice(960)]), FINAL)
    kinds = [message["type"] for message in stage.told]
    assert kinds[0] == "session.created"
    assert kinds[-1] == "transcription.done"
    assert set(kinds[1:-1]) == {"transcription.delta"}
    assert stage.told[-1]["text"] == native.text
    assert stage.engine.opened == 2  # the lease for the format that was assumed, and this one
    assert len(stage.engine.leases) == 1


def test_everything_a_dialect_does_is_passed_on():
    theirs = {name for name, value in vars(Dialect).items() if callable(value)}
    assert theirs <= vars(RealtimePathDialect).keys()
    attributes = {name for name in vars(Dialect) if not name.startswith("_")} - theirs - {"key_in_message"}
    for name in attributes:
        assert getattr(RealtimePathDialect, name) == getattr(OpenAIRealtimeDialect, name)
    dialect, openai = opened(), OpenAIRealtimeDialect()
    assert dialect.refusal(AtCapacity()) == openai.refusal(AtCapacity())
    assert dialect.headers(AtCapacity()) == openai.headers(AtCapacity())
    assert dialect.farewell(1008, "limit_reached") == openai.farewell(1008, "limit_reached")
    assert dialect.idled(60).message == openai.idled(60).message
    dialect.close()
