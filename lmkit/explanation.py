"""How surprising each token of a text is to a model, and what the model expected instead.

Surprisal is -log2 p(token | all before it), in bits (Shannon 1948; Hale 2001 on what it is to readers). Its mean over
the tokens is the logarithm of the perplexity. The model begins anew with each text.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from lmkit.errors import CorpusError, OptionError
from lmkit.lockstep import line_ends, settings_difference
from lmkit.model import LanguageModel
from lmkit.text import Corpus
from lmkit.text.encoding import concatenate
from lmkit.text.places import Locator, Placed

__all__ = [
    "ALTERNATIVES",
    "LONGEST",
    "NOTHING",
    "Details",
    "Explained",
    "WholeText",
    "details",
    "explain",
    "in_bits",
    "read_whole",
]

PIECE = 1 << 13  # bytes that are read and scored at a time: the first are to be seen soon
LONGEST = 2_000_000  # bytes of all texts that are explained in detail
ALTERNATIVES = 5
NOTHING = "holds no tokens: there is nothing to explain"
NUMBERS = 2**22  # of the rows that are looked at together: some megabytes


@dataclasses.dataclass(frozen=True)
class Explained(Placed):
    """A piece of a text, and what one or two models make of its tokens: see `lmkit.text.places.Placed`, too.

    Attributes
    ----------
    title : str
        Of the text.
    log_p : ndarray of float64, shape (T,)
        Natural logarithm of the probability of each token.
    other_log_p : ndarray or None
        That of the model it is held against.
    """

    title: str
    log_p: np.ndarray
    other_log_p: np.ndarray | None = None

    @property
    def surprisal(self) -> np.ndarray:
        """-log2 p of each token, bits; infinite for what cannot be."""
        return in_bits(self.log_p)

    @property
    def difference(self) -> np.ndarray:
        """By how many bits the other model is more surprised; not a number where both find a token impossible."""
        with np.errstate(invalid="ignore"):
            return in_bits(self.other_log_p) - self.surprisal


def in_bits(log_p: np.ndarray) -> np.ndarray:
    """Return -log2 p, float64, of natural logarithms."""
    return 0.0 - log_p.astype(np.float64) / math.log(2)  # 0, not -0, for what is sure


def explain(models: Sequence[LanguageModel], names: Sequence[str], corpora: Iterable[Corpus]) -> Iterator[Explained]:
    """Yield pieces of texts with the surprisal of their tokens, as they are read.

    Parameters
    ----------
    models : sequence of LanguageModel
        One or two.
    names : sequence of str
        Of the models, for messages.

    Raises
    ------
    OptionError
        Two models see different tokens.
    CorpusError
        A text cannot be read.
    """
    check_same_tokens(models, names)
    for corpus in corpora:
        states = [model.begin() for model in models]
        for pieces in read(models, names, corpus):
            scores = [None, None]
            for i, (model, placed) in enumerate(zip(models, pieces, strict=True)):
                log_p, states[i] = model.score(states[i], placed.ids[None])
                scores[i] = log_p[0].astype(np.float64)
            first = pieces[0]
            yield Explained(first.ids, first.oov, first.text, first.ends, corpus.title, *scores)


def check_same_tokens(models: Sequence[LanguageModel], names: Sequence[str]) -> None:
    """Refuse two models that cut texts into different tokens.

    Raises
    ------
    OptionError
    """
    for other, name in zip(models[1:], names[1:], strict=True):
        differ = settings_difference(models[0].text, other.text)
        reserved = [model.text.settings.reserved for model in (models[0], other)]
        alike = set(reserved) <= {"error", "keep"}  # what one refuses the other need not read
        if differ is None and reserved[0] != reserved[1] and not alike:
            differ = f"reserved is {reserved[0]} and {reserved[1]}"
        if differ is not None:
            raise OptionError(
                f"{names[0]} and {name} see different tokens: {differ}; train both with the same --tokenizer, "
                "--sentence, --lowercase, --reserved and --vocab"
            )


def read(models: Sequence[LanguageModel], names: Sequence[str], corpus: Corpus) -> Iterator[list[Placed]]:
    """Yield the pieces of a text as each model sees them: other ids, but the same tokens.

    Raises
    ------
    OptionError
        A token is known to one of the models only.
    CorpusError
    """
    corpus.live = True
    locators = [Locator(model.text, corpus.title) for model in models]
    line = 1
    for block, size in corpus.padded_blocks():
        begin = 0
        for end in _cuts(line_ends(block, size)):
            data = block[begin:end].tobytes()
            pieces = [locator.feed(data) for locator in locators]
            _check_same_unknown(pieces, names, corpus.title, line)
            yield pieces
            begin, line = end, line + data.count(b"\n")
    last = [locator.finish() for locator in locators]
    if len(last[0].ids):
        yield last


def _cuts(ends):
    """Yield where pieces of some lines end."""
    begin = 0
    for end in ends.tolist():
        if end - begin >= PIECE or end == ends[-1]:
            yield end
            begin = end


def _check_same_unknown(pieces, names, title, line):
    for other, name in zip(pieces[1:], names[1:], strict=True):
        differ = np.setxor1d(pieces[0].oov, other.oov)
        if len(differ):
            i = int(differ[0])
            ends = pieces[0].ends
            token = pieces[0].text[ends[i - 1] if i else 0 : ends[i]].lstrip(" ")
            known, lacking = (names[0], name) if i in other.oov else (name, names[0])
            line += pieces[0].text.count("\n", 0, int(ends[i]))
            raise OptionError(
                f"{title}: line {line}: {known} knows the token {token!r} and {lacking} does not, so that their "
                f"surprisal does not compare; train {lacking} with --vocab {known}"
            )


@dataclasses.dataclass(frozen=True)
class WholeText(Placed):
    """A text that is all there: see `lmkit.text.places.Placed`, too.

    Attributes
    ----------
    title : str
    other_ids : ndarray of int32, shape (T,), or None
        The ids that a second model has for the same tokens.
    """

    title: str
    other_ids: np.ndarray | None = None


def read_whole(
    models: Sequence[LanguageModel], names: Sequence[str], corpora: Iterable[Corpus], longest: int = LONGEST
) -> list[WholeText]:
    """Read texts that are not longer than some bytes together.

    Raises
    ------
    CorpusError
        They are longer, which is noticed soon; they are empty, or cannot be read.
    OptionError
        Two models see different tokens.
    """
    check_same_tokens(models, names)
    found, size = [], 0
    for corpus in corpora:
        corpus.most = longest
        found.append(_joined(corpus.title, list(read(models, names, corpus))))
        size += corpus.bytes
        if size > longest:
            raise CorpusError(
                f"{', '.join(text.title for text in found)}: together longer than {longest:,} bytes, the most that is "
                "taken here; give fewer of them"
            )
    if not any(len(text.ends) for text in found):
        raise CorpusError(f"{', '.join(text.title for text in found)} {NOTHING}")
    return found


def _joined(title, pieces):
    first = [placed for placed, *_ in pieces]
    starts = np.cumsum([0, *(len(placed.text) for placed in first)]).tolist()
    ends = [placed.ends + start for placed, start in zip(first, starts, strict=False)]
    joined = concatenate(first)
    others = [other.ids for _, *more in pieces for other in more]
    text = "".join(placed.text for placed in first)
    other_ids = np.concatenate(others) if others else None
    return WholeText(joined.ids, joined.oov, text, np.concatenate([np.zeros(0, np.int64), *ends]), title, other_ids)


@dataclasses.dataclass(frozen=True)
class Details:
    """What a model expected at each place of a text.

    Attributes
    ----------
    log_p : ndarray of float32, shape (T,)
        Natural logarithm of the probability of what is there; of stupid back-off that of the normalised scores.
    ranks : ndarray of int32, shape (T,)
        1 for the most probable token, else 1 and how many are more probable.
    top : ndarray of int32, shape (T, k)
        Ids of the most probable tokens, the first the most probable one.
    top_log_p : ndarray of float32, shape (T, k)
    orders : ndarray of int64 or None
        See `lmkit.model.LanguageModel.orders`.
    """

    log_p: np.ndarray
    ranks: np.ndarray
    top: np.ndarray
    top_log_p: np.ndarray
    orders: np.ndarray | None


def details(
    model: LanguageModel, ids: np.ndarray, count: int = ALTERNATIVES, progress: Callable[[int], object] | None = None
) -> Details:
    """Return ranks and the most probable tokens at each place of a text.

    Parameters
    ----------
    count : int
        How many of the most probable tokens; fewer where the vocabulary has not so many.
    progress : callable, optional
        Called with the number of tokens of each block.
    """
    count = min(count, model.vocabulary_size)
    log_p, ranks = np.empty(len(ids), np.float32), np.empty(len(ids), np.int32)
    top, top_log_p = np.empty((len(ids), count), np.int32), np.empty((len(ids), count), np.float32)
    state, steps = model.begin(), max(1, NUMBERS // model.vocabulary_size)
    for begin in range(0, len(ids), steps):
        part = slice(begin, min(begin + steps, len(ids)))
        (rows,), state = model.rows(state, ids[None, part])
        places = np.arange(len(rows))
        log_p[part] = rows[places, ids[part]]
        ranks[part] = 1 + np.count_nonzero(rows > log_p[part, None], axis=1)
        for k in range(count):  # of so few, to look for the largest five times is faster than any sorting
            best = rows.argmax(axis=1)
            top[part, k], top_log_p[part, k] = best, rows[places, best]
            rows[places, best] = -np.inf
        if progress is not None:
            progress(len(rows))
    return Details(log_p, ranks, top, top_log_p, model.orders(ids))
