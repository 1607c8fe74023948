"""What people see on stderr: notices, warnings, the progress bar; and what becomes of the standard
streams."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator

from lmkit.characters import one_line
from lmkit.errors import LmkitWarning

__all__ = [
    "Bar",
    "attended",
    "close_stdout",
    "compile_notice",
    "flush",
    "notice",
    "say",
    "say_unknown",
    "show_warnings",
]

MAX_NAMED = 10  # unknown tokens that a notice names
COMPILING_ANEW = (
    "Compiling, as each time: no folder can be written to keep the machine code in; name one with NUMBA_CACHE_DIR ..."
)
REDRAW = 0.1  # seconds between two drawings of the bar
SHORT = 30  # characters of a phase that leave room for all; after longer ones come rate, time left and what bar fits

active_bar = None


def is_terminal(stream) -> bool:
    """Whether a standard stream is there and is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def attended(quiet: bool) -> bool:
    """Whether someone watches stderr and wants to hear."""
    return not quiet and is_terminal(sys.stderr)


def say(message: str, prefix: str = "") -> None:
    """Write one line to stderr, around the progress bar if there is one."""
    if active_bar is not None:
        active_bar.clear()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(prefix + one_line(message) + "\n")
        sys.stderr.flush()


def notice(message: str, quiet: bool = False) -> None:
    """Write a line to stderr if it is a terminal."""
    if attended(quiet):
        say(message)


def say_unknown(tokens: list[str], quiet: bool = False) -> None:
    """Name the tokens of a context or a prompt that the model does not know, if there are any."""
    if tokens and not quiet:
        from lmkit.text import escape

        more = f" and {len(tokens) - MAX_NAMED} more" if len(tokens) > MAX_NAMED else ""
        say(f"Not in the vocabulary, taken as <unk>: {' '.join(map(escape, tokens[:MAX_NAMED]))}{more}")


def show_warnings() -> None:
    """Print the library's warnings as one line each, all others as Python does."""
    usual = warnings.showwarning
    warnings.simplefilter("always", LmkitWarning)

    def show(message, category, filename, lineno, file=None, line=None):
        if issubclass(category, LmkitWarning):
            say(f"Warning: {message}")
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show


@contextlib.contextmanager
def compile_notice(quiet: bool) -> Iterator[None]:
    """Say once, on a terminal, that kernels are being compiled: the first run on a machine waits for that."""
    if not attended(quiet):
        yield
        return
    from numba.core import event

    from lmkit import kernels

    class Listener(event.Listener):
        said = False

        def on_start(self, _):
            if not self.said:
                self.said = True
                say(COMPILING_ANEW if kernels.uncached else "Compiling for this machine, once: up to 20 seconds ...")

        def on_end(self, _):
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


class Bar:
    """The progress callback of `lmkit.api`, drawn by tqdm: phases that count the same things share a bar."""

    def __init__(self, quiet: bool):
        self.shown = attended(quiet)
        self.bar = None
        self.measure: tuple | None = None
        self.drawn = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        if kind is not None and self.bar is not None:
            # Work beside the main thread may have been interrupted between taking tqdm's lock and giving it back.
            self.bar.set_lock(threading.RLock())
        self._close()

    def __call__(self, phase: str, done: int, total: int | None, unit: str) -> None:
        if not self.shown:
            return
        now = time.monotonic()
        if self.bar is None or (total, unit) != self.measure:
            self._open(done, total, unit)
        elif now - self.drawn < REDRAW:
            return
        self.drawn = now
        rate = "" if unit == "s" else " {rate_fmt},"
        self.bar.bar_format = None if len(phase) < SHORT else "{desc}," + rate + " {remaining} left {bar}"
        self.bar.set_description_str(one_line(phase), refresh=False)
        self.bar.update(done - self.bar.n)
        self.bar.refresh()

    def _open(self, done, total, unit):
        from tqdm import tqdm

        global active_bar
        self._close()
        tqdm.monitor_interval = 0  # no thread that redraws: it would wait for a lock that nobody gives back
        self.measure = total, unit
        unit = unit if unit == "B" else f" {unit}"
        self.bar = active_bar = tqdm(
            total=total, unit=unit, unit_scale=True, leave=False, file=sys.stderr, initial=done, delay=1e-9
        )

    def _close(self):
        global active_bar
        if self.bar is not None:
            self.bar.close()
        self.bar = active_bar = None


def close_stdout() -> None:
    """Send what is still to be written nowhere, so that the interpreter's last flush cannot fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


def flush(code: int) -> int:
    """Write out stdout; return the exit code, 1 if that fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()
        return code or 141
    except OSError as error:
        close_stdout()
        if not code:
            say(f"Error: standard output: {error.strerror}")
        return code or 1
    except ValueError:
        pass
    return code
