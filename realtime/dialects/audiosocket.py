"""Asterisk's AudioSocket over TCP: frames of kind, length and payload. docs/dialects/asterisk.md.

    kind (1 byte)  length (2 bytes, big-endian)  payload
    01             00 10                         the call's UUID, first of all
    10             01 40                         20 ms of 8 kHz, 16-bit little-endian
    03             00 01                         a DTMF digit
    00             00 00                         hang-up

Asterisk understands audio and hang-up only, so nothing is sent back: who wants the transcript follows the call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from realtime.dialects.base import Dialect, Frame, Handshake, Publish, Request
from realtime.dialects.telephony import announcement
from realtime.errors import BadMessage, BadOption
from realtime.events import Audio, Configure, End, Event, SessionOptions

HEADER_BYTES = 3
HANG_UP, CALL_ID, DTMF, ERROR = 0x00, 0x01, 0x03, 0xFF
UUID_BYTES = 16
# Hz by kind of audio. Asterisk has two more, of 96 and 192 kHz.
RATES_HZ = {0x10: 8000, 0x11: 12_000, 0x12: 16_000, 0x13: 24_000, 0x14: 32_000, 0x15: 44_100, 0x16: 48_000}
TOO_FAST = (0x17, 0x18)


class NoAudioSocket(BadMessage):
    """The bytes are not AudioSocket's, or their rhythm is lost: there is no way back into it."""

    fatal = True


class AudioSocketDialect(Dialect):
    def __init__(self) -> None:
        self._options = SessionOptions()
        self._rest = bytearray()  # less than a frame
        self._announced = False
        self._audio_kind: int | None = None
        self._ended = False

    def open(self, handshake: Handshake, defaults: SessionOptions) -> SessionOptions:
        self._options = replace(defaults, encoding="pcm_s16le", sample_rate=8000, channels=1)
        return self._options

    def decode(self, message: Frame) -> Iterator[Request]:
        """Bytes as they come; empty at their end. Raises NoAudioSocket, and BadOption for a rate too high.

        Behind a hang-up nothing is heard.
        """
        if self._ended:
            return
        if not message:
            yield from self._end()
            return
        self._rest += message if isinstance(message, bytes) else message.encode()
        while not self._ended and (frame := self._frame()) is not None:
            yield from self._obey(*frame)

    def encode(self, event: Event) -> list[Frame]:
        """Nothing: what we send would be played to the caller."""
        return []

    def _frame(self) -> tuple[int, bytes] | None:
        """Kind and payload of the next frame, once it is whole."""
        if len(self._rest) < HEADER_BYTES:
            return None
        kind, n_bytes = self._rest[0], int.from_bytes(self._rest[1:HEADER_BYTES], "big")
        if not self._announced and (kind, n_bytes) != (CALL_ID, UUID_BYTES):
            raise NoAudioSocket("An AudioSocket begins with the call's UUID.")
        end = HEADER_BYTES + n_bytes
        if len(self._rest) < end:
            return None
        payload = bytes(self._rest[HEADER_BYTES:end])
        del self._rest[:end]
        return kind, payload

    def _obey(self, kind: int, payload: bytes) -> list[Request]:
        if kind in RATES_HZ:
            return self._audio(kind, payload)
        if kind in TOO_FAST:
            raise BadOption("Audio of 96 and 192 kHz is not taken; 48 kHz is the most.")
        if kind == CALL_ID and not self._announced:
            self._announced = True
            return [announcement("audiosocket", str(UUID(bytes=payload)), {})]
        if kind == DTMF:
            return [Publish({"type": "dtmf", "digit": payload[:1].decode("ascii", "replace")})]
        if kind == ERROR:
            return [Publish({"type": "carrier_error", "message": f"Asterisk's error code {payload.hex()}."})]
        return self._end() if kind == HANG_UP else []

    def _audio(self, kind: int, payload: bytes) -> list[Request]:
        if self._audio_kind is None:
            self._audio_kind = kind
            return [Configure(replace(self._options, sample_rate=RATES_HZ[kind])), Audio(payload)]
        if kind != self._audio_kind:
            raise BadOption("The sample rate cannot change within a call.")
        return [Audio(payload)]

    def _end(self) -> list[Request]:
        self._ended = True
        return [End()]
