"""A recording as a source, and `stream_file`: a recording in, its captions out.

async for event in stream_file("talk.wav"):
    if isinstance(event, Final): print(event.text)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import soundfile

from client import protocol
from client.conversation import Conversation, Happening
from client.decimate import Decimator
from client.errors import BadInput
from client.pacing import NoPace, Pacer
from client.protocol import MAX_RATE_HZ, MIN_RATE_HZ, Options
from client.source import CHUNK_MS, Chunk, to_s16le


class FileSource:
    """A file that soundfile reads (wav, flac, ogg, mp3 and more), mixed to mono or kept as two channels.

    `sample_rate` is what is sent: the file's own, or a whole fraction of it above 48 kHz.
    """

    def __init__(self, path: str | Path, *, channels: int = 1, pacer: Pacer | NoPace | None = None):
        """Open and check. Raises BadInput if the file is missing, no audio, or lacks the wanted channels."""
        self.path = Path(path)
        self._file = _open(self.path)
        self.channels = channels
        _check_channels(self.path, self._file.channels, channels)
        factor = -(-self._file.samplerate // MAX_RATE_HZ)
        if self._file.samplerate < MIN_RATE_HZ or self._file.samplerate % factor:
            self._file.close()
            raise BadInput(
                f"{self.path}: a sample rate of {self._file.samplerate} Hz is not supported "
                f"(from {MIN_RATE_HZ} Hz; above {MAX_RATE_HZ} Hz whole multiples)."
            )
        self.sample_rate = self._file.samplerate // factor
        self.duration_ms = round(1000 * self._file.frames / self._file.samplerate)
        self._decimator = Decimator(factor, channels) if factor > 1 else None
        self._pacer = pacer or Pacer()
        self._read_samples = self._file.samplerate * CHUNK_MS // 1000
        self._position = 0  # samples given out, at `sample_rate`
        self._waiting: Chunk | None = None  # read, not yet due
        self._ended = False

    @property
    def position_ms(self) -> int:
        """How much of the recording was given out."""
        return 1000 * self._position // self.sample_rate

    async def read(self) -> Chunk | None:
        if self._waiting is None:
            self._waiting = self._next_chunk()
        chunk = self._waiting
        if chunk is None:
            return None
        end = chunk.start_sample + chunk.n_samples
        await self._pacer.wait_until(end / self.sample_rate)
        self._waiting = None
        self._position = end
        return chunk

    def stop(self) -> None:
        self._ended = True
        self._waiting = None

    def close(self) -> None:
        self._file.close()

    def _next_chunk(self) -> Chunk | None:
        while not self._ended:
            samples = self._read_block()
            if len(samples):
                return Chunk(self._position, len(samples), to_s16le(samples))
        return None

    def _read_block(self) -> np.ndarray:
        """float32 [n, channels]; empty at the end or while the filter fills."""
        try:
            samples = self._file.read(self._read_samples, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise BadInput(f"{self.path} cannot be read any further: {error.error_string}") from None
        if self.channels == 1 and samples.shape[1] > 1:
            samples = samples.mean(axis=1, keepdims=True)
        at_end = len(samples) < self._read_samples
        self._ended = self._ended or at_end
        if self._decimator is None:
            return samples
        blocks = [self._decimator.push(samples)] + ([self._decimator.flush()] if at_end else [])
        return np.concatenate(blocks)


class _ReadAhead(soundfile.SoundFile):
    """Reads straight on.

    soundfile seeks after every block of a seekable file, and a seek makes an mp3 decoder forget what the next frame
    builds on: read in blocks, most of the sound would be gone.
    """

    def seekable(self) -> bool:
        return False


def _open(path: Path) -> soundfile.SoundFile:
    if not path.exists():
        raise BadInput(f"{path}: no such file.")
    if path.is_dir():
        raise BadInput(f"{path} is a directory, not a recording.")
    try:
        return _ReadAhead(str(path))
    except soundfile.LibsndfileError as error:
        raise BadInput(f"{path} is not audio that can be read: {error.error_string.rstrip('.')}.") from None
    except TypeError:
        # A file named .raw: soundfile wants its format spelled out.
        raise BadInput(f"{path} has no header; convert it to wav first.") from None


def _check_channels(path: Path, found: int, wanted: int) -> None:
    if wanted == 2 and found != 2:
        noun = "channel" if found == 1 else "channels"
        raise BadInput(f"{path} has {found} {noun}; --channels 2 needs a recording with two.")


async def stream_file(
    path: str | Path,
    url: str = protocol.DEFAULT_URL,
    *,
    key: str | None = None,
    options: Options | None = None,
    fast: bool = False,
) -> AsyncIterator[Happening]:
    """Stream a recording and yield what happens: protocol events in the recording's time, and notices.

    At the pace it was spoken, or with `fast` as fast as the server reads. Encoding and rate of `options` come
    from the file. Raises ClientError.
    """
    options = options or Options()
    source = FileSource(path, channels=options.channels, pacer=NoPace() if fast else Pacer())
    try:
        conversation = Conversation(source, url, options, key, live=not fast)
        async with aclosing(conversation.happenings()) as happenings:
            async for happening in happenings:
                yield happening
    finally:
        source.close()
