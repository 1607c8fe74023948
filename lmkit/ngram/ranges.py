"""Counting the n-grams of a text in ranges of first words, which wait on the disk: see `lmkit.ngram.external`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from lmkit.errors import CorpusError
from lmkit.kernels import ngram_counts
from lmkit.kernels import ngram_external as kernels
from lmkit.memory import resident
from lmkit.model import BOS, EOS
from lmkit.ngram.counts import Sorted, sort_positions
from lmkit.ngram.estimators import ESTIMATORS, KATZ_LIMIT
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.smoothing import counts_of_counts
from lmkit.ngram.trie import read_only
from lmkit.spool import Place, Spool, release
from lmkit.threads import in_threads

__all__ = ["LISTED_COUNT", "LISTED_WORD", "Range", "RangeCounter", "bytes_of_range"]

BLOCK = 1 << 19  # positions of the text that are cut into windows at a time
LISTED_WORD, LISTED_COUNT = range(2)  # columns of a range's lists of n-grams


def bytes_of_range(order: int) -> int:
    """Return how many bytes each position of a range takes while it is worked on."""
    return 4 * (order + 1) + 60


@dataclasses.dataclass
class Range:
    """The n-grams that begin with the words from `low` to `high`; places are None where there is nothing.

    Attributes
    ----------
    listed : list of Place
        For each length: last words and counts, uint32 (m, 2).
    occurrences : list of Place
        For each length, how often its n-grams came, uint32 (m,), where that is kept.
    begins, kept_begins : list of Place
        For each length below n: the first child of each n-gram and the end of the last one's, among those listed and
        among those kept: uint32 (m + 1,).
    dropped : list of Place
        For each length: which fell under a cut-off, uint8 (m,).
    suffixes : list of Place
        For each length below n: which n-grams are the suffixes of longer ones, in the order of these: uint32.
    shares : list of ndarray
        For each length: where in `suffixes` the part for each range begins and ends.
    descendants : list of Place
        For each length: the first one of each bigram, uint32 (bigrams + 1,).
    sizes, kept : list of int
    """

    low: int
    high: int
    listed: list[Place | None]
    occurrences: list[Place | None]
    begins: list[Place | None]
    kept_begins: list[Place | None]
    dropped: list[Place | None]
    suffixes: list[Place | None]
    shares: list[np.ndarray | None]
    descendants: list[Place | None]
    sizes: list[int]
    kept: list[int]

    @classmethod
    def empty(cls, low: int, high: int, order: int) -> Range:
        """Return a range of which nothing is known yet."""
        return cls(low, high, *([None] * (order + 1) for _ in range(8)), sizes=[1], kept=[1])


class RangeCounter:
    """Counts a text in ranges; the parameters are those of `lmkit.ngram.external.estimate_on_disk`.

    Attributes
    ----------
    bounds : list of (low, high)
        The first words of each range.
    range_of : ndarray of int32, shape (V,)
        The range of each word.
    lists : Spool
        Holds what is listed of the ranges.
    neighbours : ndarray of int64, shape (V,)
        How many different words stand to the left of each, as far as ranges were counted.
    """

    def __init__(self, ids, counts, options: NGramOptions, excluded: np.ndarray, memory: int, lists: Spool):
        self.ids, self.counts, self.options, self.excluded, self.lists = ids, counts, options, excluded, lists
        self.order, self.threads, self.words = options.order, options.threads, len(counts)
        self.adjusted = ESTIMATORS[options.smoothing].adjusted
        self.firsts = counts.copy()  # how often each word is the first of an n-gram
        self.firsts[BOS], self.firsts[EOS] = counts[EOS], 0
        self.bounds = self._cut(memory)
        self.range_of = np.repeat(
            np.arange(len(self.bounds), dtype=np.int32), [high - low for low, high in self.bounds]
        )
        self.neighbours = np.zeros(len(counts), np.int64)  # of each word, different ones to the left

    def _cut(self, memory: int) -> list[tuple[int, int]]:
        """Cut the words into ranges whose n-grams fit into memory."""
        rows = memory // bytes_of_range(self.order)
        most = int(self.firsts.max())
        if most > rows:
            least = resident() + most * bytes_of_range(self.order)
            raise CorpusError(
                f"--memory is too small for the n-grams that begin with the most frequent word; give at least "
                f"{-(-least // 2**20)}M"
            )
        ends = np.cumsum(self.firsts)
        bounds, low = [], 0
        while low < self.words:
            before = ends[low - 1] if low else 0
            high = int(np.searchsorted(ends, before + rows, side="right"))
            bounds.append((low, high))
            low = high
        return bounds

    def count_all(self, report: Callable[[int], None]) -> tuple[list[Range], list[np.ndarray]]:
        """Count all ranges; return them, and the counts of counts of each length.

        `report` is called with the number of each range when it is counted.
        """
        seen = [np.zeros(KATZ_LIMIT + 2, np.int64) for _ in range(self.order)]
        found = []
        with Spool(self.options.temp) as spool:
            for r, place in enumerate(self.scatter(spool)):
                found.append(self.count(r, spool.get(place), seen))
                report(r)
        seen[0] = counts_of_counts(self.unigram_counts[:, None].astype(np.uint32), 0)
        return found, seen

    @property
    def unigram_counts(self) -> np.ndarray:
        """How often each word is counted, once all ranges are: int64 (V,)."""
        return self.neighbours if self.adjusted else self.counts

    def scatter(self, spool: Spool) -> list[Place]:
        """Write the window of each position to the place of its range."""
        totals = [int(self.firsts[low:high].sum()) for low, high in self.bounds]
        places = [spool.reserve((rows, self.order + 1), np.int32) for rows in totals]
        written = [0] * len(places)
        blocks = range(0, len(self.ids), BLOCK)
        for first in range(0, len(blocks), self.threads):
            jobs = [(begin,) for begin in blocks[first : first + self.threads]]
            for rows, starts in in_threads(self.threads, self._windows, jobs):
                for r, (low, high) in enumerate(itertools.pairwise(starts.tolist())):
                    spool.write(places[r], written[r], rows[low:high])
                    written[r] += high - low
        return places

    def _windows(self, begin: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of a block of positions, and where those of each range begin and end."""
        end, ahead = min(begin + BLOCK, len(self.ids)), self.order - 2
        part = self.ids[max(begin - kernels.BACK, 0) : end + ahead]
        before = [EOS] * max(kernels.BACK - begin, 0)
        behind = [EOS] * max(end + ahead - len(self.ids), 0)
        ids = np.concatenate([before, part, behind]).astype(np.int32)
        release(part)
        rows = np.empty((end - begin, self.order + 1), np.int32)
        return rows, kernels.windows(ids, self.range_of, rows)

    def count(self, r: int, windows: np.ndarray, seen: list[np.ndarray]) -> Range:
        """Sort and count a range; add to the counts of counts in `seen`, and to the neighbours of words."""
        low, high = self.bounds[r]
        text, parts = self._sorted(low, high, windows)
        by_left = self._by_left(text, parts) if self.order > 2 else None
        text.room = text.room[:0]
        jobs = [(text.shared, text.lengths, b, e, self.order) for b, e in parts]
        per_part = np.reshape(in_threads(self.threads, ngram_counts.count_levels, jobs), (-1, self.order + 1))
        found = Range.empty(low, high, self.order)
        gone = self.excluded[low:high] if self.excluded.size else np.zeros(high - low, np.uint8)
        self._note(found, 1, high - low, gone)
        parents = np.repeat(np.arange(high - low, dtype=np.uint32), np.diff(text.starts[low : high + 1]))
        owners = np.empty_like(parents)
        bos = np.clip([BOS - low, BOS + 1 - low], 0, high - low)  # where the n-grams of `<s>` begin and end
        for k in range(2, self.order + 1):
            sizes = per_part[:, k]
            listed = np.zeros((int(sizes.sum()), 2), np.uint32)
            begins = np.full(found.sizes[k - 1] + 1, len(listed), np.uint32)
            nodes = (np.cumsum(sizes) - sizes).tolist()
            shared = k, text.ids, text.ranks, text.shared, text.lengths, parents, owners, begins, listed
            jobs = [(b, e, node, *shared) for (b, e), node in zip(parts, nodes, strict=True)]
            in_threads(self.threads, kernels.list_level, jobs)
            begins = np.minimum.accumulate(begins[::-1])[::-1]  # words that begin no n-gram have none
            found.begins[k - 1] = found.kept_begins[k - 1] = self.lists.put(begins)
            if self.options.drops:
                gone = (listed[:, LISTED_COUNT] <= self.options.cutoffs[k - 1]) | np.repeat(gone != 0, np.diff(begins))
                if self.excluded.size:
                    gone |= self.excluded[listed[:, LISTED_WORD]] != 0
                kept_before = np.concatenate([[0], np.cumsum(~gone)]).astype(np.uint32)
                found.kept_begins[k - 1] = self.lists.put(kept_before[begins])
            self._note(found, k, len(listed), gone)
            if self.options.keeps_counts:
                found.occurrences[k] = self.lists.put(listed[:, LISTED_COUNT].copy())
            bos = begins[bos]
            if k < self.order:
                neighbours = self._list_suffixes(k, found, by_left, text.lengths, owners, len(listed))
                if self.adjusted:
                    neighbours[bos[0] : bos[1], 1] = listed[bos[0] : bos[1], 1]  # nobody stands before `<s>`
                    listed[:, LISTED_COUNT] = neighbours[:, 1]
            if k == 2:
                self.neighbours += np.bincount(listed[:, LISTED_WORD], minlength=self.words)
                descendants = np.arange(len(listed) + 1)
            else:
                descendants = begins[descendants]
                found.descendants[k] = self.lists.put(descendants)
            found.listed[k] = self.lists.put(listed)
            seen[k - 1] += counts_of_counts(listed, LISTED_COUNT)
            parents, owners = owners, parents
        return found

    def _note(self, found: Range, k: int, size: int, gone: np.ndarray) -> None:
        """Note how many k-grams there are, and which of them are dropped."""
        found.sizes.append(size)
        found.kept.append(size)
        if self.options.drops:
            found.dropped[k] = self.lists.put(gone.astype(np.uint8))
            found.kept[k] -= int(np.count_nonzero(gone))

    def _sorted(self, low: int, high: int, windows: np.ndarray) -> tuple[Sorted, list[tuple[int, int]]]:
        """Sort the windows of a range; return also how threads share them."""
        starts = np.zeros(self.words + 1, np.int64)
        starts[low + 1 : high + 1] = np.cumsum(self.firsts[low:high])
        starts[high + 1 :] = starts[high]
        ids = read_only(windows.reshape(-1))
        text = sort_positions(ids, kernels.BACK, self.order + 1, starts, self.order, self.threads)
        parts = text.parts(self.threads)
        jobs = [(ids, text.ranks, b, e, self.order, text.lengths) for b, e in parts]
        in_threads(self.threads, kernels.lengths_of_windows, jobs)
        return text, parts

    def _by_left(self, text: Sorted, parts: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of a sorted range by the word to their left: where each word's begin, and the places."""
        lefts = np.empty(len(text.ranks), np.int32)
        jobs = [(text.ids, text.ranks, b, e, self.words, lefts) for b, e in parts]
        counts = np.sum(in_threads(self.threads, kernels.left_words, jobs), axis=0)
        starts = np.concatenate([[0], np.cumsum(counts)])
        order = np.empty(int(starts[-1]), np.uint32)
        cuts = np.searchsorted(starts, len(order) * np.arange(1, self.threads) / self.threads)
        cuts = [0, *cuts.tolist(), self.words]
        in_threads(
            self.threads, kernels.by_left, [(lefts, low, high, starts, order) for low, high in itertools.pairwise(cuts)]
        )
        return starts, order

    def _list_suffixes(self, k, found: Range, by_left, lengths, owners, size: int) -> np.ndarray:
        """List the k-grams that are suffixes of longer n-grams, range by range of those.

        Returns
        -------
        ndarray of uint32, shape (k-grams, 2)
            In column 1 how many different words stand to the left of each.
        """
        starts, order = by_left
        listed, neighbours = np.empty(len(order), np.uint32), np.zeros((size, 2), np.uint32)
        jobs = [(k, low, high, starts, order, lengths, owners, neighbours, listed) for low, high in self.bounds]
        sizes = in_threads(self.threads, kernels.left_neighbours, jobs)
        pieces = [listed[starts[low] : starts[low] + n] for (low, _), n in zip(self.bounds, sizes, strict=True)]
        found.suffixes[k] = self.lists.put(np.concatenate(pieces))
        found.shares[k] = np.concatenate([[0], np.cumsum(sizes)])
        return neighbours
