"""Scales: from numbers to places between 0 and 1, and the round numbers that are written beside them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Sequence

from lmkit.errors import LmkitError, LmkitWarning, OptionError
from lmkit.plotting.chart import LARGEST, MEASURES, Axis, Chart

__all__ = ["SCALES", "Scale", "scales_of"]

SCALES = ("auto", "linear", "log")
MARGIN = 0.04  # of the length, beyond the outermost points
WIDE = {"x": 30.0, "y": 4.0}  # a range over so many times its smallest number is easier to see on a logarithmic scale
STEPS = (1, 2, 5)
SAME = 1e-6  # numbers that differ by less than this part of them do so by chance, not to be looked at closely
CLOSE = 0.8  # of the distance of ticks that are at equal distances, that others must keep


@dataclasses.dataclass(frozen=True)
class Scale:
    """One direction of a chart.

    Attributes
    ----------
    low, high : float
        The ends.
    log : bool
    ticks : tuple of float
        Round numbers between the ends, in their unit.
    unit : float
        What numbers are divided by to be written.
    label : str
        With the unit.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]
    unit: float
    label: str

    def place(self, number: float) -> float:
        """Return where a number is, 0 to 1 between the ends."""
        if self.log:
            return math.log(number / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    @property
    def written(self) -> list[str]:
        """The ticks as text, all with as many decimals as the closest two need."""
        if self.log or len(self.ticks) < 2:
            return [_spelled(tick) for tick in self.ticks]
        step = min(b - a for a, b in itertools.pairwise(self.ticks))
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        if decimals > 4 or max(map(abs, self.ticks)) >= 1e6:
            return [_spelled(tick) for tick in self.ticks]
        return [f"{tick:.{decimals}f}" for tick in self.ticks]


def _spelled(tick: float) -> str:
    """Return a round number without a needless exponent.

    >>> _spelled(0.002), _spelled(50000.0), _spelled(2e9)
    ('0.002', '50000', '2e+09')
    """
    return f"{tick:.0f}" if 1 <= abs(tick) < 1e6 and tick == int(tick) else f"{tick:.9g}"


def scales_of(chart: Chart, scale: str, across: int, up: int) -> tuple[list[Scale], Scale]:
    """Return the scale of each axis of a chart, with at most `across` ticks, and that of the losses, with at most `up`.

    Parameters
    ----------
    scale : {'auto', 'linear', 'log'}
        Of the axes; losses have their own rule: perplexities that are far apart are on a logarithmic scale.

    Raises
    ------
    LmkitError
        Nothing can be drawn: all losses are infinite.
    OptionError
        The scale is none of these, or makes no sense for the numbers.

    Warns
    -----
    LmkitWarning
        Some losses are infinite, and are not drawn.
    """
    if scale not in SCALES:
        raise OptionError(f"--scale is {scale!r}; choose one of {', '.join(SCALES)}")
    values = [chart.values(curve) for curve in chart.curves]
    finite = [y for losses in values for y in losses if abs(y) < LARGEST]
    if not finite:
        raise LmkitError(
            "there is nothing to draw: each loss is infinite (a model that gives something no probability)"
        )
    infinite = [c for c, losses in zip(chart.curves, values, strict=True) if not all(abs(y) < LARGEST for y in losses)]
    if infinite:
        more = f" and {len(infinite) - 1} more" if len(infinite) > 1 else ""
        first = chart.name(infinite[0])
        warnings.warn(f"infinite losses are not drawn: those of {first}{more}", LmkitWarning, stacklevel=3)
    horizontals = []
    for axis in chart.axes:
        numbers = [x for curve in chart.curves for x, _ in chart.points(axis, curve)]
        horizontals.append(_axis_scale(axis, numbers, scale, across))
    log = chart.measure == "perplexity" and _is_wide(finite, WIDE["y"])
    return horizontals, _fitted(finite, log, up, 1.0, MEASURES[chart.measure])


def _axis_scale(axis: Axis, numbers: Sequence[float], scale: str, ticks: int) -> Scale:
    if not numbers:  # all there is are horizontal lines
        return Scale(0.0, 1.0, False, (), 1.0, axis.label)
    largest = max(numbers)
    unit, name = [(u, n) for u, n in axis.units if u == 1 or largest >= axis.least * u][-1]
    label = f"{axis.label} ({name})" if name else axis.label
    if scale == "log" and not min(numbers) > 0:
        raise OptionError(f"--scale log has no place for a {axis.label} of 0; choose another --scale")
    log = scale == "log" or (scale == "auto" and not axis.whole and _is_wide(numbers, WIDE["x"]))
    return _fitted(numbers, log, ticks, unit, label, axis.whole)


def _is_wide(numbers, factor):
    return min(numbers) > 0 and max(numbers) > factor * min(numbers)


def _fitted(numbers, log, ticks, unit, label, whole=False) -> Scale:
    low, high = min(numbers), max(numbers)
    same = high - low <= SAME * abs(high)
    if log:
        beyond = 1.5 if same else (high / low) ** MARGIN
        low, high = low / beyond, high * beyond
        return Scale(low, high, log, _log_ticks(low / unit, high / unit, ticks), unit, label)
    beyond = (high - low) * MARGIN
    if same:
        beyond = 0.5 if whole or not high else abs(high) * MARGIN
    low, high = low - beyond, high + beyond
    return Scale(low, high, log, _linear_ticks(low / unit, high / unit, ticks, whole), unit, label)


def _linear_ticks(low: float, high: float, most: int, whole: bool = False) -> tuple[float, ...]:
    """Return at most so many multiples of the smallest round step that is large enough.

    >>> _linear_ticks(0.9, 4.2, 5)
    (1.0, 2.0, 3.0, 4.0)
    """
    power = math.floor(math.log10((high - low) / max(most, 1)))
    for step in (s * 10.0**p for p in range(power, power + 4) for s in STEPS):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most and not (whole and step < 1):
            return tuple(round(i * step, 12) if abs(i * step) < 1e6 else i * step for i in range(first, last + 1))
    return ()


def _log_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Return at most so many round numbers, no two of them much closer than as many at equal distances would be.

    >>> _log_ticks(0.9, 60, 9), _log_ticks(0.9, 60, 4), _log_ticks(90, 160, 4)
    ((1.0, 2.0, 5.0, 10.0, 20.0, 50.0), (1.0, 3.0, 10.0, 30.0), (100.0, 120.0, 140.0, 160.0))
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ways = [(STEPS, 1), ((1, 3), 1), *(((1,), n) for n in range(1, len(powers) + 1))]
    choices = [tuple(s * 10.0**p for p in powers if p % every == 0 for s in steps) for steps, every in ways]
    best: tuple[float, ...] = ()
    for choice in (*choices, _linear_ticks(low, high, most)):
        ticks = tuple(tick for tick in choice if low <= tick <= high)
        gaps = [math.log(b / a) for a, b in itertools.pairwise(ticks)]
        if len(best) < len(ticks) <= most and min(gaps, default=math.inf) > CLOSE * math.log(high / low) / most:
            best = ticks
    return best
