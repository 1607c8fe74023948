"""What people are told, and when."""

import ctypes
import sys
import threading
import time
import warnings

import numba
import pytest

from lmkit import kernels
from lmkit.cli import interrupts, terminal
from lmkit.errors import LmkitWarning


@pytest.mark.parametrize("watched", [True, False])
def test_compiling_is_announced_once_to_who_watches(monkeypatch, capsys, watched):
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: watched)
    with terminal.compile_notice(quiet=False):
        for function in (lambda x: x + 1, lambda x: x - 1):
            assert numba.njit(function)(1) in (0, 2)
    assert capsys.readouterr().err.count("Compiling") == watched


def test_compiling_each_time_is_told_with_its_remedy(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: True)
    monkeypatch.setattr(kernels, "uncached", ["draw"])
    with terminal.compile_notice(quiet=False):
        numba.njit(lambda x: x + 1)(1)
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err


def test_quiet_is_quiet(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: True)
    terminal.notice("heard")
    terminal.notice("unheard", quiet=True)
    with terminal.compile_notice(quiet=True):
        numba.njit(lambda x: x)(1)
    with terminal.Bar(quiet=True) as bar:
        bar("reading", 1, 2, "B")
    assert capsys.readouterr().err == "heard\n"


def test_warnings_of_the_library_are_one_line_each_time(capsys):
    terminal.show_warnings()
    for _ in range(2):
        warnings.warn("mind this", LmkitWarning, stacklevel=1)
    assert capsys.readouterr().err == "Warning: mind this\n" * 2


def test_an_interrupt_that_a_callback_swallows_comes_again(monkeypatch):
    """ctypes prints exceptions in callbacks and goes on; Ctrl-C must not get lost in LLVM's."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    interrupts.keep_interrupts()

    @ctypes.CFUNCTYPE(None)
    def callback():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        callback()
        time.sleep(10)


def test_what_an_interrupt_left_half_made_vanishes_without_a_word(monkeypatch):
    """As llvmlite's references do when Ctrl-C comes while they are made; all else is told of as ever."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    interrupts.keep_interrupts()

    class Half:
        def __init__(self, lacks):
            self.lacks = lacks

        def __del__(self):
            raise AttributeError(f"'Half' object has no attribute {self.lacks!r}")

    for lacks in ("_as_parameter_", "whole"):
        Half(lacks)
    assert [str(unraisable.exc_value) for unraisable in told] == ["'Half' object has no attribute 'whole'"]


def test_a_bar_whose_lock_was_lost_is_closed(monkeypatch):
    """Interrupted work may have taken the lock and be gone: nobody waits for it."""
    monkeypatch.setattr(terminal, "attended", lambda quiet: True)

    def work(bar):
        bar("reading", 1, 2, "B")
        bar.bar.get_lock().acquire()

    with pytest.raises(KeyboardInterrupt), terminal.Bar(False) as bar:
        lost = threading.Thread(target=work, args=(bar,))
        lost.start()
        lost.join()
        raise KeyboardInterrupt
    assert bar.bar is None
