"""jambonz's API for custom speech vendors: JSON and 16-bit binary in, transcriptions out. docs/dialects/telephony.md.

    → {"type": "start", "language": "en-US", "format": "raw", "encoding": "LINEAR16", "interimResults": true,
       "sampleRateHz": 8000}      then binary audio, then {"type": "stop"}
    ← {"type": "transcription", "is_final": true, "alternatives": [{"transcript": "…", "confidence": 0.9}], …}

After the last final we close the connection, which jambonz waits for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from realtime.dialects.base import (
    UNREADABLE,
    Dialect,
    Frame,
    Handshake,
    Request,
    mean_confidence,
    to_json,
)
from realtime.errors import BadMessage, BadOption, OutOfOrder
from realtime.events import (
    SAMPLE_RATES_HZ,
    Audio,
    Configure,
    End,
    Error,
    Event,
    Final,
    Partial,
    SessionOptions,
)

CHANNEL = 1  # jambonz sends one


class Message(msgspec.Struct, rename="camel"):
    type: str
    language: str = ""
    format: str = "raw"
    encoding: str = "LINEAR16"
    interim_results: bool = False
    sample_rate_hz: int = 8000


_DECODER = msgspec.json.Decoder(Message)


class JambonzDialect(Dialect):
    def __init__(self) -> None:
        self._options = SessionOptions()
        self._language = ""
        self._started = False

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        self._options = replace(defaults, encoding="pcm_s16le", sample_rate=8000, channels=1)
        return self._options

    def decode(self, message: Frame) -> list[Request]:
        """Unknown types are ignored. Raises BadMessage, OutOfOrder, and BadOption for audio that we do not take."""
        if not isinstance(message, str):
            if not self._started:
                raise OutOfOrder("Audio before 'start' is ignored.")
            return [Audio(bytes(message))]
        try:
            fields = _DECODER.decode(message)
        except UNREADABLE:
            raise BadMessage("This is no message of jambonz.") from None
        if fields.type == "start":
            return self._start(fields)
        return [End()] if fields.type == "stop" else []

    def encode(self, event: Event) -> list[Frame]:
        match event:
            case Partial():
                return [self._transcription(False, {"transcript": event.text})]
            case Final() if event.words:
                alternative = {"transcript": event.text, "confidence": mean_confidence(event.words)}
                return [self._transcription(True, alternative)]
            case Error():
                return [to_json({"type": "error", "error": event.message})]
        return []

    def _start(self, start: Message) -> list[Request]:
        if self._started:
            raise OutOfOrder("The stream has started already.")
        low_hz, high_hz = SAMPLE_RATES_HZ
        is_raw = (start.format, start.encoding) == ("raw", "LINEAR16")
        if not is_raw or not low_hz <= start.sample_rate_hz <= high_hz:
            raise BadOption("The audio must be raw LINEAR16 at 8000 to 48000 Hz.")
        self._started = True
        self._language = start.language
        options = replace(self._options, sample_rate=start.sample_rate_hz, interim=start.interim_results)
        return [Configure(options)]

    def _transcription(self, is_final: bool, alternative: dict[str, Any]) -> Frame:
        return to_json(
            {
                "type": "transcription",
                "is_final": is_final,
                "alternatives": [alternative],
                "language": self._language,
                "channel": CHANNEL,
            }
        )
