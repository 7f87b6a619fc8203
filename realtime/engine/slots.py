"""Which rows of the rings are taken. Lowest free slot first, so that the active rows stay a short prefix."""

from __future__ import annotations

import heapq


class Slots:
    """Not thread-safe; the engine guards it."""

    def __init__(self, count: int):
        self.count = count
        self._free = list(range(count))
        self._taken: set[int] = set()

    @property
    def in_use(self) -> int:
        return len(self._taken)

    def take(self) -> int | None:
        """The lowest free slot, or None."""
        if not self._free:
            return None
        slot = heapq.heappop(self._free)
        self._taken.add(slot)
        return slot

    def give_back(self, slot: int) -> None:
        """Raises KeyError for a slot that nobody holds."""
        self._taken.remove(slot)
        heapq.heappush(self._free, slot)
