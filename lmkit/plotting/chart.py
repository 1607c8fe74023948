"""Charts as data: curves over one or several axes, all their numbers in rows, independent of any drawing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from lmkit.characters import one_line
from lmkit.errors import OptionError

__all__ = [
    "AXES", "HELD_OUT", "LARGEST", "MEASURES", "TRAINING", "VALIDATION", "Axis", "Chart", "Curve", "shortened",
]  # fmt: skip

TRAINING, VALIDATION, HELD_OUT = "training", "validation", "held out"  # the parts of a text
LARGEST = 1e300  # what is larger is not drawn, as if it were infinite: room for margins is needed
DRAWN = 400  # points of a curve at most: more cannot be seen, and make pictures large
COUNTED = ((1, ""), (1e3, "thousands"), (1e6, "millions"), (1e9, "billions"))
MEASURES = {
    "nats": "loss (nats a token)",
    "bits": "loss (bits a token)",
    "perplexity": "perplexity",
}


@dataclasses.dataclass(frozen=True)
class Axis:
    """What a chart can be drawn against.

    Attributes
    ----------
    name : str
        The column that has its numbers.
    label : str
    units : tuple of (float, str)
        What numbers can be told in, growing; the largest unit that suits the largest number is used.
    least : float
        So many of a unit must there be for it to suit.
    whole : bool
        Whether there is nothing between whole numbers.
    """

    name: str
    label: str
    units: tuple[tuple[float, str], ...] = ((1, ""),)
    least: float = 1.0
    whole: bool = False


AXES = {
    "time": Axis("seconds", "training time", ((1, "seconds"), (60, "minutes"), (3600, "hours"), (86400, "days")), 3.0),
    "tokens": Axis("tokens", "training tokens", COUNTED),
    "steps": Axis("step", "training steps", COUNTED),
    "order": Axis("order", "order", whole=True),
    "size": Axis("bytes", "size of the model file", ((1, "bytes"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"))),
    "ngrams": Axis("ngrams", "n-grams of the model", COUNTED),
    "text": Axis("tokens", "tokens of the training text", COUNTED),
}


@dataclasses.dataclass(frozen=True)
class Curve:
    """Losses of one model on one part of a text.

    Attributes
    ----------
    model : str
        What the curve is called; curves of one model look alike.
    number : int
        Of the model, from 0.
    part : str
        What the losses are of: TRAINING, VALIDATION, HELD_OUT, or the name of a text.
    losses : tuple of float
        Nats a token; may be infinite.
    columns : dict of str to tuple
        What belongs to each loss, by name: `seconds`, `tokens`, `order`, ... Empty for a level: one loss that belongs
        to no place, a horizontal line.
    """

    model: str
    number: int
    part: str
    losses: tuple[float, ...]
    columns: dict[str, tuple] = dataclasses.field(default_factory=dict)

    @property
    def level(self) -> bool:
        """Whether this is a horizontal line."""
        return not self.columns


@dataclasses.dataclass(frozen=True)
class Chart:
    """Curves over axes; each axis is a panel.

    Attributes
    ----------
    curves : list of Curve
    axes : tuple of Axis
    columns : tuple of str
        Of the rows, after the model and the part, before the loss.
    measure : str
        What losses are told in: one of MEASURES.
    title : str
        What all curves have in common; may be empty.
    paired : bool
        Whether a model may have two curves: then the part is a part of the name.

    Raises
    ------
    OptionError
        The measure is none.
    """

    curves: list[Curve]
    axes: tuple[Axis, ...]
    columns: tuple[str, ...]
    measure: str = "nats"
    title: str = ""
    paired: bool = True

    def __post_init__(self):
        if self.measure not in MEASURES:
            raise OptionError(f"--measure is {self.measure!r}; choose one of {', '.join(MEASURES)}")

    def values(self, curve: Curve) -> list[float]:
        """Return the losses of a curve in the measure of the chart.

        >>> chart = Chart([], (), (), "perplexity")
        >>> [round(p) for p in chart.values(Curve("die", 0, TRAINING, (math.log(6),)))]
        [6]
        """
        if self.measure == "perplexity":
            return [_exponential(loss) for loss in curve.losses]
        unit = math.log(2) if self.measure == "bits" else 1.0
        return [loss / unit for loss in curve.losses]

    def points(self, axis: Axis, curve: Curve) -> list[tuple[float, float]]:
        """Return the (x, y) of a curve that are to be drawn: of very many some, y not a number where it is infinite.

        A level has none.
        """
        if curve.level:
            return []
        points = list(zip(curve.columns[axis.name], self.values(curve), strict=True))
        every = -(-len(points) // DRAWN)
        some = points[:: max(every, 1)]
        if points[-1] is not some[-1]:
            some.append(points[-1])
        return [(x, y if abs(y) < LARGEST else math.nan) for x, y in some]

    def heights(self, curve: Curve) -> list[float]:
        """Return where a level is to be drawn: nowhere if it is infinite."""
        return [y for y in self.values(curve) if abs(y) < LARGEST] if curve.level else []

    def name(self, curve: Curve, width: int | None = None) -> str:
        """Return what a legend calls a curve, in so many characters if that can be."""
        model, part = one_line(curve.model), one_line(curve.part)
        if not self.paired:
            return model if width is None else shortened(model, width)
        if width is not None:
            part = shortened(part, max(width // 2 - 2, len(VALIDATION)))
            model = shortened(model, width - len(part) - 2)
        return f"{model}, {part}"

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a dict for each point: `model`, `part`, the columns (None for a level), and the measure."""
        for curve in self.curves:
            for i, value in enumerate(self.values(curve)):
                places = {name: curve.columns[name][i] if name in curve.columns else None for name in self.columns}
                yield {"model": curve.model, "part": curve.part, **places, self.measure: value}


def _exponential(loss: float) -> float:
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def shortened(name: str, width: int) -> str:
    """Return a name without its middle where it is too long: the end of a path says most, its beginning the rest.

    >>> shortened("a-long-name.lmkit", 11)
    'a-l…e.lmkit'
    """
    if len(name) <= width:
        return name
    left = max(width - 1, 0)
    return name[: left // 3] + "…" + name[len(name) - (left - left // 3) :]
