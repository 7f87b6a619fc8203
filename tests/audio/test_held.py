from __future__ import annotations

import numpy as np

from realtime.audio.held import SPARE_SAMPLES, Held


def held(*lengths: int) -> Held:
    queue, at = Held(), 0
    for n in lengths:
        queue.append(np.arange(at, at + n, dtype=np.float32))
        at += n
    return queue


def test_takes_across_chunks():
    queue = held(3, 4, 0, 5)
    assert queue.take_until(5).tolist() == [0, 1, 2, 3, 4]
    assert queue.start == 5
    assert queue.take_until(5).tolist() == []
    assert queue.take_until(12).tolist() == [5, 6, 7, 8, 9, 10, 11]
    queue.append(np.array([12], np.float32))
    assert queue.take_until(13).tolist() == [12]


def test_a_whole_chunk_is_not_copied():
    queue, chunk = Held(), np.zeros(100, np.float32)
    queue.append(chunk)
    assert queue.take_until(100) is chunk


def test_drops_across_chunks():
    queue = held(3, 4, 5)
    queue.drop_before(-1)
    assert queue.start == 0
    queue.drop_before(4)
    assert queue.start == 4
    assert queue.take_until(6).tolist() == [4, 5]
    queue.drop_before(4)
    assert queue.start == 6
    assert queue.take_until(12).tolist() == [6, 7, 8, 9, 10, 11]


def test_trim_keeps_what_is_asked_and_bounds_the_rest():
    queue = held(*[1280] * 100)
    queue.trim(50_000)
    first = queue.start
    assert 50_000 - 1280 <= first <= 50_000
    assert queue.take_until(128_000).tolist() == list(range(first, 128_000))


def test_trim_lets_go_of_a_chunk_of_any_size():
    giant = np.arange(10**6, dtype=np.float32)
    queue = Held()
    queue.append(giant)
    queue.trim(10**6 - SPARE_SAMPLES)
    tail = queue.take_until(10**6)
    assert tail.tolist() == giant[-SPARE_SAMPLES:].tolist()
    assert not np.shares_memory(tail, giant)


def test_crumbs_are_joined():
    queue = held(*[1] * 10_000)
    assert len(queue._chunks) <= 10_000 // 320 + 1
    queue.trim(100)
    assert queue.take_until(10_000)[-3:].tolist() == [9997, 9998, 9999]
