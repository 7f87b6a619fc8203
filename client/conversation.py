"""One source, captioned over as many connections as it takes.

Chunks of a source go in at one side, events in the *source's* time come out at the other: a lost connection
costs a notice and a wait, and the captions after it still carry the right times.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from client import protocol
from client.errors import Busy, ClientError, Lost, Unreachable
from client.protocol import Done, Event, Final, Options, Partial, Ready
from client.source import Chunk, Source
from client.stream import Stream, connect

STALL_S = 60.0  # nothing sent and nothing heard for this long: the server hangs
LONGEST_BRIDGED_MS = 500  # dropped audio that may lie inside an utterance
STEADY_S = 5.0  # a connection that lived this long was a good one; failures are counted anew after it


@dataclass(frozen=True, slots=True)
class Retrying:
    """The connection is gone; the next attempt is in `wait_s`."""

    why: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A new connection took over; it gets `resent_ms` of audio that the old one may not have heard."""

    resent_ms: int


Happening = Event | Retrying | Reconnected


class SourceClock:
    """Maps the stream time of one connection to the time of the source: holes in the source are not sent."""

    def __init__(self, sample_rate: int):
        self._rate = sample_rate
        self._sent = 0
        self._next_start = -1  # where the source would go on without a hole
        self._pieces: deque[tuple[int, int]] = deque(
            maxlen=256
        )  # (first sample sent, its place in the source)

    def hole_ms(self, chunk: Chunk) -> int:
        """How much audio is missing between the last chunk and this one."""
        return 1000 * (chunk.start_sample - self._next_start) // self._rate if self._sent else 0

    def sent(self, chunk: Chunk) -> None:
        if chunk.start_sample != self._next_start:
            self._pieces.append((self._sent, chunk.start_sample))
        self._sent += chunk.n_samples
        self._next_start = chunk.start_sample + chunk.n_samples

    def start_to_source_ms(self, stream_ms: int) -> int:
        """What begins at a hole begins after it."""
        return self._moved(stream_ms, stream_ms * self._rate // 1000)

    def end_to_source_ms(self, stream_ms: int) -> int:
        """What ends at a hole ends before it."""
        return self._moved(stream_ms, stream_ms * self._rate // 1000 - 1)

    def _moved(self, stream_ms: int, sample: int) -> int:
        pieces = reversed(self._pieces)
        sent, start = next((piece for piece in pieces if piece[0] <= max(0, sample)), (0, 0))
        return stream_ms + 1000 * (start - sent) // self._rate


class Replay:
    """The chunks that the server may not have heard yet, at most `limit_s` of them."""

    def __init__(self, sample_rate: int, limit_s: float):
        self._rate = sample_rate
        self._limit_samples = int(limit_s * sample_rate)
        self._chunks: deque[Chunk] = deque()
        self._samples = 0

    def add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._samples += chunk.n_samples
        while self._samples > self._limit_samples:
            self._drop()

    def heard(self, source_ms: int) -> None:
        """Everything before `source_ms` needs no second sending."""
        sample = source_ms * self._rate // 1000
        while self._chunks and self._chunks[0].start_sample + self._chunks[0].n_samples <= sample:
            self._drop()

    def chunks(self) -> list[Chunk]:
        return list(self._chunks)

    @property
    def length_ms(self) -> int:
        return 1000 * self._samples // self._rate

    def _drop(self) -> None:
        self._samples -= self._chunks.popleft().n_samples


class Backoff:
    """How long to wait before the next attempt: doubling, spread, and never sooner than the server asked."""

    def __init__(self, first_s: float = 0.5, longest_s: float = 10.0, patience_s: float = 300.0):
        self._first_s = first_s
        self._longest_s = longest_s
        self._patience_s = patience_s
        self.reset()

    def reset(self) -> None:
        self._attempts = 0
        self._waited_s = 0.0

    def next_s(self, error: ClientError) -> float:
        """Seconds to wait. Raises the error itself when the patience is used up."""
        wait_s = min(self._longest_s, self._first_s * 2**self._attempts) * random.uniform(0.8, 1.2)
        if isinstance(error, Busy) and error.retry_after_s is not None:
            wait_s = max(wait_s, error.retry_after_s)
        self._attempts += 1
        self._waited_s += wait_s
        if self._waited_s > self._patience_s:
            raise error
        return wait_s


class Conversation:
    """Streams a source and reports what happens.

    A `live` source is sent at its own pace, so pings can watch the connection; in a hurry they would wait behind
    the audio. A first connection that nobody answers fails at once; a server that is busy, or one that went away
    later, is waited for.
    """

    def __init__(
        self,
        source: Source,
        url: str = protocol.DEFAULT_URL,
        options: Options | None = None,
        key: str | None = None,
        *,
        live: bool = True,
        backoff: Backoff | None = None,
        stall_s: float = STALL_S,
        connect: Callable[..., Awaitable[Stream]] = connect,
    ):
        self.source = source
        self.connected = False  # has there been a connection yet?
        self.heard_ms = 0  # how much of the source the model has answered for
        self._url = url
        self._options = replace(
            options or Options(),
            encoding="pcm_s16le",
            sample_rate=source.sample_rate,
            channels=source.channels,
        )
        self._key = key
        self._live = live
        self._backoff = backoff or Backoff()
        self._stall_s = stall_s
        self._connect = connect
        self._stopping = asyncio.Event()
        # Live, little is in flight; otherwise all that the buffers between here and the model hold.
        self._replay = Replay(source.sample_rate, limit_s=30 if live else 600)
        self._clock = SourceClock(source.sample_rate)
        self._delay_ms = 0
        self._open: dict[int, Partial] = {}  # by channel: the utterance that has no final yet
        self._first_utterance = 0  # the numbers go on where the last connection stopped
        self._next_utterance = 0
        self._last_sign_s = 0.0
        self._broken: Exception | None = None  # why this side gave the stream up

    def stop(self) -> None:
        """End the source; the last finals and `Done` still come."""
        self.source.stop()
        self._stopping.set()

    async def happenings(self) -> AsyncIterator[Happening]:
        """Events in source time and notices, until and with `Done`. Raises ClientError."""
        while True:
            try:
                stream = await self._open_stream()
            except (Unreachable, Busy) as error:
                if isinstance(error, Unreachable) and not self.connected:
                    raise
                yield (retrying := self._retrying(error))
                await self._pause(retrying.wait_s)
                continue
            if self.connected:
                yield Reconnected(self._replay.length_ms)
            self.connected = True
            since_s = asyncio.get_running_loop().time()
            try:
                async with aclosing(self._carry(stream)) as events:
                    async for event in events:
                        yield event
                return
            except ClientError as error:
                for final in self._settle():
                    yield final
                if asyncio.get_running_loop().time() - since_s > STEADY_S:
                    self._backoff.reset()
                yield (retrying := self._retrying(error))
                await self._pause(retrying.wait_s)

    async def _open_stream(self) -> Stream:
        pings = {} if self._live else {"ping_interval_s": None}
        return await self._connect(self._url, self._options, self._key, **pings)

    def _retrying(self, error: ClientError) -> Retrying:
        if not error.retry or self._stopping.is_set():
            raise error
        return Retrying(str(error), self._backoff.next_s(error))

    async def _pause(self, wait_s: float) -> None:
        """Wait; a stop cuts it short for one last attempt."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), wait_s)

    # ------------------------------------------------------------ one connection

    async def _carry(self, stream: Stream) -> AsyncIterator[Event]:
        """Send the source and yield the events of one connection. Raises Lost, or what broke on this side."""
        self._clock = SourceClock(self.source.sample_rate)
        self._broken = None
        self._sign_of_life()
        tasks = [asyncio.create_task(self._send_all(stream)), asyncio.create_task(self._watch(stream))]
        try:
            async for event in stream.events():
                self._sign_of_life()
                yield self._take(event)
        except Lost:
            if self._broken is not None:
                raise self._broken from None
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await stream.close()
        if self._broken is not None:
            raise self._broken

    async def _send_all(self, stream: Stream) -> None:
        try:
            for chunk in self._replay.chunks():
                await self._send(stream, chunk)
            while (chunk := await self._read()) is not None:
                self._replay.add(chunk)
                await self._send(stream, chunk)
            await stream.end()
        except Lost:
            pass  # the reader meets the same end and knows the server's reason
        except Exception as error:
            self._broken = error
            await stream.close()

    async def _read(self) -> Chunk | None:
        """The next chunk. A source that breaks ends the stream in order; its error is raised after `Done`."""
        try:
            return await self.source.read()
        except ClientError as error:
            self._broken = error
            return None

    async def _send(self, stream: Stream, chunk: Chunk) -> None:
        if self._clock.hole_ms(chunk) > LONGEST_BRIDGED_MS:
            await stream.flush()  # no caption reaches across what was dropped
        self._clock.sent(chunk)
        await stream.send(chunk.data)
        self._sign_of_life()

    async def _watch(self, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        while (left_s := self._last_sign_s + self._stall_s - loop.time()) > 0:
            await asyncio.sleep(left_s)
        self._broken = Lost(f"The server gave no sign of life for {self._stall_s:g} s.", retry=True)
        await stream.close()

    def _sign_of_life(self) -> None:
        self._last_sign_s = asyncio.get_running_loop().time()

    # ------------------------------------------------------------ events

    def _take(self, event: Event) -> Event:
        """Move the event to the source's time and numbering, and remember what the model has heard.

        Words alone tell that: the gate announces the end of speech long before the model gets there.
        """
        event = protocol.move_times(event, self._clock.start_to_source_ms, self._clock.end_to_source_ms)
        match event:
            case Ready():
                self._delay_ms = event.delay_ms
            case Partial():
                event = self._renumber(event)
                self._open[event.channel] = event
                self._note_heard(event.audio_ms - self._delay_ms)
            case Final():
                event = self._renumber(event)
                self._open.pop(event.channel, None)
                self._note_heard(event.end_ms)
            case Done():
                event = replace(event, utterances=self._first_utterance + event.utterances)
        return event

    def _note_heard(self, source_ms: int) -> None:
        self.heard_ms = max(self.heard_ms, source_ms)
        self._replay.heard(source_ms)

    def _renumber(self, event: Partial | Final) -> Partial | Final:
        number = self._first_utterance + event.utterance
        self._next_utterance = max(self._next_utterance, number + 1)
        return replace(event, utterance=number)

    def _settle(self) -> list[Final]:
        """Finals for the utterances that a lost connection left open: their words stay in the transcript."""
        finals = [
            Final(
                utterance=partial.utterance,
                text=partial.text,
                start_ms=partial.start_ms,
                end_ms=max(partial.start_ms, partial.audio_ms - self._delay_ms),
                reason="lost",
                channel=partial.channel,
            )
            for partial in self._open.values()
            if partial.text.strip()
        ]
        self._open.clear()
        self._first_utterance = self._next_utterance
        return finals
