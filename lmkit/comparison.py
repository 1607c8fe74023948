"""Models compared on one text: which is less surprised, by how much, and how sure that is.

A perplexity is a mean over tokens: two of them compare only where the models predict the same tokens.

    tokens of the two models                                                        what compares
    the same: tokenizer, sentences, lower case, and what is out of vocabulary       perplexity
    the same, but an <unk> that comes stands for other words: vocabularies differ   perplexity without OOVs
    others, but each model's hold the whole text, and nothing is out of vocabulary  bits per character and byte
    others, each model's hold the whole text, and something is out of vocabulary    upper bounds of these bits
    others                                                                          nothing: refused

So two `word` models compare, or two of `whitespace`, if they share a vocabulary (`lmkit train --vocab`) or know the
whole text. `char` and `byte` compare by bits if the one knows all characters, and with `word` if that knows all words.
`whitespace` and lower-cased tokens, which do not hold the text, compare with none but their like. Sentence ends are
part of the bits: where sentence rules differ, each model pays for its own.

The bootstrap (`lmkit.bootstrap`) draws lines of the raw text, in blocks of neighbours, the same for all models, so that
a third model changes nothing between two. With one sentence a line they are the sentences; of longer ones a line is a
part, and blocks keep parts together. Very long lines count as several (`lmkit.lockstep`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lmkit.bootstrap import Interval, block_length, percentile_interval, resampled_sums
from lmkit.errors import OptionError
from lmkit.evaluation import LOSSY, MAX_NAMED, Evaluation, summary, trained_on
from lmkit.lockstep import Candidate, Lines, Scoring, read_together, score_together, settings_difference
from lmkit.logarithms import in_base
from lmkit.text import Corpus

__all__ = ["Comparison", "Difference", "Row", "compare"]

LEAST_LINES, LEAST_BLOCKS = 50, 10  # fewer say little about their spread
LARGEST = 700  # whose exponential is a float


@dataclasses.dataclass(frozen=True)
class Row:
    """What one model makes of the text.

    Attributes
    ----------
    model : str
    evaluation : Evaluation
        As `lmkit.evaluation` has it, but for perplexities that do not compare with those of the first model: None.
    perplexity_reason : str or None
        Why there are none.
    tokens_per_second : float
        Of scoring alone: neither reading, cutting into tokens, nor compilation is counted.
    bytes : int or None
        Size of the model file.
    """

    model: str
    evaluation: Evaluation
    perplexity_reason: str | None
    tokens_per_second: float
    bytes: int | None

    def as_dict(self, *, finite: bool = True, log_base: str = "e") -> dict[str, Any]:
        """Return one flat dict: see `Evaluation.as_dict`."""
        own = {"tokens_per_second": self.tokens_per_second, "bytes": self.bytes}
        values = self.evaluation.as_dict(finite=finite, log_base=log_base)
        return {"model": self.model, **own, "perplexity_reason": self.perplexity_reason, **values}


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more a model is surprised than the baseline; below zero, less.

    Attributes
    ----------
    model, baseline : str
    measure : {'perplexity', 'perplexity_without_oov', 'bits_per_character', 'bits_per_byte', \
'bits_per_character_upper_bound', 'bits_per_byte_upper_bound'}
    difference : float
        Of perplexities, between their natural logarithms: nats a token. Else bits a character or byte.
    interval : Interval or None
        Of the difference; None where the text is too short for one.
    """

    model: str
    baseline: str
    measure: str
    difference: float
    interval: Interval | None

    def as_dict(self, *, log_base: str = "e") -> dict[str, Any]:
        """Return one flat dict; ratios are those of the perplexities, None for bits.

        Differences between logarithms of perplexities have the base that is asked for: "e", "10" or "2".
        """
        low, high, agreeing = (None, None, None) if self.interval is None else dataclasses.astuple(self.interval)
        ratios = [self._ratio(x) for x in (self.difference, low, high)]
        difference = self.difference
        if not self.measure.startswith("bits"):
            difference, low, high = (x if x is None else in_base(x, log_base) for x in (difference, low, high))
        return {
            "model": self.model, "baseline": self.baseline, "measure": self.measure,
            "difference": difference, "low": low, "high": high,
            "ratio": ratios[0], "ratio_low": ratios[1], "ratio_high": ratios[2], "agreeing": agreeing,
        }  # fmt: skip

    def _ratio(self, difference):
        if difference is None or difference > LARGEST or self.measure.startswith("bits"):
            return None
        return math.exp(difference)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Rows of the models, in their order; differences of all others to the first; and what should be known of them.

    Attributes
    ----------
    rows : list of Row
    differences : list of Difference
    notes : list of str
        What is left out, and why.
    settings : dict
        What made the numbers: text, reset, lines and blocks of the bootstrap, ...
    """

    rows: list[Row]
    differences: list[Difference]
    notes: list[str]
    settings: dict[str, Any]

    def as_dict(self, *, finite: bool = True, log_base: str = "e") -> dict[str, Any]:
        """Return one dict of dicts and lists; fit for JSON if `finite`: see `Evaluation.as_dict`."""
        return {
            "models": [row.as_dict(finite=finite, log_base=log_base) for row in self.rows],
            "differences": [difference.as_dict(log_base=log_base) for difference in self.differences],
            "notes": self.notes,
            **self.settings,
            "log_base": log_base,
        }


class Notes:
    """What should be known of models; of which the same is to be said, they share a line."""

    def __init__(self):
        self.models: dict[str, list[str]] = {}

    def add(self, model: str, note: str) -> None:
        """Say something of a model."""
        models = self.models.setdefault(note, [])
        if model not in models:
            models.append(model)

    def lines(self) -> list[str]:
        """Return all that was said."""
        return [f"{', '.join(models)}: {note}" for note, models in self.models.items()]


def compare(
    candidates: Sequence[Candidate],
    corpora: Iterable[Corpus],
    *,
    reset: str = "file",
    resamples: int = 1000,
    confidence: float = 0.95,
    block: int | None = None,
    seed: int = 1,
    common: bool = False,
) -> Comparison:
    """Score texts with several models, and compare all others with the first.

    Parameters
    ----------
    reset : {'file', 'sentence'}
        As in `lmkit.evaluation.evaluate`.
    resamples : int
        How often the text is drawn anew, the same for all models.
    confidence : float
        Probability that an interval is to have.
    block : int, optional
        Lines that are drawn together, 1 for each by itself; by default the cube root of their number.
    seed : int
        Of what is drawn.
    common : bool
        Whether only lines count whose tokens are all known to all models.

    Raises
    ------
    OptionError
        If there are less than two models, or two of them do not compare; or an option makes no sense.
    CorpusError
        If a text cannot be read, or nothing is in any of them.
    """
    if len(candidates) < 2:
        raise OptionError("a comparison is of two models or more; name another one")
    if not 0 < confidence < 1:
        raise OptionError(f"--confidence is {confidence:g}; it must be a probability over 0 and below 1, such as 0.95")
    for other in candidates[1:]:
        _refuse_early(candidates[0], other)
    corpora = list(corpora)
    if not common:
        _refuse_by_the_text(candidates, corpora, reset)
    scorings, lines = score_together(candidates, corpora, reset, common=common)
    length = max(1, round((block_length(lines.count) if block is None else block) / lines.width))
    settings = {
        "text": {"names": lines.titles, "characters": lines.characters, "bytes": lines.bytes, "lines": lines.count},
        "reset": reset, "lines_per_unit": lines.width, "lines_per_block": length * lines.width,
        "resamples": resamples, "confidence": confidence, "seed": seed, "common": common,
        "lines_left_out": lines.left_out,
    }  # fmt: skip
    notes = Notes()
    if lines.left_out:
        notes.add("common", f"{lines.left_out} of {lines.count} lines, not known to all models, are left out")
    rows, measures = _rows(scorings, lines, reset, notes)
    for candidate in candidates:
        for corpus in trained_on(candidate.model, corpora):
            notes.add(candidate.name, f"was trained on {corpus.title}: it looks better than it is")
    sums = Sums(scorings[0], lines)
    for scoring, names in zip(scorings[1:], measures, strict=True):
        for measure in names:
            sums.add(scoring, measure, notes)
    drawn = None
    scored = int(np.count_nonzero(lines.sums[: lines.units, 1]))  # units of which some line counts
    if scored >= max(LEAST_LINES, LEAST_BLOCKS * length):
        drawn = resampled_sums(sums.table(), length, resamples, np.random.default_rng(seed))
    else:
        few = f"{lines.count - lines.left_out} lines, drawn in blocks of {length * lines.width}"
        notes.add("no intervals", f"{few}, are fewer than {LEAST_LINES}, or than {LEAST_BLOCKS} blocks")
    return Comparison(rows, sums.differences(drawn, confidence), notes.lines(), settings)


def _rows(scorings: list[Scoring], lines: Lines, reset: str, notes: Notes) -> tuple[list[Row], list[list[str]]]:
    """Return a row for each model, and the measures by which all but the first compare with that."""
    rows, measures = [], []
    for scoring in scorings:
        lossless, described = scoring.model.text.settings.lossless, {**scoring.model.settings(), "reset": reset}
        frequent = scoring.stream.missing.most_frequent(MAX_NAMED)
        sizes = map(int, lines.sums.sum(axis=0))
        evaluation = summary(scoring.totals, *sizes, lossless, described, frequent if scoring.totals.oov else {})
        row = Row(scoring.name, evaluation, None, scoring.tokens / scoring.seconds, scoring.size)
        if described.get("smoothing") == "stupid-backoff":
            notes.add(row.model, "stupid-backoff gives scores, no probabilities: its numbers are too good")
        if evaluation.bits_reason is not None:
            notes.add(row.model, f"no bits per character and byte: {evaluation.bits_reason}")
        if rows:
            row, compared = _against(rows[0], scorings[0], row, scoring)
            measures.append(compared)
            if row.perplexity_reason is not None:
                notes.add(row.model, f"perplexity does not compare with {rows[0].model}: {row.perplexity_reason}")
        rows.append(row)
    return rows, measures


def _against(baseline: Row, first: Scoring, row: Row, scoring: Scoring) -> tuple[Row, list[str]]:
    """Return the row of a model without what does not compare with the baseline, and the measures that do."""
    evaluation, measures = row.evaluation, []
    differ = first.stream.difference(scoring.stream)
    if differ is not None:
        _refuse_lossy(first, scoring, differ)
        evaluation = dataclasses.replace(evaluation, perplexity=None, perplexity_without_oov=None)
    else:
        if not evaluation.oov or first.stream.same_vocabulary(scoring.stream):
            measures.append("perplexity")
        else:
            differ = f"<unk>, here {evaluation.oov} times, stands for other words, as the vocabularies differ"
            evaluation = dataclasses.replace(evaluation, perplexity=None)
        if evaluation.oov:  # a sentence end is always known, so something is left
            measures.append("perplexity_without_oov")
    if baseline.evaluation.bits_reason is None and evaluation.bits_reason is None:
        measures += ["bits_per_character", "bits_per_byte"]
    elif all(each.model.text.settings.lossless for each in (first, scoring)):
        measures += ["bits_per_character_upper_bound", "bits_per_byte_upper_bound"]
    return dataclasses.replace(row, evaluation=evaluation, perplexity_reason=differ), measures


class Sums:
    """Log-probabilities by which models differ from the first, and what they are shared among, for each unit."""

    def __init__(self, first: Scoring, lines: Lines):
        self.first, self.lines = first, lines
        self.compared: list[tuple[str, str]] = []
        self.columns: list[np.ndarray] = []

    def add(self, scoring: Scoring, measure: str, notes: Notes) -> None:
        """Compare a model by a measure, unless one of the two has no finite one."""
        sums = [self._log_probabilities(each, measure) for each in (self.first, scoring)]
        if all(np.isfinite(s).all() for s in sums):
            self.compared.append((scoring.name, measure))
            self.columns += [sums[0] - sums[1], self._shared_among(measure)]
        else:
            notes.add(scoring.name, f"no difference to {self.first.name} where one of the two is infinite")

    def _log_probabilities(self, scoring, measure):
        if measure.endswith("upper_bound"):
            return scoring.sums.sum(axis=1) - scoring.stream.spelling[:, 0]
        return scoring.sums[:, 0] if measure == "perplexity_without_oov" else scoring.sums.sum(axis=1)

    def _shared_among(self, measure):
        tokens, oov = self.first.stream.sums.T
        if measure.startswith("perplexity"):
            return tokens - oov if measure == "perplexity_without_oov" else tokens
        return self.lines.sums[:, int(measure.startswith("bits_per_byte"))] * math.log(2)  # nats into bits

    def table(self) -> np.ndarray:
        """Return two columns for each comparison, shape (units, 2k)."""
        return np.reshape(self.columns, (-1, len(self.lines.sums))).T[: self.lines.units]

    def differences(self, drawn: np.ndarray | None, confidence: float) -> list[Difference]:
        """Return the differences, with intervals if there are resampled sums, shape (resamples, 2k)."""
        found, totals = [], self.table().sum(axis=0)
        drawn = np.empty((0, len(totals))) if drawn is None else drawn
        for k, (name, measure) in enumerate(self.compared):
            columns = slice(2 * k, 2 * k + 2)
            difference = float(np.divide(*totals[columns]))
            some = drawn[drawn[:, 2 * k + 1] > 0, columns]  # lines without a token have no perplexity
            interval = percentile_interval(difference, np.divide(*some.T), confidence) if len(some) else None
            found.append(Difference(name, self.first.name, measure, difference, interval))
        return found


def _refuse_early(a: Candidate, b: Candidate) -> None:
    """Refuse, before the work, models that do not compare on any text."""
    differ = settings_difference(a.model.text, b.model.text)
    if differ is not None:
        _refuse_lossy(a, b, differ)


def _refuse_by_the_text(candidates: Sequence[Candidate], corpora: list[Corpus], reset: str) -> None:
    """Refuse, before texts are scored, models to which other tokens of them are unknown, and whose tokens are lossy.

    Texts that can be read but once, such as the standard input, are compared while they are scored.
    """
    doubtful = [c for c in candidates[1:] if not (c.model.text.settings.lossless or _share_layer(c, candidates[0]))]
    again = [corpus.again() for corpus in corpora]
    if doubtful and None not in again:
        first, *others = read_together([candidates[0], *doubtful], again, reset)
        for candidate, stream in zip(doubtful, others, strict=True):
            differ = first.difference(stream)
            if differ is not None:
                _refuse_lossy(candidates[0], candidate, differ)


def _share_layer(a: Candidate, b: Candidate) -> bool:
    return a.model.text.settings == b.model.text.settings and a.model.text.vocabulary == b.model.text.vocabulary


def _refuse_lossy(a: Candidate | Scoring, b: Candidate | Scoring, differ: str) -> None:
    """Refuse models whose tokens differ, where bits do not compare them, either."""
    for each in (a, b):
        if not each.model.text.settings.lossless:
            raise OptionError(
                f"{a.name} and {b.name} do not compare: {differ}, so their perplexities are over different tokens, and "
                f"{each.name} has no bits per character ({LOSSY}); give models of one --tokenizer, --sentence, "
                "--lowercase and --vocab, or compare what all of them know with --common"
            )
