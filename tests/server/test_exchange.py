"""The crossing between the threads."""

from __future__ import annotations

import asyncio
import threading

from realtime.events import Step
from realtime.server.exchange import Exchange


class Owner:
    def __init__(self, expected: int = 1):
        self.calls: list[list[Step]] = []
        self.faults: list[Exception] = []
        self.threads: set[int] = set()
        self.done = asyncio.Event()
        self._expected = expected

    def advance(self, steps: list[Step]) -> None:
        self.calls.append(steps)
        self.threads.add(threading.get_ident())
        if len(self.calls) == self._expected:
            self.done.set()

    def fail(self, error: Exception) -> None:
        self.faults.append(error)
        self.done.set()


class FaultyOwner(Owner):
    def advance(self, steps: list[Step]) -> None:
        raise RuntimeError("scripted")


def step(lease: int, position: int = 0) -> Step:
    return Step(lease, position, 32, 0.0)


def from_another_thread(exchange: Exchange, *ticks: list[Step]) -> None:
    thread = threading.Thread(target=lambda: [exchange.deliver(tick) for tick in ticks])
    thread.start()
    thread.join()


def test_steps_of_a_tick_reach_their_owners_together_and_on_the_loop():
    async def scene():
        exchange, both, one = Exchange(asyncio.get_running_loop()), Owner(), Owner()
        exchange.enter(1, both)
        exchange.enter(2, one)
        exchange.enter(3, both)
        from_another_thread(exchange, [step(1), step(2), step(3)])
        await asyncio.wait_for(both.done.wait(), 5)
        assert both.calls == [[step(1), step(3)]]
        assert one.calls == [[step(2)]]
        assert both.threads == {threading.get_ident()}

    asyncio.run(scene())


def test_steps_of_a_lease_that_left_mean_nothing():
    async def scene():
        exchange, gone, here = Exchange(asyncio.get_running_loop()), Owner(), Owner()
        exchange.enter(1, gone)
        exchange.enter(2, here)
        from_another_thread(exchange, [step(1), step(2)])
        exchange.leave(1)  # before the hop lands
        await asyncio.wait_for(here.done.wait(), 5)
        assert gone.calls == []

    asyncio.run(scene())


def test_ticks_stay_in_order():
    async def scene():
        exchange, owner = Exchange(asyncio.get_running_loop()), Owner(expected=50)
        exchange.enter(1, owner)
        from_another_thread(exchange, *([step(1, n)] for n in range(50)))
        await asyncio.wait_for(owner.done.wait(), 5)
        assert [call[0].position for call in owner.calls] == list(range(50))

    asyncio.run(scene())


def test_a_faulty_owner_is_told_and_the_others_get_their_steps():
    async def scene():
        exchange, faulty, good = Exchange(asyncio.get_running_loop()), FaultyOwner(), Owner()
        exchange.enter(1, faulty)
        exchange.enter(2, good)
        from_another_thread(exchange, [step(1), step(2)])
        await asyncio.wait_for(good.done.wait(), 5)
        assert len(faulty.faults) == 1
        assert good.calls == [[step(2)]]

    asyncio.run(scene())
