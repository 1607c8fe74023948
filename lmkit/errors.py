"""What can go wrong, as exceptions. The library raises these; only `lmkit.cli` turns them into exit codes."""

from __future__ import annotations

from signal import SIGINT

__all__ = ["CorpusError", "Interrupted", "LmkitError", "LmkitWarning", "ModelError", "OptionError"]


class LmkitError(Exception):
    """Base of every error lmkit raises on purpose; its text is one line of advice for the person at the keyboard."""


class CorpusError(LmkitError):
    """A text cannot be read or used: missing, empty, not in its encoding, holding reserved tokens."""


class ModelError(LmkitError):
    """A model file cannot be read, is damaged, or does not hold what was asked of it."""


class OptionError(LmkitError, ValueError):
    """An option, or a combination of options, makes no sense (exit code 2 on the command line)."""


class LmkitWarning(UserWarning):
    """Something a person should know of, and nothing to stop for."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a signal like it, after what was to be saved has been saved; its text says where.

    Attributes
    ----------
    model : lmkit.Model or None
        What a training has learnt so far, the best weights; None where it is nothing.
    signal : int
        The number of the signal, SIGINT for Ctrl-C.
    """

    def __init__(self, message: str = "Interrupted.", *, model: object = None, signal: int = SIGINT):
        super().__init__(message)
        self.model, self.signal = model, int(signal)
