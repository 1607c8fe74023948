"""Passages on a screen: side by side where it is wide enough, else one under the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from lmkit.characters import one_line

__all__ = ["NARROWEST", "columns", "folded", "harmless", "stacked"]

NARROWEST = 34  # of columns
GAP = "   "
HANGING = "    "  # before what of a line did not fit


def harmless(line: str) -> str:
    r"""Return a line without anything that a terminal would obey: controls, bytes that are no text.

    >>> print(harmless("\tto \x1b[2J be  "))
            to \x1b[2J be
    """
    return one_line(line.rstrip().expandtabs())


def folded(line: str, width: int) -> list[str]:
    """Return a line in as many of this width as it takes, at least one.

    >>> folded("a long line of words", 16)
    ['a long line of', '    words']
    """
    from wcwidth import wrap

    return wrap(line, width, subsequent_indent=HANGING[: width // 4], break_on_hyphens=False) or [""]


def stacked(labels: Sequence[str], passages: Sequence[str], width: int) -> list[str]:
    """Return the lines that show passages, each under its label; an empty one parts them."""
    shown: list[str] = []
    for label, passage in zip(labels, passages, strict=True):
        shown += [""] * bool(shown) + _column(label, passage, width)
    return shown


def columns(labels: Sequence[str], passages: Sequence[str], width: int) -> list[str]:
    """Return the lines that show passages side by side; one under the other where columns would be too narrow."""
    own = (width - len(GAP) * (len(passages) - 1)) // len(passages)
    if own < NARROWEST:
        return stacked(labels, passages, width)
    sides = [_column(label, passage, own) for label, passage in zip(labels, passages, strict=True)]
    rows: Iterable[tuple[str, ...]] = itertools.zip_longest(*sides, fillvalue="")
    return [GAP.join(_filled(part, own) for part in row).rstrip() for row in rows]


def _column(label: str, passage: str, width: int) -> list[str]:
    return [label, *(part for line in passage.split("\n") for part in folded(harmless(line), width))]


def _filled(text: str, width: int) -> str:
    from wcwidth import wcswidth

    return text + " " * (width - wcswidth(text))
