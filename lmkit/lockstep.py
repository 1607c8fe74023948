"""Several models at work on one text: read once, cut into tokens once for all that share a vocabulary, scored in turn.

What is kept of the log-probabilities is their sums over units, some lines of the raw text each: the same for all
models, whatever their tokens and sentences are. The memory does not grow with the text.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lmkit.errors import CorpusError
from lmkit.evaluation import Totals, scorer
from lmkit.kernels import text as kernels
from lmkit.model import LanguageModel
from lmkit.text import Corpus, Encoded, TextLayer, UnknownTokens, concatenate

__all__ = ["Candidate", "Lines", "Scoring", "Stream", "score_together"]

UNITS = 1 << 13  # lines; of more, units are groups of neighbours: memory and the calls for each stay small
LONG = 1 << 12  # bytes; a line that is longer counts as several
WARM = 1 << 12  # tokens scored before the clock starts, so that kernels are compiled and caches filled


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to be compared: its name in tables and messages, and the bytes of its file if there is one."""

    name: str
    model: LanguageModel
    size: int | None = None


class Lines:
    """The units that sums are kept for: the lines of all texts in turn, or, where there are many, groups of neighbours.

    Attributes
    ----------
    count, width : int
        Lines so far, and how many of them make a unit.
    sums : ndarray of float64, shape (UNITS, 2)
        Characters and bytes of each unit.
    titles : list of str
        The texts so far.
    characters, bytes : int
        Of all texts.
    """

    def __init__(self):
        self.count, self.width, self.tables = 0, 1, []
        self.sums = self.table()
        self.titles, self.characters, self.bytes = [], 0, 0

    @property
    def units(self) -> int:
        """How many units there are."""
        return -(-self.count // self.width)

    def table(self) -> np.ndarray:
        """Return two columns of sums, zeros, that are put together as units are."""
        self.tables.append(np.zeros((UNITS, 2)))
        return self.tables[-1]

    def place(self, block: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the units to which the next block adds, and starts and lengths of the pieces of it that are theirs."""
        ends = line_ends(block, size)
        before, self.count = self.count, self.count + len(ends)
        while self.count > UNITS * self.width:
            self.width *= 2
            for table in self.tables:
                table[: UNITS // 2] = table[::2] + table[1::2]
                table[UNITS // 2 :] = 0
        units = np.arange(before, self.count) // self.width
        last = np.flatnonzero(np.diff(units, append=-1))
        units, lengths = units[last], np.diff(ends[last], prepend=0)
        starts = ends[last] - lengths
        pieces = zip(starts.tolist(), lengths.tolist(), strict=True)
        self.sums[units, 0] += [kernels.inspect_utf8(block[start:], length)[0] for start, length in pieces]
        self.sums[units, 1] += lengths
        return units, starts, lengths

    def finish(self, corpus: Corpus) -> None:
        """Note the sizes of a text that has been read."""
        self.titles.append(corpus.title)
        self.characters += corpus.characters
        self.bytes += corpus.bytes


def line_ends(block: np.ndarray, size: int) -> np.ndarray:
    r"""Return where the lines of a block end, each after its newline, long ones in several parts.

    These are cut before single blanks, where every tokenizer goes on as if nothing had been cut.

    >>> line_ends(np.frombuffer(b"to be\nor not", np.uint8), 12).tolist()
    [6, 12]
    """
    data = block[:size]
    ends = np.flatnonzero(data == ord("\n")) + 1
    if size and not (len(ends) and ends[-1] == size):
        ends = np.append(ends, size)
    lengths = np.diff(ends, prepend=0)
    if lengths.max(initial=0) <= LONG:
        return ends
    single = (data[:-2] > ord(" ")) & (data[1:-1] == ord(" ")) & (data[2:] > ord(" "))
    blanks = np.flatnonzero(single) + 1
    line = np.searchsorted(ends, blanks, side="right")
    part = (blanks - (ends - lengths)[line]) // LONG
    first = (np.diff(line, prepend=-1) != 0) | (np.diff(part, prepend=-1) != 0)
    return np.union1d(ends, blanks[first & (part > 0)])


class Stream:
    """The tokens that one text layer makes of the texts, for all models that share it; `alone`: see `Encoder`.

    Attributes
    ----------
    sums : ndarray of float64, shape (UNITS, 2)
        Tokens of each unit, and those of them that are out of vocabulary.
    spelling : ndarray of float64, shape (UNITS, 2)
        What it costs to spell the latter, in nats: see `lmkit.text.unknown.spelling_costs`; and a column of zeros.
    tokens, oov : int
        Of all texts.
    missing : UnknownTokens
        Which tokens are out of vocabulary.
    """

    def __init__(self, layer: TextLayer, lines: Lines, alone: bool = False):
        self._alone = alone
        self.layer, self.sums, self.tokens, self.oov = layer, lines.table(), 0, 0
        self.spelling = lines.table()
        self._unknown, self.missing = hashlib.sha256(), UnknownTokens()

    def shared_by(self, layer: TextLayer) -> bool:
        """Whether another layer makes the same ids of every text."""
        own = self.layer
        return own is layer or (own.settings == layer.settings and own.vocabulary == layer.vocabulary)

    def difference(self, other: Stream) -> str | None:
        """Return how the tokens of another stream differ from these, None if not at all."""
        differ = settings_difference(self.layer, other.layer)
        if differ is None and self.tokens != other.tokens:
            differ = f"reserved is {self.layer.settings.reserved} and {other.layer.settings.reserved}"
        if differ is None and self._unknown.digest() != other._unknown.digest():
            differ = f"out of vocabulary are {self.oov} and {other.oov} tokens, not the same ones"
        return differ

    def same_vocabulary(self, other: Stream) -> bool:
        """Whether another stream's vocabulary has the same tokens, in whatever order."""
        a, b = self.layer.vocabulary, other.layer.vocabulary
        return a == b or (len(a) == len(b) and bool((a.ids(b.tokens()) >= 0).all()))

    def begin(self, title: str) -> None:
        """Begin a text."""
        self._encoder = self.layer.encoder(title, alone=self._alone, missing=self.missing)

    def feed(
        self, block: np.ndarray, units: np.ndarray, starts: np.ndarray, lengths: np.ndarray
    ) -> tuple[Encoded, np.ndarray]:
        """Return the ids of a block in pieces, and the unit of each id."""
        pieces = zip(starts.tolist(), lengths.tolist(), strict=True)
        parts = [self._encoder.feed(block[start:], length) for start, length in pieces]
        return self._counted(concatenate(parts), np.repeat(units, [len(part.ids) for part in parts]))

    def finish(self, unit: int) -> tuple[Encoded, np.ndarray]:
        """Return the sentence end of a text that has none yet, or nothing, and its unit."""
        last = self._encoder.finish()
        return self._counted(last, np.full(len(last.ids), unit))

    def _counted(self, encoded, units):
        self.sums[:, 0] += np.bincount(units, minlength=UNITS)
        self.sums[:, 1] += np.bincount(units[encoded.oov], minlength=UNITS)
        self.spelling[:, 0] += np.bincount(units[encoded.oov], self.layer.spelling_costs(encoded), UNITS)
        self._unknown.update((encoded.oov + self.tokens).tobytes())
        self.tokens += len(encoded.ids)
        self.oov += len(encoded.oov)
        return encoded, units


def settings_difference(a: TextLayer, b: TextLayer) -> str | None:
    """Return in what two layers differ so that they make other tokens of a text, None if in nothing."""
    for name in ("tokenizer", "sentence", "lowercase"):
        values = [str(getattr(layer.settings, name)).lower() for layer in (a, b)]
        if values[0] != values[1]:
            return f"{name} is {values[0]} and {values[1]}"
    return None


class Scoring:
    """One model at work.

    Attributes
    ----------
    totals : Totals
        Of all texts.
    sums : ndarray of float64, shape (UNITS, 2)
        Log-probabilities of the tokens of each unit that are in the vocabulary, and of those that are not.
    seconds : float
        What scoring has taken.
    """

    def __init__(self, candidate: Candidate, stream: Stream, lines: Lines, reset: str):
        self.name, self.model, self.size = candidate.name, candidate.model, candidate.size
        self.stream, self.sums, self.totals, self.seconds = stream, lines.table(), Totals(), 0.0
        self._scorer, self._warm = scorer(reset), False

    def begin(self) -> None:
        """Begin a text."""
        self._blocks: collections.deque[Encoded] = collections.deque()
        self._scores: Iterator = self._scorer(self.model, iter(self._blocks.popleft, None))

    def add(self, encoded: Encoded, units: np.ndarray) -> None:
        """Score the next block, given the unit of each token."""
        if not self._warm:
            self._warm = True
            next(self._scorer(self.model, [Encoded(encoded.ids[:WARM], encoded.oov[:0])]))
        self._blocks.append(encoded)
        started = time.perf_counter()
        _, log_p = next(self._scores)
        self.seconds += time.perf_counter() - started
        self.totals.add(encoded, log_p, self.model.text.spelling_costs(encoded))
        known = log_p.astype(np.float64)
        known[encoded.oov] = 0
        self.sums[:, 0] += np.bincount(units, known, UNITS)
        self.sums[:, 1] += np.bincount(units[encoded.oov], log_p[encoded.oov], UNITS)


def score_together(
    candidates: Sequence[Candidate], corpora: Iterable[Corpus], reset: str = "file"
) -> tuple[list[Scoring], Lines]:
    """Read the texts, once, and score each block with all models in turn.

    Raises
    ------
    CorpusError
        If a text cannot be read, or nothing is in any of them.
    OptionError
        If `reset` is none of `lmkit.evaluation.RESETS`.
    """
    lines, streams, scorings = Lines(), [], []
    for candidate in candidates:
        stream = next((s for s in streams if s.shared_by(candidate.model.text)), None)
        if stream is None:
            stream = Stream(candidate.model.text, lines, alone=reset == "sentence")
            streams.append(stream)
        scorings.append(Scoring(candidate, stream, lines, reset))
    for corpus in corpora:
        for stream in streams:
            stream.begin(corpus.title)
        for scoring in scorings:
            scoring.begin()
        for block, size in corpus.padded_blocks():
            pieces = lines.place(block, size)
            _score({stream: stream.feed(block, *pieces) for stream in streams}, scorings)
        _score({stream: stream.finish(lines.units - 1) for stream in streams}, scorings)
        lines.finish(corpus)
    if not all(stream.tokens for stream in streams):
        raise CorpusError(f"{', '.join(lines.titles) or 'the text'} holds no tokens: there is nothing to score")
    return scorings, lines


def _score(fed: dict[Stream, tuple[Encoded, np.ndarray]], scorings: list[Scoring]) -> None:
    for scoring in scorings:
        encoded, units = fed[scoring.stream]
        if len(encoded.ids):
            scoring.add(encoded, units)
