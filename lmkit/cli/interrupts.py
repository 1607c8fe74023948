"""Ctrl-C, SIGTERM and SIGHUP end a command alike: what was to be saved is saved, one line on stderr, exit 128 + signal.

This is the first of lmkit that a process imports, and imports nothing large itself: from `take_over` on, a signal at
any moment ends in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from lmkit.errors import Interrupted
from lmkit.interruption import SIGNALS, Stop

__all__ = ["code_of", "ignore", "keep_interrupts", "message", "raising", "take_over"]

AGAIN = 0.05  # seconds after which an interrupt comes again that Python has swallowed


class Handler:
    """What the process does at a signal.

    While a command works, it raises `Interrupted`. Before and after that, and at the second signal, the process ends at
    once; and also while modules are imported, where extensions in C turn exceptions into other ones, unless there is an
    unfinished file to be cleaned up.
    """

    def __init__(self):
        self.working = False
        self.stop = Stop()

    def __call__(self, number: int, frame) -> None:
        again = self.stop.asked()
        if not self.stop.ask(number):
            return
        if again or not self.working or (_is_importing(frame) and not _has_unfinished_files()):
            _leave(number)
        raise Interrupted(message(number), signal=number)


handler = Handler()


def take_over() -> None:
    """Let the signals that stop a process be handled here, but for those that are ignored, as under nohup.

    A first process of a container has no default handling of them at all.
    """
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, handler)
    keep_interrupts()


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Let signals raise `Interrupted` in here."""
    handler.working = True
    try:
        yield
    finally:
        handler.working = False


def ignore() -> None:
    """Do nothing about signals any more: all is done."""
    for number in SIGNALS:
        if signal.getsignal(number) is handler:
            signal.signal(number, signal.SIG_IGN)


def message(number: int) -> str:
    """Return what is said of a signal.

    >>> message(signal.SIGTERM)
    'Interrupted by SIGTERM.'
    """
    return "Interrupted." if number == signal.SIGINT else f"Interrupted by {signal.Signals(number).name}."


def code_of(interrupt: BaseException) -> int:
    """Return the exit code of a process that was interrupted: 130, 143 or 129."""
    return 128 + getattr(interrupt, "signal", signal.SIGINT)


def _is_importing(frame) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _has_unfinished_files() -> bool:
    files = sys.modules.get("lmkit.files")
    return bool(getattr(files, "unfinished", ()))


def _leave(number: int) -> None:
    """End the process, from within whatever it does."""
    with contextlib.suppress(OSError):
        os.write(2, f"{chr(10) * os.isatty(2)}{message(number)}\n".encode())
    os._exit(128 + number)


def keep_interrupts() -> None:
    """Let interrupts through where Python would lose them: in the callbacks with which LLVM hands over compiled code.

    What llvmlite was making just then cannot be disposed of, and would say so beside the message of the interrupt.
    """
    usual = sys.unraisablehook

    def again(unraisable):
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            handler.stop = Stop()  # so that it is the first one again
            number = getattr(unraisable.exc_value, "signal", signal.SIGINT)
            timer = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
            timer.daemon = True
            timer.start()
        elif "_as_parameter_" not in str(unraisable.exc_value):
            usual(unraisable)

    sys.unraisablehook = again
