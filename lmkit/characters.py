"""Characters that a terminal obeys instead of showing, or that nobody can see: one table for all output to people."""

from __future__ import annotations

__all__ = ["ESCAPES", "INVALID", "one_line", "shown"]

CONTROLS = (*range(32), *range(127, 160))
UNSEEN = (  # separators of lines, marks that turn the direction of text around, characters without a width, tags
    0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF,
    *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
)  # fmt: skip
INVALID = range(0xDC80, 0xDD00)  # what stands for bytes that are not UTF-8
SURROGATES = (*range(0xD800, 0xDC80), *range(0xDD00, 0xE000))  # no UTF-8 has them

ESCAPES = {
    **{code: ascii(chr(code))[1:-1] for code in (*CONTROLS, *UNSEEN, *SURROGATES)},
    **{code: f"\\x{code - 0xDC00:02x}" for code in INVALID},
}
"""From the code of each such character to its escape: \\n, \\x1b, \\u202e, \\U000e0041; \\xff is a byte."""

_SHOWN = {code: escape for code, escape in ESCAPES.items() if chr(code) not in "\t\n"}


def one_line(text: str) -> str:
    r"""Return a text that is one line, with escapes for all that a terminal would obey or nobody can see.

    >>> print(one_line("a\nb \x1b[31m \u202e"))
    a\nb \x1b[31m \u202e
    """
    return text if text.isascii() and text.isprintable() else text.translate(ESCAPES)


def shown(text: str) -> str:
    r"""Return a text with escapes as `one_line` has, but for tabs and line feeds.

    >>> print(shown("a\nb \x1b[31m"))
    a
    b \x1b[31m
    """
    return text.translate(_SHOWN)
