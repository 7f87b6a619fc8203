"""The native protocol, version 1, seen from the client: options become a query, messages become events.

Text goes in and out; nothing here touches a socket. All times are milliseconds of stream time: 0 is the first
sample that was sent. A message of an unknown type becomes `Unknown`, so that an older client survives a newer
server.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from client.errors import BadReply

DEFAULT_URL = "ws://127.0.0.1:8000/v1/stream"
PATH = "/v1/stream"
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000

FLUSH = json.dumps({"type": "flush"})
END = json.dumps({"type": "end"})
KEEPALIVE = json.dumps({"type": "keepalive"})


# ---------------------------------------------------------------- what the client chooses


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one stream. `None` leaves the choice to the server."""

    encoding: str = "pcm_s16le"  # pcm_s16le | pcm_f32le | mulaw | alaw
    sample_rate: int = 16_000  # 8000..48000 Hz
    channels: int = 1  # 1 or 2; with 2 every channel is transcribed and labelled
    delay_ms: int | None = None  # 80..1200 in steps of 80, or 2400
    vad: bool | None = None
    hangover_ms: int | None = None
    interim: bool | None = None

    def query(self) -> dict[str, str]:
        """The options as query parameters."""
        query = {
            "encoding": self.encoding,
            "sample_rate": str(self.sample_rate),
            "channels": str(self.channels),
        }
        if self.delay_ms is not None:
            query["delay_ms"] = str(self.delay_ms)
        if self.vad is not None:
            query["vad"] = "on" if self.vad else "off"
        if self.hangover_ms is not None:
            query["hangover_ms"] = str(self.hangover_ms)
        if self.interim is not None:
            query["interim"] = "true" if self.interim else "false"
        return query


def base_url(url: str) -> str:
    """`http://host:8000` and `ws://host:8000` both name the stream; a path or query that is there is kept.

    Raises ValueError if it is no such address.
    """
    parts = urlsplit(url.strip())
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f"not a server address: {url!r} (expected something like {DEFAULT_URL})")
    parts.port  # noqa: B018  raises ValueError when the port is no number
    path = PATH if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def stream_url(url: str, options: Options) -> str:
    """The address with the options as its query. Raises ValueError for a bad address."""
    parts = urlsplit(base_url(url))
    query = dict(parse_qsl(parts.query)) | options.query()
    return urlunsplit(parts._replace(query=urlencode(query)))


# ---------------------------------------------------------------- what the server says


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    session_id: str
    model: str
    sample_rate: int
    delay_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    at_ms: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    at_ms: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Partial:
    """`text` is the whole utterance so far and only grows; `audio_ms` is the audio that the model heard."""

    utterance: int
    text: str
    start_ms: int
    audio_ms: int
    delta: str = ""
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Final:
    """The finished utterance. `reason`: silence, flush, end, length, or `lost` where the connection broke."""

    utterance: int
    text: str
    start_ms: int
    end_ms: int
    words: tuple[Word, ...] = ()
    reason: str = ""
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    from_ms: int
    to_ms: int
    reason: str = ""
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Warned:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An `error` message. When `fatal`, the connection closes next."""

    code: str
    message: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    audio_ms: int
    speech_ms: int
    utterances: int


@dataclass(frozen=True, slots=True)
class Unknown:
    type: str
    fields: dict[str, Any] = field(default_factory=dict)


Event = Ready | SpeechStarted | SpeechStopped | Partial | Final | Gap | Warned | Failed | Done | Unknown

_CLASSES: dict[str, type] = {
    "ready": Ready,
    "speech_started": SpeechStarted,
    "speech_stopped": SpeechStopped,
    "partial": Partial,
    "final": Final,
    "gap": Gap,
    "warning": Warned,
    "error": Failed,
    "done": Done,
}
_FIELDS = {cls: tuple(f.name for f in fields(cls)) for cls in (*_CLASSES.values(), Word)}


def _build(cls: type, message: dict[str, Any]) -> Any:
    return cls(**{name: message[name] for name in _FIELDS[cls] if name in message})


def parse(text: str) -> Event:
    """One message of the server. Raises BadReply if it is no JSON object or lacks a field."""
    try:
        message = json.loads(text)
        kind = message["type"]
        cls = _CLASSES.get(kind)
        if cls is None:
            return Unknown(kind, message)
        if cls is Final:
            message["words"] = tuple(_build(Word, word) for word in message.get("words", ()))
        return _build(cls, message)
    except (ValueError, TypeError, KeyError) as error:
        raise BadReply(f"The server sent a message that is not of this protocol: {text[:80]!r}") from error


_STARTS = ("start_ms", "at_ms", "from_ms")
_ENDS = ("end_ms", "to_ms", "audio_ms")


def move_times(event: Event, start_to: Callable[[int], int], end_to: Callable[[int], int]) -> Event:
    """The same event on another clock: what begins goes through `start_to`, what ends through `end_to`."""
    if isinstance(event, Unknown):
        return event
    names = _FIELDS[type(event)]
    moved: dict[str, Any] = {name: start_to(getattr(event, name)) for name in names if name in _STARTS}
    moved |= {name: end_to(getattr(event, name)) for name in names if name in _ENDS}
    if isinstance(event, Final):
        moved["words"] = tuple(
            replace(word, start_ms=start_to(word.start_ms), end_ms=end_to(word.end_ms))
            for word in event.words
        )
    return replace(event, **moved) if moved else event
