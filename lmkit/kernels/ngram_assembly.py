"""A trie from n-grams that come in any order, level by level. Records: see `lmkit.ngram.trie`."""

import numpy as np

from lmkit.kernels import helper, kernel
from lmkit.kernels.ngram_walk import find_child

__all__ = ["fill_blanks", "find_prefixes", "link_suffixes", "place_children", "skip_leaves", "sum_masses"]

_FULL = 4294967295.0


@helper
def find_node(nodes, leaves, grams, row, first, last):
    """Return the node of the words grams[row, first:last], 0 if there is none."""
    node = np.int64(0)
    for j in range(first, last):
        node = find_child(nodes, leaves, np.int64(nodes[node, 4]), np.int64(nodes[node + 1, 4]), grams[row, j])
        if node == 0:
            break
    return node


@kernel
def find_prefixes(nodes, leaves, grams, begin, end, parents):
    """Write the node of each k-gram without its last word, 0 where there is none; the levels below k are complete."""
    for i in range(begin, end):
        parents[i] = find_node(nodes, leaves, grams, i, 0, grams.shape[1] - 1)


@kernel
def place_children(nodes, first, end, parents, first_child):
    """Write where the children of the nodes [first, end) begin; `parents` (m,) climb."""
    i = 0
    for c in range(first, end):
        while i < parents.size and parents[i] < c:
            i += 1
        nodes[c, 4] = first_child + i


@kernel
def link_suffixes(nodes, leaves, grams, begin, end, records, row):
    """Write the node of the longest proper suffix of each k-gram that is there; records[row + i] is that of gram i."""
    k = grams.shape[1]
    for i in range(begin, end):
        suffix = np.int64(0)
        for j in range(1, k):
            suffix = find_node(nodes, leaves, grams, i, j, k)
            if suffix:
                break
        records[row + i, 1] = suffix


@kernel
def fill_blanks(nodes, leaves, order, blanks, grams, records, row):
    """Give n-grams of one level that are there as contexts alone the probability they have by backing off.

    Parameters
    ----------
    blanks : array of int64
        Which of the level's n-grams; the levels below are complete.
    """
    node_floats, floats = nodes.view(np.float32), records.view(np.float32)
    k = grams.shape[1]
    for b in blanks:
        word, weight = grams[b, k - 1], 0.0
        c = find_node(nodes, leaves, grams, b, 0, k - 1)
        for _ in range(order):
            weight += node_floats[c, 5]
            c = np.int64(nodes[c, 1])
            found = find_child(nodes, leaves, np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4]), word)
            if found:
                floats[row + b, 2] = weight + node_floats[found, 2]
                break


@kernel
def sum_masses(begin, end, nodes, children, offset):
    """Write the sums of the probabilities of the children of the contexts [begin, end), up to each; none is over 1."""
    floats = children.view(np.float32)
    for c in range(begin, end):
        mass = 0.0
        for i in range(np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset):
            mass += np.exp(np.float64(floats[i, 2]))
            children[i, 3] = np.uint32(min(mass * 4294967296.0, _FULL))


@kernel
def skip_leaves(begin, end, nodes, records, offset):
    """Let the links of the nodes [begin, end) skip suffixes that have neither children nor a weight.

    The levels below are done.
    """
    for x in range(begin, end):
        suffix = records[x - offset, 1]
        if nodes[suffix, 4] == nodes[suffix + 1, 4] and nodes[suffix, 5] == 0:
            records[x - offset, 1] = nodes[suffix, 1]
