"""FreeSWITCH's mod_audio_stream and mod_audio_fork: 16-bit binary in, JSON out, which becomes events of FreeSWITCH.

The modules do not say what they send: the query does, with the options of the native protocol, 8 kHz and one channel
unless it says otherwise. docs/dialects/telephony.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from realtime.dialects.base import Dialect, Frame, Handshake, Request, seconds, to_json
from realtime.dialects.native import NativeDialect
from realtime.events import Audio, Error, Event, Final, KeepAlive, Partial, SessionOptions


class FreeswitchDialect(Dialect):
    subprotocols = ("audio.drachtio.org",)

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        """Raises BadOption with the allowed values."""
        phone = replace(defaults, encoding="pcm_s16le", sample_rate=8000, channels=1)
        return NativeDialect().open(handshake, phone)

    def decode(self, message: Frame) -> list[Request]:
        """Text is the caller's own metadata and means nothing here."""
        return [KeepAlive()] if isinstance(message, str) else [Audio(bytes(message))]

    def encode(self, event: Event) -> list[Frame]:
        match event:
            case Partial():
                fields = {"is_final": False, "text": event.text, "start": seconds(event.start_ms)}
                return [_message("transcription", fields | {"channel": event.channel})]
            case Final() if event.words:
                return [_message("transcription", _final(event))]
            case Error():
                return [_message("error", {"code": event.code, "message": event.message})]
        return []


def _final(event: Final) -> dict[str, Any]:
    words = [
        {
            "text": word.text,
            "start": seconds(word.start_ms),
            "end": seconds(word.end_ms),
            "confidence": word.confidence,
        }
        for word in event.words
    ]
    times = {"start": seconds(event.start_ms), "end": seconds(event.end_ms)}
    return {"is_final": True, "text": event.text, **times, "channel": event.channel, "words": words}


def _message(kind: str, data: dict[str, Any]) -> Frame:
    return to_json({"type": kind, "data": data})
