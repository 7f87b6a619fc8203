"""Asterisk's chan_websocket: media as binary, events as a line of text, the default, or as JSON.

    MEDIA_START connection_id:voxwire channel:WebSocket/voxwire/0x7f channel_id:1795291200.7 format:slin16 …
    {"event": "MEDIA_START", "connection_id": "voxwire", "channel_id": "1795291200.7", "format": "slin16", …}

Text to Asterisk is a command, so nothing is sent back: who wants the transcript follows the call.
docs/dialects/asterisk.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from realtime.dialects.base import UNREADABLE, Dialect, Frame, Handshake, Publish, Request
from realtime.dialects.telephony import announcement, short
from realtime.errors import BadMessage, BadOption, OutOfOrder
from realtime.events import Audio, Configure, Event, SessionOptions

CALL_PARAMETER = "call_id"
MAX_LINE = 4096
# Asterisk's name of a codec: encoding and Hz.
FORMATS = {
    "ulaw": ("mulaw", 8000),
    "alaw": ("alaw", 8000),
    "slin": ("pcm_s16le", 8000),
    "slin12": ("pcm_s16le", 12_000),
    "slin16": ("pcm_s16le", 16_000),
    "slin24": ("pcm_s16le", 24_000),
    "slin32": ("pcm_s16le", 32_000),
    "slin44": ("pcm_s16le", 44_100),
    "slin48": ("pcm_s16le", 48_000),
}


class AsteriskDialect(Dialect):
    subprotocols = ("media",)

    def __init__(self) -> None:
        self._options = SessionOptions()
        self._query: dict[str, str] = {}
        self._started = False

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        self._options = replace(defaults, encoding="pcm_s16le", sample_rate=8000, channels=1)
        self._query = dict(handshake.query)
        return self._options

    def decode(self, message: Frame) -> list[Request]:
        """Events that are none of ours are ignored. Raises BadMessage, OutOfOrder, and BadOption for a codec that we
        do not decode.
        """
        if not isinstance(message, str):
            if not self._started:
                raise OutOfOrder("Media before MEDIA_START is ignored.")
            return [Audio(bytes(message))]
        fields = _fields(message)
        match fields["event"]:
            case "MEDIA_START":
                return self._start(fields)
            case "DTMF_END":
                return [Publish({"type": "dtmf", "digit": str(fields.get("digit", ""))[:1]})]
            case "ERROR":
                return [Publish({"type": "carrier_error", "message": short(_text(fields.get("error_text")))})]
        return []

    def encode(self, event: Event) -> list[Frame]:
        """Nothing: every text would be a command."""
        return []

    def _start(self, fields: dict[str, Any]) -> list[Request]:
        if self._started:
            raise OutOfOrder("The media has started already.")
        codec = _text(fields.get("format"))
        if codec not in FORMATS:
            raise BadOption(f"The codec must be one of {', '.join(FORMATS)}; choose it with c(...) in Dial.")
        variables = fields.get("channel_variables")
        parameters = {name: value for name, value in self._query.items() if name != CALL_PARAMETER}
        parameters |= variables if isinstance(variables, dict) else {}
        ids = {name: _text(fields.get(name)) for name in ("channel_id", "connection_id", "channel")}
        name = self._query.get(CALL_PARAMETER) or ids["channel_id"] or ids["connection_id"]
        call = announcement("asterisk", name, parameters, **ids, format=codec)
        self._started = True
        encoding, sample_rate = FORMATS[codec]
        return [call, Configure(replace(self._options, encoding=encoding, sample_rate=sample_rate))]


def _fields(message: str) -> dict[str, Any]:
    """An event in either form; its name is under `event`."""
    if not message.lstrip().startswith("{"):
        return _line(message)
    try:
        fields = msgspec.json.decode(message)
    except UNREADABLE:
        raise BadMessage("This is no event of chan_websocket.") from None
    if not isinstance(fields.get("event"), str):
        raise BadMessage("The event has no name.")
    return fields


def _line(message: str) -> dict[str, Any]:
    """`EVENT name:value …`; a value may hold spaces."""
    if len(message) > MAX_LINE:
        raise BadMessage("This is no event of chan_websocket.")
    event, *words = message.split() or [""]
    fields, name = {}, ""
    for word in words:
        key, colon, value = word.partition(":")
        if colon:
            name, fields[key] = key, value
        elif name:
            fields[name] += " " + word
    return fields | {"event": event}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
