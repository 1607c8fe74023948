"""What the calls of `lmkit.api` accept in many shapes, made into one: texts, vocabularies, options, seeds, progress."""

from __future__ import annotations

import dataclasses
import os
import secrets
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lmkit.errors import CorpusError, LmkitWarning, ModelError, OptionError
from lmkit.memory import allowed
from lmkit.model import EOS, RESERVED, UNK
from lmkit.text import Corpus, TextLayer, TextSettings, learn, read_vocabulary
from lmkit.text.vocabulary import to_str

__all__ = [
    "DEFAULT_VALID",
    "Progress",
    "Split",
    "Texts",
    "at_least",
    "check_names",
    "choices",
    "corpora",
    "explaining",
    "generator",
    "hold_out",
    "lines",
    "read_again",
    "read_texts",
    "tokens",
    "training",
    "waiting_room",
    "warn_of_long_sentences",
    "whole",
]

DEFAULT_VALID = 0.05  # of the text is held out for validation
LEAST_LINES = 200  # of a text that may be a list of sentences
MOST_LINES = 50  # of a paragraph, on average; in tinyshakespeare it is 4.5, and the longest one has 74
IDS = 8  # the ids of a text may take this part of the memory

Progress = Callable[[str, int, "int | None", str], None]
Texts = Any  # a path, "-", a (name, bytes) pair, a Corpus, or a list of these


def read_texts(
    texts: Texts,
    settings: TextSettings,
    *,
    vocabulary: str | os.PathLike | Iterable[str] | None = None,
    vocab_size: int | None = None,
    min_count: int = 1,
    escaped: bool | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    room: int | None = None,
    temp: str | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, TextLayer, np.ndarray, list[dict[str, Any]]]:
    """Read texts to learn from; see `lmkit.text.learn` for what it returns, `lmkit.api.train` for the options.

    Raises
    ------
    CorpusError, OptionError, ModelError
    """
    read = corpora(texts, encoding, errors)
    if vocabulary is not None:
        vocabulary = tokens(vocabulary, settings, encoding, errors, escaped)
    learned = learn(
        read, settings, vocabulary=vocabulary, vocab_size=vocab_size, min_count=min_count, room=room, temp=temp,
        progress=reading(progress, read),
    )  # fmt: skip
    if len(learned[1].vocabulary) == EOS + 1:
        reason = f"none is there {min_count} times" if min_count > 1 else "the vocabulary has no other"
        warnings.warn(f"only <unk> is left of the tokens: {reason}", LmkitWarning, stacklevel=3)
    return learned


def warn_of_long_sentences(records: list[dict[str, Any]], settings: TextSettings) -> None:
    """Ask whether lines are meant, where paragraphs have more of them than those of prose, plays and poems do.

    Parameters
    ----------
    records : list of dict
        Of the texts that were read, as `lmkit.text.learn` returns them.
    """
    lines, sentences = (sum(record[name] for record in records) for name in ("lines", "sentences"))
    if settings.sentence == "paragraph" and lines >= max(LEAST_LINES, MOST_LINES * sentences):
        counted = "1 sentence" if sentences == 1 else f"{sentences:,} sentences"
        warnings.warn(
            f"{lines:,} lines, {counted}: did you mean --sentence line? A sentence is a paragraph here, and blank "
            "lines end it; --sentence paragraph says that this is right", LmkitWarning, stacklevel=5,
        )  # fmt: skip


def waiting_room(options: Any) -> dict[str, Any]:
    """Return how much memory the ids of a text may take, and where they wait if they need more, for `read_texts`."""
    memory = allowed(options.memory)
    return {"room": None if memory is None else memory // IDS, "temp": options.temp}


@dataclasses.dataclass(frozen=True)
class Split:
    """A text to learn from, and one to validate on.

    Attributes
    ----------
    ids, held_out : ndarray of int32
    characters, held_out_characters : int or None
        Of both; None where the tokens do not hold the whole text, so that nothing can be said of a character.
    record : dict
        What was held out, for the training record.
    """

    ids: np.ndarray
    held_out: np.ndarray
    characters: int | None
    held_out_characters: int | None
    record: dict[str, Any]


def hold_out(
    ids: np.ndarray, text: TextLayer, records: list[dict], valid: float | str | os.PathLike, encoding: str, errors: str,
    *, sentences: bool = False,
) -> Split:  # fmt: skip
    """Hold out the end of a text, or read another one, for validation.

    Parameters
    ----------
    ids : ndarray of int32
        The whole text.
    valid : float or path
        A share of the tokens, or a text.
    sentences : bool
        Whether no sentence may be cut: a share is then that or a little more.

    Raises
    ------
    OptionError, CorpusError
    """
    share = share_of(valid)
    characters = sum(record["characters"] for record in records) if _complete(ids, text) else None
    if share is None:
        corpus = _corpus(valid, encoding, errors)
        parts = [encoded.ids for encoded in text.encode_corpus(corpus)]
        held_out = np.concatenate([np.empty(0, np.int32), *parts])
        if not len(held_out):
            raise CorpusError(f"{corpus.title}: holds no tokens to validate on; give another text with --valid")
        found = {"file": corpus.name, "sha256": corpus.sha256, "tokens": len(held_out)}
        return Split(ids, held_out, characters, corpus.characters if _complete(held_out, text) else None, found)
    first = len(ids) - round(len(ids) * share)
    if sentences and share:
        first = _sentence_end(ids, first)
        if not first:
            raise CorpusError(
                f"no sentence ends before the {share:.4g} of the text that is held out; give a smaller --valid"
            )
    held_out = ids[first:]
    held_out_characters = len(to_str(text.decode(held_out))) if _complete(held_out, text) else None
    found = {
        "share": share,
        "part": f"the last {share:.4g} of the tokens, from token {first} on",
        "first_token": first,
        "tokens": len(held_out),
    }
    if characters is not None:
        characters -= held_out_characters
    return Split(ids[:first], held_out, characters, held_out_characters, found)


def _sentence_end(ids: np.ndarray, before: int) -> int:
    """Return where the last sentence that ends before a place has its end, 0 if none does; a text may be mapped."""
    while before:
        first = max(before - 2**20, 0)
        ends = np.flatnonzero(ids[first:before] == EOS)
        if len(ends):
            return first + int(ends[-1]) + 1
        before = first
    return 0


def share_of(valid) -> float | None:
    """Return the number that says which share of a text is held out; None if it names a file."""
    try:
        share = float(valid)
    except (TypeError, ValueError):
        return None
    if not 0 <= share < 1:
        raise OptionError(f"--valid is {valid}; it must be a share of the text, 0 to below 1, or a file")
    return share


def _complete(ids: np.ndarray, text: TextLayer) -> bool:
    """Whether ids hold every character of their text."""
    return text.settings.lossless and not (ids == UNK).any()


def read_again(
    text: TextLayer,
    record: dict,
    texts: Texts | None,
    of: str,
    *,
    valid: float | str | os.PathLike | None = None,
    vocabulary: str | os.PathLike | Iterable[str] | None = None,
    escaped: bool | None = None,
    progress: Progress | None = None,
) -> Split:
    """Read the texts of an earlier training, which must not have changed.

    Parameters
    ----------
    text : TextLayer
        As it was learnt from them.
    record : dict
        The training record, with their names and checksums.
    texts : optional
        Where they are now; by default where they were.
    of : str
        The file that has the record, for messages.
    valid : float or path, optional
        The same share that was held out, or where the text to validate on is now.
    vocabulary : path or list of str, optional
        The same tokens.
    escaped : bool, optional
        As in `lmkit.api.train`.

    Raises
    ------
    CorpusError, OptionError, ModelError
    """
    try:
        known, options, held_out = record["corpora"], record["options"], record["held_out"]
        names, sums = [entry["name"] for entry in known], [entry["sha256"] for entry in known]
        encoding, errors, before = options["encoding"], options["errors"], held_out.get("file", held_out.get("share"))
        sane = all(isinstance(value, str) for value in (*names, *sums, encoding, errors))
        sane = sane and type(before) in ((str,) if "file" in held_out else (int, float))
    except (KeyError, TypeError, AttributeError):
        sane = False
    if not sane or not names:
        raise ModelError(f"{of}: its record of the texts is damaged; train anew")
    valid = before if valid is None else valid
    if share_of(valid) != share_of(before):
        raise OptionError(
            f"--valid is {valid}, and in the training that is resumed it is {before}; leave it out, or train anew"
        )
    if vocabulary is not None:
        given = set(tokens(vocabulary, text.settings, encoding, errors, escaped)) - set(RESERVED)
        if given != set(text.vocabulary.tokens()) - set(RESERVED):
            raise OptionError("--vocab has other tokens than the training that is resumed; leave it out, or train anew")
    read = corpora(names if texts is None else texts, encoding, errors)
    if len(read) != len(known):
        raise OptionError(f"the training that is resumed read {len(known)} texts, not {len(read)}: {', '.join(names)}")
    report, parts, records = reading(progress, read), [], []
    for corpus, expected in zip(read, sums, strict=True):
        parts += [encoded.ids for encoded in text.encode_corpus(corpus, report)]
        if corpus.sha256 != expected:
            raise CorpusError(
                f"{corpus.title} is not the text whose training is resumed (sha256 {corpus.sha256[:16]}..., expected "
                f"{expected[:16]}...); give that text, or train anew"
            )
        records.append({"characters": corpus.characters})
    split = hold_out(np.concatenate(parts), text, records, valid, encoding, errors)
    if split.record.get("sha256") != held_out.get("sha256"):
        raise CorpusError(
            f"{split.record['file']} is not the text that was validated on before; give that text, or train anew"
        )
    return split


def corpora(texts: Texts, encoding: str, errors: str) -> list[Corpus]:
    """Return the texts that are meant, none of them opened yet."""
    listed = [texts] if isinstance(texts, (str, os.PathLike, Corpus)) or _is_pair(texts) else list(texts)
    if not listed:
        raise OptionError("no text is named: give a path, - for the standard input, or a (name, bytes) pair")
    return [_corpus(text, encoding, errors) for text in listed]


def lines(
    texts: Texts, encoding: str, errors: str, on_error: Callable[[str], object] | None
) -> tuple[list[Corpus], Callable[[str], object] | None]:
    """Return texts that are read line by line, and what is told of lines that cannot be read; None stops at these.

    Parameters
    ----------
    errors : {'strict', 'keep', 'report'}
    on_error : callable, optional
        Goes with 'report'; by default a warning is given.

    Raises
    ------
    OptionError
    """
    if errors != "report":
        if on_error is not None:
            raise OptionError(f"on_error is told of lines that cannot be read with errors='report', not {errors!r}")
        return corpora(texts, encoding, errors), None
    return corpora(texts, encoding, "keep"), on_error or _warn_of_line


def _warn_of_line(message: str) -> None:
    warnings.warn(message, LmkitWarning, stacklevel=2)


def whole(read: Iterable[Corpus], report: Callable[[int], object] | None = None) -> list[tuple[str, bytes]]:
    """Return the titles of texts with all of their bytes, as UTF-8: for who reads them more than once.

    Raises
    ------
    CorpusError
    """
    return [(corpus.title, b"".join(block.tobytes() for block in corpus.blocks(report))) for corpus in read]


def _corpus(text, encoding, errors):
    if isinstance(text, Corpus):
        return text
    name, data = text if _is_pair(text) else (text, None)
    return Corpus(os.fspath(name), encoding, errors, data)


def _is_pair(text):
    """Whether this is a name with its bytes, or with a file of them."""
    return isinstance(text, tuple) and len(text) == 2 and not isinstance(text[1], (str, os.PathLike, tuple, Corpus))


def tokens(vocabulary, settings: TextSettings, encoding: str, errors: str, escaped: bool | None = None) -> list[str]:
    """Return the tokens of a vocabulary given as a list, a file or a model."""
    if vocabulary == "-":
        raise OptionError("a vocabulary is a file or a model, it cannot be read from the standard input; name a file")
    if isinstance(vocabulary, (str, os.PathLike)):
        if not os.path.exists(vocabulary) or os.path.isdir(vocabulary):
            raise CorpusError(f"{vocabulary} is no file; name one that holds a token a line, or a model")
        path = os.fspath(vocabulary)
        return read_vocabulary(path, settings, encoding=encoding, errors=errors, escaped=escaped)
    return list(vocabulary)


def reading(progress: Progress | None, corpora: Iterable[Corpus]) -> Callable[[int], None] | None:
    """Turn progress in blocks of bytes into progress in bytes; the total is known where the size of all texts is."""
    if progress is None:
        return None
    sizes = [corpus.size for corpus in corpora]
    done, total = 0, sum(sizes) if all(sizes) else None

    def report(size):
        nonlocal done
        done += size
        progress("reading", done, total if total and done <= total else None, "B")

    return report


def explaining(progress: Progress | None, texts: Iterable[Any], models: int = 1) -> Callable[[int], None] | None:
    """Turn progress in blocks of tokens into progress in tokens, each counted once for each model."""
    if progress is None:
        return None
    done, total = 0, sum(len(text.ends) for text in texts) * models

    def report(tokens):
        nonlocal done
        done += tokens
        progress("explaining", done, max(done, total), "tokens")

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


def at_least(least: int, name: str, value: int, most: int | None = None) -> int:
    """Return the value of an option that may not be less than this, nor more than the most, if there is one.

    Raises
    ------
    OptionError
    """
    if value < least:
        raise OptionError(f"{name} is {value}; it must be at least {least}")
    if most is not None and value > most:
        raise OptionError(f"{name} is {value}; it must be at most {most:,}")
    return value


def generator(seed: int | None) -> np.random.Generator:
    """Return the one source of randomness of a call; None picks a seed."""
    try:
        return np.random.default_rng(secrets.randbits(32) if seed is None else seed)
    except (TypeError, ValueError):
        raise OptionError(f"seed is {seed!r}; it must be a whole number of at least 0") from None
