"""The native protocol, version 1: binary audio and JSON text both ways. docs/protocol.md is its specification."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from realtime.dialects.base import UNREADABLE, Dialect, Frame, Handshake, is_empty, shown, to_json
from realtime.errors import BadMessage, BadOption
from realtime.events import (
    DELAYS_MS,
    ENCODINGS,
    HANGOVERS_MS,
    PRE_ROLLS_MS,
    SAMPLE_RATES_HZ,
    Audio,
    Command,
    Configure,
    Done,
    End,
    Error,
    Event,
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
)

PROTOCOL = 1

# ---------------------------------------------------------------- options


@dataclass(frozen=True, slots=True)
class Range:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def from_text(self, text: str) -> Any:
        return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else text

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few values of one type."""

    values: tuple[Any, ...]

    def from_text(self, text: str) -> Any:
        return next((value for value in self.values if _spelled(value) == text), text)

    def accepts(self, value: Any) -> bool:
        return any(type(value) is type(known) and value == known for known in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(map(_spelled, self.values))


OPTIONS: dict[str, Range | OneOf] = {
    "encoding": OneOf(ENCODINGS),
    "sample_rate": Range(*SAMPLE_RATES_HZ),
    "channels": Range(1, 2),
    "delay_ms": OneOf(DELAYS_MS),
    "interim": OneOf((True, False)),
    "max_utterance_ms": Range(1000, 600_000),
    "vad": OneOf(("on", "off")),
    "vad_aggressiveness": Range(0, 3),
    "pre_roll_ms": Range(*PRE_ROLLS_MS),
    "onset_ms": Range(10, 1000),
    "hangover_ms": Range(*HANGOVERS_MS),
}


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checked(name: str, value: Any) -> Any:
    kind = _kind(name)
    if not kind.accepts(value):
        raise BadOption(f"{name} must be {kind}; got {shown(value)}.")
    return value


def _kind(name: str) -> Range | OneOf:
    if name not in OPTIONS:
        raise BadOption(f"There is no option {shown(name)}. Options are {', '.join(OPTIONS)}.")
    return OPTIONS[name]


def _flat(options: SessionOptions) -> dict[str, Any]:
    gate = options.gate
    return {
        "encoding": options.encoding,
        "sample_rate": options.sample_rate,
        "channels": options.channels,
        "delay_ms": options.delay_ms,
        "interim": options.interim,
        "max_utterance_ms": options.max_utterance_ms,
        "vad": "on" if gate.enabled else "off",
        "vad_aggressiveness": gate.aggressiveness,
        "pre_roll_ms": gate.pre_roll_ms,
        "onset_ms": gate.onset_ms,
        "hangover_ms": gate.hangover_ms,
    }


def _options(flat: Mapping[str, Any]) -> SessionOptions:
    return SessionOptions(
        encoding=flat["encoding"],
        sample_rate=flat["sample_rate"],
        channels=flat["channels"],
        delay_ms=flat["delay_ms"],
        interim=flat["interim"],
        max_utterance_ms=flat["max_utterance_ms"],
        gate=GateOptions(
            enabled=flat["vad"] == "on",
            aggressiveness=flat["vad_aggressiveness"],
            pre_roll_ms=flat["pre_roll_ms"],
            onset_ms=flat["onset_ms"],
            hangover_ms=flat["hangover_ms"],
        ),
    )


# ---------------------------------------------------------------- messages

_COMMANDS: dict[str, Command] = {"flush": Flush(), "end": End(), "keepalive": KeepAlive()}
_TYPES: dict[type, str] = {
    Ready: "ready",
    SpeechStarted: "speech_started",
    SpeechStopped: "speech_stopped",
    Partial: "partial",
    Final: "final",
    Gap: "gap",
    Warning_: "warning",
    Error: "error",
    Done: "done",
}


class NativeDialect(Dialect):
    """One per connection: it remembers the options, because `configure` may give some of them only."""

    def __init__(self) -> None:
        self._options = SessionOptions()

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        """Options of the URL's query over `defaults`. Raises BadOption with the allowed values."""
        query = dict(handshake.query)
        if len(query) < len(handshake.query):
            raise BadOption("An option is given twice.")
        given = {name: _checked(name, _kind(name).from_text(text)) for name, text in query.items()}
        self._options = _options(_flat(defaults) | given)
        return self._options

    def decode(self, message: Frame) -> list[Command]:
        """One message of the client: bytes for binary, str for text. Raises BadMessage or BadOption."""
        if not isinstance(message, str):
            return [Audio(bytes(message))]
        fields = _object(message)
        kind = fields.pop("type", None)
        if kind == "configure":
            return [self._configure(fields)]
        if not isinstance(kind, str) or kind not in _COMMANDS:
            known = ", ".join(["configure", *_COMMANDS])
            raise BadMessage(f"'type' must be one of {known}; got {shown(kind)}. Audio is sent as binary.")
        if fields:
            raise BadMessage(f"'{kind}' has no field {shown(next(iter(fields)))}.")
        return [_COMMANDS[kind]]

    def encode(self, event: Event) -> list[Frame]:
        """One event as one message; a final without text only where a flush asked for it."""
        if isinstance(event, Final) and is_empty(event):
            return []
        fields = {name: getattr(event, name) for name in event.__slots__}
        message = {"type": _TYPES[type(event)]}
        message |= {name: value for name, value in fields.items() if value is not None}
        if isinstance(event, Ready):
            message["protocol"] = PROTOCOL
        return [to_json(message)]

    def _configure(self, fields: dict[str, Any]) -> Configure:
        given = {name: _checked(name, value) for name, value in fields.items()}
        self._options = _options(_flat(self._options) | given)
        return Configure(self._options)


def _object(text: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except UNREADABLE:
        raise BadMessage("A text message must be a JSON object; audio is sent as binary.") from None
    if not isinstance(value, dict):
        raise BadMessage("A text message must be a JSON object.")
    return value
