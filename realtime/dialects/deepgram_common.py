"""What Deepgram's two live protocols share, and its files in part: audio as the query tells it, words, refusals."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from realtime.dialects.base import UNREADABLE, Dialect, Frame, Handshake, Request, seconds, shown
from realtime.errors import BadMessage, BadOption, VoxwireError
from realtime.events import (
    SAMPLE_BYTES,
    SAMPLE_RATES_HZ,
    Audio,
    End,
    Final,
    SessionOptions,
    SpeechStarted,
    SpeechStopped,
    Word,
)

PLAIN = {"linear16": "pcm_s16le", "linear32": "pcm_f32le", "mulaw": "mulaw", "alaw": "alaw"}
PACKED = ("opus", "ogg-opus", "flac", "speex", "amr-nb", "amr-wb", "g729")
UNPACKED_HZ = 16_000  # of all that was packed
IDLE_TIMEOUT_S = 10.0
PIECE_BYTES = 8192  # of audio at once: `heard_ms` must not be far ahead of what the session has told

TRUE = ("true", "1", "yes", "on")
OUTER_PUNCTUATION = re.compile(r"^[^\w]+|[^\w]+$")
ARCH = "voxtral-realtime"
ERROR_NAMES = {  # by HTTP status
    400: "Bad Request",
    401: "INVALID_AUTH",
    403: "INSUFFICIENT_PERMISSIONS",
    408: "Request Timeout",
    413: "Payload Too Large",
    429: "TOO_MANY_REQUESTS",
    503: "Service Unavailable",
}
# Faults of ours: the vendor's code says that no text came.
NO_TEXT = ("internal_error", "engine_failed", "at_capacity")


class NoAudio(VoxwireError):
    """Neither audio nor a message for too long."""

    code = "NET-0001"
    http_status = 408
    close_code = 1011


class Unpacker(Protocol):
    """See realtime/audio/containers.py."""

    def push(self, data: bytes) -> Iterator[bytes]: ...
    def end(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


NewUnpacker = Callable[[str | None, int, int, bool], Unpacker]
"""Makes an unpacker for an encoding (None: a container), its sample rate and channels, and whether these are mixed."""


class Query:
    """Parameters of the URL. Unknown names are ignored, as the vendor does."""

    def __init__(self, handshake: Handshake):
        self._handshake = handshake

    def text(self, name: str) -> str:
        return self._handshake.last(name).strip()

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in TRUE

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number, None where it is not given. Raises BadOption outside `low`..`high`."""
        text = self.text(name)
        if not text:
            return None
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise BadOption(f"{name} must be a whole number from {low} to {high}; got {shown(text)}.")
        return int(text)

    def fraction(self, name: str, low: float, high: float) -> float | None:
        """A number, None where it is not given. Raises BadOption outside `low`..`high`."""
        text = self.text(name)
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{0,3}\.?[0-9]{1,9}", text) or not low <= float(text) <= high:
            raise BadOption(f"{name} must be a number from {low} to {high}; got {shown(text)}.")
        return float(text)


class Intake:
    """The client's bytes as the session takes them, and the stream time they make."""

    def __init__(self, query: Query, encodings: Sequence[str], multichannel: bool, new_unpacker: NewUnpacker):
        """Raises BadOption for audio that cannot be taken. The unpacker begins with the first bytes."""
        self._encoding = _encoding(query, encodings)
        self._new_unpacker = new_unpacker
        self._rate_hz = _rate_hz(query, self._encoding)
        self._wire_channels = query.whole("channels", 1, 2) or 1
        # A container tells its channels too late to be asked.
        self.channels = 2 if multichannel and (self._wire_channels == 2 or not self._encoding) else 1
        self._plain = self._encoding in PLAIN and self.channels == self._wire_channels
        self._unpacker: Unpacker | None = None
        self._bytes = 0

    def options(self, options: SessionOptions) -> SessionOptions:
        """`options` with the audio as the session will get it."""
        if self._plain:
            encoding, rate_hz = PLAIN[self._encoding], self._rate_hz
        elif self._encoding in PLAIN:
            encoding, rate_hz = "pcm_s16le", self._rate_hz
        else:
            encoding, rate_hz = "pcm_s16le", UNPACKED_HZ
        self._bytes_per_s = SAMPLE_BYTES[encoding] * self.channels * rate_hz
        return replace(options, encoding=encoding, sample_rate=rate_hz, channels=self.channels)

    def push(self, data: bytes) -> Iterator[Audio]:
        """Audio for the session, made as it is taken. Raises BadAudio for what cannot be decoded."""
        if self._plain:
            for at in range(0, len(data), PIECE_BYTES):
                yield self._heard(data[at : at + PIECE_BYTES])
            return
        if self._unpacker is None:
            mixed = self.channels == 1
            self._unpacker = self._new_unpacker(
                self._encoding or None, self._rate_hz, self._wire_channels, mixed
            )
        yield from map(self._heard, self._unpacker.push(data))

    def end(self) -> Iterator[Audio]:
        """What was still inside."""
        if self._unpacker is not None:
            yield from map(self._heard, self._unpacker.end())

    @property
    def heard_ms(self) -> int:
        """Stream time of all audio so far."""
        return self._bytes * 1000 // self._bytes_per_s

    def close(self) -> None:
        if self._unpacker is not None:
            self._unpacker.close()

    def _heard(self, data: bytes) -> Audio:
        self._bytes += len(data)
        return Audio(data)


class Pauses:
    """When somebody spoke on one channel, as far as the client was told. In stream time, so that how late a final is
    changes nothing.
    """

    def __init__(self) -> None:
        self.ended_ms = 0  # end of the last speech whose text is told
        self._spoken: deque[list[int]] = (
            deque()
        )  # start, and end if it is known, of speech whose final is still to come

    def note(self, event: SpeechStarted | SpeechStopped) -> None:
        if isinstance(event, SpeechStarted):
            self._spoken.append([event.at_ms])
        elif self._spoken:
            self._spoken[-1].append(event.at_ms)

    def settle(self, final: Final) -> None:
        """The final of the oldest speech, or one that a flush was answered with although nobody spoke."""
        if final.reason == "length" or not self._spoken or len(self._spoken[0]) < 2:
            return
        start_ms, end_ms = self._spoken[0]
        if final.reason == "silence" or start_ms <= final.end_ms:
            self._spoken.popleft()
            self.ended_ms = end_ms

    def silent_until(self, heard_ms: int) -> int:
        """Where the silence behind what was told ends: where somebody speaks again, or where the audio ends so far."""
        return self._spoken[0][0] if self._spoken else heard_ms


class LiveDialect(Dialect):
    """Connect, end and disconnect as both protocols do it."""

    idle_timeout_s = IDLE_TIMEOUT_S
    intake: Intake | None = None

    def __init__(self, new_unpacker: NewUnpacker, request_id: str):
        self.new_unpacker = new_unpacker
        self.request_id = request_id
        self._closing = False

    def decode(self, message: Frame) -> Iterable[Request]:
        """Behind CloseStream nothing is heard."""
        if self._closing:
            return []
        if isinstance(message, str):
            return self.read(message)
        return self.hear(bytes(message)) if message else self.end()

    def read(self, message: str) -> Iterable[Request]:
        """A text message."""
        raise NotImplementedError

    def hear(self, data: bytes) -> Iterator[Request]:
        """A binary message that is not empty."""
        raise NotImplementedError

    def end(self) -> Iterator[Request]:
        """CloseStream, or an empty message."""
        self._closing = True
        yield from self.intake.end()
        yield End()

    def refusal(self, error: VoxwireError) -> dict[str, Any]:
        return refusal(error, self.request_id)

    def headers(self, error: VoxwireError | None = None) -> dict[str, str]:
        return headers(self.request_id, error)

    def idled(self, timeout_s: float) -> VoxwireError:
        return NoAudio(f"Neither audio nor a text message came for {timeout_s:g} s.")

    def farewell(self, code: int, reason: str) -> tuple[int, str]:
        if reason == "bad_audio":
            return 1008, "DATA-0000"
        if reason in NO_TEXT:
            return 1011, "NET-0000"
        return code, reason

    def close(self) -> None:
        if self.intake is not None:
            self.intake.close()


def refusal(error: VoxwireError, request_id: str) -> dict[str, Any]:
    """The old shape and the new one: clients read either."""
    name = ERROR_NAMES.get(error.http_status, error.code)
    return {
        "err_code": name,
        "err_msg": error.message,
        "category": name,
        "message": error.message,
        "details": error.message,
        "request_id": request_id,
    }


def headers(request_id: str, error: VoxwireError | None = None) -> dict[str, str]:
    told = {"dg-request-id": request_id}
    if error is not None:
        told["dg-error"] = error.message.encode("ascii", "replace").decode()
    return told


def text_message(message: Frame) -> tuple[str, dict[str, Any]]:
    """Type and fields of a client's text message. Raises BadMessage."""
    try:
        fields = msgspec.json.decode(message)
    except UNREADABLE:
        raise BadMessage("A text message must be a JSON object; audio is sent as binary.") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise BadMessage("A text message must be a JSON object with a 'type'.")
    return fields["type"], fields


def configure_fault(answer: dict[str, Any]) -> str:
    """The code under which an answer to `Configure` is counted, empty for a good one."""
    return BadOption.code if answer["type"] == "ConfigureFailure" else ""


def bare(word: str) -> str:
    """A word as the vendor gives it beside the punctuated one."""
    return OUTER_PUNCTUATION.sub("", word).lower() or word


def told_word(word: Word, not_before_ms: int = 0) -> dict[str, Any]:
    """Starts are estimates: none is told to lie before its window."""
    return {
        "word": bare(word.text),
        "start": seconds(max(word.start_ms, not_before_ms)),
        "end": seconds(max(word.end_ms, not_before_ms)),
        "confidence": word.confidence,
        "punctuated_word": word.text,
    }


def model_info(model: str) -> dict[str, str]:
    return {"name": model, "version": "", "arch": ARCH}


def _encoding(query: Query, encodings: Sequence[str]) -> str:
    """Empty for a container."""
    encoding = query.text("encoding").lower()
    if encoding and encoding not in encodings:
        raise BadOption(f"encoding must be one of {', '.join(encodings)}; got {shown(encoding)}.")
    return encoding


def _rate_hz(query: Query, encoding: str) -> int:
    """Needed where the bytes do not tell it."""
    rate_hz = query.whole("sample_rate", *SAMPLE_RATES_HZ) if encoding else None
    if rate_hz is None and encoding in (*PLAIN, "speex"):
        raise BadOption(f"sample_rate is needed with encoding={encoding}.")
    return rate_hz or SAMPLE_RATES_HZ[1]
