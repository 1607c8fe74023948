"""The text layer again, slow and obvious: one Python object a token. The kernels must agree with every function here."""

import re

from lmkit.text.unicode_table import RUNS

CLASSES = "".join(letter * int(length) for letter, length in re.findall(r"(\D)(\d+)", RUNS))
JOINER = ""

# Token kinds that want a blank before them, and those that leave one after them.
WANTS, LEAVES = "adxos", "adxcps"


def kind_of(token):
    """The class letter that decides about blanks around a token; `_` is a run of blanks."""
    if token == JOINER:
        return "g"
    if token in ("\n", "\r\n"):
        return "n"
    if not token.strip(" "):
        return "_"
    first = CLASSES[ord(token[0])]
    if first == "q" and len(token) > 1 and CLASSES[ord(token[1])] in "ad":
        return "a"
    return "g" if first in "rnb" else first


class Spacing:
    """Says whether a blank is expected before the next token, given those before it."""

    def __init__(self):
        self.left, self.quoted = "n", False

    def expects(self, kind):
        if kind == "Q":
            kind = "c" if self.quoted else "o"
        if self.left == "s" == kind:
            return 0
        return int(self.left in LEAVES and kind in WANTS)

    def move(self, kind):
        if kind == "Q":
            self.left, self.quoted = "oc"[self.quoted], not self.quoted
        else:
            if kind == "n" == self.left:
                self.quoted = False
            self.left = kind


def word_end(text, start):
    """Where the word or symbol that starts here ends."""

    def cls(i):
        return CLASSES[ord(text[i])] if i < len(text) else ""

    if text.startswith("\r\n", start):
        return start + 2
    if cls(start) == "n":
        return start + 1
    end = start + 1
    if cls(start) in "adx" or (cls(start) == "q" and cls(end) and cls(end) in "ad" and LEADING):
        while end < len(text):
            if cls(end) in "adx":
                end += 1
            elif cls(end) == "q" and cls(end + 1) in ("a", "d"):
                end += 2
            elif cls(end) == "p" and cls(end - 1) == "d" and cls(end + 1) == "d":
                end += 2
            else:
                break
        if TRAIL and cls(end)=="q": end+=1
        return end
    while cls(end) == "x":
        end += 1
    return end

LEADING=False
TRAIL=False

def split_word(text):
    tokens, spacing, start = [], Spacing(), 0
    while start < len(text):
        begin = start
        while start < len(text) and text[start] == " ":
            start += 1
        blanks = start - begin
        if start == len(text):
            tokens += [" " * blanks] * (blanks > 0)
            break
        end = word_end(text, start)
        kind = kind_of(text[start:end])
        expected = spacing.expects(kind)
        if blanks > expected:
            tokens.append(" " * (blanks - expected))
        elif blanks < expected:
            tokens.append(JOINER)
        tokens.append(text[start:end])
        spacing.move(kind)
        start = end
    return tokens


def join_word(tokens):
    text, spacing = "", Spacing()
    for token in tokens:
        kind = kind_of(token)
        if kind == "_":
            text += token
            continue
        text += " " * spacing.expects(kind) + token
        spacing.move(kind)
    return text
