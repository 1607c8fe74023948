"""Which n-grams a model can best do without. Records: see `lmkit.ngram.trie`."""

import math

import numpy as np

from lmkit.kernels import helper, kernel
from lmkit.kernels.ngram_walk import find_child

__all__ = [
    "NOTHING", "history_probabilities", "keep_beginnings", "losses", "refill_blanks", "renormalise", "words_of_level",
]  # fmt: skip

BOS = 1  # as in lmkit.model; a test compares them
NOTHING = 1e-9  # probability that is rounding


@kernel
def history_probabilities(begin, end, nodes, records, offset, joint, log_p_end):
    """Write log p of the words of each node that is a child of the contexts [begin, end), by the chain rule.

    `<s>` is never predicted: it is as probable as the `</s>` before it.
    """
    floats = records.view(np.float32)
    for c in range(begin, end):
        for x in range(np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4])):
            joint[x] = joint[c] + floats[x - offset, 2]
            if c == 0 and x == 1 + BOS:
                joint[x] = log_p_end


@helper
def shorter(nodes, leaves, c, word):
    """Return log p(word | suffix of the context c)."""
    node_floats, leaf_floats = nodes.view(np.float32), leaves.view(np.float32)
    internal = nodes.shape[0] - 1
    weight = 0.0
    while c:
        c = np.int64(nodes[c, 1])
        found = find_child(nodes, leaves, np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4]), word)
        if found:
            return weight + (node_floats[found, 2] if found < internal else leaf_floats[found - internal, 2])
        weight += node_floats[c, 5]
    return weight


@kernel
def losses(begin, end, nodes, leaves, children, offset, joint, loss):
    """Write by what share the loss of each child of the contexts [begin, end) alone would raise the perplexity.

    Stolcke (1998): without w the context h backs off to it with a new weight alpha', and the relative entropy grows by

        -p(h) { p(w|h) [log p(w|h') + log alpha' - log p(w|h)] + (sum of p(v|h), v unseen) [log alpha' - log alpha] }

    Parameters
    ----------
    joint : array of float64
        log p(h) of each context.
    loss : array of float64, one for each child
        Written; infinite where a context would have nothing to back off with.
    """
    floats, node_floats = children.view(np.float32), nodes.view(np.float32)
    for c in range(begin, end):
        first, last = np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4])
        if first == last:
            continue
        unseen, unseen_shorter = 1.0, 1.0
        for x in range(first, last):
            word = np.int64(children[x - offset, 0])
            unseen -= math.exp(floats[x - offset, 2])
            unseen_shorter -= math.exp(shorter(nodes, leaves, c, word))
        alpha, history = node_floats[c, 5], math.exp(joint[c])
        for x in range(first, last):
            log_p = np.float64(floats[x - offset, 2])
            lower = shorter(nodes, leaves, c, np.int64(children[x - offset, 0]))
            p, q = math.exp(log_p), math.exp(lower)
            if unseen + p <= NOTHING or unseen_shorter + q <= NOTHING:
                loss[x - offset] = np.inf
                continue
            changed = math.log(unseen + p) - math.log(unseen_shorter + q)
            growth = p * (lower + changed - log_p)
            if unseen > NOTHING and alpha > -np.inf:
                growth += unseen * (changed - alpha)
            share = math.expm1(-history * growth)
            loss[x - offset] = 0.0 if np.isnan(share) else share  # 0 times infinity: nothing is lost


@kernel
def keep_beginnings(nodes, first, end, offset, worth, above):
    """Let each context of [first, end) be worth at least what its children are: what they begin with stays with them.

    Parameters
    ----------
    worth : array of float64, one for each of the contexts; written
    above : array of float64, one for each of their children, of which `offset` is the first
    """
    for c in range(first, end):
        for x in range(np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset):
            worth[c - first] = max(worth[c - first], above[x])


@kernel
def renormalise(begin, end, nodes, leaves, children, offset, blank, least):
    """Write the back-off weights of the contexts [begin, end), with which their distributions sum to one.

    alpha = (1 - sum of p(w|h)) / (1 - sum of p(w|h')), w over the children; shorter contexts' are right already.

    Parameters
    ----------
    blank : array of uint8, one for each child; empty for none
        Which of them are contexts only.
    least : float
        What a context leaves whose probabilities, as far as rounded numbers say, sum to one; 0: its weight stays.
    """
    floats, node_floats = children.view(np.float32), nodes.view(np.float32)
    for c in range(begin, end):
        first, last = np.int64(nodes[c, 4]), np.int64(nodes[c + 1, 4])
        if first == last:
            node_floats[c, 5] = 0.0
            continue
        unseen, unseen_shorter = 1.0, 1.0
        for x in range(first, last):
            if blank.size and blank[x - offset]:
                continue
            unseen -= math.exp(floats[x - offset, 2])
            unseen_shorter -= math.exp(shorter(nodes, leaves, c, np.int64(children[x - offset, 0])))
        unseen = max(unseen, least)
        if unseen >= NOTHING and unseen_shorter > NOTHING:
            node_floats[c, 5] = math.log(unseen) - math.log(unseen_shorter)


@kernel
def refill_blanks(begin, end, nodes, leaves, children, offset, blank):
    """Give those children of the contexts [begin, end) that are contexts only what backing off gives."""
    floats, node_floats = children.view(np.float32), nodes.view(np.float32)
    for c in range(begin, end):
        for x in range(np.int64(nodes[c, 4]) - offset, np.int64(nodes[c + 1, 4]) - offset):
            if blank[x]:
                floats[x, 2] = node_floats[c, 5] + shorter(nodes, leaves, c, np.int64(children[x, 0]))


@kernel
def words_of_level(k, firsts, nodes, leaves, grams):
    """Write the words of all k-grams, int32 (m, k)."""
    internal = nodes.shape[0] - 1
    path = np.zeros(k + 1, np.int64)
    for j in range(k + 1):
        path[j] = firsts[j]
    for i in range(grams.shape[0]):
        path[k] = firsts[k] + i
        for j in range(k - 1, 0, -1):
            while np.int64(nodes[path[j] + 1, 4]) <= path[j + 1]:
                path[j] += 1
        for j in range(1, k + 1):
            x = path[j]
            grams[i, j - 1] = nodes[x, 0] if x < internal else leaves[x - internal, 0]
