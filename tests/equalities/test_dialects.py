"""The same recording through every dialect gives the same words: whatever carries it, there is one session below."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
import pytest

from tests.conversations import stage
from tests.conversations.stage import Echo, Stage, s16
from tests.text.vocabulary import load_tekken

# Sounds that are one word each however a dialect's gate and frames lie over them.
SOUND = np.concatenate(
    [part for _ in range(6) for part in (stage.silence(300), stage.voice(300), stage.silence(900))]
)
WORDS = "one two wonderful three. hello worldé"
LINEAR16 = {"encoding": "linear16", "sample_rate": "16000"}
MEDIA_FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}


@pytest.fixture(scope="module")
def tekken(tmp_path_factory):
    return load_tekken(tmp_path_factory.mktemp("tekken"))


@dataclass(frozen=True)
class Talk:
    """How a client of a dialect begins and ends, and where it finds the text."""

    said: Callable[[dict], str | None]
    """The text that a message settles; None where it settles none."""
    before: tuple = ()
    after: tuple = ()
    query: dict = field(default_factory=dict)


def of(kind: str, *path, where: Callable[[dict], bool] = lambda message: True):
    """Reads the text at `path` of messages of a type."""

    def said(message):
        if message.get("type") != kind or not where(message):
            return None
        for step in path:
            message = message[step]
        return message

    return said


def published(message):
    """What subscribers of a call are told."""
    return of("final", "text")(message.get("publish", {}))


def wyoming(message):
    head, _, data = message.get("text", "").partition("\n")
    is_transcript = head.startswith("{") and json.loads(head)["type"] == "transcript"
    return json.loads(data)["text"] if is_transcript else None


def vosk(message):
    return message.get("text")


COMPLETED = "conversation.item.input_audio_transcription.completed"
RESULTS = of("Results", "channel", "alternatives", 0, "transcript", where=lambda message: message["is_final"])
TALKS = {
    "openai": Talk(of(COMPLETED, "transcript"), after=({"type": "input_audio_buffer.commit"},)),
    "vllm": Talk(
        of("transcription.done", "text"),
        before=({"type": "input_audio_buffer.commit"},),
        after=({"type": "input_audio_buffer.commit", "final": True},),
    ),
    "mistral": Talk(of("transcription.done", "text"), after=({"type": "input_audio.end"},)),
    "deepgram": Talk(RESULTS, after=({"type": "CloseStream"},), query=LINEAR16),
    "flux": Talk(
        of("TurnInfo", "transcript", where=lambda message: message["event"] == "EndOfTurn"),
        after=({"type": "ForceEndTurn"}, {"type": "CloseStream"}),
        query=LINEAR16,
    ),
    "twilio": Talk(
        published,
        before=(
            {"event": "connected", "protocol": "Call", "version": "1.0.0"},
            {
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": "MZ18ad3ab5a668481ce02b83e7395059f0",
                "start": {
                    "accountSid": "AC1",
                    "callSid": "CA1",
                    "streamSid": "MZ18ad3ab5a668481ce02b83e7395059f0",
                    "tracks": ["inbound"],
                    "mediaFormat": MEDIA_FORMAT,
                    "customParameters": {},
                },
            },
        ),
        after=({"event": "stop", "streamSid": "MZ18ad3ab5a668481ce02b83e7395059f0"},),
    ),
    "asterisk": Talk(
        published,
        before=("MEDIA_START connection_id:c channel:WebSocket/c/1 channel_id:1.1 format:slin16 ptime:20",),
    ),
    "audiosocket": Talk(published, before=(b"\x01\x00\x10" + bytes(range(16)),), after=(b"\x00\x00\x00",)),
    "wyoming": Talk(
        wyoming,
        before=(b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}}\n',),
        after=(b'{"type": "audio-stop"}\n',),
    ),
    "vosk": Talk(vosk, after=({"eof": 1},)),
}


def words(dialect: str, tekken) -> str:
    form, talk = import_module(f"tests.conversations.{dialect}.form"), TALKS[dialect]
    it = Stage(Echo(tekken), talk.query, dialect=form.new())
    it.send(*talk.before, *form.messages(SOUND[None]), *talk.after)
    if not talk.after:
        it.send(b"")
    return joined(talk.said, it.told)


def joined(said, told: Iterable[dict]) -> str:
    return " ".join(text for text in map(said, told) if text)


def test_the_native_protocol_says_them(tekken):
    it = Stage(Echo(tekken))
    it.send(s16(SOUND), {"type": "end"})
    assert joined(of("final", "text"), it.told) == WORDS


@pytest.mark.parametrize("dialect", TALKS)
def test_every_dialect_gives_the_same_words(dialect, tekken):
    assert words(dialect, tekken) == WORDS
