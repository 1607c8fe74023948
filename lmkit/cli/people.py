"""Numbers as people write them, and a curve in a line of text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

__all__ = ["ASCII_BARS", "BARS", "amount", "duration", "size", "sparkline"]

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
NO_NUMBER = "?"
LARGEST = 1e100  # a number that can be drawn
PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def amount(n: float) -> str:
    """Spell how many there are.

    >>> amount(7222), amount(14_571), amount(30_011_562)
    ('7,222', '14.6 k', '30.0 M')
    """
    return f"{round(n):,}" if n < 9_999.5 else _scaled(n)


def size(n: float) -> str:
    """Spell a number of bytes.

    >>> size(512), size(118_600_000)
    ('512 B', '118.6 MB')
    """
    return f"{n} B" if n < 1000 else f"{_scaled(n)}B"


def _scaled(n: float) -> str:
    """Return a number with one decimal, a blank and the prefix of its unit."""
    power = min(int(math.log10(n) // 3), len(PREFIXES) - 1)
    if round(n / 1000**power, 1) >= 1000 and power < len(PREFIXES) - 1:
        power += 1
    return f"{n / 1000**power:.1f} {PREFIXES[power]}"


def duration(seconds: float) -> str:
    """Spell a time by its two largest units.

    >>> duration(0.437), duration(9.9), duration(543), duration(3 * 3600 + 59.6 * 60)
    ('0.44 s', '9.9 s', '9 min 3 s', '3 h 59 min')
    """
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(i for i, (n, _) in enumerate(parts) if n)
    return " ".join(f"{n} {unit}" for n, unit in parts[first : first + 2] if n)


def sparkline(values: Sequence[float], width: int, bars: str = BARS) -> str:
    """Draw values as bars of eight heights, at most `width` of them: of more values, means of neighbours.

    What is no number, or beyond all heights, is a question mark, where no neighbour is one.

    >>> sparkline([5, 4, 3, 2.5, math.nan, 2, 2], 10), sparkline([1, 3, 3, 1, 1, 1], 3), sparkline([7], 10)
    ('█▆▃▂?▁▁', '██▁', '▁')
    """
    count = min(len(values), width)
    cuts = [len(values) * i // count for i in range(count + 1)] if count > 0 else []
    groups = [[v for v in values[a:b] if abs(v) < LARGEST] for a, b in itertools.pairwise(cuts)]
    means = [math.fsum(group) / len(group) if group else None for group in groups]
    known = [mean for mean in means if mean is not None]
    if not known:
        return NO_NUMBER * len(means)
    low, high = min(known), max(known)
    steps = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(NO_NUMBER if mean is None else bars[round((mean - low) * steps)] for mean in means)
