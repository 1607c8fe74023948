"""The text layer again, slow and obvious: one Python object a token. The kernels must agree with it."""

import re

from lmkit.text.unicode_table import RUNS

CLASSES = "".join(letter * int(length) for letter, length in re.findall(r"(\D)(\d+)", RUNS))
RESERVED = ["<unk>", "<s>", "</s>"]
JOINER = ""


def class_at(text, i):
    """The class letter of the character there, nothing at the end."""
    return CLASSES[ord(text[i])] if i < len(text) else ""


def kind_of(token):
    """The class letter that decides about blanks around a token; `_` is a run of blanks."""
    if token == JOINER:
        return "g"
    if token in ("\n", "\r\n"):
        return "n"
    if not token.strip(" "):
        return "_"
    first = class_at(token, 0)
    if first in ("a", "d", "x") or (first == "q" and class_at(token, 1) in ("a", "d")):
        return "a"
    return "g" if first == "r" else first


class Spacing:
    """Says whether a blank is expected before the next token, given those before it."""

    def __init__(self):
        self.left, self.quoted = "n", False

    def expects(self, kind):
        if kind == "Q":
            kind = "c" if self.quoted else "o"
        if self.left == "s" and kind == "s":
            return 0
        return int(self.left in "aspcq" and kind in "aos")

    def move(self, kind):
        if kind == "Q":
            self.left, self.quoted = "c" if self.quoted else "o", not self.quoted
        else:
            if kind == "n" and self.left == "n":
                self.quoted = False
            self.left = kind


def token_end(text, start):
    """Where the word, symbol or newline that starts here ends."""
    first = class_at(text, start)
    if first == "n":
        return start + 1
    if text.startswith("\r\n", start):
        return start + 2
    end = start + 1
    if first == "q" and class_at(text, end) in ("a", "d"):
        first = "a"
    if first not in ("a", "d", "x"):
        while class_at(text, end) == "x":
            end += 1
        return end
    while True:
        if class_at(text, end) in ("a", "d", "x"):
            end += 1
        elif class_at(text, end) == "q":
            end += 1
            if class_at(text, end) not in ("a", "d"):
                return end
        elif class_at(text, end) == "p" and class_at(text, end - 1) == "d" == class_at(text, end + 1):
            end += 1
        else:
            return end


def split_word(text, spacing=None, hold=False):
    """Tokens of the word tokenizer; `spacing` carries on from what stood before."""
    spacing = spacing or Spacing()
    tokens, i = [], 0
    while i < len(text):
        blanks = len(text[i:]) - len(text[i:].lstrip(" "))
        i += blanks
        if i == len(text):
            blanks -= int(hold and spacing.expects("a"))
            return tokens + [" " * blanks] * (blanks > 0)
        token = text[i : token_end(text, i)]
        kind = kind_of(token)
        expected = spacing.expects(kind)
        if blanks > expected:
            tokens.append(" " * (blanks - expected))
        elif blanks < expected:
            tokens.append(JOINER)
        tokens.append(token)
        spacing.move(kind)
        i += len(token)
    return tokens


def join_word(tokens):
    """The text again."""
    text, spacing = "", Spacing()
    for token in tokens:
        kind = kind_of(token)
        if kind == "_":
            text += token
        else:
            text += " " * spacing.expects(kind) + token
            spacing.move(kind)
    return text


def split(text, tokenizer, spacing=None):
    if tokenizer == "word":
        return split_word(text, spacing)
    if tokenizer == "whitespace":
        return [token for token in re.split("[\0\t\n\r ]+", text) if token]
    if tokenizer == "char":
        return list(text)
    data = text.encode("utf-8", "surrogateescape")
    return [bytes([byte]).decode("utf-8", "surrogateescape") for byte in data]


def sentences(text, rule):
    """The sentences of a text: joined they are the text again."""
    lines = re.findall("[^\n]*\n|[^\n]+", text)
    if rule == "line":
        return lines
    if rule == "text":
        return [text] if text else []
    found, blank_seen = [""], False
    for line in lines:
        blank = not line.strip(" \t\r\n")
        if blank:
            blank_seen = bool(found[-1].strip(" \t\r\n"))
        elif blank_seen:
            found.append("")
            blank_seen = False
        found[-1] += line
    return found if text else []


def encode(text, settings, vocabulary):
    """Ids and the positions of unknown tokens, given the list of all tokens; ValueError for reserved ones."""
    if settings.lowercase:
        text = text.lower()
    number = {token: i for i, token in enumerate(vocabulary) if i > 2}
    ids, oov, spacing = [], [], Spacing()
    for sentence in sentences(text, settings.sentence):
        for token in split(sentence, settings.tokenizer, spacing):
            if settings.tokenizer == "whitespace" and token in RESERVED:
                if settings.reserved == "space":
                    continue
                if settings.reserved == "error" or token != "<unk>":
                    raise ValueError(token)
            elif token not in number:
                oov.append(len(ids))
            ids.append(number.get(token, 0))
        ids.append(2)
    return ids, oov


def unknown(text, settings, vocabulary):
    """The tokens that are out of vocabulary, as they come."""
    spacing, found = Spacing(), []
    for sentence in sentences(text.lower() if settings.lowercase else text, settings.sentence):
        for token in split(sentence, settings.tokenizer, spacing):
            reserved = settings.tokenizer == "whitespace" and token in RESERVED
            found += [] if reserved or token in vocabulary[3:] else [token]
    return found


def learn(texts, settings, vocab_size=None, min_count=1):
    """All tokens in the order of their ids, and their counts."""
    counts = {}
    for text in texts:
        spacing = Spacing()
        for sentence in sentences(text.lower() if settings.lowercase else text, settings.sentence):
            for token in split(sentence, settings.tokenizer, spacing):
                if settings.tokenizer != "whitespace" or token not in RESERVED:
                    counts[token] = counts.get(token, 0) + 1
    ranked = sorted(counts, key=lambda token: (-counts[token], token.encode("utf-8", "surrogateescape")))
    return RESERVED + [token for token in ranked if counts[token] >= min_count][:vocab_size]


def decode(ids, settings, vocabulary):
    """The text of ids."""
    if settings.tokenizer == "whitespace":
        end = "\n\n" if settings.sentence == "paragraph" else "\n"
        text = ""
        for i in ids:
            text += end if i == 2 else (" " if text and text[-1] != "\n" else "") + vocabulary[i]
        return text
    tokens = [vocabulary[i] for i in ids if i > 2]
    return join_word(tokens) if settings.tokenizer == "word" else "".join(tokens)


def longest_run(passage, texts):
    """Start and length of the longest part of a passage that stands in a text; of equal ones the first."""
    start, length = 0, 0
    for i in range(len(passage)):
        while i + length < len(passage) and any(passage[i : i + length + 1] in text for text in texts):
            start, length = i, length + 1
    return start, length
