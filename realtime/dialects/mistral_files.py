"""Mistral's `POST /v1/audio/transcriptions`: one JSON answer, or its own server-sent events."""

from __future__ import annotations

from typing import Any

from realtime.dialects.base import is_empty, seconds, to_json
from realtime.dialects.files import (
    Answer,
    BadField,
    Fields,
    FileDialect,
    Heard,
    checked_choice,
    server_sent,
)
from realtime.dialects.openai_files import GRANULARITIES, error_object, plain
from realtime.errors import VoxwireError
from realtime.events import Event, Final

# Fields that this vendor's clients always write, or that no other vendor knows.
MARKS = ("diarize", "context_bias", "speaker_references", "file_url", "file_id")


def is_mistral(fields: Fields | None, user_agent: str) -> bool:
    """Which of the two vendors a request on their common path is for; before its form was read, by its agent."""
    agent = user_agent.lower()
    if "mistral" in agent:
        return True
    return "openai" not in agent and fields is not None and any(mark in fields for mark in MARKS)


class MistralFiles(FileDialect):
    def __init__(self, fields: Fields):
        super().__init__()
        for name in ("file_url", "file_id"):
            if fields.text(name):
                raise BadField(f"{name} is not offered: send the audio as 'file'.", name, "unsupported_value")
        self.streams = fields.flag("stream")
        fields.flag("diarize")
        fields.number("temperature", 0, 2)
        self._granularities = {
            checked_choice("timestamp_granularities", value, GRANULARITIES)
            for value in fields.every("timestamp_granularities")
        }
        self._language = fields.text("language") or None

    def answer(self, heard: Heard) -> Answer:
        return Answer(to_json(self._whole(heard)))

    def _whole(self, heard: Heard) -> dict[str, Any]:
        segments = [segment for final in heard.finals for segment in self._segments(final)]
        return plain(heard) | {"language": self._language, "segments": segments}

    def _segments(self, final: Final) -> list[dict[str, Any]]:
        """One an utterance, or one a word."""
        if "word" in self._granularities:
            return [
                _segment(word.text, word.start_ms, word.end_ms) | {"score": word.confidence}
                for word in final.words
            ]
        if "segment" in self._granularities:
            return [_segment(final.text, final.start_ms, final.end_ms)]
        return []

    # ------------------------------------------------------------ server-sent events

    def encode(self, event: Event) -> list[str]:
        text = self._new_text(event)
        told = [_sent("transcription.text.delta", {"text": text})] if text else []
        if isinstance(event, Final) and not is_empty(event):
            told += [_sent("transcription.segment", segment) for segment in self._segments(event)]
        return told

    def done(self, heard: Heard) -> list[str]:
        return [_sent("transcription.done", self._whole(heard))]

    def failure(self, error: VoxwireError) -> list[str]:
        return [_sent("error", self.refusal(error, ""))]

    @classmethod
    def refusal(cls, error: VoxwireError, request_id: str) -> dict[str, Any]:
        return {"object": "error"} | error_object(error)


def _segment(text: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    return {
        "type": "transcription_segment",
        "text": text,
        "start": seconds(start_ms),
        "end": seconds(end_ms),
        "speaker_id": None,
    }


def _sent(kind: str, message: dict[str, Any]) -> str:
    return server_sent(message | {"type": kind}, kind)
