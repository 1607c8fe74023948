"""What models have read, as their training records tell it: which part of a text is new to them.

A model file is anyone's: what its record says is checked, and a file that it names is used only if its checksum is the
one in the record.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from lmkit import untrusted
from lmkit.errors import CorpusError, LmkitWarning, OptionError
from lmkit.memory import memory_limit
from lmkit.model import LanguageModel
from lmkit.quizzes.passages import Text
from lmkit.text import RESERVED_RULES, Corpus, TextLayer
from lmkit.text.table import padded
from lmkit.untrusted import entries, entry

__all__ = ["Library", "Training", "first_unseen_line", "recorded_text", "trainings", "written"]

CHUNK = 1 << 12  # lines that are turned into tokens at a time


@dataclasses.dataclass(frozen=True)
class Training:
    """What one training read.

    Attributes
    ----------
    names, checksums : tuple of str
        Of its texts, in their order.
    bytes, tokens : tuple of int
        Of each text.
    learnt : int
        Tokens that were learnt from, the first ones of all texts together; the others were held out.
    layer : TextLayer
        Which counted them.
    encoding, errors : str
        How the texts were read.
    """

    names: tuple[str, ...]
    checksums: tuple[str, ...]
    bytes: tuple[int, ...]
    tokens: tuple[int, ...]
    learnt: int
    layer: TextLayer
    encoding: str
    errors: str

    @classmethod
    def from_record(cls, record: Any, layer: TextLayer) -> Training | None:
        """Return what a record tells, None where it does not: there is none, it is damaged, or counts were read."""
        try:
            corpora, options, held_out = record["corpora"], record["options"], record["held_out"] or {}
            columns = [tuple(corpus[key] for corpus in corpora) for key in ("name", "sha256", "bytes", "tokens")]
            learnt = held_out.get("first_token", sum(columns[3]))
            encoding, errors = options["encoding"], options["errors"]
            reserved = options.get("reserved")
        except (KeyError, TypeError, AttributeError):
            return None
        names, checksums, sizes, tokens = columns
        strings, numbers = (*names, *checksums, encoding, errors), (*sizes, *tokens, learnt)
        if not names or not all(type(s) is str for s in strings) or not all(type(n) is int and n >= 0 for n in numbers):
            return None
        layer = layer.reading(reserved if reserved in RESERVED_RULES else None)
        return cls(*columns, learnt, layer, encoding, errors)

    def learnt_of(self, checksum: str) -> int | None:
        """Return how many tokens at the start of a text were learnt from, None for all of it; 0 if it was not read."""
        first, most = 0, 0
        for own, size in zip(self.checksums, self.tokens, strict=True):
            if own == checksum:
                if self.learnt >= first + size:
                    return None
                most = max(most, self.learnt - first)
            first += size
        return most

    def text(self, name: str, checksum: str, size: int) -> Text | None:
        """Return the text of this name, None where it does not lie there any more, or has changed."""
        return unchanged(name, checksum, self.encoding, self.errors, size)


def unchanged(name: str, checksum: str, encoding: str, errors: str, size: int | None = None) -> Text | None:
    """Return the text that a record names, None where it does not lie there, has changed, or is too large to be held.

    Parameters
    ----------
    size : int, optional
        Its bytes, if the record tells; no more are read.
    """
    free = memory_limit()
    if not os.path.isfile(name) or (free is not None and max(size or 0, os.path.getsize(name)) > free // 2):
        return None
    most = size if size is not None or free is None else free // 2
    try:
        text = Text.read(Corpus(name, encoding, errors), most=most)
    except (CorpusError, OptionError):
        return None
    return text if text.sha256 == checksum else None


def trainings(model: LanguageModel) -> list[Training | None]:
    """Return what a model and all that it is made of were trained on; None for each whose record does not tell."""
    return [Training.from_record(source.metadata.get("training"), source.text) for source in model.sources()]


def recorded_text(model: LanguageModel) -> Text:
    """Return a text that a training record names and that is still there: one to validate on, else one learnt from.

    Raises
    ------
    OptionError
        There is none.
    """
    for source in model.sources():
        record = source.metadata.get("training")
        held_out = entry(record, "held_out")
        options = entry(record, "options")
        how = (untrusted.text(options, "encoding") or "utf-8", untrusted.text(options, "errors") or "strict")
        for listed, key in [(held_out, "file"), *((corpus, "name") for corpus in entries(record, "corpora"))]:
            name, checksum = (untrusted.text(listed, each) for each in (key, "sha256"))
            if name is not None and checksum is not None:
                read = unchanged(name, checksum, *how, untrusted.whole(listed, "bytes"))
                if read is not None:
                    return read
    raise OptionError("the models' records name no text that is still there and unchanged; name a TEXT")


def first_unseen_line(text: Text, training: Training) -> int | None:
    """Return the line from which on a training did not learn from a text; None if it learnt from all of it."""
    learnt = training.learnt_of(text.sha256)
    if not learnt:
        return learnt
    encoder, count = training.layer.encoder(text.name), 0
    for first in range(0, len(text), CHUNK):
        last = min(first + CHUNK, len(text))
        again = copy.copy(encoder)
        again.splitter = copy.copy(encoder.splitter)
        found = _tokens(encoder, text, first, last)
        if count + found >= learnt:
            break
        count += found
    while first < last and count < learnt:
        count += _tokens(again, text, first, first + 1)
        first += 1
    return first


def _tokens(encoder, text, first, last):
    block = text.block(first, last)
    return len(encoder.feed(padded(block), len(block)).ids)


class Library:
    """A text, and what models have read besides, as far as it is to be had.

    Parameters
    ----------
    text : Text
    models : iterable of (str, LanguageModel)
        With their names, for messages.

    Attributes
    ----------
    text : Text
    first : int
        The line of it from which on it is new to all models but those that have read all of it.
    others : dict of str to (Text, int)
        What models were trained on besides this text, by checksum: the texts, and how many lines of each were learnt
        from.

    Warns
    -----
    LmkitWarning
        Where a model has read all of the text, or may have; where a text that it has read is not to be had.
    """

    def __init__(self, text: Text, models: Iterable[tuple[str, LanguageModel]]):
        self.text, self.first = text, 0
        self.others: dict[str, tuple[Text, int]] = {}
        self._said: set[str] = set()
        for name, model in models:
            for training in trainings(model):
                if training is None:
                    self._warn(
                        f"{name} does not say what it was trained on: it may know the real passages, or copy others"
                    )
                else:
                    self._add(name, training)

    def _add(self, name: str, training: Training) -> None:
        line = first_unseen_line(self.text, training)
        if line is None:
            self._warn(
                f"{name} was trained on all of {self.text.name}, the real passages too; a text that is new to it makes "
                "a fairer quiz"
            )
        self.first = max(self.first, line or 0)
        for place, checksum, size in zip(training.names, training.checksums, training.bytes, strict=True):
            if checksum == self.text.sha256:
                continue
            other, learnt = self.others.get(checksum, (None, 0))
            other = other or training.text(place, checksum, size)
            if other is None:
                place = "the standard input" if place == "-" else place
                self._warn(f"{name} was trained on {place}, which is no longer to be had: copies of it are not noticed")
            else:
                line = first_unseen_line(other, training)
                self.others[checksum] = other, max(learnt, len(other) if line is None else line)

    def _warn(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            warnings.warn(message, LmkitWarning, stacklevel=6)

    @property
    def names(self) -> list[str]:
        """The names of all texts."""
        return [self.text.name, *(other.name for other, _ in self.others.values())]

    def seen(self, layer: TextLayer) -> list[Iterator[bytes]]:
        """Return what models have learnt from, as a model with this layer would write it: texts as blocks of bytes."""
        parts = [(self.text, self.first), *self.others.values()]
        return [written(text, layer, lines) for text, lines in parts if lines]

    def all(self, layer: TextLayer) -> list[Iterator[bytes]]:
        """Return the same, and all of the text of the quiz."""
        return [written(text, layer, n) for text, n in [(self.text, len(self.text)), *self.others.values()] if n]


def written(text: Text, layer: TextLayer, lines: int) -> Iterator[bytes]:
    """Yield the first lines of a text as a model with this layer would write them: in lower case, for instance."""
    encoder, decoder = layer.encoder(text.name), layer.decoder()
    for start in range(0, lines, CHUNK):
        block = text.block(start, min(start + CHUNK, lines))
        yield block if layer.settings.lossless else decoder.feed(encoder.feed(padded(block), len(block)).ids)
