"""The scores of single lines or tokens: each line is one sentence, whatever sentences the model was trained on.

A line's newline is not scored, the `</s>` after it is; each line begins anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from lmkit.errors import CorpusError
from lmkit.evaluation import score_sentences, score_text
from lmkit.model import EOS, LanguageModel
from lmkit.text import Corpus, Encoded

__all__ = ["LineScores", "likely_lines", "rescore_lists", "score_lines", "threshold"]

FIELDS = b"|||"  # between the fields of an n-best list


@dataclasses.dataclass(frozen=True)
class LineScores:
    """The scores of some lines that follow each other.

    Attributes
    ----------
    lines : list of bytes
        Without their newlines.
    encoded : Encoded
        Their tokens, `</s>` at the end of each.
    log_p : ndarray of float64, shape (T,)
        Natural logarithm of the probability of each token.
    ends : ndarray of int64, shape (lines,)
        Where the tokens of each line end.
    """

    lines: list[bytes]
    encoded: Encoded
    log_p: np.ndarray
    ends: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of each line, its `</s>` among them."""
        return np.diff(self.ends, prepend=0)

    @property
    def log_probabilities(self) -> np.ndarray:
        """Natural logarithm of the probability of each line."""
        return np.add.reduceat(self.log_p, self.ends - self.tokens)

    @property
    def oov(self) -> np.ndarray:
        """Tokens of each line that are out of vocabulary."""
        unknown = np.zeros(len(self.log_p), np.int64)
        unknown[self.encoded.oov] = 1
        return np.add.reduceat(unknown, self.ends - self.tokens)

    @property
    def perplexities(self) -> np.ndarray:
        """exp(-log p / tokens) of each line; infinite where a token cannot be."""
        with np.errstate(over="ignore"):
            return np.exp(-self.log_probabilities / self.tokens)

    @property
    def rounded_perplexities(self) -> np.ndarray:
        """The perplexities as float32; infinite above what that holds."""
        with np.errstate(over="ignore"):
            return self.perplexities.astype(np.float32)


def score_lines(model: LanguageModel, corpora: Iterable[Corpus]) -> Iterator[LineScores]:
    """Yield the scores of the lines of some texts, as they arrive.

    Raises
    ------
    CorpusError
        A text cannot be read, or spells a reserved token.
    """
    for corpus in corpora:
        for lines, encoded in model.text.encode_lines(corpus):
            yield score_encoded(model, lines, encoded)


def score_encoded(model: LanguageModel, lines: list[bytes], encoded: Encoded) -> LineScores:
    """Score whole sentences; those of a model that remembers over `</s>` each begin anew."""
    score = score_sentences if model.remembers else score_text
    log_p = np.concatenate([scores for _, scores in score(model, [encoded])]).astype(np.float64)
    return LineScores(lines, encoded, log_p, np.flatnonzero(encoded.ids == EOS) + 1)


def threshold(model: LanguageModel, corpora: Iterable[Corpus], share: float) -> float:
    """Return the perplexity up to which a share of all lines lies."""
    found = [block.rounded_perplexities for block in score_lines(model, corpora)]
    perplexities = np.concatenate([np.empty(0, np.float32), *found])
    last = round(share * len(perplexities)) - 1
    return float(np.partition(perplexities, last)[last]) if last >= 0 else -np.inf


def likely_lines(model: LanguageModel, corpora: Iterable[Corpus], limit: float) -> Iterator[bytes]:
    """Yield the lines, with their newlines, whose perplexity is at most a limit."""
    for block in score_lines(model, corpora):
        chosen = np.flatnonzero(block.rounded_perplexities <= limit).tolist()
        if chosen:
            yield b"".join(block.lines[i] + b"\n" for i in chosen)


def rescore_lists(model: LanguageModel, corpora: Iterable[Corpus], feature: str = "lmkit") -> Iterator[bytes]:
    """Yield n-best lists in the format of Moses, `id ||| text ||| features ||| score`, with the score of the text.

    The features have the form `NAME= value ...`; one of this name is replaced, else it is added. All else stays.

    Raises
    ------
    CorpusError
        A line has less than three fields.
    """
    name = feature.encode() + b"="
    for corpus in corpora:
        number = 0
        for block, size in corpus.padded_blocks():
            rows = block[:size].tobytes().removesuffix(b"\n").split(b"\n")
            fields = [row.split(FIELDS) for row in rows]
            for row in fields:
                number += 1
                if len(row) < 3:
                    raise CorpusError(
                        f"{corpus.title}: line {number} has {len(row)} fields with ||| between them; an n-best list "
                        "has id ||| text ||| features ||| score"
                    )
            texts = Corpus(corpus.title, errors="keep", data=b"".join(row[1].strip(b" ") + b"\n" for row in fields))
            scores = np.concatenate([b.log_probabilities for b in score_lines(model, [texts])])
            for row, score in zip(fields, scores.tolist(), strict=True):
                row[2] = _with_feature(row[2], name, b"%.9g" % score)
            yield b"".join(FIELDS.join(row) + b"\n" for row in fields)


def _with_feature(features: bytes, name: bytes, value: bytes) -> bytes:
    """Replace the values of a feature, or add it at the end; a blank stands around the field."""
    words = features.split()
    if name not in words:
        return b" " + b" ".join([*words, name, value]) + b" "
    first = words.index(name)
    after = next((i for i in range(first + 1, len(words)) if words[i].endswith(b"=")), len(words))
    return b" " + b" ".join([*words[: first + 1], value, *words[after:]]) + b" "
