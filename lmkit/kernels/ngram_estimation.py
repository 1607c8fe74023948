"""From counts to probabilities, a level of the trie at a time. Columns of the records: see `lmkit.ngram.trie`.

Until `finish` takes logarithms, column 2 of a node holds float32 bits of a probability and column 5 those of gamma; the
children of a context still hold their counts in column 2 when its kernel begins, and probabilities when it ends.
"""

import numpy as np

from lmkit.kernels import kernel
from lmkit.kernels.memory import prefetch

__all__ = ["add_k", "alias_table", "counts_of_counts", "finish", "modified_kneser_ney"]

_FULL = 4294967295.0
_AHEAD = 24  # records between asking for a cache line and using it


@kernel
def counts_of_counts(records):
    """Return how many n-grams have the (adjusted) count 0, 1, 2, 3 and 4: int64 (5,)."""
    found = np.zeros(5, np.int64)
    for i in range(records.shape[0]):
        if records[i, 2] < 5:
            found[records[i, 2]] += 1
    return found


@kernel
def modified_kneser_ney(begin, end, nodes, children, offset, dropped, discounts):
    """Estimate the children of the contexts [begin, end); row = child - offset in `children` and `dropped`.

        p(w | c) = (a(c w) - D(a(c w))) / a(c .) + gamma(c) p(w | suffix(c)),
        gamma(c) = (D1 N1(c) + D2 N2(c) + D3 N3+(c) + a(dropped children)) / a(c .)

    Chen and Goodman (1998), equations 20 to 24; the mass of dropped children goes to gamma, as in lmplz.
    """
    floats, found = nodes.view(np.float32), children.view(np.float32)
    for c in range(begin, end):
        first, last = np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset
        total, kept = 0.0, 0.0
        for i in range(first, last):
            count = children[i, 2]
            total += count
            if not (dropped.size and dropped[i]):
                kept += max(count - discounts[min(count, 3)], 0.0)
        gamma = (total - kept) / total if total > 0.0 else 1.0
        floats[c, 5] = gamma
        mass = 0.0
        for i in range(first, last):
            share = 0.0
            if not (dropped.size and dropped[i]):
                share = max(children[i, 2] - discounts[min(children[i, 2], 3)], 0.0) / total
            mass += share
            children[i, 3] = np.uint32(min(mass * 4294967296.0, _FULL))
            if i + _AHEAD < children.shape[0]:
                prefetch(nodes, np.int64(children[i + _AHEAD, 1]) * 6)
            found[i, 2] = share + gamma * floats[children[i, 1], 2]


@kernel
def add_k(begin, end, nodes, children, offset, dropped, k, vocabulary_size):
    """Estimate the children of the contexts [begin, end) by p(w | c) = (count(c w) + k) / (count(c .) + k V).

    Lidstone (1920); k = 0 is maximum likelihood. gamma(c) = k V / (count(c .) + k V) is what all words share equally.
    """
    gammas, found = nodes.view(np.float32), children.view(np.float32)
    for c in range(begin, end):
        first, last = np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset
        total = 0.0
        for i in range(first, last):
            if not (dropped.size and dropped[i]):
                total += children[i, 2]
        if total == 0.0:
            gammas[c, 5] = 1.0
            continue
        total += k * vocabulary_size
        gammas[c, 5] = k * vocabulary_size / total
        mass = 0.0
        for i in range(first, last):
            if not (dropped.size and dropped[i]):
                mass += children[i, 2]
                children[i, 3] = np.uint32(min(mass / total * 4294967296.0, _FULL))
                found[i, 2] = (children[i, 2] + k) / total
            else:
                children[i, 3] = np.uint32(min(mass / total * 4294967296.0, _FULL))


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
        floats[row, 2] = np.log(floats[row, 2])
        if internal:
            if nodes[x, 4] == nodes[x + 1, 4]:
                gammas[x, 5] = 0.0
            else:
                gammas[x, 5] = np.log(gammas[x, 5])
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
