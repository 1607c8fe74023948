"""Asking a packed trie of n-grams: probabilities, states, whole distributions, drawing. See `lmkit.ngram.packed`.

A state is the chain of the nodes of the last 1, 2, ... n - 1 words, each counted from 1; 0 stands for one that is not
there. The arrays may come from a damaged file: what is used as an index is clamped first.
"""

import math

import numpy as np

from lmkit.kernels import helper, kernel, routine
from lmkit.kernels.memory import prefetch
from lmkit.kernels.ngram_packed import (
    NEAR,
    SIZE,
    ask_children,
    ask_range,
    backoff_of,
    children,
    find,
    log_p_of,
    narrow,
    word_of,
)
from lmkit.kernels.random import random_bits

__all__ = [
    "BLOCK",
    "advance",
    "draw",
    "followers",
    "log_prob_rows",
    "matches",
    "score_pieces",
    "state_pieces",
    "sum_blocks",
]

BOS, EOS = 1, 2  # as in lmkit.model; a test compares them
_LANES = 24  # pieces that are scored in turns: while one waits for memory, the others work
_REJECTIONS = 16  # of words, until the caller has to draw from the full distribution
BLOCK = 64  # records whose probabilities are summed ahead


@helper
def known_word(word, vocabulary_size):
    return word if 0 <= word < vocabulary_size else np.int64(0)


@helper
def _begin(chain, row, order):
    """Write the chain of the start of a sentence."""
    for k in range(chain.shape[1]):
        chain[row, k] = 0
    if order > 1:
        chain[row, 0] = 1 + BOS


@helper
def _node(layout, k, link):
    """Return the node that a place in a chain stands for, -1 for none; clamped."""
    return min(np.int64(link), layout[k, SIZE]) - 1


@routine
def _step(words, records, begins, samples, layout, order, chain, row, word):
    """Replace a chain by that after one more word."""
    if word == EOS:
        _begin(chain, row, order)
        return
    for k in range(order - 2, 0, -1):
        found = np.int64(-1)
        x = _node(layout, k, chain[row, k - 1])
        if x >= 0:
            low, high = children(words, begins, samples, layout, k, x)
            found = find(records, layout, k + 1, low, high, word)
        chain[row, k] = found + 1
    if order > 1:
        chain[row, 0] = word + 1


@kernel
def advance(words, records, begins, samples, layout, order, states, ids, after):
    """Write the states after one more token a stream."""
    after[:] = states
    for i in range(ids.size):
        word = known_word(np.int64(ids[i]), layout[1, SIZE])
        _step(words, records, begins, samples, layout, order, after, i, word)


@kernel
def state_pieces(words, records, begins, samples, layout, order, ids, starts, warm_ups, ends, states, out, after):
    """Write the state before each token of many pieces of a text: out, uint32 (T, columns); see `score_pieces`."""
    after[:] = states
    for piece in range(starts.size):
        for at in range(starts[piece], ends[piece]):
            if at >= starts[piece] + warm_ups[piece]:
                out[at] = after[piece]
            word = known_word(np.int64(ids[at]), layout[1, SIZE])
            _step(words, records, begins, samples, layout, order, after, piece, word)


@kernel
def followers(words, begins, samples, layout, order, states, sizes):
    """Write how many different words the longest context of each state that has any is followed by: int64 (n,)."""
    for i in range(sizes.size):
        sizes[i] = 0
        for k in range(order - 1, 0, -1):
            c = _node(layout, k, states[i, k - 1])
            if c >= 0:
                low, high = children(words, begins, samples, layout, k, c)
                if low < high:
                    sizes[i] = high - low
                    break


@kernel
def matches(words, records, begins, samples, values, layout, order, begin, ids, found):
    """Write for each token of a text how long the longest n-gram is that ends with it and is no blank.

    Parameters
    ----------
    begin : array of uint32, shape (1, max(order - 1, 1))
        The state before the first token.
    """
    chain = begin.copy()
    for i in range(ids.size):
        word = known_word(np.int64(ids[i]), layout[1, SIZE])
        found[i] = 1
        for k in range(order - 1, 0, -1):
            c = _node(layout, k, chain[0, k - 1])
            if c >= 0:
                low, high = children(words, begins, samples, layout, k, c)
                x = find(records, layout, k + 1, low, high, word)
                if x >= 0 and not np.isnan(log_p_of(words, records, values, layout, k + 1, x)):
                    found[i] = k + 1
                    break
        _step(words, records, begins, samples, layout, order, chain, 0, word)


@kernel
def log_prob_rows(words, records, begins, samples, values, layout, order, states, rows):
    """Write log p(w | state) for every w: float32 rows (n, V).

    One pass over the vocabulary with all back-off weights, then the children of each context from short to long.
    """
    v = rows.shape[1]
    for i in range(rows.shape[0]):
        for k in range(order):
            weight = 0.0
            for longer in range(order - 1, k, -1):
                c = _node(layout, longer, states[i, longer - 1])
                if c >= 0:
                    weight += backoff_of(words, records, values, layout, longer, c)
            if k == 0:
                for w in range(v):
                    rows[i, w] = weight + log_p_of(words, records, values, layout, 1, w)
                continue
            c = _node(layout, k, states[i, k - 1])
            if c < 0:
                continue
            low, high = children(words, begins, samples, layout, k, c)
            for x in range(low, high):
                word = word_of(records, layout, k + 1, x)
                log_p = log_p_of(words, records, values, layout, k + 1, x)
                if word < v and not np.isnan(log_p):
                    rows[i, word] = weight + log_p
        rows[i, BOS] = -np.inf


@kernel
def score_pieces(
    words, records, begins, samples, values, layout, order, ids, starts, warm_ups, ends, states, out, after
):  # fmt: skip
    """Score many pieces of a text, `_LANES` of them in turns, each turn one look at memory that was asked for before.

    A token takes a turn in which the children of all contexts of the chain are located, some in which they are
    narrowed, and one in which it is found among them.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
        The text of all pieces; out : float32 (T,), natural log p of each token.
    starts, warm_ups, ends : ndarray of int64
        Piece j reads ids[starts[j]:ends[j]] and writes the numbers of all but its first warm_ups[j] tokens.
    states, after : ndarray of uint32, shape (pieces, max(n - 1, 1))
        The state of each piece at its start, and (written) at its end.
    """
    pieces = starts.size
    lanes = min(_LANES, pieces)
    piece = np.arange(lanes)
    position = np.empty(lanes, np.int64)
    located = np.zeros(lanes, np.bool_)
    chain = np.zeros((lanes, states.shape[1]), np.int64)
    low = np.zeros((lanes, states.shape[1]), np.int64)
    high = np.zeros((lanes, states.shape[1]), np.int64)
    for lane in range(lanes):
        position[lane] = starts[lane]
        for k in range(1, order):
            chain[lane, k - 1] = min(np.int64(states[lane, k - 1]), layout[k, SIZE])
    upcoming = lanes
    while lanes:
        lane = 0
        while lane < lanes:
            at = position[lane]
            if at >= ends[piece[lane]]:
                for k in range(states.shape[1]):
                    after[piece[lane], k] = chain[lane, k]
                if upcoming < pieces:
                    piece[lane] = upcoming
                    position[lane] = starts[upcoming]
                    for k in range(1, order):
                        chain[lane, k - 1] = min(np.int64(states[upcoming, k - 1]), layout[k, SIZE])
                    upcoming += 1
                else:
                    lanes -= 1
                    piece[lane], position[lane], located[lane] = piece[lanes], position[lanes], located[lanes]
                    for k in range(states.shape[1]):
                        chain[lane, k] = chain[lanes, k]
                        low[lane, k], high[lane, k] = low[lanes, k], high[lanes, k]
                continue
            word = known_word(np.int64(ids[at]), layout[1, SIZE])
            if not located[lane]:
                prefetch(words, word * 3)
                for k in range(1, order):
                    low[lane, k - 1] = high[lane, k - 1] = 0
                    if chain[lane, k - 1]:
                        x = chain[lane, k - 1] - 1
                        low[lane, k - 1], high[lane, k - 1] = children(words, begins, samples, layout, k, x)
                        ask_range(records, layout, k + 1, low[lane, k - 1], high[lane, k - 1])
                located[lane] = True
                lane += 1
                continue
            wide = False
            for k in range(1, order):
                if high[lane, k - 1] - low[lane, k - 1] > NEAR:
                    a, b = narrow(records, layout, k + 1, word, low[lane, k - 1], high[lane, k - 1])
                    ask_range(records, layout, k + 1, a, b)
                    low[lane, k - 1], high[lane, k - 1] = a, b
                    wide = True
            if wide:
                lane += 1
                continue
            weight, log_p, known = 0.0, 0.0, False
            for k in range(order - 1, 0, -1):
                x = find(records, layout, k + 1, low[lane, k - 1], high[lane, k - 1], word)
                if not known:
                    log_p = log_p_of(words, records, values, layout, k + 1, x) if x >= 0 else np.nan
                    known = not np.isnan(log_p)
                    if not known and chain[lane, k - 1]:
                        weight += backoff_of(words, records, values, layout, k, chain[lane, k - 1] - 1)
                if k < order - 1:
                    chain[lane, k] = x + 1
                    if x >= 0:
                        ask_children(words, samples, layout, k + 1, x)
            if not known:
                log_p = log_p_of(words, records, values, layout, 1, word)
            if at >= starts[piece[lane]] + warm_ups[piece[lane]]:
                out[at] = weight + log_p
            if word == EOS:
                _begin(chain, lane, order)
            elif order > 1:
                chain[lane, 0] = word + 1
                ask_children(words, samples, layout, 1, word)
            position[lane] = at + 1
            located[lane] = False
            lane += 1


@helper
def _p(words, records, values, layout, k, x):
    """Return the probability of a k-gram in its context; a blank has none of its own."""
    log_p = log_p_of(words, records, values, layout, k, x)
    return 0.0 if np.isnan(log_p) else math.exp(log_p)


@kernel
def sum_blocks(words, records, values, layout, k, sums):
    """Write the sum of the probabilities of all k-grams before each `BLOCK`-th one."""
    total = 0.0
    for x in range(layout[k, SIZE]):
        if x % BLOCK == 0:
            sums[x // BLOCK] = total
        total += _p(words, records, values, layout, k, x)


@routine
def _sum_before(words, records, values, layout, k, sums, sums_at, x):
    """Return the sum of the probabilities of the k-grams before x."""
    block = max(x - 1, 0) // BLOCK
    total = sums[sums_at[k] + block]
    for y in range(block * BLOCK, x):
        total += _p(words, records, values, layout, k, y)
    return total


@routine
def _pick(words, records, values, layout, k, sums, sums_at, low, high, target):
    """Return the first k-gram of [low, high) up to which the probabilities sum to more than the target."""
    total, last = 0.0, low
    if high - low > 2 * BLOCK:
        target += _sum_before(words, records, values, layout, k, sums, sums_at, low)
        total = target
        a, b = low // BLOCK + 1, (high - 1) // BLOCK
        while a < b:  # the last block whose sum does not exceed the target
            middle = (a + b + 1) >> 1
            if sums[sums_at[k] + middle] <= target:
                a = middle
            else:
                b = middle - 1
        if sums[sums_at[k] + a] <= target:
            last = a * BLOCK
            total = sums[sums_at[k] + a]
        else:
            total = _sum_before(words, records, values, layout, k, sums, sums_at, low)
    found = last
    for x in range(last, high):
        p = _p(words, records, values, layout, k, x)
        if p > 0:
            found = x
        total += p
        if total > target:
            break
    return found


@kernel
def draw(
    words, records, begins, samples, values, layout, order, alias, unigrams, sums, sums_at, banned, keys, counters, t,
    ids, done, states,
):  # fmt: skip
    """Draw t tokens for each stream, exactly from its rows, whether or not they sum to one.

    With S(c) the sum of the probabilities of the children of c and alpha its weight, the mass of a context is

        M(c) = S(c) + alpha(c) M(shorter c),    M(root) = the sum of the unigrams.

    A context of the chain is taken with its share in this sum, then one of its children by inversion; the unigrams
    answer by their alias table. A word that a longer context has as a child, too, is rejected and the roll begins
    anew: so a word comes as often as the longest context that knows it says, with all weights before it.

    Parameters
    ----------
    alias, unigrams : array of uint32 (V, 2), float
        The alias table of the unigrams, and their sum.
    sums, sums_at : array of float64, array of int64
        What `sum_blocks` has written, and where that of each order begins.
    banned : array of uint8, shape (V,)
        Words that are rejected as well. After `_REJECTIONS` a stream stops for the caller's help: done[i] < t says so.
    keys, counters : array of uint64
        The streams' random numbers (`lmkit.uniforms`); the counters move on.
    ids : array of int32 (streams, t); done : array of int64; states : array of uint32
        `done` is read as where to go on; all are written.
    """
    v = alias.shape[0]
    low, high = np.zeros(order + 1, np.int64), np.zeros(order + 1, np.int64)
    own, weight = np.zeros(order + 1), np.ones(order + 1)
    for s in range(keys.size):
        rejections = 0
        while done[s] < t and rejections <= _REJECTIONS:
            mass = unigrams
            for k in range(1, order):
                low[k] = high[k] = 0
                own[k], weight[k] = 0.0, 1.0
                c = _node(layout, k, states[s, k - 1])
                if c >= 0:
                    low[k], high[k] = children(words, begins, samples, layout, k, c)
                    weight[k] = math.exp(backoff_of(words, records, values, layout, k, c))
                    if high[k] - low[k] > 2 * BLOCK:
                        own[k] = _sum_before(words, records, values, layout, k + 1, sums, sums_at, high[k])
                        own[k] -= _sum_before(words, records, values, layout, k + 1, sums, sums_at, low[k])
                    else:
                        for x in range(low[k], high[k]):
                            own[k] += _p(words, records, values, layout, k + 1, x)
                mass = own[k] + weight[k] * mass
            if not 0.0 < mass < np.inf:
                break
            word = np.int64(-1)
            while word < 0 and rejections <= _REJECTIONS:
                counters[s] += np.uint64(1)
                roll = (random_bits(keys[s], counters[s]) >> np.uint64(11)) * 2.0**-53 * mass
                level = order - 1
                while level > 0 and (roll >= own[level] or own[level] == 0.0) and weight[level] > 0.0:
                    roll = (roll - own[level]) / weight[level]
                    level -= 1
                if level == 0:
                    counters[s] += np.uint64(1)
                    bits = random_bits(keys[s], counters[s])
                    column = np.int64(((bits >> np.uint64(32)) * np.uint64(v)) >> np.uint64(32))
                    heads = (bits & np.uint64(0xFFFFFFFF)) < np.uint64(alias[column, 0])
                    word = column if heads else min(np.int64(alias[column, 1]), v - 1)
                elif low[level] < high[level]:
                    x = _pick(words, records, values, layout, level + 1, sums, sums_at, low[level], high[level], roll)
                    word = word_of(records, layout, level + 1, x)
                if word >= v or (word >= 0 and banned[word]):
                    word = np.int64(-1)
                k = order - 1
                while word >= 0 and k > level:
                    x = find(records, layout, k + 1, low[k], high[k], word)
                    if x >= 0 and not np.isnan(log_p_of(words, records, values, layout, k + 1, x)):
                        word = np.int64(-1)
                    k -= 1
                rejections += word < 0
            if word >= 0:
                ids[s, done[s]] = word
                done[s] += 1
                rejections = 0
                _step(words, records, begins, samples, layout, order, states, s, word)
