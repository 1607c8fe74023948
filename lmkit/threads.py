"""Work in threads: kernels hold no interpreter lock, so two run at once on two cores."""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["ahead", "available", "in_threads", "ranges"]


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


def ranges(begin: int, end: int, parts: int) -> list[tuple[int, int]]:
    """Cut a range into so many of about the same size, of which some are empty where there are too few.

    >>> ranges(10, 15, 2)
    [(10, 12), (12, 15)]
    """
    cuts = [begin + (end - begin) * i // parts for i in range(parts + 1)]
    return list(itertools.pairwise(cuts))


def ahead(items: Iterable[Any], depth: int = 2) -> Iterator[Any]:
    """Yield the items of an iterable that a thread of its own runs ahead of the consumer; exceptions come through.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    waiting: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(message):
        while not stop.is_set():
            try:
                return waiting.put(message, timeout=0.1)
            except queue.Full:
                continue

    def run():
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=run, name="lmkit-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join(0.5)  # a thread that waits for a terminal or a pipe is left behind
