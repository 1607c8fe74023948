"""Rolling the weighted die of a linear mixture of n-gram models and one recurrent network, many steps at once.

For each token first which member speaks, then that member's own die: no distribution over the vocabulary is made, but
the network's where it speaks.
"""

import numpy as np
from numba import carray

from lmkit.kernels import helper, kernel
from lmkit.kernels.memory import pointer
from lmkit.kernels.ngram_sampling import speak, speak_backing_off
from lmkit.kernels.ngram_walk import record, state_after
from lmkit.kernels.random import random_bits
from lmkit.kernels.recurrent_sampling import NOBODY, head_logits, roll_of, step, work

__all__ = ["BROKEN", "STUCK", "draw"]

UNK, BOS = 0, 1  # as in lmkit.model; a test compares them
STUCK, BROKEN = -1, -2  # for a token: it takes whole rows to draw it; a weight that is no number
_TRIES = 16  # draws that meet a forbidden token until the caller has to look at whole rows


@kernel
def draw(
    ids, begin, stuck, cumulative, tries, states, to_own, meant, starts, lacking, ends, forbidden, keys, counters,
    network, state, feed, cell, weights, hidden, layers, outputs, width, resets, never,
):  # fmt: skip
    """Draw tokens one after the other; return the column up to which they are drawn, fed and final.

    That is not the last one where a stream needs help with the next token: then ids has STUCK or BROKEN there, and
    what was drawn for the other streams; nothing of it is fed.

    Parameters
    ----------
    ids : array of int32, (n, T)
    begin : int
        The first column to draw.
    stuck : array of int64, (n, 2)
        Where a token is STUCK: the member that was to draw it, and how many contexts have left it to the next shorter
        one (`ngram_sampling.draw`); member -1 where all that came was forbidden.
    cumulative : array of float64, (M,)
        Weights of the members, summed up.
    tries : array of int64, (M, 10)
        Of each n-gram model the addresses and lengths of nodes, leaves and alias table, the order, the state after
        `</s>`, whether contexts leave the rest to all words equally, and whether they interpolate.
    states : array of uint32, (M, n)
        Of the n-gram models; they move on.
    to_own : array of int32, (M, V)
        Each member's ids of the tokens.
    meant, starts : array of int32, flat; array of int64, (M + 1,)
        From each member's ids to tokens, one member after the other, and where each begins.
    lacking, ends : array of int32, flat; array of int64, (M + 1,)
        Of each member `<unk>` and the tokens that it does not know, which share its p(`<unk>`); and where each begins.
    forbidden : array of uint8, (V,)
        Tokens that are drawn anew, beginning with the member.
    network : int
        The member that is recurrent, or -1.
    state, feed, ... resets
        See `recurrent_sampling.draw`; the streams end in state[tokens % 2].
    never : array of int32
        Ids of the network that never come.
    """
    streams, size = ids.shape
    z, a, fed, logits, projected = work(state, feed, cell, weights, outputs)
    top = state.shape[1] - 1
    hs = np.empty((streams, state.shape[4]), weights.dtype)  # of the streams for which the network speaks
    waiting, speakers = np.empty(streams, np.int64), np.empty(streams, np.int64)
    own = np.empty(streams, np.int32)
    path = np.zeros(tries[:, 6].max() + 1, np.int64)
    banned = np.zeros(max(2, tries[:, 5].max()), np.uint8)  # ids of any member
    banned[BOS] = 1
    for t in range(begin, size):
        now = (t - begin) % 2
        left, helpless = streams, False
        for s in range(streams):
            waiting[s] = s
        for _ in range(_TRIES):
            speaking = 0
            for k in range(left):
                s = waiting[k]
                speakers[k] = member_at(cumulative, uniform(keys[s], counters, s))
                if speakers[k] == network:
                    for j in range(hidden):
                        hs[speaking, j] = state[now, top, 0, s, j]
                    speaking += 1
            if speaking:
                head_logits(logits, hs[:speaking], weights, hidden, outputs, width)
            spoken, refused = 0, 0
            for k in range(left):
                s, m = waiting[k], speakers[k]
                if m == network:
                    word = np.int64(
                        roll_of(
                            logits, spoken, hs, spoken, projected, weights, hidden, outputs, width, never, keys[s],
                            counters, s, np.float32(1),
                        )
                    )  # fmt: skip
                    spoken += 1
                    if word == NOBODY:
                        ids[s, t] = BROKEN
                        return t
                else:
                    nodes, leaves, alias = trie_at(tries, m)
                    order = tries[m, 6]
                    if tries[m, 9]:
                        word = speak(nodes, leaves, alias, order, tries[m, 8], states[m, s], keys[s], counters, s)
                    else:
                        path[0] = min(np.int64(states[m, s]), len(nodes) - 2)
                        child, level = speak_backing_off(
                            nodes, leaves, alias, order, path, banned, keys[s], counters, s
                        )  # fmt: skip
                        if child == 0:
                            ids[s, t], stuck[s, 0], stuck[s, 1] = STUCK, m, level
                            helpless = True
                            continue
                        word = min(record(nodes, leaves, child, 0), len(alias) - 1)
                token = meant[starts[m] + word]
                several = ends[m + 1] - ends[m]
                if word == UNK and several > 1:
                    token = lacking[ends[m] + np.int64(uniform(keys[s], counters, s) * several)]
                if forbidden[token]:
                    waiting[refused] = s
                    refused += 1
                else:
                    ids[s, t] = token
            left = refused
            if left == 0:
                break
        for k in range(left):
            ids[waiting[k], t], stuck[waiting[k], 0] = STUCK, -1
        if left or helpless:
            return t
        for m in range(len(cumulative)):
            if m != network:
                nodes, leaves, alias = trie_at(tries, m)
                for s in range(streams):
                    word = np.int64(to_own[m, ids[s, t]])
                    states[m, s] = state_after(
                        nodes, leaves, tries[m, 6], len(alias), tries[m, 7], states[m, s], word
                    )  # fmt: skip
        if network >= 0:
            for s in range(streams):
                own[s] = to_own[network, ids[s, t]]
            step(state, now, own, feed, cell, weights, hidden, layers, width, resets, z, a, fed)
    return size


@helper
def uniform(key, counters, stream):
    """Return the stream's next number in [0, 1)."""
    counters[stream] += np.uint64(1)
    return np.float64(random_bits(key, counters[stream]) >> np.uint64(11)) * 2.0**-53


@helper
def member_at(cumulative, number):
    """Return the member whose share of the weights a number in [0, 1) falls on."""
    last = len(cumulative) - 1
    goal = number * cumulative[last]
    for m in range(last):
        if cumulative[m] > goal:
            return m
    return last


@kernel
def trie_at(tries, m):
    """Return nodes, leaves and alias table of a member. They belong to nobody: no references are counted."""
    nodes = carray(pointer(tries[m, 0]), (tries[m, 1], 6), np.uint32)
    leaves = carray(pointer(tries[m, 2]), (tries[m, 3], 4), np.uint32)
    alias = carray(pointer(tries[m, 4]), (tries[m, 5], 2), np.uint32)
    return nodes, leaves, alias
