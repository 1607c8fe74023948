"""Charts in characters, for terminals: lines of braille dots, and letters that tell curves apart without colour.

Where the encoding has no braille, all is ASCII.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator

from lmkit.characters import one_line
from lmkit.plotting.chart import TRAINING, Axis, Chart, Curve, shortened
from lmkit.plotting.scales import Scale, scales_of

__all__ = ["draw_text"]

BRAILLE = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a cell: four rows of a left and a right one
FRAME, ASCII_FRAME = "│┤└─┬…", "|++-+~"
SOLID, DASHED, DOTTED = (1, 1), (5, 4), (4, 1)  # of so many dots, so many are drawn
APART = 11  # columns between two letters of a curve
LEAST_WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 30, 5, 20  # of a drawing; of the part of a panel that has the curves
AROUND = 5  # lines of a panel besides
TICK, TICK_LINES = 9, 3  # columns and lines for a tick
COLOURS = (34, 31, 32, 35, 33, 36)  # of the terminal's own palette, which suits its background


def draw_text(
    chart: Chart, width: int = 80, height: int = 24, *, scale: str = "auto", braille: bool = True, colour: bool = False
) -> str:
    """Return a chart as lines of text.

    Parameters
    ----------
    width, height : int
        Columns that there are; lines that it may take, if that is enough.
    scale : {'auto', 'linear', 'log'}
        Of the horizontal axes: see `lmkit.plotting.scales`.
    braille : bool
        Whether there are characters beyond ASCII.
    colour : bool
        Whether the terminal knows colours (ECMA-48).

    Raises
    ------
    LmkitError, OptionError
    """
    width = max(width, LEAST_WIDTH)
    legend = _legend(chart, width, colour)
    rows = (height - len(legend) - bool(chart.title)) // len(chart.axes) - AROUND
    rows = min(max(rows, LEAST_HEIGHT), MOST_HEIGHT)
    horizontals, vertical = scales_of(chart, scale, max(2, width // TICK), max(2, rows // TICK_LINES))
    lines = [shortened(one_line(chart.title), width)] if chart.title else []
    for axis, horizontal in zip(chart.axes, horizontals, strict=True):
        lines += _panel(chart, axis, horizontal, vertical, width, rows, braille, colour)
    text = "\n".join([*lines, *legend, ""])
    if braille:
        return text
    return text.translate(str.maketrans(FRAME, ASCII_FRAME)).encode("ascii", "backslashreplace").decode()


def letter(curve: Curve) -> str:
    """Return what marks a curve: a letter for each model, a small one for its training."""
    name = string.ascii_uppercase[curve.number % len(string.ascii_uppercase)]
    return name.lower() if curve.part == TRAINING else name


def _legend(chart: Chart, width: int, colour: bool) -> list[str]:
    """Return lines that say what the letters stand for, as many in a line as fit."""
    names = [chart.name(curve, width - 2) for curve in chart.curves]
    cell = max(map(len, names)) + 4
    entries = [
        f"{_painted(letter(curve), curve, colour)} {name:<{cell - 2}}"
        for curve, name in zip(chart.curves, names, strict=True)
    ]
    in_line = max(1, (width + 2) // cell)
    return ["".join(entries[i : i + in_line]).rstrip() for i in range(0, len(entries), in_line)]


def _painted(text: str, curve: Curve | None, colour: bool) -> str:
    if curve is None or not colour:
        return text
    return f"\x1b[{COLOURS[curve.number % len(COLOURS)]}m{text}\x1b[0m"


def _panel(
    chart: Chart, axis: Axis, horizontal: Scale, vertical: Scale, width: int, rows: int, braille: bool, colour: bool
) -> list[str]:
    names = vertical.written
    left = max(map(len, names), default=0)
    canvas = Canvas(width - left - 1, rows, braille)
    paths = []
    for curve in chart.curves:
        if curve.level:
            runs = [[(0.0, vertical.place(y)), (1.0, vertical.place(y))] for y in chart.heights(curve)]
        else:
            runs = _runs(chart, axis, curve, horizontal, vertical)
        kind = DOTTED if curve.level else DASHED if curve.part == TRAINING else SOLID
        paths.append(canvas.draw(runs, curve, kind))
    for i, (curve, path) in enumerate(zip(chart.curves, paths, strict=True)):
        canvas.mark(path, letter(curve), curve, i * APART // len(paths))
    ticks = {
        canvas.cell(0, vertical.place(t * vertical.unit))[1]: n for t, n in zip(vertical.ticks, names, strict=True)
    }
    lines = [
        f"{ticks.get(row, ''):>{left}}{'┤' if row in ticks else '│'}{cells}"
        for row, cells in enumerate(canvas.lines(colour))
    ]
    places = {
        canvas.cell(horizontal.place(t * horizontal.unit), 0)[0]: n
        for t, n in zip(horizontal.ticks, horizontal.written, strict=True)
    }
    edge = "".join("┬" if column in places else "─" for column in range(canvas.columns))
    lines += [" " * left + "└" + edge, " " * (left + 1) + _written(places, canvas.columns)]
    label = shortened(horizontal.label, canvas.columns)
    return [vertical.label, *lines, " " * (left + 1) + label.center(canvas.columns).rstrip(), ""]


def _runs(chart, axis, curve, horizontal, vertical) -> Iterator[list[tuple[float, float]]]:
    """Yield the points of a curve between gaps, as places from 0 to 1."""
    points = chart.points(axis, curve)
    for drawn, run in itertools.groupby(points, lambda point: point[1] == point[1]):
        if drawn:
            yield [(horizontal.place(x), vertical.place(y)) for x, y in run]


def _written(places: dict[int, str], columns: int) -> str:
    """Return the line of the ticks' numbers, each under its tick, without those that would touch the one before."""
    line = ""
    for column, name in sorted(places.items()):
        start = min(max(column - len(name) // 2, 0), columns - len(name))
        if start > len(line) or not line:
            line = line.ljust(start) + name
    return line


class Canvas:
    """Cells of characters with dots in them: 2 x 4 each in braille, else one.

    Attributes
    ----------
    columns, rows : int
        Of cells.
    """

    def __init__(self, columns: int, rows: int, braille: bool):
        self.columns, self.rows, self.braille = columns, rows, braille
        self.across, self.down = (2, 4) if braille else (1, 1)
        self.dots: dict[tuple[int, int], int] = {}
        self.letters: dict[tuple[int, int], str] = {}
        self.owners: dict[tuple[int, int], Curve] = {}

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        """Return the dot of a place, y up, as (column, row) from the upper left."""
        width, height = self.columns * self.across, self.rows * self.down
        return min(int(x * width), width - 1), height - 1 - min(int(y * height), height - 1)

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Return the cell of a place."""
        column, row = self._dot(x, y)
        return column // self.across, row // self.down

    def draw(self, runs, curve: Curve, kind: tuple[int, int]) -> list[tuple[int, int]]:
        """Draw lines of a kind, each through the places of a run; return the cells on the way."""
        path: list[tuple[int, int]] = []
        of, drawn = kind
        for run in runs:
            dots = [self._dot(x, y) for x, y in run]
            for i, (column, row) in enumerate(_line(dots)):
                cell = column // self.across, row // self.down
                path.append(cell)
                if i % of < drawn:
                    bit = DOTS[row % self.down][column % self.across]
                    self.dots[cell] = self.dots.get(cell, 0) | bit
                    self.owners[cell] = curve
        return path

    def mark(self, path: list[tuple[int, int]], name: str, curve: Curve, first: int) -> None:
        """Put letters along a way, from the column `first` on, where there are none of other curves."""
        cells = list(dict.fromkeys(path))
        last, placed = first - APART, False
        for cell in cells:
            if cell[0] - last >= APART and cell not in self.letters:
                self._put(cell, name, curve)
                last, placed = cell[0], True
        if not placed:
            beside = ((c + right, r + up) for c, r in cells for right in (0, 1, -1, 2, -2) for up in (0, 1, -1))
            inside = [(c, r) for c, r in beside if 0 <= c < self.columns and 0 <= r < self.rows]
            free = [cell for cell in inside if cell not in self.letters]
            for cell in free[:1]:
                self._put(cell, name, curve)

    def _put(self, cell, name, curve):
        self.letters[cell], self.owners[cell] = name, curve

    def lines(self, colour: bool) -> Iterator[str]:
        """Yield the rows from the top."""
        for row in range(self.rows):
            cells = [((column, row), self._character((column, row))) for column in range(self.columns)]
            line = "".join(_painted(c, self.owners.get(cell), colour) for cell, c in cells)
            yield line.rstrip()

    def _character(self, cell):
        if cell in self.letters:
            return self.letters[cell]
        if cell not in self.dots:
            return " "
        return chr(BRAILLE + self.dots[cell]) if self.braille else "."


def _line(dots: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the dots of a line through dots, each once, after Bresenham (1965)."""
    yield dots[0]
    for (a, b), (c, d) in itertools.pairwise(dots):
        steps = max(abs(c - a), abs(d - b))
        for i in range(1, steps + 1):
            yield a + round((c - a) * i / steps), b + round((d - b) * i / steps)
