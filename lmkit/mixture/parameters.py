"""The few numbers that an adapting model has besides its base: checked when they are made, also from a file."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from typing import TypeVar

from lmkit.errors import ModelError, OptionError

__all__ = ["Parameters", "in_range", "read"]


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Base of the parameters of each kind; what is out of range raises OptionError when one is made."""

    def describe(self) -> dict:
        """Return them ready for JSON."""
        return dataclasses.asdict(self)


P = TypeVar("P", bound=Parameters)


def in_range(name: str, value: float, least: float, most: float, *, below: bool = False, whole: bool = False) -> None:
    """Check that a parameter is a number from `least` to `most`, or `below` that.

    Raises
    ------
    OptionError
    """
    number = type(value) is int or (type(value) is float and not whole and math.isfinite(value))
    if not (number and least <= value <= most and not (below and value == most)):
        kind = "a whole number" if whole else "a number"
        upper = "below" if below else "to"
        raise OptionError(f"{name} is {reprlib.repr(value)}, expected {kind} from {least:g} {upper} {most:g}")


def read(kind: type[P], found: object, file: str) -> P:
    """Return the parameters that `describe` gave, out of a file, which is not trusted.

    Raises
    ------
    ModelError
        Some are missing, unknown, or out of range.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(found, dict) or set(found) != set(names):
        raise ModelError(f"{file}: its settings are damaged: they should be {', '.join(names)}; make the model anew")
    try:
        return kind(**found)
    except OptionError as error:
        raise ModelError(f"{file}: its settings are damaged: {error}; make the model anew") from None
