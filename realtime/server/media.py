"""Any container and codec that FFmpeg reads → float32 at 16 kHz, block by block, in bounded memory.

    file ─► demux ─► decode ─► rows of float32 ─► mixed, or two channels ─► 16 kHz ─► blocks of half a second

Synchronous: a worker thread reads. The first audio track counts, a video's as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np

from realtime.audio.resample import SAMPLE_RATE_HZ, Identity, Resampler, resampler
from realtime.errors import BadAudio

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 2
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
# Playlists name other files and addresses; nothing but the file itself is ever read.
OPTIONS = {"protocol_whitelist": "none"}
# How files begin that are surely not raw samples: WAV, Ogg, FLAC, Matroska and WebM, MP3 with tags, AIFF, AU, CAF.
MAGIC = (b"RIFF", b"RF64", b"OggS", b"fLaC", b"\x1a\x45\xdf\xa3", b"ID3", b"FORM", b".snd", b"caff")
# What silence is, and how far it is from full scale. Floats are at that scale already.
SCALES = {np.uint8: (128, 1 << 7), np.int16: (0, 1 << 15), np.int32: (0, 1 << 31), np.int64: (0, 1 << 63)}


@dataclass(frozen=True, slots=True)
class Raw:
    """Samples without a container. `format` is FFmpeg's name: s16le, f32le, mulaw, alaw."""

    format: str
    sample_rate: int
    channels: int


class Media:
    """One file of unknown kind.

    `channels` are those of its audio track. Raises BadAudio for what holds no audio, or at a rate outside 4..384 kHz.
    """

    def __init__(self, file: BinaryIO, raw: Raw | None = None):
        """Reads from where `file` stands; closing it stays the caller's."""
        try:
            self._container = _open(file, raw)
        except (av.FFmpegError, ValueError):
            raise BadAudio("this is no audio file, or one of a kind that is not known here") from None
        tracks = self._container.streams.audio
        if not tracks:
            raise BadAudio("the file has no audio track")
        self._track = tracks[0]
        if self._track.codec_context is None:
            raise BadAudio("the audio is of a codec that is not known here")
        # Some codecs tell their rate with the first frame only.
        if self._track.rate and not _is_rate(self._track.rate):
            raise BadAudio(f"{self._track.rate} Hz is outside {MIN_RATE_HZ}..{MAX_RATE_HZ}")
        self.channels: int = self._track.channels or 1
        self._broken = False  # something could not be read

    def blocks(self, channels: int) -> Iterator[bytes]:
        """Interleaved little-endian float32 at 16 kHz, half a second each but the last.

        `channels` 1 mixes all of the track's; 2 takes its first two. A file that breaks off gives what could be
        read. Raises BadAudio if that is nothing.
        """
        rows = np.empty((channels, 0), np.float32)
        for piece in _resampled(self._samples(), channels):
            rows = np.concatenate([rows, piece], axis=1)
            while rows.shape[1] >= BLOCK_SAMPLES:
                yield _interleaved(rows[:, :BLOCK_SAMPLES])
                rows = rows[:, BLOCK_SAMPLES:]
        if rows.shape[1]:
            yield _interleaved(rows)

    def close(self) -> None:
        self._container.close()

    def _samples(self) -> Iterator[tuple[int, np.ndarray]]:
        """Sample rate and float32 [channels, n] of every frame that can be decoded."""
        any_frame = False
        for frame in self._frames():
            if not _is_rate(frame.sample_rate):  # of a broken header
                self._broken = True
                continue
            any_frame = True
            yield frame.sample_rate, _rows(frame.to_ndarray(), frame.layout.nb_channels)
        if self._broken and not any_frame:
            raise BadAudio("the audio cannot be decoded")

    def _frames(self) -> Iterator[av.AudioFrame]:
        """A packet that cannot be decoded is left out; the file goes on behind it."""
        for packet in self._packets():
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self._broken = True

    def _packets(self) -> Iterator[av.Packet]:
        """Up to the end, or to where the file breaks off."""
        try:
            yield from self._container.demux(self._track)
        except av.FFmpegError:
            self._broken = True


def has_container(file: BinaryIO) -> bool:
    """Whether the file begins like one of the usual containers; it is then at its start again."""
    head = file.read(16)
    file.seek(0)
    return head.startswith(MAGIC) or head[4:8] == b"ftyp"


def _is_rate(rate_hz: int) -> bool:
    return MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ


def _open(file: BinaryIO, raw: Raw | None) -> av.container.InputContainer:
    options = dict(OPTIONS)
    if raw is not None:
        options |= {"sample_rate": str(raw.sample_rate), "ch_layout": f"{raw.channels}c"}
    return av.open(
        file,
        mode="r",
        format=raw.format if raw else None,
        options=options,
        metadata_errors="ignore",
    )


def _rows(samples: np.ndarray, channels: int) -> np.ndarray:
    """Planar [channels, n] or packed [1, n * channels] of any sample type → float32 [channels, n] in [-1, 1]."""
    if samples.shape[0] != channels:
        samples = samples.reshape(-1, channels).T
    scale = SCALES.get(samples.dtype.type)
    if scale is None:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.nan_to_num(samples.astype(np.float32), copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    silence, full = scale
    return (samples.astype(np.float32) - np.float32(silence)) * np.float32(1 / full)


def _resampled(pieces: Iterator[tuple[int, np.ndarray]], channels: int) -> Iterator[np.ndarray]:
    """float32 [channels, m] at 16 kHz. The rate may change on the way, as that of a chained file does."""
    rate_hz, resamplers = 0, []
    for piece_hz, samples in pieces:
        if piece_hz != rate_hz:
            yield from _flushed(resamplers)
            rate_hz, resamplers = piece_hz, [resampler(piece_hz) for _ in range(channels)]
        rows = zip(resamplers, _chosen(samples, channels), strict=True)
        yield np.stack([resampler_.push(row) for resampler_, row in rows])
    yield from _flushed(resamplers)


def _flushed(resamplers: list[Resampler | Identity]) -> Iterator[np.ndarray]:
    if resamplers:
        yield np.stack([resampler_.flush() for resampler_ in resamplers])


def _chosen(samples: np.ndarray, channels: int) -> np.ndarray:
    """float32 [any, n] → [channels, n]."""
    if channels == 1:
        return samples.mean(axis=0, keepdims=True) if len(samples) > 1 else samples
    return samples[np.arange(channels) % len(samples)]


def _interleaved(rows: np.ndarray) -> bytes:
    return np.ascontiguousarray(rows.T, dtype="<f4").tobytes()
