"""Work in threads: kernels hold no interpreter lock, so two run at once on two cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["available", "in_threads"]


def available() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(threads: int, function: Callable, arguments: list[tuple]) -> list:
    """Call the function with each of the arguments, so many at a time, and return the results in their order.

    >>> in_threads(2, pow, [(2, 3), (3, 2)])
    [8, 9]
    """
    if threads == 1 or len(arguments) == 1:
        return [function(*a) for a in arguments]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda a: function(*a), arguments))
