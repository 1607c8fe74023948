"""Texts as people may safely see them: what a terminal or a page would obey instead of show becomes a sign."""

from __future__ import annotations

import functools
import unicodedata

from lmkit.characters import ESCAPES

__all__ = ["columns", "dressed", "sign", "visible"]

DELETE = 0x7F
PICTURES = 0x2400  # the block of Unicode with a sign for each control character
DELETE_PICTURE = 0x2421
LINE_END, SENTENCE_END, TAB, JOINER, PART, CIRCLE = "↵¶→‿·◌"
BLANKS = " \t\n\r\0"
SIGNS = ESCAPES | {code: chr(PICTURES + code) for code in range(32)} | {DELETE: chr(DELETE_PICTURE)}
SIGNS = {code: sign for code, sign in SIGNS.items() if chr(code) not in "\t\n"}


def visible(text: str) -> str:
    r"""Return a text in which all but tabs and newlines can be seen and does nothing.

    Control characters become their pictures, other characters that cannot be seen and bytes that are not UTF-8 become
    escapes.

    >>> print(visible("red: \x1b[31m, mirrored: \u202e, \udcff"))
    red: ␛[31m, mirrored: \u202e, \xff
    """
    return text if text.isascii() and text.isprintable() else text.translate(SIGNS)


def columns(text: str) -> int:
    r"""Return how many columns of a terminal a visible text takes: East Asian wide characters two, marks none.

    >>> columns("naïve"), columns("日本"), columns("e\u0301")
    (5, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_columns_of, text))


@functools.lru_cache(4096)
def _columns_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf") and character != "\xad":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def sign(ends_sentence: bool, tokenizer: str) -> str:
    """Return what is shown of a token without text of its own: `</s>`, the joiner, or a part of a character."""
    return SENTENCE_END if ends_sentence else JOINER if tokenizer == "word" else PART


def dressed(text: str, sign: str) -> tuple[str, str, bool]:
    r"""Return what stands before a token, the token as it is shown, and whether a line ends with it.

    Parameters
    ----------
    text : str
        The token as it stands in a text, with the blanks before it.
    sign : str
        What to show where it has no text of its own.

    >>> dressed("  word", "¶"), dressed("\r\n", "¶"), dressed("", "¶")
    (('  ', 'word', False), ('', '␍↵', True), ('', '¶', False))
    """
    core = text.lstrip(BLANKS)
    if core:
        alone = unicodedata.category(core[0]) in ("Mn", "Me")
        return visible(text[: len(text) - len(core)]), CIRCLE * alone + visible(core), False
    before, newline, after = text.rpartition("\n")
    if after or not newline:
        return ("", visible(text), False) if text else ("", sign, False)
    bare = before.removesuffix("\r")
    return visible(bare), visible(before[len(bare) :]) + LINE_END, True
