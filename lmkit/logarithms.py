"""Logarithms in the base that a reader wants. Everything inside is natural."""

from __future__ import annotations

import math
from typing import Any

from lmkit.errors import OptionError

__all__ = ["BASES", "in_base", "unit"]

BASES = {"e": (1.0, "nats"), "10": (math.log(10), "hartleys"), "2": (math.log(2), "bits")}


def in_base(log_p: Any, base: str) -> Any:
    """Return natural logarithms, a number or an array of them, in another base: "e", "10" or "2".

    Raises
    ------
    OptionError
        The base is none of these.

    >>> in_base(math.log(8), "2"), in_base(-1.5, "e")
    (3.0, -1.5)
    """
    return log_p if base == "e" else log_p / _entry(base)[0]


def unit(base: str) -> str:
    """Return what information is counted in when its logarithm has this base.

    Raises
    ------
    OptionError
        The base is none of `BASES`.
    """
    return _entry(base)[1]


def _entry(base):
    if base not in BASES:
        raise OptionError(f"--log-base is {base!r}; it must be one of {', '.join(BASES)}")
    return BASES[base]
