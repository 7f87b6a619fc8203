"""What calls say, for whoever follows them: a log per call, which every follower reads at its own pace.

    Connection ─► Call (log, latest partials) ─► follow() ─► a WebSocket, server-sent events
                           └─► the webhook

A follower costs its call nothing but a place in the log: of partials it is given the latest, and one that the log's
end overtakes is cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

from realtime.dialects.base import to_json
from realtime.dialects.native import NativeDialect
from realtime.errors import ShuttingDown, SlowReader, VoxwireError
from realtime.events import Error, Event, Final, Partial
from realtime.server.clock import utc_now

MAX_LOG_BYTES = 256 * 1024  # of one call; an hour of finals, more or less
KEEP_S = 600.0  # how long a finished call stays readable
KEEP_CALLS = 200  # finished calls; the oldest goes first

_NATIVE = NativeDialect()


class NoSuchCall(VoxwireError):
    """Nobody has announced a call of this name, or it was long ago."""

    code = "no_such_call"
    http_status = 404
    close_code = 1008


@dataclass(frozen=True, slots=True)
class Entry:
    """One message to followers. `sequence` counts from 1 in a call; a partial, which may be left out, has none."""

    text: str  # JSON
    sequence: int | None = None


Observer = Callable[["Call", Entry], None]
"""Told of what outlives the moment: finals and what is published. Never waits, never raises."""


class Call:
    """One announced stream. Implements the `Broadcast` of its connection."""

    def __init__(
        self, call_id: str, details: Mapping[str, Any], observe: Observer, on_end: Callable[[Call], None]
    ):
        self.id = call_id
        self.details = dict(details)
        self.started_at = utc_now()
        self.stopped_at: str | None = None
        self._observe = observe
        self._on_end = on_end
        self._log: deque[Entry] = deque()  # without gaps in the sequence
        self._log_bytes = 0
        self._sequence = 0
        self._partials: dict[int, Partial] = {}  # by channel; newer than its last final
        self._last_error: Error | None = None  # since the last final
        self._changed = asyncio.Event()
        self.publish({"type": "call_started", "call": self.id, "started_at": self.started_at, **self.details})

    def describe(self) -> dict[str, Any]:
        """For the list of calls."""
        times = {"started_at": self.started_at, "stopped_at": self.stopped_at}
        known = {name: time for name, time in times.items() if time is not None}
        return {"call": self.id, "running": self.stopped_at is None, **known, **self.details}

    # ------------------------------------------------------------ in

    def tell(self, event: Event) -> None:
        """An event of the session, in the native protocol."""
        if isinstance(event, Partial):
            self._partials[event.channel] = event
            self._wake()
            return
        if isinstance(event, Final):
            self._partials.pop(event.channel, None)
            self._last_error = None
        elif isinstance(event, Error):
            if event == self._last_error:
                return  # a fault in every packet would drive the finals out of the log
            self._last_error = event
        for frame in _NATIVE.encode(event):
            entry = self._append(frame)
            if isinstance(event, Final):
                self._observe(self, entry)

    def publish(self, message: Mapping[str, Any]) -> None:
        """Anything else: a JSON object with a `type`."""
        self._observe(self, self._append(to_json(message)))

    def end(self, reason: str) -> None:
        """Nothing more will come: `ended`, `disconnected` or the code of an error."""
        self.stopped_at = utc_now()
        self._partials.clear()  # what became of no final
        self.publish(
            {"type": "call_stopped", "call": self.id, "stopped_at": self.stopped_at, "reason": reason}
        )
        self._on_end(self)

    def _append(self, text: str) -> Entry:
        self._sequence += 1
        entry = Entry(text, self._sequence)
        self._log.append(entry)
        self._log_bytes += len(text)
        while self._log_bytes > MAX_LOG_BYTES and len(self._log) > 1:
            self._log_bytes -= len(self._log.popleft().text)
        self._wake()
        return entry

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # ------------------------------------------------------------ out

    def so_far(self) -> list[str]:
        """Every message but the partials, as far back as the log goes."""
        return [entry.text for entry in self._log]

    @property
    def last_sequence(self) -> int:
        return self._sequence

    async def follow(self, after: int = 0) -> AsyncIterator[Entry]:
        """What was said behind message `after` and what is said from now on, until the call is over.

        Raises SlowReader for a follower whose place the log has left behind.
        """
        place = max(after, self._log[0].sequence - 1)
        shown: dict[int, Partial] = {}
        while True:
            changed = self._changed
            for entry in self._since(place):
                place = entry.sequence
                yield entry
            for partial in self._news(shown):
                yield Entry(_NATIVE.encode(partial)[0])
            if self.stopped_at is not None and place == self._sequence:
                return
            await changed.wait()

    def _since(self, place: int) -> list[Entry]:
        behind = place + 1 - self._log[0].sequence
        if behind < 0:
            raise SlowReader("The follower does not read what the call says.")
        return list(islice(self._log, behind, None))

    def _news(self, shown: dict[int, Partial]) -> Iterator[Partial]:
        """Partials that are not `shown` yet; each delta follows on what this follower was shown."""
        for partial in list(self._partials.values()):
            old = shown.get(partial.channel)
            if old is not None and old.utterance == partial.utterance:
                if len(old.text) == len(partial.text):
                    continue
                shown[partial.channel] = partial
                yield replace(partial, delta=partial.text[len(old.text) :])
            else:
                shown[partial.channel] = partial
                yield replace(partial, delta=partial.text)


class Hub:
    """All calls that run, and for some minutes those that did."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        observe: Observer = lambda call, entry: None,
        keep_s: float = KEEP_S,
        keep_calls: int = KEEP_CALLS,
    ):
        self._loop = loop
        self._observe = observe
        self._keep_s = keep_s
        self._keep_calls = keep_calls
        self._calls: dict[str, Call] = {}
        self._finished: dict[Call, asyncio.TimerHandle] = {}  # oldest first; when each is forgotten
        self._awaited: dict[str, set[asyncio.Future[Call]]] = {}
        self._closed = False

    def open(self, name: str, details: Mapping[str, Any]) -> Call:
        """A call of this name; while another of that name runs, of this name with a number."""
        call_id = next(candidate for candidate in _candidates(name) if not self._is_running(candidate))
        call = Call(call_id, details, self._observe, self._on_end)
        self._calls.pop(call_id, None)  # a finished one; the list is in the order of beginning
        self._calls[call_id] = call
        for waiting in self._awaited.get(call_id, ()):
            if not waiting.done():
                waiting.set_result(call)
        return call

    def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def running(self) -> list[Call]:
        """Oldest first."""
        return [call for call in self._calls.values() if call.stopped_at is None]

    async def wait_for(self, call_id: str, timeout_s: float) -> Call:
        """The call, which may still have to begin. Raises NoSuchCall when it does not."""
        if (call := self.get(call_id)) is not None:
            return call
        if self._closed:
            raise ShuttingDown("The server is shutting down.")
        begun: asyncio.Future[Call] = self._loop.create_future()
        self._awaited.setdefault(call_id, set()).add(begun)
        try:
            async with asyncio.timeout(timeout_s):
                return await begun
        except TimeoutError:
            raise NoSuchCall(f"No call of this name began within {timeout_s:g} s.") from None
        finally:
            self._awaited[call_id].discard(begun)
            if not self._awaited[call_id]:
                del self._awaited[call_id]

    def close(self) -> None:
        """Nobody need wait any more. Calls end with their connections."""
        self._closed = True
        for waiting in [future for futures in self._awaited.values() for future in futures]:
            if not waiting.done():
                waiting.set_exception(ShuttingDown("The server is shutting down."))

    def _is_running(self, call_id: str) -> bool:
        call = self._calls.get(call_id)
        return call is not None and call.stopped_at is None

    def _on_end(self, call: Call) -> None:
        self._finished[call] = self._loop.call_later(self._keep_s, self._forget, call)
        while len(self._finished) > self._keep_calls:
            self._forget(next(iter(self._finished)))

    def _forget(self, call: Call) -> None:
        self._finished.pop(call).cancel()  # a timer keeps what it is to be called with
        if self._calls.get(call.id) is call:  # else a later one has its name
            del self._calls[call.id]


def _candidates(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        yield f"{name}-{number}"
