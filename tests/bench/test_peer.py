"""The search for the largest number of streams."""

from __future__ import annotations

import pytest

from bench.peer import largest


@pytest.mark.parametrize("limit", [0, 1, 2, 5, 12, 16, 40])
def test_the_largest_is_found_when_narrowed_to_the_end(limit):
    assert largest(lambda n: n <= limit, 1, 16, narrow=10) == min(limit, 16)


def test_every_attempt_is_new_and_few_are_needed():
    tried = []

    def holds(n: int) -> bool:
        tried.append(n)
        return n <= 77

    assert largest(holds, 25, 1600, narrow=2) == 75
    assert tried == [25, 50, 100, 75, 87]
