"""Keeps the memory of large tensors in the process between ticks.

glibc gives blocks above 128 KiB back to the kernel when they are freed, so that every intermediate tensor of every tick
would fault its pages in again: with 128 gathered rows that is a quarter of the tick on the CPU.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK_BYTES = 1 << 30


def keep_large_blocks() -> bool:
    """For the whole process. Returns whether the C library knows how (glibc does, others ignore the wish)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES) and mallopt(_M_TRIM_THRESHOLD, _LARGEST_BLOCK_BYTES)
    )
