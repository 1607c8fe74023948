"""What kinds of characters there are, and where a blank is expected between two tokens.

| class | letter | what |
|---|---|---|
| GLUE | g | control characters, tabs, no-break spaces: never a blank beside them |
| LETTER, DIGIT, EXTEND | a d x | what words are made of; EXTEND are marks that also follow symbols |
| IDEOGRAPH | i | scripts written without blanks: each character is a token |
| OPEN, CLOSE | o c | brackets, currency; closing punctuation |
| HYPHEN | h | dashes, slashes, underscores: no blank on either side |
| SYMBOL | s | the rest: a blank on either side, none between two of them |
| APOSTROPHE, POINT, QUOTE | q p Q | ' and right single quote; . and ,; the straight double quote |
| NEWLINE, RETURN, BLANK | n r b | those three characters |
"""

from __future__ import annotations

import functools
import re

import numpy as np

from lmkit.text.unicode_table import RUNS

__all__ = ["LETTERS", "character_classes", "no_blanks", "spacing_rules"]

LETTERS = "gadxiochsqpQnrb"  # the position is the number of the class, as in lmkit/kernels/text.py
WANTS_BLANK = "aos"
LEAVES_BLANK = "aspcq"


@functools.cache
def character_classes() -> np.ndarray:
    """Return the class of every code point, uint8 of shape (0x110000,)."""
    runs = re.findall(r"(\D)(\d+)", RUNS)
    letters = np.array([LETTERS.index(letter) for letter, _ in runs], np.uint8)
    return np.repeat(letters, np.array([int(length) for _, length in runs]))


@functools.cache
def spacing_rules() -> np.ndarray:
    """Return rules[left, right], uint8 of shape (16, 16): is a blank expected between these kinds?"""
    rules = no_blanks()
    for left in LEAVES_BLANK:
        for right in WANTS_BLANK:
            rules[LETTERS.index(left), LETTERS.index(right)] = 1
    rules[LETTERS.index("s"), LETTERS.index("s")] = 0
    return rules


def no_blanks() -> np.ndarray:
    """Return the rules under which tokens simply follow each other, uint8 of shape (16, 16)."""
    return np.zeros((16, 16), np.uint8)
