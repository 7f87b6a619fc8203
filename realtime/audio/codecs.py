"""Bytes of a wire encoding → float32 samples in [-1, 1], one row a channel.

A decoder keeps what is left of a sample (or of the pair of two channels) until the rest arrives, so
chunk borders mean nothing. The result is float32 [channels, n]; n is 0 while no sample is complete.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from realtime.errors import BadAudio, BadOption
from realtime.events import ENCODINGS, SAMPLE_BYTES

MAX_CHANNELS = 2


class Decoder:
    """Decodes one encoding, with `channels` interleaved. Made by `decoder`."""

    def __init__(self, encoding: str, channels: int):
        self.encoding = encoding
        self.channels = channels
        self._to_float = _TO_FLOAT[encoding]
        self._step_bytes = SAMPLE_BYTES[encoding] * channels  # one sample of every channel
        self._rest = b""  # shorter than _step_bytes

    def push(self, data: bytes | bytearray | memoryview) -> np.ndarray:
        """Return the samples that `data` completes: float32 [channels, n]."""
        if self._rest:
            data = self._rest + bytes(data)
        over = len(data) % self._step_bytes
        whole = len(data) - over
        self._rest = bytes(data[whole:])
        interleaved = self._to_float(data[:whole] if over else data)
        if self.channels == 1:
            return interleaved[np.newaxis]
        return np.ascontiguousarray(interleaved.reshape(-1, self.channels).T)

    def flush(self) -> None:
        """End of the stream. Raises BadAudio if it ended inside a sample; ready for new audio either way."""
        left, self._rest = len(self._rest), b""
        if left:
            of_channels = "" if self.channels == 1 else f", {self.channels} channels"
            raise BadAudio(
                f"The audio ended inside a sample: it has {left} of {self._step_bytes} bytes "
                f"({self.encoding}{of_channels})."
            )


def decoder(encoding: str, channels: int = 1) -> Decoder:
    """A decoder of `encoding` with 1 or 2 channels. Raises BadOption for what is not offered."""
    if encoding not in ENCODINGS:
        raise BadOption(f"encoding must be one of {', '.join(ENCODINGS)}; got {encoding!r}.")
    if channels not in range(1, MAX_CHANNELS + 1):
        raise BadOption(f"channels must be 1 or {MAX_CHANNELS}; got {channels!r}.")
    return Decoder(encoding, channels)


def _from_s16le(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2") * np.float32(1 / 32768)


def _from_s32le(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i4").astype(np.float32) * np.float32(2**-31)


def _from_f16le(data: bytes) -> np.ndarray:
    return _tame(np.frombuffer(data, "<f2").astype(np.float32))


def _from_f32le(data: bytes) -> np.ndarray:
    return _tame(np.frombuffer(data, "<f4").astype(np.float32))


def _tame(samples: np.ndarray) -> np.ndarray:
    """In place. One NaN would stay in the rings of the model for the rest of the lease."""
    np.nan_to_num(samples, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(samples, -1.0, 1.0, out=samples)


def _mulaw_table() -> np.ndarray:
    """ITU-T G.711 µ-law, every bit inverted on the wire: float32 [256]. 14-bit values in 16 bits."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent = (code >> 4 & 7).astype(np.int32)
    mantissa = (code & 15).astype(np.int32)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return _signed(magnitude, negative=code & 128)


def _alaw_table() -> np.ndarray:
    """ITU-T G.711 A-law, every other bit inverted on the wire: float32 [256]. 13-bit values in 16 bits."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (code >> 4 & 7).astype(np.int32)
    mantissa = ((code & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, mantissa, (mantissa + 256) << np.maximum(exponent - 1, 0))
    return _signed(magnitude, negative=~code & 128)


def _signed(magnitude: np.ndarray, negative: np.ndarray) -> np.ndarray:
    return (np.where(negative, -magnitude, magnitude) / 32768).astype(np.float32)


def _by_table(table: np.ndarray) -> Callable[[bytes], np.ndarray]:
    return lambda data: table[np.frombuffer(data, np.uint8)]


# encoding: interleaved bytes of whole samples → float32
_TO_FLOAT: dict[str, Callable[[bytes], np.ndarray]] = {
    "pcm_s16le": _from_s16le,
    "pcm_s32le": _from_s32le,
    "pcm_f16le": _from_f16le,
    "pcm_f32le": _from_f32le,
    "mulaw": _by_table(_mulaw_table()),
    "alaw": _by_table(_alaw_table()),
}
