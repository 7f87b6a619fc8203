"""Wyoming, the protocol of Home Assistant's voice services over TCP: its speech-to-text part.

event = header, a line of JSON {type, data?, data_length?, payload_length?} + data_length bytes of JSON + payload

transcribe → audio-start → audio-chunk… → audio-stop        one request; a connection may hold several
transcript-start ← transcript-chunk… ← transcript ← transcript-stop
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from realtime.dialects.base import (
    LANGUAGES,
    UNREADABLE,
    Dialect,
    Frame,
    Handshake,
    Reply,
    Request,
    is_empty,
    to_json,
)
from realtime.dialects.running_text import RunningText
from realtime.errors import BadMessage, BadOption
from realtime.events import (
    SAMPLE_RATES_HZ,
    Audio,
    Done,
    End,
    Error,
    Event,
    Final,
    Flush,
    Partial,
    Reconfigure,
    SessionOptions,
)

# Audio may be of any length, it is never kept.
LARGEST_HEADER_BYTES = 1 << 16  # what the protocol's own package reads
LARGEST_DATA_BYTES = 1 << 20
BUNDLED_MODEL = "voxwire-tiny"


class BadEvent(BadMessage):
    """Bytes that are no event: where the next one begins is unknown."""

    fatal = True


# ---------------------------------------------------------------- bytes → events


Length = Annotated[int, msgspec.Meta(ge=0)]


class Header(msgspec.Struct):
    type: str
    data: dict[str, Any] | None = None
    data_length: Length | None = None
    payload_length: Length | None = None


class Incoming(msgspec.Struct):
    """One event without its payload."""

    type: str
    data: dict[str, Any]


class Framing:
    """Bytes that are cut anywhere → events, each followed by the pieces of its payload as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header: Header | None = None  # its data is still to come
        self._payload_bytes = 0  # still to come

    def push(self, data: bytes) -> list[Incoming | bytes]:
        """What `data` completes. Raises BadEvent."""
        self._buffer += data
        items = []
        while (item := self._next()) is not None:
            items.append(item)
        return items

    def _next(self) -> Incoming | bytes | None:
        if self._payload_bytes:
            piece = self._take(min(self._payload_bytes, len(self._buffer)))
            self._payload_bytes -= len(piece)
            return piece or None
        if self._header is None and (line := self._line()) is not None:
            self._header = _header(line)
        if self._header is None or len(self._buffer) < (self._header.data_length or 0):
            return None
        header, self._header = self._header, None
        data = (header.data or {}) | _data(self._take(header.data_length or 0))
        self._payload_bytes = header.payload_length or 0
        return Incoming(header.type, data)

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if (len(self._buffer) if end < 0 else end) > LARGEST_HEADER_BYTES:
            raise BadEvent(f"A header has at most {LARGEST_HEADER_BYTES} bytes.")
        return None if end < 0 else self._take(end + 1)

    def _take(self, n_bytes: int) -> bytes:
        taken = bytes(self._buffer[:n_bytes])
        del self._buffer[:n_bytes]
        return taken


def _header(line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except UNREADABLE as error:
        raise BadEvent(f"An event begins with a line of JSON: {error}.") from None
    if (header.data_length or 0) > LARGEST_DATA_BYTES:
        raise BadEvent(f"The data of an event has at most {LARGEST_DATA_BYTES} bytes.")
    return header


def _data(text: bytes) -> dict[str, Any]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except UNREADABLE as error:
        raise BadEvent(f"The data of an event is a JSON object: {error}.") from None


# ---------------------------------------------------------------- audio


class Format(msgspec.Struct, frozen=True):
    rate: Annotated[int, msgspec.Meta(ge=SAMPLE_RATES_HZ[0], le=SAMPLE_RATES_HZ[1])]
    width: Literal[1, 2, 4]  # bytes of a sample
    channels: Literal[1, 2]


def _format(event: Incoming) -> Format:
    try:
        return msgspec.convert(event.data, Format)
    except msgspec.ValidationError as error:
        raise BadOption(
            f"{event.type}: {error}. Audio has a rate of 8000 to 48000 Hz, a width of 1, 2 or 4 bytes "
            "and 1 or 2 channels."
        ) from None


class Mono:
    """PCM of one format → pcm_s16le of one channel; what is left of a sample is kept until the rest arrives."""

    def __init__(self, format_: Format):
        self._to_s16 = _TO_S16[format_.width]
        self._mix = format_.channels == 2
        self._step_bytes = format_.width * format_.channels
        self._rest = b""

    def push(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) - len(data) % self._step_bytes
        self._rest = data[whole:]
        samples = self._to_s16(data[:whole])
        return _mixed(samples) if self._mix else samples


def _from_u8(data: bytes) -> bytes:
    out = bytearray(2 * len(data))
    out[1::2] = data.translate(_SIGNED)
    return bytes(out)


def _from_s32le(data: bytes) -> bytes:
    out = bytearray(len(data) // 2)
    out[0::2], out[1::2] = data[2::4], data[3::4]
    return bytes(out)


def _mixed(data: bytes) -> bytes:
    samples = struct.unpack(f"<{len(data) // 2}h", data)
    pairs = zip(samples[::2], samples[1::2], strict=True)
    return struct.pack(f"<{len(samples) // 2}h", *((left + right) >> 1 for left, right in pairs))


_SIGNED = bytes((value - 128) % 256 for value in range(256))
_TO_S16: dict[int, Callable[[bytes], bytes]] = {1: _from_u8, 2: bytes, 4: _from_s32le}


# ---------------------------------------------------------------- the dialect


class WyomingDialect(Dialect):
    """One per connection. What one request says is the text of all utterances in it."""

    def __init__(self, model: str):
        """`model` is the name that `info` tells."""
        self._model = model
        self._framing = Framing()
        self._format: Format | None = None
        self._in_chunk = False  # the payload that comes is audio
        self._in_request = False  # audio was announced, and audio-stop has not come
        self._text = RunningText()  # of the request that is being answered
        self._streaming = False  # some of it went out in chunks

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        self._options = defaults
        return defaults

    # ------------------------------------------------------------ in

    def decode(self, message: Frame) -> list[Request]:
        """Bytes of the stream; none at its end. Raises BadEvent or BadOption, both of them fatal."""
        data = message.encode() if isinstance(message, str) else message
        if not data:
            return [End()]
        requests: list[Request] = []
        for item in self._framing.push(data):
            requests += self._hear(item) if isinstance(item, bytes) else self._obey(item)
        return requests

    def _obey(self, event: Incoming) -> list[Request]:
        """Unknown events are dropped, as the protocol wants it, and so are hints that a model cannot take."""
        self._in_chunk = event.type == "audio-chunk"
        match event.type:
            case "describe":
                return [Reply(_frame("info", _info(self._model)))]
            case "ping":
                text = event.data.get("text")
                return [Reply(_frame("pong", {"text": text if isinstance(text, str) else None}))]
            case "audio-start":
                self._format = None  # half a sample of the request before is no part of this one
                return self._expect(_format(event))
            case "audio-chunk" if self._format is None or "rate" in event.data:
                return self._expect(_format(event))
            case "audio-stop":
                self._in_request = False
                return [Flush()]
        return []

    def _expect(self, format_: Format) -> list[Request]:
        """Audio of this format comes next."""
        self._in_request = True
        if format_ == self._format:
            return []
        self._format, self._mono = format_, Mono(format_)
        if format_.rate == self._options.sample_rate:
            return []
        self._options = replace(self._options, sample_rate=format_.rate)
        return [Reconfigure(self._options)]

    def _hear(self, payload: bytes) -> list[Request]:
        samples = self._mono.push(payload) if self._in_chunk else b""
        return [Audio(samples)] if samples else []

    # ------------------------------------------------------------ out

    def encode(self, event: Event) -> list[Frame]:
        match event:
            case Partial(text=text):
                return self._stream(self._text.grow(text))
            case Final() if not is_empty(event):
                frames = self._stream(self._text.close(event.text))
                return frames + (self._conclude() if event.reason == "flush" else [])
            case Done() if self._in_request:  # the client hung up its side instead of sending audio-stop
                return self._conclude()
            case Error(code, message):
                return [_frame("error", {"text": message, "code": code})]
        return []

    def _stream(self, new: str) -> list[Frame]:
        """The chunks of a request, put together, are its transcript."""
        return [*self._start(), _frame("transcript-chunk", {"text": new})] if new else []

    def _conclude(self) -> list[Frame]:
        transcript = _frame("transcript", {"text": self._text.take()})
        frames = [*self._start(), transcript, _frame("transcript-stop")]
        self._streaming = False
        return frames

    def _start(self) -> list[Frame]:
        """What goes before the first text of a request."""
        started, self._streaming = self._streaming, True
        return [] if started else [_frame("transcript-start")]


def _frame(kind: str, data: dict[str, Any] | None = None) -> str:
    """The data stands behind the header: clients read no header of more than 64 KiB."""
    if not data:
        return to_json({"type": kind}) + "\n"
    text = to_json(data)
    return to_json({"type": kind, "data_length": len(text.encode())}) + "\n" + text


def _info(model: str) -> dict[str, Any]:
    """One program with one model. A model of the hub is its owner's, any other the operator's."""
    owner, is_of_hub, _ = model.rpartition("/")
    languages = ("en",) if model == BUNDLED_MODEL else tuple(LANGUAGES)
    maker = {"name": owner or "voxwire", "url": f"https://huggingface.co/{model}" if is_of_hub else ""}
    program = {
        **_artifact("voxwire", "Live captions from Voxtral Realtime models", {"name": "voxwire", "url": ""}),
        "models": [{**_artifact(model, model, maker), "languages": languages}],
        "supports_transcript_streaming": True,
        "requires_external_vad": True,  # a request ends where its client says so
    }
    others = ("tts", "handle", "intent", "wake", "mic", "snd")
    return {"asr": [program], **{kind: [] for kind in others}}


def _artifact(name: str, description: str, attribution: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "attribution": attribution,
        "installed": True,
        "description": description,
        "version": None,
    }
