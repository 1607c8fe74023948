"""What members of a mixture say of the n-grams of all. Records: see `lmkit.ngram.trie`; links are checked before."""

import math

import numpy as np

from lmkit.kernels import kernel
from lmkit.kernels.ngram_walk import find_child, state_of

__all__ = ["add_member"]

BOS = 1  # as in lmkit.model; a test compares them


@kernel
def add_member(
    begin, end, parents, words, first, states, nodes, leaves, uniform, ids, log_shares, log_weight, p, after
):  # fmt: skip
    """Add a member's part of p(word | context) of the n-grams [begin, end) of one length; write its states after them.

    Parameters
    ----------
    parents, words : array of uint32, int32 (m,)
        The context of each n-gram, a node of the mixture, and its last word.
    first : int
        The first node of the contexts' level.
    states : array of uint32
        The member's state after each of them.
    nodes, leaves
        The member's trie.
    uniform : float
        NaN, or for add-k the log of 1 / V, into which its contexts back off at once.
    ids, log_shares : array of int32, float64 (V,)
        The member's word for each of the mixture's, and the logarithm of that one's share of its probability.
    p : array of float64, (m,)
        Added to; nothing for `<s>`, which is never predicted.
    after : array of uint32, (m,), or empty
        Written.
    """
    internal = nodes.shape[0] - 1
    node_floats, leaf_floats = nodes.view(np.float32), leaves.view(np.float32)
    straight = not np.isnan(uniform)
    for x in range(begin, end):
        word = np.int64(ids[words[x]])
        c = np.int64(states[np.int64(parents[x]) - first])
        log_p, spread, child = log_weight + log_shares[words[x]], False, np.int64(0)
        while c and not child:
            low, high = np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4])
            child = find_child(nodes, leaves, low, high, word)
            if not child:
                if not spread:
                    log_p += node_floats[c, 5]
                    if straight and low < high:
                        log_p += uniform
                        spread = True
                c = np.int64(nodes[c, 1])
        child = child if child else 1 + word
        if not spread:
            log_p += node_floats[child, 2] if child < internal else leaf_floats[child - internal, 2]
        if word != BOS:
            p[x] += math.exp(log_p)
        if after.size:
            after[x] = state_of(nodes, leaves, child)
