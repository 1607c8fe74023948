"""The command line: the only layer that prints, draws progress, or exits.

Commands are imported when they are named, NumPy and Numba when they run.
"""

from __future__ import annotations

import os
import sys

from lmkit.cli import interrupts

__all__ = ["main", "run"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit.

    Exit codes: 0 success, 1 failure, 2 usage; 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, each after what was to be saved is
    saved; 141 where a pipe's reader has left.
    """
    interrupts.take_over()
    from lmkit.cli import running, terminal

    terminal.show_warnings()
    code = run(arguments)
    interrupts.ignore()  # too late to be interrupted
    code = terminal.flush(code)
    if code in running.INTERRUPTED:
        os._exit(code)  # threads that still wait for input or compute are left behind
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; every error becomes one line on stderr."""
    from lmkit.cli import running

    return running.run(arguments)
