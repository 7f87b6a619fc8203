"""A stream of packed audio → pcm_s16le at 16 kHz, while it comes: containers, and compressed codecs without one.

    bytes in any pieces ─► Unpacker.push ─► demux ─► decode ─► mix ─► resample ─► pieces of PCM, as they are asked for

The library's demuxers pull and a stream is pushed, so each runs in a thread of its own. That thread has no pace of its
own: it is given `PIECE_BYTES`, makes what PCM these hold and stands still, and its owner takes that before it gives
more. So the PCM of given bytes is always the same, little is made that nobody has asked for, and the owner may live on
an event loop: at a time it waits for one packet to be decoded.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Protocol

import av
import numpy as np

from realtime.audio.codecs import decoder
from realtime.audio.resample import SAMPLE_RATE_HZ
from realtime.audio.riff import wave
from realtime.errors import BadAudio

PIECE_BYTES = 1024
SNIFF_BYTES = 12
STUCK_S = 2.0  # no packet takes this long: something is wrong in the library
JOIN_S = 2.0
MAX_BAD_PACKETS = 50  # in a row
RATES_HZ = range(4000, 384_001)  # at a lower one a few bytes would be hours
# Packets are wanted as they come, not when the library has looked far ahead; and nothing but the stream is read.
OPTIONS = {"analyzeduration": "1", "protocol_whitelist": "none"}


class Undecodable(BadAudio):
    """The bytes are no audio of the kind they should be, or of any kind that is known here."""

    fatal = True


class Unpacker(Protocol):
    """One stream. What `push` and `end` give must be taken to its end before the next call."""

    def push(self, data: bytes) -> Iterator[bytes]:
        """The PCM that `data` completes. Raises Undecodable."""

    def end(self) -> Iterator[bytes]:
        """The PCM that was still inside. Raises Undecodable, if there never was any in what came."""

    def close(self) -> None:
        """Give back what is held, wherever the stream stands."""


def unpacker(encoding: str | None, sample_rate: int, channels: int, mixed: bool) -> Unpacker:
    """An unpacker of `encoding`, one of `PACKED`; None for a container, whose kind its first bytes tell.

    `channels` are those of the audio if its bytes do not say; `mixed` gives one channel, else two are interleaved.
    """
    rows = 1 if mixed else 2
    if encoding in _PCM:
        return _Mixed(_PCM[encoding], channels)
    if encoding in _PACKET_CODECS:
        return _Packets(_PACKET_CODECS[encoding], sample_rate, channels, rows)
    return _Demuxed(_BARE_FORMATS[encoding] if encoding else "", rows)


_PCM = {"linear16": "pcm_s16le", "linear32": "pcm_f32le", "mulaw": "mulaw", "alaw": "alaw"}
_PACKET_CODECS = {"opus": "opus", "speex": "speex"}
# The library's names for streams of one codec without a container.
_BARE_FORMATS = {"flac": "flac", "ogg-opus": "ogg", "amr-nb": "amrnb", "amr-wb": "amrwb", "g729": "g729"}
PACKED = (*_PACKET_CODECS, *_BARE_FORMATS)


def sniffed(head: bytes) -> str:
    """The library's name of the container that begins with `head`, `SNIFF_BYTES` or more; empty if none is known."""
    for at, magic, name in _MAGIC:
        if head.startswith(magic, at):
            return name
    if head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # a frame of MPEG audio; of layer 0 it is AAC
        return "mp3" if head[1] & 0x06 else "aac"
    return ""


_MAGIC = (
    (8, b"WAVE", "wav"),
    (0, b"OggS", "ogg"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, b"fLaC", "flac"),
    (0, b"ID3", "mp3"),
    *((4, box, "mov") for box in (b"ftyp", b"styp", b"moov", b"moof", b"free", b"skip", b"wide")),
    (0, b"#!AMR", "amr"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (0, b".snd", "au"),
    (0, b"caff", "caf"),
)

# ---------------------------------------------------------------- without a thread


class _Mixed:
    """Interleaved channels of plain PCM to one, at their own rate."""

    def __init__(self, encoding: str, channels: int):
        self._decoder = decoder(encoding, channels)

    def push(self, data: bytes) -> Iterator[bytes]:
        mono = self._decoder.push(data).mean(axis=0)
        if len(mono):
            yield (mono * 32767).astype("<i2").tobytes()

    def end(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        pass


class _Packets:
    """Packets without a container: every `push` is one. An Ogg stream is seen at its first bytes and demuxed."""

    def __init__(self, codec: str, sample_rate: int, channels: int, rows: int):
        self._codec = av.CodecContext.create(codec, "r")
        self._codec.sample_rate = sample_rate
        self._codec.layout = "mono" if channels == 1 else "stereo"
        self._rows = rows
        self._pcm = _Pcm(rows)
        self._bad = 0
        self._demuxed: _Demuxed | None = None
        self._begun = False

    def push(self, data: bytes) -> Iterator[bytes]:
        if not self._begun and len(data) >= SNIFF_BYTES and sniffed(data) in ("ogg", "matroska"):
            self._demuxed = _Demuxed("", self._rows)
        self._begun = True
        if self._demuxed is not None:
            yield from self._demuxed.push(data)
            return
        try:
            frames = self._codec.decode(av.Packet(data))
        except av.FFmpegError:
            self._bad += 1
            if self._bad >= MAX_BAD_PACKETS:
                raise Undecodable(f"The messages are no packets of {self._codec.name}.") from None
            return
        self._bad = 0
        yield from self._pcm.of(frames)

    def end(self) -> Iterator[bytes]:
        yield from self._pcm.rest() if self._demuxed is None else self._demuxed.end()

    def close(self) -> None:
        if self._demuxed is not None:
            self._demuxed.close()


class _Pcm:
    """Decoded frames → interleaved pcm_s16le at 16 kHz of one or two channels."""

    def __init__(self, rows: int):
        self._rows = rows
        self._kind: tuple[str, str, int] | None = None  # of the frames: sample format, layout, rate
        self._resampler: av.AudioResampler | None = None

    def of(self, frames: list[av.AudioFrame]) -> Iterator[bytes]:
        for frame in frames:
            kind = frame.format.name, frame.layout.name, frame.sample_rate
            if frame.sample_rate not in RATES_HZ:
                raise Undecodable(f"Audio of {frame.sample_rate} Hz is not taken.")
            if kind != self._kind:  # a stream may go on in another form
                yield from self.rest()
                layout = "stereo" if self._rows == 2 and frame.layout.nb_channels > 1 else "mono"
                self._kind = kind
                self._resampler = av.AudioResampler("s16", layout, SAMPLE_RATE_HZ)
            frame.pts = None  # samples are counted, whatever the container says
            yield from map(self._bytes, self._resampler.resample(frame))

    def rest(self) -> Iterator[bytes]:
        if self._resampler is not None:
            yield from map(self._bytes, self._resampler.resample(None))
            self._resampler = None

    def _bytes(self, frame: av.AudioFrame) -> bytes:
        samples = frame.to_ndarray()  # int16 [1, n * channels]
        if self._rows == 2 and frame.layout.nb_channels == 1:
            # Nobody spoke on the other channel.
            samples = np.stack([samples[0], np.zeros_like(samples[0])], axis=1)
        return samples.tobytes()


# ---------------------------------------------------------------- with a thread


class _Demuxed:
    """A container, or a codec whose stream has to be cut into packets. The thread begins with the first bytes."""

    def __init__(self, name: str, rows: int):
        """`name` is the library's of the format; empty to find out."""
        self._name = name
        self._rows = rows
        self._head = b""
        self._thread: _Thread | None = None
        self._left_bytes: int | None = None  # of the container, if its size is known

    def push(self, data: bytes) -> Iterator[bytes]:
        if self._thread is None:
            self._head += data
            if not self._begin():
                return
            data, self._head = self._head, b""
        if self._left_bytes is not None:
            data = data[: self._left_bytes]
            self._left_bytes -= len(data)
        for at in range(0, len(data), PIECE_BYTES):
            yield from self._thread.resume(data[at : at + PIECE_BYTES])

    def end(self) -> Iterator[bytes]:
        if self._thread is not None:
            yield from self._thread.resume(b"")
        elif self._head:
            raise Undecodable("The stream ended before it could be known what it is.")

    def close(self) -> None:
        if self._thread is not None:
            self._thread.close()

    def _begin(self) -> bool:
        """False while it takes more bytes to know what the stream is."""
        if len(self._head) < SNIFF_BYTES:
            return False
        # A codec named by the client may come in its container all the same.
        name = sniffed(self._head) or self._name
        if not name:
            raise Undecodable("The stream is of no kind that is known here: is 'encoding' missing?")
        if name == "wav":
            return self._begin_wave()
        self._thread = _Thread(name, {}, self._rows)
        return True

    def _begin_wave(self) -> bool:
        try:
            found = wave(self._head)
        except ValueError:  # the library knows more kinds, and will say what it thinks of this one
            self._thread = _Thread("wav", {}, self._rows)
            return True
        if found is not None:
            options = {"sample_rate": str(found.rate_hz), "ch_layout": f"{found.channels}c"}
            self._thread = _Thread(found.samples, options, self._rows)
            self._head, self._left_bytes = self._head[found.header_bytes :], found.data_bytes
        return found is not None


class _Hungry:
    """Made by the thread when it has used up what it was given."""


class _Over:
    """Made by the thread at its end."""


class _Thread:
    """The demuxer. Its owner resumes it with bytes and takes what it makes, until it is hungry."""

    def __init__(self, name: str, options: dict[str, str], rows: int):
        self._name = name
        self._options = OPTIONS | options
        self._pcm = _Pcm(rows)
        self._given: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[bytes | BadAudio | type] = queue.SimpleQueue()
        self._piece = b""
        self._ended = self._over = self._stuck = False
        self._thread = threading.Thread(target=self._main, name="unpack", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ the owner's side

    def resume(self, piece: bytes) -> Iterator[bytes]:
        """The PCM that `piece` completes; an empty one is the end. Behind the end of a container nothing is heard."""
        if self._over:
            return
        self._given.put(piece)
        while (made := self._next()) is not _Hungry:
            if isinstance(made, bytes):
                yield made
                continue
            self._over = True
            if isinstance(made, BadAudio):
                raise made
            return

    def close(self) -> None:
        self._over = True
        self._given.put(b"")
        if not self._stuck:  # else it was waited for long enough
            self._thread.join(JOIN_S)

    def _next(self) -> bytes | BadAudio | type:
        try:
            return self._made.get(timeout=STUCK_S)
        except queue.Empty:
            self._stuck = True
            return Undecodable("The audio takes too long to decode.")

    # ------------------------------------------------------------ the thread's side

    def read(self, n: int) -> bytes:
        """What the library calls: at most `n` bytes, as soon as there are any; none at the end."""
        if not self._piece and not self._ended:
            self._made.put(_Hungry)
            self._take()
        piece, self._piece = self._piece[:n], self._piece[n:]
        return piece

    def _take(self) -> None:
        self._piece = self._given.get()
        self._ended = not self._piece

    def _main(self) -> None:
        self._take()
        try:
            self._decode()
        except Undecodable as error:
            self._made.put(error)
        except (
            Exception
        ):  # of the library, which throws what it likes at strange bytes; the owner waits for an answer
            self._made.put(Undecodable("The stream cannot be decoded as audio."))
        self._made.put(_Over)

    def _decode(self) -> None:
        with av.open(
            self, "r", format=self._name, options=self._options, buffer_size=PIECE_BYTES
        ) as container:
            tracks = container.streams.audio
            # Without a codec the library would fall over its own packets.
            codec = tracks[0].codec_context if tracks else None
            if codec is None:
                raise Undecodable("The stream has no audio in it of a codec that is known here.")
            bad, heard = 0, False
            for packet in container.demux(tracks[0]):
                if self._over:  # nobody takes what is still inside
                    return
                try:
                    frames = codec.decode(packet)
                except av.FFmpegError:
                    bad += 1
                    if bad >= MAX_BAD_PACKETS:
                        raise
                    continue
                bad = 0
                for pcm in self._pcm.of(frames):
                    heard = True
                    self._made.put(pcm)
            for pcm in self._pcm.rest():
                self._made.put(pcm)
            if not heard:
                raise Undecodable("The stream has no audio in it.")
