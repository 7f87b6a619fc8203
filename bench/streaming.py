"""Clips of a folder through a real server: what it wrote of every channel, and how long that took.

Every clip is a connection of its own, sent at its own sample rate as fast as the server takes it (or as it was
spoken), several at a time. Two-channel clips are streamed as two channels.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import server, speech
from bench.report import BenchError, progress
from bench.speech import Row
from client.errors import BadInput, ClientError
from client.files import FileSource
from client.pacing import NoPace, Pacer
from client.protocol import Final, Options, Word
from client.stream import Stream, connect

CLIP_TIMEOUT_S = 300.0
ATTEMPTS = 2  # a clip that is lost once is sent once more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every bench that streams clips."""
    parser.add_argument("--speech", metavar="FOLDER", help="with manifest.jsonl (default: VOXWIRE_SPEECH)")
    parser.add_argument("--vad", choices=("on", "off"), default="on", help="default: %(default)s")
    parser.add_argument("--groups", metavar="NAME,...", help="only groups whose names begin so")
    parser.add_argument("--limit", type=int, metavar="N", help="first N clips of every group")
    parser.add_argument("--at-once", type=int, default=8, help="clips in flight (default: %(default)s)")
    server.add_arguments(parser)


def recordings(options: argparse.Namespace) -> tuple[Path, list[Row]]:
    """The folder and its rows that were asked for. Raises BenchError if there are none."""
    place = speech.folder(options.speech)
    if place is None:
        raise BenchError("there are no recordings: give --speech FOLDER or set VOXWIRE_SPEECH")
    return place, chosen(speech.manifest(place), options.groups, options.limit)


def chosen(rows: Sequence[Row], groups: str | None, limit: int | None) -> list[Row]:
    """The rows of the wanted groups. Raises BenchError if there are none."""
    kept: dict[str, list[Row]] = {}
    for row in rows:
        if groups is None or row.group.startswith(tuple(groups.split(","))):
            kept.setdefault(row.group, []).append(row)
    found = [row for group in kept.values() for row in group[:limit]]
    if not found:
        raise BenchError("no clip of these groups")
    return found


@dataclass(frozen=True, slots=True)
class Time:
    """Of one clip: its length, from its first byte to `done`, and from its last byte to that."""

    audio_s: float
    wall_s: float
    final_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """The finals of each channel, and the time they took."""

    finals: tuple[tuple[Final, ...], ...]
    time: Time

    @property
    def texts(self) -> list[str]:
        """One a channel."""
        return [" ".join(final.text.strip() for final in finals) for finals in self.finals]

    @property
    def words(self) -> list[list[Word]]:
        """Those of each channel."""
        return [[word for final in finals for word in final.words] for finals in self.finals]


class Streaming:
    """All clips with the same options."""

    def __init__(self, url: str, options: Options, at_once: int, live: bool = False):
        self.delay_ms = 0  # what the server said
        self._new_pacer = Pacer if live else NoPace
        self._url, self._options = url, options
        self._seats = asyncio.Semaphore(at_once)
        self._done = 0

    async def all(self, clips: Sequence[Row]) -> list[Heard]:
        """What was heard of every clip, in order. Raises BenchError for a clip that cannot be streamed: a hole would
        flatter."""
        return await asyncio.gather(*(self._clip(row, len(clips)) for row in clips))

    async def _clip(self, row: Row, total: int) -> Heard:
        async with self._seats:
            for attempt in range(ATTEMPTS):
                try:
                    async with asyncio.timeout(CLIP_TIMEOUT_S):
                        heard = await self._stream(row)
                    break
                except BadInput as error:
                    raise BenchError(str(error)) from None
                except (ClientError, TimeoutError) as error:
                    if attempt == ATTEMPTS - 1:
                        raise BenchError(f"{row.path.name}: {error or 'no end in time'}") from None
        self._done += 1
        if self._done % 50 == 0 or self._done == total:
            progress(f"{self._done} of {total} clips at {self.delay_ms} ms")
        return heard

    async def _stream(self, row: Row) -> Heard:
        source = FileSource(row.path, channels=len(row.texts), pacer=self._new_pacer())
        options = replace(self._options, sample_rate=source.sample_rate, channels=source.channels)
        heard: list[list[Final]] = [[] for _ in row.texts]
        try:
            async with await connect(self._url, options, ping_interval_s=None) as stream:
                began_s = time.monotonic()
                sender = asyncio.create_task(_send(stream, source))
                try:
                    async for event in stream.events():
                        if isinstance(event, Final):
                            heard[event.channel].append(event)
                        elif hasattr(event, "delay_ms"):
                            self.delay_ms = event.delay_ms
                    done_s, sent_s = time.monotonic(), await sender
                finally:
                    sender.cancel()
                    await asyncio.gather(sender, return_exceptions=True)
        finally:
            source.close()
        took = Time(source.duration_ms / 1000, done_s - began_s, done_s - sent_s)
        return Heard(tuple(map(tuple, heard)), took)


async def _send(stream: Stream, source: FileSource) -> float:
    """When the last byte was sent."""
    while (chunk := await source.read()) is not None:
        await stream.send(chunk.data)
    sent_s = time.monotonic()
    await stream.end()
    return sent_s
