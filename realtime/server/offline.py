"""A file is a session in a hurry: open, append everything, end. Several files share the engine's batch.

Synchronous: the caller's thread feeds and listens, the engine's thread computes.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from realtime.audio.resample import SAMPLE_RATE_HZ
from realtime.errors import BadAudio, EngineFailed, VoxwireError
from realtime.events import Audio, End, Error, Final, SessionOptions, Step
from realtime.server.admission import EngineStream
from realtime.server.conversation import Conversation
from realtime.server.media import Media
from realtime.session import Session, SessionLimits

HIGH_FRAMES = 64  # per file: enough to keep the batch full, little enough to keep memory flat


@dataclass(frozen=True, slots=True)
class Transcribed:
    path: Path
    finals: tuple[Final, ...]


class AudioFile:
    """A file by its path, read as an upload is."""

    def __init__(self, path: Path, channels: int):
        """`channels` 1 mixes down; 2 needs a two-channel file. Raises BadAudio with the file's name."""
        self.path = path
        self._channels = channels
        with self._named():
            self._file = _opened(path)
            self._media = Media(self._file)
        if channels == 2 and self._media.channels != 2:
            raise BadAudio(f"{path}: has {self._media.channels} channel(s), not two")

    def blocks(self) -> Iterator[bytes]:
        """Interleaved little-endian float32 at 16 kHz."""
        with self._file, self._named():
            yield from self._media.blocks(self._channels)
            self._media.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BadAudio as error:
            raise BadAudio(f"{self.path}: {error.message}") from None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise BadAudio("there is no such file") from None
    except OSError as error:
        raise BadAudio(error.strerror) from None


class _WholeEngine:
    """A lender without a queue: there are never more files at once than slots."""

    def __init__(self, engine):
        self._engine = engine

    def open(self, delay_tokens: int, channel: int) -> EngineStream:
        return self._engine.open(delay_tokens)

    def release(self, stream: EngineStream) -> None:
        stream.close()

    def settle(self) -> None:
        pass


class _Job:
    """One file on its way."""

    def __init__(
        self,
        audio: AudioFile,
        engine,
        options: SessionOptions,
        limits: SessionLimits,
        owners: dict[int, _Job],
    ):
        self.audio = audio
        self.finals: list[Final] = []
        self._blocks = audio.blocks()
        self._ended = False
        options = replace(options, encoding="pcm_f32le", sample_rate=SAMPLE_RATE_HZ, interim=False)
        session = Session(
            options,
            engine.tekken,
            session_id="file",
            model=engine.model_name,
            limits=limits,
            calibration=engine.calibration,
        )
        self._conversation = Conversation(
            session, _WholeEngine(engine), lambda lease: owners.__setitem__(lease, self), owners.pop
        )

    @property
    def finished(self) -> bool:
        return self._conversation.session.finished

    @property
    def backlog_frames(self) -> int:
        return self._conversation.session.backlog_frames

    def feed(self) -> None:
        """Append blocks until the engine has enough of this file."""
        while not self._ended and self.backlog_frames < HIGH_FRAMES:
            block = next(self._blocks, None)
            self._ended = block is None
            self._conversation.receive(End() if block is None else Audio(block))
        self._collect()

    def advance(self, steps: list[Step]) -> None:
        self._conversation.advance(steps)
        self._collect()

    def close(self) -> None:
        self._conversation.close()

    def _collect(self) -> None:
        for event in self._conversation.events():
            if isinstance(event, Final) and event.text:
                self.finals.append(event)
            elif isinstance(event, Error):
                raise BadAudio(f"{self.audio.path}: {event.message}")


def transcribe(
    engine, files: Sequence[AudioFile], options: SessionOptions, limits: SessionLimits | None = None
) -> Iterator[Transcribed]:
    """Finals of every file, in order; as many at once as there are slots.

    `limits` are those of a server's streams, so that a file is heard as a stream of it would be.

    The engine must not have been started. Raises BadAudio for a file that breaks off, EngineFailed.
    """
    steps: queue.SimpleQueue[list[Step]] = queue.SimpleQueue()
    engine.on_failure = lambda: steps.put([])  # wakes us up
    engine.start(steps.put)
    try:
        yield from _run(engine, files, options, limits or SessionLimits(), steps)
    finally:
        engine.stop()


def _run(
    engine,
    files: Sequence[AudioFile],
    options: SessionOptions,
    limits: SessionLimits,
    steps: queue.SimpleQueue,
) -> Iterator[Transcribed]:
    owners: dict[int, _Job] = {}
    at_once = engine.slots // options.channels
    if not at_once:
        raise VoxwireError(f"{engine.slots} slot(s) are too few for {options.channels} channels")
    waiting, running = list(reversed(files)), []
    while running or waiting:
        # Those behind a longer file wait for their turn to be told, but hold no slot.
        while waiting and sum(not job.finished for job in running) < at_once:
            running.append(_Job(waiting.pop(), engine, options, limits, owners))
        for job in running:
            job.feed()
        while running and running[0].finished:
            job = running.pop(0)
            job.close()
            yield Transcribed(job.audio.path, tuple(job.finals))
        if any(job.backlog_frames for job in running):
            _dispatch(steps.get(), owners)
        if engine.failure is not None:
            raise EngineFailed(f"The engine failed: {engine.failure}")


def _dispatch(steps: list[Step], owners: dict[int, _Job]) -> None:
    for step in steps:
        job = owners.get(step.lease)
        if job is not None:
            job.advance([step])
