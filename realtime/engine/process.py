"""What a process with an engine thread needs from the C library and the interpreter."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK_BYTES = 1 << 30
_SWITCH_INTERVAL_S = 0.0002


def prepare() -> None:
    """For the whole process, once, before the first tick."""
    keep_large_blocks()
    # Every tensor operation gives the interpreter lock away and asks for it again. With the default of 5 ms the event
    # loop, once it has the lock, would keep it for longer than a tick's work takes.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def keep_large_blocks() -> bool:
    """Keep the memory of large tensors in the process between ticks.

    glibc gives blocks above 128 KiB back to the kernel when they are freed, so that every intermediate tensor of every
    tick would fault its pages in again: with 128 gathered rows that is a quarter of the tick on the CPU. Returns
    whether the C library knows how (glibc does, others ignore the wish).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES) and mallopt(_M_TRIM_THRESHOLD, _LARGEST_BLOCK_BYTES)
    )
