"""Work in threads: kernels hold no interpreter lock, so two run at once on two cores, and Ctrl-C is answered beside."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from lmkit.errors import OptionError

__all__ = ["ahead", "available", "in_threads", "aside", "pool", "ranges", "usable"]

PER_CORE = 4  # threads; more of them gain nothing and take memory
GRACE = 0.5  # seconds that interrupted work has to leave its context managers before the caller goes on


def available() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable(threads: int | None) -> int:
    """Return how many threads to use of those that were asked for: by default one per core, never more than a few.

    Raises
    ------
    OptionError
        If that is no whole number of at least 1.
    """
    if threads is None:
        return available()
    if not isinstance(threads, int) or threads < 1:
        raise OptionError(f"threads is {threads!r}; it must be a whole number of at least 1")
    return min(threads, PER_CORE * available())


def in_threads(threads: int, function: Callable, arguments: list[tuple]) -> list:
    """Call the function with each of the arguments, so many at a time, and return the results in their order.

    >>> in_threads(2, pow, [(2, 3), (3, 2)])
    [8, 9]
    """
    if threads == 1 or len(arguments) == 1:
        return [function(*a) for a in arguments]
    with pool(threads) as workers:
        return list(workers.map(lambda a: function(*a), arguments))


@contextlib.contextmanager
def pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; an exception, such as that of Ctrl-C, does not wait for what they are still doing."""
    workers = ThreadPoolExecutor(threads)
    try:
        yield workers
    except BaseException:
        workers.shutdown(wait=False, cancel_futures=True)
        raise
    workers.shutdown()


def aside(function: Callable, *arguments: Any, **named: Any) -> Any:
    """Return what a function returns, called in a thread of its own while this one waits for it or for Ctrl-C.

    Python answers signals in its main thread only, between two instructions of its own: never while that thread is in a
    kernel or in NumPy. Of work that is interrupted, the kernel that runs goes on to its end; then the exception is
    raised in that thread, too. Outside the main thread this is a plain call.

    >>> aside(pow, 2, 3)
    8
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments, **named)

    def run(outcome):
        try:
            outcome.set_result(context.run(function, *arguments, **named))
        except BaseException as error:
            outcome.set_exception(error)

    context, outcome = contextvars.copy_context(), Future()
    worker = threading.Thread(target=run, args=(outcome,), name="lmkit-work", daemon=True)
    try:
        worker.start()
        return outcome.result()
    except BaseException:
        if worker.ident is not None and not outcome.done():
            _interrupt(worker)
            worker.join(GRACE)
        raise
    finally:
        del outcome  # an exception that is kept would keep the arrays of its frames


def _interrupt(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in a thread, as soon as it is at an instruction of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt))


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
