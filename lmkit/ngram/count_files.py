"""n-gram counts from files, as `lmkit count` writes them, Google's collections and SRILM: `w1 w2 ... <tab> count`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import numpy as np

from lmkit.errors import CorpusError
from lmkit.kernels import ngram_count_lines as kernels
from lmkit.model import BOS, EOS, RESERVED
from lmkit.ngram.assembly import Level, structure
from lmkit.ngram.counts import NOTHING, Levels
from lmkit.ngram.options import MAX_ORDER
from lmkit.ngram.trie import COUNT, SUFFIX
from lmkit.text import Corpus, Vocabulary, unescape

__all__ = ["Counts", "levels_of", "read_counts"]

ROOM = 1 << 16  # lines that are read at a time
MISTAKES = {
    1: "has no tab before a count",
    2: "ends with no whole number of at least 0",
    3: "has a count over 4294967295",
    4: "is no n-gram of 1 to {most} words",
}


@dataclasses.dataclass
class Counts:
    """The counts of all n-grams up to some length.

    Attributes
    ----------
    vocabulary : Vocabulary
        The words by their counts.
    tables : list of (n-grams, counts)
        For n = 1, 2, ...: int32 (m, n), all different, and int64 (m,).
    """

    vocabulary: Vocabulary
    tables: list[tuple[np.ndarray, np.ndarray]]


def read_counts(corpora: Iterable[Corpus], order: int, progress: Callable[[int], object] | None = None) -> Counts:
    """Read counts; those of the same n-gram are added, longer n-grams left out.

    Raises
    ------
    CorpusError
        A line is none of counts; the message names it.
    """
    words = Vocabulary.from_tokens([]).table
    grams: list[list[np.ndarray]] = [[] for _ in range(order + 1)]
    counts: list[list[np.ndarray]] = [[] for _ in range(order + 1)]
    most = MAX_ORDER
    starts, lengths = np.empty((2, ROOM * 4 + most), np.int64)
    orders, numbers = np.empty((2, ROOM), np.int64)
    for corpus in corpora:
        line = 1
        for block, size in corpus.padded_blocks(progress):
            at = 0
            while at < size:
                n, w, at, mistake = kernels.parse_counts(block, at, size, most, starts, lengths, orders, numbers)
                ids = words.ids(block, starts[:w], lengths[:w], True)
                ids = np.where(ids < 0, -1 - ids, ids)
                firsts = np.cumsum(orders[:n]) - orders[:n]
                for k in range(1, order + 1):
                    chosen = np.flatnonzero(orders[:n] == k)
                    grams[k].append(ids[firsts[chosen, None] + np.arange(k)])
                    counts[k].append(numbers[chosen])
                line += n
                if mistake:
                    end = at + int(np.argmax(block[at:size] == ord("\n")) or size - at)
                    shown = block[at : min(end, at + 60)].tobytes().decode("utf-8", "replace").strip()
                    raise CorpusError(
                        f"{corpus.title}: line {line}: {shown!r} {MISTAKES[mistake].format(most=most)}; counts are "
                        "lines of words, a tab, and a number"
                    )
    return _ordered(words, [_added(grams[k], counts[k], k) for k in range(1, order + 1)])


def _added(grams: list[np.ndarray], counts: list[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the different n-grams of a list and the sums of their counts; those of 0 are left out."""
    table = np.concatenate([np.zeros((0, k), np.int32), *grams])
    numbers = np.concatenate([np.zeros(0, np.int64), *counts])
    order = np.lexsort(table.T[::-1])
    table, numbers = table[order], numbers[order]
    new = np.ones(len(table), bool)
    new[1:] = (table[1:] != table[:-1]).any(axis=1)
    sums = np.add.reduceat(numbers, np.flatnonzero(new)) if len(table) else numbers
    return table[new][sums > 0], sums[sums > 0]


def _ordered(words, tables) -> Counts:
    """Number the words by their counts, then by their bytes, as when a text is learnt."""
    data, offsets = words.pool.tobytes(), words.offsets[: words.size + 1].tolist()
    names = [data[a:b] for a, b in itertools.pairwise(offsets)]
    frequency = np.zeros(words.size, np.int64)
    if tables:
        np.add.at(frequency, tables[0][0][:, 0], tables[0][1])
    known = range(len(RESERVED), words.size)
    by_count = sorted(known, key=lambda i: (-frequency[i], names[i]))
    new = np.arange(words.size, dtype=np.int32)
    new[by_count] = np.arange(len(RESERVED), words.size, dtype=np.int32)
    tokens = [unescape(names[i].decode("utf-8", "surrogateescape")) for i in by_count]
    return Counts(Vocabulary.from_tokens(tokens), [(new[grams], counts) for grams, counts in tables])


def levels_of(
    counts: Counts, *, adjusted: bool, cutoffs: Iterable[int], name: str, excluded: np.ndarray = NOTHING, threads=1
) -> Levels:
    """Lay counts out as a trie, as `lmkit.ngram.counts.link_levels` does a text.

    Raises
    ------
    CorpusError
        n-grams begin or end with shorter ones that were not counted.
    """
    size, order = len(counts.vocabulary), len(counts.tables)
    unigrams = np.zeros(size, np.int64)
    grams, numbers = counts.tables[0]
    unigrams[grams[:, 0]] = numbers
    unigrams[BOS] = 0
    if not unigrams[EOS]:
        raise CorpusError(f"{name}: </s> was never counted, so no sentence could end; count with sentence ends")
    uncounted = np.flatnonzero(unigrams[len(RESERVED) :] == 0)
    if len(uncounted):
        missing = counts.vocabulary.token(int(uncounted[0]) + len(RESERVED))
        raise CorpusError(
            f"{name}: longer n-grams hold {missing!r}, which was not counted; give the counts of all orders"
        )
    tables = [(np.arange(size, dtype=np.int32)[:, None], unigrams), *counts.tables[1:]]
    drops = any(cutoffs) or excluded.size > 0
    levels = []
    for grams, numbers in tables:
        nothing = np.zeros(len(grams))
        bits = numbers.astype(np.uint32).view(np.float32)  # counts stand where log p will
        levels.append(Level(grams, bits, nothing.astype(np.float32), nothing.astype(bool)))
    built = structure(levels, name, threads)
    if any(level.blank.any() for level in built.levels):
        short = next(level for level in built.levels if level.blank.any())
        missing = " ".join(counts.vocabulary.token(i) for i in short.grams[np.argmax(short.blank)].tolist())
        raise CorpusError(
            f"{name}: longer n-grams begin with {missing!r}, which was not counted; give the counts of all orders"
        )
    dropped = [NOTHING, excluded if excluded.size else np.zeros(size, np.uint8) if drops else NOTHING]
    gone = np.zeros(built.firsts[-1], bool)
    if drops:
        gone[built.firsts[1] : built.firsts[2]] = dropped[1] != 0
    for k in range(2, order + 1):
        records, level = built.records(k), built.levels[k - 1]
        suffixes, parents = records[:, SUFFIX].astype(np.int64), built.parents[k - 1]
        if (suffixes < built.firsts[k - 1]).any():
            ending = level.grams[np.argmax(suffixes < built.firsts[k - 1]), 1:].tolist()
            missing = " ".join(map(counts.vocabulary.token, ending))
            raise CorpusError(
                f"{name}: longer n-grams end with {missing!r}, which was not counted; give the counts of all orders"
            )
        if drops:
            here = (level.log_p.view(np.uint32) <= list(cutoffs)[k - 1]) | gone[parents]
            if excluded.size:
                here |= excluded[level.grams[:, -1]] != 0
            gone[built.firsts[k] : built.firsts[k + 1]] = here
            dropped.append(here.astype(np.uint8))
        else:
            dropped.append(NOTHING)
        if adjusted:
            below, first = built.records(k - 1), built.firsts[k - 1]
            left = np.bincount(suffixes - first, minlength=len(below))
            own = built.levels[k - 2].grams[:, 0] != BOS
            below[own, COUNT] = left[own]
    return Levels(built.nodes, built.leaves, [1, *np.diff(built.firsts[1:]).tolist()], dropped)
