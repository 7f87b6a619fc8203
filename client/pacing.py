"""The pace of a recording played as if it were live: an absolute clock, so that errors do not add up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pacer:
    """Waits until a moment of the recording is due.

    A chunk is due when its last sample would have been spoken. Falling behind is caught up by not waiting;
    only after a stall longer than `max_behind_s` (a lost connection, a laptop asleep) does the clock start
    anew from there.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        max_behind_s: float = 2.0,
    ):
        self._clock = clock
        self._sleep = sleep
        self._max_behind_s = max_behind_s
        self._zero_s: float | None = None

    async def wait_until(self, moment_s: float) -> None:
        """Return when `moment_s` of the recording has passed; the first call starts the clock at 0."""
        now = self._clock()
        if self._zero_s is None:
            self._zero_s = now
        ahead_s = self._zero_s + moment_s - now
        if ahead_s > 0:
            await self._sleep(ahead_s)
        elif -ahead_s > self._max_behind_s:
            self._zero_s = now - moment_s


class NoPace:
    """As fast as the server reads."""

    async def wait_until(self, moment_s: float) -> None:
        return None
