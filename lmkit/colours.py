"""Fixed scales of colour, for terminals and pages alike: surprisal, differences between models, activations.

Backgrounds are coloured; the text on them is black or white, whichever contrasts more: at least 4.58 : 1 on any colour,
for the two contrasts multiply to 21. The scale of surprisal is one of lightness, the two-sided ones go to blue and to
orange, so that people see them who do not see red and green apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["ACTIVATION", "DIFFERENCE", "SURPRISAL", "Scale", "contrast", "luminance", "on", "terminal_colour"]

BLACK, WHITE = "#000000", "#ffffff"
CUBE = (0, 95, 135, 175, 215, 255)  # what the 216 colours 16 to 231 of a terminal are mixed from


@dataclasses.dataclass(frozen=True)
class Scale:
    """Levels of a number, each with its colours.

    Attributes
    ----------
    bounds : tuple of float
        Where the next level begins, ascending. Of a two-sided scale: of the levels away from zero, to both sides.
    labels : tuple of str
        What is written on the levels, at most four characters each: where they begin, or, below zero, end.
    two_sided : bool
    terminal : tuple of int
        A colour of each level among the 256 of a terminal.
    light, dark : tuple of str
        Colours of a page, #rrggbb, on a light and on a dark ground.
    """

    bounds: tuple[float, ...]
    labels: tuple[str, ...]
    two_sided: bool
    terminal: tuple[int, ...]
    light: tuple[str, ...]
    dark: tuple[str, ...]

    @property
    def neutral(self) -> int:
        """The level that says nothing: the lowest, or that of zero."""
        return len(self.bounds) if self.two_sided else 0

    def levels(self, numbers: np.ndarray) -> np.ndarray:
        """Return the level of each number, from 0; what is no number has the neutral one.

        >>> SURPRISAL.levels(np.array([0.5, 1, 3.7, 99])).tolist()
        [0, 1, 3, 8]
        >>> DIFFERENCE.levels(np.array([-9, -0.2, 0.5])).tolist()
        [0, 4, 5]
        """
        numbers = np.asarray(numbers, np.float64)
        known = np.where(np.isnan(numbers), 0, numbers)
        if not self.two_sided:
            return np.searchsorted(self.bounds, known, side="right")
        away = np.searchsorted(self.bounds, np.abs(known), side="right")
        return self.neutral + np.where(known < 0, -away, away)


SURPRISAL = Scale(  # bits
    bounds=(1, 2, 3, 4, 6, 8, 12, 16),
    labels=("0", "1", "2", "3", "4", "6", "8", "12", "16"),
    two_sided=False,
    terminal=(235, 53, 89, 125, 161, 166, 208, 220, 227),
    light=("#ffffff", "#fff1c9", "#ffdc8c", "#ffbe55", "#fb963a", "#dd5f2e", "#b52a50", "#7a0f63", "#3b0a4f"),
    dark=("#1b1b1f", "#3d1250", "#651a66", "#93215f", "#bf3352", "#e2603a", "#f59020", "#fcc436", "#fcf6a8"),
)

DIFFERENCE = Scale(  # bits
    bounds=(0.5, 1, 2, 4),
    labels=("−4", "−2", "−1", "−½", "0", "+½", "+1", "+2", "+4"),
    two_sided=True,
    terminal=(117, 75, 32, 24, 235, 94, 166, 208, 222),
    light=("#0b4f8a", "#3f86c0", "#8dbbe0", "#cfe3f3", "#ffffff", "#fce0c2", "#f6b26b", "#dd7a1f", "#9a4a05"),
    dark=("#8ecbff", "#4c9fe0", "#2a6fa8", "#1d4465", "#1b1b1f", "#5a3610", "#8f560f", "#cf8319", "#ffbf5e"),
)

ACTIVATION = dataclasses.replace(
    DIFFERENCE,
    bounds=(0.1, 0.3, 0.5, 0.8),
    labels=("−.8", "−.5", "−.3", "−.1", "0", "+.1", "+.3", "+.5", "+.8"),
)


def terminal_colour(index: int) -> str:
    """Return a colour from 16 to 255 of a terminal with 256 colours, as xterm has them.

    >>> terminal_colour(208), terminal_colour(235)
    ('#ff8700', '#262626')
    """
    if index >= 232:
        return "#" + f"{8 + 10 * (index - 232):02x}" * 3
    return "#" + "".join(f"{CUBE[(index - 16) // 6**k % 6]:02x}" for k in (2, 1, 0))


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb, 0 to 1 (WCAG 2.1).

    >>> round(luminance("#ff0000"), 4)
    0.2126
    """
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.1); text needs 4.5.

    >>> round(contrast("#000000", "#ffffff"), 1)
    21.0
    """
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def on(background: str) -> str:
    """Return the colour of text on a background: black or white."""
    return max(BLACK, WHITE, key=lambda colour: contrast(colour, background))
