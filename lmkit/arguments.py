"""What the calls of `lmkit.api` accept in many shapes, made into one: texts, vocabularies, options, seeds, progress."""

from __future__ import annotations

import dataclasses
import os
import secrets
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lmkit.errors import CorpusError, LmkitWarning, OptionError
from lmkit.model import EOS
from lmkit.text import Corpus, TextLayer, TextSettings, learn, read_vocabulary

__all__ = [
    "Progress",
    "Texts",
    "at_least",
    "check_names",
    "choices",
    "corpora",
    "generator",
    "read_texts",
    "tokens",
    "training",
]

Progress = Callable[[str, int, "int | None", str], None]
Texts = Any  # a path, "-", a (name, bytes) pair, a Corpus, or a list of these


def read_texts(
    texts: Texts,
    settings: TextSettings,
    *,
    vocabulary: str | os.PathLike | Iterable[str] | None = None,
    vocab_size: int | None = None,
    min_count: int = 1,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
) -> tuple[np.ndarray, TextLayer, np.ndarray, list[dict[str, Any]]]:
    """Read texts to learn from; see `lmkit.text.learn` for what it returns, `lmkit.api.train` for the options.

    Raises
    ------
    CorpusError, OptionError, ModelError
    """
    read = corpora(texts, encoding, errors)
    if vocabulary is not None:
        vocabulary = tokens(vocabulary, settings, encoding, errors)
    learned = learn(
        read, settings, vocabulary=vocabulary, vocab_size=vocab_size, min_count=min_count,
        progress=_reading(progress, read),
    )  # fmt: skip
    if len(learned[1].vocabulary) == EOS + 1:
        reason = f"none is there {min_count} times" if min_count > 1 else "the vocabulary has no other"
        warnings.warn(f"only <unk> is left of the tokens: {reason}", LmkitWarning, stacklevel=3)
    return learned


def corpora(texts: Texts, encoding: str, errors: str) -> list[Corpus]:
    """Return the texts that are meant, none of them opened yet."""
    listed = [texts] if isinstance(texts, (str, os.PathLike, Corpus)) or _is_pair(texts) else list(texts)
    if not listed:
        raise OptionError("no text is named: give a path, - for the standard input, or a (name, bytes) pair")
    return [_corpus(text, encoding, errors) for text in listed]


def _corpus(text, encoding, errors):
    if isinstance(text, Corpus):
        return text
    name, data = text if _is_pair(text) else (text, None)
    return Corpus(os.fspath(name), encoding, errors, data)


def _is_pair(text):
    """Whether this is a name with its bytes, or with a file of them."""
    return isinstance(text, tuple) and len(text) == 2 and not isinstance(text[1], (str, os.PathLike, tuple, Corpus))


def tokens(vocabulary, settings: TextSettings, encoding: str, errors: str) -> list[str]:
    """Return the tokens of a vocabulary given as a list, a file or a model."""
    if vocabulary == "-":
        raise OptionError("a vocabulary is a file or a model, it cannot be read from the standard input; name a file")
    if isinstance(vocabulary, (str, os.PathLike)):
        if not os.path.exists(vocabulary) or os.path.isdir(vocabulary):
            raise CorpusError(f"{vocabulary} is no file; name one that holds a token a line, or a model")
        return read_vocabulary(os.fspath(vocabulary), settings, encoding=encoding, errors=errors)
    return list(vocabulary)


def _reading(progress, corpora):
    """Turn progress in blocks of bytes into progress in bytes; the total is known for plain files only."""
    if progress is None:
        return None
    done, total = 0, 0
    for corpus in corpora:
        plain = os.path.isfile(corpus.name) and not corpus.name.endswith((".gz", ".bz2", ".xz"))
        total = total + os.path.getsize(corpus.name) if plain and total is not None else None

    def report(size):
        nonlocal done
        done += size
        progress("reading", done, total if total and done <= total else None, "B")

    return report


def training(progress: Progress | None, tokens: int) -> Callable[[str, int, int], None] | None:
    """Turn progress in steps, each of which goes over the whole text, into progress in tokens."""
    if progress is None:
        return None
    return lambda phase, done, total: progress(phase, tokens * done // total, tokens, "tokens")


def choices(kind: type, arch: str, options: dict[str, Any]) -> Any:
    """Return the options of an architecture as its dataclass.

    Raises
    ------
    OptionError
        If it has no option of a name.
    """
    check_names(options, [field.name for field in dataclasses.fields(kind)], arch)
    return kind(**options)


def check_names(options: Iterable[str], known: Iterable[str], of: str) -> None:
    """Refuse options that are not among those known.

    Raises
    ------
    OptionError
    """
    for name in options:
        if name not in known:
            raise OptionError(f"{name} is no option of {of}; it has {', '.join(known)}")


def at_least(least: int, name: str, value: int) -> int:
    """Return the value of an option that may not be less than this.

    Raises
    ------
    OptionError
    """
    if value < least:
        raise OptionError(f"{name} is {value}; it must be at least {least}")
    return value


def generator(seed: int | None) -> np.random.Generator:
    """Return the one source of randomness of a call; None picks a seed."""
    try:
        return np.random.default_rng(secrets.randbits(32) if seed is None else seed)
    except (TypeError, ValueError):
        raise OptionError(f"seed is {seed!r}; it must be a whole number of at least 0") from None
