"""Texts as tokens or ids, and back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator

from lmkit import arguments
from lmkit.api.models import Model, load
from lmkit.arguments import Texts
from lmkit.errors import OptionError
from lmkit.model import LanguageModel
from lmkit.text import TextLayer, TextSettings
from lmkit.text.listing import listed_ids, listed_tokens, text_of_ids, text_of_tokens


def tokenize(
    texts: Texts,
    model: str | os.PathLike | Model | None = None,
    *,
    ids: bool = False,
    tokenizer: str | None = None,
    sentence: str | None = None,
    reserved: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    on_error: Callable[[str], object] | None = None,
) -> Iterator[bytes]:
    """Yield the tokens of texts, a sentence a line, escaped, blanks between them; or their ids.

    Parameters
    ----------
    model : path or Model, optional
        Says how text becomes tokens, where the next three do not; ids are of its vocabulary.
    errors : {'strict', 'keep', 'report'}
        As in `lmkit.score`. A line that is reported has no tokens: its row is that of an empty line where sentences are
        lines, else it is left out.
    on_error : callable, optional
        Called with a message for each line that is reported; by default a warning is given.

    Raises
    ------
    CorpusError, ModelError, OptionError

    >>> b"".join(tokenize(("t", b"To be,\\nor not."), tokenizer="word"))
    b'To be , \\\\n or not .\\n'
    """
    read, report = arguments.lines(texts, encoding, errors, on_error)
    if ids:
        return listed_ids(_layer(model, tokenizer, sentence).reading(reserved), read, report)
    settings = _text_settings(model, tokenizer, sentence)
    if reserved is not None:
        settings = dataclasses.replace(settings, reserved=reserved)
    return listed_tokens(settings, read, report)


def detokenize(
    texts: Texts,
    model: str | os.PathLike | Model | None = None,
    *,
    ids: bool = False,
    tokenizer: str | None = None,
    sentence: str | None = None,
) -> Iterator[bytes]:
    """Yield the text of tokens or ids as `tokenize` writes them.

    Raises
    ------
    CorpusError, ModelError, OptionError
    """
    read = arguments.corpora(texts, "utf-8", "keep")
    if ids:
        return text_of_ids(_layer(model, tokenizer, sentence), read)
    return text_of_tokens(_text_settings(model, tokenizer, sentence), read)


def _layer(model, tokenizer, sentence):
    """Return the text layer of a model, which ids need."""
    if model is None:
        raise OptionError("ids are those of a model; name one with -m")
    text = (model if isinstance(model, LanguageModel) else load(model)).text
    if tokenizer not in (None, text.settings.tokenizer):
        raise OptionError(f"--tokenizer is {tokenizer}, and the model's ids are of {text.settings.tokenizer}")
    settings = text.settings if sentence is None else dataclasses.replace(text.settings, sentence=sentence)
    return TextLayer(settings, text.vocabulary, text.unicode_version, text.lowercase_version)


def _text_settings(model, tokenizer, sentence):
    """Return what says how text becomes tokens."""
    if model is not None:
        return _layer(model, tokenizer, sentence).settings
    return TextSettings(tokenizer=tokenizer or "word", sentence=sentence)
