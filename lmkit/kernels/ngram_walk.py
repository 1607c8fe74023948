"""Steps through a trie of n-grams that its queries and its sampler share. Records: see `lmkit.ngram.trie`.

The arrays may come from a damaged file: what is read from them is clamped before it is used as an index.
"""

import math

import numpy as np

from lmkit.kernels import helper
from lmkit.kernels.memory import prefetch

__all__ = [
    "ask_context",
    "ask_range",
    "children",
    "find_child",
    "first_child",
    "narrow",
    "node_with_children",
    "record",
    "refuses",
    "spoken_mass",
    "state_after",
    "state_of",
]

EOS = 2  # as in lmkit.model; a test compares them
_WHOLE = 4294967296.0
DIRECT = 16  # so few neighbours are read one by one: they share pages, and what costs is to find a page


@helper
def children(nodes, leaves, c):
    """Return the range of children of context c, clamped to one level's array; the root is nobody's child."""
    internal = nodes.shape[0] - 1
    low, high = max(np.int64(nodes[c, 4]), 1), np.int64(nodes[c + 1, 4])
    high = min(high, internal if low < internal else internal + leaves.shape[0])
    return low, high


@helper
def node_with_children(nodes, node):
    """Return the node itself where it has children or a weight, else the context its link leads to; clamped."""
    node = min(np.int64(node), nodes.shape[0] - 2)
    if nodes[node, 4] == nodes[node + 1, 4] and nodes[node, 5] == 0:
        return min(np.int64(nodes[node, 1]), nodes.shape[0] - 2)
    return node


@helper
def spoken_mass(nodes, c):
    """Return 1 - gamma of a context as a mass, a fraction of 2**32: with that it speaks itself if it interpolates."""
    return min(max((1.0 - math.exp(np.float64(nodes.view(np.float32)[c, 5]))) * _WHOLE, 0.0), _WHOLE - 1)


@helper
def refuses(nodes, leaves, c, low, high):
    """Return whether a context takes from the shorter one only what is none of its children, [low, high).

    They then have all of their probability as mass, not 1 - gamma.
    """
    return low < high and abs(record(nodes, leaves, high - 1, 3) - spoken_mass(nodes, c)) > 1


@helper
def find_child(nodes, leaves, low, high, word):
    """Return the child in [low, high) with this word, or 0, which is nobody's child."""
    internal = nodes.shape[0] - 1
    while low < high:
        middle = (low + high) >> 1
        found = np.int64(nodes[middle, 0] if middle < internal else leaves[middle - internal, 0])
        if found == word:
            return middle
        if found < word:
            low = middle + 1
        else:
            high = middle
    return np.int64(0)


@helper
def record(nodes, leaves, node, column):
    """Return one number of a node's or a leaf's record; 0 word and 3 mass climb among the children of a context."""
    internal = nodes.shape[0] - 1
    return np.int64(nodes[node, column] if node < internal else leaves[node - internal, column])


@helper
def ask_context(nodes, c):
    """Ask for what `children` reads: two cache lines more often than one."""
    prefetch(nodes, c * 6 + 1)
    prefetch(nodes, c * 6 + 10)


@helper
def ask_range(nodes, leaves, low, high):
    """Ask for what `narrow` will read of [low, high), or, where that is little, for all of it."""
    internal = nodes.shape[0] - 1
    n = high - low
    if low < internal:
        if n > DIRECT:
            prefetch(nodes, (low + (n >> 5)) * 6)
            prefetch(nodes, (low + (n >> 3)) * 6)
            prefetch(nodes, (low + (n >> 1)) * 6)
        else:
            for at in range(low * 6, high * 6, 16):
                prefetch(nodes, at)
            prefetch(nodes, high * 6 - 3)
    else:
        if n > DIRECT:
            prefetch(leaves, (low + (n >> 5) - internal) * 4)
            prefetch(leaves, (low + (n >> 3) - internal) * 4)
            prefetch(leaves, (low + (n >> 1) - internal) * 4)
        else:
            for at in range((low - internal) * 4, (high - internal) * 4, 16):
                prefetch(leaves, at)
            prefetch(leaves, (high - internal) * 4 - 1)


@helper
def narrow(nodes, leaves, column, target, low, high):
    """Keep the part of [low, high) that holds the first record whose (climbing) column reaches the target.

    Children stand by frequency, and frequent ones are asked for more often: the cuts at 1/32, 1/8 and 1/2 need about
    half the steps of even ones.
    """
    n = high - low
    middle = low + (n >> 3)
    if record(nodes, leaves, middle, column) >= target:
        high = middle + 1
        middle = low + (n >> 5)
    else:
        middle, low = low + (n >> 1), middle + 1
    if record(nodes, leaves, middle, column) >= target:
        high = middle + 1
    else:
        low = middle + 1
    return low, high


@helper
def first_child(nodes, leaves, column, target, low, high):
    """Return the first record in [low, high) whose column reaches the target, else high."""
    while low < high and record(nodes, leaves, low, column) < target:
        low += 1
    return low


@helper
def state_of(nodes, leaves, child):
    """Return the state in which the prediction after this n-gram is made."""
    internal = nodes.shape[0] - 1
    if child < internal:
        return node_with_children(nodes, child)
    return node_with_children(nodes, leaves[child - internal, 1])


@helper
def state_after(nodes, leaves, order, vocabulary_size, begin_state, state, word):
    """Return the state after a word, any number: the longest context that ends with it."""
    if word < 0 or word >= vocabulary_size:
        word = np.int64(0)
    if word == EOS:
        return np.int64(begin_state)
    c = min(np.int64(state), nodes.shape[0] - 2)
    child = np.int64(0)
    for _ in range(order):
        if c == 0:
            break
        low, high = children(nodes, leaves, c)
        child = find_child(nodes, leaves, low, high, word)
        if child:
            break
        c = min(np.int64(nodes[c, 1]), nodes.shape[0] - 2)
    return np.int64(state_of(nodes, leaves, child if child else 1 + word))
