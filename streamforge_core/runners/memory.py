"""Gives freed memory back to the system, so that a long backfill stays as small as a short one."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

import pyarrow as pa


def release_memory() -> None:
    """Return to the system what this process has freed.

    The C library keeps, for every thread, the most that thread ever held: four download threads
    kept about 150 MiB of archives long handed on. A call takes about a millisecond.
    """
    pa.default_memory_pool().release_unused()
    _trim()(0)


@cache
def _trim() -> Callable[[int], int]:
    """Return glibc's `malloc_trim`, or a function that does nothing where there is none."""
    if not sys.platform.startswith("linux"):
        return _nothing_to_trim
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except AttributeError:  # musl
        return _nothing_to_trim
    return trim


def _nothing_to_trim(_pad: int) -> int:
    return 0
