"""The header of a WAV stream. FFmpeg's demuxer wants 64 KiB of the samples behind it first: two seconds of speech."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_HEADER_BYTES = 64 * 1024
PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
# FFmpeg's names of samples without a container, by format tag and bits.
SAMPLES = {
    (PCM, 8): "u8",
    (PCM, 16): "s16le",
    (PCM, 24): "s24le",
    (PCM, 32): "s32le",
    (FLOAT, 32): "f32le",
    (FLOAT, 64): "f64le",
    (ALAW, 8): "alaw",
    (MULAW, 8): "mulaw",
}
ENDLESS_BYTES = 0x7FFF_0000  # a live stream cannot know its size: it says 0, or something as large as can be


@dataclass(frozen=True, slots=True)
class Wave:
    samples: str  # FFmpeg's name
    channels: int
    rate_hz: int
    header_bytes: int
    data_bytes: int | None  # None: all that comes


def wave(head: bytes) -> Wave | None:
    """What the first bytes of a stream say. None while more of them are needed.

    Raises ValueError for what is no WAV of plain samples; it may be one of a codec.
    """
    if not head.startswith(b"RIFF"):
        raise ValueError("another kind of WAV")
    known: tuple[str, int, int] | None = None
    at = 12
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        if name == b"data":
            if known is None:
                raise ValueError("samples before their format")
            endless = not size or size >= ENDLESS_BYTES
            return Wave(*known, at + 8, None if endless else size)
        if name == b"fmt ":
            if at + 8 + size > len(head):
                break
            known = _format(head[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    if max(at, len(head)) > MAX_HEADER_BYTES:
        raise ValueError("a header without end")
    return None


def _format(chunk: bytes) -> tuple[str, int, int]:
    if len(chunk) < 16:
        raise ValueError("a short format")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE and len(chunk) >= 26:
        [tag] = struct.unpack_from("<H", chunk, 24)
    if (tag, bits) not in SAMPLES or not channels or not rate_hz:
        raise ValueError("a format of no plain samples")
    return SAMPLES[tag, bits], channels, rate_hz
