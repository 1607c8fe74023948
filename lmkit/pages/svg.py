"""A picture of some lines of text, each token on the colour of its surprisal: SVG that suits light and dark pages."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator

import numpy as np

from lmkit.colours import DIFFERENCE, SURPRISAL, Scale, on
from lmkit.errors import CorpusError, OptionError
from lmkit.explanation import NOTHING, Explained
from lmkit.model import EOS
from lmkit.text.visible import JOINER, LINE_END, PART, SENTENCE_END, columns, dressed, sign

__all__ = ["LONGEST", "svg"]

LONGEST = 5000  # characters
WIDTH = 80  # columns
NOTES = 50  # characters of a row below the scale: they fit the narrowest picture
COLUMN, LINE, SIZE, MARGIN = 8.4, 24, 14, 12  # pixels; a column is what the usual fonts of this size take
GLUE = "\u00a0"  # where a note is not to be wrapped
SIGNS = {
    LINE_END: "line end", SENTENCE_END: "sentence end", PART: "part of a character", JOINER: "no blank here",
}  # fmt: skip
UNKNOWN = "underlined: out of vocabulary"
INK = {"light": "#17171a", "dark": "#ececf1"}
GROUND = {"light": SURPRISAL.light[0], "dark": SURPRISAL.dark[0]}


def svg(pieces: Iterable[Explained], tokenizer: str) -> str:
    """Return the picture of pieces of text; where they hold the surprisal of two models, of the difference.

    Parameters
    ----------
    tokenizer : str
        Of the model.

    Raises
    ------
    CorpusError
        There are no tokens.
    OptionError
        The text is too long for a picture.
    """
    sheet, scale = _Picture(), SURPRISAL
    for piece in pieces:
        scale = SURPRISAL if piece.other_log_p is None else DIFFERENCE
        sheet.size += len(piece.text)
        if sheet.size > LONGEST:
            raise OptionError(f"a picture shows at most {LONGEST:,} characters of text; give fewer lines")
        numbers = piece.surprisal if piece.other_log_p is None else piece.difference
        unknown = np.isin(np.arange(len(piece.ids)), piece.oov)
        rows = zip(piece.tokens, piece.ids.tolist(), scale.levels(numbers).tolist(), unknown.tolist(), strict=True)
        for text, token, level, out in rows:
            own = sign(token == EOS, tokenizer)
            before, shown, ends = dressed(text, own)
            sheet.seen |= {LINE_END} if ends else {own} if not text else set()
            if text:
                sheet.settle()
            sheet.blank(before)
            sheet.token(shown, level, out)
            sheet.held = sheet.held or ends
        sheet.blank(piece.rest)
    if not sheet.marks:
        raise CorpusError(f"the text {NOTHING}")
    return sheet.drawn(scale)


class _Picture:
    """Tokens in rows; where they are and what they look like."""

    def __init__(self):
        self.marks: list[str] = []
        self.row = self.column = self.size = 0
        self.widest = 40
        self.held = self.unknown = False
        self.seen: set[str] = set()  # signs

    def settle(self) -> None:
        """End the line that waits for it."""
        if self.held:
            self.row, self.column, self.held = self.row + 1, 0, False

    def blank(self, text: str) -> None:
        """Go on behind what is no token."""
        *lines, last = text.split("\n")
        if lines:
            self.row, self.column = self.row + len(lines), 0
        self.column += columns(last)

    def token(self, text: str, level: int, unknown: bool) -> None:
        """Draw a token."""
        width = columns(text)
        if self.column and self.column + width > WIDTH:
            self.row, self.column = self.row + 1, 0
        x, y = MARGIN + self.column * COLUMN, MARGIN + self.row * LINE
        self.marks.append(
            f'<rect class="l{level}" x="{x:.1f}" y="{y}" width="{width * COLUMN:.1f}" height="{LINE - 3}" rx="2"/>'
            f'<text class="t{level}{" oov" * unknown}" x="{x:.1f}" y="{y + 16}" textLength="{width * COLUMN:.1f}" '
            f'xml:space="preserve">{html.escape(text, quote=False)}</text>'
        )
        self.unknown = self.unknown or unknown
        self.column += width
        self.widest = max(self.widest, self.column)

    def drawn(self, scale: Scale) -> str:
        """Return the picture, with the scale and what the signs mean below the text."""
        y = MARGIN + (self.row + 1) * LINE + 10
        for level, label in enumerate(scale.labels):
            x = MARGIN + level * 34
            self.marks.append(
                f'<rect class="l{level}" x="{x}" y="{y}" width="34" height="18"/>'
                f'<text class="t{level} small" x="{x + 17}" y="{y + 13}" text-anchor="middle">{label}</text>'
            )
        x = MARGIN + len(scale.labels) * 34 + 8
        self.marks.append(f'<text class="ink small" x="{x}" y="{y + 13}">bits</text>')
        width, height = 2 * MARGIN + max(self.widest * COLUMN, 9 * 34 + 40), y + 18 + MARGIN
        for row in self.notes():
            self.marks.append(f'<text class="ink small" x="{MARGIN}" y="{height + 3}">{row}</text>')
            height += 16
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
            f'height="{height}" role="img" aria-label="Text, each token coloured by its surprisal in bits">\n'
            f"<style>{''.join(_rules(scale))}</style>\n"
            f'<rect class="ground" width="100%" height="100%" rx="6"/>\n' + "\n".join(self.marks) + "\n</svg>\n"
        )

    def notes(self) -> list[str]:
        """Return rows that say what the signs of the picture mean."""
        said = [f"{sign}{GLUE}{meaning}" for sign, meaning in SIGNS.items() if sign in self.seen]
        said += [UNKNOWN] * self.unknown
        rows = textwrap.wrap(", ".join(each.replace(" ", GLUE) for each in said), NOTES)
        return [row.replace(GLUE, " ") for row in rows]


def _rules(scale: Scale) -> Iterator[str]:
    yield f"text{{font:{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}}"
    yield "text.small{font-size:11px}.oov{text-decoration:underline}"
    for ground in ("light", "dark"):
        rules = f".ground{{fill:{GROUND[ground]}}}.ink{{fill:{INK[ground]}}}"
        for level, colour in enumerate(getattr(scale, ground)):
            rules += f".l{level}{{fill:{colour}}}.t{level}{{fill:{on(colour)}}}"
        yield rules if ground == "light" else f"@media(prefers-color-scheme:dark){{{rules}}}"
