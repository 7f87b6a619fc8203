"""Who gets a slot: a small book-keeping of seats in front of the engine. Event loop only, no I/O.

An admitted connection holds a seat per channel until it first speaks, so its first words never wait. Once it has
given a slot back in a long silence it queues for the next one, ahead of newcomers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from realtime.errors import AtCapacity


class EngineStream(Protocol):
    lease: int

    def feed(self, frame) -> int: ...
    def close(self) -> None: ...


class StreamSource(Protocol):
    """What admission needs of an engine."""

    slots: int

    def open(self, delay_tokens: int) -> EngineStream: ...


class Admission:
    def __init__(self, engine: StreamSource, max_connections: int):
        self._engine = engine
        self._max_connections = max_connections
        self._connections = 0
        self._reserved = 0
        self._leased = 0
        self._queue: deque[Seats] = deque()

    @property
    def connections(self) -> int:
        return self._connections

    @property
    def leased(self) -> int:
        return self._leased

    @property
    def free(self) -> int:
        """Slots that a newcomer may have: those in the queue come first, with every channel that waits."""
        return self._unclaimed - sum(len(seats.waiting) for seats in self._queue)

    def admit(self, channels: int) -> Seats:
        """Reserve one slot per channel, or raise AtCapacity."""
        if self._connections >= self._max_connections:
            raise AtCapacity("The server holds as many connections as it may.")
        if channels > self._engine.slots:
            raise AtCapacity(f"This server has {self._engine.slots} slot(s); the stream needs {channels}.")
        seats = Seats(self)
        seats.reserve(channels)
        self._connections += 1
        return seats

    @property
    def _unclaimed(self) -> int:
        return self._engine.slots - self._leased - self._reserved

    def _open(self, seats: Seats, delay_tokens: int) -> EngineStream | None:
        """A slot from the seats' own reservation, else a free one, else None."""
        if not seats.reserved and self._unclaimed <= 0:
            return None
        stream = self._engine.open(delay_tokens)
        if seats.reserved:
            seats.reserved -= 1
            self._reserved -= 1
        self._leased += 1
        return stream

    def call_next(self) -> None:
        """Let those in the queue try again, in order, while slots are free."""
        for _ in range(len(self._queue)):
            if self._unclaimed <= 0:
                return
            seats = self._queue.popleft()
            seats.waiting.clear()  # those that still want one ask for it now
            seats.retry()
            if seats in self._queue:  # refused again: it keeps its turn
                self._queue.remove(seats)
                self._queue.appendleft(seats)
                return


class Seats:
    """One connection's claim: reservations first, then slots, then a place in the queue."""

    def __init__(self, admission: Admission):
        self.reserved = 0
        self.waiting: set[int] = set()  # channels that were refused and not served since
        self.retry: Callable[[], None] = lambda: None  # set by the owner: ask again for what was refused
        self._admission = admission
        self._closed = False

    def reserve(self, channels: int) -> None:
        """Slots that nobody else gets before these seats have opened them. Raises AtCapacity."""
        if self._admission.free < channels:
            raise AtCapacity()
        self._admission._reserved += channels
        self.reserved += channels

    def open(self, delay_tokens: int, channel: int = 0) -> EngineStream | None:
        """A stream for `channel`, or None: then `retry` is called when it is worth asking again.

        A place in the queue is kept until its turn: a stream for one channel says nothing about the other one.
        """
        stream, queue = self._admission._open(self, delay_tokens), self._admission._queue
        if stream is not None:
            self.waiting.discard(channel)
            return stream
        self.waiting.add(channel)
        if self not in queue:
            queue.append(self)
        return None

    def release(self, stream: EngineStream) -> None:
        stream.close()
        self._admission._leased -= 1

    def settle(self) -> None:
        """Let those in the queue have what was released."""
        self._admission.call_next()

    def forfeit(self) -> None:
        """Give up what is reserved and not used."""
        self._admission._reserved -= self.reserved
        self.reserved = 0
        self._admission.call_next()

    def close(self) -> None:
        """Idempotent; streams must have been released."""
        if self._closed:
            return
        self._closed = True
        self._admission._connections -= 1
        if self in self._admission._queue:
            self._admission._queue.remove(self)
        self.forfeit()
