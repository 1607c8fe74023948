"""The scores of single lines or tokens. A line is scored as the model saw lines, and does not depend on its neighbours.

    sentences of the model      a line begins         it is
    lines                       after `<s>`           its tokens, its line break, `</s>`
    paragraphs, whole texts     after a line break    its tokens, its line break

The line break is there where the tokenizer has one; the whitespace tokenizer has none, and what stands before its lines
is then unknown. A last line without a line break is scored as if it had one. Pieces of a sentence are scored after
nothing that is known (`bos=False`), and without the line break and `</s>` (`eos=False`).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lmkit.errors import CorpusError
from lmkit.evaluation import score_apart, score_text
from lmkit.logarithms import in_base
from lmkit.model import LanguageModel
from lmkit.text import Corpus, TextLayer
from lmkit.text.lines import EncodedLines, OnError, encode_lines

__all__ = ["LineRule", "LineScores", "likely_lines", "rescore_lists", "score_lines", "threshold"]

FIELDS = b"|||"  # between the fields of an n-best list


@dataclasses.dataclass(frozen=True)
class LineRule:
    """What a line is to those who score lines.

    Attributes
    ----------
    bos : bool
        Whether a line begins as the model saw lines begin; if not, nothing is known of what stands before it.
    eos : bool
        Whether its end is scored: the line break, and `</s>` where sentences are lines.
    on_error : callable, optional
        Called with a message for each line that cannot be read; without it such a line is an error.
    """

    bos: bool = True
    eos: bool = True
    on_error: OnError | None = None

    def before(self, text: TextLayer) -> Sequence[int] | None:
        """Return the tokens after which lines begin; None where it is `<s>`."""
        if not self.bos:
            return ()
        return None if text.settings.sentence == "line" else text.line_break_ids


USUAL = LineRule()


@dataclasses.dataclass(frozen=True)
class LineScores(EncodedLines):
    """The scores of some lines that follow each other: see `lmkit.text.lines.EncodedLines`, too.

    Attributes
    ----------
    log_p : ndarray of float64, shape (T,)
        Natural logarithm of the probability of each token.
    before : sequence of int or None
        The tokens after which each line begins; None where it is `<s>`.
    """

    log_p: np.ndarray
    before: Sequence[int] | None

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of each line, its line break and `</s>` among them."""
        return np.diff(self.ends, prepend=0)

    @property
    def log_probabilities(self) -> np.ndarray:
        """Natural logarithm of the probability of each line; NaN for those that cannot be read."""
        sums = self._sums(self.log_p)
        sums[list(self.bad)] = np.nan
        return sums

    @property
    def oov(self) -> np.ndarray:
        """Tokens of each line that are out of vocabulary."""
        unknown = np.zeros(len(self.log_p), np.int64)
        unknown[self.encoded.oov] = 1
        return self._sums(unknown)

    @property
    def perplexities(self) -> np.ndarray:
        """exp(-log p / tokens) of each line; infinite where a token cannot be, 1 where there are none, NaN as above."""
        with np.errstate(over="ignore"):
            return np.exp(-self.log_probabilities / np.maximum(self.tokens, 1))

    def orders(self, model: LanguageModel) -> np.ndarray | None:
        """Return how many tokens each prediction rests on, itself included: see `LanguageModel.orders`."""
        if self.before is None:
            return model.orders(self.encoded.ids)
        lines = np.split(self.encoded.ids, self.ends[:-1])
        found = [model.orders(ids, self.before) for ids in lines]
        return None if any(orders is None for orders in found) else np.concatenate(found)

    def _sums(self, numbers: np.ndarray) -> np.ndarray:
        """Return the sum of a number of each token over each line; of lines without tokens 0."""
        sums, some = np.zeros(len(self.ends), numbers.dtype), np.flatnonzero(self.tokens)
        if len(some):
            sums[some] = np.add.reduceat(numbers, (self.ends - self.tokens)[some])
        return sums

    @property
    def rounded_perplexities(self) -> np.ndarray:
        """The perplexities as float32; infinite above what that holds."""
        with np.errstate(over="ignore"):
            return self.perplexities.astype(np.float32)


def score_lines(
    model: LanguageModel, corpora: Iterable[Corpus], rule: LineRule = USUAL, first: int = 0
) -> Iterator[LineScores]:
    """Yield the scores of the lines of some texts, as they arrive.

    Parameters
    ----------
    first : int
        Lines that stand before those of each text, for messages.

    Raises
    ------
    CorpusError
        A text cannot be read, or spells a reserved token.
    """
    before = rule.before(model.text)
    for corpus in corpora:
        for lines in encode_lines(model.text, corpus, eos=rule.eos, on_error=rule.on_error, before=first):
            parts = {field.name: getattr(lines, field.name) for field in dataclasses.fields(lines)}
            yield LineScores(**parts, log_p=_scores(model, lines, before, rule.eos), before=before)


def _scores(model: LanguageModel, lines: EncodedLines, before: Sequence[int] | None, eos: bool) -> np.ndarray:
    """Return the log-probability of each token of some lines, float64 (T,)."""
    if before is None and eos and not model.remembers:  # it begins anew after each `</s>` by itself
        ((_, log_p),) = score_text(model, [lines.encoded])
        return log_p.astype(np.float64)
    begin = model.begin if before is None else functools.partial(model.begin_after, before)
    return score_apart(model, lines.encoded.ids, lines.ends, begin)


def threshold(model: LanguageModel, corpora: Iterable[Corpus], share: float, rule: LineRule = USUAL) -> float:
    """Return the perplexity up to which a share of all lines lies, those that cannot be read not counted."""
    found = [block.rounded_perplexities for block in score_lines(model, corpora, rule)]
    perplexities = np.concatenate([np.empty(0, np.float32), *found])
    perplexities = perplexities[~np.isnan(perplexities)]
    last = round(share * len(perplexities)) - 1
    return float(np.partition(perplexities, last)[last]) if last >= 0 else -np.inf


def likely_lines(
    model: LanguageModel, corpora: Iterable[Corpus], limit: float, rule: LineRule = USUAL
) -> Iterator[bytes]:
    """Yield the lines, with their newlines, whose perplexity is at most a limit."""
    for block in score_lines(model, corpora, rule):
        chosen = np.flatnonzero(block.rounded_perplexities <= limit).tolist()
        if chosen:
            yield b"".join(block.lines[i] + b"\n" for i in chosen)


def rescore_lists(
    model: LanguageModel, corpora: Iterable[Corpus], feature: str = "lmkit", rule: LineRule = USUAL,
    log_base: str = "e",
) -> Iterator[bytes]:  # fmt: skip
    """Yield n-best lists in the format of Moses, `id ||| text ||| features ||| score`, with the score of the text.

    The features have the form `NAME= value ...`; one of this name is replaced, else it is added. All else stays. A
    text that cannot be read has no value.

    Raises
    ------
    CorpusError
        A line has less than three fields, or a text cannot be read.
    """
    name = feature.encode() + b"="
    for corpus in corpora:
        before = 0
        for block in corpus.blocks():
            rows = [row.split(FIELDS) for row in block.tobytes().removesuffix(b"\n").split(b"\n")]
            short = [i for i, row in enumerate(rows) if len(row) < 3]
            messages = [
                f"{corpus.title}: line {before + i + 1} has {len(rows[i])} field{'s' * (len(rows[i]) != 1)} with ||| "
                "between them; an n-best list has id ||| text ||| features ||| score"
                for i in short
            ]
            if rule.on_error is not None:
                for message in messages:
                    rule.on_error(message)
            elif short:
                rows = rows[: short[0]]
            yield from _rescored(model, corpus.title, rows, before, name, rule, log_base)
            if short and rule.on_error is None:
                raise CorpusError(messages[0])
            before += len(rows)


def _rescored(model, title, rows, before, name, rule, log_base) -> Iterator[bytes]:
    """Yield the rows of an n-best list with their scores; what has no text stays as it is."""
    texts = [row[1].strip(b" ") if len(row) > 2 else b"" for row in rows]
    corpus = Corpus(title, errors="keep", data=b"".join(text + b"\n" for text in texts))
    waiting = iter(rows)
    for block in score_lines(model, [corpus], rule, before) if rows else ():
        scored = list(itertools.islice(waiting, len(block.lines)))
        for row, score in zip(scored, in_base(block.log_probabilities, log_base).tolist(), strict=True):
            if len(row) > 2:
                row[2] = _with_feature(row[2], name, [] if math.isnan(score) else [b"%.9g" % score])
        yield b"".join(FIELDS.join(row) + b"\n" for row in scored)


def _with_feature(features: bytes, name: bytes, values: list[bytes]) -> bytes:
    """Replace the values of a feature, or add it at the end; a blank stands around the field."""
    words = features.split()
    if name not in words:
        return b" " + b" ".join([*words, name, *values]) + b" "
    first = words.index(name)
    after = next((i for i in range(first + 1, len(words)) if words[i].endswith(b"=")), len(words))
    return b" " + b" ".join([*words[: first + 1], *values, *words[after:]]) + b" "
