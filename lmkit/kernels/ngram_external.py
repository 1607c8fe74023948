"""Counting n-grams in pieces that wait on the disk: see `lmkit.ngram.external`.

A window is what a position of a text stands for, one word more to the left: (left neighbour, or -1 behind a sentence's
start; first word; ...; n-th word); behind a `</s>` there is nothing but `</s>`.
"""

import numpy as np

from lmkit.kernels import kernel
from lmkit.kernels.memory import atomic_increment, prefetch

__all__ = ["by_left", "gather", "join", "left_neighbours", "left_words", "lengths_of_windows", "list_level", "windows"]

BOS, EOS = 1, 2  # as in lmkit.model; a test compares them
BACK = 2  # words before a position that its window holds
_AHEAD = 32  # elements between asking for a cache line and using it


@kernel
def windows(ids, ranges, out):
    """Write the windows of as many positions as `out` has rows, those of a range of first words together.

    Parameters
    ----------
    ids : array of int32
        With BACK words before the first position (at a text's start `</s>`), and n - 2 behind the last.
    ranges : array of int32, shape (V,)
        The range of each first word.
    out : array of int32, shape (windows, n + 1)

    Returns
    -------
    array of int64, shape (R + 1,)
        Where the windows of each range begin, and the end.
    """
    n, end = out.shape[1] - 1, BACK + out.shape[0]
    starts = np.zeros(ranges.max() + 2, np.int64)
    for p in range(BACK, end):
        starts[ranges[BOS if ids[p - 1] == EOS else ids[p - 1]] + 1] += 1
    for r in range(1, starts.size):
        starts[r] += starts[r - 1]
    cursors = starts.copy()
    for p in range(BACK, end):
        behind_end = ids[p - 1] == EOS
        first = BOS if behind_end else ids[p - 1]
        row = cursors[ranges[first]]
        cursors[ranges[first]] += 1
        out[row, 0] = -1 if behind_end else (BOS if ids[p - 2] == EOS else ids[p - 2])
        out[row, 1] = first
        word = 0
        for j in range(n - 1):
            word = EOS if word == EOS else ids[p + j]
            out[row, 2 + j] = word
    return starts


@kernel
def lengths_of_windows(ids, ranks, begin, end, order, lengths):
    """Write the number of words in the n-gram of each position: up to `order`, or to the `</s>`."""
    for i in range(begin, end):
        if i + _AHEAD < end:
            prefetch(ids, ranks[i + _AHEAD])
        p, n = ranks[i], 2
        while n < order and ids[p + n - 2] != EOS:
            n += 1
        lengths[i] = n


@kernel
def left_words(ids, ranks, begin, end, vocabulary_size, lefts):
    """Write the left neighbour of each position's n-gram; return how often each word is one, int64 (V,)."""
    counts = np.zeros(vocabulary_size, np.int64)
    for i in range(begin, end):
        if i + _AHEAD < end:
            prefetch(ids, ranks[i + _AHEAD])
        lefts[i] = ids[ranks[i] - BACK]
        if lefts[i] >= 0:
            counts[lefts[i]] += 1
    return counts


@kernel
def by_left(lefts, low, high, starts, order):
    """Write the places of the left neighbours in [low, high), by neighbour, each one's in their order."""
    cursors = starts[low : high + 1].copy()
    for i in range(lefts.size):
        if low <= lefts[i] < high:
            order[cursors[lefts[i] - low]] = i
            cursors[lefts[i] - low] += 1


@kernel
def list_level(begin, end, node, k, ids, ranks, shared, lengths, parents, owners, begins, listed):
    """List the distinct k-grams of a range of ranks: their last words and counts, their parents' first children.

    Parameters
    ----------
    node : int
        The number of the first of them.
    parents, owners : arrays of uint32
        The (k-1)-gram, and (written) the k-gram that each rank belongs to.
    begins : array of uint32
        Of the (k-1)-grams: written where they have ranks.
    listed : array of uint32, shape (k-grams, 2)
    """
    node -= 1
    start = -1
    for i in range(begin, end):
        if i + _AHEAD < end and shared[i + _AHEAD] < k:
            prefetch(ids, ranks[i + _AHEAD] + k - 2)
        if shared[i] < k:
            if start >= 0:
                listed[node, 1] = i - start
                start = -1
            if shared[i] < k - 1 and lengths[i] >= k - 1:
                begins[parents[i]] = node + 1
            if lengths[i] >= k:
                node += 1
                start = i
                listed[node, 0] = ids[ranks[i] + k - 2]
        owners[i] = node
    if start >= 0:
        listed[node, 1] = end - start


@kernel
def left_neighbours(k, low, high, starts, order, lengths, owners, counts, found):
    """List the k-grams that each left neighbour in [low, high) precedes, and count each one's neighbours.

    Parameters
    ----------
    starts, order : arrays
        The places of each left neighbour: see `by_left`.
    owners : array of uint32
        The k-gram at each place, if its length is k or more.
    counts : array of uint32, shape (k-grams, 2)
        One is added in column 1 for each distinct left neighbour.
    found : array of uint32
        Written from starts[low] on: k-grams, in the order of the (k+1)-grams that they are the suffixes of.

    Returns
    -------
    int
        How many.
    """
    at = starts[low]
    for left in range(low, high):
        before = -1
        for j in range(starts[left], starts[left + 1]):
            if j + _AHEAD < starts[high]:
                prefetch(owners, order[j + _AHEAD])
                prefetch(lengths, order[j + _AHEAD])
            i = order[j]
            if lengths[i] >= k and owners[i] != before:
                before = owners[i]
                atomic_increment(counts, before * 2 + 1)
                found[at] = before
                at += 1
    return at - starts[low]


@kernel
def gather(values, chosen, begin, end, out):
    """Write the rows of values, uint32 (m, 2), that a range of `chosen` names."""
    for i in range(begin, end):
        if i + _AHEAD < end:
            prefetch(values, np.int64(chosen[i + _AHEAD]) * 2)
        out[i, 0] = values[chosen[i], 0]
        out[i, 1] = values[chosen[i], 1]


@kernel
def join(ranges, firsts, values, cursors, out):
    """Write what belongs to the descendants of each bigram, from the list of its second word's range.

    Parameters
    ----------
    ranges : array of int32, shape (bigrams,)
        Of each bigram's second word.
    firsts : array of uint32, shape (bigrams + 1,)
        The first descendant of each bigram.
    values : array of uint32, shape (m, 2)
        The lists of all ranges one behind the other; cursors : array of int64, where each begins; moved on.
    out : array of uint32, shape (m, 2)
    """
    for b in range(ranges.size):
        at = cursors[ranges[b]]
        n = firsts[b + 1] - firsts[b]
        for j in range(n):
            out[firsts[b] + j, 0] = values[at + j, 0]
            out[firsts[b] + j, 1] = values[at + j, 1]
        cursors[ranges[b]] = at + n
