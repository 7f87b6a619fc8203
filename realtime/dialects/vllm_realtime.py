"""vLLM's realtime endpoint: 16 kHz PCM in base64, no turns, one text for each utterance that the client commits.

It shares `/v1/realtime` with OpenAI's protocol, whose hello serves both; see realtime_path.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import msgspec

from realtime.dialects.base import UNREADABLE, Dialect, Frame, Handshake, Note, audio_tokens, to_json
from realtime.dialects.running_text import RunningText
from realtime.errors import BadMessage
from realtime.events import (
    SAMPLE_BYTES,
    Audio,
    Command,
    Error,
    Event,
    Final,
    Flush,
    Partial,
    SessionOptions,
)

ENCODING, RATE_HZ = "pcm_s16le", 16000
CODES = {  # ours: the vendor's
    "bad_message": "invalid_event",
    "bad_audio": "invalid_audio",
    "internal_error": "processing_error",
    "engine_failed": "processing_error",
}


class SessionUpdate(msgspec.Struct, tag="session.update"):
    model: str


class BufferAppend(msgspec.Struct, tag="input_audio_buffer.append"):
    audio: bytes  # base64 on the wire


class BufferCommit(msgspec.Struct, tag="input_audio_buffer.commit"):
    final: bool | None = None


class Envelope(msgspec.Struct):
    type: Any = None


MESSAGES = (SessionUpdate, BufferAppend, BufferCommit)
TYPES = [message.__struct_config__.tag for message in MESSAGES]
_DECODE = msgspec.json.Decoder(SessionUpdate | BufferAppend | BufferCommit).decode
_ENVELOPE = msgspec.json.Decoder(Envelope).decode


class Refused(BadMessage):
    """A message at fault, with the vendor's code. The stream goes on."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class VllmRealtimeDialect(Dialect):
    def __init__(self) -> None:
        self._heard_bytes = 0
        self._committed_ms: deque[int] = deque()  # stream time of the final commits that were not answered
        self._summed_ms = 0  # stream time of the last one that was
        self._text = RunningText()

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        return replace(defaults, encoding=ENCODING, sample_rate=RATE_HZ, channels=1, interim=True)

    def decode(self, message: Frame) -> list[Command]:
        match self._parsed(message):
            case BufferAppend(b""):
                raise Refused("invalid_audio", "The audio is empty.")
            case BufferAppend(data):
                self._heard_bytes += len(data)
                return [Audio(data)]
            case BufferCommit(final=True):
                self._committed_ms.append(self._heard_bytes // SAMPLE_BYTES[ENCODING] * 1000 // RATE_HZ)
                return [Flush()]
            case (
                _
            ):  # a model, whose name changes nothing, or the start of an utterance, which is heard anyway
                return []

    def encode(self, event: Event | Note) -> list[Frame]:
        match event:
            case Partial(text=text):
                messages = self._delta(self._text.grow(text))
            case Final(text=text, reason=reason):
                messages = self._delta(self._text.close(text))
                if reason == "flush":
                    messages.append(self._done(self._committed_ms.popleft()))
            case Error(code, text):
                messages = [{"type": "error", "error": text, "code": CODES.get(code, code)}]
            case _:
                messages = []
        return [to_json(message) for message in messages]

    def _parsed(self, message: Frame) -> SessionUpdate | BufferAppend | BufferCommit:
        if not isinstance(message, str):
            raise Refused(
                "invalid_event", "Audio is sent as base64 in 'input_audio_buffer.append', not as binary."
            )
        try:
            return _DECODE(message)
        except UNREADABLE as error:
            raise _refused(message, str(error)) from None

    def _delta(self, text: str) -> list[dict[str, Any]]:
        return [{"type": "transcription.delta", "delta": text}] if text else []

    def _done(self, until_ms: int) -> dict[str, Any]:
        """Everything since the last one. Of the usage only the audio is known here."""
        n_tokens = audio_tokens(until_ms - self._summed_ms)
        self._summed_ms = until_ms
        usage = {"prompt_tokens": n_tokens, "completion_tokens": 0, "total_tokens": n_tokens}
        return {"type": "transcription.done", "text": self._text.take(), "usage": usage}


def _refused(message: str, reason: str) -> Refused:
    try:
        kind = _ENVELOPE(message).type
    except UNREADABLE:
        return Refused("invalid_json", "A message must be a JSON object.")
    if kind == "input_audio_buffer.append":
        return Refused("invalid_audio", f"{reason}.")
    if kind in TYPES:
        return Refused("invalid_event", f"{kind}: {reason}.")
    return Refused("unknown_event", f"'type' must be one of {', '.join(TYPES)}.")
