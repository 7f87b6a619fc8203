"""What waits for one client: every event in order, but of the partials only the latest per channel.

A partial holds the whole utterance so far, so a newer one replaces the older; whatever else is said must arrive.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from itertools import count

from realtime.dialects.base import Note, Reply
from realtime.events import Event, Final, Partial

MAX_EVENTS = 512  # a client that is owed so many finals, starts and stops does not read


class Outbox:
    """Bounded by `MAX_EVENTS` plus one partial per channel: `put` answers False when the bound is passed."""

    def __init__(self, max_events: int = MAX_EVENTS):
        self._events: OrderedDict[int, Event | Reply | Note] = OrderedDict()
        self._partials: dict[int, int] = {}  # channel → its partial's key in _events
        self._keys = count()
        self._max_events = max_events
        self._filled = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event | Reply | Note) -> bool:
        if isinstance(event, Partial):
            event = self._replacing(event)
        elif isinstance(event, Final):
            self._withdraw(event)
        key = next(self._keys)
        self._events[key] = event
        if isinstance(event, Partial):
            self._partials[event.channel] = key
        self._filled.set()
        return len(self._events) - len(self._partials) <= self._max_events

    def pop(self) -> Event | Reply | Note | None:
        """The oldest event, None when there is none."""
        if not self._events:
            return None
        key, event = self._events.popitem(last=False)
        if isinstance(event, Partial) and self._partials.get(event.channel) == key:
            del self._partials[event.channel]
        return event

    def clear(self) -> None:
        self._events.clear()
        self._partials.clear()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._filled.set()

    async def wait(self) -> bool:
        """True once there is something to pop, False when there will be nothing any more."""
        while not self._events and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        return bool(self._events)

    def _replacing(self, new: Partial) -> Partial:
        """Take back the partial that `new` extends; the unread delta is kept within the new one."""
        key = self._partials.get(new.channel)
        old = self._events.get(key) if key is not None else None
        if not isinstance(old, Partial) or old.utterance != new.utterance:
            return new
        del self._events[key]
        return replace(new, delta=old.delta + new.delta)

    def _withdraw(self, final: Final) -> None:
        """A final makes the unread partial of its utterance pointless."""
        key = self._partials.get(final.channel)
        old = self._events.get(key) if key is not None else None
        if isinstance(old, Partial) and old.utterance == final.utterance:
            del self._events[key]
            del self._partials[final.channel]
