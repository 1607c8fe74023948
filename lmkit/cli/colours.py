"""Text for people, each token on the colour of its level; or without colours, with a mark under each token."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from lmkit.cli import streams, terminal
from lmkit.colours import ACTIVATION, DIFFERENCE, SURPRISAL, WHITE, Scale, on, terminal_colour
from lmkit.text.visible import TAB, columns, dressed, visible

__all__ = ["Kind", "Sheet", "activation", "difference", "is_coloured", "open_sheet", "surprisal"]

TAB_STOP = 8
RESET = "\x1b[0m"
BLACK_TEXT, WHITE_TEXT = 16, 231  # of the 256 colours those that no theme changes
NARROWEST, USUAL = 20, 80  # columns: the fewest that are reckoned with, and those of what is no terminal
UNDERLINED = "Underlined: out of vocabulary."


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is shown of tokens.

    Attributes
    ----------
    scale : Scale
    title, marked_title : str
        What the colours mean, and what the marks.
    mark : callable
        From the number of a token and the columns that it takes to what stands under it.
    """

    scale: Scale
    title: str
    marked_title: str
    mark: Callable[[float, int], str]


def surprisal() -> Kind:
    """Return the kind for bits of surprisal."""
    return Kind(
        SURPRISAL, f"Surprisal in bits, from 0. {UNDERLINED}",
        "Under each token its surprisal in bits: + is 10 or more, ! impossible, ? out of vocabulary.", _bits_mark,
    )  # fmt: skip


def difference(first: str, second: str) -> Kind:
    """Return the kind for bits by which the second model is more surprised than the first."""
    more = f"bits by which {second} is more surprised than {first}"
    return Kind(
        DIFFERENCE, f"Orange: {more}. Blue: less. {UNDERLINED}",
        f"Under each token the {more}, - less; ? out of vocabulary.", _difference_mark,
    )  # fmt: skip


def activation(unit: str) -> Kind:
    """Return the kind for the activation of a unit."""
    return Kind(
        ACTIVATION, unit,
        f"{unit}. Under each token its activation: - or + from .3 on, with a digit where there is room.",
        _activation_mark,
    )  # fmt: skip


def _bits_mark(bits, size):
    if math.isinf(bits):
        return "!"
    mark = f"{bits:.0f}"
    return mark if len(mark) == 1 or len(mark) < size else "+"  # a blank stands between two digits and the next mark


def _difference_mark(bits, size):
    mark = f"{bits:+.0f}" if math.isfinite(bits) else "?" if math.isnan(bits) else "+!" if bits > 0 else "-!"
    if mark[1:] == "0":
        return ""
    return mark if len(mark) < size else mark[0]


def _activation_mark(held, size):
    mark = f"{10 * held:+.0f}"
    if abs(held) < ACTIVATION.bounds[1]:
        return ""
    return mark if len(mark) < size else mark[0]


def is_coloured(choice: str, output: str) -> bool:
    """Whether to colour what goes to an output: as --color says, or on a terminal that may have colours."""
    if choice != "auto":
        return choice == "always"
    able = os.environ.get("TERM", "dumb") not in ("", "dumb") and not os.environ.get("NO_COLOR")
    return able and output == "-" and terminal.is_terminal(sys.stdout)


def open_sheet(file: BinaryIO, kind: Kind, color: str, output: str) -> Sheet:
    """Return what writes tokens to a file, in rows that fit the terminal.

    Parameters
    ----------
    color, output : str
        As --color and -o say.
    """
    width = max(NARROWEST, shutil.get_terminal_size((USUAL, 24)).columns)
    if not is_coloured(color, output):
        return MarkedSheet(file, kind, width)
    return ColouredSheet(file, kind, width if output == "-" and terminal.is_terminal(sys.stdout) else None)


class Cell(NamedTuple):
    """What stands together in a row: its columns, its level, the number to mark it with, if any."""

    text: str
    size: int
    level: int
    number: float | None
    unknown: bool


class Sheet:
    """Lay tokens out in rows.

    Parameters
    ----------
    file : binary file
    kind : Kind
    width : int or None
        Columns of a row; None: as long as the lines of the text.
    """

    def __init__(self, file: BinaryIO, kind: Kind, width: int | None):
        self.file, self.kind, self.width = file, kind, width
        self.cells: list[Cell] = []  # of the row that is laid down
        self.written = 0  # of them
        self.column = 0
        self.held = False  # a line break that waits for what else belongs to its line
        self.out: list[str] = []
        self._dressed: dict[tuple[str, str], tuple[str, str, bool]] = {}

    def token(self, text: str, sign: str, level: int, number: float, unknown: bool = False) -> None:
        """Lay down a token, given as for `lmkit.text.visible.dressed`, with its level on the scale."""
        key = text, sign
        if key not in self._dressed:
            self._dressed[key] = dressed(text, sign)
        before, shown, ends = self._dressed[key]
        if text:
            self._settle()
        self._blank(before)
        self._fit(shown, level, number, unknown)
        self.held = self.held or ends

    def text(self, text: str) -> None:
        """Lay down text that is no token."""
        if text:
            self._settle()
            self._blank(visible(text))

    def line(self, text: str = "") -> None:
        """Write a line that is not of the text, wrapped."""
        self.end()
        self.out += [row + "\n" for row in textwrap.wrap(visible(text), self.width or USUAL) or [""]]

    def end(self) -> None:
        """End the line, if one has begun."""
        self._settle()
        if self.cells:
            self._end_row()

    def flush(self) -> None:
        """Write what has been laid down."""
        self.file.write(streams.encode("".join(self.out)))
        self.file.flush()
        self.out.clear()

    def introduce(self) -> None:
        """Say what the colours or the marks mean."""
        raise NotImplementedError

    def _render(self, cells: list[Cell], ended: bool) -> None:
        """Write cells that follow each other in a row, and the end of the row."""
        raise NotImplementedError

    def _settle(self):
        if self.held:
            self._end_row()
            self.held = False

    def _blank(self, text):
        for i, line in enumerate(text.split("\n")):
            if i:
                self._end_row()
            if line:
                line = (" " * self.column + line).expandtabs(TAB_STOP)[self.column :]
                self._fit(line, self.kind.scale.neutral, None, False)

    def _fit(self, text, level, number, unknown):
        """Lay down text of one level where there is room; what is no token has no number."""
        if text[:1] == "\t":
            text = TAB.ljust(TAB_STOP - self.column % TAB_STOP) + text[1:]
        text = text.replace("\t", TAB)  # others than the first are within a token: no tokenizer makes such
        size = columns(text)
        if self.width and self.column + size > self.width:
            if text.isspace():
                self._end_row()
                if number is None:
                    return
            else:
                self._wrap()
            if self.column + size > self.width:
                *rows, text = _rows(text, self.width - self.column, self.width)
                for row in rows:
                    self.cells.append(Cell(row, columns(row), level, number, unknown))
                    self._end_row()
                    number = None  # the mark stands under the first row
                size = columns(text)
        self.cells.append(Cell(text, size, level, number, unknown))
        self.column += size

    def _wrap(self):
        """Go on in the next row, after the last blank if one can still be found."""
        last = next((i for i in range(len(self.cells), self.written, -1) if self.cells[i - 1].text.isspace()), None)
        kept = [] if last is None else self.cells[last:]
        self.cells[len(self.cells) - len(kept) :] = []
        if self.cells:
            self._end_row()
        self.cells = kept
        self.column = sum(cell.size for cell in kept)

    def _end_row(self):
        self._render(self.cells[self.written :], True)
        self.cells, self.written, self.column = [], 0, 0


def _rows(text: str, room: int, width: int) -> list[str]:
    """Cut a text into parts of so many columns, the first one of what room there is."""
    rows = [""]
    for character in text:
        size = columns(character)
        if size > room:
            rows.append("")
            room = width
        rows[-1] += character
        room -= size
    return rows


class ColouredSheet(Sheet):
    """Tokens on colours; those out of vocabulary are underlined."""

    def __init__(self, file: BinaryIO, kind: Kind, width: int | None):
        super().__init__(file, kind, width)
        self.styles = [_style(colour) for colour in kind.scale.terminal]

    def introduce(self) -> None:
        self.line(self.kind.title)
        for level, label in enumerate(self.kind.scale.labels):
            self._fit(f"{label:^4}", level, None, False)
        self.line()

    def flush(self) -> None:
        """Write what has been laid down, a part of a row, too: the terminal's own colours are left behind it."""
        self._render(self.cells[self.written :], False)
        self.written = len(self.cells)
        super().flush()

    def _render(self, cells, ended):
        before = ""
        for cell in cells:
            style = self.styles[cell.level] + ";4" * cell.unknown
            if style != before:
                self.out.append(f"\x1b[0;{style}m")
                before = style
            self.out.append(cell.text)
        self.out.append(RESET * bool(before) + "\n" * ended)


def _style(colour):
    text = WHITE_TEXT if on(terminal_colour(colour)) == WHITE else BLACK_TEXT
    return f"38;5;{text};48;5;{colour}"


class MarkedSheet(Sheet):
    """Rows of text and under each a row of marks."""

    def introduce(self) -> None:
        self.line(self.kind.marked_title)
        self.line()

    def _render(self, cells, ended):
        marks = "".join(self._mark(cell).ljust(cell.size) for cell in cells).rstrip()
        self.out.append("".join(cell.text for cell in cells).rstrip() + "\n" + (marks + "\n") * bool(marks))

    def _mark(self, cell):
        if cell.number is None:
            return ""
        return "?" if cell.unknown else self.kind.mark(cell.number, cell.size)
