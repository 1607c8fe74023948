"""From counts to probabilities, a level of the trie at a time. Columns of the records: see `lmkit.ngram.trie`.

Until `finish` takes logarithms, column 2 of a node holds float32 bits of a probability and column 5 those of gamma; the
children of a context still hold their counts in column 2 when its kernel begins, and probabilities when it ends.
"""

import numpy as np

from lmkit.kernels import helper, kernel
from lmkit.kernels.memory import prefetch
from lmkit.kernels.ngram_walk import find_child, record

__all__ = [
    "BACKING_OFF", "INTERPOLATED", "SCORED", "UNIFORM", "alias_table", "context_totals", "counts_of_counts",
    "fill_level", "finish", "held_out_shares", "take_logs",
]  # fmt: skip

BOS, EOS = 1, 2  # as in lmkit.model; a test compares them
INTERPOLATED, BACKING_OFF, UNIFORM, SCORED = range(4)
NOTHING = 1e-7  # probability that is nothing but rounding: of float32 numbers many were summed
_FULL = 4294967295.0
_AHEAD = 24  # records between asking for a cache line and using it


@kernel
def counts_of_counts(records, column, size):
    """Return how many n-grams have the (adjusted) count 0, 1, ... size - 1: int64 (size,)."""
    found = np.zeros(size, np.int64)
    for i in range(records.shape[0]):
        if records[i, column] < size:
            found[records[i, column]] += 1
    return found


@kernel
def fill_level(
    begin, end, nodes, children, offset, dropped, shorter, column,
    way, discounts, types_weight, spread, weights, constant,
):  # fmt: skip
    """Estimate the children of the contexts [begin, end); row = child - offset in `children` and `dropped`.

    The formulas are those of `lmkit.ngram.estimators`.

    Parameters
    ----------
    shorter : array of uint32, shape (m, columns)
        Holds p(w | s(c)) in a column, in the row that column 1 of a child names: of the trie, or of a list.
    way : int
        What becomes of what a context leaves: INTERPOLATED or BACKING_OFF with the shorter context, whose
        probabilities are there already; UNIFORM: every word gets `constant` of it; SCORED: nothing, and shorter
        contexts count `constant` times (stupid back-off).
    discounts : array of float64
        For counts 0, 1, ...; the last for all larger ones.
    types_weight, spread : float
        For each different word, and once: what is added to a context's total.
    weights : array of float64
        What shares are multiplied by, for each `bucket` of totals; empty: nothing.

    The mass of dropped children goes to what is left, as in lmplz; where there is no shorter context to have it, they
    count as never seen.
    """
    floats, lower_p, found = nodes.view(np.float32), shorter.view(np.float32), children.view(np.float32)
    largest = discounts.size - 1
    alone = way >= UNIFORM
    for c in range(begin, end):
        first, last = np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset
        total, types, kept, lower = 0.0, 0, 0.0, 0.0
        for i in range(first, last):
            count = children[i, 2]
            gone = dropped.size > 0 and dropped[i] != 0
            if not (gone and alone):
                total += count
                types += 1
            if not gone:
                kept += max(count - discounts[min(count, largest)], 0.0)
                if way == BACKING_OFF:
                    lower += lower_p[children[i, 1], column]
        if total == 0.0:
            floats[c, 5] = constant if way == SCORED else 1.0
            for i in range(first, last):
                children[i, 3] = 0
                found[i, 2] = 0.0
            continue
        divisor = total + types_weight * types + spread
        if way == BACKING_OFF and kept >= divisor * (1 - NOTHING) and lower < 1 - NOTHING:
            divisor += 1.0  # no discount bit: unseen words come once (Doug Paul's rule, as in SRILM)
        weight = weights[bucket(total)] if weights.size else 1.0
        left = max((divisor - weight * kept) / divisor, 0.0)  # a weight may be one, but for rounding
        weight /= divisor
        follow = way == INTERPOLATED
        if way == SCORED:
            left = constant
        elif way == BACKING_OFF and kept == 0.0:  # counts that are all taken off say nothing: the shorter context does
            follow = True
        elif way == BACKING_OFF and lower >= 1 - NOTHING:  # all that can come was seen
            weight, left = 1.0 / kept, 0.0
        elif way == BACKING_OFF:
            left /= 1.0 - lower
        floats[c, 5] = left
        mass = 0.0
        for i in range(first, last):
            share = 0.0
            if not (dropped.size > 0 and dropped[i] != 0):
                share = max(children[i, 2] - discounts[min(children[i, 2], largest)], 0.0) * weight
            mass += share
            children[i, 3] = np.uint32(min(mass * 4294967296.0, _FULL))
            if follow:
                if i + _AHEAD < children.shape[0]:
                    prefetch(shorter, np.int64(children[i + _AHEAD, 1]) * shorter.shape[1])
                share += left * lower_p[children[i, 1], column]
            elif way == UNIFORM:
                share += left * constant
            found[i, 2] = share


@helper
def bucket(total):
    """Return floor(log2(total)): contexts seen about as often share a weight."""
    n, found = np.int64(total), 0
    while n > 1:
        n >>= 1
        found += 1
    return found


@kernel
def context_totals(begin, end, nodes, children, offset, totals):
    """Write the sum of the counts of the children of the contexts [begin, end)."""
    for c in range(begin, end):
        total = np.int64(0)
        for i in range(np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset):
            total += children[i, 2]
        totals[c] = total


@kernel
def held_out_shares(ids, low, high, nodes, leaves, totals, shares, buckets):
    """For each token of a text and each n, write its share n(c w) / n(c .) after the n - 1 tokens before it.

    Only n-grams that begin with the words [low, high) are looked for, which may be all that the trie has.

    Parameters
    ----------
    ids : array of int32, (T,), `</s>` at the end of each sentence
    nodes, leaves : a trie that holds counts
    totals : array of int64
        n(c .) of each context.
    shares : array of float64, (T, order)
        0 where nothing is found.
    buckets : array of int8, (T, order)
        Of the total; -1 where the context was never seen, or would begin before the sentence.
    """
    before = 0
    for p in range(ids.size):
        for n in range(min(shares.shape[1], before + 2)):  # words of context
            first = ids[p] if n == 0 else (ids[p - n] if n <= before else np.int32(BOS))
            if not low <= first < high:
                continue
            c = np.int64(0)
            for j in range(p - n, p):
                word = ids[j] if j >= p - before else np.int32(BOS)
                c = find_child(nodes, leaves, np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4]), word)
                if c == 0:
                    break
            if (n and c == 0) or totals[c] == 0:
                continue
            buckets[p, n] = bucket(totals[c])
            child = find_child(nodes, leaves, np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4]), ids[p])
            if child:
                shares[p, n] = record(nodes, leaves, child, 2) / totals[c]
        before = 0 if ids[p] == EOS else before + 1


@helper
def _take_log(floats, nodes, gammas, row, x, internal):
    """Take logarithms of one record; gamma of a node without children is 1, whatever stands there."""
    floats[row, 2] = np.log(floats[row, 2])
    if internal:
        gammas[x, 5] = 0.0 if nodes[x, 4] == nodes[x + 1, 4] else np.log(gammas[x, 5])


@kernel
def take_logs(begin, end, records, internal):
    """Take logarithms of a range of records; internal nodes are followed by one more, which closes the last range."""
    floats = records.view(np.float32)
    for x in range(begin, end):
        _take_log(floats, records, floats, x, x, internal)


@kernel
def finish(begin, end, nodes, records, offset, internal):
    """Take logarithms of the nodes [begin, end) and let their links skip suffixes that are no context.

    A node without children adds log 1 = 0 and leads on to its own suffix: going there at once gives the same numbers.
    The levels below must be finished before.
    """
    floats = records.view(np.float32)
    gammas = nodes.view(np.float32)
    for x in range(begin, end):
        row = x - offset
        if row + _AHEAD < records.shape[0]:
            prefetch(nodes, np.int64(records[row + _AHEAD, 1]) * 6 + 4)
        _take_log(floats, nodes, gammas, row, x, internal)
        suffix = records[row, 1]
        if nodes[suffix, 4] == nodes[suffix + 1, 4]:
            records[row, 1] = nodes[suffix, 1]


@kernel
def alias_table(p):
    """Build Walker's (1977) alias table of a distribution, by Vose's (1991) linear method: uint32 (V, 2).

    Roll a column i evenly and a 32-bit number u: the outcome is i where u < table[i, 0], else table[i, 1].
    """
    v = p.size
    table = np.empty((v, 2), np.uint32)
    total = 0.0
    for i in range(v):
        total += p[i]
    scaled = np.empty(v, np.float64)
    queue = np.empty(v, np.int64)  # short columns grow from the front, tall ones from the back
    short, tall = 0, v
    for i in range(v):
        scaled[i] = p[i] * (v / total)
        if scaled[i] < 1.0:
            queue[short] = i
            short += 1
        else:
            tall -= 1
            queue[tall] = i
    while short > 0 and tall < v:
        short -= 1
        a, b = queue[short], queue[tall]
        table[a, 0], table[a, 1] = np.uint32(min(scaled[a] * 4294967296.0, _FULL)), b
        scaled[b] -= 1.0 - scaled[a]
        if scaled[b] < 1.0:
            tall += 1
            queue[short] = b
            short += 1
    for i in range(short):  # left over by rounding alone: full columns
        table[queue[i], 0], table[queue[i], 1] = np.uint32(0xFFFFFFFF), queue[i]
    for i in range(tall, v):
        table[queue[i], 0], table[queue[i], 1] = np.uint32(0xFFFFFFFF), queue[i]
    return table
