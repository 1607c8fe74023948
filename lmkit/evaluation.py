"""How surprised a model is by a text: perplexity, bits per character and per byte.

    perplexity = exp(-(1/T) sum over t of log p(w_t | w_1 ... w_(t-1)))        Jelinek et al. (1977)

Tokens T are words and sentence ends. Sums are kept in float64; what cannot be expressed as a number is None,
with the reason beside it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lmkit.errors import CorpusError, OptionError
from lmkit.logarithms import in_base
from lmkit.model import EOS, LanguageModel, State
from lmkit.text import UnknownTokens, escape
from lmkit.threads import ahead
from lmkit.untrusted import entries

if TYPE_CHECKING:
    from lmkit.text import Corpus, Encoded

__all__ = [
    "LOSSY", "MAX_NAMED", "RESETS", "Evaluation", "Totals", "evaluate", "score_apart", "score_text", "scorer",
    "summary", "trained_on",
]  # fmt: skip

RESETS = ("file", "sentence")
LOSSY = "these tokens do not hold the whole text"
MAX_NAMED = 10  # tokens out of vocabulary
LANES = 64  # sentences scored side by side when each begins anew


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model makes of a text.

    Attributes
    ----------
    tokens, sentences, oov : int
        Words and sentence ends together; sentence ends alone; tokens out of vocabulary.
    log_probability : float
        Natural logarithm of the probability of the whole text; -inf if one of its tokens cannot be.
    perplexity, perplexity_without_oov : float or None
        The second leaves the OOVs out of sum and number; None if nothing is left.
    bits_per_character, bits_per_byte : float or None
        Total bits over the characters or bytes of the raw text, whatever the tokenizer made of it.
    bits_reason : str or None
        Why there are no bits.
    bits_per_character_without_oov, bits_per_byte_without_oov : float or None
        Bits of the known tokens over the characters or bytes of those; None if nothing is left, or the tokens do not
        hold the whole text.
    bits_per_character_upper_bound, bits_per_byte_upper_bound : float or None
        Total bits and those of a uniform code that spells the tokens out of vocabulary, over the whole raw text: a
        better speller needs no more. See `lmkit.text.unknown.spelling_costs`. None if the tokens do not hold the text.
    oov_tokens : dict of str to int
        The most frequent tokens out of vocabulary, ten at most, with their counts.
    settings : dict
        What made the score: tokenizer, sentence rule, reset, order, smoothing, version, ...
    """

    tokens: int
    sentences: int
    oov: int
    log_probability: float
    perplexity: float | None
    perplexity_without_oov: float | None
    bits_per_character: float | None
    bits_per_byte: float | None
    bits_reason: str | None
    bits_per_character_without_oov: float | None = None
    bits_per_byte_without_oov: float | None = None
    bits_per_character_upper_bound: float | None = None
    bits_per_byte_upper_bound: float | None = None
    oov_tokens: dict[str, int] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def as_dict(self, *, finite: bool = True, log_base: str = "e") -> dict[str, Any]:
        """Return one flat dict; "infinite" says whether a number is, and if `finite` it is None: JSON has no such.

        The logarithm is one of the base that "log_base" names: "e", "10" or "2".
        """
        values = dataclasses.asdict(self)
        values["log_probability"] = in_base(self.log_probability, log_base)
        settings = values.pop("settings")
        infinite = [k for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)]
        if finite:
            values.update(dict.fromkeys(infinite))
        return {**values, "infinite": bool(infinite), "log_base": log_base, **settings}


@dataclasses.dataclass
class Totals:
    """Sums over the text so far; `known` leaves the OOVs out, `spelling` is the cost of spelling them in nats."""

    tokens: int = 0
    sentences: int = 0
    oov: int = 0
    known: float = 0.0
    unknown: float = 0.0
    oov_characters: int = 0
    oov_bytes: int = 0
    spelling: float = 0.0

    def add(self, encoded: Encoded, log_p: np.ndarray, spelling: np.ndarray | None = None) -> None:
        """Count one block of ids with their log-probabilities, shape (T,), and what spelling its OOVs costs."""
        self.tokens += len(encoded.ids)
        self.sentences += int(np.count_nonzero(encoded.ids == EOS))
        self.oov += len(encoded.oov)
        if len(encoded.oov):
            self.unknown += float(log_p[encoded.oov].sum(dtype=np.float64))
            if spelling is not None:
                self.spelling += float(spelling.sum())
                self.oov_characters += int(encoded.spelled[:, 0].sum())
                self.oov_bytes += int(encoded.spelled[:, 1].sum())
            log_p = log_p.copy()
            log_p[encoded.oov] = 0
        self.known += float(log_p.sum(dtype=np.float64))


def evaluate(model: LanguageModel, corpora: Iterable[Corpus], *, reset: str = "file") -> Evaluation:
    """Score texts with a model and return the totals.

    Parameters
    ----------
    reset : {'file', 'sentence'}
        Where the model begins anew. What it remembers over `</s>` is its own affair: an n-gram model nothing. With
        `sentence` the tokenizer, too, begins anew, and a last line that is a sentence is given the line break that it
        lacks: the sum is that of `lmkit.scoring.score_lines` where sentences are lines.

    Raises
    ------
    CorpusError
        If a text cannot be read, or nothing is in any of them.
    """
    score_blocks = scorer(reset)
    totals, characters, size, names, missing = Totals(), 0, 0, [], UnknownTokens()
    for corpus in corpora:
        blocks = model.text.encode_corpus(corpus, alone=reset == "sentence", missing=missing)
        for encoded, log_p in score_blocks(model, ahead(blocks)):
            totals.add(encoded, log_p, model.text.spelling_costs(encoded))
        characters, size = characters + corpus.characters, size + corpus.bytes
        names.append(corpus.title)
    if totals.tokens == 0:
        raise CorpusError(f"{', '.join(names) or 'the text'} holds no tokens: there is nothing to score")
    settings = {**model.settings(), "reset": reset}
    frequent = missing.most_frequent(MAX_NAMED)
    return summary(totals, characters, size, model.text.settings.lossless, settings, frequent)


def summary(
    totals: Totals, characters: int, size: int, lossless: bool, settings: dict[str, Any], frequent: dict[str, int]
) -> Evaluation:
    """Turn sums into the numbers people compare; `frequent` are the most frequent tokens out of vocabulary."""
    log_probability, reason = totals.known + totals.unknown, None
    if not lossless:
        reason = LOSSY
    elif totals.oov:
        named = ", ".join(f"{escape(token)} {n}" for token, n in frequent.items())
        more = ", ..." if sum(frequent.values()) < totals.oov else ""
        reason = f"tokens out of vocabulary: {totals.oov} ({named}{more}); p(<unk>) does not pay for their spelling"
    elif not size:
        reason = "the text is empty"
    spelled = log_probability - totals.spelling
    return Evaluation(
        tokens=totals.tokens,
        sentences=totals.sentences,
        oov=totals.oov,
        log_probability=log_probability,
        perplexity=perplexity(log_probability, totals.tokens),
        perplexity_without_oov=perplexity(totals.known, totals.tokens - totals.oov),
        bits_per_character=bits(log_probability, characters) if reason is None else None,
        bits_per_byte=bits(log_probability, size) if reason is None else None,
        bits_reason=reason,
        bits_per_character_without_oov=bits(totals.known, characters - totals.oov_characters) if lossless else None,
        bits_per_byte_without_oov=bits(totals.known, size - totals.oov_bytes) if lossless else None,
        bits_per_character_upper_bound=bits(spelled, characters) if lossless else None,
        bits_per_byte_upper_bound=bits(spelled, size) if lossless else None,
        oov_tokens=frequent,
        settings=settings,
    )


def bits(log_probability: float, size: int) -> float | None:
    """Return the bits of a text over its size in characters or bytes, None if it has none.

    >>> bits(math.log(1 / 8), 2), bits(0.0, 2)
    (1.5, 0.0)
    """
    return (0.0 - log_probability / math.log(2)) / size if size else None  # of a sure text 0, not -0


def perplexity(log_probability: float, tokens: int) -> float | None:
    """Return exp(-log_probability / tokens), None for no tokens.

    >>> round(perplexity(3 * math.log(1 / 8), 3), 6)
    8.0
    """
    if tokens == 0:
        return None
    try:
        return math.exp(-log_probability / tokens)
    except OverflowError:
        return math.inf


def scorer(reset: str) -> Callable[[LanguageModel, Iterable[Encoded]], Iterator[tuple[Encoded, np.ndarray]]]:
    """Return what scores the blocks of a text: `score_text` or `score_sentences`, as the model begins anew.

    Raises
    ------
    OptionError
    """
    if reset not in RESETS:
        raise OptionError(f"reset is {reset!r}, expected one of {', '.join(RESETS)}")
    return score_text if reset == "file" else score_sentences


def score_text(model: LanguageModel, blocks: Iterable[Encoded]) -> Iterator[tuple[Encoded, np.ndarray]]:
    """Yield each block with its log-probabilities, the state carried from one to the next."""
    state = model.begin(1)
    for encoded in blocks:
        log_p, state = model.score(state, encoded.ids[None, :])
        yield encoded, log_p[0]


def score_sentences(model: LanguageModel, blocks: Iterable[Encoded]) -> Iterator[tuple[Encoded, np.ndarray]]:
    """Yield each block with its log-probabilities, the model beginning anew after each `</s>`.

    Sentences of like length are scored side by side, filled up with `</s>`. One that a block leaves
    unfinished goes on in the next.
    """
    carried = model.begin(1)
    for encoded in blocks:
        ids = encoded.ids
        log_p = np.empty(len(ids))
        ends = np.flatnonzero(ids == EOS) + 1
        first = ends[0] if len(ends) else len(ids)
        scores, carried = model.score(carried, ids[None, :first])
        log_p[:first] = scores[0]
        if len(ends):
            log_p[first : ends[-1]] = score_apart(model, ids[first : ends[-1]], ends[1:] - first, model.begin)
            scores, carried = model.score(model.begin(1), ids[None, ends[-1] :])
            log_p[ends[-1] :] = scores[0]
        yield encoded, log_p


def score_apart(model: LanguageModel, ids: np.ndarray, ends: np.ndarray, begin: Callable[[int], State]) -> np.ndarray:
    """Return the log-probability of each token of texts that all begin in the same state, float64 (T,).

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
        The texts, one after the other.
    ends : ndarray of int64
        Where each of them ends; some may be empty.
    begin : callable
        Returns that state for so many streams.
    """
    log_p = np.empty(len(ids))
    lengths = np.diff(ends, prepend=0)
    by_length = np.argsort(lengths, kind="stable")
    by_length = by_length[np.count_nonzero(lengths == 0) :]
    for lanes in np.split(by_length, range(LANES, len(by_length), LANES)):
        if len(lanes):
            _score_lanes(model, begin(len(lanes)), ids, log_p, ends[lanes] - lengths[lanes], lengths[lanes])
    return log_p


def _score_lanes(model, state, ids, log_p, starts, lengths):
    columns = np.arange(lengths[-1])
    inside = columns < lengths[:, None]
    where = starts[:, None] + columns
    padded = np.where(inside, ids[np.minimum(where, len(ids) - 1)], EOS)
    scores, _ = model.score(state, np.ascontiguousarray(padded, np.int32))
    log_p[where[inside]] = scores[inside]


def trained_on(model: LanguageModel, corpora: Iterable[Corpus]) -> list[Corpus]:
    """Return those of some texts, which have been read, that records name by their hashes: of the model's training, or
    of the trainings of what it is made of."""
    records = [source.metadata.get("training") for source in model.sources()]
    known = {entry.get("sha256") for record in records for entry in entries(record, "corpora")}
    return [corpus for corpus in corpora if corpus.sha256 in known]
