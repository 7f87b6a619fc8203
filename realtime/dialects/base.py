"""What every wire format is: a translator between one client's messages and the session's commands and events.

A dialect decides nothing about speech. It belongs to one connection, is called from one thread, and does no I/O: what
it has to say on its own goes out as `Reply`, in order with what the session says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from realtime.errors import LimitReached, VoxwireError
from realtime.events import FRAME_MS, Command, Event, SessionOptions, Word

Frame = str | bytes
"""One message: text or binary. On a plain byte stream its bytes are simply written."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client said when it connected."""

    query: tuple[tuple[str, str], ...] = ()  # in order; names may repeat
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case, no credentials among them
    grant: Any = None  # what was agreed when the client's short-lived key was made

    def last(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
        return dict(self.query).get(name, default)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the client: goes out behind everything that the session has said so far."""

    frame: Frame
    error: str = ""  # the code under which it is counted, if it tells of a fault of the client's


@dataclass(frozen=True, slots=True)
class Note:
    """Something of the dialect's own, which comes back to `encode` behind everything that the session has said so far.

    For what depends on how far the client has been told, e.g. which item a command closes.
    """

    value: Any
    error: str = ""  # as that of a `Reply`


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key that came within a message. Nothing else is obeyed before one was accepted."""

    key: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection, when everything said so far has been sent."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Announce:
    """What the stream says from now on is told to subscribers as well, under this name. At most once.

    They are told the `details` first, which hold no credentials.
    """

    name: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell subscribers, and nobody else, what is no event of the session. A JSON object with a `type`."""

    message: Mapping[str, Any]


Request = Command | Reply | Note | Credentials | HangUp | Announce | Publish


class Dialect:
    """One wire format, for one connection. Methods raise VoxwireError for what a client got wrong."""

    subprotocols: tuple[str, ...] = ()
    """Offered names that are no keys: the first of them that the client knows is selected."""
    largest_message_bytes = 0
    """What the vendor promises to take; the server's own limit where that is larger."""
    idle_timeout_s: float | None = None
    """Where the vendor's clients expect to be cut off sooner or later than the server's setting says."""
    key_in_message = False
    """Whether clients that cannot set headers send their key in a message (`Credentials`)."""

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        """Options of the stream as far as the handshake decides them."""
        return defaults

    def decode(self, message: Frame) -> Iterable[Request]:
        """One message of the client: bytes for binary, str for text.

        A plain byte stream comes cut anywhere, and as an empty message when the client will send no more. Where a
        small message becomes much audio the requests are made as they are taken, so that others have their turn.
        """
        raise NotImplementedError

    def encode(self, event: Event | Note) -> list[Frame]:
        """What the client is told of an event, which may be nothing. Called in the order of events. A `Note` is one
        that `decode` has made.
        """
        raise NotImplementedError

    def refusal(self, error: VoxwireError) -> dict[str, Any]:
        """Body of the HTTP answer when the connection is refused before the upgrade."""
        return {"type": "error", "code": error.code, "message": error.message, "fatal": True}

    def headers(self, error: VoxwireError | None = None) -> Mapping[str, str]:
        """Headers besides the usual ones, of the upgrade or of the refusal for `error`."""
        return {}

    def idled(self, timeout_s: float) -> VoxwireError:
        """Why a client that sent nothing for so long is cut off."""
        return LimitReached(f"No message for {timeout_s:g} s.")

    def farewell(self, code: int, reason: str) -> tuple[int, str]:
        """Close code and reason in the vendor's terms. `reason` is an error's code, or empty after a good end."""
        return code, reason

    def close(self) -> None:
        """The connection is over, however it ended: give back what is held."""


# What Voxtral Realtime hears, as vendors write it: by code, and in words.
LANGUAGES = {
    "ar": "arabic",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "nl": "dutch",
    "pt": "portuguese",
    "ru": "russian",
    "zh": "chinese",
}
# What reading a client's JSON raises: not JSON, not of the type that is wanted, or nested too deeply.
UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


def to_json(message: Any) -> str:
    return msgspec.json.encode(message).decode()


def is_empty(event: Any) -> bool:
    """Whether a final says that the gate had opened on something that was no word."""
    return not event.text and event.reason != "flush"


def shown(value: Any) -> str:
    """A value of the client for a message to the client: short, whatever it was."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} that is nested too deeply"
    return text if len(text) <= 60 else text[:57] + "..."


def within(value: int, low: int, high: int) -> int:
    """`value`, or the bound that it passes."""
    return min(max(value, low), high)


def seconds(ms: int) -> float:
    return ms / 1000


def audio_tokens(audio_ms: int) -> int:
    """Frames of 80 ms: each is one token to the model."""
    return -(-audio_ms // FRAME_MS)


def mean_confidence(words: Sequence[Word]) -> float:
    """Of a text: the mean of its words, 0 without any."""
    return round(sum(word.confidence for word in words) / len(words), 4) if words else 0.0
