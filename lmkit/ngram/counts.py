"""From the ids of a text to the n-grams of every order, in the order of the trie, with their counts.

One forward sort of all positions by (w_i, ..., w_(i+n-1)) is the trie order at every level: the distinct k-grams are
where neighbours share fewer than k words. The suffix of the k-gram at position p is the (k-1)-gram at p + 1, so the
links cost no second sort, and the adjusted count of an n-gram is the number of links that point at it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lmkit.errors import CorpusError
from lmkit.kernels import ngram_counts as kernels
from lmkit.model import BOS, EOS
from lmkit.ngram.trie import BEGIN, COUNT, INTERNAL_COLUMNS, LEAF_COLUMNS, WORD, read_only
from lmkit.threads import in_threads

__all__ = ["Levels", "Sorted", "count_ngrams", "link_levels", "sort_positions", "sort_text", "too_many_ngrams"]

NOTHING, NO_COUNTS = np.zeros(0, np.uint8), np.zeros(0, np.uint32)
MAX_TOKENS = 2**32 - 64


@dataclasses.dataclass
class Sorted:
    """The positions of a text in the order of the words that follow them.

    Attributes
    ----------
    ids : ndarray of int32, shape (T,)
        The text. Position p stands for the n-grams whose second word is ids[p].
    starts : ndarray of int64, shape (V + 1,)
        Where the n-grams with each first word begin in the sorted order.
    ranks : ndarray of uint32, shape (T,)
        The sorted positions.
    shared : ndarray of uint8, shape (T,)
        Words shared with the predecessor.
    lengths : ndarray of uint8, shape (T,)
        Words in the n-gram: n, or fewer where the sentence ends.
    room : ndarray of uint32, shape (2, T + 1)
        Memory that the sort has worked in, for who comes next: to touch new memory costs more than to use it.
    """

    ids: np.ndarray
    starts: np.ndarray
    ranks: np.ndarray
    shared: np.ndarray
    lengths: np.ndarray
    room: np.ndarray

    def cut(self, parts: int) -> list[tuple[int, int]]:
        """Cut the first words into at most `parts` ranges with about as many positions each."""
        ends = np.searchsorted(self.starts, len(self.ranks) * np.arange(1, parts + 1) / parts)
        ends[-1] = len(self.starts) - 1
        begins = np.concatenate([[0], ends[:-1]])
        return [(int(b), int(e)) for b, e in zip(begins, ends, strict=True) if b < e]

    def parts(self, parts: int) -> list[tuple[int, int]]:
        """Return the same ranges as places in the sorted order."""
        return [(int(self.starts[b]), int(self.starts[e])) for b, e in self.cut(parts)]


def sort_text(ids: np.ndarray, order: int, vocabulary_size: int, threads: int = 1) -> Sorted:
    """Sort the positions of a text (ids, `</s>` at each sentence's end) for n-grams up to an order of 2 or more."""
    if len(ids) > MAX_TOKENS:
        raise CorpusError(f"the corpus has {len(ids)} tokens; an n-gram model holds at most {MAX_TOKENS}")
    if len(ids) and ids[-1] != EOS:
        raise ValueError("the text does not end with </s>, where its last n-grams end")
    ids = read_only(np.asarray(ids, np.int32))
    text = sort_positions(ids, 0, 1, kernels.first_words(ids, vocabulary_size), order, threads)
    left = np.empty(len(ids), np.uint8)
    kernels.words_left(ids, order, left)
    in_threads(threads, kernels.measure, [(left, text.ranks, b, e, text.lengths) for b, e in text.parts(threads)])
    return text


def sort_positions(ids: np.ndarray, at: int, stride: int, starts: np.ndarray, order: int, threads: int) -> Sorted:
    """Sort the positions at, at + stride, ... of a text for n-grams; their lengths are left to the caller."""
    positions, vocabulary_size = int(starts[-1]), len(starts) - 1
    text = Sorted(
        ids, starts, *(np.empty(positions, dtype) for dtype in (np.uint32, np.uint8, np.uint8)),
        room=np.empty((2, positions + 1), np.uint32),
    )  # fmt: skip
    pairs = text.room.reshape(-1).view(np.uint64)
    bits = max(2, int(vocabulary_size - 1).bit_length())
    width = 64 // bits
    shared_width = min(width, order - 2)
    ranges = text.cut(threads)
    in_threads(
        threads,
        kernels.sort_positions,
        [(ids, at, stride, starts, b, e, shared_width, bits, pairs, text.ranks, text.shared) for b, e in ranges],
    )
    for depth in range(2 + shared_width, order, width):
        w = min(width, order - depth)
        in_threads(
            threads, kernels.refine, [(ids, starts, b, e, depth, w, bits, text.ranks, text.shared) for b, e in ranges]
        )
    return text


def count_ngrams(ids: np.ndarray, order: int, vocabulary_size: int, threads: int = 1) -> list[tuple]:
    """Count the n-grams of every order from 1 to `order`.

    Returns
    -------
    list of (ngrams, counts)
        For k = 1, 2, ...: int32 (m, k), sorted, and int64 (m,). `<s>` (id 1) stands in front of each sentence.

    >>> count_ngrams(np.array([3, 4, 2, 3, 2]), 2, 5)[1][0].tolist()
    [[1, 3], [3, 2], [3, 4], [4, 2]]
    """
    unigrams = np.bincount(ids, minlength=vocabulary_size)
    present = np.flatnonzero(unigrams)
    found = [(present[:, None].astype(np.int32), unigrams[present])]
    if order == 1:
        return found
    text = sort_text(ids, order, vocabulary_size, threads)
    for k in range(2, order + 1):
        new = np.flatnonzero(text.shared < k)  # every place where a run of equal k-grams, or what is too short, begins
        counts = np.diff(np.append(new, len(text.ranks)))
        whole = text.lengths[new] >= k
        begins, counts = new[whole], counts[whole]
        seconds = text.ranks[begins].astype(np.int64)
        grams = np.empty((len(begins), k), np.int32)
        grams[:, 0] = np.where(seconds == 0, BOS, ids[seconds - 1])
        grams[grams[:, 0] == EOS, 0] = BOS
        grams[:, 1:] = ids[seconds[:, None] + np.arange(k - 1)]
        found.append((grams, counts))
    return found


def too_many_ngrams(number: int) -> CorpusError:
    return CorpusError(f"{number} distinct n-grams; a model holds fewer than 2**32: lower --order or raise --cutoffs")


@dataclasses.dataclass
class Levels:
    """A trie whose nodes hold counts, not yet probabilities; see `lmkit.ngram.trie` for the layout.

    `sizes[k]` is the number of k-grams (sizes[0] = 1: the root), `dropped[k]` which of them fell under a cut-off.
    `occurrences`, uint32 for each node or empty, says how often each came in the text where the counts are adjusted.
    """

    nodes: np.ndarray
    leaves: np.ndarray
    sizes: list[int]
    dropped: list[np.ndarray]
    occurrences: np.ndarray = dataclasses.field(default_factory=lambda: NO_COUNTS)

    def level(self, k: int) -> np.ndarray:
        """Return the records of the k-grams, a view."""
        if k == len(self.sizes) - 1 and k > 0:
            return self.leaves
        first = sum(self.sizes[:k])
        return self.nodes[first : first + self.sizes[k]]

    def up_to(self, order: int, *, adjusted: bool) -> Levels:
        """Return a copy without longer n-grams: what `link_levels` makes of the same text for this order.

        Parameters
        ----------
        adjusted : bool
            As in `link_levels`. Where these counts are adjusted, `occurrences` must have been kept.
        """
        top, sizes = len(self.sizes) - 1, self.sizes[: order + 1]
        internal, end = sum(sizes[:-1]), sum(sizes)
        occurrences = self.occurrences[:end].copy()
        nodes = self.nodes[: internal + 1].copy()
        leaves = self.leaves.copy() if order == top else self.nodes[internal:end, :LEAF_COLUMNS].copy()
        if occurrences.size:  # the highest order is not adjusted, and no order if none is to be
            leaves[:, COUNT] = occurrences[internal:]
            if not adjusted:
                nodes[:internal, COUNT] = occurrences[:internal]
                occurrences = NO_COUNTS
        nodes[internal] = 0
        nodes[internal, BEGIN] = end
        return Levels(nodes, leaves, sizes, self.dropped[: order + 1], occurrences)


def link_levels(
    ids: np.ndarray, order: int, counts: np.ndarray, *, adjusted: bool, occurrences=False, cutoffs=None,
    excluded=NOTHING, threads=1, progress=None,
) -> Levels:  # fmt: skip
    """Count all n-grams of a text and lay them out as a trie.

    Parameters
    ----------
    ids : ndarray of int32
        The text, `</s>` at the end of each sentence.
    counts : ndarray of int64, shape (V,)
        How often each id stands in it.
    adjusted : bool
        Below the highest order, count distinct words to the left instead of occurrences (Kneser and Ney 1995), except
        for n-grams that begin with `<s>`.
    occurrences : bool
        Keep the occurrences of all n-grams beside adjusted counts.
    cutoffs : sequence of int, excluded : ndarray of uint8 (V,)
        Mark n-grams that occur no more than cutoffs[k - 1] times, or hold an excluded word.
    """
    v = len(counts)
    cutoffs = cutoffs or [0] * order
    drops = any(cutoffs) or excluded.size > 0
    if order == 1:
        leaves = np.zeros((v, LEAF_COLUMNS), np.uint32)
        leaves[:, WORD] = np.arange(v)
        leaves[:, COUNT] = counts
        nodes = np.zeros((2, INTERNAL_COLUMNS), np.uint32)
        nodes[:, BEGIN] = 1, 1 + v
        return Levels(nodes, leaves, [1, v], [NOTHING, excluded])
    text = sort_text(ids, order, v, threads)
    if progress:
        progress("sorted")
    total = len(text.ranks)
    ranges = text.parts(threads)
    per_range = np.array(
        in_threads(threads, kernels.count_levels, [(text.shared, text.lengths, b, e, order) for b, e in ranges])
    )
    sizes = [1, v, *(int(n) for n in per_range.sum(axis=0)[2:])]
    if sum(sizes) >= 2**32:
        raise too_many_ngrams(sum(sizes))
    internal = sum(sizes[:-1])
    nodes = np.zeros((internal + 1, INTERNAL_COLUMNS), np.uint32)
    leaves = np.zeros((sizes[-1], LEAF_COLUMNS), np.uint32)
    seen = np.zeros(sum(sizes), np.uint32) if adjusted and occurrences else NO_COUNTS
    if seen.size:
        seen[1 : v + 1] = counts
    nodes[0, BEGIN] = 1
    nodes[1 : v + 1, WORD] = np.arange(v)
    nodes[1 : v + 1, BEGIN] = np.iinfo(np.uint32).max
    if not adjusted:
        nodes[1 : v + 1, COUNT] = counts

    suffixes, places = text.room[0, :total], text.room[1]
    places[total] = 0  # the suffix of the very last token, which nobody will follow
    in_threads(threads, kernels.invert, [(text.ranks, b, e, places) for b, e in ranges])
    in_threads(threads, kernels.suffix_ranks, [(text.ranks, places, b, e, suffixes) for b, e in ranges])
    bos_range = int(text.starts[BOS]), int(text.starts[BOS + 1])

    parents = np.empty(total, np.uint32)
    kernels.owners(text.starts, parents)
    dropped = [NOTHING, excluded if drops and excluded.size else np.zeros(v, np.uint8) if drops else NOTHING]
    owned_buffer = places[:total]
    first = 1 + v
    for k in range(2, order + 1):
        is_top = k == order
        lower, lower_offset = (leaves, internal) if is_top else (nodes, 0)
        if is_top:
            owned_buffer = owned_buffer[:0].copy()
        dropped.append(np.zeros(sizes[k], np.uint8) if drops else NOTHING)
        firsts = first + np.concatenate([[0], np.cumsum(per_range[:, k])])
        in_threads(
            threads,
            kernels.link_level,
            [
                (
                    k, b, e, *bos_range, int(firsts[r]), text.ids, text.ranks, text.shared, text.lengths,
                    suffixes, parents, owned_buffer,
                    nodes, lower, lower_offset, adjusted,
                    not adjusted or is_top, seen, cutoffs[k - 1], first - sizes[k - 1], dropped[k - 1], excluded,
                    dropped[k][firsts[r] - first : firsts[r + 1] - first],
                )
                for r, (b, e) in enumerate(ranges)
            ],
        )  # fmt: skip
        if k == 2:
            text.ranks = text.ranks[:0].copy()  # gives the memory back
            begins = nodes[1 : v + 1, BEGIN]
            begins[:] = np.minimum.accumulate(np.append(begins, first + sizes[2])[::-1])[::-1][:-1]
        if not is_top:
            parents, owned_buffer = owned_buffer, parents
        first += sizes[k]
        if progress:
            progress(f"{k}-grams")
    nodes[internal, BEGIN] = first
    return Levels(nodes, leaves, sizes, dropped, seen)
