"""Twilio Media Streams: JSON with µ-law in base64, one or two tracks of a call on one socket. docs/dialects/twilio.md.

Twilio understands no transcripts, so nothing is sent back: who wants them follows the call (docs/dialects/calls.md).
With two tracks the caller is channel 0, what the caller hears channel 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import msgspec

from realtime.dialects.base import UNREADABLE, Credentials, Dialect, Frame, Handshake, Publish, Request, shown
from realtime.dialects.telephony import KEY_PARAMETER, announcement, short
from realtime.dialects.tracks import TrackMixer
from realtime.errors import BadMessage, BadOption, OutOfOrder
from realtime.events import Audio, Configure, End, Event, SessionOptions

SAMPLE_RATE_HZ = 8000
MAX_TIMESTAMP_MS = 2**53  # what others' numbers hold
TRACKS = ("inbound", "outbound")  # in the order of channels

# ---------------------------------------------------------------- messages; numbers may be written as text


class MediaFormat(msgspec.Struct, rename="camel"):
    encoding: str = "audio/x-mulaw"
    sample_rate: int = SAMPLE_RATE_HZ
    channels: int = 1


class Start(msgspec.Struct, rename="camel"):
    call_sid: str = ""
    stream_sid: str = ""
    account_sid: str = ""
    tracks: list[str] = msgspec.field(default_factory=lambda: ["inbound"])
    media_format: MediaFormat = msgspec.field(default_factory=MediaFormat)
    custom_parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class Media(msgspec.Struct):
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMESTAMP_MS)]
    payload: bytes  # base64 in JSON
    track: str = "inbound"


class Dtmf(msgspec.Struct):
    digit: str
    track: str = "inbound"


class Mark(msgspec.Struct):
    name: str


class Message(msgspec.Struct, rename="camel"):
    event: str
    stream_sid: str = ""
    start: Start | None = None
    media: Media | None = None
    dtmf: Dtmf | None = None
    mark: Mark | None = None


_DECODER = msgspec.json.Decoder(Message, strict=False)

# ---------------------------------------------------------------- dialect


class TwilioDialect(Dialect):
    key_in_message = True

    def __init__(self) -> None:
        self._options = SessionOptions()
        self._channels: dict[str, int] = {}  # by track; filled by `start`
        self._mixer = TrackMixer(1)
        self._stopped = False

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        self._options = replace(defaults, encoding="mulaw", sample_rate=SAMPLE_RATE_HZ, channels=1)
        return self._options

    def decode(self, message: Frame) -> list[Request]:
        """Unknown events are ignored. Raises BadMessage, OutOfOrder, and BadOption for a `start` that cannot be."""
        if not isinstance(message, str):
            raise BadMessage("Media comes in JSON text.")
        try:
            fields = _DECODER.decode(message)
        except UNREADABLE:
            raise BadMessage("This is no message of Twilio Media Streams.") from None
        match fields:
            case Message(event="media", media=Media() as media):
                return self._media(media)
            case Message(event="start", start=Start() as start):
                return self._start(start, fields.stream_sid)
            case Message(event="stop"):
                return self._stop()
            case Message(event="dtmf", dtmf=Dtmf() as dtmf):
                digit, track = dtmf.digit[:1], short(_track(dtmf.track))
                return [Publish({"type": "dtmf", "digit": digit, "track": track})]
            case Message(event="mark", mark=Mark() as mark):
                return [Publish({"type": "mark", "name": short(mark.name)})]
            case Message(event="media" | "start" | "dtmf" | "mark"):
                raise BadMessage("The message lacks the object of its event.")
        return []

    def encode(self, event: Event) -> list[Frame]:
        """Nothing: Twilio takes media, marks and `clear` only."""
        return []

    def _start(self, start: Start, stream_sid: str) -> list[Request]:
        if self._channels:
            raise OutOfOrder("The stream has started already.")
        media = start.media_format
        if (media.encoding, media.sample_rate, media.channels) != ("audio/x-mulaw", SAMPLE_RATE_HZ, 1):
            raise BadOption("The media format must be audio/x-mulaw, 8000 Hz, 1 channel.")
        given = {_track(name) for name in start.tracks}
        tracks = [name for name in TRACKS if name in given]
        if not tracks or len(tracks) < len(given):
            raise BadOption("The tracks must be inbound, outbound or both.")
        stream_sid = start.stream_sid or stream_sid
        call = announcement(
            "twilio",
            start.call_sid or stream_sid,
            start.custom_parameters,
            stream_sid=stream_sid,
            account_sid=start.account_sid,
            tracks=tracks,
        )
        self._channels = {name: channel for channel, name in enumerate(tracks)}
        self._mixer = TrackMixer(len(tracks))
        key = start.custom_parameters.get(KEY_PARAMETER, "")
        key = key if isinstance(key, str) else shown(key)
        return [Credentials(key), call, Configure(replace(self._options, channels=len(tracks)))]

    def _media(self, media: Media) -> list[Request]:
        if not self._channels:
            raise OutOfOrder("Media before 'start' is ignored.")
        channel = self._channels.get(_track(media.track))
        if channel is None or self._stopped:
            return []
        audio = self._mixer.push(channel, media.timestamp, media.payload)
        return [Audio(audio)] if audio else []

    def _stop(self) -> list[Request]:
        if self._stopped:
            return []
        self._stopped = True
        return [Audio(self._mixer.flush()), End()]


def _track(name: str) -> str:
    """TwiML writes `inbound_track`, the messages `inbound`."""
    return name.removesuffix("_track")
