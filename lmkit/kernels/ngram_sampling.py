"""Rolling the weighted die of an n-gram model without looking at the vocabulary. Records: see `lmkit.ngram.trie`.

Kernels that call each other share a file, so the small helpers here have twins in `ngram_query`.
"""

import math

import numpy as np

from lmkit.kernels import helper, kernel
from lmkit.kernels.memory import prefetch

__all__ = ["draw"]

_LANES = 32  # streams that are drawn in turns: while one waits for memory, the others work
_DIRECT = 16  # so few records lie in one or two cache lines: search them without waiting again
_REJECTIONS = 16  # of banned tokens, until the caller has to draw from the full distribution

_OPEN, _PICK, _SEEK, _MATCH = range(4)


@helper
def _bits(key, counter):
    """The counter-th number of a stream: see `lmkit.uniforms`."""
    z = key + counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@helper
def _children(nodes, leaves, c):
    """Return the range of children of context c, clamped to one level's array; node 0 is nobody's child."""
    internal = nodes.shape[0] - 1
    low, high = max(np.int64(nodes[c, 4]), 1), np.int64(nodes[c + 1, 4])
    return low, min(high, internal if low < internal else internal + leaves.shape[0])


@helper
def _record(nodes, leaves, node, column):
    internal = nodes.shape[0] - 1
    return np.int64(nodes[node, column] if node < internal else leaves[node - internal, column])


@helper
def _ask_context(nodes, c):
    """Ask for what `_children` reads: two cache lines more often than one."""
    prefetch(nodes, c * 6 + 1)
    prefetch(nodes, c * 6 + 10)


@helper
def _ask_range(nodes, leaves, low, high):
    """Ask for what `_narrow` will read of [low, high), or, where that is little, for all of it."""
    internal = nodes.shape[0] - 1
    n = high - low
    if low < internal:
        if n > _DIRECT:
            prefetch(nodes, (low + (n >> 5)) * 6)
            prefetch(nodes, (low + (n >> 3)) * 6)
            prefetch(nodes, (low + (n >> 1)) * 6)
        else:
            for at in range(low * 6, high * 6, 16):
                prefetch(nodes, at)
            prefetch(nodes, high * 6 - 3)
    else:
        if n > _DIRECT:
            prefetch(leaves, (low + (n >> 5) - internal) * 4)
            prefetch(leaves, (low + (n >> 3) - internal) * 4)
            prefetch(leaves, (low + (n >> 1) - internal) * 4)
        else:
            for at in range((low - internal) * 4, (high - internal) * 4, 16):
                prefetch(leaves, at)
            prefetch(leaves, (high - internal) * 4 - 1)


@helper
def _narrow(nodes, leaves, column, target, low, high):
    """Keep the part of [low, high) that holds the first record whose (climbing) column reaches the target.

    Children stand by frequency, and frequent ones are asked for more often: the cuts at 1/32, 1/8 and 1/2 need about
    half the steps of even ones.
    """
    n = high - low
    middle = low + (n >> 3)
    if _record(nodes, leaves, middle, column) >= target:
        high = middle + 1
        middle = low + (n >> 5)
    else:
        middle, low = low + (n >> 1), middle + 1
    if _record(nodes, leaves, middle, column) >= target:
        high = middle + 1
    else:
        low = middle + 1
    return low, high


@helper
def _first(nodes, leaves, column, target, low, high):
    """Return the first record in [low, high) whose column reaches the target, else high."""
    while low < high and _record(nodes, leaves, low, column) < target:
        low += 1
    return low


@kernel
def draw(
    nodes, leaves, alias, order, begin_state, uniform_tail, banned, keys, counters, states, t, ids, done, after
):  # fmt: skip
    """Draw t tokens for each stream, exactly from the interpolated model, `_LANES` streams in turns.

    In context c one uniform number says both whether the discounted counts of c speak (probability 1 - gamma) and which
    child: the first whose cumulated mass exceeds it. Otherwise the shorter context rolls anew; the unigrams answer by
    their alias table. Then the longest context of history and token is looked up.

    Parameters
    ----------
    uniform_tail : bool
        What a context spares goes to all words but `<s>` equally (add-k), not to the shorter context.
    banned : ndarray of uint8, shape (V,)
        Tokens that are rejected and drawn anew. After `_REJECTIONS` of them a stream stops for the caller's help:
        done[i] < t tells where.
    keys, counters : ndarray of uint64
        The streams' random numbers (`lmkit.uniforms`); the counters move on.
    states, after : ndarray of uint32; ids : ndarray of int32 (streams, t); done : ndarray of int64
        `done` is read as where to go on, and written.
    """
    streams = states.size
    v = alias.shape[0]
    last = nodes.shape[0] - 2
    node_floats = nodes.view(np.float32)
    lanes = min(_LANES, streams)
    stream = np.arange(lanes)
    phase = np.full(lanes, _OPEN)
    home = np.empty(lanes, np.int64)  # the state in which the token is drawn
    context = np.empty(lanes, np.int64)  # the context that is asked, home or a shorter one
    low, high = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    target = np.zeros(lanes, np.int64)
    word, child = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    steps, rejections = np.zeros(lanes, np.int64), np.zeros(lanes, np.int64)
    for lane in range(lanes):
        home[lane] = context[lane] = min(np.int64(states[lane]), last)
    upcoming = lanes
    while lanes:
        lane = 0
        while lane < lanes:
            s = stream[lane]
            if done[s] >= t or rejections[lane] > _REJECTIONS:
                state = home[lane]
                after[s] = state if nodes[state, 4] != nodes[state + 1, 4] else min(np.int64(nodes[state, 1]), last)
                if upcoming < streams:
                    stream[lane], phase[lane] = upcoming, _OPEN
                    home[lane] = context[lane] = min(np.int64(states[upcoming]), last)
                    steps[lane] = rejections[lane] = 0
                    upcoming += 1
                else:
                    lanes -= 1
                    stream[lane], phase[lane] = stream[lanes], phase[lanes]
                    home[lane], context[lane] = home[lanes], context[lanes]
                    low[lane], high[lane], target[lane] = low[lanes], high[lanes], target[lanes]
                    word[lane], child[lane] = word[lanes], child[lanes]
                    steps[lane], rejections[lane] = steps[lanes], rejections[lanes]
                continue
            drawn = False
            found = np.int64(0)
            if phase[lane] == _OPEN:
                c = context[lane]
                bits = _bits(keys[s], counters[s] + np.uint64(1))
                roll = np.int64(bits >> np.uint64(32))
                if c == 0 or steps[lane] > order:
                    counters[s] += np.uint64(1)
                    column = np.int64((np.uint64(roll) * np.uint64(v)) >> np.uint64(32))
                    heads = (bits & np.uint64(0xFFFFFFFF)) < np.uint64(alias[column, 0])
                    word[lane] = column if heads else min(np.int64(alias[column, 1]), v - 1)
                    child[lane] = 1 + word[lane]
                    drawn = True
                else:
                    low[lane], high[lane] = _children(nodes, leaves, c)
                    suffix = min(np.int64(nodes[c, 1]), last)
                    if low[lane] >= high[lane]:  # no context: on to its suffix, at no cost
                        if home[lane] == c:
                            home[lane] = suffix
                    else:
                        counters[s] += np.uint64(1)
                        if roll < (1.0 - math.exp(node_floats[c, 5])) * 4294967296.0:
                            target[lane] = roll + 1  # of the cumulated masses, the first that exceeds the roll
                            phase[lane] = _PICK
                            _ask_range(nodes, leaves, low[lane], high[lane])
                            lane += 1
                            continue
                        if high[lane] - low[lane] <= _DIRECT:
                            _ask_range(nodes, leaves, low[lane], high[lane])  # for `_SEEK`
                        if uniform_tail:
                            w = np.int64(((bits & np.uint64(0xFFFFFFFF)) * np.uint64(v - 1)) >> np.uint64(32))
                            word[lane] = w + 1 if w >= 1 else w
                            child[lane] = 1 + word[lane]
                            suffix = np.int64(0)
                            drawn = True
                    context[lane] = suffix
                    steps[lane] += 1
                    if not drawn:
                        _ask_context(nodes, suffix)
                        lane += 1
                        continue
            elif phase[lane] == _PICK:
                if high[lane] - low[lane] > _DIRECT:
                    low[lane], high[lane] = _narrow(nodes, leaves, 3, target[lane], low[lane], high[lane])
                    _ask_range(nodes, leaves, low[lane], high[lane])
                    lane += 1
                    continue
                child[lane] = min(_first(nodes, leaves, 3, target[lane], low[lane], high[lane]), high[lane] - 1)
                word[lane] = min(_record(nodes, leaves, child[lane], 0), v - 1)
                drawn = True
            if drawn:
                if banned[word[lane]]:
                    rejections[lane] += 1
                    context[lane] = home[lane]
                    steps[lane] = 0
                    phase[lane] = _OPEN
                    lane += 1
                    continue
                if word[lane] == 2 or context[lane] == home[lane]:
                    found = child[lane]
                else:  # the token came from a shorter context: which of the longer ones know it too?
                    steps[lane] = 0
                    phase[lane] = _SEEK
            elif phase[lane] == _MATCH:
                if high[lane] - low[lane] > _DIRECT:
                    low[lane], high[lane] = _narrow(nodes, leaves, 0, word[lane], low[lane], high[lane])
                    _ask_range(nodes, leaves, low[lane], high[lane])
                    lane += 1
                    continue
                at = _first(nodes, leaves, 0, word[lane], low[lane], high[lane])
                if at < high[lane] and _record(nodes, leaves, at, 0) == word[lane]:
                    found = at
                else:
                    steps[lane] += 1
                    home[lane] = min(np.int64(nodes[home[lane], 1]), last)
                    phase[lane] = _SEEK
            if phase[lane] == _SEEK:
                c = home[lane]
                while found == 0 and phase[lane] == _SEEK:
                    if c == context[lane] or c == 0 or steps[lane] > order:
                        found = child[lane]
                        break
                    low[lane], high[lane] = _children(nodes, leaves, c)
                    if high[lane] - low[lane] > _DIRECT:
                        _ask_range(nodes, leaves, low[lane], high[lane])
                        phase[lane] = _MATCH
                        break
                    at = _first(nodes, leaves, 0, word[lane], low[lane], high[lane])  # asked for when it was rolled
                    if at < high[lane] and _record(nodes, leaves, at, 0) == word[lane]:
                        found = at
                    steps[lane] += 1
                    c = c if found else min(np.int64(nodes[c, 1]), last)
                home[lane] = c
                if found == 0:
                    lane += 1
                    continue
            if found:
                ids[s, done[s]] = word[lane]
                done[s] += 1
                if word[lane] == 2:
                    state = np.int64(begin_state)
                elif found <= last:
                    state = found
                else:
                    state = min(np.int64(leaves[found - last - 1, 1]), last)
                home[lane] = context[lane] = state
                steps[lane] = rejections[lane] = 0
                phase[lane] = _OPEN
                _ask_context(nodes, state)
                lane += 1
