import asyncio

from client.pacing import Pacer


class Clock:
    """Time that passes only when somebody waits, or when told."""

    def __init__(self):
        self.now_s = 100.0
        self.waits = []

    def __call__(self):
        return self.now_s

    async def sleep(self, seconds):
        self.waits.append(round(seconds, 6))
        self.now_s += seconds


def pace(clock, steps):
    """Play `steps` of (moment_s, work_s afterwards); returns when each moment was let through."""

    async def play():
        pacer = Pacer(clock, clock.sleep)
        passed = []
        for moment_s, work_s in steps:
            await pacer.wait_until(moment_s)
            passed.append(round(clock.now_s - 100, 6))
            clock.now_s += work_s
        return passed

    return asyncio.run(play())


def test_chunks_leave_when_they_would_have_been_spoken():
    assert pace(Clock(), [(0.08, 0), (0.16, 0), (0.24, 0)]) == [0.08, 0.16, 0.24]


def test_slow_work_does_not_add_up():
    clock = Clock()
    assert pace(clock, [(0.08 * n, 0.05) for n in range(1, 101)])[-1] == 8.0


def test_a_small_delay_is_caught_up():
    assert pace(Clock(), [(0.08, 1.0), (0.16, 0), (1.6, 0)]) == [0.08, 1.08, 1.6]


def test_after_a_long_stall_the_clock_starts_anew():
    assert pace(Clock(), [(0.08, 60.0), (0.16, 0), (0.24, 0)]) == [0.08, 60.08, 60.16]
