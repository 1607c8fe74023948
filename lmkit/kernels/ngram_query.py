"""Asking a trie of n-grams: probabilities of a text, states, whole distributions. Records: see `lmkit.ngram.trie`.

The arrays may come from a damaged file: every number that is used as an index is clamped first, every walk along
suffix links takes at most `order` steps.
"""

import numpy as np

from lmkit.kernels import kernel
from lmkit.kernels.ngram_walk import (
    DIRECT,
    ask_context,
    ask_range,
    children,
    find_child,
    first_child,
    narrow,
    node_with_children,
    record,
    state_after,
    state_of,
)

__all__ = ["advance", "count_rows", "log_prob_rows", "matches", "score_pieces", "state_pieces"]

BOS, EOS = 1, 2  # as in lmkit.model; a test compares them
_LANES = 20  # pieces that are scored in turns: while one waits for memory, the others work


@kernel
def advance(nodes, leaves, order, vocabulary_size, begin_state, states, ids, after):
    """Write the states after one more token a stream."""
    for i in range(states.size):
        after[i] = state_after(nodes, leaves, order, vocabulary_size, begin_state, states[i], np.int64(ids[i]))


@kernel
def state_pieces(
    nodes, leaves, order, vocabulary_size, begin_state, ids, begins, warm_ups, ends, states, out, after
):  # fmt: skip
    """Write the state before each token of many pieces of a text: out, uint32 (T,); see `score_pieces`."""
    for piece in range(begins.size):
        state = np.int64(states[piece])
        for at in range(begins[piece], ends[piece]):
            if at >= begins[piece] + warm_ups[piece]:
                out[at] = state
            state = state_after(nodes, leaves, order, vocabulary_size, begin_state, state, np.int64(ids[at]))
        after[piece] = state


@kernel
def matches(nodes, leaves, order, vocabulary_size, begin_state, blank, ids, found):
    """Write for each token of a text the node of the longest n-gram that ends with it.

    Parameters
    ----------
    blank : array of uint8, one for each node; empty for none
        Nodes that are contexts and no n-grams.
    """
    internal = nodes.shape[0] - 1
    state = min(np.int64(begin_state), internal - 1)
    for i in range(ids.size):
        word = np.int64(ids[i])
        if word < 0 or word >= vocabulary_size:
            word = 0
        longest, found[i] = np.int64(0), 0
        for _ in range(order):
            if state == 0 or found[i]:
                break
            low, high = children(nodes, leaves, state)
            child = find_child(nodes, leaves, low, high, word)
            longest = longest if longest else child
            if child and not (blank.size and blank[child]):
                found[i] = child
            state = min(np.int64(nodes[state, 1]), internal - 1)
        found[i] = found[i] if found[i] else 1 + word
        longest = longest if longest else found[i]
        state = np.int64(begin_state) if word == EOS else state_of(nodes, leaves, longest)


@kernel
def log_prob_rows(nodes, leaves, order, uniform, unigrams, states, rows):
    """Write log p(w | state) for every w: float32 rows (n, V).

    One pass over the vocabulary with all back-off weights, then the children of each context from short to long.

    Parameters
    ----------
    uniform : float
        NaN, or for add-k the log of 1 / V, into which its contexts back off at once.
    unigrams : ndarray of float32, shape (V,)
        log p of the unigrams, side by side: with the strides of their records the first pass takes several times as
        long.
    """
    internal = nodes.shape[0] - 1
    node_floats, leaf_floats = nodes.view(np.float32), leaves.view(np.float32)
    v = rows.shape[1]
    straight = not np.isnan(uniform)
    path = np.empty(order + 1, np.int64)
    for i in range(states.size):
        c = min(np.int64(states[i]), nodes.shape[0] - 2)
        n = 0
        for _ in range(order):
            if c == 0:
                break
            low, high = children(nodes, leaves, c)
            if low < high or node_floats[c, 5] != 0.0:
                path[n] = c
                n += 1
            if straight and low < high:
                break
            c = min(np.int64(nodes[c, 1]), nodes.shape[0] - 2)
        weight = 0.0
        for j in range(n):
            weight += node_floats[path[j], 5]
        if n and straight:
            rows[i] = uniform + weight
        else:
            for w in range(v):
                rows[i, w] = weight + unigrams[w]
        for j in range(n - 1, -1, -1):
            weight = 0.0
            for k in range(j):
                weight += node_floats[path[k], 5]
            low, high = children(nodes, leaves, path[j])
            for child in range(low, high):
                if child < internal:
                    word, log_p = np.int64(nodes[child, 0]), node_floats[child, 2]
                else:
                    word, log_p = np.int64(leaves[child - internal, 0]), leaf_floats[child - internal, 2]
                if word < v:
                    rows[i, word] = weight + log_p
        rows[i, BOS] = -np.inf


@kernel
def count_rows(nodes, leaves, counts, states, rows):
    """Write how often each word followed the context of each state in training: int64 rows (n, V)."""
    for i in range(states.size):
        rows[i] = 0
        low, high = children(nodes, leaves, min(np.int64(states[i]), nodes.shape[0] - 2))
        for child in range(low, high):
            word = np.int64(nodes[child, 0] if child < nodes.shape[0] - 1 else leaves[child - nodes.shape[0] + 1, 0])
            if word < rows.shape[1]:
                rows[i, word] = counts[child]


@kernel
def score_pieces(
    nodes, leaves, order, vocabulary_size, begin_state, uniform, ids, begins, warm_ups, ends, states, out, after,
):  # fmt: skip
    """Score many pieces of a text, `_LANES` of them in turns, each turn one look at memory that was asked for before.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
        The text of all pieces; out : float32 (T,), natural log p of each token.
    begins, warm_ups, ends : ndarray of int64
        Piece j reads ids[begins[j]:ends[j]] and writes the numbers of all but its first warm_ups[j] tokens.
    states, after : ndarray of uint32
        The state of each piece at its begin, and (written) at its end.
    uniform : float
        NaN, or for add-k the log of 1 / V, into which its contexts back off at once.
    """
    pieces = begins.size
    lanes = min(_LANES, pieces)
    internal = nodes.shape[0] - 1
    last = nodes.shape[0] - 2
    node_floats, leaf_floats = nodes.view(np.float32), leaves.view(np.float32)
    straight = not np.isnan(uniform)

    piece = np.arange(lanes)
    position = np.empty(lanes, np.int64)
    context = np.empty(lanes, np.int64)
    low = np.empty(lanes, np.int64)
    high = np.full(lanes, -1, np.int64)  # -1: the context is to be opened; else: searching [low, high)
    steps = np.zeros(lanes, np.int64)
    weight = np.zeros(lanes, np.float64)
    fixed = np.zeros(lanes, np.bool_)
    for lane in range(lanes):
        position[lane] = begins[lane]
        context[lane] = min(np.int64(states[lane]), last)
    upcoming = lanes
    while lanes:
        lane = 0
        while lane < lanes:
            at = position[lane]
            if at >= ends[piece[lane]]:
                after[piece[lane]] = node_with_children(nodes, context[lane])
                if upcoming < pieces:
                    piece[lane] = upcoming
                    position[lane] = begins[upcoming]
                    context[lane] = min(np.int64(states[upcoming]), last)
                    upcoming += 1
                    lane += 1
                else:
                    lanes -= 1
                    piece[lane], position[lane], context[lane] = piece[lanes], position[lanes], context[lanes]
                    low[lane], high[lane], steps[lane] = low[lanes], high[lanes], steps[lanes]
                    weight[lane], fixed[lane] = weight[lanes], fixed[lanes]
                continue
            word = np.int64(ids[at])
            if word < 0 or word >= vocabulary_size:
                word = 0
            c = context[lane]
            child = np.int64(0)
            searched = high[lane] >= 0  # a context without children is left at once
            if high[lane] < 0:
                if c == 0:
                    child = 1 + word
                else:
                    low[lane], high[lane] = children(nodes, leaves, c)
                    if low[lane] < high[lane]:
                        ask_range(nodes, leaves, low[lane], high[lane])
                        lane += 1
                        continue
            else:
                if high[lane] - low[lane] > DIRECT:
                    low[lane], high[lane] = narrow(nodes, leaves, 0, word, low[lane], high[lane])
                    ask_range(nodes, leaves, low[lane], high[lane])
                    lane += 1
                    continue
                at_child = first_child(nodes, leaves, 0, word, low[lane], high[lane])
                if at_child < high[lane] and record(nodes, leaves, at_child, 0) == word:
                    child = at_child
            high[lane] = -1
            if child:
                if child < internal:
                    value, state = weight[lane] + node_floats[child, 2], child
                else:
                    value = weight[lane] + leaf_floats[child - internal, 2]
                    state = min(np.int64(leaves[child - internal, 1]), last)
                if fixed[lane]:
                    value = weight[lane]
                if at >= begins[piece[lane]] + warm_ups[piece[lane]]:
                    out[at] = value
                if word == EOS:
                    state = np.int64(begin_state)
                position[lane] = at + 1
                weight[lane] = 0.0
                fixed[lane] = False
                steps[lane] = 0
            else:
                if not fixed[lane]:
                    weight[lane] += node_floats[c, 5]
                    if straight and searched:
                        weight[lane] += uniform
                        fixed[lane] = True
                steps[lane] += 1
                state = min(np.int64(nodes[c, 1]), last) if steps[lane] <= order else np.int64(0)
            context[lane] = state
            ask_context(nodes, state)
            lane += 1
