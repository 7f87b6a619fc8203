"""One file on its way through the engine: read in a thread, fed as fast as the engine hears, on the event loop.

To the exchange it is an owner of leases like a connection; to the service a guest that a shutdown has to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from realtime.audio.resample import SAMPLE_RATE_HZ
from realtime.config import LimitsConfig
from realtime.errors import AtCapacity, BadAudio, InternalError, VoxwireError
from realtime.events import (
    FRAME_MS,
    SAMPLE_BYTES,
    Audio,
    Done,
    End,
    Error,
    Event,
    Final,
    SessionOptions,
    Step,
)
from realtime.server.admission import Seats
from realtime.server.connection import Ending
from realtime.server.conversation import Conversation
from realtime.server.exchange import Exchange
from realtime.server.media import Media
from realtime.server.metrics import Metrics
from realtime.session import Session

ENCODING = "pcm_f32le"  # what media gives
HIGH_MS = 64 * FRAME_MS  # unheard audio: enough to keep the engine busy, little enough to keep memory flat
WATCH_S = 1.0  # how late the loss of the client may be noticed

Tell = Callable[[list[Event]], Awaitable[None]]
T = TypeVar("T")


class FileRun:
    """`run` it once, then `close` it."""

    def __init__(
        self,
        *,
        media: Media,
        session: Session,
        seats: Seats,
        exchange: Exchange,
        metrics: Metrics,
        limits: LimitsConfig,
        drain_timeout_s: float,
        is_lost: Callable[[], bool],
    ):
        """`session` has the options of `file_options`; `is_lost` tells whether the client is gone."""
        self.finals: list[Final] = []
        self.audio_ms = 0  # at the end
        self.channels = session.options.channels
        self._session = session
        self._blocks = media.blocks(self.channels)
        self._conversation = Conversation(
            session, seats, lambda lease: exchange.enter(lease, self), exchange.leave
        )
        self._metrics = metrics
        self._limits = limits
        # While a slot is waited for the session keeps no more than `max_ahead_s`, and a file must lose nothing.
        self._high_ms = min(HIGH_MS, limits.max_ahead_s * 1000 / 4)
        self._drain_timeout_s = drain_timeout_s
        self._is_lost = is_lost
        self._loop = asyncio.get_running_loop()
        self._stirred = asyncio.Event()  # the engine or the operator did something
        self._ended = False  # the file was read to its end
        self.fed_s = 0.0
        self._waiting_since_s: float | None = None
        self._error: VoxwireError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        seats.retry = self.retry

    async def run(self, tell: Tell) -> None:
        """Hear the whole file; `tell` is awaited with what was said meanwhile, the first time when some of it was read.

        Raises VoxwireError, and ConnectionError when the client is gone.
        """
        self._conversation.begin()
        while not self._session.finished:
            self._check()
            if not self._ended and self._session.lag_ms < self._high_ms:
                await self._feed()
            else:
                await self._rest()
            events = self._collected()
            if events:
                await tell(events)

    def close(self) -> None:
        """Give every slot back, and read no more of the file."""
        self._conversation.close()
        self._blocks.close()
        if self._deadline is not None:
            self._deadline.cancel()

    # ------------------------------------------------------------ called by the service and the exchange

    def advance(self, steps: list[Step]) -> None:
        self._conversation.advance(steps)
        self._stirred.set()

    def retry(self) -> None:
        """A slot may be free now."""
        try:
            self._conversation.retry()
        except Exception as error:
            self.fail(error)
        self._stirred.set()

    def fail(self, error: Exception) -> None:
        """The first reason counts."""
        known = isinstance(error, VoxwireError)
        self._error = self._error or (error if known else InternalError("The server failed on this file."))
        self._stirred.set()

    def end(self, ending: Ending) -> None:
        self.fail(ending.error or InternalError("The server gave this file up."))

    def wind_down(self, error: VoxwireError) -> None:
        """A file may be heard to its end, if that takes no longer than `drain_timeout_s`."""
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._drain_timeout_s, self.fail, error)

    # ------------------------------------------------------------ the run

    async def _feed(self) -> None:
        block = await in_thread(next, self._blocks, None)
        self._check()
        if block is None:
            self._ended = True
            if not self.fed_s:
                raise BadAudio("the file holds no audio")
            self._conversation.receive(End())
            return
        channel_s = len(block) / SAMPLE_BYTES[ENCODING] / SAMPLE_RATE_HZ
        self.fed_s += channel_s / self.channels
        if self._limits.max_session_s and self.fed_s > self._limits.max_session_s:
            raise BadAudio(f"the audio is longer than {self._limits.max_session_s:g} s")
        self._conversation.receive(Audio(block))
        self._metrics.heard(channel_s, 0)

    async def _rest(self) -> None:
        self._stirred.clear()
        try:
            async with asyncio.timeout(WATCH_S):
                await self._stirred.wait()
        except TimeoutError:
            pass

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_lost():
            raise ConnectionResetError
        if not self._session.is_waiting:
            self._waiting_since_s = None
            return
        now = self._loop.time()
        self._waiting_since_s = self._waiting_since_s or now
        if self._limits.idle_timeout_s and now - self._waiting_since_s >= self._limits.idle_timeout_s:
            raise AtCapacity("No slot came free for the rest of this file.")

    def _collected(self) -> list[Event]:
        """What was said since the last call, once some of the file was read."""
        self._metrics.heard(0.0, len(self._conversation.take_fed()))
        events = self._conversation.events()
        for event in events:
            if isinstance(event, Final) and event.text:
                self.finals.append(event)
                self._metrics.finals.labels(event.reason).inc()
            elif isinstance(event, Done):
                self.audio_ms = event.audio_ms
            elif isinstance(event, Error):
                raise InternalError("The server failed on this file.")
        return events


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Like `asyncio.to_thread`, but who is cancelled waits for the thread: what it reads from must outlast it."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.gather(work, return_exceptions=True)
        raise


def file_options(options: SessionOptions, channels: int) -> SessionOptions:
    """`options` for the blocks of `channels` that media gives."""
    return replace(options, encoding=ENCODING, sample_rate=SAMPLE_RATE_HZ, channels=channels)
