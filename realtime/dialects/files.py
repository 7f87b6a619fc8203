"""What the vendors' file endpoints have in common: form fields in, one answer or a run of server-sent events out.

A dialect of a file belongs to one request. Like every dialect it is pure translation: what is said comes from a
session, in finals, and goes out in the vendor's words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from realtime.dialects.base import audio_tokens, shown, to_json
from realtime.dialects.running_text import RunningText
from realtime.errors import BadOption, VoxwireError
from realtime.events import Event, Final, Partial, Piece, SessionOptions

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


class BadField(BadOption):
    """A form field or parameter with a value that cannot be. `reason` is the vendors' code for it."""

    def __init__(self, message: str, field: str, reason: str = "invalid_value"):
        super().__init__(message)
        self.field = field
        self.reason = reason


class Fields:
    """Form fields or parameters in order. Those that may repeat are written with and without `[]`."""

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        self._pairs = [(name.removesuffix("[]"), value) for name, value in pairs]

    def __contains__(self, name: str) -> bool:
        return any(name == known for known, _ in self._pairs)

    def every(self, name: str) -> list[str]:
        """All values, those left empty aside."""
        return [value for known, value in self._pairs if known == name and value.strip()]

    def text(self, name: str, default: str = "") -> str:
        """The last value."""
        return (self.every(name) or [default])[-1]

    def flag(self, name: str) -> bool:
        """False where it is not given. Raises BadField for what is neither true nor false."""
        value = self.text(name, "false").strip().lower()
        if value not in (*TRUE, *FALSE):
            raise BadField(f"{name} must be true or false; got {shown(value)}.", name)
        return value in TRUE

    def number(self, name: str, low: float, high: float) -> float | None:
        """None where it is not given. Raises BadField outside `low`..`high`."""
        value = self.text(name)
        return checked_number(name, value, low, high) if value else None

    def choice(self, name: str, values: tuple[str, ...], default: str) -> str:
        return checked_choice(name, self.text(name, default), values)


def checked_number(name: str, value: Any, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not low <= number <= high or isinstance(value, bool):
        raise BadField(f"{name} must be a number from {low:g} to {high:g}; got {shown(value)}.", name)
    return number


def checked_choice(name: str, value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise BadField(f"{name} must be one of {', '.join(values)}; got {shown(value)}.", name)
    return value


@dataclass(frozen=True, slots=True)
class Unboxed:
    """Samples without a container; `encoding` is one of `events.ENCODINGS`."""

    encoding: str
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Heard:
    """All there is to say of a file when it has been heard to its end."""

    model: str
    finals: tuple[Final, ...]  # those with text, in the order in which they came
    audio_ms: int
    channels: int = 1
    request_id: str = ""
    created: str = ""  # ISO 8601
    sha256: str = ""  # of the file, in hexadecimal

    @property
    def text(self) -> str:
        return " ".join(final.text for final in self.finals)

    @property
    def audio_s(self) -> float:
        return self.audio_ms / 1000

    @property
    def audio_tokens(self) -> int:
        return audio_tokens(self.audio_ms)

    @property
    def pieces(self) -> list[Piece]:
        return [piece for final in self.finals for piece in final.pieces or ()]


@dataclass(frozen=True, slots=True)
class Answer:
    body: str
    content_type: str = JSON


class FileDialect:
    """One vendor's request for one file, made of its `Fields`, which raises BadField; `refusal` needs no request."""

    streams = False
    """Whether the answer is a run of server-sent events."""
    multichannel = False
    """Whether each of a file's two channels is transcribed."""
    unboxed: Unboxed | None = None
    """What the body is if it is no container."""

    def __init__(self) -> None:
        self._running = RunningText()

    def options(self, defaults: SessionOptions) -> SessionOptions:
        """Of the stream that the file becomes. Its encoding and rate are the server's."""
        return replace(defaults, interim=self.streams, logprobs=True)

    def answer(self, heard: Heard) -> Answer:
        """The whole answer to a request that does not stream."""
        raise NotImplementedError

    def encode(self, event: Event) -> list[str]:
        """Server-sent events for an event of the session, in the order of events."""
        raise NotImplementedError

    def done(self, heard: Heard) -> list[str]:
        """The last server-sent events."""
        raise NotImplementedError

    def failure(self, error: VoxwireError) -> list[str]:
        """Server-sent events for a fault after the first was sent."""
        raise NotImplementedError

    def _new_text(self, event: Event) -> str:
        """What an event adds to the transcript, of which the finals are joined by spaces. For one channel."""
        match event:
            case Partial():
                return self._running.grow(event.text)
            case Final():
                return self._running.close(event.text)
        return ""

    @classmethod
    def refusal(cls, error: VoxwireError, request_id: str) -> dict[str, Any]:
        """Body of a refusal."""
        raise NotImplementedError

    @classmethod
    def headers(cls, request_id: str, error: VoxwireError | None = None) -> dict[str, str]:
        """What an answer carries besides."""
        return {"x-request-id": request_id}


def server_sent(message: dict[str, Any], name: str = "") -> str:
    """One server-sent event."""
    return (f"event: {name}\n" if name else "") + f"data: {to_json(message)}\n\n"


def server_fault(error: VoxwireError) -> bool:
    return error.http_status >= 500
