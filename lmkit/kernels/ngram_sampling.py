"""Rolling the weighted die of an n-gram model without looking at the vocabulary. Records: see `lmkit.ngram.trie`."""

import math

import numpy as np

from lmkit.kernels import helper, kernel
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
    refuses,
    spoken_mass,
)
from lmkit.kernels.random import random_bits

__all__ = ["draw", "draw_backing_off", "speak", "speak_backing_off"]

BOS, EOS = 1, 2  # as in lmkit.model; a test compares them
_LANES = 24  # streams that are drawn in turns: while one waits for memory, the others work
_REJECTIONS = 16  # of banned tokens, until the caller has to draw from the full distribution

_OPEN, _PICK, _SEEK, _MATCH = range(4)  # what a lane does in its next turn: see `draw`


@kernel
def draw(
    nodes, leaves, alias, order, begin_state, uniform_tail, banned, keys, counters, states, t, ids, done, after
):  # fmt: skip
    """Draw t tokens for each stream, exactly from the interpolated model, `_LANES` streams in turns.

    In context c one uniform number says both whether the discounted counts of c speak (probability 1 - gamma) and which
    child: the first whose cumulated mass exceeds it. Otherwise the shorter context rolls anew; the unigrams answer by
    their alias table. Then the longest context of history and token is looked up.

        _OPEN   read the context's record and roll  -> _PICK | _OPEN a shorter one | drawn (unigrams, add-k)
        _PICK   narrow its children by mass         -> _PICK | drawn
        drawn   banned                              -> _OPEN the home context again
                from the home context, or `</s>`    -> the child found is the next state
                from a shorter one                  -> _SEEK
        _SEEK   the longer contexts, few children   -> found, or the child drawn | _MATCH where there are many
        _MATCH  narrow its children by word         -> _MATCH | found | _SEEK the next shorter one

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
    home = np.empty(lanes, np.int64)  # the longest context that may know the token: the state, until `_SEEK` moves on
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
                after[s] = node_with_children(nodes, state)
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
                bits = random_bits(keys[s], counters[s] + np.uint64(1))
                roll = np.int64(bits >> np.uint64(32))
                if c == 0 or steps[lane] > order:
                    counters[s] += np.uint64(1)
                    column = np.int64((np.uint64(roll) * np.uint64(v)) >> np.uint64(32))
                    heads = (bits & np.uint64(0xFFFFFFFF)) < np.uint64(alias[column, 0])
                    word[lane] = column if heads else min(np.int64(alias[column, 1]), v - 1)
                    child[lane] = 1 + word[lane]
                    drawn = True
                else:
                    low[lane], high[lane] = children(nodes, leaves, c)
                    suffix = min(np.int64(nodes[c, 1]), last)
                    if low[lane] >= high[lane]:  # no context: on to its suffix, at no cost
                        if home[lane] == c:
                            home[lane] = suffix
                    else:
                        counters[s] += np.uint64(1)
                        if roll < (1.0 - math.exp(node_floats[c, 5])) * 4294967296.0:
                            target[lane] = roll + 1  # of the cumulated masses, the first that exceeds the roll
                            phase[lane] = _PICK
                            ask_range(nodes, leaves, low[lane], high[lane])
                            lane += 1
                            continue
                        if high[lane] - low[lane] <= DIRECT:
                            ask_range(nodes, leaves, low[lane], high[lane])  # for `_SEEK`
                        if uniform_tail:
                            w = np.int64(((bits & np.uint64(0xFFFFFFFF)) * np.uint64(v - 1)) >> np.uint64(32))
                            word[lane] = w + 1 if w >= BOS else w
                            child[lane] = 1 + word[lane]
                            suffix = np.int64(0)
                            drawn = True
                    context[lane] = suffix
                    steps[lane] += 1
                    if not drawn:
                        ask_context(nodes, suffix)
                        lane += 1
                        continue
            elif phase[lane] == _PICK:
                if high[lane] - low[lane] > DIRECT:
                    low[lane], high[lane] = narrow(nodes, leaves, 3, target[lane], low[lane], high[lane])
                    ask_range(nodes, leaves, low[lane], high[lane])
                    lane += 1
                    continue
                child[lane] = min(first_child(nodes, leaves, 3, target[lane], low[lane], high[lane]), high[lane] - 1)
                word[lane] = min(record(nodes, leaves, child[lane], 0), v - 1)
                drawn = True
            if drawn:
                if banned[word[lane]]:
                    rejections[lane] += 1
                    context[lane] = home[lane]
                    steps[lane] = 0
                    phase[lane] = _OPEN
                    lane += 1
                    continue
                if word[lane] == EOS or context[lane] == home[lane]:
                    found = child[lane]
                else:  # the token came from a shorter context: which of the longer ones know it too?
                    steps[lane] = 0
                    phase[lane] = _SEEK
            elif phase[lane] == _MATCH:
                if high[lane] - low[lane] > DIRECT:
                    low[lane], high[lane] = narrow(nodes, leaves, 0, word[lane], low[lane], high[lane])
                    ask_range(nodes, leaves, low[lane], high[lane])
                    lane += 1
                    continue
                at = first_child(nodes, leaves, 0, word[lane], low[lane], high[lane])
                if at < high[lane] and record(nodes, leaves, at, 0) == word[lane]:
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
                    low[lane], high[lane] = children(nodes, leaves, c)
                    if high[lane] - low[lane] > DIRECT:
                        ask_range(nodes, leaves, low[lane], high[lane])
                        phase[lane] = _MATCH
                        break
                    # Its children were asked for when it was rolled.
                    at = first_child(nodes, leaves, 0, word[lane], low[lane], high[lane])
                    if at < high[lane] and record(nodes, leaves, at, 0) == word[lane]:
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
                if word[lane] == EOS:
                    state = np.int64(begin_state)
                elif found <= last:
                    state = found
                else:
                    state = min(np.int64(leaves[found - last - 1, 1]), last)
                home[lane] = context[lane] = state
                steps[lane] = rejections[lane] = 0
                phase[lane] = _OPEN
                ask_context(nodes, state)
                lane += 1


@helper
def speak(nodes, leaves, alias, order, uniform_tail, state, key, counters, stream):
    """Return one token, drawn as `draw` does, with the same numbers: for who has few streams, or other work between."""
    v, last = alias.shape[0], nodes.shape[0] - 2
    c = min(np.int64(state), last)
    for _ in range(order + 1):
        if c == 0:
            break
        low, high = children(nodes, leaves, c)
        if low < high:
            counters[stream] += np.uint64(1)
            bits = random_bits(key, counters[stream])
            roll = np.int64(bits >> np.uint64(32))
            if roll < (1.0 - math.exp(nodes.view(np.float32)[c, 5])) * 4294967296.0:
                while high - low > DIRECT:
                    low, high = narrow(nodes, leaves, 3, roll + 1, low, high)
                at = min(first_child(nodes, leaves, 3, roll + 1, low, high), high - 1)
                return min(record(nodes, leaves, at, 0), v - 1)
            if uniform_tail:
                w = np.int64(((bits & np.uint64(0xFFFFFFFF)) * np.uint64(v - 1)) >> np.uint64(32))
                return w + 1 if w >= BOS else w
        c = min(np.int64(nodes[c, 1]), last)
    counters[stream] += np.uint64(1)
    bits = random_bits(key, counters[stream])
    column = np.int64(((bits >> np.uint64(32)) * np.uint64(v)) >> np.uint64(32))
    return (
        column
        if (bits & np.uint64(0xFFFFFFFF)) < np.uint64(alias[column, 0])
        else min(np.int64(alias[column, 1]), v - 1)
    )


@kernel
def draw_backing_off(
    nodes, leaves, alias, order, begin_state, banned, keys, counters, states, t, ids, done, after, levels
):  # fmt: skip
    """Draw t tokens for each stream, exactly from a model that backs off.

    The children of a context speak with the probability that is the mass of the last one. If they do not, the shorter
    context is drawn from. Where the masses are all of the children's probabilities, that is done again and again until
    it names a word that is none of them (`lmkit.kernels.ngram_walk.refuses`). As the shorter context may ask a still
    shorter one, a word that is refused is drawn anew from where it was refused.

    Parameters
    ----------
    levels : array of int64
        Where a stream stopped for help after `_REJECTIONS`, done[i] < t: how many contexts have left the token to the
        next shorter one, which then named none but refused words; 0 where the last word was banned.

    See `draw` for the others.
    """
    last = nodes.shape[0] - 2
    path = np.zeros(order + 1, np.int64)
    for s in range(states.size):
        state = min(np.int64(states[s]), last)
        while done[s] < t:
            path[0] = state
            child, levels[s] = speak_backing_off(nodes, leaves, alias, order, path, banned, keys[s], counters, s)
            if child == 0:
                break
            word = min(record(nodes, leaves, child, 0), alias.shape[0] - 1)
            ids[s, done[s]] = word
            done[s] += 1
            if word == EOS:
                state = np.int64(begin_state)
            elif child <= last:
                state = node_with_children(nodes, child)
            else:
                state = node_with_children(nodes, np.int64(leaves[child - last - 1, 1]))
        after[s] = state


@helper
def speak_backing_off(nodes, leaves, alias, order, path, banned, key, counters, stream):
    """Draw one token as `draw_backing_off` does: return its node, the longest that knows it, and 0.

    Where that needs help, 0 and the level: see `levels` there. path[0] is the state, the rest work space for `order`
    more.
    """
    last = nodes.shape[0] - 2
    level = 0
    for _ in range(_REJECTIONS + 1):
        child = _speak(nodes, leaves, alias, path, level, key, counters, stream)
        while child == 0:
            level += 1
            path[level] = min(np.int64(nodes[path[level - 1], 1]), last) if level < order else 0
            child = _speak(nodes, leaves, alias, path, level, key, counters, stream)
        word = min(record(nodes, leaves, child, 0), alias.shape[0] - 1)
        known, refused = False, -1
        for j in range(level):  # the longest context that knows it has the next state, the shortest refuses first
            low, high = children(nodes, leaves, path[j])
            found = find_child(nodes, leaves, low, high, word)
            if found:
                if refuses(nodes, leaves, path[j], low, high):
                    refused = j
                if not known:
                    child, known = found, True
        if refused < 0 and not banned[word]:
            return child, 0
        level = refused + 1
    return np.int64(0), level


@helper
def _speak(nodes, leaves, alias, path, level, key, counters, stream):
    """Return the child that the context path[level] names by itself, 0 if it leaves it to the shorter one."""
    c = path[level]
    counters[stream] += np.uint64(1)
    bits = random_bits(key, counters[stream])
    roll = np.int64(bits >> np.uint64(32))
    if c == 0:
        v = alias.shape[0]
        column = np.int64((np.uint64(roll) * np.uint64(v)) >> np.uint64(32))
        heads = (bits & np.uint64(0xFFFFFFFF)) < np.uint64(alias[column, 0])
        return 1 + (column if heads else min(np.int64(alias[column, 1]), v - 1))
    low, high = children(nodes, leaves, c)
    if low >= high:
        return np.int64(0)
    all_of_it = nodes.view(np.float32)[c, 5] == -np.inf
    if not all_of_it and roll >= spoken_mass(nodes, c) and roll >= record(nodes, leaves, high - 1, 3):
        return np.int64(0)
    end = high
    while high - low > DIRECT:
        low, high = narrow(nodes, leaves, 3, roll + 1, low, high)
    child = first_child(nodes, leaves, 3, roll + 1, low, high)
    if child < end:
        return child
    return end - 1 if all_of_it else np.int64(0)  # rounding
