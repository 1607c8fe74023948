"""A trie from n-grams that come in any order, level by level. Records: see `lmkit.ngram.trie`."""

import math

import numpy as np

from lmkit.kernels import helper, kernel
from lmkit.kernels.memory import prefetch
from lmkit.kernels.ngram_walk import find_child, spoken_mass

__all__ = [
    "climb",
    "fill_blanks",
    "find_prefixes",
    "link_suffixes",
    "place_children",
    "skip_leaves",
    "sort_rows",
    "sum_masses",
]

_FULL = 4294967295.0
_DIGIT = 11  # the most bits that are sorted by at once
_ROUNDING = 1e-5  # of a probability whose logarithm is a float32
_AHEAD = 32  # elements between asking for a cache line and using it


@kernel
def sort_rows(grams, bits, order, spare):
    """Return the numbers of the rows in the order of the rows: a radix sort by ids of some bits, the last digit first.

    Parameters
    ----------
    grams : array of int32, (m, k)
    order, spare : array of uint32, (m,)
        Room to work in; one of them is returned.
    """
    m, k = grams.shape
    digit = -(-bits // -(-bits // _DIGIT))
    places = np.empty(1 << digit, np.int64)
    for i in range(m):
        order[i] = i
    for j in range(k - 1, -1, -1):
        for shift in range(0, bits, digit):
            places[:] = 0
            for i in range(m):
                places[(grams[i, j] >> shift) & (places.size - 1)] += 1
            place = 0
            for d in range(places.size):
                places[d], place = place, place + places[d]
            for i in range(m):
                if i + _AHEAD < m:
                    prefetch(grams, np.int64(order[i + _AHEAD]) * k + j)
                d = (grams[order[i], j] >> shift) & (places.size - 1)
                spare[places[d]] = order[i]
                places[d] += 1
            order, spare = spare, order
    return order


@kernel
def climb(grams):
    """Return the number of the first row that is not above the one before it; of all rows if there is none."""
    for i in range(1, grams.shape[0]):
        j = 0
        while j < grams.shape[1] and grams[i, j] == grams[i - 1, j]:
            j += 1
        if j == grams.shape[1] or grams[i, j] < grams[i - 1, j]:
            return i
    return grams.shape[0]


@helper
def child_of(nodes, c, word):
    """Return the child of a context with this word, 0 if there is none; it has to be below the highest order."""
    return find_child(nodes, nodes, np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4]), word)


@kernel
def find_prefixes(nodes, grams, begin, end, parents):
    """Write the node of each k-gram without its last word, 0 where there is none; the levels below k are complete.

    What was found for the words that an n-gram shares with the one before it is kept; they come in their order.
    """
    last = grams.shape[1] - 1
    path = np.zeros(last + 1, np.int64)
    for i in range(begin, end):
        shared = 0
        while i > begin and shared < last and grams[i, shared] == grams[i - 1, shared]:
            shared += 1
        for j in range(shared, last):
            path[j + 1] = child_of(nodes, path[j], grams[i, j]) if j == 0 or path[j] else 0
        parents[i] = path[last]


@kernel
def place_children(nodes, first, end, parents, first_child):
    """Write where the children of the nodes [first, end) begin; `parents` (m,) climb."""
    i = 0
    for c in range(first, end):
        while i < parents.size and parents[i] < c:
            i += 1
        nodes[c, 4] = first_child + i


@kernel
def link_suffixes(nodes, parents, begin, end, records):
    """Write the nodes of the longest proper suffixes, of two words or more: (suffix of the parent, word), if it is
    there, else the same with the suffix of that (Aho and Corasick 1975). The levels below are complete.
    """
    for i in range(begin, end):
        c, suffix = np.int64(parents[i]), np.int64(0)
        while c and not suffix:
            c = np.int64(nodes[c, 1])
            suffix = child_of(nodes, c, np.int64(records[i, 0]))
        records[i, 1] = suffix


@kernel
def fill_blanks(nodes, blanks, parents, records):
    """Give n-grams of one level that are there as contexts alone the probability they have by backing off.

    Parameters
    ----------
    blanks : array of int64
        Which of the level's n-grams; the levels below are complete.
    """
    node_floats, floats = nodes.view(np.float32), records.view(np.float32)
    for b in blanks:
        c, found, weight = np.int64(parents[b]), np.int64(0), 0.0
        while c and not found:
            weight += node_floats[c, 5]
            c = np.int64(nodes[c, 1])
            found = child_of(nodes, c, np.int64(records[b, 0]))
        floats[b, 2] = weight + node_floats[found, 2]


@kernel
def sum_masses(begin, end, nodes, children, offset):
    """Write the masses of the children of the contexts [begin, end), each summed up with those before it.

    Where every child has at least what backing off would give it, as in an interpolated model, its mass is what it has
    beyond that, and all of them have 1 - gamma: then whatever is drawn from the shorter context will do. Else the
    masses are the probabilities, and the shorter context may name no child: see `refuses`.
    """
    floats, node_floats = children.view(np.float32), nodes.view(np.float32)
    for c in range(begin, end):
        first, last = np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset
        spoken = max(1.0 - math.exp(np.float64(node_floats[c, 5])), 0.0)
        total, interpolated = 0.0, True
        for i in range(first, last):
            p, lower = math.exp(np.float64(floats[i, 2])), math.exp(by_backing_off(nodes, c, children[i, 1]))
            interpolated = interpolated and p >= lower * (1 - _ROUNDING)
            floats[i, 3] = max(p - lower, 0.0)
            total += floats[i, 3]
        interpolated = interpolated and abs(total - spoken) <= _ROUNDING
        mass, most = 0.0, spoken_mass(nodes, c)
        for i in range(first, last):
            if interpolated:
                mass += floats[i, 3]
                children[i, 3] = np.uint32(min(mass / total * most, most)) if total > 0 else 0
            else:
                mass += math.exp(np.float64(floats[i, 2]))
                children[i, 3] = np.uint32(min(mass * 4294967296.0, _FULL))


@helper
def by_backing_off(nodes, c, suffix):
    """Return log p of a word by backing off from a context: `suffix` is the longest part of both that is an n-gram.

    Links may not skip anything yet.
    """
    floats, suffix = nodes.view(np.float32), np.int64(suffix)
    weight, c = np.float64(floats[c, 5]), np.int64(nodes[c, 1])
    while c and not nodes[c, 4] <= suffix < nodes[c + 1, 4]:
        weight += floats[c, 5]
        c = np.int64(nodes[c, 1])
    return weight + floats[suffix, 2]


@kernel
def skip_leaves(begin, end, nodes, records, offset):
    """Let the links of the nodes [begin, end) skip suffixes that have neither children nor a weight.

    The levels below are done.
    """
    for x in range(begin, end):
        suffix = records[x - offset, 1]
        if nodes[suffix, 4] == nodes[suffix + 1, 4] and nodes[suffix, 5] == 0:
            records[x - offset, 1] = nodes[suffix, 1]
