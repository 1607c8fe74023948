"""Signals that ask a process to stop, told apart from their echoes, and noted where raising would lose work."""

from __future__ import annotations

import signal
import threading
import time

__all__ = ["SIGNALS", "Stop", "interruptible"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
ECHO = 1.0  # seconds in which another SIGTERM or SIGHUP belongs to the first: `timeout` and systemd send two


class Stop:
    """Whether, and by which signal, it was asked to stop.

    Attributes
    ----------
    signal : int or None
        The number of the first signal, None before it.
    """

    def __init__(self):
        self.signal: int | None = None
        self._at = 0.0

    def asked(self) -> bool:
        """Whether there was a signal."""
        return self.signal is not None

    def ask(self, number: int) -> bool:
        """Note a signal; return whether it is one to act upon, not an echo of the first."""
        if self.signal is None:
            self.signal, self._at = number, time.monotonic()
            return True
        return number == signal.SIGINT or time.monotonic() - self._at > ECHO


class interruptible:
    """Give a `Stop` that the first signal to stop is noted in, so that a step can end; the second acts at once.

    Those signals are meant which would raise an exception: Ctrl-C in Python, SIGTERM and SIGHUP where handlers are
    installed, as on the command line. What is ignored stays ignored. Only the main thread can listen to signals; in
    others none is ever noted.
    """

    def __enter__(self) -> Stop:
        self.stop, self.usual = Stop(), {}
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self.usual = {number: handler for number, handler in handlers.items() if callable(handler)}
            for number in self.usual:
                signal.signal(number, self._listen)
        return self.stop

    def __exit__(self, *_) -> None:
        for number, handler in self.usual.items():
            signal.signal(number, handler)

    def _listen(self, number, frame):
        again = self.stop.asked()
        if self.stop.ask(number) and again:
            self.usual[number](number, frame)
