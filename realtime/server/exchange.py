"""The one crossing between the engine's thread and the event loop: a tick's steps go over in a single hop.

Only the loop touches the table of owners, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from realtime.events import Step

log = logging.getLogger("voxwire.exchange")


class Owner(Protocol):
    def advance(self, steps: list[Step]) -> None: ...
    def fail(self, error: Exception) -> None: ...


class Exchange:
    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._owners: dict[int, Owner] = {}  # by lease

    def __len__(self) -> int:
        return len(self._owners)

    def enter(self, lease: int, owner: Owner) -> None:
        self._owners[lease] = owner

    def leave(self, lease: int) -> None:
        self._owners.pop(lease, None)

    def deliver(self, steps: list[Step]) -> None:
        """Called in the engine thread, once per tick."""
        self._loop.call_soon_threadsafe(self._dispatch, steps)

    def _dispatch(self, steps: list[Step]) -> None:
        for owner, own_steps in self._by_owner(steps).items():
            try:
                owner.advance(own_steps)
            except Exception as error:  # one stream's fault must not cost the others their steps
                log.exception("a stream failed on its steps")
                owner.fail(error)

    def _by_owner(self, steps: Iterable[Step]) -> dict[Owner, list[Step]]:
        """Steps of leases that nobody holds any more are dropped."""
        groups: dict[Owner, list[Step]] = {}
        for step in steps:
            owner = self._owners.get(step.lease)
            if owner is not None:
                groups.setdefault(owner, []).append(step)
        return groups
