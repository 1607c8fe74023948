"""Counting and smoothing in bounded memory: the work is cut into ranges of first words, which wait on the disk.

The n-grams that begin with a range of words are a contiguous part of every level of the trie. One pass over the text
writes each position's window (its n-gram and the word to the left) to the range of its first word; then each range is
sorted by itself, as `lmkit.ngram.counts` sorts a whole text.

What remains are the links from an n-gram to its suffix, which lies in another range, that of its second word. There
the n-grams are listed by their left neighbours: a stable sort of the range by left word gives, for the neighbours of
each range, the suffixes of its n-grams in the order that those have in the trie. So the levels are filled from the
shortest up: each range sends what is known of its (k-1)-grams, their probability and where links to them lead, to the
ranges that have k-grams with these suffixes; there the lists are joined without any search. The numbers are those of
`lmkit.ngram.counts` and `lmkit.ngram.smoothing`, to the last bit.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import numpy as np

from lmkit.kernels import ngram_estimation
from lmkit.kernels import ngram_external as kernels
from lmkit.ngram.counts import NOTHING, too_many_ngrams
from lmkit.ngram.held_out import fit_weights, no_shares
from lmkit.ngram.options import NGramOptions
from lmkit.ngram.ranges import LISTED_COUNT, LISTED_WORD, Range, RangeCounter
from lmkit.ngram.smoothing import Plan, plan, unigram_probabilities
from lmkit.ngram.trie import (
    BEGIN,
    COUNT,
    INTERNAL_COLUMNS,
    LEAF_COLUMNS,
    LOG_P,
    SUFFIX,
    WORD,
    Trie,
    read_only,
)
from lmkit.spool import Place, Spool
from lmkit.threads import in_threads, ranges

__all__ = ["bytes_in_memory", "estimate_on_disk"]

P, LINK = range(2)  # columns of what is known of a suffix


def bytes_in_memory(tokens: int, vocabulary: int, order: int) -> int:
    """Return how many bytes counting and smoothing take at most without the disk."""
    columns = sum(INTERNAL_COLUMNS for _ in range(2, order)) + LEAF_COLUMNS
    return tokens * (26 + 4 * columns) + vocabulary * (4 * INTERNAL_COLUMNS + 32)


def estimate_on_disk(
    ids: np.ndarray,
    counts: np.ndarray,
    options: NGramOptions,
    excluded: np.ndarray,
    memory: int,
    held_out: np.ndarray | None = None,
    report: Callable[[str, int], None] | None = None,
) -> tuple[Trie, dict]:
    """Count and smooth in bounded memory; the trie and the facts are those of `lmkit.ngram.smoothing.estimate`.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
        The text, `</s>` at the end of each sentence; memory-mapped, or not.
    counts : ndarray of int64, shape (V,)
        How often each id stands in it.
    excluded : ndarray of uint8, shape (V,)
        Words that are dropped with all their n-grams; empty for none.
    memory : int
        Bytes to work in, besides a few arrays of the size of the vocabulary.
    held_out : ndarray of int32, optional
        The text on which Jelinek-Mercer smoothing finds its weights.
    report : callable, optional
        Called with a phase that is done, and how many there are.

    Returns
    -------
    trie : Trie
        Memory-mapped from temporary files without names.
    facts : dict

    Warns
    -----
    LmkitWarning
        The corpus yields no discounts for some order.

    Raises
    ------
    CorpusError
        The temporary files find no room, the memory is too small, or the corpus does not support the estimator.
    """
    with contextlib.ExitStack() as spools:
        counter = RangeCounter(ids, counts, options, excluded, memory, spools.enter_context(Spool(options.temp)))
        steps = len(counter.bounds) * options.order

        def progress(phase: str, r: int) -> None:
            if report:
                report(f"{phase} on disk, {r + 1} of {len(counter.bounds)}", steps)

        found, seen = counter.count_all(lambda r: progress("counting", r))
        words = sum(part.kept[1] for part in found) - 1
        weights = _weights(counter, found, words, held_out) if options.holds_out else None
        made = plan(seen, words, options, weights)
        return _Estimation(counter, found, made, spools).trie(progress), made.facts


def _weights(counter: RangeCounter, found: list[Range], words: int, held_out: np.ndarray | None) -> list[np.ndarray]:
    """Return the weights of Jelinek and Mercer."""
    shares, buckets = no_shares(held_out, counter.order)
    for part in found:
        trie = _count_trie(counter, part)
        ngram_estimation.held_out_shares(read_only(held_out), part.low, part.high, *trie, shares, buckets)
    return fit_weights(shares, buckets, words)


def _count_trie(counter: RangeCounter, part: Range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a range as a trie of counts by itself, and the sum of the counts behind each context."""
    order, lists, firsts = counter.order, counter.lists, np.cumsum([0, *part.sizes])
    nodes = np.zeros((firsts[order] + 1, INTERNAL_COLUMNS), np.uint32)
    leaves = np.zeros((part.sizes[order], LEAF_COLUMNS), np.uint32)
    nodes[0, BEGIN] = 1
    nodes[1 : firsts[2], WORD] = np.arange(part.low, part.high)
    nodes[1 : firsts[2], COUNT] = counter.counts[part.low : part.high]
    totals = np.zeros(firsts[order], np.int64)
    totals[0] = counter.counts.sum()
    for k in range(2, order + 1):
        listed, begins = lists.get(part.listed[k]), lists.get(part.begins[k - 1])
        records = leaves if k == order else nodes[firsts[k] : firsts[k + 1]]
        records[:, WORD], records[:, COUNT] = listed.T
        nodes[firsts[k - 1] : firsts[k] + 1, BEGIN] = firsts[k] + begins
        sums = np.concatenate([[0], np.cumsum(listed[:, LISTED_COUNT], dtype=np.int64)])[begins]
        totals[firsts[k - 1] : firsts[k]] = np.diff(sums)
    return nodes, leaves, totals


class _Estimation:
    """From counted ranges to a trie of probabilities."""

    def __init__(self, counter: RangeCounter, found: list[Range], made: Plan, spools: contextlib.ExitStack):
        self.counter, self.found, self.made, self.spools = counter, found, made, spools
        self.options, self.lists, self.order = counter.options, counter.lists, counter.order

    def spool(self) -> Spool:
        return self.spools.enter_context(Spool(self.options.temp))

    def trie(self, progress: Callable[[str, int], None]) -> Trie:
        """Fill the levels from the shortest up, and write the trie."""
        excluded, counts = self.counter.excluded, self.counter.unigram_counts
        kept_words = excluded == 0 if excluded.size else np.ones(len(counts), bool)
        new_words = np.append(np.cumsum(kept_words) - 1, 0).astype(np.uint32)  # one more for the row behind the last
        unigrams = unigram_probabilities(counts, excluded, self.options, self.made)
        words = np.zeros((len(counts) + 1, INTERNAL_COLUMNS), np.uint32)
        words[:, WORD] = np.arange(len(words))
        words.view(np.float32)[:-1, LOG_P] = unigrams
        out = _Output([self.spool() for _ in range(3)], self.found, self.lists, new_words, self.options)
        if self.options.keeps_counts:
            out.counts.put(np.append(0, self.counter.counts[kept_words]).astype(np.uint32))

        known = np.empty((len(counts), 2), np.uint32)  # of the words as suffixes
        known[:, P] = words[:-1, LOG_P]
        for part in self.found:
            has_children = np.diff(self.lists.get(part.kept_begins[1])) > 0
            known[part.low : part.high, LINK] = np.where(has_children, 1 + new_words[part.low : part.high], 0)
        before, sent, records = self.spool(), [], []
        for k in range(2, self.order + 1):
            with before:  # what the level before has left
                after, sending, written = self.spool(), [], []
                for r, part in enumerate(self.found):
                    listed = self.lists.get(part.listed[k])
                    if k == 2:
                        contexts, suffixes = words[part.low : part.high + 1].copy(), known[listed[:, LISTED_WORD]]
                    else:
                        contexts = before.get(records[r]).copy()
                        suffixes = self._join(k, part, [before.get(places[r]) for places in sent])
                    children = self._fill(k, part, listed, contexts, suffixes)
                    out.write(k - 1, r, contexts)
                    if self.options.keeps_counts:
                        out.write_counts(k, r, self.lists.get(part.occurrences[k]))
                    if k == self.order:
                        out.write(k, r, children)
                    else:
                        sending.append(self._send(k, part, children, out.number(k, r), after))
                        written.append(after.put(children))
                    progress(f"{k}-grams", r)
            before, sent, records = after, sending, written
        return out.trie(unigrams[kept_words])

    def _join(self, k: int, part: Range, sent: list[np.ndarray]) -> np.ndarray:
        """Return what is known of the suffix of each k-gram of a range, uint32 (m, 2), from what each range sent."""
        cursors = np.cumsum([0, *map(len, sent)])[:-1]
        seconds = self.counter.range_of[self.lists.get(part.listed[2])[:, LISTED_WORD]]
        suffixes = np.empty((part.sizes[k], 2), np.uint32)
        kernels.join(seconds, self.lists.get(part.descendants[k]), np.concatenate(sent), cursors, suffixes)
        return suffixes

    def _fill(self, k, part: Range, listed, contexts, suffixes) -> np.ndarray:
        """Estimate the k-grams of a range and return their records; of the contexts, the weights are written."""
        top = k == self.order
        children = np.zeros((len(listed) + (not top), LEAF_COLUMNS if top else INTERNAL_COLUMNS), np.uint32)
        own = children[: len(listed)]
        own[:, WORD], own[:, COUNT] = listed.T
        own[:, SUFFIX] = np.arange(len(listed))  # rows of `suffixes`
        contexts[:, BEGIN] = self.lists.get(part.begins[k - 1])
        dropped = self.lists.get(part.dropped[k]).copy() if self.options.drops else NOTHING
        threads = self.options.threads
        self.made.fill(k, contexts, (0, len(contexts) - 1), children, dropped, suffixes, P, threads)
        own[:, SUFFIX] = suffixes[:, LINK]
        return children

    def _send(self, k, part: Range, children, number: int, after: Spool) -> list[Place]:
        """Write what is known of the k-grams of a range for those that they are the suffixes of, range by range.

        A link leads to the n-gram if it is a context, else where its own link leads.
        """
        begins = self.lists.get(part.kept_begins[k])
        numbers = number + np.arange(len(begins) - 1, dtype=np.uint32)
        if self.options.drops:
            kept = self.lists.get(part.dropped[k]) == 0
            numbers = (number + np.cumsum(kept) - 1).astype(np.uint32)
        known = np.empty((len(begins) - 1, 2), np.uint32)
        known[:, P] = children[:-1, LOG_P]
        known[:, LINK] = np.where(np.diff(begins) > 0, numbers, children[:-1, SUFFIX])
        suffixes, threads = self.lists.get(part.suffixes[k]), self.options.threads
        sent = np.empty((len(suffixes), 2), np.uint32)
        in_threads(threads, kernels.gather, [(known, suffixes, b, e, sent) for b, e in ranges(0, len(sent), threads)])
        return [after.put(sent[b:e]) for b, e in itertools.pairwise(part.shares[k].tolist())]


class _Output:
    """The arrays of a trie, written from the front: level by level, range by range."""

    def __init__(
        self, spools: list[Spool], found: list[Range], lists: Spool, new_words: np.ndarray, options: NGramOptions
    ):
        self.nodes, self.leaves, self.counts = spools
        self.found, self.lists, self.new_words = found, lists, new_words
        self.drops, self.threads = options.drops, options.threads
        self.sizes = [1, *(sum(part.kept[k] for part in found) for k in range(1, len(found[0].kept)))]
        if sum(self.sizes) >= 2**32:
            raise too_many_ngrams(sum(self.sizes))
        root = np.zeros((1, INTERNAL_COLUMNS), np.uint32)
        root[0, BEGIN] = 1
        self.nodes.put(root)

    def number(self, k: int, r: int) -> int:
        """Return the number of the first k-gram of a range."""
        return sum(self.sizes[:k]) + sum(part.kept[k] for part in self.found[:r])

    def write(self, k: int, r: int, records: np.ndarray) -> None:
        """Write the finished k-grams of a range."""
        part, top = self.found[r], k == len(self.sizes) - 1
        if not top:
            records[:, BEGIN] = self.lists.get(part.kept_begins[k]) + np.uint32(self.number(k + 1, r))
        records = self._kept(k, part, records)
        if self.drops:
            records[:, WORD] = self.new_words[records[:, WORD]]
        kept = len(records) - (not top)
        jobs = [(b, e, records, not top) for b, e in ranges(0, kept, self.threads)]
        in_threads(self.threads, ngram_estimation.take_logs, jobs)
        (self.leaves if top else self.nodes).put(records[:kept])

    def write_counts(self, k: int, r: int, counts: np.ndarray) -> None:
        """Write how often the k-grams of a range were seen."""
        self.counts.put(self._kept(k, self.found[r], counts))

    def _kept(self, k, part, rows):
        """Return the rows of what is kept, and those behind all of it."""
        if not self.drops:
            return rows
        kept = self.lists.get(part.dropped[k]) == 0
        return rows[np.append(kept, np.ones(len(rows) - len(kept), bool))]

    def trie(self, unigrams: np.ndarray) -> Trie:
        """Return what was written, memory-mapped."""
        last = np.zeros((1, INTERNAL_COLUMNS), np.uint32)
        last[0, BEGIN] = sum(self.sizes)
        self.nodes.put(last)
        sizes = tuple(self.sizes)
        return Trie(
            self.nodes.whole((sum(sizes[:-1]) + 1, INTERNAL_COLUMNS), np.uint32),
            self.leaves.whole((sizes[-1], LEAF_COLUMNS), np.uint32),
            ngram_estimation.alias_table(unigrams),
            self.counts.whole((sum(sizes) if self.counts.size else 0,), np.uint32),
            sizes,
        )
