r"""Passages: whole lines from the start of a paragraph on, or of a line where a text has no paragraphs.

>>> text = Text("rhyme", b"ONE:\nBuckle\nmy shoe\n\nTHREE:\nKnock\nat the door\n")
>>> text.unit, [text.line(i) for i in text.starts()]
('paragraph', ['ONE:', 'THREE:'])
>>> Shape(length=12).cut("ONE:\nBuckle\nmy shoe\n\nTHREE:\n")
(0, 19)
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import re
from collections.abc import Callable

import numpy as np

from lmkit.errors import CorpusError, OptionError
from lmkit.text import Corpus, TextLayer
from lmkit.text.vocabulary import to_str

__all__ = ["SIMILAR", "Shape", "Text", "next_start", "tokens_within"]

SIMILAR = 1.5  # times as long as another may a passage be that is to be like it
MOST_LINES = 20  # of a paragraph, on average, so that passages begin with paragraphs
BLANKS = b"\t\n\r "


@dataclasses.dataclass(frozen=True)
class Shape:
    """How long a passage is.

    Parameters
    ----------
    lines : int, optional
        Lines, not counting blank ones.
    length : int, optional
        Or characters: it ends with the first line that brings it there.

    Raises
    ------
    OptionError
        Unless one of the two is given, and at least 1.
    """

    lines: int | None = None
    length: int | None = None

    def __post_init__(self):
        if (self.lines is None) == (self.length is None):
            raise OptionError("a passage has either so many lines or so many characters: give one of lines and length")
        for name in ("lines", "length"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise OptionError(f"--{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def option(self) -> str:
        """The name of what is given: lines or length."""
        return "length" if self.lines is None else "lines"

    def cut(self, text: str) -> tuple[int, int] | None:
        """Return where the first passage of a text starts, after blank lines, and ends, before its last line feed.

        None where the text has no such line feed. More text behind a passage does not change it.
        """
        start, place, lines = None, 0, 0
        while (end := text.find("\n", place)) >= 0:
            if text[place:end].strip(" \t\r"):
                start, lines = place if start is None else start, lines + 1
                if lines == self.lines or (self.length is not None and end - start >= self.length):
                    return start, end
            place = end + 1
        return None

    def __str__(self) -> str:
        return f"{self.length} characters" if self.lines is None else f"{self.lines} lines"


class Text:
    """A text in memory, and its lines.

    Parameters
    ----------
    name : str
        For messages.
    data : bytes
        UTF-8, or what else its bytes are.
    sha256 : str
        Of the file, as a training record has it.
    """

    def __init__(self, name: str, data: bytes, sha256: str = ""):
        self.name, self.sha256 = name, sha256
        self.data = data if data.endswith(b"\n") or not data else data + b"\n"
        self._bytes = np.frombuffer(self.data, np.uint8)
        self._ends = np.flatnonzero(self._bytes == ord("\n")) + 1

    @classmethod
    def read(cls, corpus: Corpus, most: int | None = None, progress: Callable[[int], object] | None = None) -> Text:
        """Read a text as a whole; `progress` is called as by `Corpus.blocks`.

        Raises
        ------
        CorpusError
            It cannot be read, is nothing but white space, or has more than `most` bytes.
        """
        blocks = []
        for block in corpus.blocks(progress):
            blocks.append(block)
            if most is not None and corpus.bytes > most:
                raise CorpusError(f"{corpus.title}: has more than {most} bytes")
        data = b"".join(blocks)
        if not data.strip(BLANKS):
            raise CorpusError(f"{corpus.title}: holds nothing but white space; give a text with passages to show")
        return cls(corpus.title, data, corpus.sha256)

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self._ends)

    def offset(self, line: int) -> int:
        """Return where a line begins, in bytes; all lines are before line `len(self)`."""
        return int(self._ends[line - 1]) if line else 0

    def block(self, first: int, last: int) -> bytes:
        """Return the lines from `first` up to, not with, `last`; each ends with a line feed."""
        return self._bytes[self.offset(first) : self.offset(last)].tobytes()

    def line(self, number: int) -> str:
        """Return a line, counted from 0, without its line feed."""
        return to_str(self.block(number, number + 1)[:-1])

    @functools.cached_property
    def _blank(self) -> np.ndarray:
        black = np.ones(256, bool)
        black[list(BLANKS)] = False
        return ~np.logical_or.reduceat(black[self._bytes], self._ends - np.diff(self._ends, prepend=0))

    @functools.cached_property
    def _first_lines(self) -> np.ndarray:
        return np.flatnonzero(~self._blank & np.append(True, self._blank[:-1]))

    @functools.cached_property
    def unit(self) -> str:
        """What passages are the beginning of: 'paragraph' where blank lines part the text well, else 'line'."""
        return "paragraph" if np.count_nonzero(~self._blank) <= MOST_LINES * len(self._first_lines) else "line"

    def starts(self, first: int = 0) -> np.ndarray:
        """Return the lines from `first` on with which passages can begin."""
        lines = self._first_lines if self.unit == "paragraph" else np.flatnonzero(~self._blank)
        return lines[np.searchsorted(lines, first) :]

    def recurs(self, line: str) -> bool:
        """Whether a line stands here more than once, as the name of a speaker does."""
        wanted = b"\n" + line.encode("utf-8", "surrogateescape") + b"\n"
        once = self.data.find(wanted) if not self.data.startswith(wanted[1:]) else 0
        return once >= 0 and self.data.find(wanted, once + 1) >= 0


def next_start(text: str, unit: str) -> int | None:
    """Return where the next paragraph, or line, of a text begins; None if it has not come to an end."""
    found = re.search(r"\n[ \t\r]*\n" if unit == "paragraph" else r"\n", text)
    return None if found is None else found.end()


def tokens_within(layer: TextLayer, ids: np.ndarray, size: int) -> int:
    """Return how many of the tokens make up no more than the first bytes of their text."""
    return bisect.bisect(range(len(ids) + 1), size, key=lambda n: len(layer.decode(ids[:n]))) - 1
