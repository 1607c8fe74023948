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
from lmkit.model import UNK, LanguageModel
from lmkit.text import Corpus, Encoded, TextLayer, UnknownTokens, concatenate
from lmkit.text.encoding import without

__all__ = ["Candidate", "Lines", "Scoring", "Stream", "read_together", "score_together"]

UNITS = 1 << 13  # lines; of more, units are groups of neighbours: memory and the calls for each stay small
LONG = 1 << 12  # bytes; a line that is longer counts as several
WARM = 1 << 12  # tokens scored before the clock starts, so that kernels are compiled and caches filled


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to be compared: its name in tables and messages, and the bytes of its file if there is one."""

    name: str
    model: LanguageModel
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Parts of a block of text.

    Attributes
    ----------
    block : ndarray of uint8
    units, starts, lengths : ndarray of int64
        The unit that each of them adds to, where it begins, and its bytes.
    """

    block: np.ndarray
    units: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


class Lines:
    """The units that sums are kept for: the lines of all texts in turn, or, where there are many, groups of neighbours.

    Attributes
    ----------
    count, width : int
        Lines so far, and how many of them make a unit.
    sums : ndarray of float64, shape (UNITS, 2)
        Characters and bytes of each unit.
    left_out : int
        Lines that count for nothing.
    titles : list of str
        The texts so far.
    characters, bytes : int
        Of all texts.
    """

    def __init__(self):
        self.count, self.width, self.left_out, self.tables = 0, 1, 0, []
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

    def place(self, block: np.ndarray, size: int, apart: bool = False) -> Pieces:
        """Return the pieces of the next block that belong to one unit each; `apart`: one for each line."""
        ends = line_ends(block, size)
        before, self.count = self.count, self.count + len(ends)
        while self.count > UNITS * self.width:
            self.width *= 2
            for table in self.tables:
                table[: UNITS // 2] = table[::2] + table[1::2]
                table[UNITS // 2 :] = 0
        units = np.arange(before, self.count) // self.width
        last = np.arange(len(units)) if apart else np.flatnonzero(np.diff(units, append=-1))
        units, lengths = units[last], np.diff(ends[last], prepend=0)
        return Pieces(block, units, ends[last] - lengths, lengths)

    def add(self, pieces: Pieces, kept: np.ndarray | slice = slice(None)) -> None:
        """Add the sizes of pieces to their units."""
        characters = np.empty(len(pieces.units), np.int64)
        kernels.span_characters(pieces.block, pieces.starts, pieces.lengths, characters)
        for column, numbers in enumerate((characters, pieces.lengths)):
            self.sums[:, column] += np.bincount(pieces.units[kept], numbers[kept], UNITS)

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

    def feed(self, pieces: Pieces) -> tuple[Encoded, np.ndarray]:
        """Return the ids of the pieces of a block, and for each id the number of its piece."""
        spans = zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True)
        parts = [self._encoder.feed(pieces.block[start:], length) for start, length in spans]
        return concatenate(parts), np.repeat(np.arange(len(parts)), [len(part.ids) for part in parts])

    def finish(self) -> Encoded:
        """Return the sentence end of a text that has none yet, or nothing."""
        return self._encoder.finish()

    def count(self, encoded: Encoded, units: np.ndarray) -> None:
        """Count ids, given the unit of each."""
        oov = units[encoded.oov]
        self.sums[:, 0] += np.bincount(units, minlength=UNITS)
        self.sums[:, 1] += np.bincount(oov, minlength=UNITS)
        self.spelling[:, 0] += np.bincount(oov, self.layer.spelling_costs(encoded), UNITS)
        self._unknown.update((encoded.oov + self.tokens).tobytes())
        self.tokens += len(encoded.ids)
        self.oov += len(encoded.oov)


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
    seconds, tokens : float, int
        What scoring has taken, and of how many tokens.
    """

    def __init__(self, candidate: Candidate, stream: Stream, lines: Lines, reset: str):
        self.name, self.model, self.size = candidate.name, candidate.model, candidate.size
        self.stream, self.sums, self.totals, self.seconds = stream, lines.table(), Totals(), 0.0
        self.tokens = 0
        self._scorer, self._warm = scorer(reset), False

    def begin(self) -> None:
        """Begin a text."""
        self._blocks: collections.deque[Encoded] = collections.deque()
        self._scores: Iterator = self._scorer(self.model, iter(self._blocks.popleft, None))

    def add(self, encoded: Encoded, units: np.ndarray, left_out: np.ndarray) -> None:
        """Score the next block, given the unit of each token, and the places of those that count for nothing."""
        if not self._warm:
            self._warm = True
            next(self._scorer(self.model, [Encoded(encoded.ids[:WARM], encoded.oov[:0])]))
        self._blocks.append(encoded)
        started = time.perf_counter()
        _, log_p = next(self._scores)
        self.seconds += time.perf_counter() - started
        self.tokens += len(encoded.ids)
        if len(left_out):
            encoded, units, log_p = without(encoded, left_out), np.delete(units, left_out), np.delete(log_p, left_out)
        self.totals.add(encoded, log_p, self.model.text.spelling_costs(encoded))
        known = log_p.astype(np.float64)
        known[encoded.oov] = 0
        self.sums[:, 0] += np.bincount(units, known, UNITS)
        self.sums[:, 1] += np.bincount(units[encoded.oov], log_p[encoded.oov], UNITS)


def score_together(
    candidates: Sequence[Candidate], corpora: Iterable[Corpus], reset: str = "file", *, common: bool = False
) -> tuple[list[Scoring], Lines]:
    """Read the texts, once, and score each block with all models in turn.

    Parameters
    ----------
    common : bool
        Whether lines in which any model has an unknown token count for nothing. All models read them nevertheless.

    Raises
    ------
    CorpusError
        If a text cannot be read, or nothing is in any of them.
    OptionError
        If `reset` is none of `lmkit.evaluation.RESETS`.
    """
    lines, streams = Lines(), Streams(common)
    scorings = [Scoring(one, streams.of(one.model, lines, reset), lines, reset) for one in candidates]
    for corpus in corpora:
        for scoring in scorings:
            scoring.begin()
        for fed in streams.read(corpus, lines):
            for scoring in scorings:
                encoded, units, left_out = fed[scoring.stream]
                if len(encoded.ids):
                    scoring.add(encoded, units, left_out)
    streams.check(lines)
    return scorings, lines


def read_together(candidates: Sequence[Candidate], corpora: Iterable[Corpus], reset: str = "file") -> list[Stream]:
    """Return the streams of models, of texts that are read and not scored.

    Raises
    ------
    CorpusError
        If a text cannot be read, or nothing is in any of them.
    """
    lines, streams = Lines(), Streams()
    found = [streams.of(candidate.model, lines, reset) for candidate in candidates]
    for corpus in corpora:
        collections.deque(streams.read(corpus, lines), maxlen=0)
    streams.check(lines)
    return found


class Streams:
    """The streams of several models, one for all models that make the same ids; `common`: see `score_together`."""

    def __init__(self, common: bool = False):
        self.common = common
        self.all: list[Stream] = []

    def of(self, model: LanguageModel, lines: Lines, reset: str) -> Stream:
        """Return the stream of a model."""
        stream = next((s for s in self.all if s.shared_by(model.text)), None)
        if stream is None:
            stream = Stream(model.text, lines, alone=reset == "sentence")
            self.all.append(stream)
        return stream

    def read(self, corpus: Corpus, lines: Lines) -> Iterator[dict[Stream, tuple[Encoded, np.ndarray, np.ndarray]]]:
        """Yield for each block of a text, by stream, its ids, their units, and places of those that do not count."""
        for stream in self.all:
            stream.begin(corpus.title)
        known = np.ones(1, bool)
        for block, size in corpus.padded_blocks():
            pieces = lines.place(block, size, apart=self.common)
            fed = {stream: stream.feed(pieces) for stream in self.all}
            known = self._known(fed, len(pieces.units))
            lines.add(pieces, known)
            lines.left_out += int(np.count_nonzero(~known))
            yield self._counted(fed, pieces.units, known)
        ends = {stream: stream.finish() for stream in self.all}
        fed = {stream: (end, np.zeros(len(end.ids), np.int64)) for stream, end in ends.items()}
        yield self._counted(fed, np.array([lines.units - 1]), known[-1:] & self._known(fed, 1))
        lines.finish(corpus)

    def _known(self, fed, pieces):
        """Return which pieces count: those whose tokens are all known to all models, or simply all."""
        known = np.ones(pieces, bool)
        if self.common:
            for encoded, piece in fed.values():
                known[piece[encoded.ids == UNK]] = False
        return known

    def _counted(self, fed, units, known):
        counted = {}
        for stream, (encoded, piece) in fed.items():
            left_out, own = np.flatnonzero(~known[piece]), units[piece]
            stream.count(without(encoded, left_out), np.delete(own, left_out))
            counted[stream] = encoded, own, left_out
        return counted

    def check(self, lines: Lines) -> None:
        """Raise CorpusError if nothing is left to score."""
        if not all(stream.tokens for stream in self.all):
            titles = ", ".join(lines.titles) or "the text"
            if lines.left_out:
                raise CorpusError(f"{titles}: no line is known to all models; compare them without --common")
            raise CorpusError(f"{titles} holds no tokens: there is nothing to score")
